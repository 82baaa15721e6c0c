"""From files to two-dimensional images, by the readers of `READERS`.

A file is listed first (`open_pages`, headers only) and its pages are read one by one
(`PageRef.read`), so that a stack larger than memory is no trouble.
"""

import dataclasses
import errno
import functools
import itertools
import math
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from beadseg.data.images import gaps
from beadseg.data.images.pixels import (
    choose_channel,
    project,
    to_grey,
    without_transparent,
)
from beadseg.data.images.readers import Reader, reader_of
from beadseg.data.images.stacks import (
    COLOURS,
    STACKS,
    Channel,
    Plane,
    Stack,
    channel_number,
    names_of_channels,
    page_ends,
    place_of,
)
from beadseg.data.images.units import is_pixel_size
from beadseg.errors import BeadsegError
from beadseg.quoting import printable, reason_of

_SMALLEST = 8  # px
_NEEDED = 8  # bytes for each pixel while its beads are found: 7.5 of 8-bit grey
_OF_GROUP = Path("/sys/fs/cgroup/memory.max")  # of a container, or a job
_MOST = 2**35  # bytes that are used of any machine


class ReadError(BeadsegError):
    """A file, or a page of it, that cannot be used as an image."""


@dataclasses.dataclass(frozen=True)
class PageRef:
    """One image of a file: found, not yet read. Can be pickled and read anywhere."""

    path: Path
    index: int  # of the page in the file, as listed
    name: str  # "NAME", or of several pages "NAME_p000", "NAME_t003_z01": `page_ends`
    shape: tuple[int, int]  # H, W
    pixel_size: float | None  # um
    notes: tuple[str, ...]  # what the user should know of how it was read
    # How to find and join the pixels:
    planes: tuple[Plane, ...] = dataclasses.field(repr=False, default=())
    projection: str = "pages"
    kind: str = "grey"  # "colour", "samples": several numbers a pixel; "beads": labels
    channel: int | None = None  # of them; None: luminance
    number: int | None = None  # of the channel that is read; None: luminance
    # All channels, where there are several.
    channels: tuple[Channel, ...] = dataclasses.field(repr=False, default=())
    # Of a mask: "auto", "none", or its numbers that are kinds of beads.
    classes: str | tuple[int | str, ...] = "auto"
    # Scene, t, z and name of the channel, of files that say them.
    place: tuple[tuple[str, int | str], ...] = ()
    stamp: tuple[int, int] = dataclasses.field(repr=False, default=(0, 0))

    @property
    def where(self) -> str:
        """The words that messages use for this page."""
        several = self.name != file_stem(self.path)
        return printable(f"{self.path} page {self.index}" if several else self.path)

    def of_channel(self, number: int) -> "PageRef":
        """The same place in another of its `channels`."""
        _, planes, sample = self.channels[number]
        return dataclasses.replace(self, planes=planes, channel=sample, number=number)

    def read(self) -> np.ndarray:
        """Returns the pixels [H, W]: integers or floats in native byte order.

        RGB becomes luminance (float32) unless its channels agree; truth values
        become 0 and 1; a mean over z is float32.

        Raises:
          ReadError: the page is damaged, or the file has changed since it was listed.
        """
        return self._join(lambda plane: self._grey(self._read_plane(plane, False)))

    def read_stored(self) -> np.ndarray:
        """Returns [H, W], or [H, W, 3] of RGB, as the file has the numbers.

        For masks: no luminance, no palette (unless it is grey) and no alpha; what is
        transparent is 0, and the rest 1 if its colour is 0 everywhere.

        Raises:
          ReadError: as `read`.
        """

        def load(plane: Plane) -> np.ndarray:
            array = self._read_plane(plane, True)
            colour = array.ndim == 3 and self.kind == "colour" and self.channel is None
            numbers = array[..., :3] if colour else self._grey(array)
            return without_transparent(array, numbers, self.kind)

        return self._join(load)

    def _grey(self, array: np.ndarray) -> np.ndarray:
        return to_grey(array, self.kind, self.channel)

    def _join(self, load: Callable[[Plane], np.ndarray]) -> np.ndarray:
        try:
            if _stamp(self.path) != self.stamp:
                raise ValueError("it has changed since it was listed; start again")
            check_fits(self.shape)
            arrays = map(load, self.planes)
            one = len(self.planes) == 1
            array = next(arrays) if one else project(arrays, self.projection)
            if array.shape[:2] != self.shape:
                raise ValueError(f"it is {array.shape} instead of {self.shape}")
        except Exception as error:  # decoders raise anything on damaged data
            raise ReadError(_line(self.where, error)) from error
        return array

    def _read_plane(self, plane: Plane, stored: bool) -> np.ndarray:
        if plane.problem:
            raise ValueError(plane.problem)
        array = _reader(self.path, self.stamp).read(self.path, plane, stored)
        if array.dtype == bool:
            return array.astype(np.uint8)
        if array.dtype.kind not in "iuf":
            raise ValueError(f"its pixels are {array.dtype}: save it as grey")
        return array.astype(np.float32) if array.dtype == np.float16 else array


