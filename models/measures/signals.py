"""Whether f still tells data from particles, and whether an update has a direction: taken at evaluations only."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.methods.method import Draw, Method, Networks
from models.networks.layers import Network
from models.noise import Noise

MICRO_BATCHES = 8
EDGE = 1 / 256  # of the range: one grey level of eight bits


@torch.no_grad()
def response_gap(f: Network, x_data: Tensor, x: Tensor, at_once: int) -> Tensor:
    """||E phi(x+) - E phi(x-)|| / sqrt(sum_c var phi_c(x+)) of every hidden layer of f, from the input up.

    phi: a layer's response, averaged over pixels, a number a channel. x_data, x: (R, n, *shape) of any two n. Where
    both have one law its square is 1/n + 1/m on average, not 0. Returns (R, layers).
    at_once: points of each replicate that pass f together.
    """
    def hidden(points: Tensor) -> list[Tensor]:
        return [torch.cat(layer, 1) for layer in zip(*map(f.hidden, points.split(at_once, 1)), strict=True)]

    gaps = [(a.mean(1) - b.mean(1)).norm(dim=-1) / a.var(1).sum(-1).sqrt()
            for a, b in zip(hidden(x_data), hidden(x), strict=True)]
    return torch.stack(gaps, 1) if gaps else x.new_empty((len(x), 0))


def update_snr(method: Method, nets: Networks, draw: Draw, x_data: Tensor, noise: Noise) -> Tensor:
    """||mean g_b|| / (sd g_b / sqrt B): g_b is f's parameter gradient of E4 or E6 on micro-batch b of B = 8.

    sd g_b is the root of the summed variances of all parameters, so the value is about 1 where only chance moves f.
    The micro-batches are equal parts of as many data points and particles as both have, in their order: with
    `batch_size` of them it is the signal to noise of one update. Returns (R,), NaN below 8 points.
    """
    size = min(x_data.shape[1], draw.x.shape[1]) // MICRO_BATCHES
    if not size:
        return torch.full((len(x_data),), torch.nan, dtype=x_data.dtype, device=x_data.device)
    parameters = list(nets.f.parameters())
    total = [torch.zeros_like(p) for p in parameters]
    squares = torch.zeros(len(x_data), dtype=torch.float64, device=x_data.device)
    for b in range(MICRO_BATCHES):
        part = slice(b * size, (b + 1) * size)
        piece = draw._replace(x=draw.x[:, part], point=draw.point[:, part], negatives=draw.negatives[:, part],
                              z_start=None, z=None)
        loss = method.energy_loss(nets, piece, x_data[:, part], noise).loss
        gradients = torch.autograd.grad(loss.sum(), parameters)
        squares += _squared_norm(gradients)
        total = [t + g for t, g in zip(total, gradients, strict=True)]
    mean = _squared_norm([t / MICRO_BATCHES for t in total])
    variance = (squares - MICRO_BATCHES * mean) / (MICRO_BATCHES - 1)
    return (mean / (variance.clamp_min(0) / MICRO_BATCHES)).sqrt()


def _squared_norm(gradients: Any) -> Tensor:
    """Over all parameters of each replicate, (R,), in float64."""
    return torch.stack([g.double().flatten(1).square().sum(1) for g in gradients]).sum(0)


def saturation_excess(samples: NDArray[Any], data: NDArray[Any], extent: tuple[float, float]) -> float:
    """Share of pixel values at the range's edge among samples, less that among data; between -1 and 1.

    At the edge: outside of the range or within 1/256 of its width from an end. samples, data: (n, C, H, W).
    """
    low, high = extent
    margin = EDGE * (high - low)

    def share(x: NDArray[Any]) -> float:
        return float(np.mean((x <= low + margin) | (x >= high - margin)))

    return share(samples) - share(data)
