"""Masks held against their images before they are believed, and crops of one frame.

Every labelled image is read once with its mask; what is found is remembered under the
content of the files. A mask that fits its image takes no more; one that does not is
tried turned, moved, and on the other images of its size.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from beadseg.data.cache import (
    hash_code,
    hash_json,
    read_stored_or_none,
    write_stored,
    writing_cache,
)
from beadseg.data.frames import Edges, continued, edges_of
from beadseg.data.images.reading import ReadError
from beadseg.data.masks import mask_fit
from beadseg.data.masks.labels import IF_MISREAD, read_foreground
from beadseg.data.masks.mask_fit import Fit, Light, Probes
from beadseg.data.samples import Sample
from beadseg.quoting import percent
from beadseg.threads import ordered_map

_OTHERS = 200  # images of its size that a doubtful mask is tried on, at most
_LEFT_OUT = (
    "it is not trained on (it is with data.check_masks=False, if it is right after all)"
)


class MaskDoubt(NamedTuple):
    """Something about a mask that its owner should know."""

    image: str  # name of the sample
    file: str
    kind: str  # "other image", "turned", "shifted", or a reading such as "inverted"
    evidence: str
    remedy: str
    left_out: bool  # of training

    @property
    def line(self) -> str:
        """One line to print."""
        return f"{self.file}: {self.evidence}; {self.remedy}"


class Checkup(NamedTuple):
    """What was found in a folder."""

    doubts: tuple[MaskDoubt, ...]
    neighbours: tuple[tuple[str, str], ...]  # names of samples that go on in each other


class _Looked(NamedTuple):
    sample: Sample
    edges: Edges
    probes: Probes | None = None
    light: Light | None = None  # of a doubtful mask
    own: Fit | None = None


def check(samples: Sequence[Sample], cache: Path) -> Checkup:
    """Looks at every labelled image and its mask, or remembers what was found."""
    labelled = [s for s in samples if s.labelled]
    content = [[s.name, s.digest] for s in labelled]
    file = cache / "index" / f"masks-{hash_json([content, hash_code()])}.json"
    stored = read_stored_or_none(file)
    if stored is None:
        found = tqdm(
            ordered_map(_look, labelled), "comparing masks", len(labelled), disable=None
        )
        looked = [each for each in found if each is not None]
        doubts = {e.sample.name: d for e in looked if (d := _doubt(e, looked))}
        edges = continued([each.edges for each in looked])
        neighbours = [[looked[i].sample.name for i in pair] for pair in edges]
        stored = {"doubts": doubts, "neighbours": neighbours}
        if labelled:
            with writing_cache(cache):
                write_stored(file, stored)
    made = [d for s in labelled for d in _doubts(s, stored["doubts"].get(s.name))]
    return Checkup(tuple(made), tuple((a, b) for a, b in stored["neighbours"]))


def _doubts(sample: Sample, fit: Sequence[str] | None) -> list[MaskDoubt]:
    if sample.mask is None:
        return []
    file = str(sample.mask.path)
    where = f"{file} page {sample.page}" if sample.name != sample.source else file
    made = []
    if sample.reading[0]:
        kind, note = sample.reading
        made.append(MaskDoubt(sample.name, where, kind, note, IF_MISREAD, False))
    if fit:
        kind, evidence, remedy = fit
        remedy = f"{remedy}; {_LEFT_OUT}"
        made.append(MaskDoubt(sample.name, where, kind, evidence, remedy, True))
    return made


def _look(sample: Sample) -> _Looked | None:
    try:
        image = sample.image.open()[sample.page].read()
        edges = edges_of(image)
        if sample.mask is None or not sample.beads:
            return _Looked(sample, edges)
        page = sample.mask.open()[sample.page]
        mask = read_foreground(page, plain=not sample.reading[0])
    except (ReadError, OSError):
        return None  # whoever reads it next says so
    beads = mask > 0
    diameter = float(np.median(sample.diameters)) if sample.diameters else 0.0
    across = diameter or 2 * np.sqrt(beads.sum() / sample.beads / np.pi)
    probes = mask_fit.probe(beads, mask < 0, across)
    if probes is None:
        return _Looked(sample, edges)
    light = mask_fit.look(image, probes)
    own = mask_fit.fit(probes, light)
    if own.score >= mask_fit.FITS:
        return _Looked(sample, edges)
    return _Looked(sample, edges, probes, light, own)


def _doubt(looked: _Looked, everything: Sequence[_Looked]) -> tuple[str, ...] | None:
    """What is wrong with a doubtful mask, if anything: kind, evidence and remedy."""
    sample, _, probes, light, own = looked
    if probes is None or not mask_fit.telling(probes, sample.beads):
        return None
    faint = (
        f"inside its beads the image differs from around them by "
        f"{abs(own.contrast):.1f} standard deviations of the noise, "
        f"{percent(own.strength)} of its strong contrasts, as by chance (fit "
        f"{own.score:.1f}; masks on their beads have {mask_fit.FITS:g} and more)"
    )
    turn = mask_fit.best_turn(probes, light)
    if mask_fit.turned(own, turn):
        kind, how = "turned", turn
    else:
        if own.score >= mask_fit.DOUBTFUL:
            return None
        kind, how = "shifted", mask_fit.best_shift(probes, light)
        if how.fit.score < mask_fit.FITS or not how.fit.much_better_than(own):
            how = None
    if how is not None and kind == "turned":
        evidence = (
            f"image and mask are turned or mirrored against each other: {faint}; "
            f"{how.words} the mask fits ({how.fit.score:.1f})"
        )
        remedy = f"save the mask {how.words}"
        return kind, evidence, remedy
    other, there = _other_image(looked, everything)
    if other is not None:
        evidence = (
            f"the mask belongs to another image: {faint}; on {other} it fits "
            f"({there.score:.1f})"
        )
        remedy = f"give this image its own mask (this one is of {other})"
        return "other image", evidence, remedy
    if how is not None:
        evidence = f"the mask lies beside its image: {faint}; {how.words} it fits"
        return kind, f"{evidence} ({how.fit.score:.1f})", "move it there"
    if mask_fit.by_chance(own, light, sample.beads):
        evidence = (
            f"the mask seems to belong to another image: {faint}, while the image "
            "shows objects elsewhere; it fits no other image of its size either"
        )
        return "other image", evidence, "give this image its own mask"
    return None


def _other_image(
    looked: _Looked, everything: Sequence[_Looked]
) -> tuple[str | None, Fit | None]:
    """The image of its size that a mask surely fits, and how well."""
    sample = looked.sample
    same = [e.sample for e in everything if e.sample.shape == sample.shape]
    at = next(i for i, s in enumerate(same) if s is sample)
    near = sorted(range(len(same)), key=lambda i: abs(i - at))[1 : _OTHERS + 1]
    best: tuple[str | None, Fit | None] = (None, None)
    for other in (same[i] for i in near):
        try:
            image = other.image.open()[other.page].read()
        except (ReadError, OSError):
            continue
        found = mask_fit.fit(looked.probes, mask_fit.look(image, looked.probes))
        fits = found.score >= mask_fit.FITS and found.much_better_than(looked.own)
        if fits and (best[1] is None or found.score > best[1].score):
            best = other.name, found
    return best
