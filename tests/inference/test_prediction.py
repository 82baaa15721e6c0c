"""What is found in images in memory, against what the command writes of their files."""

import copy
import csv
import re
import sys
from dataclasses import replace

import numpy as np
import pytest
import tifffile

import beadseg
from beadseg import cli
from beadseg.errors import BeadsegError
from beadseg.inference.arrays import as_arguments
from beadseg.inference.records import DONE
from tests.inference.bright import DIAMETER, beads_image


@pytest.fixture(scope="module")
def predictor():
    return beadseg.load(None)


@pytest.fixture(scope="module")
def bright(bright_run):
    return beadseg.load(bright_run)


def two_images():
    image, _ = beads_image()
    return {"a": image, "b": image[: image.shape[0] // 2]}


def test_a_channel_that_an_array_lacks_is_that_of_the_run(bright):
    predictor = copy.copy(bright)
    predictor.runs = [replace(bright.runs[0], channel=3)]
    image, _ = beads_image()
    said = "^the image: has no channel 3, which the run was trained on: give that"
    with pytest.raises(BeadsegError, match=said):
        predictor.predict(np.stack([image] * 3, -1))


def files(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".lock"
    }


def table(file):
    with open(file, newline="") as lines:
        return list(csv.DictReader(lines))


@pytest.mark.parametrize("default", [True, False])
def test_saved_files_are_those_of_the_command(
    default, predictor, bright, bright_run, tmp_path
):
    for name, image in two_images().items():
        (tmp_path / "images").mkdir(exist_ok=True)
        tifffile.imwrite(tmp_path / "images" / f"{name}.tif", image)
    run = [] if default else ["--run", str(bright_run)]
    with pytest.raises(SystemExit) as ended:
        cli.main(
            ["predict", str(tmp_path / "images"), *run, "-o", str(tmp_path / "command")]
            + ["--min-score", "0.3", "--no-report"]
        )
    assert ended.value.code == 0
    found = (predictor if default else bright).predict(two_images(), min_score=0.3)
    assert found.save(tmp_path / "python", report=False) == tmp_path / "python"
    command, python = files(tmp_path / "command"), files(tmp_path / "python")
    assert command.keys() == python.keys() and len(command) > 12
    differ = {name for name in command if command[name] != python[name]}
    # Arrays lie in no file; all else is the same.
    assert differ == {"images.csv"} | {f"{DONE}/{name}.npz" for name in "ab"}
    rows = [table(tmp_path / f / "images.csv") for f in ("command", "python")]
    for one, other in zip(*rows, strict=True):
        assert one | {"file": ""} == other


def test_a_table_is_that_of_beads_csv(bright, tmp_path):
    pandas = pytest.importorskip("pandas")
    found = bright.predict(two_images(), pixel_size=0.5)
    found.save(tmp_path, report=False)
    read = pandas.read_csv(tmp_path / "beads.csv")
    beads = found.to_pandas()
    assert list(beads) == list(read) and len(beads) == 25 + 15
    assert beads["image"].value_counts().to_dict() == {"a": 25, "b": 15}
    beads["on_border"] = beads["on_border"].astype("int64")
    pandas.testing.assert_frame_equal(beads, read, check_dtype=False, rtol=1e-5)
    one = found[1].to_pandas()
    pandas.testing.assert_frame_equal(
        one, found[1:].to_pandas(), check_column_type=False
    )
    assert set(one["image"]) == {"b"}


def test_without_pandas_a_line_says_so(bright, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(BeadsegError, match="pip install pandas$"):
        bright.predict(two_images()["a"]).to_pandas()


def test_images_are_told_in_a_line(bright):
    found = bright.predict(two_images()["a"], pixel_size=0.5)
    assert repr(found) == "<image: 25 beads, median diameter 8 um, threshold 0.5>"
    assert found.count == 25
    both = bright.predict(iter(two_images().values()))
    assert repr(both) == "<40 beads in 2 images>"
    assert [one.name for one in both] == ["image_000", "image_001"]
    empty = bright.predict(np.zeros((40, 40)))
    assert repr(empty) == "<image: 0 beads, no diameter, threshold 0.5>"
    assert "bright: beads of about 16 px, threshold 0.5>" in repr(bright)
    assert "\n" not in repr(bright)
    assert repr(beadseg.load("default")).startswith("<Predictor of the default model:")


def test_a_plot_has_a_closed_outline_of_every_bead(bright):
    from matplotlib import pyplot

    found = bright.predict(two_images()["a"])
    ax = found.plot()
    (outlines,) = ax.collections
    paths = outlines.get_paths()
    assert len(paths) == 25
    for path in paths:  # each as far across as a bead, and closed
        across = np.ptp(path.vertices, axis=0)
        np.testing.assert_allclose(across, DIAMETER, atol=1)
        np.testing.assert_array_equal(path.vertices[0], path.vertices[-1])
    y, x = found.table["y"][0], found.table["x"][0]
    assert paths[0].contains_point((x, y))
    np.testing.assert_array_equal(ax.images[0].get_array(), found.pixels)
    assert found.plot(ax) is ax
    pyplot.close(ax.figure)


def test_a_notebook_shows_text_and_picture(bright):
    both = bright.predict({"<b>": two_images()["a"], "c": two_images()["b"]})
    shown = both._repr_html_()
    assert shown.count("<img") == shown.count("data:image/jpeg;base64,") == 2
    assert "<b>" not in shown and "&lt;b&gt;: 25 beads" in shown
    assert "25 beads" in both[0]._repr_html_()
    assert both.doubts == both[0].doubts == []


def test_a_count_in_doubt_is_said(bright):
    image, _ = beads_image(diameter=5)
    found = bright.predict(image, diameter=5)
    assert found.count == 25 and found.image["median_diameter_px"] < 6
    (line,) = found.doubts
    assert line.startswith("beads of less than 6 px") and "(image)" in line
    assert f"<p>{line}</p>" in found._repr_html_()


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ("beads.tif", "the image: 'beads.tif' is text, not pixels: read the file"),
        (np.array([["a", "b"]]), "type <U1 is no image: give"),
        (np.zeros((9, 30, 40)), "of a stack the list of its planes"),
        (np.zeros((0, 40)), "0 x 40 px is too small"),
        (np.zeros(0), r"shape \(0,\) .* is no image"),
        (np.full((30, 40), np.nan), "the image: all pixels are NaN or infinite"),
        (np.full((30, 40), -3.4e38), "the image: all pixels are NaN or infinite"),
        (np.zeros((30, 40), complex), "type complex128 is no image"),
        (None, "type object is no image"),
        ([], "no image was given"),
        ([np.eye(40), np.full((9, 9), np.nan)], "image_001: all pixels are NaN"),
        ([np.eye(40), "b.tif"], "image_001: 'b.tif' is text"),
        ({"x": np.zeros((2, 2, 2, 2))}, "^x: an array of shape"),
        ([[[1, 2], [3]]], "image_000: is no array"),
        (np.eye(40).tolist(), "image_000: .*of one give numpy.array"),
        (b"II*", "is text, not pixels"),
        (np.zeros((9, 9), "m8[s]"), "type timedelta64.s. is no image"),
        (np.zeros((9, 9), [("a", "u1")]), "is no image"),
        (np.full((9, 9), None), "type object is no image"),
        (np.ma.masked_all((9, 9)), "all pixels are NaN"),
        ({1: np.eye(40), "1": np.eye(40)}, "two images have one name"),
    ],
)
def test_what_is_no_image_is_one_line(wrong, says, bright, monkeypatch):
    monkeypatch.setattr(bright, "look", None)  # before any image is looked at
    with pytest.raises(BeadsegError, match=says) as error:
        bright.predict(wrong)
    assert "\n" not in str(error.value)


class Lazy:
    """An array of another library."""

    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        return self.array


def test_an_image_is_the_same_however_it_lies_in_memory(bright, tmp_path):
    image, _ = beads_image()
    mapped = np.memmap(tmp_path / "m", image.dtype, "w+", shape=image.shape)
    mapped[:] = image
    frozen = image.copy()
    frozen.flags.writeable = False
    found = bright.predict(image)
    for other in (
        *(mapped, frozen, np.asfortranarray(image), Lazy(image), np.ma.array(image)),
        *(image.astype(image.dtype.newbyteorder(">")), image.astype(np.longdouble)),
        *(np.repeat(image, 2, 1)[:, ::2], memoryview(image), np.stack([image] * 4, -1)),
    ):
        np.testing.assert_array_equal(bright.predict(other).labels, found.labels)
    (alone,) = bright.predict(image for _ in range(1))
    np.testing.assert_array_equal(alone.labels, found.labels)


def test_what_is_masked_in_black_and_white_has_no_data(bright):
    image = np.zeros((64, 64), bool)
    image[20:30, 20:30] = True
    found = bright.predict(np.ma.masked_array(image, image))
    assert "100 of 4,096 pixels have no data" in found.notes[0]


@pytest.mark.parametrize(
    "wrong", [{"top": "1"}, {"tile": 1.5}, {"tile": True}, {"overlap": -1}]
)
def test_wrong_tiles_are_one_line(wrong, bright_run):
    with pytest.raises(BeadsegError, match=next(iter(wrong))):
        beadseg.load(bright_run, **wrong)


@pytest.mark.parametrize("wrong", [3, ["a"], b"run", "a\0b"])
def test_what_is_no_path_is_one_line(wrong, bright):
    for what in (beadseg.load, bright.predict(np.eye(40)).save, beadseg.report):
        with pytest.raises(BeadsegError, match="is no path: give text or a"):
            what(wrong)


@pytest.mark.parametrize(
    "names",
    [["..", "b"], [" ", "b"], [".a", "b"], {"a", "b"}, 5, "ab", ["a"], ["a", 3]],
)
def test_names_that_are_none_write_nothing(names, bright, tmp_path):
    found = bright.predict([np.eye(40)] * 2)
    with pytest.raises(BeadsegError):
        found.save(tmp_path / "out", names)
    assert not (tmp_path / "out").exists()


def test_of_no_prediction_nothing_is_said_or_saved(bright, tmp_path):
    none = bright.predict([np.eye(40)])[:0]
    assert none.doubts == [] and repr(none) == "<0 beads in 0 images>"
    assert none._repr_html_() == "" or "0 beads" in none._repr_html_()
    with pytest.raises(BeadsegError, match="there is no image to save"):
        none.save(tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("wrong", [0, -1.0, float("nan"), "0.5", True])
def test_a_wrong_pixel_size_is_one_line(wrong, bright):
    with pytest.raises(BeadsegError, match=f"^pixel_size {wrong}: give um above 0$"):
        bright.predict(np.eye(40), pixel_size=wrong)


def test_what_is_masked_holds_no_bead(bright):
    image, labels = beads_image()
    found = bright.predict(np.ma.masked_array(image, labels == 1))
    assert found.count == 24 and not found.labels[labels == 1].any()
    assert "have no data" in found.notes[0]


def test_a_folder_is_added_to_and_nothing_lost(bright, tmp_path):
    images = two_images()
    bright.predict(images["b"]).save(tmp_path / "out", "b", report=False)
    bright.predict(images["a"]).save(tmp_path / "out", name="a", report=False)
    rows = table(tmp_path / "out" / "images.csv")
    counts = {row["image"]: row["count"] for row in rows}
    assert counts == {"a": "25", "b": "15"}
    assert not (tmp_path / "out" / "report.html").exists()
    bright.predict(images["b"]).save(tmp_path / "out", "c")
    page = tmp_path / "out" / "report.html"
    assert "55 beads in 3 images" in page.read_text()
    page.unlink()
    assert beadseg.report(tmp_path / "out") == page
    assert "55 beads in 3 images" in page.read_text()
    with pytest.raises(BeadsegError, match="holds no prediction"):
        beadseg.report(tmp_path)
    before = files(tmp_path / "out")
    for name, says in (
        ("A", "holds 'A' already: give another name or folder"),
        ("a/../b", "is no name for a file"),
        ("", "is no name for a file"),
        ("a\n", "has characters that no name has"),
    ):
        with pytest.raises(BeadsegError, match=says):
            bright.predict(images["a"]).save(tmp_path / "out", name)
    both = bright.predict(images)
    for names, says in (("ab", "a list of 2 names"), (["x", "X"], "have one name")):
        with pytest.raises(BeadsegError, match=says):
            both.save(tmp_path / "out", names)
    with pytest.raises(BeadsegError, match="was made with min_score = auto, not 0.5"):
        bright.predict(images["a"], min_score=0.5).save(tmp_path / "out", "c")
    assert files(tmp_path / "out") == before
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").write_text("mine")
    with pytest.raises(BeadsegError, match="holds no prediction to continue"):
        both.save(tmp_path / "other")


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # not ours
def test_a_notebook_runs_a_batch_with_a_bar(bright_run, tmp_path):
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    nbformat = pytest.importorskip("nbformat")
    image, _ = beads_image()
    np.save(tmp_path / "a.npy", image)
    cells = [
        f"import beadseg, numpy; a = numpy.load({str(tmp_path / 'a.npy')!r})\n"
        f"found = beadseg.load({str(bright_run)!r}).predict([a, a[:64]])",
        "found",
        "found[0]",
        "%matplotlib inline\nfound[0].plot();",
    ]
    book = nbformat.v4.new_notebook(cells=list(map(nbformat.v4.new_code_cell, cells)))
    nbclient.NotebookClient(book, timeout=120, kernel_name="python3").execute()
    bar, batch, one, plot = (cell["outputs"] for cell in book.cells)
    shown = f"{bar} {book.metadata}"  # text, or a widget
    assert "predicting" in shown and "2/2" in shown
    assert "beads in 2 images" in batch[0]["data"]["text/html"]
    assert "<img" in one[0]["data"]["text/html"]
    assert one[0]["data"]["text/plain"].startswith("<image_000: 25 beads")
    assert "image/png" in plot[-1]["data"]


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"threshold": 2}, "threshold 2: give a number between 0 and 1"),
        ({"diameter": -1.0}, "diameter -1: give px above 0"),
        ({"min_score": 3}, "min_score 3: give a number from 0 to below 1"),
        ({"polarity": "both"}, "polarity both: give one of any, bright, dark"),
    ],
)
def test_an_error_in_python_names_the_argument(bright, asked, says):
    with pytest.raises(BeadsegError) as told:
        bright.predict(two_images()["a"], **asked)
    assert str(told.value) == says


