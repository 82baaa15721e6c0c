"""Small runs that are really trained, each ill by one setting or one fault of its data.

The images are generated: 24 of 128 px, beads of about 20 px. A network of width 8 and
depth 3 takes 16 steps per epoch, 14 epochs; a run takes half a minute on two cores.
What
is wrong is wrong in the way of a lab: a rate, a loss, masks left half done, one person
who draws too wide, copies, images of another magnification. All but a few are of one
kind of microscope, fluorescence: what so small a network learns of several kinds from
20 images is not healthy. The rules were mended on the runs of seed 0: what they find
there shows that they can, other seeds show whether they do.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tifffile
from scipy import ndimage

from beadseg.analysis.diagnosis.causes import diagnose
from beadseg.analysis.diagnosis.run_evidence import examine_run
from beadseg.data.generated.damage import damage_labels
from beadseg.data.generated.render import GeneratedImage, generate
from beadseg.data.generated.settings import GeneratedSettings
from beadseg.training.loop import train
from configs.base import get_config

IMAGES, HELD = 24, 4  # the last ones validate
SIZE = 128  # px
BEADS: dict[str, Any] = {
    "size": SIZE,
    "radius": (9, 12),
    "beads": (8, 30),
    "coverage": (0.05, 0.4),
    "patterns": ("scattered",),
    "polydispersity": (0.0, 0.2),
    "overlap": (0.0, 0.05),
    "blurred_share": (0.0, 0.05),
    "modalities": ("fluorescence",),
    "artefacts": 0.3,
}
SETTINGS = {
    "data.batch_size": 4,
    "data.crop": 64,
    "data.bead_diameter": 0.0,
    "model.width": 8,
    "model.depth": 3,
    "model.heads": ("mask",),  # a distance head takes longer to learn
    "optim.learning_rate": 5e-3,
    "optim.cosine": True,
    "optim.warmup_steps": 20,
    "partial.method": "none",
    "train.epochs": 14,
    "train.early_stopping": 0,
    "train.steps_per_epoch": 16,
    "log.wandb": "off",
    "log.images_every": 1000,
}
Spoil = Callable[..., tuple[np.ndarray, np.ndarray]]


class Illness(NamedTuple):
    """How a run is made ill, and the causes of which one is to be named first."""

    causes: tuple[str, ...]  # (): healthy
    settings: dict[str, Any] = {}  # of the config
    beads: dict[str, Any] = {}  # of the images
    spoil: Spoil | None = None  # (number, image, labels, rng, beads): image, labels
    copies: int = 0  # training images that lie among the validation images too
    few: int = IMAGES - HELD  # training images


def held(number: int) -> bool:
    """Whether an image validates."""
    return number >= IMAGES - HELD


def damaged(kind: str, amount: float, train_only: bool = False) -> Spoil:
    """Masks with one of the damages of `beadseg.data.damage`."""

    def spoil(number, image, labels, rng, beads):
        if train_only and held(number):
            return image, labels
        return image, damage_labels(kind, amount, labels, beads, rng)

    return spoil


def _hands_that_differ(number, image, labels, rng, beads):
    """Each image was drawn by another hand: some 2 px too tight, some too wide."""
    kind = ("erode", "dilate")[number % 2]
    return image, damage_labels(kind, 2, labels, beads, rng)


def _shaded(number, image, labels, rng, beads):
    """The validation images are dark on one side, those learnt from are not."""
    if held(number):
        light = np.linspace(1, 0.25, image.shape[1])
        image = (image * light).astype(image.dtype)
    return image, labels


def _melted(number, image, labels, rng, beads):
    """Binary masks in which the gaps between neighbours were painted over."""
    if held(number):
        return image, labels
    return image, ndimage.binary_closing(labels > 0, iterations=3).astype(np.uint8)


def _dusty(number, image, labels, rng, beads):
    """Bright dust everywhere, which the masks of training take for beads."""
    image, labels = image.copy(), labels.copy()
    free = np.argwhere(ndimage.distance_transform_edt(labels == 0) > 4)
    for y, x in free[rng.integers(0, len(free), 8)] if len(free) else ():
        box = np.s_[y : y + 3, x : x + 3]
        image[box] = np.percentile(image, 99)
        if not held(number):
            labels[box] = labels.max() + 1
    return image, labels


def _others(number, image, labels, rng, beads):
    """Masks of other images: there is nothing to learn but that beads are rare."""
    return image, np.roll(labels, tuple(rng.integers(30, 90, 2)), (0, 1))[::-1]


RUNS = {
    "healthy.fluorescence": Illness(()),
    "healthy.clusters": Illness((), beads={"patterns": ("clusters",)}),
    "partial_masks.random": Illness(
        ("partial_masks",), spoil=damaged("drop_random", 0.5)
    ),
    "partial_masks.dim": Illness(
        ("partial_masks",), spoil=damaged("drop_dim", 0.4), beads={"dim_share": (0, 1)}
    ),
    "partial_masks.cross_entropy": Illness(
        ("partial_masks",), {"loss.name": "bce"}, spoil=damaged("drop_random", 0.5)
    ),
    "partial_masks.training": Illness(
        ("partial_masks",), spoil=damaged("drop_random", 0.5, train_only=True)
    ),
    "background_calibration.focal": Illness(
        ("background_calibration",),
        {"loss.name": "focal", "train.threshold": 0.5, "loss.positive_weight": 0.25},
        spoil=damaged("drop_random", 0.6, train_only=True),
    ),
    "background_loss.masks": Illness(
        ("background_loss",), {"loss.name": "bce"}, {"coverage": (0.02, 0.2)}, _others
    ),
    "threshold.fixed": Illness(
        ("threshold", "background_calibration"),
        {"loss.name": "bce", "train.threshold": 0.93},
    ),
    "rate_high.constant": Illness(
        ("rate_high",), {"optim.learning_rate": 2.0, "optim.warmup_steps": 0}
    ),
    "rate_high.swings": Illness(
        ("rate_high",), {"optim.learning_rate": 0.5, "optim.cosine": False}
    ),
    "rate_low.constant": Illness(("rate_low",), {"optim.learning_rate": 3e-5}),
    "overfitting.few": Illness(
        ("overfitting",),
        {
            "loss.name": "bce",
            "data.augment.enabled": False,
            "model.dropout": 0.0,
            "model.width": 16,
            "optim.weight_decay": 0.0,
            "train.steps_per_epoch": 30,
        },
        {"modalities": ("phase_contrast", "bright_field", "scanning_electron")},
        few=2,
    ),
    "collapse.warm_up": Illness(  # without norms the rising rate kills the network
        ("collapse",),
        {
            "model.norm": "none",
            "optim.learning_rate": 1.0,
            "optim.cosine": False,
            "optim.warmup_steps": 224,
            "optim.clip_norm": 1e6,
        },
    ),
    "background_calibration.half": Illness(
        ("background_calibration",),
        {"loss.name": "bce", "train.threshold": 0.5},
        spoil=damaged("drop_random", 0.6),
    ),
    "leak.copies": Illness(("leak",), copies=2),
    "scale.magnified": Illness(
        ("scale",),
        beads={
            "modalities": ("bright_field",),
            "held": {"radius": (24, 27), "beads": (2, 9)},
        },
    ),
    "uneven_light.one_side": Illness(("uneven_light",), spoil=_shaded),
    "disagreement.tight": Illness(
        ("disagreement",), spoil=damaged("erode", 2.5, train_only=True)
    ),
    "outlines.hands": Illness(
        ("outlines", "blurry"), {"loss.name": "bce"}, spoil=_hands_that_differ
    ),
    "disagreement.wide": Illness(
        ("disagreement",),
        beads={"patterns": ("crystal",), "coverage": (0.2, 0.6), "beads": (10, 40)},
        spoil=damaged("dilate", 3, train_only=True),
    ),
    "merges.wide_masks": Illness(
        ("merges",),
        beads={"patterns": ("crystal",), "coverage": (0.2, 0.6), "beads": (10, 40)},
        spoil=_melted,
    ),
    "splits.shells": Illness(  # some are dyed in their shells only
        ("splits",), beads={"radius": (6, 8), "beads": (15, 50)}
    ),
    "scattered.dust": Illness(("scattered",), spoil=_dusty),
}


def prepare(kind: str, folder: Path, seed: int):
    """Writes the images of a run and returns its config."""
    illness = RUNS[kind]
    beads = BEADS | illness.beads
    other = beads.pop("held", {})
    numbers = [i for i in range(IMAGES) if held(i) or i < illness.few]
    copies = [f"copy{i}" for i in range(illness.copies)]
    if not folder.exists():
        for number in numbers:
            own = GeneratedSettings(**beads | (other if held(number) else {}))
            drawn = generate(own, 31 + seed, number)
            _write(folder, f"{number:03d}", drawn, illness.spoil, seed)
        for number, copy in enumerate(copies):
            for what in ("images", "masks"):
                source = folder / what / f"{number:03d}.tif"
                (folder / what / f"{copy}.tif").write_bytes(source.read_bytes())
    config = get_config()
    config.update_from_flattened_dict(SETTINGS | illness.settings)
    config.seed = config.data.seed = seed
    config.data.dir = str(folder)
    last = [f"{i:03d}" for i in numbers if held(i)]
    config.data.validation = (*last, *copies)
    return config


def causes(kind: str, folder: Path, seed: int) -> list[tuple[str, float]]:
    """Trains a run in `folder`, if that was not done, and says what ails it.

    Returns:
      Causes with their confidence, the surest first.
    """
    run = folder / "run"
    config = prepare(kind, folder / "data", seed)
    train(config, run, kind)
    found = diagnose(examine_run(run).evidence)
    return [(finding.cause, round(finding.confidence, 2)) for finding in found]


def _write(folder: Path, name: str, drawn: GeneratedImage, spoil, seed: int) -> None:
    number = int(name)
    rng = np.random.default_rng([41, seed, number])
    image, labels = drawn.image, drawn.labels
    if spoil is not None:
        image, labels = spoil(number, image, labels, rng, drawn.beads)
    for kind, array in (("images", image), ("masks", labels.astype(np.uint16))):
        file = folder / kind / f"{name}.tif"
        file.parent.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(file, array)
