"""Names that mean something elsewhere: to plots, tables, shells, terminals, disks."""

import csv
import io
import os
import shlex
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.figure import Figure

from beadseg.analysis.recommendation import _quoted
from beadseg.commands.diagnose import _filled
from beadseg.config import load_config
from beadseg.page import Page
from beadseg.quoting import (
    counted,
    for_cell,
    for_plot,
    is_printable,
    percent,
    printable,
    short_name,
)
from beadseg.tables import write_csv
from beadseg.training.evaluation import Sample
from beadseg.training.tracking import pictures

HOSTILE = [
    "$\\frac{$",
    "dose $x_{$ and $y^{$",
    "a\\$b$",
    "{0.__class__} %s {",
    "=cmd|' /C calc'!A0",
    "<img src=x onerror=alert(1)>",
    "$(touch PWNED) `id` ; rm -rf ~ #",
    'it\'s "quoted"',
    "two\nlines\r\x1b[31m",
    os.fsdecode(b"Gr\xf6\xdfe \xb5m"),
    "微球",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_plot_draws_every_name_as_it_is(name):
    figure = Figure()
    axes = figure.subplots()
    text = axes.set_title(for_plot(name))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph", UserWarning)
        figure.savefig(io.BytesIO(), format="png")
        drawn, is_formula = text._preprocess_math(text.get_text())
    assert not is_formula
    assert drawn == printable(name)


@pytest.mark.parametrize("name", HOSTILE)
def test_samples_of_every_name_are_drawn(name, tmp_path):
    grey = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
    ones = np.ones_like(grey)
    sample = Sample(name, grey, ones, ones, grey, 0.5)
    found = SimpleNamespace(samples=[sample], threshold=0.5)
    pictures.draw_samples(found, tmp_path / "samples.png")
    assert (tmp_path / "samples.png").stat().st_size > 1000
    assert [p.name for p in tmp_path.iterdir()] == ["samples.png"]


@pytest.mark.parametrize("start", ["=1+1", "+1", "-2+3", "@SUM(A1)"])
def test_no_cell_of_a_table_is_a_formula(start, tmp_path):
    names = [start, "plain", "\t=1", "\r\n=1"]
    table = {"image": np.array(names, object), "count": np.arange(-1, 3)}
    file = tmp_path / "t.csv"
    write_csv(file, [table])
    with open(file, newline="") as content:
        rows = list(csv.reader(content))
    assert rows[1] == [f"'{start}", "-1"]  # a number stays one
    assert rows[2:] == [["plain", "0"], ["%09=1", "1"], ["%0D%0A=1", "2"]]
    assert for_cell(-1.5) == -1.5 and for_cell("a=1") == "a=1"


@pytest.mark.parametrize("name", HOSTILE)
def test_a_command_to_paste_has_each_path_as_one_word(name):
    config = load_config("dice")
    config.data.dir = f"/data/{name}"
    run = Path(f"/runs/RUN DIR {name}")
    line = _filled("beadseg complete DIR --run RUN", run, config)
    assert shlex.split(line) == [
        "beadseg",
        "complete",
        f"/data/{name}",
        "--run",
        str(run),
    ]
    line = _filled("python -m beadseg.main --config=CONFIG", run, config)
    assert shlex.split(line)[-1] == f"--config.data.dir=/data/{name}"


@pytest.mark.parametrize("name", HOSTILE)
def test_a_docstring_of_a_config_ends_where_it_should(name):
    text = f'"""Settings for {_quoted(name)} of"""'
    if is_printable(name):
        assert eval(text) == f"Settings for {name} of"


@pytest.mark.parametrize("name", HOSTILE)
def test_a_page_shows_every_name_as_text(name, tmp_path):
    page = Page(name, name)
    page.section(name)
    page.table(["image", name], [[name, 1]])
    page.command(name)
    page.write(tmp_path / "p.html")
    text = (tmp_path / "p.html").read_text()
    assert "<img" not in text


@pytest.mark.parametrize("name", HOSTILE)
def test_a_message_is_one_line_of_valid_text(name):
    line = printable(name)
    assert len(line.splitlines()) == 1
    line.encode()
    assert "\x1b" not in line
    assert is_printable(line)


def test_bytes_that_are_no_text_can_be_read_off_the_name():
    assert printable(os.fsdecode(b"Bild_\xb5m")) == "Bild_%B5m"
    assert printable("a\nb") == "a%0Ab"
    assert printable("größe 微球 \u00a0") == "größe 微球 \u00a0"


@pytest.mark.parametrize("name", ["x" * 251, "微" * 85, "é" * 120, "🔬" * 60])
def test_a_long_name_is_cut_at_a_letter_and_stays_its_own(name):
    short = short_name(name)
    assert len(short.encode()) <= 200
    assert short_name(name + "y") != short
    assert short_name("short") == "short"
    stem = short.split("~")[0]
    assert name.startswith(stem) and len(stem.encode()) > 180


@pytest.mark.parametrize(
    ("count", "words"),
    [(0, "0 images"), (1, "1 image"), (2, "2 images"), (1200, "1,200 images")],
)
def test_only_one_is_singular(count, words):
    assert counted(count, "image") == words


def test_a_verb_goes_with_its_count():
    assert counted(1, "image is", "images are") == "1 image is"
    assert counted(3, "image is", "images are") == "3 images are"


@pytest.mark.parametrize(
    ("share", "digits", "words"),
    [(0.11, 0, "11 %"), (1, 0, "100 %"), (0.1234, 1, "12.3 %"), (-0.05, 1, "-5.0 %")],
)
def test_a_share_is_a_number_and_a_percent_sign_apart(share, digits, words):
    assert percent(share, digits) == words


def test_a_difference_has_its_sign():
    assert percent(0.05, 1, sign=True) == "+5.0 %"
    assert percent(-0.05, sign=True) == "-5 %"
