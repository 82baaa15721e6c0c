"""Masks that label only part of the beads: all that training knows and does of it.

A run begins with the loss of its config. Where its masks are given as partial
(`config.partial.completeness`, `beads.toml`), or after `config.partial.audit` of its
epochs are found to be (if that is early: as soon as the network can tell), the loss
that `config.partial.method` names takes its place, and validation is corrected. Masks
found complete change nothing: not a bit.

The audit counts beads, not pixels: a mark that is thinner, thicker or a little beside
what the network has learnt of beads labels one all the same.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from beadseg import models
from beadseg.data import pipeline
from beadseg.data.dataset import Dataset
from beadseg.data.masks.labels import separate
from beadseg.data.tiles import RecordInfo
from beadseg.errors import BeadsegError
from beadseg.losses import LOSSES, loss_options
from beadseg.matching import overlaps
from beadseg.quoting import percent
from beadseg.training import hosts
from beadseg.training.completeness import COMPLETE, estimate_completeness

AUTO = "forward_bce"  # best of those tried with 80 % of generated beads left out
LATEST = 0.3  # of the epochs: what is not judged by then is judged as it looks
TILES = 48  # audited, at most
SAME = 0.5  # of the smaller of bead and mark, that they share
SHARP = 0.6  # of what looks like bead, in shares of what should be, that is labelled

Map = np.ndarray  # [H, W]


class PartialLabels(NamedTuple):
    """What is known of the masks of a run before it begins: completeness by image."""

    given: dict[str, float]  # of the masks trained on
    given_of_truth: dict[str, float]  # of those that validation looks at
    audited: tuple[int, ...]  # records trained on whose masks are to be judged
    method: str | None  # loss for partial labels; None: it will not be needed

    def given_in(self, records: Sequence[RecordInfo]) -> float | None:
        """Mean over the records whose completeness is given, if one is partial."""
        shares = [self.given[r.image] for r in records if r.image in self.given]
        partial = self.method is not None and min(shares, default=1.0) < 1.0
        return float(np.mean(shares)) if partial else None

    def completeness(self, estimate: float | None) -> float | None:
        """Of the masks trained on; None: nothing is known."""
        if estimate or self.audited:
            return estimate or 1.0
        return float(np.mean(list(self.given.values()))) if self.given else None


class KnownCompleteness(NamedTuple):
    """What is taken as true of the masks of some images."""

    given: Mapping[str, float]  # by image
    rest: float | None  # of the others, as estimated; None: nothing is known


class LabelAudit(NamedTuple):
    """What a network says of the masks it learns from."""

    completeness: float  # 0..1
    sharp: bool  # whether it knows beads well enough to say it


class Objects(NamedTuple):
    """What looks like bead in a tile, N objects: f64[N] each."""

    certainty: np.ndarray  # mean probability
    marks: np.ndarray  # labelled beads that lie on it; a share, of a part of one
    area: np.ndarray  # px
    beads: np.ndarray  # that it holds, if all are as large as those with a mark
    part: np.ndarray  # of what lies under its marks, that it is: 1, or less


def known_labels(
    config: ConfigDict, records: Sequence[RecordInfo], train: Sequence[int], truth: bool
) -> PartialLabels:
    """Looks up what `config.partial`, `beads.toml` and the renderer give.

    Args:
      train: those of the training side.
      truth: whether validation looks at the same masks; generated beads whose masks
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
    known = {image: share for image, share in shares.items() if share is not None}
    of_truth = known
    if not config.data.dir:
        of_truth = dict.fromkeys(shares, 1.0)
        if truth:
            known = of_truth
    audited: tuple[int, ...] = ()
    if method != "none" and len(known) < len(shares):
        audited = tuple(i for i in train if records[i].image not in known)
    partial = method != "none" and min(known.values(), default=1.0) < 1.0
    needed = audited or partial
    return PartialLabels(known, of_truth, audited, method if needed else None)


