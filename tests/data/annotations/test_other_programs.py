"""Labels of labelme, YOLO, Cellpose, QuPath, and tables of centres."""

import base64
import io
import json
import zipfile

import numpy as np
import pytest
import tifffile
from PIL import Image
from roifile import ROI_TYPE, ImagejRoi

from beadseg.data.folder import scan
from beadseg.data.images.reading import ReadError
from beadseg.data.masks.labels import read_labels, read_points

SHAPE = (64, 80)


def disc(y: float, x: float, radius: float) -> np.ndarray:
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]] + 0.5
    return (rows - y) ** 2 + (columns - x) ** 2 <= radius**2


def ring(y: float, x: float, radius: float) -> np.ndarray:
    """f64[n, 2] (x, y), from the corner of the first pixel."""
    angle = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    return np.stack((x + radius * np.cos(angle), y + radius * np.sin(angle)), 1)


def labelme(*shapes: dict, size=SHAPE) -> str:
    base = {"label": "bead", "group_id": None, "shape_type": "polygon", "flags": {}}
    return json.dumps(
        {
            "version": "5.5.0",
            "imagePath": "a.tif",
            "imageData": None,
            "imageHeight": size[0],
            "imageWidth": size[1],
            "shapes": [base | shape for shape in shapes],
        }
    )


def test_every_shape_of_labelme(task):
    mask = np.zeros((9, 12), np.uint8)
    mask[2:8, 3:10] = 255
    picture = io.BytesIO()
    Image.fromarray(mask).save(picture, "png")
    (page,) = task(
        "a.json",
        labelme(
            {"points": ring(12, 13, 8).tolist()},
            {"points": [[30, 5], [36, 12]], "shape_type": "rectangle"},
            {"points": [[60, 20], [60, 29]], "shape_type": "circle"},
            {
                "points": [[5, 40], [16, 48]],
                "shape_type": "mask",
                "mask": base64.b64encode(picture.getvalue()).decode(),
            },
            {"points": [[40.9, 40.2]], "shape_type": "point"},
            {"points": [[1, 1], [50, 50]], "shape_type": "line"},
            {"points": ring(50, 50, 4).tolist(), "group_id": 3},
            {"points": ring(50, 66, 4).tolist(), "group_id": 3, "label": "bead"},
        ),
    ).open()
    labels = read_labels(page)
    assert ((labels == 1) != disc(12, 13, 8)).sum() <= 4
    np.testing.assert_array_equal(np.argwhere(labels == 2).min(0), (5, 30))
    np.testing.assert_array_equal(np.argwhere(labels == 2).max(0), (11, 35))
    assert ((labels == 3) != disc(20, 60, 9)).sum() <= 4
    expected = np.zeros(SHAPE, bool)
    expected[40:49, 5:17] = mask > 0
    np.testing.assert_array_equal(labels == 4, expected)
    np.testing.assert_array_equal(np.argwhere(labels == 5), [[40, 40]])
    assert ((labels == 6) != disc(50, 50, 4) | disc(50, 66, 4)).sum() <= 6
    assert labels.max() == 6 and page.notes == ("1 shapes are lines: left out",)


def test_labelme_of_another_size_is_no_mask_of_its_image(
    config, save, picture, tmp_path
):
    save("images/a.tif", picture(np.zeros(SHAPE, np.int32)))
    file = tmp_path / "data" / "images" / "a.json"  # beside, as labelme writes it
    file.write_text(labelme({"points": ring(9, 9, 4).tolist()}, size=(32, 40)))
    (problem,) = scan(config.data).problems
    assert "32 x 40 px, but its image is 64 x 80 px" in problem
    file.write_text(labelme({"points": ring(9, 9, 4).tolist()}))
    folder = scan(config.data)
    assert folder.problems == () and folder.samples[0].beads == 1


def test_boxes_and_polygons_of_yolo(task):
    corners = (ring(40, 50, 11) / SHAPE[::-1]).ravel()
    lines = [
        f"0 {20 / 80} {16 / 64} {16 / 80} {16 / 64}",
        f"0 {60 / 80} {16 / 64} {12 / 80} {12 / 64} 0.87",
        "0 " + " ".join(f"{value:.6f}" for value in corners),
    ]
    (page,) = task("a.txt", "\n".join(lines) + "\n").open()
    labels = read_labels(page)
    circles = (disc(16, 20, 8), disc(16, 60, 6), disc(40, 50, 11))
    for number, expected in enumerate(circles, 1):
        assert ((labels == number) != expected).sum() <= 0.03 * expected.sum()
    assert page.notes == ("2 boxes: beads are taken for the ellipses in them",)
    (page,) = task("a.txt", "").open()
    assert not read_labels(page).any() and "without beads" in page.notes[0]


