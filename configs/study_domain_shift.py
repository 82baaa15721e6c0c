"""The study of the domain-shift analysis: its claims, and the collapse, measured.

  python -m beadseg.main --config=configs/study_domain_shift.py --workdir=STUDY
  python -m tests.bench.domain_shift STUDY

Small, for one CPU core: a network of width 4 and depth 3 on 28 generated images of 96
px with beads of 12 px, 144 steps of 8 crops of 48 px, three seeds of the weights. All
members see the same number of crops, whatever their batch. The settings tuned on
mitochondria meet half-labelled beads; each factor is changed alone, from there, from
the same on complete masks, and from the settings for beads. The page gives a row to
each claim and the share of each factor in the collapse.

  ... --config=configs/study_domain_shift.py:folder --config.data.dir=DIR

The same in short on images of beads: DIR/100 and DIR/50 hold them with complete and
with half of the training masks, as `python -m tests.bench.domain_shift.run` writes
them. With ":sparse", on DIR/100 alone, for mitochondria.

Expect, at threshold 0.5: 0.00 for the collapse, 0.80 with complete masks, 0.71 for the
settings for beads; 0.79 for the collapse at its best threshold. Time: an hour and a
half on a share of two crowded cores, not measured on free ones.

  python launch/submit.py --scheduler=slurm --nodes=64 \
      --config=configs/study_domain_shift.py:full

The whole factorial on large images, 4,371 members: for GPU nodes, not measured.
"""

from collections.abc import Callable, Iterator

from ml_collections import ConfigDict

from beadseg.errors import BeadsegError
from beadseg.sweep.points import Point, over, product
from configs import base

SIDES = ("small", "folder", "sparse", "full")
CROPS = {"small": 192, "folder": 192, "sparse": 192, "full": 320}  # an epoch
SEEDS = (0, 1, 2)

# What the analysis says that was tuned on mitochondria, and what it recommends for
# beads; of its ranges, rate and batch with which the short runs still learn.
MITOCHONDRIA = {
    "loss.name": "focal",
    "loss.gamma": 2.0,
    "optim.learning_rate": 1e-3,
    "data.batch_size": 8,
    "model.dropout": 0.0,
    "data.augment.enabled": False,
    "optim.weight_decay": 0.0,
}
BEADS = {
    "loss.name": "combined",
    "optim.learning_rate": 5e-4,
    "data.batch_size": 16,
    "model.dropout": 0.3,
    "data.augment.enabled": True,
    "optim.weight_decay": 1e-4,
}
BEADS_FULL = BEADS | {"optim.learning_rate": 1e-4, "data.batch_size": 32}
LOSSES = (
    {"loss.name": "focal", "loss.gamma": 2.0},
    {"loss.name": "focal", "loss.gamma": 1.0},
    {"loss.name": "bce"},
    {"loss.name": "dice"},
    {"loss.name": "tversky", "loss.alpha": 0.3, "loss.beta": 0.7},
    {"loss.name": "combined"},
)
BASELINE = {"loss.name": "bce", "optim.learning_rate": 1e-4, "data.batch_size": 32}
MITOCHONDRIA_DATA = {
    "data.generated.preset": "mitochondria",
    "data.generated.bead_diameter": 0.0,
}


def get_config(side: str = "small") -> ConfigDict:
    if side not in SIDES:
        raise BeadsegError(
            f"configs/study_domain_shift.py:{side}: give one of {', '.join(SIDES)}"
        )
    c = base.get_config()
    with c.unlocked():
        c.study = side
    c.partial.method = "none"
    c.train.early_stopping = 0  # what patience does is read off the curves
    if side == "full":
        c.data.generated.count = 400
        c.data.crop = 128
        c.model.width = 16
        c.train.epochs = 100
        return c
    c.data.generated.modalities = ("fluorescence",)
    c.data.generated.count = 40
    c.data.generated.size = 96
    c.data.generated.bead_diameter = 12.0
    c.data.bead_diameter = 12.0
    c.data.validation_fraction = 0.3
    c.data.crop = 48
    c.model.width = 4
    c.model.depth = 3
    c.model.heads = ("mask",)
    c.train.epochs = 6
    c.sweep.over_members = "loop"
    c.log.every = 1000
    c.log.images_every = 0
    c.log.wandb = "off"
    return c


