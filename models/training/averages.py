"""Averages of a network's weights over the updates: what is sampled and measured, at no cost to what trains."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from models.networks.layers import Network


def average(network: Network) -> Network:
    """A copy that `follow` moves, without gradients."""
    found = copy.deepcopy(network)
    return found.requires_grad_(False)


@torch.no_grad()
def follow(averaged: Network, network: Network, half_life: float, update: int, alive: Tensor) -> None:
    """mean <- mean + w (weights - mean), w = max(1 - 2^(-1 / half_life), 1 / update), of the living replicates.

    Until they are older than the half-life they are plain means, so the first weights have no say of their own. update:
    its number, from 1. half_life: in updates. Directions of a spectral norm are those of the network now.
    """
    weight = max(1 - 2 ** (-1 / half_life), 1 / update)
    for mean, now in zip(averaged.parameters(), network.parameters(), strict=True):
        mask = alive.reshape(-1, *[1] * (mean.dim() - 1))
        mean.copy_(torch.where(mask, torch.lerp(mean, now, weight), mean))
    for held, last in zip(averaged.buffers(), network.buffers(), strict=True):
        held.copy_(last)
