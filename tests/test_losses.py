import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.spatial import distance

from beadseg.errors import BeadsegError
from beadseg.losses import (
    LOSSES,
    SMOOTHING,
    bce,
    boundary,
    combined,
    dice,
    distance_loss,
    exclusive,
    expected_dice,
    focal,
    forward_bce,
    loss_options,
    nnpu,
    total_loss,
    tversky,
)

SHAPE = (3, 16, 16, 1)


@pytest.fixture
def example():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, SHAPE).astype(np.float32)
    mask = (rng.random(SHAPE) < 0.4).astype(np.float32)
    weight = (rng.random(SHAPE) < 0.8).astype(np.float32)
    return logits, mask, weight


def sigmoid(x):
    return 1 / (1 + np.exp(-x.astype(np.float64)))


class TestPixelwise:
    def test_bce_of_a_certain_half_is_log_two(self):
        found = bce(jnp.zeros(SHAPE), jnp.ones(SHAPE), jnp.ones(SHAPE))
        np.testing.assert_allclose(found, np.log(2), rtol=1e-5)

    def test_bce_equals_optax_on_known_pixels(self, example):
        logits, mask, weight = example
        each = np.asarray(optax.sigmoid_binary_cross_entropy(logits, mask))
        expected = [e[w > 0].mean() for e, w in zip(each, weight, strict=True)]
        np.testing.assert_allclose(bce(*example), expected, rtol=1e-5)

    def test_focal_equals_its_formula(self, example):
        logits, mask, _ = example
        p = sigmoid(logits)
        right = np.where(mask > 0, p, 1 - p)
        share = np.where(mask > 0, 0.25, 0.75)
        expected = (-share * (1 - right) ** 3 * np.log(right)).mean((1, 2, 3))
        found = focal(logits, mask, np.ones(SHAPE), gamma=3.0, positive_weight=0.25)
        np.testing.assert_allclose(found, expected, rtol=1e-4)

    def test_focal_without_focus_is_half_of_bce(self, example):
        found = focal(*example, gamma=0.0, positive_weight=0.5)
        np.testing.assert_allclose(found, 0.5 * bce(*example), rtol=1e-5)


class TestOverlap:
    @pytest.mark.parametrize("moved", [0, 3, 12])
    def test_dice_of_a_hard_prediction_is_that_of_scipy(self, example, moved):
        _, mask, weight = example
        logits = np.where(np.roll(mask, moved, 1) > 0, 40, -40).astype(np.float32)
        found = dice(logits, mask, weight)
        for i, known in enumerate(weight > 0):
            pair = [x[i][known] > 0 for x in (logits, mask)]
            whole = pair[0].sum() + pair[1].sum()
            # Smoothing adds as much to both sides of the ratio.
            share = whole / (whole + SMOOTHING * known.sum())
            expected = distance.dice(*pair) * share
            np.testing.assert_allclose(found[i], expected, rtol=1e-4, atol=1e-6)

    def test_tversky_alpha_weighs_false_positives_and_beta_false_negatives(self):
        mask = np.zeros((1, 10, 10, 1), np.float32)
        mask[:, :5] = 1
        too_much, too_little = np.full_like(mask, 20), np.full_like(mask, -20)
        too_little[:, 0] = 20
        weight = np.ones_like(mask)
        for logits, option in ((too_much, "alpha"), (too_little, "beta")):
            options = {"alpha": 0.3, "beta": 0.3}
            mild = tversky(logits, mask, weight, **options)
            strict = tversky(logits, mask, weight, **(options | {option: 0.7}))
            assert float(strict[0]) > float(mild[0]) + 0.05
            other = {"alpha": "beta", "beta": "alpha"}[option]
            same = tversky(logits, mask, weight, **(options | {other: 0.7}))
            np.testing.assert_allclose(same, mild, atol=1e-6)

    def test_an_empty_crop_predicted_empty_costs_nothing(self):
        nothing = np.zeros(SHAPE, np.float32)
        found = dice(nothing - 20, nothing, nothing + 1)
        np.testing.assert_allclose(found, 0, atol=1e-5)

    def test_combined_is_the_mix_of_both(self, example):
        expected = 0.3 * bce(*example) + 0.7 * dice(*example)
        np.testing.assert_allclose(combined(*example, mix=0.3), expected, rtol=1e-5)


