"""The page of a prediction, of folders as `beadseg predict` leaves them."""

import json
import re
import shutil
import subprocess
import sys
from urllib.parse import unquote
from xml.etree import ElementTree

import numpy as np
import pytest
from playwright.sync_api import sync_playwright

from beadseg.analysis.prediction import gallery, plots
from beadseg.analysis.prediction.found import grouped, join, read_found
from beadseg.analysis.prediction.page import order_of_doubt, write_report
from beadseg.errors import BeadsegError
from beadseg.inference import doubts
from beadseg.inference.outputs.measure import measure
from beadseg.inference.outputs.writers import write_png
from beadseg.inference.records import DONE, record_of, write_record

NASTY = "<script>alert(1)<_script> & \"$x$\" 'b' 数"
SETTINGS = {"beadseg": "1", "runs": [{"run": "a & <b>", "weights": "0f"}]}


def folder(where, counts, pixel_size=0.5, names="image{}_g{}", seed=0):
    """A prediction folder of images of so many beads; returns its rows."""
    random = np.random.default_rng(seed)
    for kind in (DONE, "overlays"):
        (where / kind).mkdir(parents=True)
    rows = []
    for i, count in enumerate(counts):
        empty = np.zeros((64, 64))
        about = measure(empty.astype(np.int32), empty, empty, threshold=0.5).image
        table = {
            "label": np.arange(1, count + 1),
            "diameter_px": random.lognormal(2, 0.2, count),
            "circularity": np.full(count, 0.9),
            "mean_intensity": random.normal(100, 5, count),
            "on_border": np.arange(count) % 10 == 9,
            "score": np.full(count, 0.8),
        }
        row = about | {
            "image": names.format(i, i % 2),
            "pixel_size_um": pixel_size,
            "count": count,
            "edge_corrected_count": float(count),
            "median_diameter_px": float(np.median(table["diameter_px"]))
            if count
            else None,
            "mean_score": 0.8 if count else None,
            "threshold": 0.5,
        }
        rows.append(row)
        write_record(record_of(where, row["image"]), row, table)
        picture = random.integers(0, 255, (60, 90, 3)).astype(np.uint8)
        write_png(where / "overlays" / f"{row['image']}.png", picture)
    doubts.mark(rows)
    return rows


def page_of(where, rows, **options):
    return write_report(read_found(where, rows, SETTINGS), **options).read_text()


def text_of(markup):
    return re.sub(r"<[^>]+>", " ", markup)


def test_the_page_tells_counts_sizes_groups_and_methods(tmp_path):
    rows = folder(tmp_path, [40] * 8)
    found = read_found(tmp_path, rows, SETTINGS)
    markup = write_report(found, re.compile(r"_(g\d)")).read_text()
    text = text_of(markup)
    sizes = found.beads["size"][~found.beads["on_border"].astype(bool)]
    assert len(found.image) == 320 and len(sizes) == 288
    assert f"{np.median(sizes):.4g} µm" in text
    assert "32 beads that touch the border" in text
    assert re.search(r"95 %: [\d.]+ to [\d.]+ %", text)  # of the CV
    area = 8 * 64 * 64 * 0.25e-6  # mm²
    assert f"{320 / area:,.0f}" in text and "Beads per mm²" in text
    assert "Mann-Whitney U" in text and "g0" in text and "g1" in text
    assert "segmented with beadseg 1" in text and "D[3,2]" in text
    assert markup.count("<img ") == 8
    assert {p.name for p in (tmp_path / "plots").iterdir()} == {
        f"{name}.{kind}"
        for name in ("sizes", "shapes", "groups")
        for kind in ("svg", "pdf")
    }
    assert (tmp_path / "plots" / "sizes.pdf").read_bytes().startswith(b"%PDF")
    assert "<svg" in (tmp_path / "plots" / "sizes.svg").read_text()


def test_nothing_is_loaded_and_every_link_leads_to_an_overlay(tmp_path):
    rows = folder(tmp_path, [3, 4], names="a #%?{}" + NASTY.replace("/", ""))
    markup = page_of(tmp_path, rows, group=re.compile(r"#%\?(.*)"))
    loaded = re.findall(r'(?:src=|url\(|@import )["\']?([^"\') ]+)', markup)
    assert all(target.startswith(("#", "data:")) for target in loaded)
    assert "<script" not in markup
    links = re.findall(r'<a href="([^#][^"]*)"', markup)
    assert len(links) == 2
    assert all((tmp_path / unquote(link)).is_file() for link in links)


