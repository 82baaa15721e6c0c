"""Beads are measured in every channel of their file."""

import json

import numpy as np
import pytest
import tifffile

from beadseg.errors import BeadsegError
from beadseg.inference.outputs.channels import in_channel
from beadseg.inference.outputs.columns import INTENSITIES, about
from beadseg.inference.outputs.measure import measure
from beadseg.inference.outputs.surroundings import surroundings
from beadseg.inference.predictor import load
from beadseg.partial.review.session import ReviewSession
from tests.calls import exit_code, rows_of
from tests.inference import bright

NAMES = ("DAPI", "GFP 2")


def run(capsys, *arguments) -> tuple[int, str]:
    """Exit code and what is said on the way."""
    return exit_code(*arguments), capsys.readouterr().err


@pytest.fixture(scope="module")
def images():
    """The image, the labels, and another channel: noise of its own."""
    image, labels = bright.beads_image()
    other = np.random.default_rng(0).integers(50, 5000, image.shape).astype(np.uint16)
    return image, labels, other


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return bright.write_run(tmp_path_factory.mktemp("model") / "run")


@pytest.fixture
def file(images, tmp_path):
    image, _, other = images
    metadata = {"axes": "CYX", "Channel": {"Name": list(NAMES)}}
    options = {"metadata": metadata, "photometric": "minisblack"}
    tifffile.imwrite(tmp_path / "a.ome.tif", np.stack([image, other]), **options)
    return tmp_path / "a.ome.tif"


def columns(name: str) -> list[str]:
    return [f"{column}_{name}" for column in INTENSITIES]


def test_a_channel_is_measured_as_if_beads_were_found_in_it(images):
    image, labels, other = images
    inside = (labels > 0).astype(np.float32)
    table, _, boxes, _ = measure(labels, image, inside, threshold=0.5)
    found = in_channel("x", other, labels, table, boxes, inside, 0.5)
    expected = measure(labels, other, inside, threshold=0.5).table
    expected |= surroundings(labels, other, expected, boxes)
    for name in INTENSITIES:
        np.testing.assert_allclose(found[f"{name}_x"], expected[name], err_msg=name)
    for i, label in enumerate(table["label"]):
        pixels = other[labels == label]
        assert found["mean_intensity_x"][i] == pytest.approx(pixels.mean())
        assert found["median_intensity_x"][i] == np.median(pixels)
        assert found["integrated_intensity_x"][i] == pixels.sum()
    whole = in_channel("x", other, labels, table, boxes)
    np.testing.assert_array_equal(whole["mean_intensity_x"], found["mean_intensity_x"])


def test_pixels_without_data_are_left_out(images):
    image, labels, other = images
    inside = (labels > 0).astype(np.float32)
    table, _, boxes, _ = measure(labels, image, inside, threshold=0.5)
    gaps = other.astype(np.float32)
    gaps[labels == 1] = np.nan
    rows, places = np.nonzero(labels == 2)
    gaps[rows[::2], places[::2]] = np.inf
    found = in_channel("x", gaps, labels, table, boxes)
    assert np.isnan(
        [found[name][0] for name in columns("x") if "local" not in name]
    ).all()
    left = other[rows[1::2], places[1::2]]
    assert found["mean_intensity_x"][1] == pytest.approx(left.mean())
    assert found["integrated_above_background_x"][1] == pytest.approx(
        left.sum() - len(left) * found["local_background_x"][1]
    )


def test_tables_have_the_columns_of_all_channels(file, images, model, tmp_path, capsys):
    _, labels, other = images
    out = tmp_path / "out"
    flags = ("--no-report", "--run", model, "--channel", "DAPI")
    assert run(capsys, "predict", file, "-o", out, *flags)[0] == 0
    rows = rows_of(out / "beads.csv")
    new = [name for channel in NAMES for name in columns(channel)]
    assert list(rows[0])[-len(new) :] == new
    assert len(rows) == labels.max()
    found = tifffile.imread(out / "labels" / "a.tif")
    for row in rows:
        assert [row[name] for name in columns("DAPI")] == [row[n] for n in INTENSITIES]
        mean = other[found == int(row["label"])].mean()
        assert float(row["mean_intensity_GFP 2"]) == pytest.approx(mean, rel=1e-5)
    features = json.loads((out / "geojson" / "a.geojson").read_text())["features"]
    assert {*new} <= {*features[0]["properties"]["measurements"]}
    before = (out / "beads.csv").read_bytes()
    assert run(capsys, "predict", file, "-o", out, *flags, "--resume")[0] == 0
    assert (out / "beads.csv").read_bytes() == before
    one = (*flags, "--channels", "one")
    code, said = run(capsys, "predict", file, "-o", out, *one, "--resume")
    assert code == 2 and "channels = auto, not one" in said
    assert run(capsys, "predict", file, "-o", tmp_path / "one", *one)[0] == 0
    assert not {*new} & {*rows_of(tmp_path / "one" / "beads.csv")[0]}


