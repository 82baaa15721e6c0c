"""COCO files mean what pycocotools says that they mean."""

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile

from beadseg.data.annotations.coco import decompress
from beadseg.data.facts import Task
from beadseg.data.folder import find_files, scan
from beadseg.data.images.reading import ReadError
from beadseg.data.masks.labels import read_labels

encoder = pytest.importorskip("pycocotools.mask")

SHAPE = (64, 80)
pytestmark = pytest.mark.filterwarnings(  # of pycocotools 2.0.11 with NumPy 2
    "ignore:__array__ implementation:DeprecationWarning"
)


def coco(annotations: list[dict], **images: tuple[int, int]) -> dict:
    """A file of images by their names, with annotations of the first."""
    entries = [
        {"id": i, "file_name": f"set/{name}.png", "height": h, "width": w}
        for i, (name, (h, w)) in enumerate((images or {"a": SHAPE}).items(), 7)
    ]
    base = {"image_id": 7, "category_id": 1, "iscrowd": 0}
    found = [base | {"id": i} | one for i, one in enumerate(annotations, 1)]
    return {"images": entries, "annotations": found, "categories": [{"id": 1}]}


def labels_of(task, content: dict) -> np.ndarray:
    return read_labels(task("a.json", json.dumps(content)).open()[0])


def compressed(mask: np.ndarray) -> dict:
    runs = encoder.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": runs["size"], "counts": runs["counts"].decode()}


def plain(mask: np.ndarray) -> dict:
    flat = mask.ravel(order="F")
    edges = np.flatnonzero(np.diff(flat.astype(int))) + 1
    counts = np.diff([0, *edges, flat.size]).tolist()
    return {"size": list(mask.shape), "counts": ([0] if flat[0] else []) + counts}


@pytest.mark.parametrize("runs", [compressed, plain])
def test_run_lengths_are_the_pixels(task, discs, runs):
    centres = [(10, 12), (30, 40), (0, 0), (63, 79), (40.3, 41.8)]
    labels = discs(SHAPE, centres, 7.3)
    found = [{"segmentation": runs(labels == i), "iscrowd": 1} for i in range(1, 6)]
    np.testing.assert_array_equal(labels_of(task, coco(found)), labels)


def test_texts_of_run_lengths_are_those_of_pycocotools(rng):
    for share in (0.01, 0.5, 0.9):
        mask = rng.random((50, 37)) < share
        runs = compressed(mask)["counts"]
        assert decompress(runs).tolist() == plain(mask)["counts"]


def test_polygons_are_those_of_pycocotools_but_for_their_rim(task):
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    rings = [
        np.stack((x + r * np.cos(angle), y + r * np.sin(angle)), 1).ravel().tolist()
        for y, x, r in ((20.3, 21.7, 9.2), (45.0, 60.5, 12.0))
    ]
    for parts in (rings[:1], rings):
        labels = labels_of(task, coco([{"segmentation": parts}]))
        theirs = encoder.decode(encoder.merge(encoder.frPyObjects(parts, *SHAPE))) > 0
        differs = (labels > 0) != theirs
        assert differs.sum() <= 0.03 * theirs.sum()
        y, x = np.nonzero(labels)
        assert abs(y.mean() - np.nonzero(theirs)[0].mean()) < 0.1
        assert abs(x.mean() - np.nonzero(theirs)[1].mean()) < 0.1


def test_a_box_alone_is_the_ellipse_in_it(task):
    (page,) = task(
        "a.json", json.dumps(coco([{"segmentation": [], "bbox": [10, 20, 30, 16]}]))
    ).open()
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]] + 0.5
    expected = ((y - 28) / 8) ** 2 + ((x - 25) / 15) ** 2 <= 1
    assert ((page.read() > 0) != expected).sum() <= 0.02 * expected.sum()
    assert page.notes == ("1 boxes: beads are taken for the ellipses in them",)


