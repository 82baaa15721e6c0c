"""Which beads count: regions, and the border."""

import json
import re

import numpy as np
import pytest
import tifffile
from roifile import ImagejRoi
from scipy import ndimage

from beadseg.inference.outputs.measure import EDGES, measure
from tests.calls import call, rows_of
from tests.inference.bright import write_labelled


def run(capsys, *arguments):
    """Exit code and lines of stderr of a command."""
    return call(capsys, *arguments)[::2]


@pytest.fixture
def folders(tmp_path):
    """Labels and images of a.tif and b.tif, and where the labels' centres are."""
    labels = write_labelled(tmp_path)
    ids = np.unique(labels[labels > 0])
    centres = np.array(ndimage.center_of_mass(labels > 0, labels, ids))
    return tmp_path, labels, centres


def square(labels):
    """Its corner, its side, and where that is."""
    side = labels.shape[0] // 2
    mask = np.zeros(labels.shape, bool)
    mask[5 : 5 + side, 8 : 8 + side] = True
    return (5, 8), side, mask


def as_geojson(file, corner, side):
    (y, x) = corner
    ring = [[x, y], [x + side, y], [x + side, y + side], [x, y + side], [x, y]]
    shape = {"type": "Polygon", "coordinates": [ring]}
    feature = {"type": "Feature", "geometry": shape, "properties": {}}
    collection = {"type": "FeatureCollection", "features": [feature]}
    file.write_text(json.dumps(collection))


def as_roi(file, corner, side):
    (y, x) = corner
    ring = [[x, y], [x + side, y], [x + side, y + side], [x, y + side]]
    ImagejRoi.frompoints(np.array(ring, float)).tofile(file)


@pytest.mark.parametrize("option", ["--roi", "--exclude"])
@pytest.mark.parametrize("kind", ["geojson", "roi", "tif", "folder"])
def test_beads_belong_by_their_centres(folders, capsys, kind, option):
    place, labels, centres = folders
    corner, side, mask = square(labels)
    file = place / f"a.{kind}"
    if kind == "tif":
        tifffile.imwrite(file, 7 * mask.astype(np.uint8))
    elif kind == "folder":
        file.mkdir()
        for name in "ab":
            as_geojson(file / f"{name}.geojson", corner, side)
    else:
        {"geojson": as_geojson, "roi": as_roi}[kind](file, corner, side)
    out = place / "out"
    given = (place / "labels", place / "images", "-o", out, option, file)
    assert run(capsys, "measure", *given) == (0, [])
    region = mask if option == "--roi" else ~mask
    inside = region[tuple(np.rint(centres).astype(int).T)]
    assert 0 < inside.sum() < len(inside)
    for row in rows_of(out / "images.csv"):
        assert int(row["count"]) == inside.sum()
        assert int(row["region_area_px"]) == region.sum()
        density = 1e6 * float(row["edge_corrected_count"]) / region.sum()
        assert float(row["density_per_mpx"]) == pytest.approx(density, rel=1e-4)
    kept = tifffile.imread(out / "labels" / "a.tif")
    assert {*np.unique(kept)} - {0} == {*(np.flatnonzero(inside) + 1)}
    assert "region" in (out / "report.html").read_text()


@pytest.mark.parametrize(
    ("draw", "says"),
    [
        (lambda f: tifffile.imwrite(f, np.zeros((64, 64), np.uint8)), "its region is"),
        (lambda f: tifffile.imwrite(f, np.ones((7, 9), np.uint8)), "7 x 9 px"),
        (lambda f: f.write_bytes(b"no image"), "not an image"),
        (lambda f: as_geojson(f.with_suffix(".geojson"), (900, 900), 50), "outside"),
    ],
    ids=["empty", "other size", "damaged", "outside"],
)
def test_a_region_that_cannot_be_is_one_line_an_image(folders, capsys, draw, says):
    place, labels, _ = folders
    if says == "its region is":
        draw = lambda f: tifffile.imwrite(f, np.zeros(labels.shape, np.uint8))  # noqa: E731
    draw(place / "r.tif")
    file = next(f for f in (place / "r.geojson", place / "r.tif") if f.exists())
    given = (place / "labels", place / "images", "-o", place / "out", "--roi", file)
    code, lines = run(capsys, "measure", *given)
    failed = [line for line in lines if line.startswith("failed: ")]
    assert code == 1 and len(failed) == 2 and all(says in line for line in failed)


