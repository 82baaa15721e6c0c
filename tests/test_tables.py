"""Tables that other programs open."""

import csv

import numpy as np
import pandas
import pytest

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


@pytest.mark.parametrize("dialect", tables.DIALECTS)
@pytest.mark.parametrize("digits", [None, 6])
def test_another_library_reads_what_each_kind_of_column_holds(
    tmp_path, dialect, digits
):
    rng = np.random.default_rng(0)
    sizes = np.concatenate([rng.lognormal(0, 9, 60), [np.nan, -np.inf, 0, 1e-300]])
    count = len(sizes)
    table = {
        "size": sizes,
        "small": rng.normal(size=count).astype(np.float32),
        "number": rng.integers(-9, 9, count),
        "touches": rng.random(count) > 0.5,
        "image": np.array([f"a;{i % 3},b" for i in range(count)]),
        "formula": np.full(count, "=1+1", object),
        "some": np.array([None, "x", 2.5, 7] * (count // 4), object),
    }
    write_csv(tmp_path / "a.csv", [table], dialect, digits)
    separator, point, encoding, _ = tables.DIALECTS[dialect]
    read = pandas.read_csv(
        tmp_path / "a.csv",
        sep=separator,
        decimal=point,
        encoding=encoding,
    )
    close = {"rtol": 1e-15 if digits is None else 10.0**-digits * 5}
    np.testing.assert_allclose(read["size"], sizes, **close)
    np.testing.assert_allclose(read["small"], table["small"], **close)
    for name in ("number", "touches"):
        np.testing.assert_array_equal(read[name], table[name])
    assert read["image"].tolist() == table["image"].tolist()
    assert set(read["formula"]) == {"'=1+1"}
    assert read["some"][:4].fillna("").tolist() == ["", "x", f"2{point}5", "7"]
