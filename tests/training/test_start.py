import jax
import numpy as np
import pytest

from beadseg import models
from beadseg.errors import BeadsegError
from beadseg.training.loop import train
from beadseg.training.start import start_from
from beadseg.training.state import create_state, hyperparameters
from beadseg.training.weights import WEIGHTS, read_weights, write_weights


def state_of(config):
    return create_state(models.build(config.model), config, hyperparameters(config))


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
    started = start_from(fresh, str(tmp_path))
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
    started = start_from(fresh, str(tmp_path))
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
        start_from(state_of(tiny), str(tmp_path))


def test_a_run_without_weights_is_named(tiny, tmp_path):
    with pytest.raises(BeadsegError, match="no such folder"):
        start_from(state_of(tiny), str(tmp_path / "none"))
    with pytest.raises(BeadsegError, match="holds no weights.npz"):
        start_from(state_of(tiny), str(tmp_path))


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
