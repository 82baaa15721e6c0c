import numpy as np
import pytest

from beadseg.partial.calibration import FEWEST, calibrate
from beadseg.partial.proposals import certain

LABELLED, MISSING, NONE = 400, 400, 80


def planted(seed: int, tilt: float = 0.0):
    """Certainty of labelled beads and of proposals, and which of those are beads.

    Places among the labelled have density exp(-tilt * place) for beads, and for what is
    none lie in the lowest tenth, where few labelled ones are.
    """
    rng = np.random.default_rng(seed)
    labelled = rng.beta(8, 2, LABELLED)
    chance = rng.random(MISSING)
    if tilt:
        chance = -np.log1p(chance * np.expm1(-tilt)) / tilt
    none = 0.1 * rng.random(NONE) ** 3
    certainty = np.quantile(labelled, np.concatenate([chance, none]))
    return labelled, certainty, np.arange(MISSING + NONE) < MISSING


@pytest.mark.parametrize("tilt", [0.0, 2.0])
@pytest.mark.parametrize("stated", [0.9, 0.95, 0.98])
def test_those_accepted_are_as_often_right_as_stated(stated, tilt):
    """By chance, or with the less certain left out more often."""
    truth, share, expected = [], [], []
    for seed in range(5):
        labelled, certainty, is_bead = planted(seed, tilt)
        scores = calibrate(certainty, labelled, [])
        expected.append(scores.sum())
        taken = scores >= certain(scores.tolist(), stated)
        truth.append(is_bead[taken].mean())
        share.append(taken[is_bead].mean())
    assert np.mean(truth) >= stated - 0.015
    assert np.mean(share) > 0.8
    assert np.mean(expected) == pytest.approx(MISSING, rel=0.08)


def test_only_the_order_of_the_certainty_counts():
    labelled, certainty, _ = planted(0)
    scores = calibrate(certainty, labelled, [])
    for change in (np.sqrt, lambda c: 0.3 * c, lambda c: c**9):
        again = calibrate(change(certainty), change(labelled), [])
        np.testing.assert_allclose(again, scores, rtol=1e-6)
    order = np.argsort(certainty)
    assert (np.diff(scores[order]) >= 0).all()


def test_what_is_as_certain_as_labelled_beads_but_often_misshapen_is_less_precise():
    labelled, certainty, _ = planted(0)
    whole = calibrate(certainty, labelled, [])
    some = calibrate(certainty, labelled, np.full(40, np.median(labelled)))
    # 40 beside the nine tenths of the labelled that are as certain.
    np.testing.assert_allclose(some / whole, 360 / 400, atol=0.005)


def test_too_few_labelled_beads_say_nothing():
    labelled, certainty, _ = planted(0)
    assert calibrate(certainty, labelled[: FEWEST - 1], []) is None
    assert len(calibrate([], labelled, [])) == 0
