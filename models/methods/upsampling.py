"""What methods with an upsampler g share: chains that start from a hidden variable, and what g learns from.

g learns where chains ended (E10), or along the potential (E11); beside them it may be kept wide (E16), or anchored to
the data (E14, E15).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from models.knobs import knob
from models.methods.jko import PenaltyKnobs, chosen_flow
from models.methods.method import Draw, Flow, Lesson, Networks
from models.networks.knobs import widths_problem

if TYPE_CHECKING:
    from torch import Tensor

    from models.langevin import Potential, Slope, Value
    from models.noise import Noise

ANCHORED = ("posterior_steps", "posterior_step_size", "posterior_sd", "pretrain")  # knobs that need `anchor`
NEAR = 1e-3  # in units of the data: what lies closer is pushed apart no harder


@dataclass(frozen=True, kw_only=True)
class UpsamplingKnobs(PenaltyKnobs):
    """Of a method with a g."""

    uses_generator: ClassVar[bool] = True
    flow: Literal["kl", "jko"] = knob("jko", "the flow that trains f: E4 or E6", enters=("law", "cost", "conflicts"),
                                      source="the paper")
    latent_dim: int = knob(16, "dimension d of the hidden variable z", low=1)
    network_g: Literal["convnet", "resnet"] = knob(
        "convnet", "g of images: transposed convolutions, or residual blocks between nearest-neighbour upsampling",
        plane="g is an MLP there")
    width_g: int | None = knob(None, "g's `width`; null: that of f", low=1, enters=("conflicts",))
    widths_g: str | None = knob(None, "channels of g's stages, each of twice the pixels of the one before; null: 2w, "
                                "2w, ..., w, from 2 or 3 pixels on", like="256-128-64", plane="g has no stages there",
                                enters=("conflicts",))
    norm_g: Literal["none", "group"] = knob("none", "group: every layer of a convolutional g is normalised over groups "
                                            "of at least 4 channels, without weights of its own",
                                            plane="g has no channels there")
    gain_g: float = knob(1.0, "g of images ends in so many times tanh, so that black and white lie inside of its range",
                         low=1, plane="g is linear at its end")
    lr_g: float = knob(1e-3, "Adam's learning rate of the upsampler g; keep it at or below lr_f", above=0)
    adam_beta1_g: float | None = knob(None, "Adam's first decay of g; null: that of f", low=0, below=1, source="ours")
    steps_g: int = knob(1, "steps of g an update", low=1, enters=("cost",), source="GANs")
    redraw: bool = knob(False, "g learns first; the chains then run again with the new g, and f learns from these: "
                        "twice the chains an update (E12)", enters=("cost", "conflicts"))
    bank: int = knob(0, "pairs (z, x_T) of past updates that E10 draws a batch of; 0: those of this update alone",
                     low=0, enters=("conflicts",))
    anchor: float = knob(0.0, "weight of E15, the reconstruction of data, in the loss of g", low=0,
                         enters=("cost", "conflicts"))
    posterior_steps: int = knob(10, "Langevin steps an update of a data point's z (E14)", low=1,
                               enters=("cost", "conflicts"))
    posterior_step_size: float = knob(0.1, "their step size; the reference alone needs < 2", above=0, below=2,
                                     enters=("conflicts",), source="LEBM")
    posterior_sd: float = knob(0.3, "standard deviation of a data point about g(z), each pixel (E14)", above=0,
                              enters=("conflicts",), source="LEBM")
    entropy: float = knob(0.0, "weight of the entropy of g(z) in the loss of g (E16)", low=0,
                          enters=("cost", "conflicts"), source="VERA, whose estimate is another")
    pretrain: int = knob(0, "of the updates the first so many, in which g learns from data alone (E15) and f waits",
                         low=0, enters=("cost", "conflicts"), source="VAEBM")
    slow_g: float = knob(1.0, "factor of lr_g after them; 0: g is frozen", low=0, enters=("cost", "conflicts"),
                         source="VAEBM, which freezes g")

    def per_particle(self) -> int:
        """Each step of g counts 1, with an entropy 1 more, with an anchor 1 more and the posterior's steps."""
        each = 1 + bool(self.entropy) + (1 + self.posterior_steps if self.anchor else 0)
        again = self.chain_steps() if self.redraw else 0
        return super().per_particle() + again + (self.steps_g * each if self.slow_g else 0)

    def gradients_until(self, update: int) -> int:
        """Without f and its chains while g is pretrained."""
        alone = min(update, self.pretrain)
        return super().gradients_until(update - alone) + alone * self.batch_size * self.steps_g * (
            1 + self.posterior_steps)

    @classmethod
    def conflicts(cls, given: Mapping[str, Any]) -> list[tuple[str, str]]:
        found, now = super().conflicts(given), {name: cls.now(given, name) for name in (
            "anchor", "pretrain", "slow_g", "updates", "bank", "batch_size", "upsampler_loss", "width_g", "widths_g",
            "redraw", "entropy")}
        if now["width_g"] and now["widths_g"]:
            found.append(("width_g", "has no effect with widths_g, which lists the channels of each stage"))
        if not now["anchor"]:
            found += [(name, "has no effect without anchor: g then never sees data; give anchor a weight, such as 1")
                      for name in ANCHORED if given.get(name)]
        elif now["pretrain"] >= now["updates"]:
            found.append(("pretrain", f"found {now['pretrain']}, expected less than updates = {now['updates']}: the "
                                      "rest is for f"))
        if now["slow_g"] != 1 and not now["pretrain"]:
            found.append(("slow_g", "has no effect without pretrain: g is slow or frozen only after it; for a slower g "
                                    "from the start take a smaller lr_g"))
        if now["pretrain"] and not now["slow_g"]:
            found += [(name, "has no effect with slow_g: 0: g is frozen while f learns")
                      for name in ("redraw", "entropy") if now[name]]
        if now["bank"] and now["upsampler_loss"] == "potential":
            found.append(("bank", "has no effect with upsampler_loss: potential, which needs no x_T"))
        elif 0 < now["bank"] < now["batch_size"]:
            found.append(("bank", f"found {now['bank']}, expected 0 or at least batch_size = {now['batch_size']}"))
        return found

    @classmethod
    def shape_conflicts(cls, given: Mapping[str, Any], shape: Sequence[int]) -> list[tuple[str, str]]:
        problem = widths_problem(given.get("widths_g"), shape)
        return super().shape_conflicts(given, shape) + ([("widths_g", problem)] if problem else [])


