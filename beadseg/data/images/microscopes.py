"""Nikon .nd2, Zeiss .czi and Leica .lif by the libraries that read them.

They raise anything on damaged files; `beadseg.data.images.reading` makes a line of it.
"""

import contextlib
import itertools
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np

from beadseg.data.images.handles import opened
from beadseg.data.images.stacks import Plane, Stack, check_number

_LARGE = ("T", "Z", "C")
_MISSING = "the plane is missing"
_LONGEST = 10**7  # px; only a damaged file has a longer side


def _planes(axes: str, sizes: tuple[int, ...], scene: int) -> list[Plane]:
    check_number(math.prod(sizes))
    indices = itertools.product(*map(range, sizes))
    return [Plane(number=scene, axes=axes, index=index) for index in indices]


def scan_nd2(path: Path) -> list[Stack]:
    """One stack for each position of the stage."""
    file = opened(path, _open_nd2)
    sizes = dict(file.sizes)
    shape = sizes.pop("Y"), sizes.pop("X")
    colour, channels = bool(sizes.pop("S", 0)), sizes.pop("C", 1)
    check_number(file.attributes.sequenceCount * channels)
    try:
        found, notes = getattr(file.metadata, "channels", None) or (), ()
    except Exception as error:  # of odd optics the pixels are read all the same
        found, notes = (), (f"no pixel size and names of channels ({error})",)
    names = tuple(one.channel.name for one in found)
    volume = found[0].volume if found else None
    loops = file.loop_indices or ({},)
    stored = _frames_of_nd2(file, path.stat().st_size)
    scenes: dict[int, list[tuple[int, dict[str, int]]]] = {}
    for frame, place in enumerate(loops):
        scenes.setdefault(place.get("P", 0), []).append((frame, place))
    axes = "".join(name for name in sizes if name != "P")
    stacks = []
    for scene, frames in sorted(scenes.items()):
        frames.sort(key=lambda item: [item[1].get(name, 0) for name in axes])
        planes = [
            Plane(
                number=frame,
                axes="C",
                index=(channel,),
                problem="" if stored is None or frame in stored else _MISSING,
            )
            for frame, _ in frames
            for channel in range(channels)
        ]
        stacks.append(
            Stack(
                f"{axes}C",
                (*(sizes[name] for name in axes), channels),
                planes,
                shape,
                "colour" if colour else "grey",
                3 if colour else 1,
                _size_of_nd2(volume),
                notes,
                channels=names if len(names) == channels else (),
                scene=str(scene) if len(scenes) > 1 else "",
            )
        )
    return stacks


def _frames_of_nd2(file: Any, size: int) -> set[int] | None:
    """Numbers of the frames that the file holds; None: its version does not tell.

    The library reads zeros for the others.
    """
    chunks = getattr(getattr(file, "_rdr", None), "chunkmap", None)
    if not chunks:
        return None
    frames = ((re.fullmatch(rb"ImageDataSeq\|(\d+)!", k), v) for k, v in chunks.items())
    return {int(name[1]) for name, (at, _) in frames if name and at < size}


def read_nd2(path: Path, plane: Plane) -> np.ndarray:
    file = opened(path, _open_nd2)
    frame = file.read_frame(plane.number)
    several = file.sizes.get("C", 1) > 1
    return np.array(frame[plane.index[0]] if several else frame)


def _open_nd2(path: Path):
    import nd2

    file = nd2.ND2File(path)
    return file, file.close


def _size_of_nd2(volume: Any) -> tuple[float, float] | None:
    """um; the library says 1 where the file says nothing."""
    if volume is None or not all(volume.axesCalibrated[:2]):
        return None
    x, y = volume.axesCalibration[:2]
    return (x, y) if x > 0 and y > 0 else None


def scan_pylibCZIrw(path: Path) -> list[Stack]:
    """One stack for each scene; tiles of a mosaic are joined."""
    file, box, rectangles = opened(path, _open_czi)
    kinds, about = file.pixel_types, file.metadata
    if len(rectangles) > 1:
        rectangles = {k: r for k, r in rectangles.items() if k is not None}
    image = about.get("ImageDocument", {}).get("Metadata", {})
    names = tuple(str(c.get("@Name", "")) for c in _channels_of_czi(image))
    sizes = tuple(max(1, int(np.subtract(*box.get(a, (0, 1))[::-1]))) for a in _LARGE)
    colour = any("Bgr" in str(kind) for kind in kinds.values())
    return [
        Stack(
            "".join(_LARGE),
            sizes,
            _planes("".join(_LARGE), sizes, -1 if scene is None else scene),
            rectangle[:1:-1],
            "colour" if colour else "grey",
            3 if colour else 1,
            _size_of_czi(image),
            channels=names if len(names) == sizes[-1] else (),
            scene=str(scene) if len(rectangles) > 1 else "",
        )
        for scene, rectangle in rectangles.items()
    ]


