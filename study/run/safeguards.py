"""What keeps a worker's process exact, and from hanging or dying without a word. Imports torch when asked."""

from __future__ import annotations

import ctypes
import faulthandler
import os
from collections.abc import Iterator
from contextlib import contextmanager

ALLOC_FAILED = ("CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED", "CUSOLVER_STATUS_ALLOC_FAILED",
                "CUSPARSE_STATUS_ALLOC_FAILED", "CUFFT_ALLOC_FAILED", "CUDA error: out of memory")
MMAP_THRESHOLD, ALLOCATOR = -3, {-1: 2**31 - 1, -2: 2**28}  # of glibc; M_TRIM_THRESHOLD and M_TOP_PAD, in bytes
STDERR = 2  # its descriptor: what stands for it in Python may be no file


def exact_on_gpu() -> None:
    """fp32 means fp32: cuDNN's default is TF32 in convolutions, and kernels that differ from run to run."""
    import torch

    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.deterministic = True


def keep_freed_memory() -> None:
    """Let glibc keep what a step of a chain frees for the next one, which else fetches its pages from the system anew:
    a fifth of the time of images of 32 pixels. The process then stays as large as it has been. Nothing on other C
    libraries."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is not None and mallopt(MMAP_THRESHOLD, 2**30):  # an older one refuses it, and is left as it is
        for option, value in ALLOCATOR.items():
            mallopt(option, value)


@contextmanager
def watched(patience: float | None) -> Iterator[None]:
    """End this process, with its stacks on stderr, if the block takes longer. The clock is a thread outside of Python,
    which no lock and no call into a driver holds up; to Ray the worker has died, and its unit goes on elsewhere."""
    if patience is None:
        yield
        return
    faulthandler.dump_traceback_later(patience, exit=True, file=STDERR)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


def is_out_of_memory(error: Exception) -> bool:
    """Python's and CUDA's own classes; torch's allocator for the CPU, and cuBLAS, cuDNN and their like for their work
    space, raise a plain RuntimeError with its name."""
    import torch

    said = str(error)
    return (isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "DefaultCPUAllocator" in said
            or any(name in said for name in ALLOC_FAILED))