def regression_loss(nets: Networks, z: Tensor, x: Tensor, size: int | None = None) -> Tensor:
    """E10: E||sg[x_T] - g(z)||^2, summed over a particle; E15 with data for x_T. z: (R, n, d), x: (R, n, *shape); size:
    of pieces. Returns (R,)."""
    from models.methods.pieces import applied

    return (x.detach() - applied(nets.upsampler, z, size, nets.upsampler)).square().flatten(2).sum(-1).mean(1)


def potential_loss(nets: Networks, z: Tensor, size: int | None = None) -> Tensor:
    """E11: -E f(g(z_T)), z_T held fixed. z: (R, n, d); size: of pieces. Returns (R,)."""
    from models.methods.pieces import applied

    return -applied(lambda z: nets.f(nets.upsampler(z)), z, size, nets.upsampler).mean(1)


def entropy(x: Tensor, dim: int) -> Tensor:
    """E16's estimate, without its constants, of points on a surface of `dim` dimensions: dim E log |x - its nearest
    neighbour|, distances below NEAR aside. x: (R, n, *shape), n > 1. Returns (R,)."""
    import torch

    x = x.flatten(2)
    with torch.no_grad():  # by differences: a matrix product rounds away what narrow samples are apart
        apart = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist")
        apart.diagonal(dim1=1, dim2=2).fill_(torch.inf)
        nearest = apart.argmin(-1)
    squared = (x - at_rows(x, nearest)).square().sum(-1)
    return dim / 2 * (squared + NEAR**2).log().mean(1)


def latent_potential(nets: Networks, z: Tensor) -> Tensor:
    """E8: U(z) = ||z||^2 / 2 - f(g(z)). z: (R, n, d). Returns (R, n)."""
    return z.square().sum(-1) / 2 - nets.f(nets.upsampler(z))


def latent_slope(nets: Networks, reduced: bool) -> Slope:
    """E8's potential, and its gradient z - grad f(g(z))."""
    f, g = nets.f.held(reduced), nets.upsampler.held(reduced)

    def found(z: Tensor) -> tuple[Value, Tensor]:
        x, through_g = g(z)
        value, through_f = f(x())
        return lambda: z.square().sum(-1) / 2 - value(), z - through_g(through_f(z.new_ones(z.shape[:2])))

    return found


def posterior_slope(nets: Networks, x: Tensor, sd: float) -> Slope:
    """E14's potential, and its gradient z + (g(z) - x) grad g(z) / sd^2."""
    g = nets.upsampler.held()

    def found(z: Tensor) -> tuple[Value, Tensor]:
        made, through_g = g(z)
        apart = made() - x
        return (lambda: (apart.square().flatten(2).sum(-1) / sd**2 + z.square().sum(-1)) / 2,
                z + through_g(apart / sd**2))

    return found