def file_stem(path: Path) -> str:
    """NAME of an image file: without its ending, and without `.ome`."""
    stem = Path(path).stem
    return stem[:-4] if stem.lower().endswith(".ome") and len(stem) > 4 else stem


def open_pages(
    path: str | Path,
    *,
    channel: int | str | None = None,
    stack: str = "pages",
    level: int = 0,
) -> list[PageRef]:
    """Lists the images of a file without decoding them.

    What a file is, is decided by its content; what its axes mean, by its metadata.
    Time, positions, and pages without a name are images of their own.

    Args:
      path: a file that one of `READERS` reads.
      channel: of several, by number or name; None: luminance of RGB, else the first.
      stack: "pages": every z is an image; "max", "mean": z (and unnamed pages) are
        projected to one image.
      level: of a pyramid that its reader lists; 0: the full one.

    Returns:
      At least one page. A page that is damaged while others of the file are not is
      listed too, and raises when it is read.

    Raises:
      ReadError: nothing in the file can be read.
    """
    path = Path(path)
    if stack not in STACKS:
        raise ReadError(f"data.stack is {stack!r}: choose pages, max or mean")
    try:
        pages = _list(path, channel, stack, level)
    except Exception as error:  # parsers raise anything on damaged files
        raise ReadError(_line(str(path), error)) from error
    broken = [next((q.problem for q in p.planes if q.problem), "") for p in pages]
    if all(broken):
        raise ReadError(_line(str(path), ValueError(broken[0])))
    stem = file_stem(path)
    by_place = reader_of(path).by_place  # pages of a TIFF have numbers, in any case
    ends = page_ends([dict(page.place) if by_place else {} for page in pages])
    return [
        dataclasses.replace(page, index=i, name=f"{stem}{end}")
        for i, (page, end) in enumerate(zip(pages, ends, strict=True))
    ]


def check_image(array: np.ndarray, where: str, constant: bool = False) -> None:
    """Refuses pixels in which nothing can be seen.

    Args:
      array: [H, W].
      where: the file or page, for the message.
      constant: whether one value everywhere will do: a control shows no bead.

    Raises:
      ReadError: nothing but NaN or infinite pixels, one value everywhere, or under
        8 x 8 px.
    """
    if min(array.shape) < _SMALLEST:
        raise ReadError(
            f"{where}: {array.shape[0]} x {array.shape[1]} px is too small; "
            f"images need {_SMALLEST} x {_SMALLEST} px or more"
        )
    there = gaps.has_data(array)
    known = array if there.all() else array[there]
    if not known.size:
        raise ReadError(
            f"{where}: all pixels are NaN or infinite; export the image again"
        )
    if not constant and known.min() == known.max():
        raise ReadError(
            f"{where}: every pixel is {known.flat[0]}; there is nothing to see, "
            "export the image again or remove it"
        )


def check_fits(shape: tuple[int, int]) -> None:
    """Refuses an image [H, W] that memory cannot hold, before it is decoded.

    The system would end the process while it decodes, and all other images with it.

    Raises:
      ValueError: it does not fit; with both sizes.
    """
    height, width = shape
    needed, there = height * width * _NEEDED, _memory()
    if needed > there:
        raise ValueError(
            f"it has {height} x {width} px, which need {needed / 1e9:.0f} GB of "
            f"memory, more than the {there / 1e9:.0f} there are: cut it into parts"
        )


