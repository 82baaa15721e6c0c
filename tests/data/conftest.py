"""Small data sets on disk: bright discs on a dark, noisy background."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from ml_collections import ConfigDict

from configs.base import get_config


def discs(
    shape: tuple[int, int], centres: list[tuple[float, float]], radius: float
) -> np.ndarray:
    """Labels i32[H, W] of discs, 1..N."""
    labels = np.zeros(shape, np.int32)
    y, x = np.mgrid[: shape[0], : shape[1]]
    for i, (cy, cx) in enumerate(centres, 1):
        labels[(y - cy) ** 2 + (x - cx) ** 2 <= radius**2] = i
    return labels


def picture(labels: np.ndarray, seed: int = 0) -> np.ndarray:
    """An 8-bit image of labels."""
    noise = np.random.default_rng(seed).integers(0, 40, labels.shape)
    return (noise + np.where(labels > 0, 160, 20)).astype(np.uint8)


def grid(count: int, shape: tuple[int, int] = (96, 96), radius: float = 5):
    """Labels of `count` discs on a grid of 16 px."""
    columns = shape[1] // 16
    centres = [(8 + 16 * (i // columns), 8 + 16 * (i % columns)) for i in range(count)]
    return discs(shape, centres, radius)


@pytest.fixture(name="discs")
def discs_fixture():
    return discs


@pytest.fixture(name="grid")
def grid_fixture():
    return grid


@pytest.fixture(name="picture")
def picture_fixture():
    return picture


@pytest.fixture
def config(tmp_path: Path) -> ConfigDict:
    """The base config, with a cache of its own and nothing resampled."""
    config = get_config()
    config.data.cache_dir = str(tmp_path / "cache")
    config.data.dir = str(tmp_path / "data")
    config.data.bead_diameter = 0.0
    config.data.crop = 64
    config.data.generated.count = 4
    config.data.generated.size = 96
    return config


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    """Writes an array to a file of the data set: `save("masks/a.tif", labels)`."""

    def write(name: str, array: np.ndarray) -> Path:
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(path, array, photometric="minisblack")
        return path

    return write


@pytest.fixture
def save_pairs(save: Callable[..., Path]) -> Callable[..., None]:
    """Writes images and masks with so many beads: `save_pairs([3, 7])` is a, b."""

    def write(counts: list[int]) -> None:
        for i, count in enumerate(counts):
            labels = grid(count)
            save(f"images/{chr(97 + i)}.tif", picture(labels, i))
            save(f"masks/{chr(97 + i)}.tif", labels.astype(np.uint16))

    return write


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
