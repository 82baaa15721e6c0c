"""Scores of beads: what they are made of, against closed forms and loops."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit

from beadseg.inference.outputs.measure import measure
from beadseg.inference.pyramid import bead_scores, pyramid
from beadseg.inference.pyramid.pyramid import Candidates, Level, Maps
from tests.inference import played

SHAPE = (192, 160)
SCALES = (1.0, 0.5, 0.25)


def seen(discs, scales=SCALES, shape=SHAPE):
    """Levels, candidates, and what lies under them."""
    levels = [played.level(shape, scale, discs.get(scale, [])) for scale in scales]
    found = pyramid.candidates(levels, shape, None)
    return levels, found, pyramid.under(levels, shape, found)


def crowd(seed=0, per_level=15):
    rng = np.random.default_rng(seed)
    return seen(
        {
            scale: [
                (*rng.uniform(10, 150, 2), rng.uniform(6, 24) / scale)
                for _ in range(per_level)
            ]
            for scale in SCALES
        }
    )


def two(y, x, diameter, other_y, other_x, other_diameter) -> Candidates:
    levels = [played.level((10, 10), 1.0, [])]
    return played.candidates(
        levels, (0, 1, y, x, diameter), (0, 2, other_y, other_x, other_diameter)
    )


FIRST, SECOND = np.array([0]), np.array([1])


def test_the_same_disc_agrees_wholly():
    assert bead_scores.agreement(two(5, 6, 9, 5, 6, 9), FIRST, SECOND) == 1


@given(st.floats(3, 300), st.floats(3, 300), st.floats(0, 400))
def test_agreement_is_a_share_that_both_see_alike(one, other, apart):
    found = two(0, 0, one, 0, apart, other)
    forth = bead_scores.agreement(found, FIRST, SECOND)
    assert 0 <= forth <= 1
    assert forth == bead_scores.agreement(found, SECOND, FIRST)
    nearer = bead_scores.agreement(two(0, 0, one, 0, apart / 2, other), FIRST, SECOND)
    assert nearer >= forth
    if apart > max(one, other):
        assert forth == 0


def test_discs_around_one_centre_agree_by_the_ratio_of_their_areas():
    found = two(0, 0, 10, 0, 0, 20)
    assert bead_scores.agreement(found, FIRST, SECOND) == pytest.approx(0.25)


def test_identical_discs_support_each_other_wholly():
    levels = [played.level(SHAPE, scale, []) for scale in SCALES]
    found = played.candidates(levels, *[(i, 1, 80, 80, 40) for i in range(3)])
    beneath = np.tile(np.arange(3)[:, None], (1, 3))
    result = bead_scores.support(found, beneath, pyramid.octaves(levels))
    for i, row in enumerate(result):
        for step, same, there in zip(
            bead_scores.SUPPORT, row[::2], row[1::2], strict=True
        ):
            assert same == there == (0 <= i + step < 3)


def test_a_disc_drawn_at_every_level_is_supported_up_to_its_pixels():
    levels, found, beneath = seen({scale: [(80.5, 80.5, 48)] for scale in SCALES})
    result = bead_scores.support(found, beneath, pyramid.octaves(levels))
    assert result[:, ::2][result[:, 1::2] == 1].min() > 0.9


def test_a_disc_on_one_level_alone_has_no_support():
    levels, found, beneath = seen({0.5: [(80, 80, 40)], 1.0: [(20, 20, 12)]})
    assert not bead_scores.support(found, beneath, pyramid.octaves(levels))[
        :, ::2
    ].any()


@pytest.mark.parametrize("per_level", [0, 1, 15])
def test_features_are_finite_for_any_number_of_candidates(per_level):
    levels, found, beneath = crowd(per_level=per_level)
    count = len(found.level)
    score = np.full(count, 0.5)
    for features in (
        bead_scores.appearance(levels, found),
        bead_scores.support(found, beneath, pyramid.octaves(levels)),
        bead_scores.context(found, beneath, score, np.ones(len(score))),
        bead_scores.context(found, beneath, np.zeros(count), np.zeros(count)),
    ):
        assert features.shape[0] == count and features.dtype == np.float32
        assert np.isfinite(features).all()


def test_one_candidate_has_itself_for_context():
    levels = [played.level(SHAPE, 1.0, [(80, 80, 32)])]
    found = pyramid.candidates(levels, SHAPE, None)
    one = np.array([0.9])
    row = bead_scores.context(found, np.array([[0]]), one, -one)[0]
    usual = np.round(math.log2(found.diameter[0]), 1)  # sizes are told in tenths
    np.testing.assert_allclose(row[:2], math.log2(found.diameter[0]) - usual, atol=1e-6)
    # As sure as its best, and as bright as the usual bead, by number and by area.
    np.testing.assert_allclose(row[4:9], (0.9, 1, 0, 1, 0), atol=1e-6)
    around, ratio, inside, twin, _ = row[9:]
    assert around == ratio == inside == twin == 0


def test_context_knows_what_lies_around_and_what_in_a_bead():
    discs = {1.0: [(80, 90, 10)], 0.25: [(80, 80, 100)]}
    levels, found, beneath = seen(discs)
    score = np.array([0.6, 0.8])
    dust, bead = bead_scores.context(found, beneath, score, np.ones(len(score)))[
        :, 9:12
    ]
    share = (found.diameter[0] / found.diameter[1]) ** 2
    assert dust == pytest.approx((0.8, math.log2(share), 0), rel=1e-5)
    assert bead == pytest.approx((0, 0, share * 0.6), rel=1e-5)


def test_context_knows_the_same_disc_of_another_level():
    levels, found, beneath = seen({scale: [(80.5, 80.5, 48)] for scale in SCALES[:2]})
    score = np.array([0.9, 0.7])
    twins = bead_scores.context(found, beneath, score, score)[:, -2:]
    np.testing.assert_allclose(twins, [(0.7, -0.2), (0.9, 0.2)], atol=1e-6)


def test_the_order_of_candidates_changes_no_context():
    _, found, beneath = crowd()
    score = np.random.default_rng(1).random(len(found.level))
    order = np.random.default_rng(2).permutation(len(score))
    where = np.append(np.argsort(order), -1)
    expected = bead_scores.context(found, beneath, score, np.ones(len(score)))
    again = bead_scores.context(
        found.take(order), where[beneath[:, order]], score[order], np.ones(len(score))
    )
    np.testing.assert_allclose(again, expected[order], rtol=1e-5, atol=1e-5)


def drawn_network(inputs, rng, hidden=8):
    shapes = {"w0": (inputs, hidden), "b0": hidden, "w1": (hidden, hidden)}
    shapes |= {"b1": hidden, "w2": (hidden, 1), "b2": 1, "mean": inputs}
    net = {name: rng.normal(0, 1, shape) for name, shape in shapes.items()}
    return net | {"spread": rng.uniform(0.5, 2, inputs)}


def test_a_network_computes_what_loops_compute():
    rng = np.random.default_rng(0)
    net = drawn_network(5, rng)
    features = rng.normal(0, 20, (30, 5))  # so far off that some are cut at 6
    logits = bead_scores.forward(net, features)
    for row, found in zip(features, logits, strict=True):
        x = [
            min(max((value - net["mean"][i]) / net["spread"][i], -6), 6)
            for i, value in enumerate(row)
        ]
        for layer in "01":
            w, b = net[f"w{layer}"], net[f"b{layer}"]
            x = [
                max(b[j] + sum(x[i] * w[i, j] for i in range(len(x))), 0)
                for j in range(len(b))
            ]
        logit = net["b2"][0] + sum(x[i] * net["w2"][i, 0] for i in range(len(x)))
        assert found == pytest.approx(logit, rel=1e-6, abs=1e-6)
    both = bead_scores.mean_of([net, net], features)
    np.testing.assert_allclose(both, expit(logits), atol=1e-6)


@pytest.mark.parametrize("per_level", [0, 1, 15])
def test_scores_are_probabilities(per_level):
    levels, found, beneath = crowd(per_level=per_level)
    for known in (beneath, None):
        score = bead_scores.scores(levels, found, known)
        assert score.shape == found.level.shape and score.dtype == np.float32
        assert np.all((score >= 0) & (score <= 1))


def test_clear_discs_on_all_levels_score_higher_than_faint_ones_on_one():
    discs = [(y, x, 20) for y in range(20, 180, 36) for x in range(20, 150, 36)]
    clear = [played.level(SHAPE, scale, discs, 0.98) for scale in SCALES]
    faint = [played.level(SHAPE, s, discs if s == 1 else [], 0.7) for s in SCALES]
    scores = []
    for levels in (clear, faint):
        found = pyramid.candidates(levels, SHAPE, None)
        beneath = pyramid.under(levels, SHAPE, found)
        scores.append(bead_scores.scores(levels, found, beneath).mean())
    assert scores[0] > scores[1]


def bright_and_dark(background):
    """A level with a bright and a dark disc, its background clear or not."""
    labels = played.level((100, 100), 1.0, [(30, 30, 20), (70, 70, 20)]).labels
    image = np.array([background, background + 0.4, background - 0.4], np.float32)[
        labels
    ]
    clear = 0.0 if background == 0.3 else 0.4  # of probability
    probability = np.where(labels > 0, 0.9, clear).astype(np.float32)
    regions = measure(labels, image, probability, threshold=0.5)
    maps = Maps(probability, None, None)
    columns = regions.table | {"noise": regions.noise}
    return Level(1.0, maps, labels, columns, regions.boxes)


def test_polarity_is_the_difference_from_a_clear_background():
    levels = [bright_and_dark(0.3)]
    found = pyramid.candidates(levels, (100, 100), None)
    np.testing.assert_allclose(
        bead_scores.polarity(levels, found), (0.4, -0.4), atol=1e-5
    )


def test_where_no_background_is_clear_what_is_brighter_is_bright():
    levels = [bright_and_dark(0.5)]
    found = pyramid.candidates(levels, (100, 100), None)
    bright, dark = bead_scores.polarity(levels, found)
    assert bright > 0 > dark


@pytest.mark.parametrize(
    "diameter, expected",
    [
        ([], False),
        ([8.0] * 50, False),
        ([8.0] * 50 + [60.0] * 2, False),  # two may be clumps
        ([8.0] * 50 + [60.0] * 3, True),
        ([60.0] * 50 + [8.0] * 3, True),
        (np.linspace(8, 20, 50), False),
    ],
)
def test_sizes_differ_where_some_are_far_from_most(diameter, expected):
    assert bead_scores.sizes_differ(np.array(diameter)) == expected