def method_of(config: ConfigDict) -> str:
    """The loss for partial labels: `config.partial.method`, "none" or chosen.

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


def counted_images(
    images: Sequence[str], known: KnownCompleteness
) -> tuple[dict[str, float], str]:
    """The images that validation counts, with completeness, and the words for that.

    It counts complete masks where some are given as such, else all, corrected.
    """
    complete = [name for name in images if known.given.get(name, 0.0) >= COMPLETE]
    if complete:
        which = "on complete masks"
        if len(complete) < len(images):
            which = f"on the {len(complete)} complete masks of {len(images)}"
        return dict.fromkeys(complete, 1.0), which
    rest = 1.0 if known.rest is None else known.rest
    shares = {name: known.given.get(name, rest) for name in images}
    mean = float(np.mean(list(shares.values())))
    if known.rest is None and not known.given or mean == 1.0:
        return shares, "on known pixels"
    how = "as given" if shares.keys() <= known.given.keys() else "as estimated"
    return shares, f"corrected for masks that are {percent(mean)} complete, {how}"


def audit_after(
    epoch: int,
    labels: PartialLabels,
    predict: Callable[[pipeline.Batch], jax.Array],
    dataset: Dataset,
    config: ConfigDict,
) -> float | None:
    """The completeness to train with after an epoch, if masks are found partial by it.

    Until the latest epoch for it, only a network that is sharp finds them so; at that
    epoch, masks that may be partial are said to be in a line.

    Args:
      predict: probabilities f32[B, H, W, 1] of a batch, of the network as it is.
    """
    first, last = (
        max(1, math.ceil(share * config.train.epochs))
        for share in (config.partial.audit, max(config.partial.audit, LATEST))
    )
    if not (labels.audited and first <= epoch <= last):
        return None
    some = labels.audited[:: -(-len(labels.audited) // TILES)]
    tiles = []
    for batch in whole_tiles(dataset, some, config):
        found = np.asarray(predict(batch.arrays))
        for row, record in enumerate(batch.records):
            marks = dataset[record]["labels"]
            height, width = marks.shape
            tiles.append((found[row, :height, :width, 0], marks))
    share, sharp = hosts.broadcast_from_primary(lambda: list(audit_tiles(tiles)))
    if share < config.partial.suspect:
        return share if sharp or epoch == last else None
    if share < config.partial.enough and epoch == last:
        # So early, complete masks look so too.
        print(
            f"the masks may label only {percent(share)} of the beads, seen from epoch "
            f"{epoch}; trained as if complete: beadseg verify looks closer"
        )
    return None


def whole_tiles(
    dataset: Dataset, records: Sequence[int], config: ConfigDict
) -> Iterator[pipeline.EvalBatch]:
    """Batches of whole tiles, as many in each as training has or as are needed."""
    devices = jax.device_count()
    few = -(-len(records) // devices) * devices
    size, stride = min(config.data.batch_size, few), models.build(config.model).stride
    return pipeline.eval_batches(dataset, records, config, size, stride)


def audit_tiles(tiles: Sequence[tuple[Map, Map]]) -> LabelAudit:
    """Completeness from probabilities and labels.

    Of objects that the network is as sure of as of the surer half of those with a mark,
    nearly all are beads, and the share with a mark is the completeness: whether its
    probabilities are of beads or of labels (after Elkan and Noto 2008). An object of
    several beads counts for as many as its area holds, by the size of its marks, or
    without a mark by the usual size as far as that holds of objects with marks.

    Args:
      tiles: probability f32[H, W], and labels i32[H, W] with -1 unknown.
    """
    surest = [_surest(p, labels) for p, labels in tiles]
    labelled = np.concatenate(surest) if surest else np.zeros(0)
    if not len(labelled):
        return LabelAudit(1.0, False)
    threshold = float(np.median(labelled)) / 2
    found = _join(find_objects(p, labels, threshold) for p, labels in tiles)
    marked = found.marks > 0
    alone = found.area[marked & (found.marks <= 1)]
    if not len(alone):
        return LabelAudit(1.0, False)
    # What holds of objects with marks: parts of beads, and several beads by their area.
    more = np.maximum(np.rint(found.area / np.median(alone)), 1) - 1
    excess = (found.beads - found.part)[marked].sum() / max(more[marked].sum(), 1)
    each = found.part[marked].mean() + min(excess, 1) * more
    beads = np.where(marked, found.beads, each)
    missing = beads - found.marks
    sure = found.certainty >= np.median(found.certainty[found.marks > 0])
    of_sure, of_all = (
        estimate_completeness(found.marks[some].sum(), missing[some].sum())
        for some in (sure, slice(None))
    )
    return LabelAudit(of_sure, bool(of_all >= SHARP * of_sure))


def find_objects(probability: Map, labels: Map, threshold: float) -> Objects:
    """What looks like bead, apart at its necks, and the marks on it.

    Args:
      probability: f32[H, W].
      labels: i32[H, W], positive beads, -1 unknown: what lies mostly there is left out.
    """
    objects = separate(probability >= threshold)
    both = overlaps(labels, objects)
    area = np.bincount(objects.ravel())[both.predicted]
    kept = ~both.ignored & (area > 2)
    smaller = np.minimum(area[both.column], both.truth_area[both.row])
    same = (both.shared >= SAME * smaller) & kept[both.column]
    row, column = both.row[same], both.column[same]
    # The parts of a large bead belong together, as do the marks on one object.
    first, size = len(both.truth), len(both.truth) + len(area)
    graph = coo_array((np.ones(len(row)), (row, first + column)), (size, size))
    count, group = connected_components(graph, directed=False)
    marked = np.unique(row)
    marks, mark_area = (
        np.bincount(group[marked], weights, count)
        for weights in (None, both.truth_area[marked])
    )
    group = group[first:]
    parts, parts_area = (
        np.bincount(group[kept], weights, count) for weights in (None, area[kept])
    )
    # Marks may be thinner or thicker than their beads.
    share, alone = parts_area / np.maximum(mark_area, 1), marks == 1
    usual = np.median(share[alone]) if alone.any() else 1.0
    beads = np.maximum(np.rint(marks * share / usual), marks)
    part = 1 / np.maximum(parts, 1)
    certainty = ndimage.mean(probability, objects, both.predicted)
    fields = certainty, (marks * part)[group], area, (beads * part)[group], part[group]
    return Objects(*(np.asarray(values, float)[kept] for values in fields))


def _surest(probability: Map, labels: Map) -> np.ndarray:
    """The highest probability on each mark: f64[N]."""
    marks = np.unique(labels[labels > 0])
    return np.asarray(ndimage.maximum(probability, labels, marks))


def _join(parts: Iterable[Objects]) -> Objects:
    return Objects(*(np.concatenate(field) for field in zip(*parts, strict=True)))
