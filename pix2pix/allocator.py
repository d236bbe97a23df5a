"""Memory that the process keeps: large activations are not mapped and given back for every picture."""

from __future__ import annotations

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
_KEPT = 1 << 30


def keep_memory() -> bool:
    """Tell glibc to keep freed memory up to 1 GiB a block; return whether it does.

    By default every large array is mapped anew, and the kernel clears its pages, thousands a picture. Results
    are the same bit for bit. For scripts, before PyTorch draws: a library leaves its caller's process alone.
    Not before a graph is loaded: what loading took and freed, three times the weights, would stay.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        libc = ctypes.CDLL(None)
        libc.gnu_get_libc_version  # noqa: B018  # another libc (musl) has a mallopt that does nothing
        mallopt = libc.mallopt
    except (OSError, AttributeError):
        return False
    mallopt.argtypes, mallopt.restype = (ctypes.c_int, ctypes.c_int), ctypes.c_int
    settings = ((_M_MMAP_THRESHOLD, _KEPT), (_M_TRIM_THRESHOLD, _KEPT))
    taken = [mallopt(name, value) == 1 for name, value in settings]
    return all(taken)
