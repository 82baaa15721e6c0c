import jax
import numpy as np
import pytest

from beadseg import models
from beadseg.errors import BeadsegError
from beadseg.training.loop import train
from beadseg.training.start import (
    START,
    interpolate_weights,
    mix_with_start,
    start_from,
    start_of,
)
from beadseg.training.state import create_state, hyperparameters
from beadseg.training.tracking.summary import sentence
from beadseg.training.weights import WEIGHTS, Weights, read_weights, write_weights
from tests.inference.bright import write_run


def state_of(config):
    model = models.build(config.model)
    return jax.jit(lambda hp: create_state(model, config, hp))(hyperparameters(config))


@pytest.fixture
def trained(tiny, tmp_path):
    tiny.seed = 1
    state = state_of(tiny)
    write_weights(tmp_path / WEIGHTS, state.params, state.statistics)
    tiny.seed = 0
    return state


def test_weights_and_statistics_are_those_of_the_run_and_nothing_else(
    tiny, trained, tmp_path
):
    fresh = state_of(tiny)
    started = start_from(fresh, start_of(str(tmp_path)), "a run")
    for field in ("params", "statistics"):
        jax.tree.map(
            np.testing.assert_array_equal,
            getattr(started, field),
            getattr(trained, field),
        )
    np.testing.assert_array_equal(started.key, fresh.key)
    assert int(started.step) == 0


def test_a_head_that_the_run_lacks_starts_fresh(tiny, trained, tmp_path):
    del trained.params["head_mask"]
    write_weights(tmp_path / WEIGHTS, trained.params, trained.statistics)
    fresh = state_of(tiny)
    started = start_from(fresh, start_of(str(tmp_path)), "a run")
    jax.tree.map(
        np.testing.assert_array_equal,
        started.params["head_mask"],
        fresh.params["head_mask"],
    )
    other = jax.tree.leaves(started.params["bottom"])
    for ours, theirs in zip(
        other, jax.tree.leaves(trained.params["bottom"]), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


def test_another_network_is_one_line(tiny, trained, tmp_path):
    tiny.model.width = 8
    with pytest.raises(
        BeadsegError, match=r"of another network \(.* is .* here, .* there\)"
    ):
        start_from(state_of(tiny), start_of(str(tmp_path)), "a run")


def test_a_run_without_weights_is_named(tiny, tmp_path):
    with pytest.raises(BeadsegError, match="no such folder"):
        start_of(str(tmp_path / "none"))
    with pytest.raises(BeadsegError, match="holds no weights.npz"):
        start_of(str(tmp_path))


def test_on_the_way_to_the_start_weights_are_means_and_new_heads_stay(
    tiny, trained, tmp_path
):
    del trained.params["head_mask"]
    state = state_of(tiny)
    start = Weights(trained.params, trained.statistics)
    mixed = interpolate_weights(state, start, 0.25)
    jax.tree.map(
        lambda ours, end, begin: np.testing.assert_allclose(
            ours, 0.75 * end + 0.25 * begin, atol=1e-6
        ),
        (mixed.params["bottom"], mixed.statistics),
        (state.params["bottom"], state.statistics),
        (trained.params["bottom"], trained.statistics),
    )
    jax.tree.map(
        np.testing.assert_array_equal,
        mixed.params["head_mask"],
        state.params["head_mask"],
    )


@pytest.mark.parametrize(
    ("gain", "expected"), [(1.0, 0.25), (0.5, 0.5), (0.2, 0.75), (0.0, 1.0)]
)
def test_as_much_of_the_start_is_taken_as_keeps_so_much_of_the_gain(
    tiny, tmp_path, gain, expected
):
    """Weights are 0, those of the start 1: their mean is its share."""
    state = state_of(tiny)
    ones = jax.tree.map(np.ones_like, (state.params, state.statistics))
    zeros = jax.tree.map(np.zeros_like, (state.params, state.statistics))
    write_weights(tmp_path / START, *ones)
    best = state._replace(params=zeros[0], statistics=zeros[1])
    scores = {0.0: 0.8, 0.25: 0.9, 0.5: 0.86, 0.75: 0.8, 1.0: 0.75}

    def score_of(mixed):
        return scores[round(float(np.mean(jax.tree.leaves(mixed.params)[0])), 2)]

    shares = (0.25, 0.5, 0.75, 1.0)
    mixed, told = mix_with_start(
        best, tmp_path, shares, 0.8, lambda state: state, score_of, gain
    )
    assert told["share_of_start"] == expected and told["start_score"] == 0.75
    assert score_of(mixed) == scores[expected]


@pytest.mark.slow
def test_a_run_that_only_forgets_goes_back_to_what_it_knew(tiny, tmp_path):
    bright = write_run(tmp_path / "bright")
    tiny.model.width, tiny.model.depth, tiny.model.norm = 1, 1, "none"
    tiny.data.cache_dir = str(tmp_path / "cache")
    tiny.data.generated.modalities = ("fluorescence",)
    tiny.train.epochs = 1
    tiny.init_from = str(bright)
    tiny.optim.learning_rate = 1e-12
    still = train(tiny, tmp_path / "still", "still")
    tiny.optim.learning_rate = 1.0
    forgetful = train(tiny, tmp_path / "forgetful", "forgetful")
    assert forgetful["final_jaccard"] < still["best_jaccard"] - 0.1
    assert forgetful["best_jaccard"] >= still["best_jaccard"] - 1e-6
    share = forgetful["share_of_start"]
    assert share > 0
    said = "fine-tuning did not help; starting weights kept"
    assert (said in sentence(forgetful)) == (share == 1)
    assert share < 1 or "converged" not in sentence(forgetful)
    kept, start = (read_weights(tmp_path / "forgetful" / n) for n in (WEIGHTS, START))
    whole = read_weights(bright / WEIGHTS)
    jax.tree.map(np.testing.assert_array_equal, start.params, whole.params)
    if share == 1:
        del whole.params["head_distance"]
        jax.tree.map(np.testing.assert_array_equal, kept.params, whole.params)


@pytest.mark.slow
def test_a_run_goes_on_from_its_own_checkpoint_not_from_the_start_again(
    tiny, trained, tmp_path
):
    tiny.data.cache_dir = str(tmp_path / "cache")
    tiny.init_from = str(tmp_path)
    tiny.optim.learning_rate = 1e-9
    tiny.train.epochs = 1
    train(tiny, tmp_path / "run", "run")
    first = read_weights(tmp_path / "run" / WEIGHTS)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5),
        first.params,
        trained.params,
    )
    # Other weights now lie where the run began; it no longer looks there.
    zero = jax.tree.map(np.zeros_like, trained.params)
    write_weights(tmp_path / WEIGHTS, zero, trained.statistics)
    tiny.train.epochs = 2
    train(tiny, tmp_path / "run", "run")
    again = read_weights(tmp_path / "run" / WEIGHTS)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5),
        again.params,
        first.params,
    )
