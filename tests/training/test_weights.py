import os

import numpy as np
import pytest

from beadseg.errors import BeadsegError
from beadseg.training.weights import WEIGHTS, read_weights, write_weights


def test_weights_come_back_as_nested_as_they_were(tmp_path):
    params = {"a": {"b": {"kernel": np.ones((2, 3)), "bias": np.zeros(3)}}}
    statistics = {"a": {"mean": np.arange(3.0)}}
    write_weights(tmp_path / WEIGHTS, params, statistics)
    found = read_weights(tmp_path / WEIGHTS)
    np.testing.assert_array_equal(found.params["a"]["b"]["kernel"], np.ones((2, 3)))
    np.testing.assert_array_equal(found.statistics["a"]["mean"], [0, 1, 2])
    assert found.params["a"]["b"]["bias"].dtype == np.float32
    with np.load(tmp_path / WEIGHTS) as arrays:
        assert "params/a/b/kernel" in arrays.files


def test_no_statistics_are_an_empty_dict(tmp_path):
    write_weights(tmp_path / WEIGHTS, {"kernel": np.ones(2)}, {})
    assert read_weights(tmp_path / WEIGHTS).statistics == {}


def test_damaged_weights_are_one_line(tmp_path):
    write_weights(tmp_path / WEIGHTS, {"kernel": np.ones(200)}, {})
    whole = (tmp_path / WEIGHTS).read_bytes()
    (tmp_path / WEIGHTS).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BeadsegError, match=r"weights\.npz: damaged .*train the run"):
        read_weights(tmp_path / WEIGHTS)


def test_weights_from_a_pipe_are_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / WEIGHTS)
    with pytest.raises(BeadsegError, match="pipe"):
        read_weights(tmp_path / WEIGHTS)
