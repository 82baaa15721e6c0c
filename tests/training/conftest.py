"""A run so small that a step takes milliseconds."""

import numpy as np
import pytest
from ml_collections import ConfigDict

from configs import base


@pytest.fixture
def tiny() -> ConfigDict:
    """A config with a small network and few small images."""
    config = base.get_config()
    config.model.width = 4
    config.model.depth = 2
    config.model.heads = ("mask",)
    config.data.crop = 32
    config.data.batch_size = 4
    config.data.generated.count = 8
    config.data.generated.size = 96
    config.train.epochs = 3
    config.train.steps_per_epoch = 4
    config.log.every = 2
    config.log.wandb = "off"
    return config


@pytest.fixture
def batch() -> dict[str, np.ndarray]:
    """Four images of bright discs, 32x32, with a strip of unknown pixels."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:32, :32]
    mask = np.zeros((4, 32, 32, 1), np.float32)
    for image in mask:
        for _ in range(3):
            cy, cx, r = rng.uniform(4, 28), rng.uniform(4, 28), rng.uniform(3, 7)
            image[(y - cy) ** 2 + (x - cx) ** 2 < r**2] = 1
    noise = rng.normal(0, 0.1, mask.shape).astype(np.float32)
    weight = np.ones_like(mask)
    weight[:, :4] = 0
    return {"image": 0.7 * mask + noise, "mask": mask, "weight": weight}
