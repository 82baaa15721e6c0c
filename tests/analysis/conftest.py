"""Small folders of images to look into."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

from beadseg.data.export import write_generated
from configs import base


@pytest.fixture(scope="session")
def beads_folder(tmp_path_factory) -> Path:
    """Eight generated images with complete masks."""
    folder = tmp_path_factory.mktemp("data") / "beads"
    write_generated(
        folder, count=8, size=160, seed=3, preset="beads", damage="none", amount=0.0
    )
    return folder


@pytest.fixture
def settings(tmp_path):
    """From a folder to its `config.data`."""

    def of(folder: Path):
        config = base.get_config()
        config.data.dir = str(folder)
        config.data.cache_dir = str(tmp_path / "cache")
        return config.data

    return of


@pytest.fixture
def write(tmp_path):
    """Writes arrays as images (and masks) of a new data set."""

    def of(images: dict[str, np.ndarray], masks: dict[str, np.ndarray] | None = None):
        for kind, arrays in (("images", images), ("masks", masks or {})):
            for name, array in arrays.items():
                file = tmp_path / "data" / kind / f"{name}.tif"
                file.parent.mkdir(parents=True, exist_ok=True)
                tifffile.imwrite(file, array)
        return tmp_path / "data"

    return of
