"""Tiles on disk: what is in them, and when they are made anew."""

import os
import pickle
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from beadseg.data.builders import Beads, open_dataset
from beadseg.data.cache import build_folder
from beadseg.data.images.reading import ReadError
from beadseg.data.pages import Page, Preprocessing
from beadseg.errors import BeadsegError


def opened(config):
    return open_dataset(config)


def content(dataset) -> list[np.ndarray]:
    return [dataset[i]["image"] for i in range(len(dataset))]


@pytest.fixture
def images(tmp_path) -> Path:
    return tmp_path / "data" / "images"


# What a tile holds


def test_a_tile_is_its_page_normalised_to_percentiles(config, save_pairs, save):
    save_pairs([3, 4])
    slope = np.linspace(100, 4000, 96 * 96).reshape(96, 96)  # without noise
    page = slope.astype(np.uint16)
    save("images/a.tif", page)
    config.data.check_masks = False
    config.data.normalise.low, config.data.normalise.high = 10.0, 90.0
    dataset = opened(config)
    low, high = np.percentile(page, (10, 90))
    (record,) = [r for r in dataset.records if r.source == "a"]
    assert (record.low, record.high) == pytest.approx((low, high))
    stored = dataset[dataset.records.index(record)]["image"]
    np.testing.assert_allclose(stored, (page - low) / (high - low), atol=1e-4)


@pytest.mark.parametrize("bright, known", [((160, 160), True), ((160, 60), False)])
def test_a_data_set_knows_the_contrast_of_beads_that_are_alike(
    config, save, grid, bright, known
):
    labels = grid(100, (160, 160))
    for name, level in zip("ab", bright, strict=True):
        save(f"images/{name}.tif", np.where(labels > 0, level, 50).astype(np.uint8))
        save(f"masks/{name}.tif", labels.astype(np.uint16))
    found = opened(config).faintest_bead
    assert found == (pytest.approx(110 / 210) if known else None)


def test_tiles_of_a_large_page_make_it_up_again(config, save, grid, picture):
    labels = grid(30, (150, 100))
    for name in "ab":
        save(f"images/{name}.tif", picture(labels))
        save(f"masks/{name}.tif", labels.astype(np.uint16))
    config.data.tile_size = config.data.crop = 64
    dataset = opened(config)
    whole = np.full((150, 100), -9, np.int32)
    for i, record in enumerate(dataset.records):
        if record.source == "a":
            (y, x), (h, w) = record.offset, record.shape
            assert max(h, w) <= 64 and min(h, w) == 50
            whole[y : y + h, x : x + w] = dataset[i]["labels"]
    np.testing.assert_array_equal(whole, labels)


def test_ignored_pixels_are_unknown(config, save, save_pairs):
    save_pairs([36, 4])
    ignore = np.zeros((96, 96), np.uint8)
    ignore[:48] = 255
    save("ignore/a.tif", ignore)
    dataset = opened(config)
    labels = dataset[0]["labels"]
    assert (labels[:48] == -1).all() and labels[48:].min() == 0
    assert dataset.records[0].known == 0.5
    assert dataset.records[0].coverage == (labels > 0).sum() / (48 * 96)


def test_points_follow_their_tile(config, save, save_pairs):
    save_pairs([3, 4])
    points = np.zeros((96, 96), np.uint8)
    points[10, 20] = points[60, 90] = 1
    save("points/a.tif", points)
    config.data.tile_size = config.data.crop = 48
    dataset = opened(config)
    found = {r.offset: dataset[i]["points"] for i, r in enumerate(dataset.records[:4])}
    np.testing.assert_array_equal(found[0, 0], [[10, 20]])
    np.testing.assert_array_equal(found[48, 48], [[12, 42]])
    assert found[0, 48].shape == (0, 2)


def test_the_median_bead_gets_the_wanted_diameter(config, save, discs, picture):
    labels = discs((200, 200), [(50, 50), (50, 150), (150, 50), (150, 150)], 20)
    for name in "ab":
        save(f"images/{name}.tif", picture(labels))
        save(f"masks/{name}.tif", labels.astype(np.uint16))
    config.data.bead_diameter = 10.0
    dataset = opened(config)
    assert dataset.bead_diameter_px == pytest.approx(40, abs=0.5)
    assert dataset.records[0].shape == (round(200 * dataset.scale),) * 2
    _, areas = np.unique(dataset[0]["labels"], return_counts=True)
    diameters = 2 * np.sqrt(areas[1:] / np.pi)
    np.testing.assert_allclose(diameters, 10, atol=0.5)
    assert dataset.notes[0] == (
        "the median bead is 40.0 px across: images are resampled by 0.25 to 10 px"
    )


