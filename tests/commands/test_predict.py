"""`beadseg predict` as a user meets it, with a network known in closed form."""

import json
import math
from contextlib import contextmanager

import numpy as np
import pytest
import tifffile
from PIL import Image
from roifile import ImagejRoi

import beadseg
from beadseg.errors import BeadsegError
from beadseg.inference import predictor
from beadseg.inference.outputs import columns, measure
from tests.calls import call, rows_of
from tests.inference.bright import DIAMETER, beads_image, write_run


def same_numbers(labels, found):
    """`labels` with the numbers that `found` has at the middle of each of them."""
    number = np.zeros(labels.max() + 1, labels.dtype)
    for label in range(1, len(number)):
        y, x = (round(at.mean()) for at in np.nonzero(labels == label))
        number[label] = found[y, x]
    assert len(set(number)) == len(number)
    return number[labels]


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    image, labels = beads_image()
    tifffile.imwrite(
        folder / "a.tif",
        image,
        imagej=True,
        resolution=(4, 4),
        metadata={"unit": "um"},
    )
    tifffile.imwrite(folder / "b.tif", image[: image.shape[0] // 2])
    return folder


def test_one_command_gives_all_files_and_they_are_right(
    bright_run, images, tmp_path, capsys
):
    out = tmp_path / "out"
    result = tmp_path / "result.json"
    code, lines, _ = call(
        capsys, "predict", images, "--run", bright_run, "-o", out, "--json", result
    )
    assert code == 0
    assert lines[-1].startswith("40 beads in 2 images")
    assert lines[-1].endswith(f", page: {out / 'report.html'}")
    assert "40 beads in 2 images" in (out / "report.html").read_text()
    image, labels = beads_image()
    found = tifffile.imread(out / "labels" / "a.tif")
    assert found.dtype == np.uint16
    labels = same_numbers(labels, found)
    np.testing.assert_array_equal(found, labels)
    with tifffile.TiffFile(out / "labels" / "a.tif") as file:
        assert file.is_imagej
        assert file.imagej_metadata["unit"] == "um"
        assert file.pages[0].tags["XResolution"].value == (4, 1)
    probability = tifffile.imread(out / "probability" / "a.tif")
    assert probability.dtype == np.float32
    np.testing.assert_allclose(probability, labels > 0, atol=1e-3)
    beads = [row for row in rows_of(out / "beads.csv") if row["image"] == "a"]
    assert len(beads) == 25
    areas = np.bincount(labels.ravel())[1:]
    assert [int(row["area_px"]) for row in beads] == areas.tolist()
    assert [int(row["label"]) for row in beads] == list(range(1, 26))
    assert float(beads[0]["area_um2"]) == pytest.approx(areas[0] / 16)
    assert float(beads[0]["mean_intensity"]) == 1000
    assert float(beads[0]["background"]) == 100
    rows = {row["image"]: row for row in rows_of(out / "images.csv")}
    assert rows["a"]["count"] == "25"
    weights = [float(row["edge_weight"]) for row in beads]
    assert float(rows["a"]["edge_corrected_count"]) == pytest.approx(sum(weights), 1e-4)
    assert float(rows["a"]["median_diameter_um"]) == pytest.approx(DIAMETER / 4, 0.01)
    assert rows["b"]["median_diameter_um"] == ""
    names = {*beads[0], *rows["a"]}
    assert [name for name in names if columns.about(name) is None] == []
    summary = json.loads(result.read_text())
    assert summary["report"] == str(out / "report.html")
    assert [row["count"] for row in summary["images"]] == [25, 15]

    rois = ImagejRoi.fromfile(out / "rois" / "a.zip")
    assert len(rois) == 25
    assert len({roi.name for roi in rois}) == 25
    collection = json.loads((out / "geojson" / "a.geojson").read_text())
    assert len(collection["features"]) == 25
    for roi, feature in zip(rois, collection["features"], strict=True):
        label = int(roi.name)
        y, x = np.nonzero(labels == label)
        ring = np.array(feature["geometry"]["coordinates"][0])
        assert (ring[0] == ring[-1]).all()
        for points in (roi.coordinates(), ring):
            assert shoelace(points) == pytest.approx(len(y), rel=0.05)
            middle = (points.min(0) + points.max(0)) / 2
            assert middle == pytest.approx((x.mean() + 0.5, y.mean() + 0.5), abs=0.6)
        properties = feature["properties"]
        assert properties["classification"]["name"] == "Bead"
        assert properties["measurements"]["area_px"] == len(y)
    overlay = np.asarray(Image.open(out / "overlays" / "a.png"))
    assert overlay.ndim == 3
    assert (np.ptp(overlay.astype(int), axis=2) > 60).mean() > 0.01  # coloured lines


def test_a_page_that_fails_loses_nothing_else(bright_run, images, tmp_path, capsys):
    command = ("predict", images / "a.tif", "--run", bright_run, "--only", "labels")
    out = tmp_path / "out"
    assert call(capsys, *command, "-o", out, "--no-report")[0] == 0
    assert not (out / "report.html").exists()
    (out / "plots").write_text("in the way")
    code, lines, errors = call(capsys, *command, "-o", out, "--resume")
    assert code == 1
    assert ", page: " not in lines[-1]
    assert "failed: the page: " in errors[-1] and "cannot be written" in errors[-1]
    assert len(rows_of(out / "beads.csv")) == 25


def shoelace(points):
    x, y = points[:, 0], points[:, 1]
    return abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2


def test_resume_skips_what_is_done_and_ends_with_the_same_tables(
    bright_run, images, tmp_path, capsys
):
    out = tmp_path / "out"
    command = ("predict", images, "--run", bright_run, "-o", out)
    assert call(capsys, *command)[0] == 0
    whole = (out / "beads.csv").read_text()
    first = out / "labels" / "a.tif"
    stamp = first.stat().st_mtime_ns
    code, _, errors = call(capsys, *command)
    assert code == 2
    assert "holds files already" in errors[-1] and "--resume" in errors[-1]
    (out / ".done" / "b.npz").unlink()  # as if it had been stopped there
    (out / "labels" / "b.tif").unlink()
    (out / "beads.csv").unlink()
    code, lines, _ = call(capsys, *command, "--resume")
    assert code == 0
    assert "1 of them before" in lines[-1]
    assert first.stat().st_mtime_ns == stamp
    assert (out / "labels" / "b.tif").exists()
    assert (out / "beads.csv").read_text() == whole
    code, _, errors = call(capsys, *command, "--resume", "--threshold", "0.4")
    assert code == 2
    assert "was made with threshold = auto, not 0.4" in errors[-1]


def test_resume_makes_anew_what_has_lost_a_file(bright_run, images, tmp_path, capsys):
    out = tmp_path / "out"
    command = ("predict", images, "--run", bright_run, "-o", out)
    assert call(capsys, *command)[0] == 0
    whole = (out / "labels" / "b.tif").read_bytes()
    for lost in ("labels/b.tif", "rois/a.zip"):
        (out / lost).unlink()
        code, lines, _ = call(capsys, *command, "--resume")
        assert code == 0 and "1 of them before" in lines[-1]
        assert (out / lost).exists()
    assert (out / "labels" / "b.tif").read_bytes() == whole


def test_unreadable_inputs_are_listed_and_the_rest_is_done(
    bright_run, images, tmp_path, capsys
):
    (images / "c.tif").write_bytes(b"II*\0 broken")
    out = tmp_path / "out"
    code, lines, errors = call(
        capsys, "predict", images, "--run", bright_run, "-o", out, "--only", "labels"
    )
    assert code == 1
    failed = [line for line in errors if line.startswith("failed: ")]
    assert len(failed) == 1
    assert "c.tif" in failed[0]
    assert lines[-1].startswith("40 beads in 2 images, 1 failed")
    assert not (out / "overlays").exists()
    assert {row["image"] for row in rows_of(out / "images.csv")} == {"a", "b"}


def test_a_black_control_is_an_image_without_beads(
    bright_run, images, tmp_path, capsys
):
    tifffile.imwrite(images / "c.tif", np.full((40, 50), 7, np.uint8))
    tifffile.imwrite(images / "d.tif", np.zeros((40, 50), np.float32))
    out = tmp_path / "out"
    code, lines, _ = call(
        capsys, "predict", images, "--run", bright_run, "-o", out, "--json", out / "r"
    )
    assert code == 0
    assert lines[-1].startswith("40 beads in 4 images")
    rows = {row["image"]: row for row in rows_of(out / "images.csv")}
    for name in "cd":
        assert rows[name]["count"] == "0"
        assert float(rows[name]["coverage"]) == 0
        assert rows[name]["median_diameter_px"] == ""
        labels = tifffile.imread(out / "labels" / f"{name}.tif")
        assert labels.shape == (40, 50) and not labels.any()
    assert {row["image"] for row in rows_of(out / "beads.csv")} == {"a", "b"}
    json.loads((out / "r").read_text())


def test_inputs_of_one_name_never_overwrite_each_other(bright_run, tmp_path, capsys):
    image, _ = beads_image(count=3)
    for folder in ("p", "q"):
        (tmp_path / folder).mkdir()
        tifffile.imwrite(tmp_path / folder / "x.tif", image)
    Image.fromarray((image // 8).astype(np.uint8)).save(tmp_path / "q" / "x.png")
    tifffile.imwrite(tmp_path / "q" / "stack.tif", np.stack([image] * 2))
    out = tmp_path / "out"
    code, _, _ = call(
        capsys,
        *("predict", tmp_path / "p", tmp_path / "q" / "*", "--run", bright_run),
        *("-o", out, "--only", "labels", "--tables", "parquet"),
    )
    assert code == 0
    names = sorted(file.stem for file in (out / "labels").iterdir())
    assert names == ["p_x", "stack_p000", "stack_p001", "x_png", "x_tif"]
    import pyarrow.parquet as pq

    beads = pq.read_table(out / "beads.parquet").to_pydict()
    assert len(beads["image"]) == 5 * 9
    assert pq.read_table(out / "images.parquet").num_rows == 5


@pytest.mark.parametrize("inside", ["", "labels"])
def test_writing_among_the_images_is_refused(bright_run, tmp_path, capsys, inside):
    folder = tmp_path / "data" / inside
    folder.mkdir(parents=True)
    tifffile.imwrite(folder / "a.tif", beads_image()[0])
    code, _, errors = call(
        capsys, "predict", folder, "--run", bright_run, "-o", tmp_path / "data"
    )
    assert code == 2
    assert "the images lie there" in errors[-1]


@pytest.mark.parametrize(
    "arguments, words",
    [
        (("nothing.tif",), "there is no such file"),
        (("no*thing.tif",), "no file has such a name"),
        (("--run", "gone"), "no such run: give the folder"),
        (("--threshold", "1.5"), "give a number between 0 and 1"),
        (("--diameter", "9999"), "--diameter 9999: beads of 2 to 256 px can be found"),
        (("--pixel-size", "0"), "give um above 0"),
        (("--top", "2"), "is for a sweep, and this is none"),
        (("--channel", "3"), "there is no channel 3 in 1: give 0 with --channel"),
    ],
)
def test_wrong_use_is_one_line(bright_run, images, tmp_path, capsys, arguments, words):
    given = () if arguments[0].endswith(".tif") else (images / "a.tif",)
    run = () if "--run" in arguments else ("--run", bright_run)
    command = ("predict", *given, *arguments, *run, "-o", tmp_path / "out")
    code, _, errors = call(capsys, *command)
    assert code in (1, 2)
    assert words in errors[-1]
    assert not any("Traceback" in line for line in errors)


@pytest.mark.parametrize("below", ["", "out"])
def test_a_file_in_place_of_the_folder_is_named_as_the_cause(
    bright_run, images, tmp_path, capsys, below
):
    (tmp_path / "file").write_text("mine")
    out = tmp_path / "file" / below
    code, _, errors = call(capsys, "predict", images, "--run", bright_run, "-o", out)
    assert code == 2 and len(errors) == 1
    assert f"{tmp_path / 'file'} is a file, not a folder" in errors[0]
    assert "-o" in errors[0] and "space" not in errors[0]
    assert (tmp_path / "file").read_text() == "mine"


def test_a_disk_that_fills_is_one_line_and_resumes(
    bright_run, images, tmp_path, capsys, monkeypatch
):
    from beadseg.inference.outputs import writers

    def full(file, *_):
        raise OSError(28, "No space left on device")

    out = tmp_path / "out"
    command = ("predict", images, "--run", bright_run, "-o", out)
    with monkeypatch.context() as patch:
        patch.setattr(writers, "write_rois", full)
        code, _, errors = call(capsys, *command)
    assert code == 2
    assert "cannot be written (No space left on device)" in errors[-1]
    code, lines, _ = call(capsys, *command, "--resume")
    assert code == 0
    assert lines[-1].startswith("40 beads in 2 images")


def test_python_gives_what_the_command_gives(bright_run):
    image, labels = beads_image()
    run = beadseg.load(bright_run)
    found = run.predict(image, pixel_size=0.5)
    labels = same_numbers(labels, found.labels)
    np.testing.assert_array_equal(found.labels, labels)
    assert len(found.table["label"]) == 25
    assert found.table["circularity"].max() <= 1
    assert found.table["diameter_um"][0] == pytest.approx(DIAMETER / 2, rel=0.02)
    coloured = run.predict(np.stack([image] * 3, -1))
    np.testing.assert_array_equal(coloured.labels, labels)
    with pytest.raises(BeadsegError, match="is no image"):
        run.predict(np.zeros((3, 4, 5, 6)))
    with pytest.raises(BeadsegError, match="is too small"):
        run.predict(np.zeros((1, 40)))
    with pytest.raises(BeadsegError, match="are NaN or infinite"):
        run.predict(np.full((30, 40), np.nan))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("large", [False, True])
def test_pixels_without_data_hold_no_bead_and_are_counted(
    bright_run, tmp_path, capsys, monkeypatch, value, large
):
    image, labels = beads_image()
    gone = np.zeros(image.shape, bool)
    gone[:, : image.shape[1] // 2] = True
    gone[labels == labels[-1:].max(initial=labels.max())] = True
    tifffile.imwrite(tmp_path / "a.tif", np.where(gone, value, image).astype("f4"))
    if large:
        monkeypatch.setattr("beadseg.inference.scratch.LARGE", 1)
    out = tmp_path / "out"
    arguments = ("predict", tmp_path / "a.tif", "--run", bright_run, "-o", out)
    code, _, errors = call(capsys, *arguments)
    assert code == 0
    assert any(f"{gone.sum():,} of {gone.size:,} pixels have no" in e for e in errors)
    found = tifffile.imread(out / "labels" / "a.tif")
    assert not found[gone].any()
    whole = [i for i in range(1, labels.max() + 1) if not gone[labels == i].any()]
    for i in whole:
        number = np.unique(found[labels == i])
        assert len(number) == 1 and number[0] > 0
    (row,) = rows_of(out / "images.csv")
    known = (~gone).sum()
    assert float(row["coverage"]) == pytest.approx((found > 0).sum() / known, rel=1e-5)


def test_a_note_on_many_images_is_one_line(bright_run, tmp_path, capsys):
    image, _ = beads_image()
    for number, gone in enumerate((3, 4, 5, 6, 7)):
        lost = image.astype(np.float32)
        lost[:gone] = np.nan
        tifffile.imwrite(tmp_path / f"{number}.tif", lost)
    files = sorted(tmp_path.glob("*.tif"))
    for count, lines in ((5, 1), (3, 3)):
        out = tmp_path / f"out{count}"
        some = files[:count]
        _, _, errors = call(capsys, "predict", *some, "--run", bright_run, "-o", out)
        told = [line for line in errors if "have no data" in line]
        assert len(told) == lines
    assert told[0].startswith("note: 0: ")


@pytest.mark.parametrize("times", [0.4, 3.0])
def test_beads_of_a_given_size_are_brought_to_the_size_the_run_knows(bright_run, times):
    image, labels = beads_image(diameter=DIAMETER * times)
    found = beadseg.load(bright_run).predict(image, diameter=DIAMETER * times)
    assert found.image["scale"] == pytest.approx(1 / times, rel=0.01)
    assert found.image["count"] == 25
    overlap = ((found.labels > 0) & (labels > 0)).sum() / (
        (found.labels > 0) | (labels > 0)
    ).sum()
    assert overlap > 0.93
    expected = 2 * math.sqrt((labels == 1).sum() / math.pi)
    assert found.image["median_diameter_px"] == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("smallest, count", [(1.0, 25), (0.7, 26), (None, 26)])
def test_what_is_far_smaller_than_the_beads_trained_on_is_no_bead(
    tmp_path, smallest, count
):
    run = write_run(tmp_path / "run")
    dataset = json.loads((run / "dataset.json").read_text())
    (run / "dataset.json").write_text(json.dumps(dataset | {"smallest_bead": smallest}))
    image, _ = beads_image()
    side = round(0.5 * DIAMETER * math.sqrt(math.pi / 4))  # half a bead across
    start = round(1.6 * DIAMETER - side / 2)  # between four beads
    image[start : start + side, start : start + side] = image.max()
    found = beadseg.load(run).predict(image, diameter=DIAMETER)
    assert found.image["count"] == count


@pytest.mark.parametrize(
    "faintest, smallest, count",
    [(0.14, None, 25), (0.09, None, 26), (0.09, 0.9, 25), (None, None, 26)],
)
def test_what_is_fainter_than_the_beads_trained_on_is_no_bead(
    tmp_path, faintest, smallest, count
):
    """Of beads of one size what is small must differ the more."""
    run = write_run(tmp_path / "run")
    dataset = json.loads((run / "dataset.json").read_text())
    dataset |= {"faintest_bead": faintest, "smallest_bead": smallest}
    (run / "dataset.json").write_text(json.dumps(dataset))
    image, labels = beads_image(level=1200, background=1000)  # a contrast of 0.091
    side, start = 8, round(1.6 * DIAMETER) - 4
    image[start : start + side, start : start + side] = 1140  # 0.065
    model = beadseg.load(run)
    found = model.predict(image)
    assert found.image["count"] == len(found.table["label"]) == count
    assert len(np.unique(found.labels)) - 1 == count
    beads = (found.labels > 0) & (labels > 0)
    np.testing.assert_array_equal(beads, labels > 0)
    said = ["1 region is far fainter" in note for note in found.notes]
    assert said == [True] * (26 - count)
    assert model.predict(image, min_score=0.0).image["count"] == 26


def test_a_faintest_bead_that_cannot_be_is_refused(tmp_path):
    run = write_run(tmp_path / "run")
    dataset = json.loads((run / "dataset.json").read_text())
    (run / "dataset.json").write_text(json.dumps(dataset | {"faintest_bead": 7}))
    with pytest.raises(BeadsegError, match="faintest_bead = 7 cannot be"):
        beadseg.load(run)


def test_an_ensemble_takes_the_mean_and_says_where_its_runs_differ(
    bright_run, tmp_path
):
    other = write_run(tmp_path / "other", threshold=0.7)
    image, labels = beads_image()
    both = beadseg.load(bright_run, other)
    assert both.threshold() == pytest.approx(0.6)
    found = both.predict(image)
    np.testing.assert_array_equal(found.labels, same_numbers(labels, found.labels))
    np.testing.assert_allclose(found.uncertainty, 0, atol=1e-3)
    assert "uncertainty" in found.table


def test_a_sweep_gives_its_best_members(tmp_path):
    for i, threshold in enumerate((0.3, 0.5, 0.7)):
        write_run(tmp_path / "sweep" / "members" / f"{i:03d}", threshold=threshold)
    with pytest.raises(BeadsegError, match=r"no leaderboard\.csv yet"):
        beadseg.load(tmp_path / "sweep")
    (tmp_path / "sweep" / "leaderboard.csv").write_text(
        "member,jaccard\n2,0.9\n0,0.8\n"
    )
    assert beadseg.load(tmp_path / "sweep").threshold() == 0.7
    assert beadseg.load(tmp_path / "sweep", top=2).threshold() == pytest.approx(0.5)


def test_runs_that_cannot_be_used_say_why(bright_run, tmp_path):
    def refused(change):
        run = write_run(tmp_path / change.__name__)
        change(run)
        with pytest.raises(BeadsegError) as error:
            beadseg.load(run)
        assert "\n" not in str(error.value)
        return str(error.value)

    def lost_weights(run):
        (run / "weights.npz").unlink()

    def no_weights(run):  # nor what is written when training ends
        lost_weights(run)
        (run / "summary.json").unlink()

    def no_config(run):
        (run / "config.json").unlink()

    def damaged(run):
        (run / "config.json").write_text("{")

    def edit(run, change):
        config = json.loads((run / "config.json").read_text())
        change(config["model"])
        (run / "config.json").write_text(json.dumps(config))

    def newer(run):
        (run / "versions.json").write_text('{"beadseg": "9.0"}')
        edit(run, lambda model: model.update(attention="flash"))

    def older(run):
        edit(run, lambda model: model.pop("heads"))

    def other(run):
        edit(run, lambda model: model.update(width=2))

    assert "weights.npz is missing" in refused(lost_weights)
    assert "training never reached a checkpoint" in refused(no_weights)
    assert "not a run folder (no config.json" in refused(no_config)
    assert "config.json: cannot be read" in refused(damaged)
    line = refused(newer)
    assert "made with beadseg 9.0" in line and "model.attention is unknown" in line
    assert "config.model lacks heads" in refused(older)
    assert "its weights fit no network of this one" in refused(other)


@pytest.fixture
def in_bands(monkeypatch):
    """Predicts every image as one that is too large for memory."""

    @contextmanager
    def patched():
        with monkeypatch.context() as patch:
            patch.setattr("beadseg.inference.scratch.LARGE", 1)
            patch.setattr("beadseg.inference.scratch.KEPT", 2**14)
            for module in (measure, predictor):
                patch.setattr(module, "BAND", 64)
            patch.setattr("beadseg.inference.outputs.writers.STRIP", 48)
            yield

    return patched


def assert_same_folders(one, other):
    """Two prediction folders of the image `a`, up to rounding."""
    for kind in ("labels", "probability", "uncertainty"):
        whole, bands = (tifffile.imread(out / kind / "a.tif") for out in (one, other))
        np.testing.assert_allclose(bands, whole, atol=1e-3)
    for name in ("overlays/a.png", "rois/a.zip", "geojson/a.geojson"):
        assert (one / name).stat().st_size == pytest.approx(
            (other / name).stat().st_size, rel=0.01
        )
    for name in ("beads.csv", "images.csv"):
        rows = [rows_of(out / name) for out in (one, other)]
        for whole, bands in zip(*rows, strict=True):
            assert whole.keys() == bands.keys()
            for key, value in whole.items():
                if key not in ("image", "file", ""):
                    same = value == bands[key]
                    assert same or float(value) == pytest.approx(
                        float(bands[key]), rel=1e-4, abs=1e-4
                    ), (key, value, bands[key])
    assert not [p for p in other.iterdir() if p.name.startswith(".") and p.is_file()]


@pytest.mark.parametrize("times", [1.0, 1.7])
def test_an_image_in_bands_gives_the_files_of_one_in_memory(
    bright_run, tmp_path, capsys, in_bands, times
):
    folder = tmp_path / "in"
    folder.mkdir()
    image, _ = beads_image(diameter=DIAMETER * times, count=8)
    speck = slice(1, 1 + round(3 * times))  # too small for a bead, in bands too
    image[speck, speck] = 1000
    image = image[:, :-7] + np.random.default_rng(0).integers(
        0, 60, image[:, :-7].shape
    ).astype(np.uint16)
    tifffile.imwrite(folder / "a.tif", image)
    outs = [tmp_path / "whole", tmp_path / "bands"]
    command = ("predict", folder, "--run", bright_run, "--run", bright_run)
    command += ("--diameter", DIAMETER * times, "--tile", "48")
    assert call(capsys, *command, "-o", outs[0])[0] == 0
    with in_bands():
        assert call(capsys, *command, "-o", outs[1])[0] == 0
    assert np.max(tifffile.imread(outs[0] / "labels" / "a.tif")) == 64
    assert_same_folders(*outs)


def test_a_pyramid_in_bands_gives_the_files_of_one_in_memory(
    tmp_path, capsys, in_bands
):
    run = write_run(tmp_path / "run", sizes=(6.0, 24.0))
    small, _ = beads_image(count=8)
    large, _ = beads_image(diameter=6.4 * DIAMETER, count=1, pitch=1.25)
    side = len(large)
    image = np.full((side + len(small), len(small)), small.min())
    image[side:], image[:side, :side] = small, large
    folder = tmp_path / "in"
    folder.mkdir()
    tifffile.imwrite(folder / "a.tif", image)
    outs = [tmp_path / "whole", tmp_path / "bands"]
    command = ("predict", folder, "--run", run, "--run", run, "--tile", "48")
    command += ("--min-score", "0")
    assert call(capsys, *command, "-o", outs[0])[0] == 0
    with in_bands():
        assert call(capsys, *command, "-o", outs[1])[0] == 0
    sizes = [float(row["diameter_px"]) for row in rows_of(outs[0] / "beads.csv")]
    assert np.sum(np.abs(np.log(np.divide(sizes, DIAMETER))) < 0.1) == 64
    assert np.sum(np.abs(np.log(np.divide(sizes, 6.4 * DIAMETER))) < 0.1) == 1
    assert_same_folders(*outs)


def test_a_kind_of_file_that_is_none_is_answered_with_the_near_one(capsys):
    code, _, (line,) = call(capsys, "predict", "images", "--only", "labels,overlay")
    assert code == 2 and "'overlay' is none of labels, " in line
    assert line.endswith("did you mean overlays? (see beadseg predict --help)")
