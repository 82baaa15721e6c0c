"""Tables that other programs open."""

import csv

import numpy as np

from beadseg import tables
from beadseg.tables import rows_to_table, write_csv


def test_rows_with_lists_for_values_are_one_cell_each(tmp_path):
    rows = [{"a": (1, 2), "b": 1 / 3}, {"a": (3, 4), "c": None}]
    write_csv(tmp_path / "a.csv", [rows_to_table(rows)], digits=None)
    with open(tmp_path / "a.csv", newline="") as file:
        found = list(csv.reader(file))
    wanted = [["a", "b", "c"], ["(1, 2)", repr(1 / 3), ""], ["(3, 4)", "", ""]]
    assert found == wanted


def test_many_rows_are_all_there(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "ROWS", 7)
    table = {"n": np.arange(50), "half": np.arange(50) / 2}
    write_csv(tmp_path / "a.csv", [table, {"n": np.arange(3)}])
    with open(tmp_path / "a.csv", newline="") as file:
        found = list(csv.DictReader(file))
    assert [int(row["n"]) for row in found] == [*range(50), 0, 1, 2]
    assert [row["half"] for row in found[48:]] == ["24", "24.5", "", "", ""]
