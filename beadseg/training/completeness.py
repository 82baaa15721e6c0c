"""How complete masks are: as told, or as a network sees it.

A run begins with the loss of its config. Where its masks are told to fall short
(`config.partial.completeness`, `beads.toml`), or after `config.partial.audit` of its
epochs are found to (if that is early: as soon as the network can tell), the loss that
`config.partial.method` names takes its place, and validation is corrected. Masks found
complete change nothing: not a bit.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict

from beadseg.data.tiles import RecordInfo
from beadseg.errors import BeadsegError
from beadseg.losses import LOSSES, loss_options

AUTO = "likelihood"  # best of those tried with 80 % of generated beads left out
COMPLETE = 0.98  # from here on, a mask that is told about needs no correction
LATEST = 0.3  # of the epochs: what is not judged by then is judged as it looks


class Completeness(NamedTuple):
    """What is taken as true of the masks of some images."""

    told: Mapping[str, float]  # by image
    rest: float | None  # of the others, as estimated; None: nothing is known

    def of(self, image: str) -> float:
        """Of an image; 1 where nothing is known."""
        return self.told.get(image, 1.0 if self.rest is None else self.rest)


class Judged(NamedTuple):
    """Which images validation counts, and what it takes their completeness for."""

    completeness: dict[str, float]  # by image that counts
    sentence: str


class Gaps(NamedTuple):
    """What is known of the beads that the masks of a run lack, before it begins."""

    told: dict[str, float]  # completeness by image, of the masks trained on
    told_of_truth: dict[str, float]  # the same, of those that validation looks at
    audited: bool  # whether some are to be judged
    method: str | None  # loss for masks that fall short; None: it will not be needed


def gaps(config: ConfigDict, records: Sequence[RecordInfo], is_truth: bool) -> Gaps:
    """Looks up what `config.partial`, `beads.toml` and the renderer tell.

    Args:
      config: of the run.
      records: trained on.
      is_truth: whether validation looks at the same masks; generated beads whose masks
        are damaged are judged by the undamaged ones.

    Raises:
      BeadsegError: an unknown method, or a completeness that is no share.
    """
    method, given = method_of(config), config.partial.completeness
    if given is not None and not 0.0 < given <= 1.0:
        raise BeadsegError(
            f"config.partial.completeness = {given}: give a share above 0, at most 1"
        )
    shares = {r.image: r.completeness or given for r in records if r.has_mask}
    told = {image: share for image, share in shares.items() if share is not None}
    of_truth = told
    if not config.data.dir:
        of_truth = dict.fromkeys(shares, 1.0)
        if is_truth:
            told = of_truth
    audited = method != "none" and len(told) < len(shares)
    short = min(told.values(), default=1.0) < 1.0
    needed = method != "none" and (audited or short)
    return Gaps(told, of_truth, audited, method if needed else None)


def method_of(config: ConfigDict) -> str:
    """The loss for masks that fall short: `config.partial.method`, "none" or chosen.

    Raises:
      BeadsegError: an unknown method, or one that takes no completeness.
    """
    method = config.partial.method
    if method in ("auto", "none"):
        return AUTO if method == "auto" else method
    if method not in LOSSES or "completeness" not in loss_options(method):
        known = [name for name in LOSSES if "completeness" in loss_options(name)]
        raise BeadsegError(
            f"config.partial.method = {method!r} is unknown: use auto, none, "
            + ", ".join(known)
        )
    return method


def judge(images: Sequence[str], known: Completeness) -> Judged:
    """Validation on the complete masks where some are told to be, else corrected."""
    complete = [name for name in images if known.told.get(name, 0.0) >= COMPLETE]
    if complete:
        which = "on complete masks"
        if len(complete) < len(images):
            which = f"on the {len(complete)} complete masks of {len(images)}"
        return Judged(dict.fromkeys(complete, 1.0), which)
    shares = {name: known.of(name) for name in images}
    mean = float(np.mean(list(shares.values())))
    if known.rest is None and not known.told or mean == 1.0:
        return Judged(shares, "on known pixels")
    how = "as told" if shares.keys() <= known.told.keys() else "as estimated"
    return Judged(shares, f"corrected for masks that are {mean:.0%} complete, {how}")
