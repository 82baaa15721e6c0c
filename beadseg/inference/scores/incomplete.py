"""Scores against masks that label only a share of the beads.

Against such masks a perfect prediction looks full of false positives, and one that
imitates the gaps looks perfect. Where the share is known, counts are those expected
against complete masks, if beads were left out at random (Elkan and Noto 2008).
"""

from collections.abc import Iterable
from pathlib import Path

from beadseg import matching
from beadseg.data.images.reading import file_stem
from beadseg.data.settings_file import read_beads_toml
from beadseg.errors import BeadsegError
from beadseg.inference.scores.evaluation import ERRORS, Boundary, Score
from beadseg.inference.scores.pairing import Pair, dataset_of
from beadseg.metrics import Confusion, completed


def known_shares(
    truth: Path, pairs: Iterable[Pair], given: float | None
) -> dict[str, float]:
    """Completeness of the masks of some pairs, where it is given.

    Args:
      truth: a data set, or part of one; its `beads.toml` is read.
      pairs: of it.
      given: of all masks, on the command line; it comes first.

    Raises:
      BeadsegError: `given` is no share, or `beads.toml` is wrong.
    """
    if given is not None and not 0 < given <= 1:
        raise BeadsegError(f"--completeness {given:g}: give a share above 0, at most 1")
    masks = {pair.name: pair.mask for pair in pairs if pair.mask is not None}
    if given is not None:
        return dict.fromkeys(masks, given)
    settings = read_beads_toml(dataset_of(truth), lambda name: file_stem(Path(name)))
    shares = {
        name: settings.completeness_of(file_stem(m.path)) for name, m in masks.items()
    }
    return {name: share for name, share in shares.items() if share is not None}


def expected(score: Score, share: float) -> Score:
    """The score to be expected against a complete mask; a share of 1 changes nothing.

    Args:
      score: of an image with a mask.
      share: of its true beads that the mask labels, above 0.
    """
    if share == 1 or score.beads is None:
        return score
    first = matching.completed(score.beads[0], share)
    errors = dict(zip(ERRORS, score.errors, strict=True))
    wrongly = score.beads[0].false_positive - first.false_positive
    named = {kind: count / share for kind, count in errors.items()}
    named["false_positive"] = max(errors["false_positive"] - wrongly, 0.0)
    b = score.boundary
    return score._replace(
        pixels=Confusion(*map(float, completed(score.pixels, share))),
        boundary=Boundary(
            b.predicted,
            min(b.predicted_near / share, b.predicted),
            b.truth / share,
            b.truth_near / share,
        ),
        beads=tuple(matching.completed(counts, share) for counts in score.beads),
        errors=tuple(named[kind] for kind in ERRORS),
        detection=matching.completed(score.detection, share),
        truth=score.truth / share,
    )
