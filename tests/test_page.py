"""Tests of the HTML page: escaped, self-contained, read without error by a browser."""

import re
import shutil
import subprocess

import numpy as np
import pytest
from playwright.sync_api import sync_playwright

from beadseg.errors import BeadsegError
from beadseg.page import Page

NASTY = "<script>alert('x')</script> & \"b\""


@pytest.fixture(scope="module")
def full_page() -> Page:
    page = Page(f"Title {NASTY}", f"Lead {NASTY}")
    for kind in ("good", "warn", "bad", "note"):
        page.callout(kind, f"Callout {NASTY}", f"Heading {NASTY}")
    page.numbers([(f"what {NASTY}", 0.123456, f"remark {NASTY}")])
    for number in range(4):
        page.section(f"Section {number} {NASTY}")
    page.subsection(NASTY)
    page.paragraph(f"Text with `code` {NASTY}")
    page.items([NASTY])
    page.table([NASTY, "n"], [[NASTY, 1], ["b", 2.5], ["c", None]], NASTY)
    for _ in range(2):
        with page.plot(f"Plot {NASTY}", 1, 2) as (left, right):
            left.plot([0, 1], [0, 1], label="a < b & c")
            left.legend()
            right.bar([0, 1], [2, 3])
    page.legend([((1, 0.5, 0), NASTY)])
    page.picture(np.zeros((8, 9)), f"Picture {NASTY}")
    page.pictures([(np.zeros((300, 300, 3), np.uint8), NASTY)])
    page.command(f"beadseg predict {NASTY}")
    return page


def test_text_is_escaped_everywhere(full_page):
    markup = full_page.html()
    assert "<script" not in markup
    assert markup.count("&lt;script&gt;") >= 20
    assert "<code>code</code>" in markup


def test_nothing_is_loaded_from_elsewhere(full_page):
    markup = full_page.html()
    loaded = re.findall(r"(?:src=|href=|url\(|@import )[\"']?([^\"') ]+)", markup)
    assert loaded
    assert all(target.startswith(("#", "data:")) for target in loaded)


def test_ids_differ_within_a_page(full_page):
    ids = re.findall(r'\bid="([^"]+)"', full_page.html())
    assert len(ids) == len(set(ids))
    used = re.findall(r'(?:url\(#|href="#)([^")]+)', full_page.html())
    assert set(used) <= set(ids)


def test_the_same_content_gives_the_same_bytes():
    pages = []
    for _ in range(2):
        page = Page("a")
        with page.plot("b") as axes:
            axes.plot([1, 2])
        pages.append(page.html())
    assert pages[0] == pages[1]


def test_columns_of_numbers_are_set_right():
    page = Page("a")
    page.table(
        ["name", "count", "length", "spread", "date"],
        [
            ["a", 1, "12 px", "0.91 ± 0.02", "12 May"],
            ["7", None, "3.5 px", float("nan"), "1 June"],
        ],
    )
    cells = re.findall(r"<td( class=\"number\")?>([^<]*)", page.html())
    right = [text for mark, text in cells if mark]
    assert right == ["1", "12 px", "0.91 ± 0.02", "–", "3.5 px", "–"]


def test_table_without_rows_has_its_header():
    page = Page("a")
    page.table(["x", "y"], [])
    assert page.html().count("<th ") == 2


def test_page_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BeadsegError, match="cannot be written"):
        Page("a").write(tmp_path / "file" / "page.html")


def test_chromium_shows_a_page_without_complaint(full_page, tmp_path):
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("no chromium on this machine")
    full_page.write(tmp_path / "page.html")
    options = (
        "--headless --no-sandbox --disable-gpu --no-first-run --disable-sync "
        "--disable-background-networking --disable-component-update "
        "--disable-quic --enable-logging=stderr --dump-dom"
    ).split()
    shown = subprocess.run(
        [chromium, *options, f"--user-data-dir={tmp_path / 'profile'}",
         (tmp_path / "page.html").as_uri()],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert "CONSOLE" not in shown.stderr
    assert shown.stdout.count("</svg>") == 2
    assert shown.stdout.count("<h2 ") == 4


def test_on_a_phone_all_of_a_table_with_texts_is_in_sight(tmp_path):
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("no chromium on this machine")
    page = Page("Phone")
    page.numbers([("range", "320x – 10240x", "linear"), ("beads", "1,052", "")])
    page.command("beadseg predict IMAGES " + "--run RUN " * 9)
    long = "a sentence of some length that says why " * 3
    page.table(["field", "value", "because"], [["rate", 0.001, long]], long)
    page.table(["image", "beads"], [["a.tif", 3]])
    page.write(tmp_path / "page.html")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox"]
        )
        shown = browser.new_page(viewport={"width": 390, "height": 844})
        shown.goto((tmp_path / "page.html").as_uri())
        width = shown.evaluate("document.documentElement.scrollWidth")
        cells = shown.locator("td, caption")
        boxes = [cells.nth(i).bounding_box() for i in range(cells.count())]
        browser.close()
    assert width <= 390
    assert len(boxes) == 6
    assert all(box["x"] >= 0 and box["x"] + box["width"] <= 390 for box in boxes)


def test_on_paper_a_table_of_long_names_fits(tmp_path):
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("no chromium on this machine")
    page = Page("Paper")
    names = ["image", "labelled", "missing", "completeness", "interval"]
    names += ["by components", "mask-free", "model"]
    row = ["2560x_2025-05-16_00-59-00_002_grid_r3_c4", 1196, 2704, "100 %"]
    page.table(names, [[*row, "86 – 100 %", *["100 %"] * 3]])
    page.write(tmp_path / "page.html")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox"]
        )
        shown = browser.new_page(viewport={"width": 680, "height": 962})  # A4, 15 mm
        shown.emulate_media(media="print")
        shown.goto((tmp_path / "page.html").as_uri())
        width = shown.evaluate("document.documentElement.scrollWidth")
        browser.close()
    assert width <= 680
