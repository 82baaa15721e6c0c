import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from beadseg import models
from beadseg.config import LIMITS, base_config, check_ranges, flatten
from beadseg.errors import BeadsegError
from beadseg.training.state import after_evaluation, create_state, hyperparameters
from beadseg.training.step import learning_rate


def state_of(config):
    model = models.build(config.model)
    return jax.jit(lambda hp: create_state(model, config, hp))(hyperparameters(config))


def evaluated(state, config, losses, jaccards):
    for epoch, (loss, jaccard) in enumerate(zip(losses, jaccards, strict=True), 1):
        state = after_evaluation(
            state, jnp.float32(loss), jnp.float32(jaccard), jnp.int32(epoch), config
        )
    return state


def test_equal_seeds_give_equal_weights_and_others_do_not(tiny):
    first, again = state_of(tiny), state_of(tiny)
    tiny.seed = 1
    other = state_of(tiny)
    kernels = [jax.tree.leaves(s.params)[-1] for s in (first, again, other)]
    np.testing.assert_array_equal(kernels[0], kernels[1])
    assert np.abs(kernels[0] - kernels[2]).max() > 1e-3


@pytest.mark.parametrize(
    ("field", "name"),
    [("optim.weight_decay", "weight_decay"), ("model.dropout", "dropout")],
)
def test_each_traced_number_is_its_field(field, name, tiny):
    before = hyperparameters(tiny)
    tiny.update_from_flattened_dict({field: 0.25})
    after = hyperparameters(tiny)
    assert float(getattr(after, name)) == 0.25
    assert getattr(after, name).dtype == jnp.float32
    changed = after._replace(**{name: getattr(before, name)})
    assert jax.tree.map(float, changed) == jax.tree.map(float, before)


def test_plateau_halves_the_rate_after_patience_evaluations_without_gain(tiny):
    tiny.plateau.patience = 3
    hp, state = hyperparameters(tiny), state_of(tiny)
    falling = evaluated(state, tiny, [0.5, 0.4, 0.3, 0.2], [0, 0, 0, 0])
    assert float(learning_rate(falling, hp, tiny, 100)) == pytest.approx(1e-3)
    stalled = evaluated(state, tiny, [0.5, 0.5, 0.5, 0.5], [0, 0, 0, 0])
    assert float(learning_rate(stalled, hp, tiny, 100)) == pytest.approx(5e-4)


def test_plateau_stops_at_the_floor(tiny):
    tiny.plateau.patience = 1
    tiny.plateau.min_learning_rate = 3e-4
    hp = hyperparameters(tiny)
    state = evaluated(state_of(tiny), tiny, [0.5] * 10, [0.0] * 10)
    assert float(learning_rate(state, hp, tiny, 100)) == pytest.approx(3e-4)


def test_a_disabled_plateau_leaves_the_rate(tiny):
    tiny.plateau.enabled = False
    hp = hyperparameters(tiny)
    state = evaluated(state_of(tiny), tiny, [0.5] * 30, [0.0] * 30)
    assert float(learning_rate(state, hp, tiny, 100)) == pytest.approx(1e-3)


def test_warm_up_is_linear_and_cosine_follows_its_closed_form(tiny):
    tiny.optim.warmup_steps = 10
    tiny.optim.cosine = True
    hp, state = hyperparameters(tiny), state_of(tiny)

    def rate(step):
        return float(learning_rate(state._replace(step=jnp.int32(step)), hp, tiny, 110))

    assert rate(0) == pytest.approx(1e-4)
    assert rate(4) == pytest.approx(5e-4)
    for step in (10, 35, 60, 85):
        expected = 0.5e-3 * (1 + np.cos(np.pi * (step - 10) / 100))
        assert rate(step) == pytest.approx(expected, rel=1e-5)
    assert rate(110) == pytest.approx(tiny.plateau.min_learning_rate)


def test_early_stopping_counts_evaluations_since_the_best(tiny):
    state = evaluated(state_of(tiny), tiny, [1] * 5, [0.2, 0.6, 0.5, 0.6, 0.1])
    assert float(state.stopping.best) == pytest.approx(0.6)
    assert int(state.stopping.best_epoch) == 2
    assert int(state.stopping.stale) == 3


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("optim.learning_rate", -1e-3),
        ("optim.clip_norm", 0.0),
        ("model.dropout", 1.0),
        ("loss.mix", 1.5),
        ("seed", -1),
        ("data.seed", -1),
        ("data.generated.seed", -1),
        ("train.weight_interpolation", (0.5, 1.5)),
        ("train.weight_interpolation", ("half",)),
    ],
)
def test_a_number_out_of_range_is_named(tiny, field, value):
    tiny.update_from_flattened_dict({field: value})
    with pytest.raises(BeadsegError, match=rf"config\.{field} = .*out of range"):
        hyperparameters(tiny)


def test_an_unknown_loss_is_answered_with_the_known_ones(tiny):
    tiny.loss.name = "dise"
    with pytest.raises(BeadsegError, match="'dise' is unknown.*bce.*dice.*tversky"):
        hyperparameters(tiny)


ELSEWHERE = {  # by what knows of them: data, model, masks
    *("data.validation_fraction", "data.bead_diameter"),
    *("model.width", "model.depth", "partial.completeness"),
}


def test_every_number_of_the_base_config_has_limits_that_it_keeps():
    config = base_config()
    fields = flatten(config.to_dict())
    numbers = {f for f, v in fields.items() if type(v) in (int, float)}
    of_numbers = {f for f, v in fields.items() if isinstance(v, tuple) and v}
    of_numbers -= {"model.heads"}
    assert LIMITS.keys() | ELSEWHERE >= numbers | of_numbers
    assert fields.keys() >= LIMITS.keys() | ELSEWHERE
    check_ranges(config)


@pytest.mark.parametrize("field", LIMITS)
def test_silly_numbers_are_answered_with_what_is_allowed(tiny, field):
    limits = LIMITS[field]
    silly = [limits.low - 1, limits.low - 1e9, math.nan, -math.inf, True, "", "fast"]
    silly += [limits.high * 2 + 1, math.inf] if limits.high < math.inf else []
    for value in silly:
        config = tiny.copy_and_resolve_references()
        tree = config.to_dict()
        *groups, name = field.split(".")
        inner = functools.reduce(dict.get, groups, tree)
        inner[name] = (value,) if isinstance(inner[name], tuple) else value
        with pytest.raises(BeadsegError, match=rf"config\.{field} = .*: give ") as line:
            check_ranges(ConfigDict(tree))
        assert "\n" not in str(line.value)


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("data.normalise.low", 99.9, r"normalise\.low = 99\.9 must be below"),
        ("data.density_bins", (), r"density_bins = \(\) must ascend"),
        ("data.density_bins", (0, 20, 20), "must ascend: give"),
        ("log.wandb", "none", "'none' is unknown: use one of auto, online, off"),
    ],
)
def test_what_does_not_go_together_is_one_line(tiny, field, value, says):
    tiny.update_from_flattened_dict({field: value})
    with pytest.raises(BeadsegError, match=says) as line:
        check_ranges(tiny)
    assert "\n" not in str(line.value)
