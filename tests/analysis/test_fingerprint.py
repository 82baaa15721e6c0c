import json

import numpy as np
import pytest
import tifffile

from beadseg.analysis.fingerprint import (
    find_duplicates,
    share_labelled,
    take_fingerprint,
)
from beadseg.analysis.image_facts import thumbnail
from beadseg.data.folder import scan
from beadseg.data.generated.render import generate
from beadseg.data.generated.settings import GeneratedSettings
from beadseg.inference.estimate import Estimate
from beadseg.inference.outputs.views import excerpt
from beadseg.partial.agreement import agree


@pytest.fixture
def fingerprint(settings):
    def of(folder, **more):
        found = scan(settings(folder))
        return take_fingerprint(found, **more)

    return of


def test_masks_are_counted_exactly(beads_folder, fingerprint):
    found = fingerprint(beads_folder)
    assert len(found.rows) == 8
    for row in found.rows:
        labels = tifffile.imread(beads_folder / "masks" / f"{row.name}.tif")
        assert row.mask.objects == len(np.unique(labels[labels > 0]))
        assert row.mask.coverage == pytest.approx(np.mean(labels > 0))
    assert not found.problems and not found.duplicates
    json.dumps(found.as_json(), allow_nan=False)


def test_the_share_labelled_follows_the_beads_left_out(write, fingerprint):
    drawn = generate(GeneratedSettings(modalities=("fluorescence",)), 1, 2)
    half = np.where(drawn.labels % 2 == 0, drawn.labels, 0).astype(np.uint16)
    whole = drawn.labels.astype(np.uint16)
    folder = write({"a": drawn.image, "b": drawn.image}, {"a": half, "b": whole})
    a, b = fingerprint(folder).rows
    assert a.labelled == pytest.approx(0.5, abs=0.15)
    assert b.labelled > 0.9


def seen(centres, radius: float, scores) -> Estimate:
    """An estimate of equal discs in an image of 80 x 80 px."""
    labels = np.zeros((80, 80), np.int32)
    rows, columns = np.ogrid[:80, :80]
    for number, (y, x) in enumerate(centres, 1):
        labels[np.hypot(rows - y, columns - x) <= radius] = number
    count, diameters = len(centres), np.full(len(centres), 2 * radius, np.float32)
    at = np.array(centres, np.float32)
    return Estimate(
        count, 2 * radius, np.mean(labels > 0), at, diameters, np.array(scores), labels
    )


def test_labels_and_points_are_compared_with_the_beads_seen():
    centres = [(15, 15), (15, 45), (45, 15), (45, 45)]
    found = seen(centres, 8, [0.9, 0.9, 0.9, 0.6])
    image = 50.0 * (found.labels > 0)
    labels = np.where(found.labels == 3, 0, found.labels)
    agreement = agree(image, labels, found)
    expected = pytest.approx((2.4 / 3.3, 1.0))  # each by its score
    assert share_labelled(found, agreement, None) == expected
    points = np.array([(16, 14), (14, 47), (70, 70)], np.float32)  # of the sure beads
    assert share_labelled(found, None, points) == (2 / 3, 2 / 3)
    unknown = np.where(found.labels == 3, -1, labels)
    agreement = agree(image, unknown, found)
    assert share_labelled(found, agreement, None) == (1, 1)


def test_the_excerpt_is_where_most_is_labelled():
    labels = np.zeros((300, 500), np.int32)
    labels[200:280, 400:480], labels[10:20, 10:20] = 70000, 3
    found = excerpt(labels, 100)
    np.testing.assert_array_equal(found.labels, labels[found.rows, found.columns])
    assert (found.labels == 70000).sum() > 0.9 * 80 * 80
    assert found.labels.shape == (100, 100) and len(found.packed) < 1000


def test_copies_and_turned_fields_are_found_and_leaks_named(write, fingerprint):
    drawn = [generate(GeneratedSettings(size=128), 5, i) for i in range(4)]
    images = {f"i{k}": each.image.astype(np.uint16) for k, each in enumerate(drawn)}
    masks = {f"i{k}": each.labels.astype(np.uint16) for k, each in enumerate(drawn)}
    images["copy"], masks["copy"] = images["i0"], masks["i0"]
    noise = np.random.default_rng(0).integers(0, 9, (128, 128), np.uint16)
    images["turned"] = np.rot90(images["i1"]) + noise
    masks["turned"] = np.rot90(masks["i1"])
    found = fingerprint(write(images, masks), fraction=0.5)
    pairs = {frozenset(pair[:2]): pair.exact for pair in found.duplicates}
    assert pairs == {
        frozenset(("copy", "i0")): True,
        frozenset(("i1", "turned")): False,
    }
    assert set(found.leaks) <= set(found.duplicates)


def test_copies_are_found_in_whichever_block_they_lie(monkeypatch):
    rng = np.random.default_rng(0)
    pictures = [thumbnail(rng.normal(size=(60, 60))) for _ in range(9)]
    pictures.append(pictures[1][::-1].T)
    pictures.append(pictures[7])
    names = [str(i) for i in range(len(pictures))]
    digests = [*names[:-1], "7"]
    whole = find_duplicates(names, pictures, digests)
    assert [pair[:3] for pair in whole] == [("1", "9", False), ("7", "10", True)]
    monkeypatch.setattr("beadseg.analysis.fingerprint._BLOCK", 3)
    assert find_duplicates(names, pictures, digests) == whole


def test_empty_fields_under_one_lamp_are_no_copies():
    rng = np.random.default_rng(1)
    y, x = np.mgrid[-1:1:96j, -1:1:96j]
    light = 150 - 60 * (x**2 + y**2) + 20 * x * y
    pictures = [thumbnail(light + rng.normal(0, 2, light.shape)) for _ in range(4)]
    assert find_duplicates(list("abcd"), pictures, list("abcd")) == []


def test_a_leak_is_a_duplicate_on_both_sides():
    rng = np.random.default_rng(0)
    pictures = [thumbnail(rng.random((60, 60))) for _ in range(3)]
    pictures.append(pictures[0])
    found = find_duplicates(list("abcd"), pictures, [b"0", b"1", b"2", b"0"])
    assert [(p.first, p.second, p.exact) for p in found] == [("a", "d", True)]


@pytest.mark.parametrize("value", [0, 200])
def test_empty_and_full_masks_are_measured(write, fingerprint, value):
    image = np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)
    folder = write({"a": image}, {"a": np.full((64, 64), value, np.uint8)})
    (row,) = fingerprint(folder).rows
    assert row.mask.objects == (value > 0)
    assert row.mask.full == (value > 0)


def test_one_image_without_a_mask_is_enough(write, fingerprint):
    found = fingerprint(write({"a": np.tri(40, dtype=np.uint16)}))
    assert found.rows[0].mask is None
    assert found.rows[0].labelled is None
    assert not found.duplicates


def test_a_damaged_file_is_named_and_the_rest_measured(write, fingerprint):
    folder = write({"a": np.eye(64, dtype=np.uint8), "b": np.eye(64, dtype=np.uint8)})
    (folder / "images" / "b.tif").write_bytes(b"II*\0 not a tiff")
    found = fingerprint(folder)
    assert [row.name for row in found.rows] == ["a"]
    assert any("b.tif" in problem for problem in found.problems)