def test_files_that_are_not_there_or_no_regions_are_one_line(folders, capsys):
    place, _, _ = folders
    given = (place / "labels", place / "images", "-o", place / "out", "--roi")
    for file in (place / "none.geojson", place / "notes.docx"):
        (place / "notes.docx").touch()
        code, lines = run(capsys, "measure", *given, file)
        assert code == 2 and len(lines) == 1 and file.name in lines[0]
    (place / "some").mkdir()
    as_geojson(place / "some" / "a.geojson", (5, 8), 30)
    code, lines = run(capsys, "measure", *given, place / "some")
    assert code == 1 and "has no file b.geojson" in lines[-1]


def test_the_rules_of_the_border_have_the_density_in_the_mean():
    """Discs strewn over a large plane, seen through a window: half and corrected."""
    rng, side, radius, density = np.random.default_rng(0), 120, 9, 0.0008
    mean = {edge: [] for edge in EDGES}
    for _ in range(120):
        wide = side + 4 * radius
        count = rng.poisson(density * wide**2)
        at = rng.uniform(0, wide, (count, 2))
        # Of those that overlap all but the first go: as dense inside as at the border.
        labels = np.zeros((wide, wide), np.int32)
        rows, columns = np.ogrid[:wide, :wide]
        kept = 0
        for y, x in at:
            disc = (rows - y) ** 2 + (columns - x) ** 2 <= radius**2
            if not labels[disc].any():
                kept += 1
                labels[disc] = kept
        seen = labels[2 * radius : -2 * radius, 2 * radius : -2 * radius]
        # Whose lowest pixel lies in the window belongs to it: each to one window alone.
        own = [
            n
            for n, box in enumerate(ndimage.find_objects(labels), 1)
            if box is not None
            and 2 * radius <= box[0].stop - 1 < wide - 2 * radius
            and 2 * radius
            <= np.flatnonzero(labels[box[0].stop - 1] == n)[0]
            < wide - 2 * radius
        ]
        image = (seen > 0).astype(np.float32)
        for edge in EDGES:
            found = measure(seen.copy(), image, image, threshold=0.5, edge=edge)
            mean[edge].append(found.image["edge_corrected_count"] - len(own))
    error = {edge: np.mean(values) for edge, values in mean.items()}
    spread = {edge: np.std(v) / np.sqrt(len(v)) for edge, v in mean.items()}
    for edge in ("half", "corrected"):
        assert abs(error[edge]) < 3 * spread[edge] + 0.05
    assert error["all"] > 1 and error["none"] < -0.5


@pytest.mark.parametrize("edge", EDGES)
def test_the_rule_in_closed_form_is_that_of_every_table(tmp_path, capsys, edge):
    labels = np.zeros((20, 20), np.uint16)
    for number, (y, x) in enumerate([(0, 5), (10, 0), (10, 10), (19, 10), (0, 19)], 1):
        labels[y, x] = number
    for kind in ("labels", "images"):
        (tmp_path / kind).mkdir()
        tifffile.imwrite(tmp_path / kind / "a.tif", labels)
    out, count = tmp_path / "out", {"all": 5, "none": 1, "half": 2, "corrected": 5}
    given = ("measure", tmp_path / "labels", tmp_path / "images", "-o", out)
    result = tmp_path / "result.json"
    run(capsys, *given, "--edge", edge, "--pixel-size", 0.5, "--json", result)
    (row,) = rows_of(out / "images.csv")
    weights = [float(bead["edge_weight"]) for bead in rows_of(out / "beads.csv")]
    assert (int(row["count"]), int(row["found"])) == (count[edge], 5)
    # Of 1 px: 18 of 20 rows, and of columns, are not at the border.
    own = 400 / 18**2 if edge == "corrected" else count[edge]
    assert float(row["edge_corrected_count"]) == pytest.approx(own, rel=1e-4)
    assert sum(weights) == pytest.approx(own, rel=1e-4) and len(weights) == 5
    density = own / (20 * 20 * 0.25e-6)
    assert float(row["density_per_mm2"]) == pytest.approx(density, rel=1e-4)
    (told,) = json.loads(result.read_text())["images"]
    assert told["count"] == count[edge]
    text = re.sub(r"<[^>]+>", " ", (out / "report.html").read_text())
    beads = "1 bead" if count[edge] == 1 else f"{count[edge]} beads"
    assert f"{beads} in 1 image" in text and f"a: {beads}" in text
    assert f"{density:,.0f}" in text
    if edge != "corrected":
        assert f"of 5 in 1 image, by --edge {edge}" in text


