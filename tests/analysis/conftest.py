"""Small folders of images to look into."""

import dataclasses
from pathlib import Path

import pytest

from beadseg.analysis.overview import Overview
from configs import base


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
def dense() -> Overview:
    """Complete masks of touching beads under a light microscope."""
    return Overview(
        images=40, labelled_images=40, point_images=0, source="masks", objects=50.0,
        fewest=30.0, most=80.0, coverage=0.45, diameter_px=48.0, spread=1.3,
        pixel_size=0.2, side_px=512.0, circularity=0.95, aspect=1.05, branches=0.0,
        spacing=1.02, touching=0.6, contrast=0.5, mixed_polarity=False, background=0.2,
        shading=0.05, texture=0.02, noise=0.01, signal_to_noise=40.0, edge_px=1.2,
        saturated=0.0, bits=8.0, labelled=0.98, seen=0.95,
    )  # fmt: skip


@pytest.fixture
def sparse(dense) -> Overview:
    return dataclasses.replace(
        dense, objects=2.5, coverage=0.08, spacing=2.0, touching=0.0, branches=0.8
    )


@pytest.fixture
def partial(dense) -> Overview:
    return dataclasses.replace(dense, labelled=0.4, seen=0.9)
