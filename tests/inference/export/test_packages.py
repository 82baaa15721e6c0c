"""Tests of export: the graph against JAX and a closed form, the package as used."""

import dataclasses
import gc
import json
import sys

import jax
import numpy as np
import onnx
import onnxruntime
import pydantic
import pytest

from beadseg import cli, models
from beadseg.inference.export import packages
from beadseg.inference.export.onnx_graph import build_graph
from beadseg.inference.export.packages import probabilities
from beadseg.inference.run import load_run
from beadseg.training.weights import Weights
from configs import base


def random_weights(config):
    """Weights and statistics that all differ, of a size that keeps logits low."""
    network = models.build(config)
    side = network.stride
    shapes = jax.eval_shape(
        network.init, jax.random.key(0), np.zeros((1, side, side, 1))
    )
    rng = np.random.default_rng(0)

    def draw(path, leaf):
        fan_in = np.prod(leaf.shape[:-1]) if leaf.ndim > 1 else 1
        values = rng.normal(0, 1 / np.sqrt(fan_in), leaf.shape)
        positive = jax.tree_util.keystr(path[-1:]) in ("['gain']", "['var']")
        return (0.5 + np.abs(values) if positive else values).astype(np.float32)

    drawn = jax.tree_util.tree_map_with_path(draw, shapes)
    return Weights(drawn["params"], drawn.get("batch_stats", {}))


@pytest.mark.parametrize(
    ("name", "norm"),
    [
        ("unet", "batch"),
        ("unet", "channel"),
        ("attention_unet", "weight"),
        ("attention_resunet", "group"),
        ("attention_resunet", "none"),
    ],
)
def test_onnxruntime_computes_what_jax_does(bright_run, name, norm):
    config = base.get_config().model
    config.name, config.norm = name, norm
    config.width, config.depth, config.heads = 8, 1, ("mask", "distance")
    run = load_run(bright_run)
    run = dataclasses.replace(run, model_config=config, weights=random_weights(config))
    model = build_graph(config, run.weights).SerializeToString()
    rng = np.random.default_rng(0)
    image = rng.random((2, 1, 17, 22), np.float32)  # a batch, of an odd size
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    found = session.run(None, {"image": image})
    assert [output.name for output in session.get_outputs()] == [
        "probability",
        "distance",
    ]
    for array, expected in zip(found, probabilities(run, image), strict=True):
        np.testing.assert_allclose(array, expected, atol=1e-5)
        assert array.shape == image.shape
        assert 0.01 < array.std() < 0.49  # neither constant nor saturated


def command(*arguments, code=0):
    with pytest.raises(SystemExit) as ended:
        cli.main(["export", *map(str, arguments)])
    assert ended.value.code == code


def test_command_writes_a_model_that_knows_how_to_be_used(bright_run, tmp_path, capsys):
    file = tmp_path / "new" / "m.onnx"
    command(bright_run, "-o", file, "--json", tmp_path / "r.json")
    assert "differs from JAX by at most" in capsys.readouterr().out
    result = json.loads((tmp_path / "r.json").read_text())
    assert result["outputs"] == ["probability", "distance"]
    assert result["largest_difference"] <= 1e-4
    stored = onnx.load(file)
    about = {entry.key: json.loads(entry.value) for entry in stored.metadata_props}
    assert about == result["metadata"]
    assert about["threshold"] == 0.5
    assert about["bead_diameter_px"] == 16
    assert (about["percentile_low"], about["percentile_high"]) == (1.0, 99.5)
    assert about["stride_px"] == 2
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    image = np.random.default_rng(0).random((1, 1, 9, 13), np.float32)
    (found,) = session.run(["probability"], {"image": image})
    np.testing.assert_allclose(found, 1 / (1 + np.exp(10 - 20 * image)), atol=1e-5)


@pytest.mark.slow
@pytest.mark.skipif(
    pydantic.VERSION.startswith("2.14"), reason="bioimageio.spec fails with it"
)
@pytest.mark.filterwarnings("default")  # not ours
def test_bioimageio_validates_and_runs_the_package(bright_run, tmp_path):
    from bioimageio.core import load_model_description, predict, test_model

    file = tmp_path / "beads.zip"
    command(bright_run, "--format", "bioimageio", "-o", file)
    assert [path.name for path in tmp_path.iterdir()] == ["beads.zip"]
    summary = test_model(file)
    assert summary.status == "passed", summary.format()
    described = load_model_description(file)
    assert described.config.model_extra["beadseg"]["threshold"] == 0.5
    image = np.full((40, 50), 100, np.uint16)  # the tool normalises it by itself
    image[10:30, 10:30] = 4000
    found = predict(model=described, inputs={"image": image[None, None]})
    probability = found.members["probability"].data.values[0, 0]
    np.testing.assert_array_equal(probability > 0.5, image > 1000)
    del described, summary, found, probability
    gc.collect()  # of files that it leaves open, within this test


def test_a_model_that_differs_is_not_written(bright_run, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(packages, "largest_difference", lambda run, model: np.nan)
    command(bright_run, "-o", tmp_path / "m.onnx", code=2)
    assert "so nothing was written" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_missing_packages_are_named(bright_run, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    command(bright_run, "-o", tmp_path / "m.onnx", code=2)
    said = capsys.readouterr().err
    assert 'pip install "beadseg[export]"' in said
    assert "onnxruntime" in said


def test_wrong_use_is_one_line(bright_run, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(packages, "largest_difference", lambda run, model: 0.0)
    (tmp_path / "file").write_text("")
    for arguments, says in (
        ((tmp_path / "none",), "no such run"),
        ((bright_run, "-o", tmp_path / "file" / "m.onnx"), "cannot be written"),
    ):
        command(*arguments, code=2)
        said = capsys.readouterr().err
        assert says in said
        assert said.count("\n") == 1
