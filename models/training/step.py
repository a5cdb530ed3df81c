"""One update, the same for every method: sample, one step of f, one step of g on the same z and x (E12's order); with
`redraw` g first, then f on chains that run again.

State is what the next update needs, and exactly what a checkpoint holds. Info is what a person needs.
A replicate that diverges is frozen before the step that would have spoilt it (where g's loss alone breaks, f has
stepped already; with `redraw` g has stepped before f's loss is known); the others never notice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from models.data.data import Data, Space
from models.methods.method import Draw, FlowLoss, Lesson, Method, Networks
from models.methods.schedules import rate
from models.networks.choice import score_network
from models.networks.layers import Network, fuse_for
from models.networks.upsampler import upsampler_network
from models.noise import Noise, generators_for
from models.stability.divergence import REASONS, Monitor, observe
from models.training.adam import Adam
from models.training.averages import average, follow
from models.training.batches import batch, rows


@dataclass
class TrainState:
    """Everything the next update needs. `train_step` advances it in place and returns it."""

    update: int  # updates done
    seeds: tuple[int, ...]
    nets: Networks
    averages: Networks | None  # of their weights (`ema`)
    adam_f: Adam
    adam_g: Adam | None
    pool: Tensor | None  # (R, P, *shape of a particle): persistent chains, in x or z
    memory: dict[str, Tensor]  # what the method keeps beside its particles, each with leading R
    noise: Noise
    monitor: Monitor
    gaps: Tensor  # (R, updates): the gap of every update so far, for the verdict; 0 where there was none
    alive: Tensor  # (R,) bool
    diverged_at: Tensor  # (R,) update number (from 1) at which a replicate diverged, -1 where it did not
    reason: Tensor  # (R,) why, an index into models.stability.divergence.REASONS, -1 where it did not

    @property
    def judged(self) -> Networks:
        """What is sampled and measured: the averages, where there are any."""
        return self.nets if self.averages is None else self.averages

    @property
    def device(self) -> torch.device:
        """Where it trains."""
        return self.alive.device

    def tensors(self) -> dict[str, Tensor]:
        """All of it but the generators, by name, each with a leading R; they are the state's own, not copies."""
        found: dict[str, Tensor] = {name: getattr(self, name) for name in ("alive", "diverged_at", "reason", "gaps")}
        found |= {f"monitor.{name}": t for name, t in self.monitor._asdict().items()}
        if self.pool is not None:
            found["pool"] = self.pool
        found |= {f"memory.{name}": t for name, t in self.memory.items()}
        for letter, network in zip(("f", "g"), self.averages or (), strict=False):
            if network is not None:
                found |= {f"average_{letter}.{name}": t for name, t in network.state_dict().items()}
        pairs: list[tuple[str, Network | None, Adam | None]] = [
            ("f", self.nets.f, self.adam_f), ("g", self.nets.g, self.adam_g)]
        for letter, network, adam in pairs:
            if network is None or adam is None:
                continue
            found |= {f"{letter}.{name}": t for name, t in network.state_dict().items()}
            for name, moments in (("first", adam.first), ("second", adam.second)):
                found |= {f"adam_{letter}.{name}.{k}": t for k, t in enumerate(moments)}
        return found


class Info(NamedTuple):
    """What one update shows, each (R,); NaN where there is nothing to show (no g, a chain of one step)."""

    loss: Tensor  # E4 or E6
    gap: Tensor  # (mean F(data) - mean F(particles)) / pooled sd of F, F the log-density without its constant
    sd_f: Tensor  # sd of F over the data
    grad_norm_f: Tensor  # norm of the parameter gradient, before clipping
    penalty: Tensor  # E||grad||^2 of E6
    drift_ratio: Tensor
    clip_fraction: Tensor
    virial: Tensor
    dissipation_first: Tensor
    dissipation_last: Tensor
    acceptance: Tensor
    variance_ratio: Tensor  # variance of the particles over that of the data, averaged over directions
    loss_g: Tensor  # E10 or E11, with E15 and E16
    sd_ratio_g: Tensor  # sd of g(z) over that of the data, z where the chain started


DTYPES = {"fp32": torch.float32, "bf16": torch.float32, "fp64": torch.float64}