def objects(file, *rings, kinds=("annotation",)):
    """Objects of QuPath, a ring and a kind each."""
    features = [
        {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": [[*ring, ring[0]]]},
            "properties": {"objectType": kind},
        }
        for ring, kind in zip(rings, kinds, strict=True)
    ]
    content = {"type": "FeatureCollection", "features": features}
    file.write_text(json.dumps(content))


def test_annotations_of_qupath_are_the_region_beside_its_detections(folders, capsys):
    place, labels, centres = folders
    (y, x), side, mask = square(labels)
    ring = [[x, y], [x + side, y], [x + side, y + side], [x, y + side]]
    bead = [[1, 1], [4, 1], [4, 4]]
    objects(place / "r.geojson", ring, bead, kinds=("annotation", "detection"))
    given = (place / "labels", place / "images", "-o", place / "out")
    code, _ = run(capsys, "measure", *given, "--roi", place / "r.geojson")
    inside = mask[tuple(np.rint(centres).astype(int).T)]
    (first, _) = rows_of(place / "out" / "images.csv")
    assert code == 0 and int(first["count"]) == inside.sum()
    assert int(first["region_area_px"]) == mask.sum()


def test_an_outline_that_crosses_itself_is_said_once_and_points_are_refused(
    folders, capsys
):
    place, *_ = folders
    objects(place / "r.geojson", [[10, 10], [90, 90], [90, 10], [10, 90]])
    given = (place / "labels", place / "images", "--roi", place / "r.geojson")
    code, lines = run(capsys, "measure", *given, "-o", place / "out")
    said = [line for line in lines if "region 1 crosses itself" in line]
    assert code == 0 and len(said) == 1
    for text, says in (
        ('{"type": "Point", "coordinates": [5, 5]}', "a point encloses nothing"),
        ('{"type": "FeatureCollection", "features": []}', "no region in it"),
    ):
        (place / "r.geojson").write_text(text)
        code, lines = run(capsys, "measure", *given, "-o", place / says[:4].strip())
        assert code == 1 and len([line for line in lines if says in line]) == 2


def test_resume_holds_to_the_region_and_the_rule_of_the_first_run(
    folders, bright_run, capsys
):
    place, labels, centres = folders
    corner, side, mask = square(labels)
    file, other, out = place / "r.geojson", place / "s.geojson", place / "out"
    as_geojson(file, corner, side)
    as_geojson(other, (20, 20), side)
    command = ("predict", place / "images", "--run", bright_run, "-o", out)
    command += ("--only", "labels")
    given = (*command, "--resume", "--roi", file, "--edge", "half")
    assert run(capsys, *given)[0] == 0
    inside = mask[tuple(np.rint(centres).astype(int).T)].sum()
    assert {int(row["count"]) for row in rows_of(out / "images.csv")} == {inside}
    kept = (out / "images.csv").read_bytes()
    written = (out / "labels" / "b.tif").stat().st_mtime_ns
    assert run(capsys, *given)[0] == 0
    assert (out / "labels" / "b.tif").stat().st_mtime_ns == written
    for changed, name in (
        (("--edge", "half"), "roi"),
        (("--roi", file), "edge"),
        (("--roi", other, "--edge", "half"), "roi"),
        (("--roi", file, "--edge", "half", "--exclude", other), "exclude"),
    ):
        code, lines = run(capsys, *command, "--resume", *changed)
        assert code == 2 and len(lines) == 1 and f"made with {name} = " in lines[0]
        assert (out / "images.csv").read_bytes() == kept
    # Drawn anew, it counts anew.
    as_geojson(file, (0, 0), 3 * max(labels.shape))
    assert run(capsys, *given)[0] == 0
    rows = rows_of(out / "images.csv")
    assert {int(row["count"]) for row in rows} == {len(centres)}


def test_the_region_that_counted_is_kept_and_draws_itself_again(folders, capsys):
    place, labels, _ = folders
    corner, side, mask = square(labels)
    as_geojson(place / "r.geojson", corner, side)
    given = (place / "labels", place / "images")
    told = ("-o", place / "one", "--roi", place / "r.geojson")
    assert run(capsys, "measure", *given, *told) == (0, [])
    assert np.array_equal(tifffile.imread(place / "one/regions/a.tif") > 0, mask)
    told = ("-o", place / "two", "--roi", place / "one" / "regions")
    assert run(capsys, "measure", *given, *told) == (0, [])
    one, two = (rows_of(place / name / "images.csv") for name in ("one", "two"))
    assert one == two
