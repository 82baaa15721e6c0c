"""What settings suit which data: one table, each rule with its reason and measurement.

A rule chooses the value of a field from the overview of a data set, and says when a
value somebody else chose does not suit. `measured` names what stands behind it:
benchmarks of this project (tests/bench/results) and the table of half-labelled beads
(a small UNet on 96 px images of 36 touching beads, Jaccard against complete masks).
Where nothing was measured it says so. Claims of the domain-shift analysis that did not
hold are corrected here.
"""

import math
from collections.abc import Callable
from operator import attrgetter
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from beadseg import models
from beadseg.analysis.overview import Overview
from beadseg.data import scaling
from beadseg.quoting import counted, percent

DIAMETER = 24.0  # px of the median bead, as the network sees it
BATCH = 8
STEPS = 1200  # of the recipe that the benchmarks measured
EPOCHS = 30
SHADED = 0.15  # share of the range from which light is flattened
TOUCHING = 0.2  # share of the beads from which they must be told apart
_BALANCED = 0.2  # coverage
_MIXED = "beads are brighter in some images and darker in others"


class Choice(NamedTuple):
    """A value, and the number that led to it."""

    value: Any
    because: str


class Rule(NamedTuple):
    """How one field follows from the data."""

    field: str
    choose: Callable[[Overview], Choice | None]  # None: leave it as in base
    unsuited: Callable[[ConfigDict, Overview], str | None] | None  # None: all suit
    measured: str


class Complaint(NamedTuple):
    """A setting that does not suit the data."""

    field: str
    value: Any
    why: str
    instead: Any  # None: no single value
    measured: str


def recommend(overview: Overview) -> dict[str, tuple[Choice, Rule]]:
    """Fields to set for a data set, in the order of the table."""
    chosen = ((rule, rule.choose(overview)) for rule in RULES)
    return {rule.field: (choice, rule) for rule, choice in chosen if choice is not None}


def complain(config: ConfigDict, overview: Overview) -> list[Complaint]:
    """Settings of a config that do not suit a data set."""
    found = []
    for field, choose, unsuited, measured in RULES:
        why = unsuited and unsuited(config, overview)
        if why is not None:
            choice = choose(overview)
            instead = choice.value if choice else None
            value = attrgetter(field)(config)
            found.append(Complaint(field, value, why, instead, measured))
    return found


def _chosen(o: Overview) -> float | str:
    """Beads as the network sees them: small ones at their own size."""
    return scaling.AUTO if o.diameter_px < scaling.AS_THEY_ARE[1] else DIAMETER


def _seen(o: Overview, setting: float | str | None = None) -> float:
    """px of the median bead as the network sees it; without a setting as chosen."""
    setting = _chosen(o) if setting is None else setting
    return scaling.wanted_diameter(setting, o.diameter_px) or o.diameter_px


def _scale(o: Overview, setting: float | str | None = None) -> float:
    """Pixels that the network sees to a pixel of the file."""
    wanted = _seen(o, setting)
    if not (wanted and o.diameter_px > 0):
        return 1.0
    scale = max(wanted / o.diameter_px, scaling.SMALLEST_SCALE)
    return min(scale, scaling.LARGEST_SCALE)


def _seen_side(o: Overview, setting: float | str | None = None) -> float:
    return o.side_px * _scale(o, setting)


def _loss(o: Overview) -> Choice:
    if o.partial:
        return Choice(
            "dice", f"about {percent(o.labelled)} of the beads seen are labelled"
        )
    kind = "balanced classes" if o.coverage >= _BALANCED else "a rare class"
    return Choice("dice", f"{percent(o.coverage)} of the pixels are bead: {kind}")


def _loss_unsuited(c: ConfigDict, o: Overview) -> str | None:
    if c.loss.name == "focal" and c.loss.gamma > 0:
        if o.partial:
            return (
                f"focal loss (gamma {c.loss.gamma:g}) on masks that label about "
                f"{percent(o.labelled)}: probabilities on beads fall far below 0.5"
            )
        if o.coverage >= _BALANCED:
            return (
                f"focal loss (gamma {c.loss.gamma:g}) where {percent(o.coverage)} of "
                "the pixels are bead: there is no rare class to focus on"
            )
    if c.loss.name == "bce" and o.partial and c.partial.method == "none":
        return (
            "cross-entropy takes every unlabelled bead for background, and about "
            f"{percent(1 - o.labelled)} are unlabelled"
        )
    return None


def _diameter(o: Overview) -> Choice | None:
    if not o.diameter_px > 0:
        return None
    return Choice(
        _chosen(o),
        f"the median bead is {o.diameter_px:.1f} px: images are resampled by "
        f"{_scale(o):.2g}",
    )