def test_the_same_folder_gives_the_same_page(tmp_path):
    rows = folder(tmp_path, [30, 20])
    assert page_of(tmp_path, rows) == page_of(tmp_path, rows)


@pytest.mark.parametrize(
    ("counts", "says"),
    [
        ([], "0 beads in 0 images"),
        ([0, 0], "No bead was found"),
        ([1], "1 bead in 1 image;"),
        ([0, 1, 2], "With so few beads"),
    ],
)
def test_the_page_stands_for_few_beads_and_for_none(counts, says, tmp_path):
    text = text_of(page_of(tmp_path, folder(tmp_path, counts), group=re.compile("g")))
    assert says in text
    assert "nan" not in text.lower().split()


def test_without_a_pixel_size_sizes_are_in_px(tmp_path):
    text = text_of(page_of(tmp_path, folder(tmp_path, [30, 30], pixel_size=None)))
    assert "2 of 2 images have no pixel size" in text
    assert "diameter (px)" in text and "µm" not in text
    assert "Beads per image" in text


def test_where_one_image_lacks_its_pixel_size_no_sizes_are_mixed(tmp_path):
    rows = folder(tmp_path, [30, 30])
    rows[0]["pixel_size_um"] = None
    found = read_found(tmp_path, rows, SETTINGS)
    assert found.unit == "px"
    np.testing.assert_array_equal(found.beads["size"], found.beads["diameter_px"])


def test_a_hundred_thousand_beads_stay_a_small_page(tmp_path):
    markup = page_of(tmp_path, folder(tmp_path, [100_000]))
    assert "100,000" in markup
    assert len(markup) < 2e6


def test_beads_that_all_touch_the_border_are_measured_and_it_is_said(tmp_path):
    rows = folder(tmp_path, [1])
    table = {"label": np.ones(1, int), "diameter_px": np.full(1, 8.0)}
    found = join(rows, [table | {"on_border": np.ones(1, bool)}], tmp_path, SETTINGS)
    assert found.whole.all()
    assert "All beads touch the border" in text_of(write_report(found).read_text())


def test_images_in_doubt_come_first_with_their_reason(tmp_path):
    rows = folder(tmp_path, [30, 31, 32, 33])
    rows[2]["doubt"], rows[1]["mean_score"] = "coverage scores", 0.5
    found = read_found(tmp_path, rows, SETTINGS)
    assert order_of_doubt(found) == [2, 1, 0, 3]
    markup = write_report(found).read_text()
    says = {doubt.name: doubt.says for doubt in doubts.DOUBTS}
    assert says["coverage"] in text_of(markup)
    captions = re.findall(r"<figcaption>(image\d)", markup)
    assert captions == ["image2", "image1", "image0", "image3"]


def test_damaged_and_missing_files_leave_the_rest(tmp_path):
    rows = folder(tmp_path, [30, 31, 32])
    record_of(tmp_path, rows[0]["image"]).write_bytes(b"no archive")
    (tmp_path / "overlays" / f"{rows[1]['image']}.png").write_bytes(b"no picture")
    markup = page_of(tmp_path, rows, failed=1)
    assert "63 beads in 2 images" in markup
    assert markup.count("<img ") == 1
    assert "1 file could not be predicted" in markup
    shutil.rmtree(tmp_path / "overlays")
    assert "no overlays in this folder" in page_of(tmp_path, rows)


def test_of_very_many_images_the_first_pictures_are_shown(tmp_path, monkeypatch):
    monkeypatch.setattr(gallery, "MOST", 3)
    monkeypatch.setattr("beadseg.analysis.prediction.page.MOST", 3)
    markup = page_of(tmp_path, folder(tmp_path, [2] * 5))
    assert markup.count("<img ") == 3
    assert "The first 3 of 5 images" in markup