class TestBoundary:
    def test_only_pixels_next_to_an_edge_count(self):
        mask = np.zeros((1, 32, 32, 1), np.float32)
        mask[:, :, :16] = 1
        logits = np.zeros_like(mask)
        far = logits.copy()
        far[:, :, :8] = -30
        weight = np.ones_like(mask)
        near = logits.copy()
        near[:, :, 15] = -30
        base = boundary(logits, mask, weight)
        np.testing.assert_allclose(base, np.log(2), rtol=1e-5)
        np.testing.assert_allclose(boundary(far, mask, weight), base, rtol=1e-5)
        assert float(boundary(near, mask, weight)[0]) > 2

    def test_without_an_edge_it_is_zero(self):
        ones = np.ones(SHAPE, np.float32)
        np.testing.assert_array_equal(boundary(ones, ones, ones), 0)


@pytest.mark.parametrize("name", LOSSES)
class TestEveryLoss:
    def test_masked_loss_equals_loss_on_subset(self, name, example):
        logits, mask, _ = example
        weight = np.zeros(SHAPE, np.float32)
        weight[:, :8] = 1
        part = [x[:, :8] for x in (logits, mask, weight)]
        np.testing.assert_allclose(
            LOSSES[name](logits, mask, weight), LOSSES[name](*part), rtol=1e-5
        )

    def test_unknown_pixels_have_no_influence_whatever_they_hold(self, name, example):
        logits, mask, weight = example
        wild = np.where(weight > 0, logits, np.inf).astype(np.float32)
        strange = np.where(weight > 0, mask, np.nan).astype(np.float32)
        value = jax.jit(
            jax.value_and_grad(lambda x, m: LOSSES[name](x, m, weight).sum())
        )
        expected, slope = value(logits, mask)
        found, wild_slope = value(wild, strange)
        assert float(found) == float(expected)
        np.testing.assert_array_equal(wild_slope, slope)
        assert (np.asarray(slope)[weight == 0] == 0).all()

    def test_without_a_known_pixel_it_is_zero_with_a_finite_gradient(self, name):
        logits, zeros = jnp.ones(SHAPE), jnp.zeros(SHAPE)
        loss = jax.value_and_grad(lambda x: LOSSES[name](x, zeros, zeros).sum())
        value, slope = loss(logits)
        assert float(value) == 0
        np.testing.assert_array_equal(slope, 0)

    def test_extreme_logits_keep_the_gradient_finite(self, name, example):
        _, mask, weight = example
        logits = np.where(mask > 0, -1e4, 1e4).astype(np.float32)
        slope = jax.grad(lambda x: LOSSES[name](x, mask, weight).sum())(logits)
        assert np.isfinite(slope).all()

    def test_options_can_be_traced_over_members(self, name, example):
        options = {option: jnp.array([0.2, 0.8]) for option in loss_options(name)}
        if not options:
            assert name in ("bce", "dice")
            return
        stacked = jax.vmap(lambda o: LOSSES[name](*example, **o))(options)
        for i, value in enumerate((0.2, 0.8)):
            alone = LOSSES[name](*example, **dict.fromkeys(options, value))
            np.testing.assert_allclose(stacked[i], alone, rtol=1e-5)


def test_deep_levels_count_half_of_the_level_above(example):
    logits, mask, weight = example
    weight = np.ones_like(weight)
    coarse = mask.reshape(3, 8, 2, 8, 2, 1).mean((2, 4))
    deep = np.zeros_like(coarse)
    found = total_loss("bce", {"mask": logits, "deep": (deep,)}, mask, weight, {})
    expected = (bce(logits, mask, weight) + 0.5 * np.log(2)) / 1.5
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_the_boundary_term_is_added_with_its_weight(example):
    outputs = {"mask": example[0]}
    found = total_loss("dice", outputs, *example[1:], {"boundary": 0.5})
    expected = dice(*example) + 0.5 * boundary(*example)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


class TestDepth:
    def test_the_term_is_added_with_its_weight(self, example):
        logits, mask, weight = example
        outputs = {"mask": logits, "distance": logits[::-1]}
        found = total_loss("dice", outputs, mask, weight, {"distance": 0.5}, mask / 2)
        expected = dice(*example) + 0.5 * bce(logits[::-1], mask / 2, weight)
        np.testing.assert_allclose(found, expected, rtol=1e-5)

    def test_it_is_least_at_the_target(self, example):
        _, _, weight = example
        share = np.random.default_rng(1).uniform(0.05, 0.95, SHAPE).astype(np.float32)
        logits = np.log(share / (1 - share))
        slope = jax.grad(lambda x: distance_loss(x, share, weight).sum())(logits)
        np.testing.assert_allclose(slope, 0, atol=1e-7)

    def test_unknown_distances_have_no_influence_and_gradients_are_finite(
        self, example
    ):
        logits, mask, weight = example
        unknown = np.where(mask > 0, -1, mask).astype(np.float32)
        wild = np.where(mask > 0, np.inf, logits).astype(np.float32)
        outputs = {"mask": logits, "distance": wild}

        def loss(outputs):
            options = {"distance": 1.0}
            return total_loss("dice", outputs, mask, weight, options, unknown).sum()

        value, slope = jax.jit(jax.value_and_grad(loss))(outputs)
        known = weight * (mask == 0)
        expected = dice(logits, mask, weight) + bce(logits, mask, known)
        np.testing.assert_allclose(value, expected.sum(), rtol=1e-5)
        assert all(np.isfinite(s).all() for s in slope.values())
        assert (slope["distance"][mask > 0] == 0).all()


