"""What a run learns from and is measured on, and warnings about its scores."""

from pathlib import Path
from typing import NamedTuple

from ml_collections import ConfigDict

from beadseg.data import pipeline, splits
from beadseg.data.builders import open_dataset
from beadseg.data.dataset import Dataset
from beadseg.data.masks.provenance import proposed
from beadseg.errors import BeadsegError
from beadseg.quoting import counted
from beadseg.training.partial_labels import PartialLabels, known_labels
from beadseg.training.run_folder import RunFolder


class Data(NamedTuple):
    """What a run learns from and is measured on."""

    dataset: Dataset
    truth: Dataset  # what validation is measured against
    sides: splits.Split
    epoch_steps: int
    labels: PartialLabels
    cautions: tuple[str, ...]  # warnings about its scores

    @property
    def marks(self) -> bool:
        """Whether masks mark beads instead of outlining them."""
        return self.truth.marks


def open_data(config: ConfigDict) -> Data:
    """Opens or builds the data set and splits it; prints what was noticed."""
    dataset, truth = open_both(config)
    sides = splits.split(
        truth.records,
        config.data.validation_fraction,
        config.data.split_seed,
        config.data.density_bins,
        config.data.validation,
    )
    doubtful = _cautions(config, truth, sides)
    for line in [*dataset.notes, *splits.format_split(sides).splitlines(), *doubtful]:
        print(line)
    epoch_steps = config.train.steps_per_epoch or pipeline.steps_per_epoch(
        dataset, sides.train, config
    )
    labels = known_labels(config, dataset.records, sides.train, dataset is truth)
    return Data(dataset, truth, sides, epoch_steps, labels, doubtful)


def open_both(config: ConfigDict) -> tuple[Dataset, Dataset]:
    """The data set trained on, and that of the truth: labels are damaged to train."""
    dataset = open_dataset(config)
    if config.data.dir or config.data.generated.damage == "none":
        return dataset, dataset
    complete = config.copy_and_resolve_references()
    complete.data.generated.damage = "none"
    return dataset, open_dataset(complete)


def check_data(folder: RunFolder, data: Data) -> None:
    """Writes fingerprint and split of a new run; holds an old one against its own.

    Raises:
      BeadsegError: they are others.
    """
    before = folder.read("dataset.json")
    known = (before or {}).get("fingerprint")  # None: damaged, and written anew
    if known not in (None, data.dataset.fingerprint):
        raise BeadsegError(
            f"{folder.path}: the images or masks have changed since this run began: "
            "give another folder with --workdir"
        )
    folder.write("dataset.json", data.dataset.as_json())
    split = data.sides.as_json(data.dataset.records)
    stored = folder.read("split.json")
    known = (stored or {}).get("validation")
    if known not in (None, split["validation"]):
        raise BeadsegError(
            f"{folder.path}: this run was made with another split of the images (by "
            "another version of beadseg): give another folder with --workdir"
        )
    folder.write("split.json", split)


def _cautions(
    config: ConfigDict, truth: Dataset, sides: splits.Split
) -> tuple[str, ...]:
    records = [truth.records[i] for i in sides.validation]
    images = sorted({record.image for record in records})
    groups = {record.group for record in records}
    lines = []
    if len(images) == 1:
        lines.append(
            f"validation rests on one image ({images[0]}): its scores say little about "
            "others; label more images, or name several with --config.data.validation"
        )
    elif len(groups) == 1:
        lines.append(
            f"validation rests on one group ({groups.pop()}, "
            f"{counted(len(images), 'image')}): its scores say little about others; "
            "label images of more groups"
        )
    if truth.unmarked:
        lines.append(
            "marks are incomplete: what they lack is unknown where the default model "
            "sees a bead, and counts as background elsewhere: F1 and count error say "
            "little of whether training helped"
        )
    if config.data.dir:
        circular = proposed(Path(config.data.dir).expanduser(), images)
        lines.append(circular.sentence("validation"))
    return tuple(line for line in lines if line)