def _diameter_unsuited(c: ConfigDict, o: Overview) -> str | None:
    wanted = c.data.bead_diameter
    if not o.diameter_px > 0:
        return None
    seen = _seen(o, wanted)
    field = 0.68 * models.build(c.model).margin  # px that count in practice, about
    if seen < 10 and seen < _seen(o):
        return f"beads of {seen:.0f} px: a touching pair is 1-2 px apart"
    if seen > 2 * field:
        return (
            f"beads of {seen:.0f} px are larger than what the network "
            f"{c.model.name} sees at once (about {field:.0f} px)"
        )
    return None


def _crop(o: Overview) -> Choice:
    most = 16 * max(int(_seen_side(o) // 16), 2) if math.isfinite(o.side_px) else 128
    wanted = 96 if o.coverage >= _BALANCED else 128
    value = min(wanted, most)
    return Choice(
        value,
        f"{value / _seen(o):.1f} bead diameters; the smallest image is "
        f"{_seen_side(o):.0f} px at that scale",
    )


def _crop_unsuited(c: ConfigDict, o: Overview) -> str | None:
    if not o.diameter_px > 0:
        return None
    seen = _seen(o, c.data.bead_diameter)
    if c.data.crop < 2.5 * seen:
        return (
            f"a crop of {c.data.crop} px holds {c.data.crop / seen:.1f} bead "
            "diameters: most beads in it are cut"
        )
    side = _seen_side(o, c.data.bead_diameter)
    if c.data.crop > 1.25 * side:
        return (
            f"a crop of {c.data.crop} px is larger than the smallest image as the "
            f"network sees it ({side:.0f} px): the rest is padding"
        )
    return None


def _batch(o: Overview) -> Choice:
    return Choice(BATCH, f"{_crops(o, _crop(o).value):.0f} crops cover the images")


def _crops(o: Overview, crop: int, setting: float | str | None = None) -> float:
    """About how many crops the labelled images hold, taken as squares."""
    images = o.labelled_images or o.point_images or o.images
    side = _seen_side(o, setting)
    return images * max((side / crop) ** 2, 1) if math.isfinite(side) else images


def _batch_unsuited(c: ConfigDict, o: Overview) -> str | None:
    images = o.labelled_images or o.point_images
    if not images:
        return None
    crops = _crops(o, c.data.crop, c.data.bead_diameter)
    if c.data.batch_size > crops:
        return (
            f"a batch of {c.data.batch_size} crops is more than the data hold (about "
            f"{crops:.0f}): every step sees the same pixels"
        )
    if c.data.batch_size > 2 * images and c.data.batch_size > BATCH:
        return (
            f"a batch of {c.data.batch_size} from {counted(images, 'image')}: several "
            "crops of each image in every step say much the same"
        )
    return None


def _rate_unsuited(c: ConfigDict, o: Overview) -> str | None:
    rate = c.optim.learning_rate
    steps = c.train.steps_per_epoch or max(
        _crops(o, c.data.crop, c.data.bead_diameter) / c.data.batch_size, 1
    )
    total = steps * c.train.epochs
    if rate > 1e-2:
        return f"a rate of {rate:g} is 5 times the highest that was measured to train"
    if rate * total < 0.3:
        return (
            f"a rate of {rate:g} for about {total:.0f} steps: the product "
            f"{rate * total:.2g} is below 0.3, an eighth of the recipe measured"
        )
    return None


def _patience(o: Overview) -> Choice:
    few = 0 < (o.labelled_images or o.point_images) * 0.15 < 5
    because = "few validation images: their Jaccard is noisy" if few else "as in base"
    return Choice(20, because)


def _patience_unsuited(c: ConfigDict, o: Overview) -> str | None:
    patience = c.train.early_stopping
    if patience and patience < 10 and c.train.epochs > 2 * patience:
        return (
            f"early stopping after {patience} evaluations: a plateau of that length "
            "comes before the best epoch"
        )
    return None


def _flatten(o: Overview) -> Choice | None:
    because = f"light varies by {percent(o.shading)} of the range over an image"
    return Choice(3.0, because) if o.shading > SHADED else None


def _flatten_unsuited(c: ConfigDict, o: Overview) -> str | None:
    if o.shading > SHADED and not c.data.normalise.flatten:
        return f"light varies by {percent(o.shading)} of the range and is not flattened"
    if 0 < c.data.normalise.flatten < 2:
        return (
            f"a mean over {c.data.normalise.flatten:g} bead diameters follows the "
            "beads and takes them away"
        )
    return None


def _invert(o: Overview) -> Choice | None:
    return Choice(0.5, _MIXED) if o.mixed_polarity else None


def _invert_unsuited(c: ConfigDict, o: Overview) -> str | None:
    return _MIXED if o.mixed_polarity and not c.data.augment.invert else None


def _heads(o: Overview) -> Choice | None:
    because = f"{percent(o.touching)} of the beads touch"
    return Choice(("mask", "distance"), because) if o.touching > TOUCHING else None


def _heads_unsuited(c: ConfigDict, o: Overview) -> str | None:
    if o.touching > TOUCHING and "distance" not in c.model.heads:
        return f"{percent(o.touching)} of the beads touch, and nothing tells them apart"
    return None


def _completeness(o: Overview) -> Choice | None:
    if not o.partial:
        return None
    value = round(min(max(o.labelled, 0.05), 0.95), 2)
    return Choice(
        value,
        f"of the beads seen without masks, {percent(o.labelled)} are labelled, and "
        f"{percent(o.seen)} of the labelled are seen",
    )


def _completeness_unsuited(c: ConfigDict, o: Overview) -> str | None:
    if o.partial and c.partial.method == "none":
        return (
            f"masks label about {percent(o.labelled)} of the beads, taken as complete"
        )
    return None


def _threshold_unsuited(c: ConfigDict, o: Overview) -> str | None:
    if o.partial and c.train.threshold is not None and c.train.threshold >= o.labelled:
        return (
            f"a threshold of {c.train.threshold:g} on masks that label about "
            f"{percent(o.labelled)}: probabilities on beads do not reach it"
        )
    return None


def _fixed(value: Any, because: str) -> Callable[[Overview], Choice]:
    return lambda o: Choice(value, because)


RECIPE = (
    "The recipe is that of configs/dice.py: rate 2e-3, 1200 steps of 8 crops of 96 px, "
    "beads of 24 px. It reaches a Jaccard of 0.911 on generated beads, 0.894 on "
    "emps_spheres_dev, 0.819 on dsb2018_nuclei_dev, the last epoch within 1 % of the "
    "best."
)
_RECIPE = "part of the recipe"
_HALF = (
    "half of the beads dropped, threshold 0.5: focal 0.127, BCE 0.454, BCE + Dice "
    "0.817, Dice 0.885; each at its own best threshold: 0.887 to 0.899"
)

RULES = (
    Rule(
        "loss.name",
        _loss,
        _loss_unsuited,
        f"complete masks: focal 0.920, BCE 0.917, Dice 0.910, so the analysis' claim "
        f"that focal loss fails on balanced classes does not hold by itself; {_HALF}",
    ),
    Rule("data.bead_diameter", _diameter, _diameter_unsuited, _RECIPE),
    Rule(
        "data.crop", _crop, _crop_unsuited, f"{_RECIPE}; other crops were not measured"
    ),
    Rule(
        "data.batch_size",
        _batch,
        _batch_unsuited,
        f"{_RECIPE}; that dense beads need batches of 32 to 64, as the analysis says, "
        "is not borne out: of the same number of crops, batches of 16 learn less than "
        "of 8 (-0.050 +- 0.008 in a small network, configs/study_domain_shift.py)",
    ),
    Rule(
        "optim.learning_rate",
        _fixed(2e-3, f"{STEPS} steps of {BATCH} crops, with warm-up and cosine decay"),
        _rate_unsuited,
        f"{_RECIPE}: 20 times the rate that the analysis calls for, and no collapse; "
        "in 144 steps of a small network 1e-4 is 0.23 behind 1e-3 on complete masks",
    ),
    Rule("optim.warmup_steps", _fixed(20, "half an epoch"), None, _RECIPE),
    Rule("optim.cosine", _fixed(True, f"decay over the {STEPS} steps"), None, _RECIPE),
    Rule(
        "train.epochs",
        _fixed(EPOCHS, "the best epochs of the benchmarks were 20 to 30"),
        None,
        "best epochs 25, 20 and 30 of 30",
    ),
    Rule(
        "train.steps_per_epoch",
        _fixed(STEPS // EPOCHS, f"{EPOCHS} epochs make {STEPS} steps"),
        None,
        _RECIPE,
    ),
    Rule(
        "train.early_stopping",
        _patience,
        _patience_unsuited,
        "best epochs 25, 20 and 30 of 30",
    ),
    Rule(
        "data.normalise.flatten",
        _flatten,
        _flatten_unsuited,
        "no effect on Jaccard was measured",
    ),
    Rule(
        "data.augment.invert",
        _invert,
        _invert_unsuited,
        "no effect on Jaccard was measured",
    ),
    Rule(
        "model.heads",
        _heads,
        _heads_unsuited,
        "the distance head is what `beadseg predict` tells touching beads apart by",
    ),
    Rule("partial.completeness", _completeness, _completeness_unsuited, _HALF),
    Rule(
        "train.threshold",
        lambda o: None,
        _threshold_unsuited,
        "half dropped: BCE 0.454 at threshold 0.5, 0.876 at half the completeness",
    ),
)