@pytest.mark.parametrize(
    ("one", "reason"),
    [
        ({"segmentation": {"size": [64, 80], "counts": [5, 3]}}, "are damaged"),
        ({"segmentation": {"size": [64, 80], "counts": "abc~"}}, "a.json: "),
        ({"segmentation": {"size": [80, 64], "counts": [5120]}}, "its image has [64"),
        ({"segmentation": [[1, 2, 3]]}, "a.json: "),
        ({"segmentation": [[1, 2, "x", 3]]}, "a.json: "),
        ({"segmentation": []}, "damaged ('bbox')"),
        ({"segmentation": [[900, 900, 905, 900, 905, 905]]}, "lies outside its image"),
    ],
)
def test_what_is_damaged_is_one_line(task, one, reason):
    with pytest.raises(ReadError) as error:
        labels_of(task, coco([one]))
    assert reason in str(error.value) and "\n" not in str(error.value)


def square(x: int, y: int) -> dict:
    return {"segmentation": [[x, y, x + 6, y, x + 6, y + 6, x, y + 6]]}


@pytest.mark.parametrize(
    "place", ["instances.json", "annotations/instances_default.json", "masks/x.json"]
)
def test_a_file_of_many_images_lies_where_it_may(
    config, save, picture, tmp_path, place
):
    for name in "abc":
        save(f"images/{name}.tif", picture(np.zeros(SHAPE, np.int32)))
    content = coco([square(9, 9), square(30, 9)], a=SHAPE, b=SHAPE, gone=SHAPE)
    content["annotations"] += coco([square(9, 40) | {"image_id": 8}])["annotations"]
    file = tmp_path / "data" / place
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(content))
    folder = scan(config.data)
    a, b, c = folder.samples
    assert (a.beads, b.beads, c.mask) == (2, 1, None)
    (problem,) = folder.problems
    assert "1 of 3 (gone) has no image of this name" in problem


def test_names_twice_and_other_sizes_are_said(config, save, picture, tmp_path):
    for name in "ab":
        save(f"images/{name}.tif", picture(np.zeros(SHAPE, np.int32)))
    content = coco([square(9, 9)], a=SHAPE, b=(100, 100))
    content["images"].append(content["images"][0] | {"id": 9, "file_name": "val/a.png"})
    (tmp_path / "data" / "all.json").write_text(json.dumps(content))
    folder = scan(config.data)
    assert [sample.beads for sample in folder.samples] == [1, 0]
    problems = "\n".join(folder.problems)
    assert "1 of 2 (a) has several images of one name" in problems
    assert "100 x 100 px, but its image is 64 x 80 px" in problems


def test_a_damaged_file_of_many_images_is_said(config, save_pairs, tmp_path):
    save_pairs([3])
    (tmp_path / "data" / "all.json").write_text('{"images": [')
    folder = scan(config.data)
    assert [sample.beads for sample in folder.samples] == [3]
    assert "all.json" in folder.problems[0] and len(folder.problems) == 1


def test_the_export_of_cvat_is_read_whole(tmp_path, real_set):
    file = real_set("coco_cvat") / "annotations.json"
    content = json.loads(Path(file).read_bytes())
    images = tmp_path / "data" / "images"
    images.mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 99, (512, 512), np.uint8)
    for image in content["images"]:
        tifffile.imwrite(images / Path(image["file_name"]).with_suffix(".tif"), noise)
    (tmp_path / "data" / "annotations.json").write_bytes(Path(file).read_bytes())
    problems = []
    files = find_files(tmp_path / "data", problems)
    assert problems == [] and len(files["masks"]) == len(files["images"]) == 78
    for image in content["images"][::9]:
        path = files["images"][Path(image["file_name"]).stem]
        task = Task(files["masks"][path.stem], "masks", None, "pages", path)
        labels = read_labels(task.open()[0])
        expected = np.zeros_like(labels)
        mine = [a for a in content["annotations"] if a["image_id"] == image["id"]]
        for number, one in enumerate(mine, 1):
            runs = encoder.frPyObjects(one["segmentation"], 512, 512)
            expected[encoder.decode(runs) > 0] = number
        np.testing.assert_array_equal(labels, expected)