def test_masks_of_cellpose_lie_beside_their_images(config, save, picture, discs):
    labels = discs(SHAPE, [(10, 12), (30, 40), (50, 60)], 6)
    save("images/a.tif", picture(labels))
    save("images/b.tif", picture(labels, 1))
    path = save("images/a_cp_masks.tif", labels.astype(np.uint16))
    Image.fromarray(labels.astype(np.uint16)).save(path.with_name("b_cp_masks.png"))
    (path.parent / "a_seg.npy").write_bytes(b"\x93NUMPY")
    folder = scan(config.data)
    assert [sample.beads for sample in folder.samples] == [3, 3]
    (problem,) = folder.problems
    assert "a_seg.npy" in problem and "--save_tif" in problem and "\n" not in problem


def test_regions_of_qupath_are_no_beads(task):
    def feature(places, kind):
        geometry = {"type": "Polygon", "coordinates": [[*places, places[0]]]}
        return {"geometry": geometry, "properties": {"objectType": kind}}

    features = [
        feature([[0, 0], [80, 0], [80, 64], [0, 64]], "annotation"),
        feature(ring(20, 20, 7).tolist(), "detection"),
    ]
    content = json.dumps({"type": "FeatureCollection", "features": features})
    (page,) = task("a.geojson", content).open()
    labels = read_labels(page)
    assert labels.max() == 1 and ((labels == 1) != disc(20, 20, 7)).sum() <= 4
    assert "1 annotations beside detections are regions" in page.notes[0]


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        ("flags", "it is encrypted: save it without a password"),
        ("method", "That compression method is not supported: export it again"),
    ],
)
def test_a_set_of_rois_that_cannot_be_unpacked_is_one_line(task, spoil, reason):
    """By the format's text (APPNOTE): flags and method in both heads of a file."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        roi = ImagejRoi.frompoints(ring(20, 30, 8).astype(np.float32))
        archive.writestr("a.roi", roi.tobytes())
    packed = bytearray(content.getvalue())
    value, places = {"flags": (1, (6, 8)), "method": (77, (8, 10))}[spoil]
    for head, place in zip((b"PK\3\4", b"PK\1\2"), places, strict=True):
        packed[packed.index(head) + place] = value
    with pytest.raises(ReadError) as error:
        task("a.zip", bytes(packed)).open()
    assert str(error.value).endswith(f"a.zip: {reason}")


def test_a_damaged_name_in_a_set_of_rois_is_no_page_of_text(task):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("a.roi", bytes(5000))
    packed = bytearray(content.getvalue())
    packed[26:28] = (4000).to_bytes(2, "little")  # length of the name
    with pytest.raises(ReadError) as error:
        task("a.zip", bytes(packed)).open()
    words = str(error.value)
    assert "a.zip: File name in directory 'a.roi' and header" in words
    assert len(words) < 800 and "\n" not in words


def test_lines_of_imagej_are_no_beads(task):
    line = ImagejRoi.frompoints(np.array([[3, 3], [30, 30]], np.float32))
    line.roitype = ROI_TYPE.POLYLINE
    (page,) = task("a.roi", line.tobytes()).open()
    assert not read_labels(page).any()
    assert page.notes[0] == "1 of 1 ROIs are lines or words: left out"


def test_a_roi_whose_name_is_cut_off_is_read_without_a_word(task, caplog):
    roi = ImagejRoi.frompoints(ring(20, 30, 8).astype(np.float32), name="bead of Anne")
    (page,) = task("a.roi", roi.tobytes()[:-9]).open()
    assert ((read_labels(page) == 1) != disc(20, 30, 8)).sum() <= 6
    assert page.notes == () and not caplog.records


CENTRES = [[3, 7], [60, 40]]
TRACKMATE = """LABEL,ID,TRACK_ID,QUALITY,POSITION_X,POSITION_Y,POSITION_Z,FRAME,RADIUS
Label,Spot ID,Track ID,Quality,X,Y,Z,Frame,Radius
Label,Spot ID,Track ID,Quality,X,Y,Z,Frame,R
,,,(quality),({unit}),({unit}),({unit}),,({unit})
ID1,1,0,5.1,{a},{b},0,0,2.5
ID2,2,1,4.8,{c},{d},0,0,2.5
"""


@pytest.mark.parametrize(
    "text",
    [
        "7,3\n40,60\n",
        "x;y\n7,2;3,1\n39,9;60,3\n",
        "x\ty\n7\t3\n40\t60\n",
        "Y,X\n3.2,7.63\n60.9,40.5\n",
        "name,x [px],y [px],x [um],y [um]\nb,7,3,3.5,1.5\nb,40,60,20,30\n",
        "label,centroid-0,centroid-1\n1,3.1,7.2\n2,60.3,39.9\n",
        "index,axis-0,axis-1,axis-2\n0,0,3,7\n1,0,60,40\n",
        "image,x,y\na.tif,7,3\na.tif,40,60\nb.tif,9,9\n",
        "row,col\n3,7\n60,40\n",
        ",Label,Area,X,Y\n1,a.tif,9,7.6,3.2\n2,a.tif,9,40.5,60.9\n",
        TRACKMATE.format(unit="pixel", a=7, b=3, c=40, d=60),
    ],
)
def test_tables_of_centres(task, text):
    name = "a.tsv" if "\t" in text else "a.csv"
    (page,) = task(name, text, "points").open()
    np.testing.assert_array_equal(read_points(page), CENTRES)


@pytest.mark.parametrize(
    "text",
    [
        "# Fiji 2.14, slide 3\n% by hand\nx,y\n7,3\n40,60\n",
        "# y x\n3 7\n60 40\n",  # as numpy writes it
        "#;x;y\n1;7;3\n2;40;60\n",
        "# two beads, counted twice\n7,3\n40,60\n",
    ],
)
def test_comments_before_a_table_are_none_of_its_rows(task, text):
    (page,) = task("a.csv", text, "points").open()
    np.testing.assert_array_equal(read_points(page), CENTRES)
    assert page.notes == ()


@pytest.mark.parametrize("lost", ["nan,5", ",5", "NA,", "5", "inf,5"])
def test_rows_without_a_place_are_left_out_and_said(task, lost):
    (page,) = task("a.csv", f"x,y\n7,3\n{lost}\n{lost}\n40,60\n", "points").open()
    np.testing.assert_array_equal(read_points(page), CENTRES)
    assert page.notes == (
        "2 rows without a place (NaN or empty), left out: the first is row 2",
    )


@pytest.fixture
def calibrated(task, tmp_path):
    """The task, of an image with pixels of 0.25 um."""
    tifffile.imwrite(
        tmp_path / "data" / "images" / "a.tif",
        np.zeros(SHAPE, np.uint8),
        imagej=True,
        resolution=(4, 4),
        metadata={"unit": "um"},
    )
    return task


@pytest.mark.parametrize(
    "text",
    [
        "X (µm),Y (µm)\n1.75,0.75\n10,15\n",
        "x_um;y_um\n1,75;0,75\n10;15\n",
        "Centroid X µm,Centroid Y µm\n1.75,0.75\n10,15\n",
        "x [nm],y [nm]\n1750,750\n10000,15000\n",
        TRACKMATE.format(unit="micron", a=1.75, b=0.75, c=10, d=15),
        # ImageJ says no unit; all lies within the calibrated frame of 20 x 16 um.
        " ,X,Y\n1,1.9,0.8\n2,10.1,15.2\n",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "cp1252"])
def test_lengths_become_pixels(calibrated, text, encoding):
    (page,) = calibrated("a.csv", text.encode(encoding), "points").open()
    np.testing.assert_array_equal(read_points(page), CENTRES)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le"])
@pytest.mark.parametrize(
    "text",
    [
        "sep=;\r\nx_um;y_um\r\n1,75;0,75\r\n10;15\r\n",
        "sep=,\nx_um,y_um\n1.75,0.75\n10,15\n",
        '"x_um","y_um"\n"1,75","0,75"\n"10,0","15"\n',
        "x_um\ty_um\r\n1,75\t0,75\r\n10\t15\r\n",
    ],
)
def test_tables_of_excel_are_read(calibrated, text, encoding):
    mark = "\ufeff" if encoding == "utf-16-le" else ""
    (page,) = calibrated("a.csv", (mark + text).encode(encoding), "points").open()
    np.testing.assert_array_equal(read_points(page), CENTRES)


def test_a_thousand_with_a_comma_is_no_small_number(calibrated):
    text = 'x,y\n"1,234","5,678"\n'
    with pytest.raises(ReadError, match="row 1: '5,678' in column y is no number"):
        calibrated("a.csv", text, "points").open()


def test_pixels_of_imagej_stay_pixels(calibrated):
    (page,) = calibrated("a.csv", " ,X,Y\n1,7.63,3.2\n2,40.5,60.9\n", "points").open()
    np.testing.assert_array_equal(read_points(page), CENTRES)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.csv", "x_um,y_um\n1,2\n", "no pixel size"),
        ("a.csv", "x [cubits],y [cubits]\n1,2\n", "'cubits' is unknown"),
        ("a.csv", "x,y\n1,2\n3,-\n", "row 2: '-' in column y is no number"),
        ("a.csv", "x,y\nnan,2\n3,\n", "no row gives a place, x and y"),
        ("a.csv", "1,2,3\n4,5,6\n", "no columns X and Y"),
        ("a.json", "", "the file is empty"),
        ("a.csv", "", "the file is empty"),
        ("a.json", '{"shapes": [{"poi', "no JSON, or cut short (Unterminated string"),
        ("a.roi", b"Iout" + bytes(20), "no ROI of ImageJ, or cut short ("),
        ("a.zip", b"PK\3\4" + bytes(20), "File is not a zip file: export it again"),
        ("a.json", '{"a": 1}', "no COCO, labelme or GeoJSON"),
        ("a.json", labelme({"points": [["x", 1]]}), "a.json: "),
        ("a.json", labelme({"points": [], "shape_type": "star"}), "a star of labelme"),
        ("a.txt", "0 0.5 0.5 0.1 0.1\n0 0.5\n", "line 2 is no box"),
        ("a.txt", "0 nan 0.5 0.1 0.1\n", "line 1 is no box"),
        ("a.geojson", '[{"geometry": null}]', "none of its beads encloses a pixel"),
        ("a.json", '{"shapes": [3]}', "it is damaged or of another kind"),
        ("a.txt", "0 40 30 8 8\n", "in shares of the image"),
        ("a.txt", "The microscope was on.\n", "no columns X and Y"),
    ],
)
def test_what_is_not_read_is_one_line(task, name, content, reason):
    with pytest.raises(ReadError) as error:
        task(name, content).open()
    assert name in str(error.value) and reason in str(error.value)
    assert "\n" not in str(error.value)


def many(*odd: list) -> str:
    """Four good beads and odd ones."""
    good = [ring(10, x, 4).tolist() for x in (10, 25, 40, 55)]
    return labelme(*({"points": places} for places in [*good, *odd]))


@pytest.mark.parametrize(
    ("odd", "line", "beads"),
    [
        (ring(200, 30, 4).tolist(), "bead 5 lies outside its image of 64 x 80 px", 4),
        (ring(40, 79, 6).tolist(), "bead 5 lies partly outside", 5),
        ([[30, 30], [1e38, 40], [30, 40]], "bead 5 lies outside its image", 4),
        ([[30, 30], [40, 40], [40, 30], [30, 40]], "bead 5 crosses itself", 5),
        ([[30, 30], [40, 40]], "bead 5 encloses no pixel", 4),
        ([[30, 30], [30, 30], [30, 30]], "bead 5 encloses no pixel", 4),
    ],
)
def test_odd_beads_are_said_and_the_others_stay(task, odd, line, beads):
    (page,) = task("a.json", many(odd)).open()
    (note,) = page.notes
    assert note.startswith(line)
    labels = read_labels(page)
    assert len(np.unique(labels[labels > 0])) == beads


def test_an_outline_that_touches_itself_does_not_cross_itself(task):
    spur = [[30, 30], [40, 30], [40, 40], [35, 40], [35, 50], [35, 40], [30, 40]]
    (page,) = task("a.json", many(spur)).open()
    assert page.notes == ()


def test_a_bead_smaller_than_a_pixel_is_one(task):
    (page,) = task("a.json", many(ring(40.02, 30.03, 0.2).tolist())).open()
    assert (page.read() == 5).sum() == 1
