"""Videos as pages, by FFmpeg (PyAV)."""

import threading
from pathlib import Path
from typing import Any

import numpy as np

from beadseg.data.images.stacks import Plane, Stack
from beadseg.data.images.tiff import MOST_PAGES
from beadseg.quoting import counted

_NEAR = 64  # frames ahead that are decoded rather than sought
_open = threading.local()  # the video that a thread reads, and how far it has come


def scan_av(path: Path) -> list[Stack]:
    """Every frame, found by its time without decoding.

    Raises:
      ValueError: it holds no pictures, or too many.
    """
    import av

    with av.open(str(path)) as container:
        if not container.streams.video:
            raise ValueError("it holds no pictures: name a video")
        stream = container.streams.video[0]
        times = [
            packet.dts if packet.pts is None else packet.pts
            for packet in container.demux(stream)
            if packet.size
        ]
        shape = stream.height, stream.width
        grey = (stream.pix_fmt or "").startswith("gray")
    times = sorted(time for time in times if time is not None)
    if not times or len(times) > MOST_PAGES:
        raise ValueError(
            f"it holds {counted(len(times), 'frame')} that can be found: save 1 to "
            f"{MOST_PAGES}"
        )
    planes = [Plane(number=i, offset=time) for i, time in enumerate(times)]
    kind = ("grey", 1) if grey else ("colour", 3)
    return [Stack("T", (len(planes),), planes, shape, *kind, None)]


def read_av(path: Path, plane: Plane) -> np.ndarray:
    """[H, W] of a grey video, else [H, W, 3]."""
    key = path, path.stat().st_mtime_ns
    number = getattr(_open, "number", -1)
    if getattr(_open, "key", None) != key or not (
        number < plane.number <= number + _NEAR
    ):
        _seek(key, plane)
    for frame in _open.frames:
        time = frame.dts if frame.pts is None else frame.pts
        if time is not None and time >= plane.offset:
            _open.number = plane.number
            return _pixels(frame)
    close()
    raise ValueError(f"frame {plane.number} is missing")


def close() -> None:
    """Lets go of the video that this thread has read."""
    if getattr(_open, "key", None):
        _open.key = None
        _open.container.close()


def _seek(key: tuple[Path, int], plane: Plane) -> None:
    import av

    if getattr(_open, "key", None) != key:
        close()
        _open.container = av.open(str(key[0]))
        _open.key = key
    stream = _open.container.streams.video[0]
    _open.container.seek(plane.offset, stream=stream)
    _open.frames = _open.container.decode(stream)


def _pixels(frame: Any) -> np.ndarray:
    if not frame.format.name.startswith("gray"):
        return frame.to_ndarray(format="rgb24")
    deep = frame.format.components[0].bits > 8
    return frame.to_ndarray(format="gray16le" if deep else "gray")