def test_the_columns_are_documented(capsys):
    assert about("integrated_intensity_DAPI") == (
        *("grey px", "integrated_intensity in that channel of the file"),
    )
    assert run(capsys, "predict", "a", "--columns")[0] == 0


@pytest.mark.parametrize(("channels", "some"), [("auto", False), ("all", True)])
def test_colours_are_measured_when_asked_for(
    images, model, tmp_path, capsys, channels, some
):
    image, _, other = images
    colours = np.stack([image // 256, other // 256, image // 512], -1).astype(np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", colours, photometric="rgb")
    flags = (
        "--no-report",
        "--run",
        model,
        "--channels",
        channels,
        "-o",
        tmp_path / "out",
    )
    assert run(capsys, "predict", tmp_path / "a.tif", *flags)[0] == 0
    (row, *_) = rows_of(tmp_path / "out" / "beads.csv")
    for colour in ("red", "green", "blue"):
        assert (f"mean_intensity_{colour}" in row) == some


def test_a_channel_that_cannot_be_read_leaves_the_others(
    images, model, tmp_path, capsys
):
    image, _, _ = images
    both = np.stack([image.astype(np.float32), np.full(image.shape, np.nan, "f4")])
    metadata = {"axes": "CYX", "Channel": {"Name": ["a", "b"]}}
    options = {"metadata": metadata, "photometric": "minisblack"}
    tifffile.imwrite(tmp_path / "x.ome.tif", both, **options)
    flags = ("--no-report", "--run", model, "-o", tmp_path / "out")
    code, said = run(capsys, "predict", tmp_path / "x.ome.tif", *flags)
    assert code == 0 and "channel b is not measured" in said
    (row, *_) = rows_of(tmp_path / "out" / "beads.csv")
    assert row["mean_intensity_a"] and row["mean_intensity_b"] == ""


def test_labels_of_other_tools_have_them(file, images, tmp_path, capsys):
    _, labels, other = images
    tifffile.imwrite(tmp_path / "labels.tif", labels.astype(np.uint16))
    out = tmp_path / "out"
    assert (
        run(capsys, "measure", "--no-report", tmp_path / "labels.tif", file, "-o", out)[
            0
        ]
        == 0
    )
    means = [float(row["mean_intensity_GFP 2"]) for row in rows_of(out / "beads.csv")]
    expected = [other[labels == n].mean() for n in range(1, labels.max() + 1)]
    np.testing.assert_allclose(means, expected, rtol=1e-5)


def test_what_is_corrected_is_measured_again_in_all(images, model, tmp_path, capsys):
    image, _, other = images
    file, out = tmp_path / "a.ome.tif", tmp_path / "out"
    metadata = {"axes": "CYX", "Channel": {"Name": ["GFP", "DAPI"]}}
    options = {"metadata": metadata, "photometric": "minisblack"}
    tifffile.imwrite(file, np.stack([other, image]), **options)
    flags = ("--no-report", "--run", model, "-o", out, "--channel", "DAPI")
    assert run(capsys, "predict", file, *flags)[0] == 0
    labels = tifffile.imread(out / "labels" / "a.tif")

    def merged(first: int) -> str:
        assert run(capsys, "review", out, "--measure")[0] == 0
        session = ReviewSession(out)
        merge = {"do": "merge", "ids": [first, first + 1]}
        session.decide("a", merge, first // 2)
        session.close()
        assert run(capsys, "review", out, "--measure")[0] == 0
        rows = {row["label"]: row for row in rows_of(out / "beads.csv")}
        return rows[str(first)].get("mean_intensity_GFP")

    mean = other[np.isin(labels, (1, 2))].mean()
    assert float(merged(1)) == pytest.approx(mean, rel=1e-5)
    file.unlink()
    assert merged(3) is None
    _, said = run(capsys, "review", out, "--measure")
    assert "its other channels are not measured again" in said


def test_a_folder_of_before_is_gone_on_with(file, model, tmp_path, capsys):
    out, flags = (
        tmp_path / "out",
        ("--no-report", "--run", model, "-o", tmp_path / "out"),
    )
    assert run(capsys, "predict", file, *flags, "--channels", "one")[0] == 0
    told = json.loads((out / "prediction.json").read_text())
    del told["channels"]
    (out / "prediction.json").write_text(json.dumps(told))
    assert run(capsys, "predict", file, *flags, "--resume")[0] == 0


def test_channels_in_memory(images, model, tmp_path):
    pytest.importorskip("pandas")
    image, _, other = images
    found = load(model).predict(image).in_channels({"GFP": other})
    frame = found.to_pandas()
    assert list(frame.columns)[-7:] == columns("GFP")
    means = [other[found.labels == label].mean() for label in frame["label"]]
    np.testing.assert_allclose(frame["mean_intensity_GFP"], means)
    found.save(tmp_path / "out")
    assert "mean_intensity_GFP" in rows_of(tmp_path / "out" / "beads.csv")[0]
    with pytest.raises(BeadsegError, match="GFP: 9 x 9 px but the beads are in"):
        found.in_channels({"GFP": np.eye(9)})
