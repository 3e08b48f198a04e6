"""How a process keeps its memory between two tensors."""

from __future__ import annotations

import ctypes
import sys

# Parameters of glibc's mallopt, from malloc.h.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX, _ARENA_MAX = -1, -2, -4, -8


def keep_memory() -> bool:
    """Let this process keep freed memory for the next tensor; returns whether that was possible (glibc only).

    By itself glibc gives every large block back when it is freed, and the system hands out the next one page by page,
    filled with zeros: a training step, which takes and frees hundreds of megabytes of feature maps, is a fifth slower
    for it (`python -m eval.bench.memory`). The process stays at its peak size instead. For entry points: a library
    does not decide on its host's allocator.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # another C library than glibc
        return False
    wanted = ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, 2**31 - 1), (_TOP_PAD, 64 * 2**20), (_ARENA_MAX, 1))
    return all([mallopt(name, value) for name, value in wanted])
