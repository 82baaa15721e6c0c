"""The file that a thread reads plane by plane, kept open between its planes.

A thread holds one file at most, and lets go of it for the next or when it ends; what a
process has opened is not used by one that was forked from it.
"""

import atexit
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

_thread = threading.local()


class _Handle:
    def __init__(self, key: tuple, content: Any, close: Callable[[], None]):
        self.key, self.content, self._close = key, content, close

    def close(self) -> None:
        close, self._close = self._close, lambda: None
        close()

    __del__ = close


def opened(path: Path, load: Callable[[Path], tuple[Any, Callable[[], None]]]) -> Any:
    """What `load` gave for a file, loaded anew when the file or the thread is another.

    Args:
      path: the file.
      load: opens it; gives what is kept, and how to close it.
    """
    status = path.stat()
    key = path, status.st_size, status.st_mtime_ns, load, os.getpid()
    handle = getattr(_thread, "handle", None)
    if handle is None or handle.key != key:
        close()
        handle = _thread.handle = _Handle(key, *load(path))
    return handle.content


def close() -> None:
    """Lets go of the file that this thread has read."""
    handle, _thread.handle = getattr(_thread, "handle", None), None
    if handle is not None:
        handle.close()


atexit.register(close)
