"""The table of formats says what the code does, and names tests that are there."""

from importlib.metadata import distribution
from pathlib import Path

import pytest

from beadseg.data.annotations import readers as labels
from beadseg.data.images import readers as images
from beadseg.inference.outputs.formats_table import FormatRow, format_rows
from beadseg.inference.outputs.kinds import OUTPUTS, TABLES

ROOT = Path(__file__).parents[3]


def test_every_kind_has_a_row():
    kinds = sum(map(len, (images.READERS, labels.READERS, OUTPUTS, TABLES)))
    assert len(format_rows()) == kinds + 1  # label images are read as images


@pytest.mark.parametrize("row", format_rows(), ids=lambda row: f"{row.use} {row.kind}")
def test_a_row_names_a_library_and_a_test_of_its_kind(row: FormatRow):
    if row.library:
        distribution(row.library)
    words = (row.kind, *(e[1:] for e in row.endings))
    assert [*ROOT.glob(f"tests/**/{row.tested_in}")] == [ROOT / row.test]
    text = (ROOT / row.test).read_text()
    assert any(word in text for word in words), f"{row.test} names none of {words}"
