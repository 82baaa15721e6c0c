"""What `test_napari.py` runs in a process of its own: the plugin in the real napari."""

import csv
import shutil
import time

import napari
import numpy as np
import pytest
import tifffile
from napari.utils.notifications import notification_manager
from npe2 import PluginManager, PluginManifest
from PIL import Image
from qtpy.QtWidgets import QApplication

import beadseg
from beadseg import cli
from tests.conftest import ROOT
from tests.inference.bright import beads_image


@pytest.fixture(scope="session", autouse=True)
def plugin():
    manager = PluginManager.instance()
    manager.discover()
    if "beadseg" not in manager:
        file = ROOT / "beadseg" / "napari" / "napari.yaml"
        manager.register(PluginManifest.from_file(file))


@pytest.fixture
def viewer():
    notification_manager.records.clear()
    viewer = napari.Viewer(show=False)
    yield viewer
    viewer.close()


@pytest.fixture
def find(viewer):
    """The widget; called with its fields it waits, and returns the new layers."""
    _, widget = viewer.window.add_plugin_dock_widget("beadseg", "Find beads")

    def call(**fields):
        before = list(viewer.layers)
        for name, value in fields.items():
            getattr(widget, name).value = value
        worker, told = widget(), len(notification_manager.records)
        end = time.monotonic() + 120
        while len(notification_manager.records) == told and time.monotonic() < end:
            QApplication.processEvents()
            time.sleep(0.01)
        assert worker is not None and time.monotonic() < end
        return [layer for layer in viewer.layers if layer not in before]

    return call


def told():
    return [record.message for record in notification_manager.records]


def test_beads_of_the_sample_are_found_and_measured(viewer, find):
    image, truth = viewer.open_sample("beadseg", "beads")
    (labels,) = find(image=image)
    found = beadseg.load().predict(image.data, pixel_size=float(image.scale[0]))
    np.testing.assert_array_equal(labels.data, found.labels)
    np.testing.assert_array_equal(labels.scale, image.scale)
    assert labels.units == image.units and labels.name == "generated beads beads"
    assert told()[0] == repr(found)
    assert np.mean((labels.data > 0) == (truth.data > 0)) > 0.95
    for name, column in found.table.items():
        np.testing.assert_array_equal(labels.features[name], column)
    bead = found.table["label"][3]
    at = tuple(np.argwhere(labels.data == bead)[0] * labels.scale)
    assert f"label: {bead}" in labels._get_properties(at, world=True)


def test_the_plane_that_is_shown_is_looked_at(viewer, find, bright_run):
    image, _ = beads_image()
    empty = np.full_like(image, 100)
    stack = np.stack([empty, empty, image])
    stack[1, :25, :25] = image[:25, :25]  # the first bead
    layer = viewer.add_image(
        stack, scale=(2, 0.5, 0.5), translate=(10, 3, 4), units=("um", "um", "um")
    )
    viewer.dims.set_point(0, 12)  # the second
    (labels,) = find(image=layer, run=bright_run, diameter="16", min_score="0")
    assert labels.data.shape == (1, *image.shape)
    assert labels.features["label"].tolist() == [1]
    assert labels.features["diameter_um"][0] == pytest.approx(8, rel=0.05)
    np.testing.assert_array_equal(labels.translate, (12, 3, 4))
    viewer.dims.set_point(0, 14)  # the third
    (labels,) = find(image=layer)
    assert len(labels.features) == 25
    np.testing.assert_array_equal(labels.translate, (14, 3, 4))
    y, x = labels.features["y"][7], labels.features["x"][7]
    value = labels.get_value((14, 3 + 0.5 * y, 4 + 0.5 * x), world=True)
    assert value == labels.features["label"][7]


def test_colours_and_levels_are_looked_at_as_one_image(viewer, find, bright_run):
    image, _ = beads_image()
    grey = (image / 4).astype(np.uint8)
    coloured = viewer.add_image(np.stack([grey] * 3, -1), rgb=True)
    (labels,) = find(image=coloured, run=bright_run)
    assert len(labels.features) == 25 and labels.data.shape == image.shape
    levels = viewer.add_image([image, image[::2, ::2]], multiscale=True)
    (labels,) = find(image=levels)
    assert len(labels.features) == 25 and labels.data.shape == image.shape