def test_errors_of_saving_and_loading_name_no_option(bright, tmp_path):
    found = bright.predict(two_images()["a"])
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "x.txt").write_text("of somebody")
    found.save(tmp_path / "out", report=False)
    other = bright.predict(two_images()["a"], threshold=0.7)
    for act, says in (
        (lambda: found.save(tmp_path / "mine"), "give another folder"),
        (lambda: found.save(tmp_path / "mine" / "x.txt"), "another folder, then do it"),
        (lambda: other.save(tmp_path / "out", "b"), "the same, or another folder"),
        (lambda: beadseg.load(tmp_path / "none"), "give the folder of a run"),
        (lambda: beadseg.load("default", top=0), "top 0: give at least 1"),
    ):
        with pytest.raises(BeadsegError, match=says) as told:
            act()
        assert not re.search(r"(?<!\w)--?[a-z]", str(told.value)), told.value


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("try --min-score 0.8 or --diameter", "try min_score 0.8 or diameter"),
        ("beadseg predict again with --resume", "beadseg predict again with --resume"),
        ("is there: give another with -o", "is there: give another folder"),
        ("my--threshold, x-o.tif", "my--threshold, x-o.tif"),
    ],
)
def test_only_options_that_python_has_are_named_as_its_arguments(line, told):
    assert as_arguments(line) == told
