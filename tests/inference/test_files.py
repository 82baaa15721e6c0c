"""Pages of one file share the size of beads and how much contrast is stretched."""

import csv

import numpy as np
import pytest
import tifffile
from bright import DIAMETER, beads_image

import beadseg
from beadseg.data.reading import open_pages
from beadseg.inference import files
from beadseg.inference.batch import Options, predict_batch
from beadseg.inference.files import Files, Shared
from beadseg.inference.inputs import find_inputs


def stack(path, *pages):
    tifffile.imwrite(path, np.stack(pages), photometric="minisblack")
    return path


def rows_of(file, run, output, **options):
    found = predict_batch(
        find_inputs([str(file)]), beadseg.load(run), Options(output, **options)
    )
    with open(output / "images.csv", newline="") as lines:
        return list(csv.DictReader(lines)), found


@pytest.fixture
def beads():
    return beads_image(diameter=DIAMETER * 2, count=4)[0]


@pytest.fixture
def noise(beads):
    return np.random.default_rng(0).integers(0, 40, beads.shape).astype(np.uint16)


def test_the_noise_of_an_empty_page_is_no_bead(bright_run, beads, noise, tmp_path):
    alone = tmp_path / "alone.tif"
    tifffile.imwrite(alone, noise)
    rows, _ = rows_of(alone, bright_run, tmp_path / "one", diameter=DIAMETER / 4)
    assert int(rows[0]["count"]) > 0  # by itself it could be anything
    file = stack(tmp_path / "stack.tif", noise, beads, noise)
    rows, _ = rows_of(file, bright_run, tmp_path / "all")
    assert [int(row["count"]) for row in rows] == [0, 16, 0]
    assert len({row["scale"] for row in rows}) == 1


def test_a_page_of_few_beads_has_the_size_of_the_others(bright_run, beads, tmp_path):
    lone = beads.copy()
    lone[:, beads.shape[1] // 4 :] = beads.min()
    lone[beads.shape[0] // 4 :] = beads.min()
    file = stack(tmp_path / "stack.tif", lone, beads)
    rows, _ = rows_of(file, bright_run, tmp_path / "out")
    assert [int(row["count"]) for row in rows] == [1, 16]
    assert float(rows[0]["median_diameter_px"]) == pytest.approx(2 * DIAMETER, rel=0.05)


def test_a_file_of_one_page_shares_nothing(bright_run, beads, tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", beads)
    pages = open_pages(tmp_path / "a.tif")
    seen = Files(pages, beadseg.load(bright_run)).shared(pages[0], 0.5, "auto")
    assert seen == Shared(None, 0.0)


def test_a_file_is_looked_at_once_and_at_so_many_pages(
    bright_run, beads, tmp_path, monkeypatch
):
    monkeypatch.setattr(files, "LOOKED_AT", 3)
    file = stack(tmp_path / "stack.tif", *[beads] * 7)
    pages, reads = open_pages(file), []
    read = type(pages[0]).read
    monkeypatch.setattr(
        type(pages[0]), "read", lambda page: reads.append(page.index) or read(page)
    )
    seen = Files(pages, beadseg.load(bright_run))
    first = seen.shared(pages[5], 0.5, "auto")
    assert first.scale == pytest.approx(0.5, rel=0.1)
    assert set(reads) == {0, 3, 6}
    count = len(reads)
    assert seen.shared(pages[0], 0.5, "auto") == first
    assert len(reads) == count


def test_a_page_without_pixels_to_see_fails_alone(bright_run, beads, tmp_path):
    file = stack(tmp_path / "stack.tif", beads, np.zeros_like(beads), beads)
    rows, found = rows_of(file, bright_run, tmp_path / "out")
    assert [int(row["count"]) for row in rows] == [16, 16]
    assert len(found["failed"]) == 1 and "page 1" in found["failed"][0]


def test_going_on_gives_what_one_go_gives(bright_run, beads, noise, tmp_path):
    file = stack(tmp_path / "stack.tif", beads, noise, noise)
    whole, _ = rows_of(file, bright_run, tmp_path / "out")
    for page in ("p001", "p002"):
        (tmp_path / "out" / ".done" / f"stack_{page}.npz").unlink()
    again, found = rows_of(file, bright_run, tmp_path / "out", resume=True)
    assert found["skipped"] == 1
    assert again == whole
