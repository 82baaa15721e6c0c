"""Where the planes of a TIFF file lie, what they mean, and reading one of them.

Raises ValueError with a reason; `beadseg.data.reading` adds the file and the page.
"""

import itertools
import logging
import math
import re
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import tifffile

from beadseg.data.images.handles import opened
from beadseg.data.images.pixel_size import (
    PixelSize,
    channel_names,
    page_size,
    series_sizes,
)
from beadseg.data.images.pixels import eight_bit, inverted, through_palette
from beadseg.data.images.raster import (
    ORIENTATION,
    jpeg_ends,
    known_orientation,
    turned,
    upright,
)
from beadseg.data.images.stacks import MOST_PAGES, Plane, Stack, check_number
from beadseg.quoting import some_of

# tifffile reports damage to its logger and then goes on; here damage becomes an
# error of its own, and the same words twice only confuse.
logging.getLogger("tifffile").setLevel(logging.CRITICAL + 1)

JPEG = (7, 34892)  # compressions whose segments are JPEG streams
# Photometric interpretations that have no brightness to be read off.
COLOURS = {
    5: "CMYK",
    8: "CIE Lab",
    9: "ICC Lab",
    10: "ITU Lab",
}


def scan(path: Path) -> tuple[list[Stack], str]:
    """Lists the stacks of planes in a file and says what is missing at its end.

    Reads directories only. Series, axes and their order are those that the file's
    metadata give (OME, ImageJ, ...); of a pyramid the full resolution alone counts.
    Pages without such metadata are unnamed pages in file order.
    """
    with _tiff(path) as file:
        offsets, missing = _directories(file)
        _check_promise(file)
        try:
            # tifffile may follow a chain that leads back into itself for ever.
            series = [] if missing == _CIRCLE else file.series
        except Exception:  # tifffile raises anything on damaged metadata
            series = []
        # "generic" sorts pages by shape and takes any half-size page for a pyramid
        # level, so files without metadata are listed page by page here.
        named = [s for s in series if s.kind not in ("generic", "uniform")]
        if named and len(named) == len(series):
            about = zip(
                *(series, series_sizes(file, len(series))),
                channel_names(file, len(series)),
                strict=True,
            )
            stacks = [
                _of_series(file, *one)
                for one in about
                if not (one[0].keyframe.is_reduced or one[0].keyframe.is_mask)
            ]
            check_number(sum(len(s.planes) for s in stacks))
            stacks = [s for s in stacks if s.planes]
            return _with_scenes(file, stacks), missing
        stacks = _by_directory(file, offsets)
        found = sum(len(s.planes) for s in stacks)
        promised = (file.imagej_metadata or {}).get("images", 1)
        if not missing and promised > found:
            missing = f"the file holds {found} of the {promised} images it lists"
        return stacks, missing


def _tiff(path: Path) -> tifffile.TiffFile:
    """An open file; one with the name of a Hamamatsu slide alone has plain offsets."""
    with suppress(Exception):  # read as a slide, a plain file raises anything
        file = tifffile.TiffFile(path)
        if not file.tiff.is_ndpi or file.is_ndpi:
            return file
        file.close()
    return tifffile.TiffFile(path, is_ndpi=False)


def read_plane(path: Path, plane: Plane, stored: bool) -> np.ndarray:
    """Returns [H, W] or [H, W, S]; `stored` keeps palette indices as they are."""
    if plane.number:  # of many pages: the file stays open for the next
        return opened(path, _open).read(plane, stored)
    with _tiff(path) as file:
        return _Open(file).read(plane, stored)


def _open(path: Path) -> tuple["_Open", Callable[[], None]]:
    file = _tiff(path)
    return _Open(file), file.close


class _Open:
    """An open file, and the directory that was read last: many planes may share it."""

    def __init__(self, file: tifffile.TiffFile):
        self.file, self.directory, self.page = file, None, None

    def read(self, plane: Plane, stored: bool) -> np.ndarray:
        if self.directory != plane.directory:
            self.file.filehandle.seek(plane.directory)
            self.page = tifffile.TiffPage(self.file, plane.number)
            self.directory = plane.directory
        return _read(self.file, self.page, plane, stored)