def init_state(method: Method, data: Space, seeds: Sequence[int],
               device: torch.device | str = "cpu") -> TrainState:
    """The state before the first update: networks, optimisers, particles and chance of one replicate a seed."""
    hp, dtype = method.hp, DTYPES[method.hp.precision]
    weights = generators_for(seeds, "weights")  # drawn on the CPU, so that every device starts from the same networks
    fuse = fuse_for(method.shape, device)
    f = score_network(method.shape, hp, weights, dtype=dtype, fuse=fuse).to(device)
    g = upsampler_network(method.shape, hp, weights, dtype=dtype, fuse=fuse,
                          extent=data.extent).to(device) if hp.uses_generator else None
    noise = Noise(generators_for(seeds, "chain", device), dtype)
    persistent = getattr(hp, "chain", None) == "persistent"
    rows = (len(seeds),)
    return TrainState(
        update=0, seeds=tuple(seeds), nets=Networks(f, g),
        averages=Networks(average(f), average(g) if g is not None else None) if hp.ema else None,
        adam_f=Adam(f.parameters(), hp.lr_f, (hp.adam_beta1, hp.adam_beta2)),
        adam_g=_adam_of_g(g, hp) if g is not None else None,
        pool=method.reference(noise, hp.particles) if persistent else None,
        memory=method.memory(noise, data.rows), noise=noise,
        monitor=Monitor.start(len(seeds), hp.updates, dtype=dtype, device=device),
        gaps=torch.zeros((len(seeds), hp.updates), dtype=dtype, device=device),
        alive=torch.ones(rows, dtype=torch.bool, device=device),
        diverged_at=torch.full(rows, -1, device=device), reason=torch.full(rows, -1, device=device))


def _adam_of_g(g: Network, hp: Any) -> Adam:
    return Adam(g.parameters(), hp.lr_g, (hp.adam_beta1 if hp.adam_beta1_g is None else hp.adam_beta1_g, hp.adam_beta2))


def train_step(method: Method, data: Data, state: TrainState) -> tuple[TrainState, Info]:
    """One update of every replicate that still lives."""
    method = method.at(state.update + 1)
    hp, nets, noise = method.hp, state.nets, state.noise
    x_data = _carried(batch(data.train, state.seeds, state.update, hp.batch_size), state.device).to(noise.dtype)
    if hp.data_noise:
        x_data = x_data + hp.data_noise * noise.normal(*x_data.shape[1:])
    if hp.flip:
        x_data = _mirrored(x_data, noise)
    waits = getattr(hp, "pretrain", 0)
    lesson = Lesson(x_data, _places(data, state, hp.batch_size), state.memory, noise, state.update - waits)
    if lesson.update < 0:
        return _pretrain(method, state, lesson)
    block = None
    if state.pool is not None:
        turn = lesson.update * hp.batch_size
        block = torch.arange(turn, turn + hp.batch_size, device=state.device) % state.pool.shape[1]
    start = method.start(state.pool, block, x_data, noise)
    if hp.flip and state.pool is not None and start.shape == x_data.shape:
        start = _mirrored(start, noise)
    draw, kept = method.run(nets, start, noise, hp.mcmc_steps)
    state.update += 1
    learned = None
    if redraw := getattr(hp, "redraw", False):
        learned = _teach(method, state, draw, lesson)
        draw, kept = method.run(nets, method.start(state.pool, block, x_data, noise), noise, hp.mcmc_steps)

    flow = method.energy_loss(nets, draw, x_data, noise)
    f_particles = flow.f_negatives
    if hp.negatives_drift:  # the gap is that of the particles: of drifted negatives it would look better than it is
        with torch.no_grad():  # here, for the network that f_data comes from: a step moves f's level on both sides
            f_particles = method.applied(nets.f, draw.x)
    gradients, norm_f = _gradients(flow.loss, nets.f)
    far = _norms(draw.x) / _norms(x_data)
    if draw.z is not None:  # g may bound x; then only z shows that a chain runs away
        far = torch.maximum(far, _norms(draw.z) / draw.z.shape[-1] ** 0.5)
    state.monitor, diverged, reason = observe(state.monitor, finite=flow.loss.isfinite(), update_norm=norm_f,
                                              particle_max=far, data_max=torch.ones_like(far))
    _freeze(state, diverged, reason)
    state.adam_f.step(_clipped(gradients, norm_f, hp.grad_clip), lesson.update + 1, state.alive, rate(hp, state.update))
    nets.f.follow_spectrum(state.alive)

    if not redraw:
        learned = _teach(method, state, draw, lesson)
    if state.pool is not None and block is not None:
        state.pool[:, block] = torch.where(_rows(state.alive, kept), kept, state.pool[:, block])
    _follow(state, hp)
    info = _info(method, nets, draw, x_data, flow, f_particles, norm_f, learned)
    if state.update <= state.gaps.shape[1]:
        state.gaps[:, state.update - 1] = info.gap
    return state, info


def _places(data: Data, state: TrainState, batch_size: int) -> Tensor:
    """Which of the train split an update sees, (R, batch_size); none where no memory is kept of them."""
    found = rows(state.seeds, state.update, batch_size, len(data.train)) if state.memory else np.zeros((1, 0), int)
    return _carried(found, state.device)


def _carried(array: np.ndarray, device: torch.device) -> Tensor:
    """On the device; to a GPU from pinned memory, so that the host need not wait."""
    found = torch.from_numpy(array)
    return found.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else found.to(device)


