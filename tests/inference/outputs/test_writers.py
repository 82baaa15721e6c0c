"""Files of a prediction that other programs open."""

import time
import zipfile

import numpy as np
import openpyxl
import pytest

from beadseg.data.annotations.tables import cells
from beadseg.errors import BeadsegError
from beadseg.inference.outputs import writers

SQUARE = np.array([(0, 0), (0, 4), (4, 4), (4, 0)], np.float32)


@pytest.mark.parametrize(
    "outlines",
    [[], [SQUARE], [SQUARE + i for i in range(3)], [SQUARE * 300.5]],
)
def test_rois_are_the_same_bytes_at_any_time(tmp_path, monkeypatch, outlines):
    beads = range(1, len(outlines) + 1)
    written = []
    for seconds in (0, 1e8, 1.7e9):
        now = time.gmtime(seconds)
        monkeypatch.setattr(time, "localtime", lambda *_, now=now: now)
        writers.write_rois(tmp_path / "a.zip", beads, outlines)
        written.append((tmp_path / "a.zip").read_bytes())
    assert written[0] == written[1] == written[2]
    with zipfile.ZipFile(tmp_path / "a.zip") as rois:
        assert rois.namelist() == [f"{bead:05d}.roi" for bead in beads]


TABLES = [
    {"image": np.array(["=1+2", "Kügelchen µm"], object), "area": np.array([1 / 3, 2])},
    {
        "image": np.array(["x"], object),
        "area": np.array([np.nan]),
        "on": np.array([True]),
    },
]
ROWS = [
    ("image", "area", "on"),
    ("=1+2", 0.333333, None),
    ("Kügelchen µm", 2, None),
    ("x", None, True),
]


def sheets(file):
    return [
        list(sheet.iter_rows(values_only=True))
        for sheet in openpyxl.load_workbook(file).worksheets
    ]


def test_excel_holds_numbers_and_no_formula(tmp_path):
    writers.write_table(tmp_path / "a.xlsx", TABLES)
    assert sheets(tmp_path / "a.xlsx")[:-1] == [ROWS]
    kinds = [c.data_type for c in openpyxl.load_workbook(tmp_path / "a.xlsx").active[2]]
    assert kinds[:2] == ["s", "n"]


def test_excel_goes_on_in_another_sheet(tmp_path, monkeypatch):
    monkeypatch.setattr(writers, "SHEET_ROWS", 3)
    writers.write_table(tmp_path / "a.xlsx", TABLES)
    assert sheets(tmp_path / "a.xlsx")[:-1] == [ROWS[:3], [ROWS[0], ROWS[3]]]


def test_excel_of_nothing_is_an_empty_sheet(tmp_path):
    writers.write_table(tmp_path / "a.xlsx", [])
    assert sheets(tmp_path / "a.xlsx") == [[]]
    writers.write_table(tmp_path / "b.xlsx", [{"image": np.array([], object)}])
    assert sheets(tmp_path / "b.xlsx")[:-1] == [[("image",)]]


def test_excel_files_are_the_same_bytes_for_the_same_table(tmp_path):
    for name in "ab":
        writers.write_table(tmp_path / f"{name}.xlsx", TABLES)
    assert (tmp_path / "a.xlsx").read_bytes() == (tmp_path / "b.xlsx").read_bytes()


def test_excel_sums_up_and_says_what_its_columns_are(tmp_path):
    table = {"image": np.array(["a", "b"], object), "area_px": np.array([2, 6])}
    writers.write_table(tmp_path / "a.xlsx", [table])
    head, image, area = sheets(tmp_path / "a.xlsx")[-1]
    assert head == ("column", "unit", "meaning", "n", "mean", "sd", "min", "max")
    assert image[0] == "image" and image[3:] == (None,) * 5
    assert area == ("area_px", "px", "area", 2, 4, 2, 2, 6)


def test_csv_for_excel_with_a_decimal_comma(tmp_path):
    writers.write_table(tmp_path / "a.csv", TABLES, "excel-eu")
    assert (tmp_path / "a.csv").read_bytes().decode("utf-8") == (
        "\ufeffimage;area;on\r\n'=1+2;0,333333;\r\nKügelchen µm;2;\r\nx;;1\r\n"
    )
    written = cells((tmp_path / "a.csv").read_text("utf-8-sig"))
    writers.write_table(tmp_path / "b.csv", TABLES)
    assert written == cells((tmp_path / "b.csv").read_text("utf-8"))


def test_another_ending_is_one_line(tmp_path):
    with pytest.raises(BeadsegError, match="ends in .csv or .parquet or .xlsx"):
        writers.write_table(tmp_path / "a.txt", TABLES)