def test_polarity_is_passed_on(viewer, find):
    image, _ = viewer.open_sample("beadseg", "beads")
    (labels,) = find(image=image, polarity="dark")
    expected = beadseg.load().predict(image.data, polarity="dark")
    assert len(labels.features) == expected.count < 10


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"diameter": "large"}, "diameter large: give px above 0"),
        ({"min_score": "2"}, "min_score 2: give a number from 0 to below 1"),
        ({"run": ROOT / "none"}, f"{ROOT / 'none'}: no such run: give the folder"),
    ],
)
def test_a_wrong_field_is_told_in_one_line(viewer, find, fields, says):
    layer = viewer.add_image(beads_image()[0])
    assert find(image=layer, **fields) == []
    (line,) = told()
    assert line.startswith(says) and "\n" not in line


def test_without_an_image_that_is_said(viewer):
    _, widget = viewer.window.add_plugin_dock_widget("beadseg", "Find beads")
    assert widget() is None
    assert told() == ["no image is open: open one, or a sample of beadseg (File menu)"]


@pytest.fixture
def predicted(tmp_path, bright_run):
    """A prediction folder of three images, two of one size."""
    image, _ = beads_image()
    (tmp_path / "images").mkdir()
    pixels = {"a": image, "b": image[::-1], "c": image[:64]}
    for name, array in pixels.items():
        file = tmp_path / "images" / f"{name}.tif"
        tifffile.imwrite(
            file, array, imagej=True, resolution=(4, 4), metadata={"unit": "um"}
        )
    out = tmp_path / "out"
    with pytest.raises(SystemExit) as ended:
        cli.main(
            ["predict", str(tmp_path / "images"), "-o", str(out), "--run"]
            + [str(bright_run), "--no-report"]
        )
    assert ended.value.code == 0
    return out, pixels


@pytest.mark.parametrize("opened", ["", "prediction.json"])
def test_a_prediction_folder_is_read(viewer, predicted, opened):
    folder, pixels = predicted
    layers = viewer.open(folder / opened, plugin="beadseg")
    assert [layer.name for layer in layers] == [
        "out 128 x 128", "out 128 x 128 labels", "out 128 x 128 beads",
        "c", "c labels", "c beads",
    ]  # fmt: skip
    images, labels, beads, image, own_labels, own_beads = layers
    for i, name in enumerate("ab"):
        np.testing.assert_array_equal(images.data[i], pixels[name])
        saved = tifffile.imread(folder / "labels" / f"{name}.tif")
        np.testing.assert_array_equal(labels.data[i], saved)
    np.testing.assert_array_equal(image.data, pixels["c"])
    assert image.scale.tolist() == [0.25, 0.25]
    with open(folder / "beads.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(beads.data) + len(own_beads.data) == len(rows)
    assert list(rows[0]) == list(beads.features)
    for at, row in zip(beads.data, rows, strict=False):
        plane = "ab".index(row["image"])
        expected = (plane, float(row["y"]), float(row["x"]))
        np.testing.assert_allclose(at, expected, rtol=1e-5)
    assert own_labels.features["label"].tolist() == own_beads.features["label"].tolist()


def test_what_is_left_of_a_prediction_is_read(viewer, predicted):
    folder, _ = predicted
    shutil.rmtree(folder.parent / "images")
    shutil.rmtree(folder / "labels")
    layers = viewer.open(folder, plugin="beadseg")
    assert [layer.name for layer in layers] == ["out 128 x 128 beads", "c beads"]
    (folder / ".done" / "a.npz").write_bytes(b"damaged")
    with pytest.raises(Exception, match="a.npz: damaged .*: predict again with"):
        viewer.open(folder, plugin="beadseg")


def test_the_samples_of_a_run_are_read(viewer, bright_run, tmp_path):
    run = shutil.copytree(bright_run, tmp_path / "run")
    with pytest.raises(Exception, match="beadseg"):  # none has been drawn
        viewer.open(run, plugin="beadseg")
    picture = np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)
    Image.fromarray(picture).save(run / "samples.png")
    (layer,) = viewer.open(run, plugin="beadseg")
    assert layer.rgb and layer.name == "run samples"
    np.testing.assert_array_equal(layer.data, picture)