def _teach(method: Method, state: TrainState, draw: Draw | None, lesson: Lesson) -> Tensor | None:
    """Let g learn, `steps_g` times. Returns the last loss, (R,); None where there is no g, or it is frozen."""
    hp, adam = method.hp, state.adam_g
    factor = rate(hp, state.update) * (1 if draw is None else getattr(hp, "slow_g", 1))
    if adam is None or not factor:
        return None
    learned = None
    for k in range(getattr(hp, "steps_g", 1)):
        learned = method.generator_loss(state.nets, draw, lesson)
        if learned is None:
            return None
        gradients, norm = _gradients(learned, state.nets.upsampler)
        broken = ~(learned.isfinite() & norm.isfinite())
        _freeze(state, broken, torch.full_like(state.reason, REASONS.index("non-finite")))
        number = (state.update - 1) * getattr(hp, "steps_g", 1) + k + 1
        adam.step(_clipped(gradients, norm, hp.grad_clip), number, state.alive, factor)
    return learned


def _pretrain(method: Method, state: TrainState, lesson: Lesson) -> tuple[TrainState, Info]:
    """An update in which f waits."""
    state.update += 1
    learned = _teach(method, state, None, lesson)
    _follow(state, method.hp)
    nan = torch.full(state.alive.shape, torch.nan, dtype=state.noise.dtype, device=state.device)
    z = state.noise.normal(lesson.x_data.shape[1], method.hp.latent_dim)
    ratio = _spread(method.made(state.nets, z)) / _spread(lesson.x_data)
    return state, Info(*[nan] * len(Info._fields))._replace(loss_g=nan if learned is None else learned.detach(),
                                                            sd_ratio_g=ratio)


def _mirrored(images: Tensor, noise: Noise) -> Tensor:
    """Each left to right with probability 1/2. (R, n, C, H, W)."""
    turned = (noise.uniform(images.shape[1]) < 0.5)[..., None, None, None]
    return torch.where(turned, images.flip(-1), images)


def _follow(state: TrainState, hp: Any) -> None:
    """Let the averages follow the weights, where the replicate lives: those of f not while it waits."""
    if state.averages is None:
        return
    if (trained := state.update - getattr(hp, "pretrain", 0)) > 0:
        follow(state.averages.f, state.nets.f, hp.ema, trained, state.alive)
    if state.averages.g is not None:
        follow(state.averages.g, state.nets.upsampler, hp.ema, state.update, state.alive)


@torch.no_grad()
def _info(method: Method, nets: Networks, draw: Draw, x_data: Tensor, flow: FlowLoss,
          f_particles: Tensor, norm_f: Tensor, loss_g: Tensor | None) -> Info:
    data, particles = method.log_density(flow.f_data, x_data), method.log_density(f_particles, draw.x)
    nan, chain = torch.full_like(norm_f, torch.nan), draw.info
    return Info(
        loss=flow.loss.detach(), gap=(data.mean(1) - particles.mean(1)) / ((data.var(1) + particles.var(1)) / 2).sqrt(),
        sd_f=data.std(1), grad_norm_f=norm_f, penalty=flow.penalty, drift_ratio=chain.drift_ratio,
        clip_fraction=chain.clip_fraction, virial=chain.virial, dissipation_first=chain.dissipation_first,
        dissipation_last=chain.dissipation_last, acceptance=chain.acceptance,
        variance_ratio=_spread(draw.x).square() / _spread(x_data).square(),
        loss_g=nan if loss_g is None else loss_g.detach(),
        sd_ratio_g=nan if draw.z_start is None else _spread(method.made(nets, draw.z_start)) / _spread(x_data))


def _spread(points: Tensor) -> Tensor:
    """Root mean square over directions of the standard deviation over particles, (R,)."""
    return points.var(1).flatten(1).mean(1).sqrt()


def _norms(points: Tensor) -> Tensor:
    """The largest norm of a particle of each replicate, (R,)."""
    norm: Tensor = points.flatten(2).norm(dim=-1)
    return norm.amax(1)


def _gradients(loss: Tensor, network: Network) -> tuple[list[Tensor], Tensor]:
    """Gradients of sum_r loss_r, and their norm for each replicate, (R,)."""
    gradients = list(torch.autograd.grad(loss.sum(), list(network.parameters())))
    return gradients, torch.stack([g.flatten(1).square().sum(1) for g in gradients]).sum(0).sqrt()


def _freeze(state: TrainState, diverged: Tensor, reason: Tensor) -> None:
    """Mark replicates that diverged in this update; the first reason stays."""
    new = diverged & state.alive
    state.diverged_at = torch.where(new, state.update, state.diverged_at)
    state.reason = torch.where(new, reason, state.reason)
    state.alive = state.alive & ~new


def _rows(mask: Tensor, like: Tensor) -> Tensor:
    return mask.reshape(-1, *[1] * (like.dim() - 1))


def _clipped(gradients: list[Tensor], norm: Tensor, clip: float | None) -> list[Tensor]:
    """Each replicate's gradient at most `clip` long."""
    return gradients if clip is None else [g * _rows((clip / norm).clamp(max=1.0), g) for g in gradients]
