"""Settings of a run that takes a second."""

from ml_collections import ConfigDict

from configs import base


def tiny_config() -> ConfigDict:
    """Two epochs of four steps on images of 64 px."""
    config = base.get_config()
    config.model.width = 2
    config.model.depth = 1
    config.model.heads = ("mask",)
    config.data.crop = 32
    config.data.batch_size = 2
    config.data.generated.count = 4
    config.data.generated.size = 64
    config.data.generated.modalities = ("fluorescence",)
    config.partial.method = "none"
    config.train.epochs = 2
    config.train.steps_per_epoch = 4
    config.log.images_every = 0
    config.log.wandb = "off"
    return config