def sweep(add: Callable, config: ConfigDict) -> None:
    """The settings for mitochondria on half-labelled beads come first, then those
    for beads on complete masks: the page takes them for the ends of the walk."""
    side = config.study
    told = []
    for settings in _designs[side](config.data.dir):
        crops = settings.pop("crops", CROPS[side])
        batch = settings["data.batch_size"]
        settings |= {"train.steps_per_epoch": max(crops // batch, 1)}
        if settings not in told:
            told.append(settings)
    for settings in told:
        for seed in SEEDS:
            add(settings | {"seed": seed})


def _labelled(percent: int, folder: str) -> Point:
    if folder:
        return {"data.dir": f"{folder.rstrip('/')}/{percent}"}
    kind = "none" if percent == 100 else "drop_random"
    return {"data.generated.damage": kind, "data.generated.amount": 1 - percent / 100}


def _walk(folder: str, beads: Point) -> Iterator[Point]:
    """Both ends, and each factor changed alone from either."""
    half, complete = _labelled(50, folder), _labelled(100, folder)
    collapsed, sound = MITOCHONDRIA | half, BEADS | {"loss.gamma": 2.0} | complete
    sound |= beads
    yield collapsed
    yield sound
    for change in ["loss.name", *(k for k in MITOCHONDRIA if k[:4] != "loss")]:
        yield collapsed | {change: sound[change]}
        yield sound | {change: collapsed[change]}
    yield collapsed | complete
    yield sound | half
    yield collapsed | {"partial.method": "auto"}


def _small(folder: str) -> Iterator[Point]:
    yield from _walk("", BEADS)
    half, complete = (MITOCHONDRIA | _labelled(p, "") for p in (50, 100))
    yield half | {"crops": 32}  # its first steps, looked at closely
    for labelled in (half, complete):
        yield labelled | {"loss.name": "bce"}
        yield labelled | {"loss.name": "dice"}
        yield labelled | BASELINE
    yield complete | {"loss.name": "combined"}
    yield complete | {"loss.gamma": 1.0}
    yield half | {"loss.name": "tversky", "loss.alpha": 0.3, "loss.beta": 0.7}
    yield complete | {"optim.learning_rate": 1e-4}
    yield complete | {"data.batch_size": 32}
    yield complete | {"data.augment.enabled": True}
    yield complete | {"model.dropout": 0.3}
    yield complete | {"model.deep_supervision": True}
    fifth = MITOCHONDRIA | _labelled(20, "")
    yield fifth
    yield fifth | {"loss.name": "bce"}
    yield fifth | {"loss.name": "dice"}
    yield fifth | {"partial.method": "auto"}
    yield from (p | MITOCHONDRIA_DATA for p in _sparse_points(complete))
    yield half | MITOCHONDRIA_DATA
    yield BEADS | {"loss.gamma": 2.0} | _labelled(100, "") | MITOCHONDRIA_DATA


def _sparse_points(complete: Point) -> Iterator[Point]:
    yield complete
    yield complete | {"optim.learning_rate": 1e-4}
    yield complete | {"loss.name": "bce"}


def _folder(folder: str) -> Iterator[Point]:
    half, complete = (_labelled(p, folder) for p in (50, 100))
    collapsed, sound = MITOCHONDRIA | half, BEADS | {"loss.gamma": 2.0} | complete
    yield collapsed
    yield sound
    yield collapsed | complete
    yield sound | half
    for change in ("loss.name", "optim.learning_rate", "data.augment.enabled"):
        yield collapsed | {change: sound[change]}
        yield sound | {change: collapsed[change]}
    yield collapsed | {"partial.method": "auto"}
    for labelled in (half, complete):
        yield MITOCHONDRIA | labelled | {"loss.name": "dice"}
    yield MITOCHONDRIA | complete | {"optim.learning_rate": 1e-4}


def _sparse(folder: str) -> Iterator[Point]:
    complete = MITOCHONDRIA | _labelled(100, folder)
    yield complete
    yield BEADS | {"loss.gamma": 2.0} | _labelled(100, folder)
    yield from _sparse_points(complete)


def _full(folder: str) -> Iterator[Point]:
    yield from _walk(folder, BEADS_FULL)
    rates, batches = (1e-5, 5e-5, 1e-4, 5e-4, 1e-3), (8, 16, 32, 64)
    for point in product(
        LOSSES,
        over("optim.learning_rate", *rates),
        over("data.batch_size", *batches),
        over("model.dropout", 0.0, 0.1, 0.3),
    ):
        for percent in (100, 80, 50, 20):
            yield MITOCHONDRIA | point | _labelled(percent, folder)
    complete = MITOCHONDRIA | _labelled(100, folder)
    yield complete | {"model.deep_supervision": True}
    yield complete | {"model.name": "attention_unet"}
    if not folder:
        yield from (p | MITOCHONDRIA_DATA for p in _sparse_points(complete))


_designs = {"small": _small, "folder": _folder, "sparse": _sparse, "full": _full}
