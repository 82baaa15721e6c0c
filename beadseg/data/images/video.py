"""Videos as pages, by FFmpeg (PyAV)."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from beadseg.data.images.handles import close, opened
from beadseg.data.images.stacks import Plane, Stack
from beadseg.data.images.tiff import MOST_PAGES
from beadseg.quoting import counted

_NEAR = 64  # frames ahead that are decoded rather than sought


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
    video = opened(path, _Video.load)
    if not video.number < plane.number <= video.number + _NEAR:
        video.seek(plane)
    video.number = plane.number
    for frame in video.frames:
        time = frame.dts if frame.pts is None else frame.pts
        if time is not None and time >= plane.offset:
            return _pixels(frame)
    close()
    raise ValueError(f"frame {plane.number} is missing")


class _Video:
    """An open video, and how far it has come."""

    def __init__(self, container: Any):
        self.container, self.number = container, math.inf

    @classmethod
    def load(cls, path: Path) -> tuple["_Video", Callable[[], None]]:
        import av

        container = av.open(str(path))
        return cls(container), container.close

    def seek(self, plane: Plane) -> None:
        stream = self.container.streams.video[0]
        self.container.seek(plane.offset, stream=stream)
        self.frames = self.container.decode(stream)


def _pixels(frame: Any) -> np.ndarray:
    if not frame.format.name.startswith("gray"):
        return frame.to_ndarray(format="rgb24")
    deep = frame.format.components[0].bits > 8
    return frame.to_ndarray(format="gray16le" if deep else "gray")
