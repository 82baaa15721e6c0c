"""Which library runs a network, and what is kept of its graph."""

import subprocess
import sys

import numpy as np
import pytest

from beadseg.default_model import DEFAULT
from beadseg.inference.networks import runtime
from beadseg.inference.networks.tiles import Network
from beadseg.inference.run import load_run
from beadseg.models.unet import UNet
from beadseg.training.weights import read_weights


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("BEADSEG_CACHE", str(tmp_path))
    monkeypatch.setattr(runtime, "accelerated", lambda: False)
    return tmp_path / "graphs"


def picture():
    return np.random.default_rng(0).random((70, 90), np.float32)


def test_both_libraries_say_the_same(cache, monkeypatch):
    fast = Network(load_run(DEFAULT))
    monkeypatch.setattr(runtime, "accelerated", lambda: True)
    slow = Network(load_run(DEFAULT))
    kinds = [type(network._runtime) for network in (fast, slow)]
    assert kinds == [runtime._Onnx, runtime._Jax]
    found, expected = (network.predict(picture()) for network in (fast, slow))
    np.testing.assert_allclose(found.probability, expected.probability, atol=1e-5)
    np.testing.assert_allclose(found.distance, expected.distance, atol=1e-5)


@pytest.mark.parametrize("damage", [b"", b"{}\n", b"nothing", None])
def test_a_kept_graph_that_is_damaged_is_made_anew(cache, damage):
    first = load_run(DEFAULT).graph
    (file,) = cache.iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] if damage is None else damage)
    assert load_run(DEFAULT).graph == first
    assert file.read_bytes() == whole


def test_other_weights_have_another_graph(cache, monkeypatch):
    run = load_run(DEFAULT)
    changed = read_weights(DEFAULT / "weights.npz")
    changed.params["head_mask"]["bias"] += 1
    other = runtime.graph_of(run.model_config, changed, run.build)
    assert other.content != run.graph.content
    assert len(list(cache.iterdir())) == 2


def test_a_network_that_only_derives_from_one_with_a_graph_is_run_by_jax(cache):
    class Other(UNet):
        pass

    run = load_run(DEFAULT)
    known = run.build()
    settings = {name: getattr(known, name) for name in ("width", "depth", "norm")}
    network = Other(**settings, deep_supervision=False, heads=known.heads)
    changed = read_weights(DEFAULT / "weights.npz")
    changed.params["head_mask"]["bias"] += 1
    graph = runtime.graph_of(run.model_config, changed, lambda: network)
    assert graph == runtime.Graph(run.graph.extent, None)


def test_without_a_cache_it_runs_as_well(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("BEADSEG_CACHE", str(tmp_path / "file"))
    assert Network(load_run(DEFAULT)).predict(picture()).probability.shape == (70, 90)


def test_jax_is_not_loaded_where_the_graph_is_kept(cache):
    load_run(DEFAULT)
    program = (
        "import sys, numpy, beadseg; "
        "beadseg.load().predict(numpy.zeros((64, 64), 'f4')); "
        "print(sorted({'jax', 'flax', 'onnx'} & sys.modules.keys()))"
    )
    command = [sys.executable, "-c", program]
    told = subprocess.run(command, capture_output=True, text=True, check=True)
    assert told.stdout == "[]\n"


def test_too_little_memory_is_no_traceback(cache):
    program = (
        "import psutil, resource, numpy, beadseg\n"
        "model = beadseg.load()\n"
        "model.predict(numpy.zeros((64, 64), 'f4'))\n"
        "most = psutil.Process().memory_info().vms + 100 * 2**20\n"
        "resource.setrlimit(resource.RLIMIT_AS, (most, most))\n"
        "try:\n"
        "    model.networks[0].predict(numpy.zeros((1024, 1024), 'f4'))\n"
        "except MemoryError as error:\n"
        "    print('MemoryError:', error)\n"
    )
    command = [sys.executable, "-c", program]
    told = subprocess.run(command, capture_output=True, text=True, check=True)
    assert told.stdout.startswith("MemoryError: ")
    assert told.stderr == ""
