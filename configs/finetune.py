"""Fine-tuning: the model that comes with beadseg continues with a few labelled images.

python -m beadseg.main --config=configs/finetune.py --config.data.dir=DIR

Where beads differ in size, each image is seen at the levels of its pyramid that know
its beads, beside as many generated ones, and predicted on the pyramid (data.sizes).

Time: 480 steps, five to eleven minutes on two cores that were shared. Expect, on images
of papers that were not trained on (22 of spheres, four folds, one seed): AP 0.91 at IoU
0.5 and 0.88 at 0.75, PQ 0.86, Jaccard 0.91
(python -m tests.bench.instances emps_spheres_dev --recipe finetune); the default model
alone has 0.91, 0.85, 0.84 and 0.89 there. With default models before this one: on two
images AP 0.94 to 0.95 on the first of these folds (--few 2 --only 0 --seeds 3), from
centres alone (75 images of latex beads, five folds) F1 0.96 within half a diameter.
"""

from ml_collections import ConfigDict

from configs import default_model


def get_config() -> ConfigDict:
    """The network, bead size and loss of the default model, at a low rate."""
    c = default_model.get_config()
    c.init_from = "default"
    c.data.bead_diameter = "auto"
    c.data.sizes = "auto"
    c.data.rehearsal = 0.5
    c.data.generated.count = 500
    c.data.validation_fraction = 0.15
    c.data.augment.zoom = 0.25
    c.data.augment.invert = 0.0
    c.model.dropout = 0.1
    c.optim.learning_rate = 3e-4
    c.optim.warmup_steps = 20
    c.train.threshold = None  # of the own images
    c.train.weight_interpolation = (0.25, 0.5, 0.75, 1.0)
    # After the first epoch: it knows beads, and has not learnt yet what masks lack.
    c.partial.audit = 0.01
    c.train.steps_per_epoch = 40
    c.train.epochs = 12
    return c
