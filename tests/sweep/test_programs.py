"""Members run together equal members run alone."""

import threading

import jax
import numpy as np
import pytest

from beadseg import models
from beadseg.errors import BeadsegError
from beadseg.sweep import programs
from beadseg.sweep.points import configs
from beadseg.training.state import create_state, hyperparameters
from beadseg.training.step import make_train_step

POINTS = [
    {"seed": 3, "model.dropout": 0.3},
    {"optim.learning_rate": 3e-3, "loss.alpha": 0.3},
]


@pytest.fixture
def members(tiny):
    """The step, and state and hyperparameters of two members."""
    tiny.loss.name, tiny.model.depth = "tversky", 1
    tiny.model.norm = "group"  # statistics of few pixels amplify rounding
    model = models.build(tiny.model)
    create = jax.jit(lambda hp: create_state(model, tiny, hp))
    hps = [hyperparameters(c) for c in configs(tiny, POINTS)]
    states = [jax.device_get(create(hp)) for hp in hps]
    return make_train_step(model, tiny, 100), states, hps


def run(program, states, hps, batch, steps):
    for _ in range(steps):
        states = [state for state, _ in program(states, hps, batch)]
    return jax.device_get(states)


def difference(a, b):
    """Of all parameters, relative to their norm."""
    pairs = zip(jax.tree.leaves(a.params), jax.tree.leaves(b.params), strict=True)
    squares = [(np.sum((x - y) ** 2), np.sum(y**2)) for x, y in pairs]
    above, below = np.sum(squares, axis=0)
    return float(np.sqrt(above / below))


@pytest.mark.slow
@pytest.mark.parametrize(("how", "bound"), [("unroll", 1e-5), ("vmap", 1e-3)])
def test_members_together_equal_each_alone_after_20_steps(members, batch, how, bound):
    step, states, hps = members
    single = jax.jit(step)
    alone = run(programs.in_turn(single), states, hps, batch, 20)
    together = run(programs.OVER_MEMBERS[how](step, 4), states, hps, batch, 20)
    for a, b in zip(together, alone, strict=True):
        assert difference(a, b) < bound
    assert difference(alone[0], alone[1]) > 0.1


@pytest.mark.slow
def test_members_in_streams_equal_each_alone_to_the_bit(members, batch):
    step, states, hps = members
    single = jax.jit(step)
    more = [states * 3, hps * 3]
    alone = run(programs.in_turn(single), *more, batch, 5)
    for width in (1, 3):
        together = run(programs.in_streams(single, width), *more, batch, 5)
        jax.tree.map(np.testing.assert_array_equal, together, alone)


def test_members_in_streams_come_back_while_others_run():
    others = threading.Event()

    def step(state, hp, batch):
        if hp:  # all but the first wait until that one is back
            assert others.wait(10)
        return state + batch, None

    for state, _ in programs.in_streams(step, 2)([1, 2, 3], [0, 1, 1], 10):
        others.set()
        assert state in (11, 12, 13)
    with pytest.raises(ValueError, match="a member fails"):
        list(programs.in_streams(_fail, 2)([1, 2], [0, 0], 10))


def _fail(state, hp, batch):
    raise ValueError("a member fails")


@pytest.mark.slow
def test_a_member_that_leaves_changes_no_bit_of_the_others(members, batch):
    step, states, hps = members
    program = programs.unrolled(step, 2)
    whole = run(program, states, hps, batch, 4)
    begun = run(program, states, hps, batch, 2)
    left = run(program, begun[1:], hps[1:], batch, 2)
    jax.tree.map(np.testing.assert_array_equal, left[0], whole[1])


def test_chunks_are_powers_of_two_within_the_width():
    sizes = []

    def compiled(states, hps, batch):
        sizes.append(len(states))
        return [(state, None) for state in states]

    program = programs._in_chunks(compiled, 4)
    found = program(list(range(7)), [None] * 7, None)
    assert sizes == [4, 2, 1]
    assert [state for state, _ in found] == list(range(7))


def test_a_short_group_is_not_measured(tiny):
    found = programs.choose(tiny, 8, 1.0)
    assert found.over_members in ("loop", "streams") and "too short" in found.why
    assert programs.choose(tiny, 1, 1e6).why == "one member"


@pytest.mark.slow
def test_every_way_is_measured_and_the_fastest_taken(tiny):
    found = programs.choose(tiny, 2, 1e6)  # two devices: no streams
    rates = found.member_steps_per_second
    assert set(rates) == {"loop", "unroll", "vmap"} and min(rates.values()) > 0
    assert found.over_members == programs.fastest(rates)
    assert all(f"{name} {rate:.2f}" in found.why for name, rate in rates.items())


@pytest.mark.parametrize("backend", ["cpu", "gpu"])
@pytest.mark.parametrize("devices", [1, 2])
@pytest.mark.parametrize("cores", [1, 2])
def test_streams_are_for_one_cpu_of_several_cores(backend, devices, cores):
    ways = programs.ways_of(backend, devices, cores)
    assert {*ways, "streams"} == set(programs.OVER_MEMBERS)
    assert ("streams" in ways) == ((backend, devices, cores) == ("cpu", 1, 2))


@pytest.mark.parametrize("seed", range(20))
def test_the_fastest_way_is_taken_where_it_gains_enough(seed):
    rng = np.random.default_rng(seed)
    rates = {
        name: float(rate)
        for name, rate in zip("abc", rng.uniform(1, 2, 3), strict=True)
    }
    rates["loop"] = float(rng.uniform(1.8, 2.0))
    best = max(rates, key=rates.get)
    gains = rates[best] > programs.GAIN * rates["loop"]
    assert programs.fastest(rates) == (best if gains else "loop")


def test_an_unknown_way_is_answered_with_the_known():
    with pytest.raises(BeadsegError, match="'pmap' is unknown.*auto.*loop.*vmap"):
        programs.check("pmap")