def _list(
    path: Path, channel: int | str | None, stack: str, level: int
) -> list[PageRef]:
    make = functools.partial(PageRef, path, 0, "", stamp=_stamp(path))
    reader = reader_of(path)
    stacks, missing = reader.scan(path)
    if not stacks:
        raise ValueError(missing or "it holds no image")
    last = max(part.level for part in stacks)
    if not 0 <= level <= last:
        known = f"0 to {last}" if last else "0, the only one"
        raise ValueError(f"it has no level {level}: give {known}")
    stacks = [part for part in stacks if part.level == level]
    pages = []
    for part in stacks:
        planes, chosen, number, notes = _of_channel(part, channel)
        size, odd = _square(part.pixel_size)
        groups = _groups(part.axes, planes, stack)
        every = _every_channel(part, stack) or [()] * len(groups)
        for (index, group), channels in zip(groups, every, strict=True):
            pages.append(
                make(
                    part.shape,
                    size,
                    (*part.notes, *notes, *odd),
                    group,
                    stack,
                    part.kind,
                    chosen,
                    number,
                    channels,
                    place=place_of(part, index, stack),
                )
            )
    damaged = any(plane.problem for page in pages for plane in page.planes)
    if missing and not damaged:
        lost = Plane(problem=missing)
        pages.append(dataclasses.replace(pages[-1], planes=(lost,), place=()))
    return pages


def _every_channel(part: Stack, stack: str) -> list[tuple[Channel, ...]]:
    """For each image of a stack where its channels lie; [] of a single channel."""
    at = _channel_axis(part)
    count = part.sizes[at] if at >= 0 else part.samples
    if count == 1 or at < 0 and part.kind == "grey":
        return []
    given = COLOURS if at < 0 and part.kind == "colour" else part.channels
    found = []
    for number, name in enumerate(names_of_channels(given, count)):
        planes, sample, *_ = _of_channel(part, number)
        groups = _groups(part.axes, planes, stack)
        found.append([Channel(name, group, sample) for _, group in groups])
    return list(zip(*found, strict=True))


def _channel_axis(part: Stack) -> int:
    """Of its axes; -1: channels are in the pixels."""
    at = part.axes.find("C")
    return -1 if at >= 0 and part.sizes[at] == 1 and part.kind != "grey" else at


def _of_channel(part: Stack, channel: int | str | None):
    """The planes of one channel by their other indices, the sample to take, which."""
    at = _channel_axis(part)
    channel = channel_number(channel, part.channels)
    indices = itertools.product(*(range(n) for n in part.sizes))
    table = list(zip(indices, part.planes, strict=True))
    if at < 0:
        sample, notes = choose_channel(channel, part.samples, part.kind)
        return table, sample, sample, notes
    chosen, notes = choose_channel(channel, part.sizes[at], "samples")
    chosen = chosen or 0
    return [(i, p) for i, p in table if i[at] == chosen], None, chosen, notes


def _groups(names: str, table: list, stack: str):
    """Planes that make an image, one or those that are joined, at the first's index."""
    if stack == "pages":
        return [(index, (plane,)) for index, plane in table]
    groups: dict[tuple, tuple[tuple, list]] = {}
    for index, plane in table:
        keep = tuple(i for i, a in zip(index, names, strict=True) if a not in "ZIQ")
        groups.setdefault(keep, (index, []))[1].append(plane)
    return [(index, tuple(group)) for index, group in groups.values()]


def _square(size: tuple[float, float] | None) -> tuple[float | None, tuple[str, ...]]:
    if size is None:
        return None, ()
    x, y = size
    if not (is_pixel_size(x) and is_pixel_size(y)):
        return None, (f"pixels of {x:.4g} x {y:.4g} um: not used as the pixel size",)
    mean = math.sqrt(x * y)
    if abs(x - y) <= 0.01 * mean:
        return mean, ()
    return mean, (f"pixels are {x:.4g} x {y:.4g} um; using the mean, {mean:.4g} um",)


@functools.cache
def _memory() -> int:
    """Bytes that an image may need: those of the machine, or of the job on it."""
    found = [_MOST]
    try:
        found.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
        found.append(int(_OF_GROUP.read_text()))
    except (AttributeError, ValueError, OSError):  # Windows; no group, or no bound
        pass
    return min(found)


@functools.lru_cache(maxsize=16)
def _reader(path: Path, stamp: tuple[int, int]) -> Reader:
    return reader_of(path)


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _line(where: str, error: Exception) -> str:
    reason, foreign = reason_of(error), False
    if isinstance(error, FileNotFoundError):
        reason = "there is no such file; check the name"
    elif isinstance(error, PermissionError):
        reason = "no permission to read it; change its permissions"
    elif isinstance(error, OSError) and error.errno == errno.ELOOP:
        reason = "its links lead in a circle; name the file itself"
    elif foreign := type(error) is not ValueError:
        reason = f"it is corrupt or of an unsupported type ({reason})"
    # Our own words tell what to do behind a colon or semicolon; a library's never do.
    told = not foreign and (";" in reason or ":" in reason)
    remedy = "" if told else "; copy or export it again"
    return printable(f"{where}: {reason}{remedy}")
