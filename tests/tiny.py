"""A run so small that a step takes milliseconds: the one of all tests."""

from typing import Any

from ml_collections import ConfigDict

from beadseg.data.tiles import RecordInfo
from configs import base

TINY = {
    "model.width": 4,
    "model.depth": 2,
    "model.heads": ("mask",),
    "data.crop": 32,
    "data.batch_size": 4,
    "data.generated.count": 8,
    "data.generated.size": 96,
    "train.epochs": 3,
    "train.steps_per_epoch": 4,
    "log.every": 2,
    "log.wandb": "off",
}

# Fewer images still, of masks that nobody audits: for `tiny_config`.
FOUR_IMAGES = {
    "data__batch_size": 2,
    "data__generated__count": 4,
    "data__generated__size": 64,
    "data__generated__modalities": ("fluorescence",),
    "partial__method": "none",
    "train__epochs": 2,
    "log__images_every": 0,
}


def tiny_fields(**others: Any) -> dict[str, Any]:
    """`TINY` with other values, `train__epochs=1` of `train.epochs`."""
    return TINY | {name.replace("__", "."): value for name, value in others.items()}


def tiny_config(**others: Any) -> ConfigDict:
    """The config of such a run."""
    config = base.get_config()
    config.update_from_flattened_dict(tiny_fields(**others))
    return config


def record_of(image: str, tile: int, side: int, **others: Any) -> RecordInfo:
    """A tile of an image of a group of its own, `side` px across."""
    about = dict.fromkeys(("image", "source", "group", "uid"), image)
    about |= {"page": 0, "has_mask": True, "coverage": 0.3, "known": 1.0, "scale": 1.0}
    about |= {"low": 0.0, "high": 1.0, "pixel_size": None, "completeness": None}
    about |= dict.fromkeys(("shape", "page_shape"), (side, side))
    return RecordInfo(f"{image}@0,{tile}", offset=(0, tile), **about | others)
