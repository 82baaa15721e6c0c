"""A new loss, model, output, table, reader, cause or search is one row of a table."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tifffile

from beadseg import cli, models
from beadseg.analysis.diagnosis.causes import CAUSES, Cause
from beadseg.analysis.diagnosis.signs import Sign
from beadseg.data.folder import scan
from beadseg.data.images.readers import READERS, Reader
from beadseg.data.images.reading import open_pages
from beadseg.data.images.stacks import Plane, Stack
from beadseg.errors import BeadsegError
from beadseg.inference.inputs import find_inputs
from beadseg.inference.networks.tiles import Network
from beadseg.inference.outputs.kinds import OUTPUTS, TABLES, Output, TableKind
from beadseg.inference.run import load_run
from beadseg.losses import LOSSES
from beadseg.sweep.folder import SweepFolder
from beadseg.sweep.search import SEARCHES, All, search_of
from beadseg.sweep.sweep_file import sweep_of
from beadseg.training.loop import train
from configs import base
from tests.inference import bright
from tests.models import test_models
from tests.models.dilated import Dilated
from tests.tiny import FOUR_IMAGES, tiny_config


def call(capsys, *arguments):
    with pytest.raises(SystemExit) as stopped:
        cli.main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return stopped.value.code, out, err


@pytest.fixture
def dilated(monkeypatch):
    monkeypatch.setitem(models.MODELS, "dilated", Dilated)


@pytest.fixture
def config(tmp_path, dilated):
    return tiny_config(
        model__name="dilated",
        model__heads=("mask", "distance"),
        data__cache_dir=str(tmp_path / "cache"),
        **FOUR_IMAGES,
    )


def test_a_new_model_and_a_new_loss_train_predict_and_are_not_exported(
    config, tmp_path, monkeypatch, capsys
):
    def square(logits, mask, weight, *, gamma=1.0):
        error = jnp.abs(jax.nn.sigmoid(logits) - mask) ** gamma
        return (weight * error).sum((1, 2, 3)) / weight.sum((1, 2, 3)).clip(1.0)

    monkeypatch.setitem(LOSSES, "square", square)
    config.loss.name = "square"
    folder = tmp_path / "run"
    train(config, folder, "run")
    run = load_run(folder)

    image = np.random.default_rng(0).random((75, 90), np.float32)
    logits = run.build().apply(run.variables, image[None, :, :, None])
    expected = jax.nn.sigmoid(logits["mask"])[0, :, :, 0]
    tiled = Network(run, tile=24)
    assert tiled._margin == 7  # 1 + 2 + 4
    found = tiled.predict(image)
    np.testing.assert_allclose(found.probability, expected, atol=1e-6)
    assert np.std(expected) > 1e-4 and found.distance is not None

    capsys.readouterr()
    code, _, err = call(capsys, "export", folder)
    assert code == 2 and not (folder / "model.onnx").exists()
    assert err.count("\n") == 1 and "'dilated' cannot be exported" in err

    config.loss.name = "cube"
    with pytest.raises(BeadsegError, match="'cube' is unknown; known are .*square"):
        train(config, tmp_path / "other", "other")


def test_a_run_of_a_model_that_this_version_lacks_is_one_line(
    config, tmp_path, monkeypatch
):
    folder = bright.write_run(tmp_path / "run")
    stored = json.loads((folder / "config.json").read_text())
    stored["model"]["name"] = "dilated"
    (folder / "config.json").write_text(json.dumps(stored))
    monkeypatch.delitem(models.MODELS, "dilated")
    with pytest.raises(BeadsegError, match="run: .*made with .*'dilated' is unknown"):
        load_run(folder)


def test_a_setting_that_older_runs_lack_has_the_value_of_that_time(dilated):
    config = base.get_config().model
    config.name = "dilated"
    assert models.build(config).dilations == (1, 2, 4)
    with config.unlocked():
        config.dilations = [1, 1]
        assert models.build(config).dilations == (1, 1)
        assert "dilations" in models.settings()
        del config.width
    with pytest.raises(BeadsegError, match="config.model lacks width"):
        models.build(config)


def test_a_model_says_which_heads_it_has(dilated, monkeypatch):
    monkeypatch.setattr(Dilated, "known_heads", ("mask",))
    config = base.get_config().model
    config.name = "dilated"
    with pytest.raises(BeadsegError, match="mask, then any of none"):
        models.build(config)
    config.heads = ("mask",)
    assert models.build(config).heads == ("mask",)


def test_what_every_model_promises_is_tested_of_a_new_one(dilated):
    test_models.test_tiled_prediction_equals_whole_image_prediction("dilated")
    test_models.test_a_pixel_beyond_the_receptive_field_changes_nothing("dilated")


def test_a_model_that_looks_at_the_whole_image_is_predicted_in_tiles(
    config, tmp_path, monkeypatch
):
    monkeypatch.setattr(Dilated, "receptive_field", None)
    train(config, tmp_path / "run", "run")
    run = load_run(tmp_path / "run")
    assert "differs a little from one predicted at once" in run.notes[0]
    image = np.random.default_rng(0).random((150, 200), np.float32)
    found = Network(run, tile=24).predict(image).probability
    whole = Network(run).predict(image).probability
    np.testing.assert_allclose(found, whole, atol=1e-6)  # 7 px count, 64 are shared


def test_a_network_that_looks_at_the_whole_image_says_that_tiles_differ(tmp_path):
    config = base.get_config()
    config.model.norm = "group"
    network = models.build(config.model)
    assert network.receptive_field is None and not network.fits_any_window
    assert network.margin == models.build(base.get_config().model).margin


def test_a_new_output_and_a_new_table_are_in_help_flags_and_folder(
    tmp_path, monkeypatch, capsys
):
    def centres(file, of):
        table = of.found.table
        rows = zip(table["y"], table["x"], of.outlines, strict=True)
        file.write_text("".join(f"{y:.0f} {x:.0f} {len(o)}\n" for y, x, o in rows))

    def lines(content, names, tables):
        content.write("\t".join(names).encode())

    monkeypatch.setitem(OUTPUTS, "centres", Output("centres", ".txt", centres, True))
    monkeypatch.setitem(TABLES, "tsv", TableKind("with tabs", lines))
    _, told, _ = call(capsys, "predict", "--help")
    told = " ".join(told.split())
    assert "GeoJSON (QuPath), centres, tables" in told
    assert "rois,geojson,centres" in told and "tsv: with tabs" in told

    run = bright.write_run(tmp_path / "run")
    image, labels = bright.beads_image()
    tifffile.imwrite(tmp_path / "a.tif", image)
    flags = ("--run", run, "--only", "labels,centres", "--tables", "tsv")
    out = tmp_path / "out"
    assert call(capsys, "predict", tmp_path / "a.tif", *flags, "-o", out)[0] == 0
    assert len((out / "centres" / "a.txt").read_text().splitlines()) == labels.max()
    assert (out / "beads.tsv").read_text().startswith("image\t")
    assert not (out / "rois").exists()
    inside = out / "centres" / "b.tif"
    tifffile.imwrite(inside, image)
    code, _, err = call(capsys, "predict", inside, "--run", run, "-o", out, "--resume")
    assert code == 2 and "the images lie there" in err


def test_a_new_reader_reads_in_a_data_set_and_in_prediction(tmp_path, monkeypatch):
    def look(file):
        width, height = map(int, file.read_bytes().split(b"\n")[1].split())
        return [Stack("", (), [Plane()], (height, width), "grey", 1)], ""

    def read(file, plane, stored):
        kind, size, _, pixels = file.read_bytes().split(b"\n", 3)
        return np.frombuffer(pixels, "u1").reshape([*map(int, size.split())][::-1])

    data = base.get_config().data
    data.dir, data.cache_dir = str(tmp_path / "set"), str(tmp_path / "cache")
    image = np.random.default_rng(0).integers(0, 255, (40, 50), np.uint8)
    file = tmp_path / "set" / "images" / "a.pgm"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"P5\n50 40\n255\n" + image.tobytes())
    with pytest.raises(BeadsegError, match="put TIFF, PNG, JPEG, BMP, "):
        scan(data)
    monkeypatch.setitem(READERS, "PGM", Reader(rb"P5\s", (".pgm",), look, read))
    np.testing.assert_array_equal(open_pages(file)[0].read(), image)
    assert [sample.name for sample in scan(data).samples] == ["a"]
    assert [i.name for i in find_inputs([str(file.parent)]).images] == ["a"]
    with pytest.raises(BeadsegError, match="jpeg, bmp, .*, pgm"):
        find_inputs([str(tmp_path)])


def test_a_new_cause_is_printed_stored_and_on_the_page(tmp_path, monkeypatch, capsys):
    def judge(evidence):
        text = f"{len(evidence.curve)} evaluations."
        return Sign(0.99, text, "beadseg analyze DIR") if evidence.curve else None

    title = "Ended early"
    monkeypatch.setitem(CAUSES, "short", Cause(title, "Train longer.", judge))
    run = tmp_path / "run"
    run.mkdir()
    config = base.get_config().to_json_best_effort()
    (run / "config.json").write_text(config)
    row = {"kind": "validation", "epoch": 1, "jaccard": 0.5, "loss": 0.5}
    row |= {"jaccard_at_0.5": 0.5, "threshold": 0.5, "step": 1}
    (run / "metrics.jsonl").write_text(json.dumps(row) + "\n")
    code, out, _ = call(capsys, "diagnose", run, "--json", tmp_path / "result.json")
    assert code == 1 and f"1. {title} (99 %)" in out
    (finding,) = json.loads((tmp_path / "result.json").read_text())["findings"]
    assert finding["cause"] == "short" and finding["because"] == "1 evaluations."
    assert f"{title} (99 %)" in (run / "diagnosis.html").read_text()


def test_a_new_search_makes_the_points_of_its_space(tmp_path, monkeypatch):
    class Two(All):
        """Two points at the ends of a range."""

        of_space = True

        def __init__(self, folder, space):
            super().__init__(folder, space)
            self.space, self.folder = space, folder

        def ask(self, count):
            for number in range(2 - len(self.folder.members)):
                low, high = self.space["optim.learning_rate"][:2]
                rate = (low, high)[number]
                self.folder.add_trial(number, {"optim.learning_rate": rate})
            return len(self.folder.members) < 2

    file = tmp_path / "ends.py"
    file.write_text(
        "from beadseg.sweep.points import over, uniform\n"
        "from configs.base import get_config\n"
        "def sweep(add):\n    [add(p) for p in over('seed', 0, 1, 2)]\n"
        "def space():\n    return {'optim.learning_rate': uniform(1e-4, 1e-2)}\n"
    )
    config = base.get_config()
    config.sweep.search = "two"
    monkeypatch.setitem(SEARCHES, "two", Two)
    found = sweep_of(str(file), config)
    assert found.points == []
    folder = SweepFolder(tmp_path / "sweep", "ends", config, found.points)
    search = search_of(folder, found.space)
    search.ask(1)
    assert search.todo() == {0: 40, 1: 40}
    assert folder.config(1).optim.learning_rate == 1e-2
