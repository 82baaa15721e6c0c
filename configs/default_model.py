"""The model that comes with beadseg: generated beads of every kind, no real image.

  python -m beadseg.default_model

trains it in runs/default_model (run again, it goes on) and puts what prediction needs
into beadseg/default_model, where CARD.md tells what it reaches on real images.

Time: 30 minutes of steps on two cores. Expect: validation Jaccard 0.86 on generated
images (seed 0, measured).
"""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
    """All modalities, each image brought to beads of 16 px."""
    c = base.get_config()
    c.data.bead_diameter = 16.0
    c.data.crop = 96
    c.data.batch_size = 8
    c.data.validation_fraction = 0.015

    generated = c.data.generated
    generated.preset = "varied"
    generated.per_image = True
    generated.bead_diameter = 16.0
    generated.size = 192
    generated.count = 4000

    augment = c.data.augment
    augment.zoom = 0.4  # the size of beads in a new image is an estimate
    augment.gamma = 0.3
    augment.blur = 0.7
    augment.invert = 0.2

    c.model.depth = 3
    c.model.dropout = 0.0
    c.model.heads = ("mask", "distance")
    c.loss.name = "combined"
    c.loss.distance = 1.0
    c.optim.learning_rate = 2e-3
    c.optim.warmup_steps = 100
    c.optim.cosine = True
    c.plateau.enabled = False
    c.train.steps_per_epoch = 400
    c.train.epochs = 20
    c.train.early_stopping = 0
    # Generated validation asks for less, the edges of real beads for more.
    c.train.threshold = 0.65
    c.log.images_every = 5
    return c
