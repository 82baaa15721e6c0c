"""OME-Zarr: folders of chunks (https://ngff.openmicroscopy.org, 0.4 and 0.5)."""

import math
from collections.abc import Callable, Mapping
from itertools import islice, product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from beadseg.data.images.handles import opened
from beadseg.data.images.stacks import Plane, Stack, check_number
from beadseg.data.images.units import um_of
from beadseg.quoting import some_of

_LOOKED_AT = 1000  # chunks of a plane, of which none is there
_AXES = {"t": "T", "z": "Z", "c": "C"}


def scan_zarr(path: Path) -> list[Stack]:
    """Every level of each image of a folder, the full one first.

    Raises:
      ValueError: it holds no image, or those of a plate.
    """
    levels = opened(path, _open_zarr)
    return [_stack(path, level, i) for i, level in enumerate(levels)]


def read_zarr(path: Path, plane: Plane) -> np.ndarray:
    array = opened(path, _open_zarr)[plane.number].array
    return np.asarray(array.get_basic_selection(plane.index))


def _open_zarr(path: Path) -> tuple[list["_Level"], Callable[[], None]]:
    return _levels(path), lambda: None  # every chunk is a file of its own


class _Level(NamedTuple):
    array: Any
    about: Mapping[str, Any]  # the image
    number: int  # 0: the full one
    scene: str


def _levels(path: Path) -> list[_Level]:
    import zarr

    # Of more threads each holds its last chunk until the next one: tens of MB.
    if zarr.config.get("threading.max_workers") is None:
        zarr.config.set({"threading.max_workers": 1})
    root = zarr.open_group(str(path), mode="r")
    if "plate" in _about(root):
        raise ValueError("it is a plate of many fields: name one field, such as A/1/0")
    groups = [root]
    if "multiscales" not in _about(root):
        groups = sorted(dict(root.groups()).items(), key=lambda item: item[0].zfill(9))
        groups = [group for _, group in groups if "multiscales" in _about(group)]
    if not groups:
        raise ValueError("it holds no image of OME-Zarr (multiscales): name one in it")
    return [
        _Level(group[level["path"]], about, n, str(i) if len(groups) > 1 else "")
        for i, (group, about) in enumerate((g, _about(g)) for g in groups)
        for n, level in enumerate(about["multiscales"][0]["datasets"])
    ]


def _about(group: Any) -> Mapping[str, Any]:
    attributes = dict(group.attrs)
    return attributes.get("ome", attributes)


def _stack(path: Path, level: _Level, number: int) -> Stack:
    array, about = level.array, level.about
    scales = about["multiscales"][0]
    axes = [a if isinstance(a, str) else a["name"] for a in scales.get("axes", "tczyx")]
    if axes[-2:] != ["y", "x"] or len(axes) != array.ndim:
        raise ValueError(f"its axes are {axes}: save it with y and x last")
    sizes = tuple(array.shape[:-2])
    channels = about.get("omero", {}).get("channels") or ()
    names = tuple(str(channel.get("label", "")) for channel in channels)
    if "c" not in axes or len(names) != sizes[axes.index("c")]:
        names = ()
    check_number(math.prod(sizes))
    indices = list(product(*map(range, sizes)))
    lost = [i for i in indices if not _stored(path, array, i)]
    places = [" ".join(f"{a}={n}" for a, n in zip(axes, i, strict=False)) for i in lost]
    note = f"{some_of(places)} is not stored, and read as {array.fill_value or 0}: "
    return Stack(
        "".join(_AXES.get(axis, "Q") for axis in axes[:-2]),
        sizes,
        [Plane(number=number, index=i) for i in indices],
        tuple(array.shape[-2:]),
        "grey",
        1,
        _size(scales, level.number),
        (f"{note}black, or lost; copy the folder again",) if lost else (),
        channels=names,
        scene=level.scene,
        level=level.number,
    )


def _stored(path: Path, array: Any, index: tuple[int, ...]) -> bool:
    """Whether there is a chunk of a plane; of what is 0 everywhere many write none."""
    sides = array.shards or array.chunks
    first = tuple(n // side for n, side in zip(index, sides, strict=False))
    rest = (
        range(-(-n // side))
        for n, side in zip(array.shape[-2:], sides[-2:], strict=True)
    )
    chunks = islice(product(*rest), _LOOKED_AT + 1)
    for looked, at in enumerate(chunks):
        key = array.metadata.encode_chunk_key((*first, *at))
        if looked == _LOOKED_AT or (path / array.path / key).exists():
            return True
    return False


def _size(scales: Mapping[str, Any], level: int) -> tuple[float, float] | None:
    """um of a pixel of a level, x and y."""
    factors = np.ones(2)
    for owner in (scales["datasets"][level], scales):
        for step in owner.get("coordinateTransformations") or ():
            if step.get("type") == "scale":
                factors *= step["scale"][-2:]
    units = [a.get("unit", "") if isinstance(a, dict) else "" for a in scales["axes"]]
    um = [um_of(unit) if unit else None for unit in units[-2:]]
    if None in um:
        return None
    y, x = factors * um
    return (float(x), float(y)) if min(x, y) > 0 else None
