"""Pages of one file share how much their contrast is stretched, and nothing else."""

import csv
from dataclasses import replace

import numpy as np
import pytest
import tifffile
from scipy import ndimage

import beadseg
from beadseg.data.images.reading import open_pages
from beadseg.inference import files
from beadseg.inference.batch import Options, predict_batch
from beadseg.inference.files import DIMMEST, Files
from beadseg.inference.inputs import find_inputs
from beadseg.inference.run import load_run
from beadseg.inference.settings import Settings
from tests.inference.bright import DIAMETER, beads_image

CONTRAST = 900  # of the beads


def stack(path, *pages):
    tifffile.imwrite(path, np.stack(pages), photometric="minisblack")
    return path


def rows_of(file, run, output, settings=None, **options):
    found = predict_batch(
        find_inputs([str(file)]),
        beadseg.load(run),
        Options(output, settings or Settings(), **options),
    )
    with open(output / "images.csv", newline="") as lines:
        return list(csv.DictReader(lines)), found


def counts(rows) -> list[int]:
    return [int(row["count"]) for row in rows]


@pytest.fixture
def beads():
    return beads_image(count=8, level=100 + CONTRAST)[0]


@pytest.fixture
def haze(beads):
    """Soft blotches of a fraction of the contrast, without noise."""
    drawn = np.random.default_rng(0).normal(size=beads.shape)
    soft = ndimage.gaussian_filter(drawn, 4, mode="wrap")
    return (200 + 6 * soft / soft.std()).astype(np.uint16)


def test_what_is_dim_beside_the_other_pages_is_no_bead(
    bright_run, beads, haze, tmp_path
):
    settings = Settings(threshold=0.99)  # of the artificial network: 73 % of the span
    alone = tmp_path / "alone.tif"
    tifffile.imwrite(alone, haze)
    rows, _ = rows_of(alone, bright_run, tmp_path / "one", settings)
    assert counts(rows)[0] > 0  # by itself it could be anything
    file = stack(tmp_path / "stack.tif", haze, beads, haze)
    rows, _ = rows_of(file, bright_run, tmp_path / "all", settings)
    assert counts(rows) == [0, 64, 0]


def test_a_span_is_a_share_of_that_of_the_clearest_page(
    bright_run, beads, haze, tmp_path
):
    pages = open_pages(stack(tmp_path / "stack.tif", haze, beads, haze))
    found = Files(pages, load_run(bright_run))
    for page in pages:
        assert found.least_span(page) == pytest.approx(CONTRAST / DIMMEST)


def test_a_file_of_one_page_shares_nothing(bright_run, beads, tmp_path):
    for name in ("a.tif", "b.tif"):
        tifffile.imwrite(tmp_path / name, beads)
    pages = [open_pages(tmp_path / name)[0] for name in ("a.tif", "b.tif")]
    found = Files(pages, load_run(bright_run))
    assert [found.least_span(page) for page in pages] == [0, 0]


def test_pages_of_different_pixel_sizes_share_nothing(
    bright_run, beads, haze, tmp_path
):
    clear, *dim = open_pages(stack(tmp_path / "stack.tif", beads, haze, haze))
    dim = [replace(page, pixel_size=0.5) for page in dim]
    found = Files([clear, *dim], load_run(bright_run))
    assert found.least_span(clear) == 0
    assert 0 < found.least_span(dim[0]) < 100 / DIMMEST


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
    found = Files(pages, load_run(bright_run))
    first = found.least_span(pages[5])
    assert reads == [0, 3, 6]
    assert found.least_span(pages[0]) == first
    assert len(reads) == 3


def test_a_page_that_cannot_be_used_fails_alone(bright_run, beads, tmp_path):
    broken = np.full(beads.shape, np.nan, np.float32)
    black = np.zeros(beads.shape, np.float32)
    file = stack(tmp_path / "stack.tif", beads.astype(np.float32), broken, black)
    settings = Settings(threshold=0.6)  # what is even is grey: 0.5
    rows, found = rows_of(file, bright_run, tmp_path / "out", settings)
    assert counts(rows) == [64, 0]
    assert len(found["failed"]) == 1
    assert "page 1: all pixels are NaN" in found["failed"][0]


def test_a_size_that_is_given_holds_for_all_pages(bright_run, tmp_path):
    image, _ = beads_image(diameter=2 * DIAMETER, count=4)
    lone = image.copy()
    lone[:, image.shape[1] // 4 :] = image.min()
    lone[image.shape[0] // 4 :] = image.min()
    file = stack(tmp_path / "stack.tif", lone, image)
    settings = Settings(diameter=2 * DIAMETER)
    rows, _ = rows_of(file, bright_run, tmp_path / "out", settings)
    assert counts(rows) == [1, 16]
    for row in rows:
        assert float(row["median_diameter_px"]) == pytest.approx(2 * DIAMETER, rel=0.05)


def test_going_on_gives_what_one_go_gives(bright_run, beads, haze, tmp_path):
    file = stack(tmp_path / "stack.tif", beads, haze, haze)
    whole, _ = rows_of(file, bright_run, tmp_path / "out")
    for page in ("p001", "p002"):
        (tmp_path / "out" / ".done" / f"stack_{page}.npz").unlink()
    again, found = rows_of(file, bright_run, tmp_path / "out", resume=True)
    assert found["skipped"] == 1
    assert again == whole
