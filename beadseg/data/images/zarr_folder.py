"""OME-Zarr: folders of chunks (https://ngff.openmicroscopy.org, 0.4 and 0.5)."""

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from beadseg.data.images.stacks import Plane, Stack
from beadseg.data.images.units import um_of

_AXES = {"t": "T", "z": "Z", "c": "C"}


def scan_zarr(path: Path) -> list[Stack]:
    """The full level of each image of a folder.

    Raises:
      ValueError: it holds no image, or those of a plate.
    """
    found = _images(path)
    return [_stack(*image, i, len(found)) for i, image in enumerate(found)]


def read_zarr(path: Path, plane: Plane) -> np.ndarray:
    array, _ = _images(path)[plane.number]
    return np.asarray(array[plane.index])


def _images(path: Path) -> list[tuple[Any, Mapping[str, Any]]]:
    """The arrays of a folder, and what is said of each."""
    import zarr

    root = zarr.open_group(str(path), mode="r")
    if "plate" in _about(root):
        raise ValueError("it is a plate of many fields: name one field, such as A/1/0")
    groups = [root]
    if "multiscales" not in _about(root):
        groups = sorted(dict(root.groups()).items(), key=lambda item: item[0].zfill(9))
        groups = [group for _, group in groups if "multiscales" in _about(group)]
    if not groups:
        raise ValueError("it holds no image of OME-Zarr (multiscales): name one in it")
    found = []
    for group in groups:
        about = _about(group)
        levels = about["multiscales"][0]["datasets"]
        found.append((group[levels[0]["path"]], about))
    return found


def _about(group: Any) -> Mapping[str, Any]:
    attributes = dict(group.attrs)
    return attributes.get("ome", attributes)


def _stack(array: Any, about: Mapping[str, Any], number: int, count: int) -> Stack:
    scales = about["multiscales"][0]
    axes = [a if isinstance(a, str) else a["name"] for a in scales.get("axes", "tczyx")]
    if axes[-2:] != ["y", "x"] or len(axes) != array.ndim:
        raise ValueError(f"its axes are {axes}: save it with y and x last")
    sizes = tuple(array.shape[:-2])
    channels = about.get("omero", {}).get("channels") or ()
    names = tuple(str(channel.get("label", "")) for channel in channels)
    if "c" not in axes or len(names) != sizes[axes.index("c")]:
        names = ()
    return Stack(
        "".join(_AXES.get(axis, "Q") for axis in axes[:-2]),
        sizes,
        [Plane(number=number, index=i) for i in itertools.product(*map(range, sizes))],
        tuple(array.shape[-2:]),
        "grey",
        1,
        _size(scales),
        channels=names,
        scene=str(number) if count > 1 else "",
    )


def _size(scales: Mapping[str, Any]) -> tuple[float, float] | None:
    """um of a pixel of the full level, x and y."""
    factors = np.ones(2)
    for owner in (scales["datasets"][0], scales):
        for step in owner.get("coordinateTransformations") or ():
            if step.get("type") == "scale":
                factors *= step["scale"][-2:]
    units = [a.get("unit", "") if isinstance(a, dict) else "" for a in scales["axes"]]
    um = [um_of(unit) if unit else None for unit in units[-2:]]
    if None in um:
        return None
    y, x = factors * um
    return (float(x), float(y)) if min(x, y) > 0 else None
