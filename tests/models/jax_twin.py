"""The networks, E3, E6, E10, E11 and Adam again, in JAX, for test_parity: python jax_twin.py IN.npz OUT.npz.

Its own process: JAX starts threads, and the processes that other tests fork must not inherit them. One replicate.
"""

from __future__ import annotations

import sys
from typing import Any

import blackjax.mcmc.diffusions
import blackjax.mcmc.mala
import jax
import jax.numpy as jnp
import numpy as np
import optax
from blackjax.util import generate_gaussian_noise
from jax import lax

Parts = list[tuple[Any, Any]]  # (weight, bias) of every layer, from the input up


def conv_score(parts: Parts, x: Any) -> Any:
    """f of images (n, C, H, W): (n,)."""
    for k, (w, b) in enumerate(parts[:-1]):
        x = lax.conv_general_dilated(x, w, (2, 2) if k else (1, 1), [(1, 1), (1, 1)],
                                     dimension_numbers=("NCHW", "OIHW", "NCHW")) + b[:, None, None]
        x = x * jax.nn.sigmoid(x)
    w, b = parts[-1]
    return (x.reshape(len(x), -1) @ w.T + b)[:, 0]


def mlp(parts: Parts, x: Any) -> Any:
    """(n, in) -> (n, out)."""
    for k, (w, b) in enumerate(parts):
        x = (x * jax.nn.sigmoid(x) if k else x) @ w.T + b
    return x


def mlp_score(parts: Parts, x: Any) -> Any:
    return mlp(parts, x)[:, 0]


def energy(score: Any, parts: Parts, x: Any, sigma: float) -> Any:
    """E1, summed over particles: its gradient is every particle's own."""
    return jnp.sum(x**2) / (2 * sigma**2) - jnp.sum(score(parts, x))


def latent_energy(f: Parts, g: Parts, z: Any) -> Any:
    """E8, summed over particles."""
    return jnp.sum(z**2) / 2 - jnp.sum(mlp_score(f, mlp(g, z)))


def squares(gradient: Any) -> Any:
    """E||gradient||^2 over particles (n, ...)."""
    return jnp.sum(gradient**2) / len(gradient)


def jko_loss(score: Any, parts: Parts, x: Any, x_data: Any, sigma: float, beta: float, both: bool = False) -> Any:
    """E6 with the penalty at the particles, or at both."""
    slope = jax.grad(lambda p: energy(score, parts, p, sigma))
    places = [x, x_data] if both else [x]
    penalty = sum(squares(slope(p)) for p in places) / len(places)
    return jnp.mean(score(parts, x)) - jnp.mean(score(parts, x_data)) + beta * penalty


def hidden_loss(f: Parts, g: Parts, z: Any, x_data: Any, beta: float) -> Any:
    """E6 in z."""
    slope = jax.grad(lambda p: latent_energy(f, g, p))
    return (jnp.mean(mlp_score(f, mlp(g, z))) - jnp.mean(mlp_score(f, x_data)) + beta * squares(slope(z)))


def parts_of(data: dict[str, Any], name: str) -> Parts:
    count = sum(key.startswith(f"{name}.w") for key in data)
    return [(data[f"{name}.w{k}"], data[f"{name}.b{k}"]) for k in range(count)]


def named(name: str, parts: Any) -> dict[str, Any]:
    return {f"{name}.{letter}{k}": array for k, pair in enumerate(parts) for letter, array in zip("wb", pair,
                                                                                                strict=True)}


def chains(d: dict[str, Any]) -> dict[str, Any]:
    """BlackJAX: five Langevin steps and one Metropolis-adjusted move, of exp(-U / tau), with the noise they drew."""
    f, sigma, tau = parts_of(d, "conv"), float(d["sigma"]), float(d["tau"])
    step = tau * float(d["delta"]) ** 2 / 2

    def log_density(x: Any) -> Any:
        return -energy(conv_score, f, x, sigma) / tau

    slope = jax.jit(jax.value_and_grad(log_density))
    move = jax.jit(blackjax.mcmc.diffusions.overdamped_langevin(slope))
    state = blackjax.mcmc.diffusions.DiffusionState(d["x"], *slope(d["x"]))
    noises, path = [], []
    for key in jax.random.split(jax.random.key(0), 5):
        noises.append(generate_gaussian_noise(key, d["x"]))
        state = move(key, state, step)
        path.append(state.position)

    kernel = blackjax.mcmc.mala.build_kernel()

    def adjusted(key: Any, x: Any) -> Any:
        own = x[None]  # one particle, a chain of its own
        _, info = kernel(key, blackjax.mcmc.mala.init(own, log_density), log_density, step)
        return generate_gaussian_noise(jax.random.split(key)[0], own)[0], info.acceptance_rate

    noise, acceptance = jax.jit(jax.vmap(adjusted))(jax.random.split(jax.random.key(1), len(d["x"])),
                                                   d["near"] * d["x"])
    return {"noises": jnp.stack(noises), "path": jnp.stack(path), "mala.noise": noise, "mala.acceptance": acceptance}


def gradients(d: dict[str, Any]) -> dict[str, Any]:
    conv, f, g = (parts_of(d, name) for name in ("conv", "f", "g"))
    sigma, beta = float(d["sigma"]), float(d["c"]) * float(d["delta"]) ** 2 / 2
    found = {"score": jax.jit(conv_score)(conv, d["x"]),
             "slope": jax.jit(jax.grad(lambda x: energy(conv_score, conv, x, sigma)))(d["x"])}
    for name, both in (("synthesis", False), ("both", True)):
        loss = jax.jit(jax.value_and_grad(lambda p, both=both: jko_loss(
            conv_score, p, d["x"], d["x_data"], sigma, beta, both)))
        found[f"{name}.loss"], by = loss(conv)
        found |= named(name, by)
    found["hidden.loss"], by = jax.jit(jax.value_and_grad(lambda p: hidden_loss(p, g, d["z"], d["plane"], beta)))(f)
    found |= named("hidden", by)
    found |= named("e11", jax.jit(jax.grad(lambda p: -jnp.mean(mlp_score(f, mlp(p, d["z"])))))(g))
    found |= named("e10", jax.jit(jax.grad(lambda p: squares(d["plane"] - mlp(p, d["z"]))))(g))
    return found


def updates(d: dict[str, Any]) -> dict[str, Any]:
    """Optax's Adam on E6, through the particles and data of the updates that our loop made."""
    parts, sigma, beta = parts_of(d, "start"), float(d["sigma"]), float(d["c"]) * float(d["delta"]) ** 2 / 2
    adam = optax.adam(float(d["lr"]), b1=float(d["beta1"]), b2=float(d["beta2"]))
    state = adam.init(parts)

    @jax.jit
    def update(parts: Parts, state: Any, x: Any, x_data: Any) -> tuple[Parts, Any]:
        slope = jax.grad(lambda p: jko_loss(mlp_score, p, x, x_data, sigma, beta))
        change, state = adam.update(slope(parts), state)
        return optax.apply_updates(parts, change), state

    for x, x_data in zip(d["made"], d["seen"], strict=True):
        parts, state = update(parts, state, x, x_data)
    return named("end", parts)


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_disable_most_optimizations", True)  # compiling takes longer than what is compiled
    given = {name: jnp.asarray(array) for name, array in np.load(sys.argv[1]).items()}
    made = chains(given) | gradients(given) | updates(given)
    np.savez(sys.argv[2], **{name: np.asarray(array) for name, array in made.items()})
