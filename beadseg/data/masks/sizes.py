"""Which beads a network is taught: those of one size, or of any, on pyramids.

A network that knows beads of a range of sizes finds those of any size at some level of
an image's pyramid. Trained on images of many sizes, it keeps that: each image is seen
at the levels where its beads are in the range, what is a little larger or smaller there
is unknown, and what is larger by far background, as other levels find it.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict

from beadseg.data.masks.instances import ONE_SIZE
from beadseg.data.masks.labels import UNKNOWN
from beadseg.data.scaling import LARGEST
from beadseg.default_model import DEFAULT
from beadseg.errors import BeadsegError
from beadseg.files import read_json
from beadseg.matching import number_beads

AUTO, ONE = "auto", "one"
# Smallest and largest beads that are taught, of the range of sizes. What is larger yet
# by `BEYOND` is background.
_KNOWN, BEYOND = (0.85, 1.3), 1.9
WITHIN, DIFFER = (10, 90), 2.0  # percentiles of sizes; octave apart, and they differ
SHARE = 0.25  # of an image's beads that are in the range at a level
LEAST_SCALE = 1 / 64  # px of the coarsest level to a px of an image
FINER = 6.0  # px: smaller beads are looked at enlarged too

Sizes = tuple[float, float]  # smallest and largest bead that a network knows, px


class Look(NamedTuple):
    """A level at which an image is seen to learn from it."""

    scale: float  # px to a px of the image
    whole: bool  # or a part


def known_by(config: Mapping[str, Any], dataset: Mapping[str, Any]) -> Sizes | None:
    """The sizes that a run knows; None: one, that of its images.

    Args:
      config: its config.json.
      dataset: its dataset.json.
    """
    data = config["data"]
    if "sizes" in dataset:  # not in older runs
        return dataset["sizes"] and tuple(dataset["sizes"])
    if data["dir"]:
        return None
    diameter = dataset["bead_diameter_px"]
    return of_generated(
        data["generated"].get("sizes", ()), diameter and diameter * dataset["scale"]
    )


def of_generated(sizes: Sequence[float], diameter: float | None) -> Sizes | None:
    """The sizes that a network knows from generated images.

    Args:
      sizes: `data.generated.sizes`.
      diameter: px of its maps across the median bead; None: there is none.
    """
    if not sizes and diameter is not None:
        sizes = [share * diameter for share in ONE_SIZE]
    return tuple(sizes) if sizes else None


def chosen(
    setting: Any, start: str, diameters: Sequence[np.ndarray]
) -> tuple[Sizes | None, str | None]:
    """The sizes that a run is taught, and what a person should hear.

    Args:
      setting: `data.sizes`.
      start: `init_from`.
      diameters: px, of the beads of each image.

    Raises:
      BeadsegError: an unknown setting.
    """
    if setting in (AUTO, ONE):
        sizes = _of_start(start) if setting == AUTO else None
    elif not _is_range(setting):
        raise BeadsegError(
            f'data.sizes = {setting!r}: give "{AUTO}", "{ONE}", or the smallest and '
            "the largest bead that the network is taught, px, from 2 on"
        )
    else:
        sizes = tuple(map(float, setting))
    if sizes is None or not any(map(len, diameters)):
        return None, None
    low, high = extent(diameters)
    if setting == AUTO and high <= DIFFER * low:
        return None, None
    return sizes, (
        f"beads differ in size, most are {low:.3g} to {high:.3g} px across: each image "
        f"is seen at the scales where they are {sizes[0]:g} to {sizes[1]:g} px, and "
        "predicted at all (--config.data.sizes=one: all images at one scale)"
    )


def settled(config: ConfigDict, dataset: Mapping[str, Any] | None) -> ConfigDict:
    """The config with the sizes that a run is taught already: its start may be gone.

    Args:
      dataset: its dataset.json; None: it has none yet.
    """
    if config.data.sizes != AUTO or dataset is None:
        return config
    config = config.copy_and_resolve_references()
    with config.ignore_type():
        config.data.sizes = dataset.get("sizes") or ONE
    return config


def of_sizes(labels: np.ndarray, sizes: Sizes) -> np.ndarray:
    """Labels i32[H, W], 1..N, of those beads alone that are so many px across."""
    area = np.bincount(labels.ravel())
    low, high = (np.pi / 4 * size**2 for size in sizes)
    kept = np.where((area >= low) & (area <= high), np.arange(len(area)), 0)
    return kept[labels].astype(np.int32)


def looked_for(sizes: Sizes) -> Sizes:
    """Smallest and largest region that may be a bead, px of a level."""
    return 0.7 * sizes[0], 1.35 * sizes[1]


def extent(diameters: Sequence[np.ndarray]) -> Sizes:
    """What four beads in five are between, px; images count alike, however full.

    Args:
      diameters: px, of the beads of each image; of one at least.
    """
    of_images = [some for some in diameters if len(some)]
    weights = np.concatenate([np.full(len(some), 1 / len(some)) for some in of_images])
    low, high = np.percentile(
        np.concatenate(of_images), WITHIN, weights=weights, method="inverted_cdf"
    )
    return float(low), float(high)


def levels(diameters: np.ndarray, sizes: Sizes) -> list[Look]:
    """The levels of its pyramid at which an image is seen, fine to coarse.

    Down to the last that knows many of its beads. Of finer ones, at which most are
    larger than the network knows, a part is enough to learn that nothing is there.

    Args:
      diameters: px, of its beads.
      sizes: that are taught.
    """
    if not len(diameters):
        return [Look(1.0, True)]
    scales = [1.0]
    if np.median(diameters) < FINER:
        scales = [2.0]
    while scales[-1] > LEAST_SCALE:
        scales.append(scales[-1] / 2)
    shares = [
        np.mean((diameters * s >= sizes[0]) & (diameters * s <= sizes[1]))
        for s in scales
    ]
    least = min(SHARE, max(shares))
    last = max(i for i, share in enumerate(shares) if share >= least)
    looks = zip(scales, (share >= least for share in shares), strict=True)
    return [Look(scale, bool(many)) for scale, many in looks][: last + 1]


def taught(labels: np.ndarray, across: np.ndarray, sizes: Sizes) -> np.ndarray:
    """Labels without the beads that other levels of a pyramid find.

    Args:
      labels: i32[H, W].
      across: f[N + 1], px of the level, by label.
      sizes: that are taught.
    """
    value = np.arange(len(across), dtype=np.int32)
    low, high = (share * size for share, size in zip(_KNOWN, sizes, strict=True))
    value[(across < low) | (across > high)] = UNKNOWN
    value[across > sizes[1] * BEYOND] = 0
    value[0] = 0
    return np.where(labels > 0, value[np.maximum(labels, 0)], labels)


def taught_at(labels: np.ndarray, scale: float, sizes: Sizes) -> np.ndarray:
    """`taught` of labels i32[H, W], with any gaps, of an image seen at a scale."""
    ids, index = number_beads(labels)
    area = np.bincount(index.ravel(), minlength=len(ids) + 1)
    area[0] = 0
    numbered = np.where(labels > 0, index, labels)
    return taught(numbered, scale * 2 * np.sqrt(area / np.pi), sizes)


def _is_range(setting: Any) -> bool:
    several = isinstance(setting, tuple | list) and len(setting) == 2
    several = several and all(isinstance(n, int | float) for n in setting)
    return several and 2 <= setting[0] < setting[1] <= LARGEST


def _of_start(start: str) -> Sizes | None:
    folder = DEFAULT if start == "default" else Path(start)
    files = [folder / f"{name}.json" for name in ("config", "dataset")]
    try:
        return known_by(*map(read_json, files))
    except (OSError, ValueError, KeyError, TypeError):
        return None