def posterior_potential(nets: Networks, x: Tensor, sd: float) -> Potential:
    """E14: U(z | x) = ||x - g(z)||^2 / (2 sd^2) + ||z||^2 / 2, whose particles are what z may have made x.

    x: (R, n, *shape); of z (R, n, d) it returns (R, n).
    """
    return lambda z: ((x - nets.upsampler(z)).square().flatten(2).sum(-1) / sd**2 + z.square().sum(-1)) / 2


class Upsampling:
    """A mixin for methods with a g: chains start from a hidden variable, and the flow of f is a knob."""

    hp: Any
    shape: tuple[int, ...]

    def choose_flow(self) -> Flow:
        """E4 or E6."""
        return chosen_flow(self.hp)

    def reference(self, noise: Noise, n: int) -> Tensor:
        """E7: z ~ N(0, I)."""
        return noise.normal(n, self.hp.latent_dim)

    def pair(self, draw: Draw) -> tuple[Tensor, Tensor]:
        """z and x_T of E10."""
        assert draw.z is not None
        return draw.z, draw.x

    def memory(self, noise: Noise, rows: int) -> dict[str, Tensor]:
        """The bank of past pairs, and z of every data point, begun at the reference."""
        hp, found = self.hp, {}
        if hp.bank:
            found = {"bank_z": noise.zeros(hp.bank, hp.latent_dim), "bank_x": noise.zeros(hp.bank, *self.shape)}
        return found | ({"posterior": self.reference(noise, rows)} if hp.anchor else {})

    def generator_loss(self, nets: Networks, draw: Draw | None, lesson: Lesson | None = None) -> Tensor:
        """E10 or E11 of the draw (None: without them), E16 of it and E15 of the lesson, where they have a weight."""
        losses = [] if draw is None else [self._from_chains(nets, draw, lesson)]
        if draw is not None and self.hp.entropy:
            dim = min(self.hp.latent_dim, math.prod(self.shape))
            losses.append(-self.hp.entropy * entropy(self._generated(nets, draw), dim))
        if lesson is not None and self.hp.anchor:
            losses.append(self.hp.anchor * self._from_data(nets, lesson))
        return sum(losses[1:], losses[0])

    def _from_chains(self, nets: Networks, draw: Draw, lesson: Lesson | None) -> Tensor:
        if self.hp.upsampler_loss == "potential":
            assert draw.z is not None
            return potential_loss(nets, draw.z, self.hp.micro_batch)
        z, x = self.pair(draw)
        if lesson is None or not self.hp.bank:
            return regression_loss(nets, z, x, self.hp.micro_batch)
        import torch

        memory, n, done = lesson.memory, x.shape[1], lesson.update * x.shape[1]
        oldest = torch.arange(done, done + n, device=x.device) % self.hp.bank
        memory["bank_z"][:, oldest], memory["bank_x"][:, oldest] = z, x
        which = (lesson.noise.uniform(n) * min(self.hp.bank, done + n)).long()
        z, x = at_rows(memory["bank_z"], which), at_rows(memory["bank_x"], which)
        return regression_loss(nets, z, x, self.hp.micro_batch)

    def _generated(self, nets: Networks, draw: Draw) -> Tensor:
        """g(z), z as E11 or E10 has it of this update."""
        from models.methods.pieces import applied

        z = draw.z if self.hp.upsampler_loss == "potential" else self.pair(draw)[0]
        assert z is not None
        return applied(nets.upsampler, z, self.hp.micro_batch, nets.upsampler)

    def _from_data(self, nets: Networks, lesson: Lesson) -> Tensor:
        """E15: E||x+ - g(z)||^2, z from where E14's chain of this data point stood."""
        from models.langevin import langevin
        from models.methods.pieces import in_pieces

        hp, posterior, which = self.hp, lesson.memory["posterior"], lesson.rows
        size = hp.micro_batch or lesson.x_data.shape[1]
        slopes = [posterior_slope(nets, piece, hp.posterior_sd) for piece in lesson.x_data.split(size, 1)]
        z, _ = langevin(posterior_potential(nets, lesson.x_data, hp.posterior_sd), at_rows(posterior, which),
                        steps=hp.posterior_steps, step_size=hp.posterior_step_size, noise=lesson.noise,
                        slope=in_pieces(slopes, size))
        posterior.scatter_(1, which.unsqueeze(-1).expand_as(z), z)
        return regression_loss(nets, z, lesson.x_data, hp.micro_batch)


def at_rows(values: Tensor, which: Tensor) -> Tensor:
    """Of every replicate the rows named. values: (R, N, ...), which: (R, n) whole numbers. Returns (R, n, ...)."""
    index = which.reshape(*which.shape, *[1] * (values.dim() - 2)).expand(-1, -1, *values.shape[2:])
    return values.gather(1, index)