def _read(
    file: tifffile.TiffFile, page: tifffile.TiffPage, plane: Plane, stored: bool
) -> np.ndarray:
    handle = file.filehandle
    if plane.offset is not None:
        code = file.byteorder + page.dtype.char
        array = handle.read_array(code, math.prod(plane.block), plane.offset)
    elif problem := _damage(page, handle.size)[0]:
        raise ValueError(problem)
    else:
        if page.compression in JPEG:
            _check_jpeg_segments(page)
        array = page.asarray()
    array = _to_plane(array.reshape(plane.block), plane)
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    # ImageJ and tifffile keep the numbers whatever is shown: an inverting LUT
    # changes the look alone, and their masks hold 255, or True, on the objects
    # also where that means black.
    keeps = file.is_imagej or file.pages.first.software.startswith("tifffile")
    if page.photometric == 0 and not keeps:
        array = inverted(array, page.bitspersample)
    elif page.photometric == 3 and not (file.is_imagej or file.is_ome):
        array = through_palette(array, eight_bit(page.colormap.T), stored)
    orientation = _orientation(page)
    return array if orientation == 1 else upright(array, orientation)


def _orientation(page: tifffile.TiffPage) -> int:
    """How viewers turn the page; ImageJ, which writes none, turns nothing."""
    return known_orientation(page.tags.valueof(ORIENTATION))


def _directories(file: tifffile.TiffFile) -> tuple[list[int], str]:
    """Offsets of the chained directories, and how the chain is broken, if it is."""
    handle, tiff = file.filehandle, file.tiff
    if file.is_ndpi:  # its offsets need more bits than the format has
        pages = itertools.islice(file.pages, MOST_PAGES + 1)
        offsets = [p.offset for p in pages]
        check_number(len(offsets))
        known = list(dict.fromkeys(offsets))
        return known, "" if len(known) == len(offsets) else _CIRCLE
    handle.seek(8 if tiff.is_bigtiff else 4)
    offsets: dict[int, None] = {}  # in their order; found at once
    while True:
        raw = handle.read(tiff.offsetsize)
        if len(raw) < tiff.offsetsize:
            break
        offset = struct.unpack(tiff.offsetformat, raw)[0]
        if offset == 0:
            return list(offsets), ""
        if offset in offsets:
            return list(offsets), _CIRCLE
        if not 8 <= offset < handle.size:
            break
        handle.seek(offset)
        raw = handle.read(tiff.tagnosize)
        if len(raw) < tiff.tagnosize:
            break
        offsets[offset] = None
        check_number(len(offsets))
        count = struct.unpack(tiff.tagnoformat, raw)[0]
        handle.seek(offset + tiff.tagnosize + count * tiff.tagsize)
    return list(offsets), "the file is cut short or corrupt here and the rest is lost"


def _check_promise(file: tifffile.TiffFile) -> None:
    """Refuses metadata that list more pages than are read; tifffile would list them."""
    for pixels in re.findall(r"<(?:\w+:)?Pixels\b[^>]*>", file.ome_metadata or ""):
        sizes = re.findall(r"\bSize[CTZ]\s*=\s*[\"'](\d{1,18})[\"']", pixels)
        check_number(math.prod(int(size) for size in sizes))