def test_an_unknown_loss_is_answered_with_the_known_ones():
    with pytest.raises(BeadsegError, match="'dise' is unknown.*bce, focal, dice"):
        loss_options("dise")


PARTIAL = [name for name in LOSSES if "completeness" in loss_options(name)]


class TestPartial:
    def test_the_likelihood_equals_its_formula(self, example):
        logits, mask, weight = example
        p = sigmoid(logits)
        each = -np.where(mask > 0, np.log(p), np.log(1 - 0.3 * p))
        expected = (each * weight).sum((1, 2, 3)) / weight.sum((1, 2, 3))
        found = forward_bce(*example, completeness=0.3)
        np.testing.assert_allclose(found, expected, rtol=1e-4)

    def test_the_best_probability_is_that_of_a_bead_not_of_a_label(self):
        share, bead = 0.4, 0.7  # labelled: 0.28 of these pixels
        labelled = np.zeros((1, 100, 100, 1), np.float32)
        labelled.flat[: int(share * bead * labelled.size)] = 1
        probability = np.linspace(0.01, 0.99, 99)
        values = [
            float(
                forward_bce(
                    jnp.full(labelled.shape, np.float32(np.log(p / (1 - p)))),
                    labelled,
                    np.ones_like(labelled),
                    completeness=share,
                )[0]
            )
            for p in probability
        ]
        assert probability[np.argmin(values)] == pytest.approx(bead, abs=0.011)

    def test_on_complete_masks_they_are_plain_losses(self, example):
        plain = {"forward_bce": bce, "expected_dice": dice, "exclusive": bce}
        plain |= {"forward_bce_dice": combined, "nnpu": bce}
        for name in PARTIAL:
            found = LOSSES[name](*example, completeness=1.0)
            np.testing.assert_allclose(found, plain[name](*example), rtol=1e-4)

    def test_nnpu_risk_is_unbiased_over_random_labelings(self, example):
        logits, mask, weight = example
        rng = np.random.default_rng(1)
        drawn = [
            nnpu(logits, mask * (rng.random(SHAPE) < 0.5), weight, completeness=0.5)
            for _ in range(200)
        ]
        np.testing.assert_allclose(np.mean(drawn, 0), bce(*example), rtol=0.04)

    def test_nnpu_risk_is_never_negative(self, example):
        logits, mask, weight = example
        found = nnpu(20 * (2 * mask - 1), mask, weight, completeness=0.05)
        assert (np.asarray(found) >= 0).all()

    def test_a_labelled_share_of_a_perfect_prediction_costs_next_to_nothing(self):
        beads = np.zeros((1, 64, 64, 1), np.float32)
        beads[:, :32] = 1
        labelled = beads.copy()
        labelled[:, :, 32:] = 0
        logits = 20 * (2 * beads - 1)
        found = expected_dice(logits, labelled, np.ones_like(beads), completeness=0.5)
        assert float(found[0]) < 1e-3

    def test_pixels_that_look_like_beads_are_excluded(self, example):
        logits, mask, weight = example
        seen = (logits >= 0) & (mask == 0)
        expected = bce(logits, mask, np.where(seen, 0, weight))
        found = exclusive(*example, completeness=0.5)
        np.testing.assert_allclose(found, expected, rtol=1e-5)

    @pytest.mark.parametrize("name", PARTIAL)
    def test_each_image_can_have_its_own_completeness(self, example, name):
        shares = np.array([0.2, 0.5, 1.0], np.float32)
        together = LOSSES[name](*example, completeness=shares.reshape(-1, 1, 1, 1))
        alone = [
            LOSSES[name](*(x[i : i + 1] for x in example), completeness=c)[0]
            for i, c in enumerate(shares)
        ]
        np.testing.assert_allclose(together, alone, rtol=1e-5)
