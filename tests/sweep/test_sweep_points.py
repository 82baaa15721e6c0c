import math

import numpy as np
import pytest

from beadseg.errors import BeadsegError
from beadseg.sweep import points
from beadseg.sweep.points import (
    apply,
    chain,
    choice,
    collect,
    configs,
    describe,
    draws,
    integers,
    log_uniform,
    over,
    product,
    uniform,
    zip_,
)
from configs import base

A, B = over("seed", 0, 1), over("loss.name", "bce", "dice", "focal")


def test_product_holds_every_pair_and_the_last_varies_fastest():
    found = [(p["seed"], p["loss.name"]) for p in product(A, B)]
    assert found == [
        *[(0, "bce"), (0, "dice"), (0, "focal")],
        *[(1, "bce"), (1, "dice"), (1, "focal")],
    ]
    assert product() == [{}]
    assert product(A, []) == []


def test_zip_pairs_points_in_order_and_refuses_unequal_numbers():
    assert zip_(A, B[:2])[1] == {"seed": 1, "loss.name": "dice"}
    with pytest.raises(BeadsegError, match=r"zip_: sweeps of \[2, 3\] points"):
        zip_(A, B)


def test_chain_keeps_order_and_number():
    assert chain(A, B) == [*A, *B]


def test_a_field_set_by_two_parts_is_refused():
    with pytest.raises(BeadsegError, match="seed is set twice"):
        product(A, A)


def test_draws_are_the_same_for_a_seed_different_and_within_their_ranges():
    space = {
        "optim.learning_rate": log_uniform(1e-5, 1e-2),
        "model.dropout": uniform(0.1, 0.3),
        "model.depth": integers(2, 4),
        "loss.name": choice("bce", "dice"),
    }
    found = draws(space, 400, seed=3)
    assert found == draws(space, 400, seed=3) != draws(space, 400, seed=4)
    rates = np.array([p["optim.learning_rate"] for p in found])
    assert 1e-5 <= rates.min() and rates.max() <= 1e-2
    # Each decade holds a third: four standard errors around it.
    share = np.mean(rates < 1e-4)
    assert abs(share - 1 / 3) < 4 * math.sqrt(2 / 9 / 400)
    assert {p["model.depth"] for p in found} == {2, 3, 4}
    assert all(type(p["model.depth"]) is int for p in found)


def test_more_draws_than_a_space_holds_are_refused():
    assert len(draws({"loss.name": choice("bce", "dice")}, 2)) == 2
    with pytest.raises(BeadsegError, match="3 different points.*some 2"):
        draws({"loss.name": choice("bce", "dice")}, 3)


@pytest.mark.parametrize(
    "make", [lambda: uniform(1, 1), lambda: log_uniform(0, 1), lambda: choice()]
)
def test_an_empty_range_is_refused(make):
    with pytest.raises(BeadsegError):
        make()


def test_a_point_changes_its_fields_and_no_other():
    config = base.get_config()
    changed = apply(config, {"optim.learning_rate": 1e-5, "model.depth": 3}, "here")
    assert (changed.optim.learning_rate, changed.model.depth) == (1e-5, 3)
    changed.optim.learning_rate, changed.model.depth = 1e-3, 4
    assert changed.to_dict() == config.to_dict()


@pytest.mark.parametrize(
    ("point", "words"),
    [
        ({"optim.leraning_rate": 1.0}, "point 0 .*learning_rate"),
        ({"optim.learning_rate": "fast"}, "point 0 .*learning_rate"),
        ({"log.every": 3}, "log.every says how a sweep is run"),
        ({"data.workers": 3}, "data.workers says how a sweep is run"),
        (
            {"partial.self_training": 2},
            "point 0 .*partial.self_training is for one run",
        ),
    ],
)
def test_a_field_that_cannot_be_swept_is_named(point, words):
    with pytest.raises(BeadsegError, match=words):
        configs(base.get_config(), [point])


def test_a_sweep_may_depend_on_the_base_config():
    config = base.get_config()
    config.data.batch_size = 6

    def sweep(add, config):
        add({"data.batch_size": 2 * config.data.batch_size})

    assert collect(sweep, config) == [{"data.batch_size": 12}]
    assert collect(lambda add: add({"seed": 1}), config) == [{"seed": 1}]


def test_an_empty_sweep_and_equal_points_are_refused():
    with pytest.raises(BeadsegError, match="the sweep is empty"):
        configs(base.get_config(), [])
    with pytest.raises(BeadsegError, match="points 0 and 2 .*are the same"):
        configs(base.get_config(), [{"seed": 0}, {"seed": 1}, {}])


def test_a_point_is_described_by_the_last_parts_of_its_fields():
    point = {"loss.name": "dice", "optim.learning_rate": 5e-05, "seed": 2}
    assert describe(point) == "loss.name=dice, learning_rate=5e-05, seed=2"
    assert describe({"data.seed": 1, "seed": 2}) == "data.seed=1, seed=2"
    assert points.describe({}) == ""
