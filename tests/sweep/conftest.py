"""Members so small that a step takes milliseconds."""

import numpy as np
import pytest
from ml_collections import ConfigDict

from configs import base


@pytest.fixture
def tiny(tmp_path) -> ConfigDict:
    """A config with a small network and few small images."""
    config = base.get_config()
    config.data.cache_dir = str(tmp_path / "cache")
    config.model.width = 4
    config.model.depth = 2
    config.model.heads = ("mask",)
    config.data.crop = 32
    config.data.batch_size = 4
    config.data.generated.count = 4
    config.data.generated.size = 64
    config.data.generated.modalities = ("fluorescence",)
    config.train.epochs = 3
    config.train.steps_per_epoch = 4
    config.log.every = 2
    config.log.wandb = "off"
    return config


@pytest.fixture
def batch() -> dict[str, np.ndarray]:
    """Four noisy images of a bright square, 32x32."""
    rng = np.random.default_rng(0)
    mask = np.zeros((4, 32, 32, 1), np.float32)
    mask[:, 8:20, 10:25] = 1
    noise = rng.normal(0, 0.1, mask.shape).astype(np.float32)
    return {"image": 0.7 * mask + noise, "mask": mask, "weight": np.ones_like(mask)}