def _of_series(file, series, size: PixelSize, channels: tuple[str, ...]) -> Stack:
    axes, shape = series.axes, series.shape
    key = series.keyframe
    count = math.prod(shape) // max(1, math.prod(key.shape))
    split = next(
        (i for i in range(len(shape) + 1) if math.prod(shape[:i]) == count), None
    )
    if split is None or not {"Y", "X"} <= set(axes[split:]):
        raise ValueError(f"its axes {axes} of sizes {shape} are not understood")
    inner = [i for i in range(len(axes)) if axes[i] not in "YXS"]
    sizes = tuple(shape[i] for i in inner)
    nbytes = math.prod(key.shape) * key.dtype.itemsize
    check_number(math.prod(sizes))
    raw = count > len(series) and series.dataoffset is not None
    pages: dict[int, Plane | None] = {}
    sparse = 0
    planes = []
    for index in itertools.product(*(range(n) for n in sizes)):
        full = dict(zip(inner, index, strict=True))
        k = 0
        for i in range(split):
            k = k * shape[i] + full.get(i, 0)
        if k not in pages:
            if raw:
                start = series.dataoffset + k * nbytes
                cut = start + nbytes > file.filehandle.size
                pages[k] = Plane(
                    key.offset, k, start, problem=_CUT_SHORT if cut else ""
                )
            else:
                pages[k], empty = _of_page(file, series, k)
                sparse += empty
        plane = pages[k]
        if plane is None:  # lies in another file of the set
            planes.append(None)
            continue
        within = tuple(full[i] for i in inner if i >= split)
        planes.append(
            plane._replace(block=tuple(shape[split:]), axes=axes[split:], index=within)
        )
    notes = ()
    names = "".join(axes[i] for i in inner)
    if None in planes:
        planes = [p for p in planes if p is not None]
        names, sizes = "P", (len(planes),)
        notes = ("one file of a set: only the pages in this file are used",)
    plane_shape, turn = _as_shown(key, *(shape[axes.rindex(a)] for a in "YX"))
    kind, samples = _meaning(file, key)
    notes += (*size.notes, *_sparse(sparse), *turn)
    if len(channels) != dict(zip(names, sizes, strict=True)).get("C"):
        channels = ()
    about = (kind, samples, size.size, notes, channels, series.name)
    return Stack(names, sizes, planes, plane_shape, *about)


def _with_scenes(file: tifffile.TiffFile, images: list[Stack]) -> list[Stack]:
    """Several images of OME are scenes, by their names, or by numbers."""
    names = [image.scene for image in images]
    if len(images) == 1 or not file.is_ome:
        names = [""] * len(images)
    elif not all(names) or len(set(names)) < len(names):
        names = [str(number) for number in range(len(names))]
    return [i._replace(scene=name) for i, name in zip(images, names, strict=True)]


_CIRCLE = "the list of its pages leads back into itself here and the rest is lost"
_CUT_SHORT = "the file ends before this page does (cut short)"


def _of_page(file, series, k: int) -> tuple[Plane | None, int]:
    try:
        page = series[k] if k < len(series) else None
    except Exception:
        page = None
    own = file.filehandle.path
    if page is not None and page.parent.filehandle.path != own:
        return None, 0
    if page is None:
        if series.is_multifile:
            return None, 0
        return Plane(number=k, problem="this page is not in the file (cut short)"), 0
    problem, sparse = _damage(page, file.filehandle.size)
    key = series.keyframe
    alike = page.keyframe.hash == key.hash and key.parent.filehandle.path == own
    plain = page.is_final and key.photometric != 3  # no palette of its own
    if alike and plain and not problem:  # the directory of the first page will do
        return Plane(key.offset, page.index, page.dataoffsets[0]), sparse
    return Plane(page.offset, page.index, problem=problem), sparse


