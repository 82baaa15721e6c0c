"""Where the beads of a completed data set come from: a person, or a model's proposals.

`beadseg complete` writes `provenance/NAME.json` beside the masks that it completes. A
mask that is mostly accepted proposals is no truth about the model that made them.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from beadseg.files import read_file
from beadseg.quoting import counted

FOLDER = "provenance"
MOSTLY = 0.5  # of the beads, above which a mask is the model's rather than a person's


class Origins(NamedTuple):
    """Of the beads of some masks."""

    images: tuple[str, ...]  # whose masks are mostly accepted proposals
    accepted: int  # beads in those masks that a model proposed
    beads: int  # in those masks
    runs: tuple[str, ...]  # that proposed them

    def sentence(self, what: str) -> str:
        """What a person should hear of it; empty where there is nothing to say.

        Args:
          what: the masks are used for: "validation", "the truth".
        """
        if not self.images:
            return ""
        count = len(self.images)
        masks = (
            f"the mask of {self.images[0]}" if count == 1 else counted(count, "mask")
        )
        verb = "is" if count == 1 else "are"
        return (
            f"circular: {masks} of {what} {verb} mostly accepted proposals of "
            f"{', '.join(self.runs)} ({self.accepted} of "
            f"{counted(self.beads, 'bead')}): scores on them say how far models agree, "
            "not how right they are"
        )


def proposed(folder: Path, images: Iterable[str]) -> Origins:
    """The masks among `images` that are mostly accepted proposals of a model.

    Args:
      folder: a data set, completed or not.
      images: names of their pages. Those without a provenance that can be read are
        taken for a person's.
    """
    names, runs, accepted, beads = [], set(), 0, 0
    for name in sorted(set(images)):
        try:
            content = json.loads(read_file(folder / FOLDER / f"{name}.json"))
            masked = [b for b in content["beads"].values() if b["in_mask"]]
            own = [b for b in masked if b["origin"] == "model"]
            of = {str(b["run"]) for b in own}
        except (
            *(OSError, ValueError, KeyError, TypeError, AttributeError),
            RecursionError,
        ):
            continue
        if len(own) > MOSTLY * len(masked):
            names.append(name)
            runs |= of
            accepted += len(own)
            beads += len(masked)
    return Origins(tuple(names), accepted, beads, tuple(sorted(runs)))
