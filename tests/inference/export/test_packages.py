"""Tests of export: the graph against JAX and a closed form, the package as used."""

import dataclasses
import io
import json
import subprocess
import sys
import zipfile

import jax
import numpy as np
import onnx
import onnxruntime
import pydantic
import pytest
import tifffile
from PIL import Image

from beadseg import models
from beadseg.inference.export import packages
from beadseg.inference.export.onnx_graph import build_graph
from beadseg.inference.export.packages import probabilities
from beadseg.inference.run import load_run
from beadseg.training.weights import Weights
from configs import base
from tests.calls import exit_code


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
    assert exit_code("export", *arguments) == code


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


@pytest.fixture(params=["run", "default"])
def package(request, bright_run, tmp_path):
    """The package of a run, or of the default model."""
    file = tmp_path / "beads.zip"
    run = [bright_run] if request.param == "run" else []
    command(*run, "--format", "bioimageio", "-o", file)
    return file


# In a process of its own, for it leaves files open.
USE = """
import sys
import numpy as np
from bioimageio.core import load_model_description, predict, test_model

file, image, found = sys.argv[1:]
summary = test_model(file)
assert summary.status == "passed", summary.format()
assert not [w for d in summary.details for w in d.warnings if "FAIR" in w.msg]
described = load_model_description(file)
assert described.config.model_extra["beadseg"]["threshold"] == 0.5
made = predict(model=described, inputs={"image": np.load(image)[None, None]})
np.save(found, made.members["probability"].data.values[0, 0])
"""


@pytest.mark.slow
@pytest.mark.skipif(
    pydantic.VERSION.startswith("2.14"), reason="bioimageio.spec fails with it"
)
def test_bioimageio_validates_and_runs_the_package(package, tmp_path):
    assert [path.name for path in tmp_path.iterdir()] == ["beads.zip"]
    y, x = np.mgrid[:64, :80]
    depth = 9 - np.hypot(y - 30, x - 40)  # of a disc with a soft edge, in noise
    disc = depth >= 0
    noise = np.random.default_rng(0).normal(0, 100, disc.shape)
    # The tool normalises it by itself.
    image = (1000 + noise + 3000 / (1 + np.exp(-2 * depth))).astype(np.uint16)
    np.save(tmp_path / "image.npy", image)
    files = [package, tmp_path / "image.npy", tmp_path / "found.npy"]
    subprocess.run([sys.executable, "-c", USE, *map(str, files)], check=True)
    probability = np.load(tmp_path / "found.npy")
    both = np.logical_and(probability > 0.5, disc).sum()
    assert both / np.logical_or(probability > 0.5, disc).sum() > 0.8


def test_a_package_shows_and_says_what_it_holds(package, request):
    default = "default" in request.node.name
    with zipfile.ZipFile(package) as members:
        described = json.loads(members.read("rdf.yaml"))
        readme = members.read("README.md").decode()
        cover = Image.open(io.BytesIO(members.read(described["covers"][0])))
        tensors = [*described["inputs"], *described["outputs"]]
        for tensor in tensors:
            shown, tested = (
                members.read(tensor[f"{kind}_tensor"]["source"])
                for kind in ("sample", "test")
            )
            shown = tifffile.imread(io.BytesIO(shown))
            np.testing.assert_array_equal(shown, np.load(io.BytesIO(tested))[0, 0])
    assert cover.size == (512, 256)
    assert [tensor["id"] for tensor in tensors] == ["image", "probability", "distance"]
    assert ("a pyramid: the image is looked at from 1/16" in readme) == default
    assert ("the network alone" in readme) == (not default)
    assert ("# The default model of beadseg" in readme) == default
    for said in ("## Validation", "watershed of the distance", "beadseg predict"):
        assert said in readme


@pytest.mark.parametrize("run", [[], ["default"]])
def test_the_default_model_is_written_here(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command(*run, "--format", "bioimageio")
    assert [path.name for path in tmp_path.iterdir()] == ["model.bioimage.io.zip"]


def test_a_model_that_differs_is_not_written(bright_run, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(packages, "largest_difference", lambda run, model: np.nan)
    command(bright_run, "-o", tmp_path / "m.onnx", code=2)
    assert "so nothing was written" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


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
