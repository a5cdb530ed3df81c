"""What networks are made of, with a replicate axis: R networks of one shape, trained at once, never touching.

Every parameter has a leading axis R. How a layer runs (`grouped` in one kernel, or a `loop` over replicates) changes
time, not results beyond rounding. SiLU, not a ReLU: the gauge kappa needs a second derivative in x.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, normalize

from models.networks.held import FEW_CHANNELS, FewChannels, Held, Part, Pixels, by_autograd, in_bf16

Fuse = Literal["grouped", "loop"]
NORMAL_SD = 0.02
SHORTCUTS = {"held": ("forward",), "in_matrices": ("forward", "apply_grouped", "upsampled", "_responses")}


class Layer(nn.Module):
    """A weight (R, out, in, ...) and a bias (R, out), uniform within 1 / sqrt(fan_in), from each replicate's generator.

    With `spectral`, the weight is divided by its largest singular value, followed by one power iteration an update
    (`follow_spectrum`); the left vector is a buffer, so that a checkpoint holds it.
    """

    def __init__(self, shape: Sequence[int], fan_in: int, out: int, generators: Sequence[torch.Generator],
                 dtype: torch.dtype, spectral: bool = False) -> None:
        super().__init__()
        bound = 1 / math.sqrt(fan_in)

        def draw(*size: int) -> Tensor:
            return each(torch.rand, generators, size)

        self.weight = nn.Parameter(((2 * draw(*shape) - 1) * bound).to(dtype))
        self.bias = nn.Parameter(((2 * draw(out) - 1) * bound).to(dtype))
        self.left: Tensor | None
        self.register_buffer("left", normalize(draw(shape[0]) - 0.5, dim=-1).to(dtype) if spectral else None)
        self._find_spectrum()

    @torch.no_grad()
    def begin_normal(self, sd: float | None, generators: Sequence[torch.Generator]) -> None:
        """Begin at normal weights of this standard deviation (None: Xavier's) and biases of 0 instead."""
        if sd is None:
            out, into = self.weight[0].shape[:2]
            sd = math.sqrt(2 / ((out + into) * self.weight[0, 0, 0].numel()))
        self.weight.copy_(sd * each(torch.randn, generators, self.weight.shape[1:]))
        self.bias.zero_()
        self._find_spectrum()

    def _find_spectrum(self) -> None:
        for _ in range(10):
            self.follow_spectrum()

    def _right(self) -> Tensor:
        assert self.left is not None
        return normalize(torch.einsum("roi,ro->ri", self.weight.detach().flatten(2), self.left), dim=-1)

    def follow_spectrum(self, alive: Tensor | None = None) -> None:
        """One power iteration for the largest singular value of the weight, flattened to (R, out, rest)."""
        if self.left is not None:
            left = normalize(torch.einsum("roi,ri->ro", self.weight.detach().flatten(2), self._right()), dim=-1)
            self.left = left if alive is None else torch.where(alive.unsqueeze(1), left, self.left)

    def effective(self) -> Tensor:
        """The weight that the layer applies."""
        if self.left is None:
            return self.weight
        with torch.autocast(self.weight.device.type, enabled=False):  # what is sampled is what is trained
            top = torch.einsum("ro,roi,ri->r", self.left, self.weight.flatten(2), self._right())
        return self.weight / top.reshape(-1, *[1] * (self.weight.dim() - 1))


def each(draw: Callable[..., Tensor], generators: Sequence[torch.Generator], size: Sequence[int]) -> Tensor:
    """`torch.rand` or `torch.randn` of this size from each generator, (R, *size); the same for every dtype."""
    return torch.stack([draw(*size, generator=g, dtype=torch.float64) for g in generators])


class Network(nn.Module):
    """Maps (R, n, *in) to (R, n, *out), replicate by replicate."""

    def __init__(self, layers: Iterable[Layer]) -> None:
        super().__init__()
        self.stack = nn.ModuleList(layers)

    if TYPE_CHECKING:  # torch says of no module what a call returns
        def __call__(self, x: Tensor) -> Tensor: ...

    @property
    def layers(self) -> list[Layer]:
        """From the input up."""
        return [layer for layer in self.stack if isinstance(layer, Layer)]

    def follow_spectrum(self, alive: Tensor) -> None:
        """Once an update: let every layer's power iteration follow its weight, where the replicate lives."""
        for layer in self.layers:
            layer.follow_spectrum(alive)

    def parts(self) -> list[Part]:
        """(weight, bias) of every layer, as applied."""
        return [(layer.effective(), layer.bias) for layer in self.layers]

    def begin(self, init: str, generators: Sequence[torch.Generator]) -> Self:
        """This network, its layers begun as the knob `init` says; they are made `uniform`."""
        for layer in self.modules() if init != "uniform" else ():
            if isinstance(layer, Layer):
                layer.begin_normal(NORMAL_SD if init == "normal" else None, generators)
        return self

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """A shortcut is not inherited past the functions that it stands for: it would be that of another network."""
        super().__init_subclass__(**kwargs)

        def nearness(name: str) -> int:
            return next((k for k, c in enumerate(cls.__mro__) if name in vars(c)), len(cls.__mro__))

        for shortcut, functions in SHORTCUTS.items():
            if min(map(nearness, functions)) < nearness(shortcut) < len(cls.__mro__):
                setattr(cls, shortcut, next(vars(c)[shortcut] for c in reversed(cls.__mro__) if shortcut in vars(c)))

    def held(self, reduced: bool = False) -> Held:
        """The network as it is now, its output and the pullback of it, for a chain. reduced: in bf16.

        A network that knows a faster way than autograd says so beside its `forward`.
        """
        if not reduced:
            return by_autograd(self)

        def rounded(x: Tensor) -> Tensor:
            with torch.autocast(x.device.type, torch.bfloat16):
                return self(x).to(x.dtype)

        return by_autograd(rounded)

    def fixed(self, reduced: bool) -> list[Part]:
        """Its `parts`, held fixed."""
        dtype = torch.bfloat16 if reduced else self.layers[0].weight.dtype
        return [(w.detach().to(dtype), b.detach().to(dtype)) for w, b in self.parts()]

    def hidden(self, x: Tensor) -> list[Tensor]:
        """What every hidden layer makes of x, averaged over pixels, from the input up; each (R, n, channels)."""
        return []


class Score(Network):
    """f: maps (R, n, *shape) to (R, n). What the knob `network` names; its parameters begin with the axis R."""

    Knobs: ClassVar[type | None] = None  # a frozen, keyword-only dataclass of further models.knobs.knob, all by default

    @classmethod
    def shape_problem(cls, shape: Sequence[int]) -> str | None:
        """Why data of this shape, (C, H, W) or (dim,), cannot have it, in a sentence; or None."""
        return None

    @classmethod
    @abstractmethod
    def make(cls, shape: Sequence[int], hp: Any, generators: Sequence[torch.Generator], *, dtype: torch.dtype,
             fuse: Fuse) -> Score:
        """f with the knobs hp (`width`, `spectral_norm`, `score_scale`, its own); a replicate from each generator.

        `init` is not its own affair: whoever made it begins its Layers anew.
        """


def scaled(f: Tensor, scale: float) -> Tensor:
    """f times `score_scale` (E1)."""
    return f if scale == 1 else f * scale


def summed(h: Tensor, part: Part, scale: float) -> Tensor:
    """f: the sum of a linear layer's outputs, times `score_scale`. h: (R, n, features) -> (R, n)."""
    w, b = part
    out: Tensor = torch.baddbmm(b.unsqueeze(1), h, w.transpose(1, 2))
    return scaled(out.squeeze(-1) if out.shape[-1] == 1 else out.sum(-1), scale)


def convolved(h: Tensor, part: Part, replicates: int, stride: int = 1) -> Tensor:
    """h, (n, R C, H, W), after one convolution, every replicate a group; as many pixels, or half of them."""
    if isinstance(part, Pixels) and stride == 1:
        return FewChannels.apply(h, part.weight[0], part.bias[0])  # type: ignore[no-any-return, no-untyped-call]
    w, b = part
    return conv2d(h, merged(w), b.flatten(), stride=stride, padding=(w.shape[-1] - 1) // 2, groups=replicates)


def in_pixels(part: Part) -> Part:
    """A first layer that is held fixed, by its faster pullback where it has one."""
    w, _ = part
    few = (w.device.type == "cpu" and w.shape[0] == 1 and w.dim() == 5 and w.shape[2] <= FEW_CHANNELS
           and w.shape[3] == 3)
    return Pixels(*part) if few else part


def merged(weight: Tensor) -> Tensor:
    """(R, o, ...) -> (R o, ...). A single one keeps its layout, which `flatten` may not."""
    return weight[0] if len(weight) == 1 else weight.flatten(0, 1)


def pooled(h: Tensor, replicates: int) -> Tensor:
    """What a layer made of x, averaged over pixels. h: (n, R C, H, W) -> (R, n, C)."""
    found: Tensor = h.mean((2, 3)).unflatten(1, (replicates, -1)).transpose(0, 1)
    return found


def fuse_for(shape: Sequence[int], device: torch.device | str) -> Fuse:
    """Grouped kernels on a GPU and for tiny images; above 8 pixels a CPU is faster one replicate after another."""
    return "grouped" if torch.device(device).type != "cpu" or len(shape) == 1 or shape[1] <= 8 else "loop"


class ConvNetwork(Network, ABC):
    """Convolutions of R replicates: grouped in one kernel, or one replicate after another."""

    def __init__(self, layers: Iterable[Layer], fuse: Fuse) -> None:
        super().__init__(layers)
        self.fuse = fuse

    @abstractmethod
    def apply_grouped(self, x: Tensor, parts: list[Part]) -> Tensor:
        """The network with these weights, every replicate a group."""

    def forward(self, x: Tensor) -> Tensor:
        return self.applied(x, self.laid_out(self.parts()))

    def laid_out(self, parts: list[Part]) -> list[list[Part]]:
        """The weights of each kernel call: of all replicates, or of each, with channels last, as a CPU likes them."""
        if self.fuse == "grouped":
            return [parts]
        return [[(channels_last(w[r]).unsqueeze(0), b[r:r + 1]) for w, b in parts] for r in range(len(parts[0][0]))]

    def applied(self, x: Tensor, laid_out: list[list[Part]]) -> Tensor:
        if self.fuse == "grouped":
            return self.apply_grouped(x, laid_out[0])
        return torch.cat([self.apply_grouped(x[r:r + 1], parts) for r, parts in enumerate(laid_out)])

    def in_matrices(self, parts: list[Part]) -> Held | None:
        """The network with these weights, its convolutions as matrices, where these are few enough to be faster."""
        return None

    def held(self, reduced: bool = False) -> Held:
        parts = self.fixed(reduced)
        held = self.in_matrices(parts)
        if held is None:
            laid_out = [[in_pixels(one[0]), *one[1:]] for one in self.laid_out(parts)]
            held = by_autograd(lambda x: self.applied(x, laid_out))
        return in_bf16(held) if reduced else held


def channels_last(weight: Tensor) -> Tensor:
    """A convolution's weight in the layout in which its kernel runs, (o, i, k, k); another's as it is."""
    return weight.to(memory_format=torch.channels_last) if weight.dim() == 4 else weight