def test_beads_that_vanish_in_resampling_are_counted(config, save, discs, picture):
    labels = discs((200, 200), [(50, 50), (50, 150), (150, 50)], 30)
    labels[100, 101] = 4
    for name in "ab":
        save(f"images/{name}.tif", picture(labels))
        save(f"masks/{name}.tif", labels.astype(np.uint16))
    config.data.bead_diameter = 6.0
    assert opened(config).notes[1] == (
        "2 of 8 beads are too small for a pixel after resampling and are lost: raise "
        "data.bead_diameter"
    )


def test_pages_without_mask_are_unknown_throughout(config, save, save_pairs, picture):
    save_pairs([3, 4])
    save("images/z.tif", picture(np.eye(96, dtype=np.int32)))
    dataset = opened(config)
    assert [r.has_mask for r in dataset.records] == [True, True, False]
    assert (dataset[2]["labels"] == -1).all()
    assert dataset.records[2].known == 0


def test_a_pickled_data_set_reads_the_same(config, save_pairs):
    save_pairs([3, 4])
    dataset = opened(config)
    before = content(dataset)
    again = pickle.loads(pickle.dumps(dataset))
    assert again == dataset
    for first, second in zip(before, content(again), strict=True):
        np.testing.assert_array_equal(first, second)


class Pages:
    """Three pages, of which the second can no longer be read when its turn comes."""

    def __len__(self) -> int:
        return 3

    def shape(self, index: int) -> tuple[int, int]:
        return 40, 40

    def load(self, index: int) -> Page:
        if index == 1:
            raise ReadError("b.tif: it has changed since it was listed; start again")
        about = dict.fromkeys(("pixel_size", "completeness"), None)
        about |= dict.fromkeys(("image", "source", "group", "uid"), f"page{index}")
        image = np.random.default_rng(index).random((40, 40))
        return Page(image, None, None, about | {"page": 0, "beads": 0})


def test_a_page_lost_while_building_is_named_and_the_rest_kept(tmp_path):
    preprocessing = Preprocessing(1.0, 99.0, 0.0, 1.0, 512)
    builder = Beads(Pages(), preprocessing, data_dir=tmp_path)
    builder.download_and_prepare(download_dir=tmp_path / "downloads")
    found = builder.found
    assert [record.image for record in found.records] == ["page0", "page2"]
    assert found.problems == ["b.tif: it has changed since it was listed; start again"]
    assert len(builder.as_data_source("records")) == 2


def test_building_prints_nothing(config, save_pairs, capfd):
    save_pairs([3, 4])
    opened(config)
    assert capfd.readouterr() == ("", "")


# The cache


def test_building_leaves_nothing_in_the_temporary_folder(
    config, save_pairs, tmp_path, monkeypatch
):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    save_pairs([3, 4])
    opened(config)
    assert not list((tmp_path / "temporary").iterdir())


def test_an_unchanged_folder_is_not_read_again(config, save_pairs, images):
    save_pairs([3, 4])
    first = opened(config)
    for path in images.iterdir():  # unreadable now, but for its size and time
        stat = path.stat()
        path.write_bytes(bytes(stat.st_size))
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    again = opened(config)
    assert again == first
    assert len(content(again)) == 2


@pytest.mark.parametrize("kind", ["images", "masks"])
def test_a_changed_file_of_the_same_size_is_noticed(
    config, save, save_pairs, grid, picture, kind
):
    save_pairs([3, 4])
    first = opened(config)
    if kind == "images":
        path = save("images/a.tif", picture(grid(3), seed=99))
    else:
        path = save("masks/a.tif", grid(5).astype(np.uint16))
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))
    again = opened(config)
    assert again.fingerprint != first.fingerprint
    key = "image" if kind == "images" else "labels"
    assert (again[0][key] != first[0][key]).any()
    assert (again[1][key] == first[1][key]).all()


def test_a_copy_of_a_folder_finds_what_was_built(config, save_pairs, tmp_path):
    save_pairs([3, 4])
    first = opened(config)
    (tmp_path / "data").rename(tmp_path / "moved")
    config.data.dir = str(tmp_path / "moved")
    assert opened(config) == first


def test_what_beads_toml_says_needs_no_new_build(config, save_pairs, tmp_path):
    save_pairs([3, 4])
    first = opened(config)
    (tmp_path / "data" / "beads.toml").write_text("completeness = 0.5\n")
    again = opened(config)
    assert again.directory == first.directory
    assert [r.completeness for r in again.records] == [0.5, 0.5]


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.update(tile_size=70),
        lambda data: data.update(bead_diameter=5.0),
        lambda data: data.normalise.update(high=90.0),
        lambda data: data.normalise.update(flatten=3.0),
    ],
    ids=["tile_size", "bead_diameter", "high", "flatten"],
)
def test_settings_that_shape_tiles_make_a_new_build(config, save_pairs, change):
    save_pairs([3, 4])
    first = opened(config)
    change(config.data)
    assert opened(config).directory != first.directory


