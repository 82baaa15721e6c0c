"""Arrays larger than memory, in files without a name."""

import math
import mmap
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

LARGE = 2**25  # px of an image whose maps and labels lie on disk
KEPT = 2**26  # bytes that are used before what is in memory is let go


def is_large(shape: tuple[int, ...]) -> bool:
    """Whether an image is predicted in bands."""
    return math.prod(shape) >= LARGE


class Scratch:
    """An array of zeros on disk, read and written in parts as an array in memory.

    Parts are copies. The file is gone when the object is, or the process.
    """

    def __init__(self, folder: Path, shape: tuple[int, ...], dtype: type):
        """Raises OSError if the disk has no room for all of it."""
        self.shape, self.dtype = shape, np.dtype(dtype)
        size = math.prod(shape) * self.dtype.itemsize
        with tempfile.TemporaryFile(dir=folder) as file:
            if hasattr(os, "posix_fallocate"):  # now, not in the middle of the work
                os.posix_fallocate(file.fileno(), 0, size)
            else:
                file.truncate(size)
            self._map = mmap.mmap(file.fileno(), size)
        self._array = np.frombuffer(self._map, self.dtype).reshape(shape)
        self._used = 0

    def __getitem__(self, key: Any) -> np.ndarray:
        part = np.array(self._array[key])
        self._let_go(part.nbytes)
        return part

    def __setitem__(self, key: Any, values: np.ndarray) -> None:
        self._array[key] = values
        self._let_go(self._array[key].nbytes)

    def _let_go(self, used: int) -> None:
        self._used += used
        if self._used > KEPT and hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)  # it stays in the file
            self._used = 0
