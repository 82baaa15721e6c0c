"""What makes the scores of a run doubtful, known before its first step."""

from pathlib import Path

from ml_collections import ConfigDict

from beadseg.data.dataset import Dataset
from beadseg.data.masks.provenance import proposed
from beadseg.data.splits import Split


def cautions(config: ConfigDict, truth: Dataset, sides: Split) -> tuple[str, ...]:
    """Lines to print, and to keep in the summary.

    Args:
      config: of the run.
      truth: that validation is measured against.
      sides: of its records.
    """
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
            f"validation rests on one group ({groups.pop()}, {len(images)} images): "
            "its scores say little about others; label images of more groups"
        )
    if config.data.dir:
        circular = proposed(Path(config.data.dir).expanduser(), images)
        lines.append(circular.sentence("validation"))
    return tuple(line for line in lines if line)
