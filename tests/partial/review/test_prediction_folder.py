"""What was found is corrected, and measured again."""

import json
import zipfile

import numpy as np
import pytest
import tifffile
from scipy import ndimage

import beadseg
from beadseg.data.folder import scan
from beadseg.data.images.reading import open_pages
from beadseg.inference.records import read_record, record_of, write_record
from beadseg.partial.review.annotation_log import AnnotationLog
from beadseg.partial.review.measuring import measure_again
from beadseg.partial.review.session import ReviewSession
from configs import base
from tests.calls import call, rows_of
from tests.inference import bright
from tests.inference.bright import beads_image, write_run
from tests.partial.test_review import Server, settled


def run(capsys, *arguments):
    """Exit code and lines of stderr of a command."""
    return call(capsys, *arguments)[::2]


@pytest.fixture
def measured(tmp_path, capsys):
    """A folder of two images, measured from their labels; those labels."""
    labels, out = bright.write_labelled(tmp_path), tmp_path / "out"
    kinds = (tmp_path / kind for kind in ("labels", "images"))
    assert run(capsys, "measure", *kinds, "-o", out)[0] == 0
    return out, labels


def files(folder):
    kinds = ("labels", "rois", "geojson", "overlays")
    found = [file for kind in kinds for file in sorted((folder / kind).iterdir())]
    found += [folder / "beads.csv", folder / "images.csv"]
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in found}


def test_nothing_changed_measures_to_the_same_bytes(measured, capsys):
    out, _ = measured
    before = files(out)
    assert run(capsys, "review", out, "--measure")[0] == 0
    assert files(out) == before


def test_what_a_person_changes_is_in_every_file(measured, capsys):
    out, labels = measured
    assert run(capsys, "review", out, "--measure")[0] == 0
    session = ReviewSession(out)
    ids = sorted(set(np.unique(labels).tolist()) - {0})
    gone, pair = ids[0], ids[1:3]
    session.decide("a", {"do": "delete", "ids": [gone]}, 0)
    rows, columns = np.nonzero(labels == gone)
    place = {"do": "place", "y": float(rows.mean()) + 1, "x": float(columns.mean()) - 1}
    session.decide("a", place, 1)
    session.decide("a", {"do": "merge", "ids": pair}, 2)
    session.close()
    assert run(capsys, "review", out, "--measure")[0] == 0

    new = tifffile.imread(out / "labels" / "a.tif").astype(int)
    added = max(np.unique(new))
    assert added > max(ids) and gone not in new and pair[1] not in new
    overlap = ((new == added) & (labels == gone)).sum()
    assert overlap / ((new == added) | (labels == gone)).sum() > 0.8
    same = ~np.isin(labels, [gone, *pair]) & (new != added)
    assert np.array_equal(new[same], labels[same])
    beads = [row for row in rows_of(out / "beads.csv") if row["image"] == "a"]
    assert {int(row["label"]) for row in beads} == set(np.unique(new)) - {0}
    edited = {int(row["label"]) for row in beads if row["edited"] == "1"}
    assert edited == {added, pair[0]}
    first, second = rows_of(out / "images.csv")
    assert [first[k] for k in ("added", "removed", "edited")] == ["1", "2", "1"]
    assert int(first["count"]) == len(ids) - 1 and int(second["count"]) == len(ids)
    assert second["added"] in ("", "0")
    with zipfile.ZipFile(out / "rois" / "a.zip") as rois:
        assert len(rois.namelist()) == len(ids) - 1
    shapes = json.loads((out / "geojson" / "a.geojson").read_text())
    assert len(shapes["features"]) == len(ids) - 1
    assert "A person corrected them" in (out / "report.html").read_text()

    # Undone, all is as it was.
    session = ReviewSession(out)
    for version in range(3, 6):
        session.decide("a", {"do": "undo"}, version)
    session.close()
    assert run(capsys, "review", out, "--measure")[0] == 0
    assert np.array_equal(tifffile.imread(out / "labels" / "a.tif"), labels)