def test_groups_are_what_the_pattern_finds_in_order_of_their_numbers():
    rows = [{"image": f"{n}x_{day}"} for n in (100, 20) for day in "ab"]
    rows.append({"image": "blank"})
    assert grouped(rows, re.compile(r"(\d+)x")) == {
        "20": [2, 3], "100": [0, 1], "no group": [4],
    }  # fmt: skip
    assert list(grouped(rows, re.compile(r"(\d+)x_(.)"))) == [
        "20 a", "20 b", "100 a", "100 b", "no group",
    ]  # fmt: skip
    assert grouped(rows[:1], re.compile(r"\d+x")) == {"100x": [0]}


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    rows = folder(tmp_path, [3])
    (tmp_path / "plots").write_text("in the way")
    with pytest.raises(BeadsegError, match="cannot be written"):
        page_of(tmp_path, rows)


def test_the_page_is_made_without_jax(tmp_path):
    rows = folder(tmp_path, [3])
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    code = (
        "import sys, json; from pathlib import Path\n"
        "from beadseg.analysis.prediction.found import read_found\n"
        "from beadseg.analysis.prediction.page import write_report\n"
        "folder = Path(sys.argv[1])\n"
        "rows = json.loads((folder / 'rows.json').read_text())\n"
        "write_report(read_found(folder, rows, {}))\n"
        "assert 'jax' not in sys.modules and 'torch' not in sys.modules\n"
    )
    command = [sys.executable, "-c", code, tmp_path]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "report.html").exists()


def test_chromium_shows_it_at_desk_and_phone_and_opens_a_picture(tmp_path):
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("no chromium on this machine")
    rows = folder(tmp_path, [20] * 6)
    file = write_report(read_found(tmp_path, rows, SETTINGS), re.compile(r"_(g\d)"))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox"]
        )
        said = []
        for width, scheme in ((390, "dark"), (1280, "light")):
            shown = browser.new_page(
                viewport={"width": width, "height": 844}, color_scheme=scheme
            )
            shown.on("console", lambda message: said.append(message.text))
            shown.goto(file.as_uri())
            assert shown.evaluate("document.documentElement.scrollWidth") <= width
        assert shown.pdf(path=tmp_path / "page.pdf").startswith(b"%PDF")
        shown.locator("a:has(img)").first.click()
        assert shown.url.endswith(".png")
        browser.close()
    assert said == []


@pytest.mark.parametrize("spread", [0.6, 0.9, 1.6])
def test_log_axes_of_sizes_have_numbers_and_no_powers_at_their_ticks(spread, tmp_path):
    found = read_found(tmp_path, folder(tmp_path, [100] * 4), SETTINGS)
    random = np.random.default_rng(0)
    found.beads["size"][:] = random.lognormal(2.5, spread, len(found.image))
    write_report(found)
    drawn = ElementTree.parse(tmp_path / "plots" / "sizes.svg").iter()
    ticks = [tick for tick in drawn if tick.get("id", "").startswith("xtick_")]
    texts = ["".join(tick.itertext()).strip() for tick in ticks]
    sizes = [float(text) for text in texts if text]
    assert set(sizes) <= {m * 10.0**e for m in (1, 2, 5) for e in range(-3, 4)}
    assert len(set(sizes)) >= 3


def test_sizes_of_whole_pixels_are_no_comb():
    random = np.random.default_rng(0)
    areas = random.normal(37, 2, 3000).round()
    edges, _ = plots._edges(2 * np.sqrt(areas / np.pi))
    counts, _ = np.histogram(2 * np.sqrt(areas / np.pi), edges)
    inner = np.flatnonzero(counts)
    assert counts[inner[0] : inner[-1] + 1].min() > 0
    smooth = random.normal(7, 0.2, 3000)
    assert len(plots._edges(smooth)[0]) > 25


@pytest.mark.parametrize("sizes", [[7.0], [7.0] * 5, [9.0, 3.0, 5.0, 5.0]])
def test_the_curve_up_to_a_size_is_the_share_of_beads_of_at_most_that_size(sizes):
    sizes = np.array(sizes)
    at, share = plots._cumulative(sizes, np.ones_like(sizes))
    assert (at[0], share[0]) == (sizes.min(), 0)
    assert (at[-1], share[-1]) == (sizes.max(), 100)
    assert np.all(np.diff(at) >= 0) and np.all(np.diff(share) >= 0)
    for size in np.unique(sizes):
        assert share[at <= size].max() == pytest.approx(100 * np.mean(sizes <= size))
