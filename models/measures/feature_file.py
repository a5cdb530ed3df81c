"""A feature extractor from a file that the user gives: Inception, DINOv2, CLIP or any other network. Never fetched.

The file is an archive of `torch.export.save` and holds the whole network, exported in eval mode with a free number of
rows: images (n, channels, size, size) to features (n, d). For a torchvision Inception, say, in its own environment:

    rows = {0: torch.export.Dim("n")}
    torch.export.save(torch.export.export(net.eval(), (images,), dynamic_shapes=(rows,)), "inception.pt2")
"""

from __future__ import annotations

import hashlib
import io
import logging
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

TAKEN = ("clf64", "ssl64", "rnd64", "pixels")  # names of spaces that are always there


@dataclass(frozen=True, kw_only=True)
class FeatureFile:
    """Which file, and what it wants to see. Data become (v - mean) / sd, v in [0, 1] from black to white,
    grey images repeated over `channels`, resized (bilinear, antialiased) to `size` pixels a side."""

    path: str
    sha256: str
    size: int
    channels: int = 3
    mean: tuple[float, ...] = (0.5,)  # one number, or one a channel; .5 and .5 leave [-1, 1]
    sd: tuple[float, ...] = (0.5,)

    @property
    def name(self) -> str:
        """What measures call it: the file's stem in lower case, `fd_<name>_<n>`."""
        return re.sub(r"[^a-z0-9]+", "-", Path(self.path).stem.lower()).strip("-")


    @classmethod
    def of(cls, spec: Mapping[str, Any]) -> FeatureFile:
        """From `evaluation.features` of a spec."""
        return cls(path=spec["file"], sha256=spec["sha256"], size=spec["size"], channels=spec["channels"],
                   mean=tuple(spec["mean"]), sd=tuple(spec["sd"]))


@dataclass(frozen=True, eq=False)
class FileExtractor:
    """The network of a FeatureFile, in the place of features.Extractor. Features are as the network gives them,
    not standardised, in its own precision: machines agree to single precision only."""

    name: str
    dim: int
    network: Callable[[Tensor], Tensor]
    file: FeatureFile
    extent: tuple[float, float]

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """images: (n, C, H, W) in extent, C = 1 or `channels`. Returns (n, dim) float64."""
        if images.ndim != 4 or images.shape[1] not in (1, self.file.channels):
            raise ValueError(f"{self.name}: found images of shape {images.shape[1:]}, expected 1 or "
                             f"{self.file.channels} channels")
        parts = [_run(self.network, self.file, images[i:i + 64], self.extent) for i in range(0, len(images), 64)]
        return np.concatenate(parts) if parts else np.empty((0, self.dim))


def own_extractor(spec: Mapping[str, Any] | None, extent: tuple[float, float]) -> FileExtractor | None:
    """That of `evaluation.features`; None where a spec has none. Raises as `from_file`."""
    return None if spec is None else from_file(FeatureFile.of(spec), extent)


def from_file(file: FeatureFile, extent: tuple[float, float] = (-1.0, 1.0)) -> FileExtractor:
    """Open the file and try it on two black images. extent: what black and white are in the data.

    **An archive is a program: opening and running it runs what its maker wrote.** The checksum says that it is the
    file that was meant, not that it is harmless. Raises ValueError where the checksum differs, the archive cannot be
    opened, or the network does not give one row of finite features an image; OSError where there is no such file.
    """
    if file.name in ("", *TAKEN):
        raise ValueError(f"{file.path}: found the name {file.name!r}, expected one other than {', '.join(TAKEN)}")
    raw = Path(file.path).read_bytes()
    found = hashlib.sha256(raw).hexdigest()
    if found != file.sha256.lower():
        raise ValueError(f"{file.path}: found sha256 {found}, expected {file.sha256}")
    for what, values in (("mean", file.mean), ("sd", file.sd)):
        if len(values) not in (1, file.channels):
            raise ValueError(f"{file.path}: found {len(values)} values of {what}, expected 1 or {file.channels}")
    try:
        with _silent(logging.getLogger("torch.export")):  # it logs a traceback, to which its error then points
            network = torch.export.load(io.BytesIO(raw)).module()
    except Exception as error:  # what torch raises here is not documented, and differs between versions
        raise ValueError(f"{file.path}: not an archive of torch.export.save that torch {torch.__version__} opens; a "
                         "file of torch.save or torch.jit.save is none") from error
    black = np.full((2, file.channels, file.size, file.size), extent[0], np.float32)
    try:
        two, one = _run(network, file, black, extent), _run(network, file, black[:1], extent)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"{file.path}: the network does not take both 1 and 2 images of {file.channels} x {file.size} "
                         f"x {file.size} ({error}); export it with a free number of rows, "
                         "and say the size and channels that it was exported for") from error
    if two.ndim != 2 or two.shape != (2, one.shape[-1]) or not np.isfinite(two).all():
        raise ValueError(f"{file.path}: found features of shape {two.shape}, finite: {bool(np.isfinite(two).all())}; "
                         "expected finite features (n, d)")
    return FileExtractor(file.name, two.shape[1], network, file, extent)


@contextmanager
def _silent(logger: logging.Logger) -> Iterator[None]:
    was, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = was


def _run(network: Callable[[Tensor], Tensor], file: FeatureFile, images: np.ndarray,
         extent: tuple[float, float]) -> np.ndarray:
    x = (torch.tensor(images, dtype=torch.float32) - extent[0]) / (extent[1] - extent[0])
    x = x.expand(-1, file.channels, -1, -1)
    if x.shape[2:] != (file.size, file.size):
        x = F.interpolate(x, (file.size, file.size), mode="bilinear", antialias=True)
    mean, sd = (torch.tensor(values).reshape(1, -1, 1, 1) for values in (file.mean, file.sd))
    with torch.inference_mode():
        found = network((x - mean) / sd)
    if not isinstance(found, Tensor):
        raise ValueError(f"{file.path}: the network gives a {type(found).__name__}, expected one tensor (n, d)")
    return found.double().numpy()