def test_the_page_knows_bright_beads_from_dark_ones(measured, capsys, tmp_path):
    _, labels = measured
    image, _ = beads_image()
    half = labels.shape[1] // 2
    image[:, :half] = image.max() - image[:, :half]
    tifffile.imwrite(tmp_path / "images" / "a.tif", image)
    folders = (tmp_path / "labels", tmp_path / "images")
    assert not run(capsys, "measure", *folders, "-o", tmp_path / "both")[0]
    assert run(capsys, "review", tmp_path / "both", "--measure")[0] == 0
    right = {
        int(n): bool((np.nonzero(labels == n)[1] >= half).all())
        for n in np.unique(labels[labels > 0])
        if len({*(np.nonzero(labels == n)[1] >= half)}) == 1
    }
    assert {*right.values()} == {True, False}
    session = ReviewSession(tmp_path / "both")
    told = {bead["id"]: bead["bright"] for bead in session.all_of("a")["beads"]}
    assert {number: told[number] for number in right} == right
    session.decide("a", {"do": "delete", "ids": [1]}, 0)
    (back,) = session.decide("a", {"do": "undo"}, 1)["beads"]
    assert back["bright"] == told[1] and "outline" in back
    place = {"do": "draw", "y": 3, "x": 3, "ry": 2, "rx": 2}
    (drawn,) = session.decide("a", place, 2)["beads"]
    assert drawn["bright"] is None
    session.close()


def test_a_corrected_folder_is_a_data_set(measured, capsys):
    out, labels = measured
    assert run(capsys, "review", out, "--measure")[0] == 0
    config = base.get_config()
    config.data.dir = str(out)
    folder = scan(config.data)
    assert sorted(s.name for s in folder.samples) == ["a", "b"]
    assert not folder.problems and all(s.mask for s in folder.samples)


def test_a_moved_image_is_asked_for(measured, capsys, tmp_path):
    out, _ = measured
    (tmp_path / "images").rename(tmp_path / "elsewhere")
    code, lines = run(capsys, "review", out, "--measure")
    assert code == 2 and "--images" in lines[-1] and len(lines) == 1
    assert (
        run(capsys, "review", out, "--images", tmp_path / "elsewhere", "--measure")[0]
        == 0
    )