def read_pylibCZIrw(path: Path, plane: Plane) -> np.ndarray:
    file, box, rectangles = opened(path, _open_czi)
    place = {
        axis: box[axis][0] + index
        for axis, index in zip(_LARGE, plane.index, strict=True)
        if axis in box
    }
    scene = None if plane.number < 0 else plane.number
    what = {"plane": place, "scene": scene, "roi": rectangles[scene]}
    array = file.read(**what)
    if not (array[::64].any() or array.any()):
        # Black, or not there: then it takes any colour.
        if file.read(**what, background_pixel=(1.0, 1.0, 1.0)).all():
            raise ValueError(_MISSING)
    return array[..., 0] if array.shape[-1] == 1 else array[..., ::-1]  # blue first


def _open_czi(path: Path):
    from pylibCZIrw import czi

    with contextlib.ExitStack() as stack:
        file = stack.enter_context(czi.open_czi(str(path)))
        rectangles = {None: tuple(file.total_bounding_rectangle)}
        scenes = file.scenes_bounding_rectangle
        rectangles |= {scene: tuple(found) for scene, found in scenes.items()}
        return (file, file.total_bounding_box, rectangles), stack.pop_all().close


def _channels_of_czi(image: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found = image.get("Information", {}).get("Image", {}).get("Dimensions") or {}
    channels = (found.get("Channels") or {}).get("Channel") or []
    return channels if isinstance(channels, list) else [channels]


def _size_of_czi(image: Mapping[str, Any]) -> tuple[float, float] | None:
    items = ((image.get("Scaling") or {}).get("Items") or {}).get("Distance") or []
    items = items if isinstance(items, list) else [items]
    metres = {item.get("@Id"): float(item.get("Value") or 0) for item in items}
    x, y = metres.get("X", 0) * 1e6, metres.get("Y", 0) * 1e6
    return (x, y) if x > 0 and y > 0 else None


def scan_liffile(path: Path) -> list[Stack]:
    """One stack for each image of the project; those that are no planes are left."""
    stacks = []
    images = opened(path, _open_lif)
    for number, image in enumerate(images):
        sizes = dict(image.sizes)
        shape = sizes.pop("Y"), sizes.pop("X")
        samples = sizes.pop("S", 1)
        axes, counts = tuple(sizes), tuple(sizes.values())
        names = _channels_of_lif(image.xml_element)
        stacks.append(
            Stack(
                "".join(a if a in _LARGE else "Q" for a in axes),
                counts,
                _planes("".join(axes), counts, number),
                shape,
                "colour" if samples > 2 else "grey",
                samples,
                _size_of_lif(image),
                channels=names if len(names) == sizes.get("C", 1) else (),
                scene=image.name if len(images) > 1 else "",
            )
        )
    return stacks


def read_liffile(path: Path, plane: Plane) -> np.ndarray:
    image = opened(path, _open_lif)[plane.number]
    return np.array(image.frame(**dict(zip(plane.axes, plane.index, strict=True))))


def _open_lif(path: Path):
    import liffile

    with contextlib.ExitStack() as stack:
        file = stack.enter_context(liffile.LifFile(path))
        images = [im for im in file.images if {"Y", "X"} <= set(im.sizes)]
        return images, stack.pop_all().close


def _channels_of_lif(element: Element) -> tuple[str, ...]:
    """Names of channels in the order of their pixels: dye, cube of filters, or colour.

    LAS X keeps the dye as a property of the channel, LAS AF the cube in a list beside.
    """
    image = element.find("Data/Image")
    found = image.findall("ImageDescription/Channels/ChannelDescription")
    beside = [*image.iter("WideFieldChannelInfo")]
    cubes = [one.get("FluoCubeName", "") for one in beside]
    if len(cubes) != len(found):
        cubes = [""] * len(found)
    names = []
    for channel, cube in zip(found, cubes, strict=True):
        about = {p.findtext("Key"): p.findtext("Value") for p in channel}
        name = about.get("DyeName") or cube or channel.get("LUTName", "")
        names.append((int(channel.get("BytesInc", 0)), name))
    return tuple(name for _, name in sorted(names, key=lambda one: one[0]))


def _size_of_lif(image: Any) -> tuple[float, float] | None:
    if max(image.sizes[axis] for axis in "XY") > _LONGEST:
        return None  # the library would list the place of each pixel
    x, y = (np.asarray(image.coords.get(axis, ()), float) for axis in "XY")
    if len(x) < 2 or len(y) < 2:
        return None
    steps = abs(x[1] - x[0]) * 1e6, abs(y[1] - y[0]) * 1e6
    return steps if min(steps) > 0 else None