def _by_directory(file, offsets: list[int]) -> list[Stack]:
    """Every directory a page; neighbours of one shape and meaning in one stack."""
    entries = []
    for number, offset in enumerate(offsets):
        try:
            file.filehandle.seek(offset)
            page = tifffile.TiffPage(file, number)
            y, x = page.imagelength, page.imagewidth
            if not y * x or page.dtype is None or page.imagedepth > 1:
                raise ValueError("no image or an unknown type of pixel")
            problem, sparse = _damage(page, file.filehandle.size)
            plane = Plane(offset, number, None, page.shape, page.axes, (), problem)
            reduced = page.is_reduced or page.is_mask or _is_preview(page, file)
            size, notes = page_size(page)
            shape, turn = _as_shown(page, y, x)
            notes += (*_sparse(sparse), *turn)
            group = (shape, *_meaning(file, page), size, notes)
        except Exception as error:  # whatever a damaged directory makes it raise
            problem = f"its header is corrupt ({error})"
            if str(error).startswith("its colours"):
                problem = str(error)
            plane = Plane(number=number, problem=problem)
            group, reduced = None, False
        entries.append((plane, group, reduced))
    if not all(reduced for *_, reduced in entries):
        entries = [e for e in entries if not e[2]]
    good = [group for _, group, _ in entries if group is not None]
    stacks = []
    for group, members in itertools.groupby(
        entries, key=lambda e: e[1] or (good[0] if good else None)
    ):
        if group is None:  # not one readable header in the file
            raise ValueError(entries[0][0].problem)
        planes = [plane for plane, *_ in members]
        stacks.append(Stack("I", (len(planes),), planes, *group[:4], group[4]))
    note = _of_sizes([stack.shape for stack in stacks])
    return [stack._replace(notes=(*stack.notes, *note)) for stack in stacks]


def _of_sizes(shapes: list[tuple[int, int]]) -> tuple[str, ...]:
    """What to tell of pages that may be views of one image, not images."""
    different = [f"{y} x {x}" for y, x in dict.fromkeys(shapes)]
    if len(different) == 1:
        return ()
    return (
        f"pages of different sizes ({some_of(different, 3)} px): each is an image of "
        "its own; if they are reduced views of one, save the full one alone",
    )


def _is_preview(page, file) -> bool:
    """Whether a page is the small picture that Olympus SIS puts before its image."""
    maker = str(page.tags.valueof(271, default=""))
    if not maker.startswith("Olympus Soft Imaging") or page.is_sis:
        return False
    return any(other.is_sis for other in file.pages)


def _damage(page, file_size: int) -> tuple[str, int]:
    """What keeps a page from being read, and how many of its segments are empty."""
    key = page.keyframe
    offsets, counts = page.dataoffsets, page.databytecounts
    if not offsets or not any(counts):
        return "it holds no pixels (writing it was never finished)", 0
    if key.is_contiguous:
        end = offsets[0] + key.nbytes
    else:
        end = max(o + n for o, n in zip(offsets, counts, strict=False))
        if len(offsets) < math.prod(key.chunked):
            return "some of its strips or tiles are missing", 0
    return (_CUT_SHORT if end > file_size else ""), sum(not n for n in counts)


def _as_shown(page, height: int, width: int) -> tuple[tuple[int, int], tuple[str, ...]]:
    return turned((height, width), _orientation(page), "TIFF")


def _sparse(count: int) -> tuple[str, ...]:
    return (f"{count} empty strips or tiles read as 0",) if count else ()


def _meaning(file, page) -> tuple[str, int]:
    """Kind and number of the samples of a pixel, alpha not counted."""
    photometric, samples = page.photometric, page.samplesperpixel
    if photometric == 3:
        return ("grey" if file.is_imagej or file.is_ome else "colour"), 3
    if photometric in (2, 6) and samples >= 3:
        return "colour", 3
    if photometric in COLOURS:
        raise ValueError(
            f"its colours are {COLOURS[photometric]}: save it as grey or RGB"
        )
    alpha = sum(int(e) in (1, 2) for e in page.extrasamples)
    samples = max(1, samples - alpha)
    return ("grey" if samples == 1 else "samples"), samples


def _check_jpeg_segments(page) -> None:
    handle = page.parent.filehandle
    for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False):
        if count:
            handle.seek(offset)
            if not jpeg_ends(handle.read(count)):
                raise ValueError("its JPEG data is cut short or corrupt")


def _to_plane(array: np.ndarray, plane: Plane) -> np.ndarray:
    index = iter(plane.index)
    array = array[tuple(slice(None) if a in "YXS" else next(index) for a in plane.axes)]
    left = [a for a in plane.axes if a in "YXS"]
    return array.transpose([left.index(a) for a in "YXS" if a in left])