@pytest.mark.parametrize("channel", ["DAPI", "GFP"])
def test_the_channel_that_was_looked_at_is_reviewed(tmp_path, capsys, channel):
    image, _ = beads_image()
    both, file = np.stack([image, image // 2]), tmp_path / "a.ome.tif"
    metadata = {"axes": "CYX", "Channel": {"Name": ["DAPI", "GFP"]}}
    tifffile.imwrite(file, both, metadata=metadata, photometric="minisblack")
    model, out = bright.write_run(tmp_path / "run"), tmp_path / "out"
    flags = ("--run", model, "-o", out, "--channel", channel)
    assert run(capsys, "predict", file, *flags)[0] == 0
    before = (out / "beads.csv").read_bytes()
    assert run(capsys, "review", out, "--measure")[0] == 0
    (kept,) = (out / "images").iterdir()
    expected = both[["DAPI", "GFP"].index(channel)]
    np.testing.assert_array_equal(open_pages(kept)[0].read(), expected)
    assert (out / "beads.csv").read_bytes() == before


def test_labels_that_do_not_fit_are_one_line(measured, capsys):
    out, labels = measured
    tifffile.imwrite(out / "labels" / "a.tif", labels[:-3].astype(np.uint16))
    (out / "labels" / "b.tif").unlink()
    code, lines = run(capsys, "review", out, "--measure")
    assert code == 2 and len(lines) == 1 and "labels/a.tif" in lines[0]


def test_options_of_predictions_are_for_predictions(completed, capsys):
    code, lines = run(capsys, "review", completed, "--measure")
    assert code == 2 and len(lines) == 1 and "beadseg predict" in lines[0]


@pytest.mark.slow
def test_from_the_page_to_the_tables(browser, measured):
    out, labels = measured
    server = Server(out)
    try:
        page = browser.new_page(viewport={"width": 1000, "height": 700})
        problems = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(server.address)
        page.wait_for_selector("body[data-ready=a]")
        ids = sorted(set(np.unique(labels).tolist()) - {0})
        rows, columns = np.nonzero(labels == ids[0])
        box = page.locator("#canvas").bounding_box()
        height, width = labels.shape
        scale = 0.97 * min(box["width"] / width, box["height"] / height)
        x = box["x"] + box["width"] / 2 + (columns.mean() + 0.5 - width / 2) * scale
        y = box["y"] + box["height"] / 2 + (rows.mean() + 0.5 - height / 2) * scale
        page.mouse.click(x, y)
        page.keyboard.press("Delete")
        settled(page, 1)
        page.mouse.click(x, y)  # where it was: it is fitted there
        settled(page, 2)
        largest = max(np.unique(labels[labels > 0], return_counts=True)[1])
        page.locator("#least-diameter").fill(
            page.get_attribute("#least-diameter", "max")
        )
        below = int(page.inner_text("#leave-out span"))
        assert below == len(ids) - 1 and largest  # the one that was drawn stays
        page.click("#keep-all")
        assert page.inner_text("#leave-out span") == "0"
        for polarity, others in (("bright", 0), ("dark", below), ("", 0)):
            page.select_option("#polarity", polarity)
            assert page.inner_text("#leave-out span") == str(others)
        assert page.is_disabled("#threshold")  # no probability is known
        assert "--only" in page.inner_text("#threshold-why")
        page.click("#measure")
        page.wait_for_selector("#told:has-text('Measured again')", timeout=90_000)
        told = page.inner_text("#told")
        assert f"{2 * len(ids)} beads in 2 images, 1 of them changed" in told
        assert not problems
    finally:
        server.stop()
    assert rows_of(out / "images.csv")[0]["added"] == "1"
    assert AnnotationLog(out, "a").version == 2


@pytest.mark.slow
def test_the_threshold_of_the_page_redraws_outlines(browser, measured):
    out, labels = measured
    (out / "probability").mkdir()
    depth = np.clip(ndimage.distance_transform_edt(labels > 0) / 8, 0, 0.45)
    for name in "ab":
        map_ = np.where(labels > 0, 0.5 + depth, 0).astype(np.float32)
        tifffile.imwrite(out / "probability" / f"{name}.tif", map_)
    server = Server(out)
    try:
        page = browser.new_page(viewport={"width": 1000, "height": 700})
        problems = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.emulate_media(color_scheme="light")
        page.goto(server.address)
        page.wait_for_selector("body[data-ready=a]")
        ground = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g)[0]"
        assert int(page.evaluate(ground)) > 200
        page.emulate_media(color_scheme="dark")
        assert int(page.evaluate(ground)) < 60
        assert not page.is_visible("#threshold-why")
        page.locator("#threshold").fill("70")
        page.wait_for_selector('body[data-redrawn="70"]')
        drawn = "redrawn.canvas.getContext('2d').getImageData(0, 0, 800, 600).data"
        assert page.evaluate(f"{drawn}.some((value) => value > 0)")
        page.click("#redraw")
        settled(page, 1)
        assert page.input_value("#threshold") == "70"
        page.keyboard.press("z")
        settled(page, 2)
        assert page.input_value("#threshold") == "50" and not problems
        page.keyboard.press("Z")
        settled(page, 3)
    finally:
        server.stop()
    now = AnnotationLog(out, "a").map.labels
    assert np.array_equal(now, np.where(map_ >= 0.7, labels, 0))
    assert measure_again(out)["measured"] == 1
    first, second = rows_of(out / "images.csv")
    sizes = [float(row["median_diameter_px"]) for row in (first, second)]
    assert sizes[0] < sizes[1]


@pytest.mark.parametrize("sizes", [(), (6.0, 24.0)])
def test_scores_raise_the_same_doubts_when_predicted_and_when_read_again(
    sizes, tmp_path, capsys
):
    """A run of one's own may know one size, or many as the default model does."""
    image, out = tmp_path / "a.tif", tmp_path / "out"
    tifffile.imwrite(image, beads_image()[0])
    write_run(tmp_path / "run", sizes=sizes)
    command = ("predict", image, "--run", tmp_path / "run", "-o", out)
    run(capsys, *command)
    about, table = read_record(record_of(out, "a"))
    write_record(record_of(out, "a"), about | {"mean_score": 0.5}, table)
    run(capsys, *command, "--resume")
    (row,) = rows_of(out / "images.csv")
    assert row["doubt"] == ("scores" if sizes else "")
    run(capsys, "review", out, "--measure")
    assert rows_of(out / "images.csv") == [row]
    page = beadseg.report(out).read_text()
    assert ("scores below" in page) == bool(sizes)


def spoil(where):
    def of(folder):
        (folder / where).write_bytes(b"{")

    return of


@pytest.mark.parametrize(
    ("damage", "code", "says"),
    [
        (spoil(".done/a.npz"), 1, "a.npz: damaged"),
        (spoil("prediction.json"), 2, "prediction.json: damaged"),
        (spoil("probability/a.tif"), 1, "probability/a.tif: damaged"),
        (lambda folder: (folder / "images/a.tif").unlink(), 1, "the image is gone"),
    ],
)
def test_damage_is_one_line_and_stays_with_its_image(
    damage, code, says, measured, capsys
):
    out, labels = measured
    (out / "probability").mkdir()
    for name in "ab":
        even = (labels > 0).astype(np.float32)
        tifffile.imwrite(out / "probability" / f"{name}.tif", even)
    run(capsys, "review", out, "--measure")
    session = ReviewSession(out)
    for name in "ab":
        session.decide(name, {"do": "delete", "ids": [1]}, 0)
    session.close()
    damage(out)
    if "gone" in says:  # nor what was made of it
        (out / "provenance" / "a.json").unlink()
    got, lines = run(capsys, "review", out, "--measure")
    assert got == code
    (line,) = [line for line in lines if says in line]
    new = tifffile.imread(out / "labels" / "b.tif")
    assert (1 in new) == (code == 2)


def test_without_labels_nothing_is_put_into_the_folder(measured, capsys):
    out, _ = measured
    for name in "ab":
        (out / "labels" / f"{name}.tif").unlink()
    before = sorted(path.name for path in out.iterdir())
    code, lines = run(capsys, "review", out, "--measure")
    assert code == 2 and len(lines) == 1 and "with labels among --only" in lines[0]
    assert sorted(path.name for path in out.iterdir()) == before


def test_images_given_by_a_relative_path_are_found_from_elsewhere(
    measured, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert not run(capsys, "measure", "labels", "images", "-o", "near")[0]
    (tmp_path / "far").mkdir()
    monkeypatch.chdir(tmp_path / "far")
    assert run(capsys, "review", "../near", "--measure")[0] == 0
    tifffile.imwrite(
        tmp_path / "near" / "labels" / "a.tif", np.zeros((9, 9), np.uint16)
    )
    (tmp_path / "near" / "proposals" / "a.json").unlink()
    code, lines = run(capsys, "review", "../near", "--measure")
    assert code == 1 and any("labels/a.tif: 9 x 9 px" in line for line in lines)


def test_measured_again_it_holds_to_the_region_and_the_rule(measured, capsys, tmp_path):
    _, labels = measured
    mask = np.zeros(labels.shape, np.uint8)
    mask[:, : labels.shape[1] // 2] = 1
    tifffile.imwrite(tmp_path / "r.tif", mask)
    out = tmp_path / "part"
    given = ("--roi", tmp_path / "r.tif", "--edge", "none")
    images = (tmp_path / "labels", tmp_path / "images")
    assert not run(capsys, "measure", *images, "-o", out, *given)[0]
    (tmp_path / "r.tif").unlink()  # what counted lies in the folder
    before = rows_of(out / "images.csv")
    assert run(capsys, "review", out, "--measure")[0] == 0
    session = ReviewSession(out)
    gone = int(np.setdiff1d(tifffile.imread(out / "labels" / "a.tif"), [0])[0])
    session.decide("a", {"do": "delete", "ids": [gone]}, 0)
    y, x = labels.shape[0] / 2, 0.9 * labels.shape[1]
    session.decide("a", {"do": "place", "y": y, "x": x}, 1)  # outside
    session.close()
    assert run(capsys, "review", out, "--measure")[0] == 0
    first, second = rows_of(out / "images.csv")
    assert int(first["count"]) == int(before[0]["count"]) - 1
    assert first["region_area_px"] == str(int(mask.sum()))
    area = 1e6 / mask.sum()
    for row in (first, second):
        counts = float(row["edge_corrected_count"])
        assert counts == int(counts)
        assert float(row["density_per_mpx"]) == pytest.approx(counts * area, rel=1e-4)
    assert second["count"] == before[1]["count"]
    session = ReviewSession(out)
    session.decide("a", {"do": "undo"}, 2)
    session.close()
    (out / "regions" / "a.tif").unlink()
    code, lines = run(capsys, "review", out, "--measure")
    said = [line for line in lines if "regions/a.tif" in line]
    assert code == 1 and len(said) == 1