def test_of_two_builds_at_once_one_is_kept_whole(tmp_path):
    target = tmp_path / "key"
    with build_folder(target) as late, build_folder(target) as early:
        (late / "who").write_text("late")
        (early / "who").write_text("early")
    assert (target / "who").read_text() == "early"
    assert list(tmp_path.iterdir()) == [target]


def test_two_threads_that_open_at_once_get_the_same(config, save_pairs):
    save_pairs([3, 4, 5])
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(opened(config))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 3 and found[0] == found[1] == found[2]


def test_a_failed_build_leaves_nothing(tmp_path):
    with pytest.raises(ZeroDivisionError), build_folder(tmp_path / "key") as folder:
        (folder / "half").write_text("x")
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_only_abandoned_builds_are_removed(tmp_path):
    old, young = tmp_path / ".tmp-old", tmp_path / ".tmp-young"
    yesterday = time.time() - 25 * 3600
    for folder in (old, young):
        folder.mkdir()
        (folder / "half").write_text("x")
        os.utime(folder, (yesterday, yesterday))
    os.utime(old / "half", (yesterday, yesterday))
    with build_folder(tmp_path / "key"):
        pass
    assert {p.name for p in tmp_path.iterdir()} == {"key", ".tmp-young"}


def test_a_cache_that_cannot_be_written_is_named(config, save_pairs, tmp_path):
    save_pairs([3, 4])
    (tmp_path / "file").write_text("")
    config.data.cache_dir = str(tmp_path / "file" / "cache")
    with pytest.raises(BeadsegError) as caught:
        opened(config)
    assert str(caught.value) == (
        f"cannot write to the cache {tmp_path / 'file' / 'cache'} (Not a directory): "
        "name another with --config.data.cache_dir or $BEADSEG_CACHE"
    )


# Generated beads, and the whole


def test_generated_images_are_the_same_for_the_same_settings(config, tmp_path):
    config.data.dir = ""
    first = opened(config)
    assert len(first) == 4 and first.scale == 1
    config.data.cache_dir = str(tmp_path / "another")
    again = opened(config)
    assert again.fingerprint == first.fingerprint
    for one, other in zip(content(first), content(again), strict=True):
        np.testing.assert_array_equal(one, other)
    config.data.generated.seed = 1
    assert opened(config).fingerprint != first.fingerprint


def test_generated_images_of_many_sizes_are_told_by_their_scale(config):
    config.data.dir = ""
    generated = config.data.generated
    generated.preset, generated.sizes = "varied", (6.0, 24.0)
    generated.size, generated.count = 96, 12
    dataset = opened(config)
    scales = [record.scale for record in dataset.records]
    assert dataset.scale == 1 and len(set(scales)) > 3 and np.isfinite(scales).all()
    for record in dataset.records:
        assert record.shape == pytest.approx((96, 96), abs=1)
    generated.sizes = (24.0, 6.0)
    with pytest.raises(BeadsegError, match="give .smallest, largest. px"):
        opened(config)


def test_damaged_generated_labels_lack_beads(config):
    config.data.dir = ""
    whole = opened(config)
    config.data.generated.damage, config.data.generated.amount = "drop_random", 0.5
    half = opened(config)
    for one, other in zip(whole.records, half.records, strict=True):
        assert other.beads == pytest.approx(one.beads / 2, abs=1)


def test_a_crop_larger_than_a_tile_can_be_is_refused(config):
    config.data.crop = 1000
    with pytest.raises(BeadsegError) as caught:
        opened(config)
    assert str(caught.value) == (
        "data.crop = 1000 is larger than data.tile_size = 512: lower the one or raise "
        "the other"
    )


def test_a_crop_larger_than_the_images_is_said(config, save_pairs):
    save_pairs([3, 4])
    config.data.crop = 128
    assert opened(config).notes == (
        "2 of 2 tiles are smaller than data.crop = 128 px: mirrored at their edges to "
        "fill it",
    )


@pytest.mark.parametrize("name", ["emps_spheres_dev", "dsb2018_nuclei_dev"])
def test_real_images_are_built(config, real_set, name):
    config.data.dir, config.data.bead_diameter = str(real_set(name)), 24.0
    dataset = opened(config)
    assert dataset.problems == ()
    found = [
        np.sqrt((labels == i).sum() * 4 / np.pi)
        for labels in (dataset[n]["labels"] for n in range(len(dataset)))
        for i in np.unique(labels[labels > 0])
    ]
    assert np.median(found) == pytest.approx(24.0, rel=0.12)
