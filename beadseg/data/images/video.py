"""Videos as pages, by FFmpeg (PyAV)."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from beadseg.data.images.handles import close, opened
from beadseg.data.images.stacks import MOST_PAGES, Plane, Stack
from beadseg.quoting import counted

_NEAR = 64  # frames ahead that are decoded rather than sought


def scan_av(path: Path) -> list[Stack]:
    """Every frame, found by its time; the first alone is decoded, for its turn.

    Raises:
      ValueError: it holds no pictures, or too many.
    """
    import av

    with av.open(str(path)) as container:
        if not container.streams.video:
            raise ValueError("it holds no pictures: name a video")
        stream = container.streams.video[0]
        packets = [
            (packet.dts if packet.pts is None else packet.pts, packet.size)
            for packet in container.demux(stream)
        ]
        packets = [packet for packet in packets if packet[0] is not None]
        times = sorted(time for time, size in packets if size)
        lost = _lost(container, stream, len(packets), times)
        shape = stream.height, stream.width
        if _quarters(_first(container, stream)) % 2:
            shape = shape[::-1]
        grey = (stream.pix_fmt or "").startswith("gray")
    if not times or len(times) > MOST_PAGES:
        raise ValueError(
            f"it holds {counted(len(times), 'frame')} that can be found: save 1 to "
            f"{MOST_PAGES}"
        )
    planes = [Plane(number=i, offset=time) for i, time in enumerate(times)]
    if lost:
        planes.append(Plane(problem=lost))
    kind = ("grey", 1) if grey else ("colour", 3)
    return [Stack("T", (len(planes),), planes, shape, *kind, None)]


def _lost(container: Any, stream: Any, count: int, times: list[int]) -> str:
    """What is missing at the end, by the frames or the duration that the head tells."""
    dropped = False
    if container.format.name == "avi" and times:
        # It counts frames that the camera has dropped, of which nothing is stored.
        longest = max(np.diff(times), default=1)
        dropped = stream.frames - times[-1] <= longest
    if count < stream.frames and not dropped:
        return f"it is cut short: {count} of {stream.frames} frames are there"
    alone = len(container.streams) == 1
    if stream.frames or not (alone and times and container.duration):
        return ""
    whole = (container.duration + (container.start_time or 0)) / 1e6  # s
    ends = float(times[-1] * stream.time_base)
    if not stream.average_rate or ends + 1.5 / stream.average_rate > whole:
        return ""
    return f"it is cut short: its frames end at {ends:.3g} of {whole:.3g} s"


def read_av(path: Path, plane: Plane) -> np.ndarray:
    """[H, W] of a grey video, else [H, W, 3], turned as players show it."""
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


def _first(container: Any, stream: Any) -> Any:
    """The first frame; None: it is damaged, which is said when it is read."""
    import av

    try:
        container.seek(0)
        return next(container.decode(stream), None)
    except av.FFmpegError:
        return None


def _quarters(frame: Any) -> int:
    """Quarters of a turn, to the left, by which a camera says it was held."""
    return 0 if frame is None else round(frame.rotation / 90)


def _pixels(frame: Any) -> np.ndarray:
    return np.rot90(_stored(frame), _quarters(frame))


def _stored(frame: Any) -> np.ndarray:
    if not frame.format.name.startswith("gray"):
        return frame.to_ndarray(format="rgb24")
    deep = frame.format.components[0].bits > 8
    return frame.to_ndarray(format="gray16le" if deep else "gray")
