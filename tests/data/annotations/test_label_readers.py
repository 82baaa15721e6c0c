"""Outlines and points of other programs become the labels that they describe."""

import io
import json
import zipfile

import numpy as np
import pytest
from roifile import ROI_TYPE, ImagejRoi

from beadseg.data.folder import scan
from beadseg.data.images.reading import ReadError
from beadseg.data.masks.labels import read_labels, read_points
from beadseg.inference.outputs.outlines import polygons
from beadseg.inference.outputs.writers import write_geojson, write_rois


def boxes_of(labels):
    found = []
    for label in range(1, labels.max() + 1):
        y, x = np.nonzero(labels == label)
        found.append((y.min(), y.max() + 1, x.min(), x.max() + 1))
    return np.array(found, np.int64)


@pytest.mark.parametrize("ending", [".zip", ".geojson"])
@pytest.mark.parametrize("radius", [2.2, 4.6, 7.3])
def test_what_predict_writes_is_read_as_the_same_labels(task, discs, ending, radius):
    centres = [(10, 12), (11.4, 30.7), (40, 71), (50, 9), (30, 79)]
    labels = discs((64, 80), centres, radius)
    outlines = list(polygons(labels, boxes_of(labels), np.arange(1, 6)))
    made = task(f"a{ending}")
    if ending == ".zip":
        write_rois(made.path, range(1, 6), outlines)
    else:
        write_geojson(made.path, {"label": np.arange(1, 6)}, outlines)
    np.testing.assert_array_equal(read_labels(made.open()[0]), labels)


def zipped(name: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(name, "x")
    return content.getvalue()


@pytest.mark.parametrize("ending", [".zip", ".geojson"])
def test_no_bead_is_read_as_none(task, ending):
    made = task(f"a{ending}")
    if ending == ".zip":
        write_rois(made.path, [], [])
    else:
        write_geojson(made.path, {"label": np.zeros(0, int)}, [])
    (page,) = made.open()
    assert not read_labels(page).any() and "without beads" in page.notes[0]


def roi(kind: ROI_TYPE, **sides) -> bytes:
    made = ImagejRoi()
    made.roitype = kind
    for name, value in sides.items():
        setattr(made, name, value)
    return made.tobytes()


def test_one_rectangle_and_one_ellipse_of_imagej(task):
    sides = {"top": 10, "left": 20, "bottom": 16, "right": 45}
    expected = np.zeros((64, 80), np.int32)
    expected[10:16, 20:45] = 1
    page = task("a.roi", roi(ROI_TYPE.RECT, **sides)).open()[0]
    np.testing.assert_array_equal(page.read_stored(), expected)
    sides |= {"bottom": 40, "right": 50}
    page = task("a.roi", roi(ROI_TYPE.OVAL, **sides)).open()[0]
    y, x = np.mgrid[:64, :80] + 0.5
    expected = (((y - 25) / 15) ** 2 + ((x - 35) / 15) ** 2 <= 1).astype(np.int32)
    assert (page.read_stored() != expected).sum() <= 0.02 * expected.sum()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", " ,X,Y\n1,7.63,3.2\n2,40.5,60.9\n"),  # ImageJ: from the corner
        ("a.csv", "image,y,x\nb,3.1,7.2\nb,60.3,39.9\n"),
        ("a.csv", "\ufeffindex,axis-0,axis-1\n0,3,7\n1,60,40\n"),
        (
            "a.geojson",
            json.dumps({"type": "MultiPoint", "coordinates": [[7.6, 3.2], [40, 60.9]]}),
        ),
    ],
)
def test_centres_are_the_pixels_that_hold_them(task, name, content):
    page = task(name, content, "points").open()[0]
    np.testing.assert_array_equal(read_points(page), [[3, 7], [60, 40]])


def test_points_of_imagej_are_centres(task):
    points = ImagejRoi.frompoints(np.array([[7.63, 3.2], [40.5, 60.9]], np.float32))
    points.roitype = ROI_TYPE.POINT
    page = task("a.roi", points.tobytes(), "points").open()[0]
    np.testing.assert_array_equal(read_points(page), [[3, 7], [60, 40]])


def test_rings_in_rings_are_holes_and_later_beads_lie_on_top(task):
    def square(low, high):
        return [[low, low], [high, low], [high, high], [low, high], [low, low]]

    features = [
        {
            "geometry": {
                "type": "Polygon",
                "coordinates": [square(5, 20), square(9, 12)],
            }
        },
        {"geometry": {"type": "MultiPolygon", "coordinates": [[square(18, 25)]]}},
    ]
    page = task("a.geojson", json.dumps({"features": features})).open()[0]
    expected = np.zeros((64, 80), np.int32)
    expected[5:20, 5:20] = 1
    expected[9:12, 9:12] = 0
    expected[18:25, 18:25] = 2
    np.testing.assert_array_equal(page.read_stored(), expected)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.csv", "X,Y\n3,900\n", "bead 1 lies outside its image of 64 x 80 px"),
        ("a.csv", "X,Y\n3,x\n", "'x' in column Y is no number"),
        ("a.csv", "area\n3\n", "no columns X and Y"),
        ("a.geojson", "{", "Expecting"),
        ("a.geojson", '{"type": "LineString", "coordinates": []}', "is no bead"),
        ("a.zip", zipped("notes.txt"), "no set of ImageJ ROIs"),
        ("a.zip", b"junk", "not a zip file"),
        ("a.roi", b"junk", "a.roi: "),
    ],
)
def test_what_cannot_be_used_is_one_line(task, name, content, reason):
    with pytest.raises(ReadError) as error:
        read_labels(task(name, content).open()[0])
    assert name in str(error.value) and reason in str(error.value)
    assert "\n" not in str(error.value)


def test_a_folder_of_outlines_is_a_data_set(config, save, grid, picture, tmp_path):
    for name, count in (("a", 9), ("b", 12), ("c", 5)):
        labels = grid(count)
        save(f"images/{name}.tif", picture(labels))
        (tmp_path / "data" / "masks").mkdir(exist_ok=True)
        outlines = list(polygons(labels, boxes_of(labels), np.arange(1, count + 1)))
        path = tmp_path / "data" / "masks" / f"{name}.zip"
        write_rois(path, range(1, count + 1), outlines)
    folder = scan(config.data)
    assert folder.problems == ()
    assert [sample.beads for sample in folder.samples] == [9, 12, 5]
    save("masks/a.tif", grid(9).astype(np.uint16))
    (problem,) = scan(config.data).problems
    assert "a.zip: of one name with a.tif, which is used instead" in problem


def test_outlines_are_for_images_of_one_page(task, save, picture):
    made = task("a.csv", "X,Y\n3,4\n")
    save("images/a.tif", np.stack([picture(np.zeros((64, 80), np.int32))] * 3))
    with pytest.raises(ReadError, match="its image has 3 pages"):
        made.open()
