"""Members so small that a step takes milliseconds."""

import pytest
from ml_collections import ConfigDict

from tests.tiny import tiny_config


@pytest.fixture
def tiny(tmp_path) -> ConfigDict:
    """A config with a small network, and images of its own."""
    return tiny_config(
        data__cache_dir=str(tmp_path / "cache"),
        data__generated__count=4,
        data__generated__size=64,
        data__generated__modalities=("fluorescence",),
    )
