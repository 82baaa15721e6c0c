import csv
import tomllib

import numpy as np
import pytest
import tifffile

from beadseg.cli import main
from beadseg.data.export import write_generated
from beadseg.errors import BeadsegError
from beadseg.partial.verification import verify


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("verify") / "half"
    write_generated(folder, count=2, size=128, damage="drop_random", amount=0.6)
    complete = folder / "truth" / "generated_00001.tif"
    (folder / "masks" / complete.name).write_bytes(complete.read_bytes())
    (folder / "beads.toml").write_text(
        'pixel_size = 0.5 # um\ncompleteness = 0.3\n\n[group]\n"a" = "b"\n'
    )
    return folder


def test_masks_that_fall_short_are_said_shown_and_written(folder, tmp_path, capsys):
    output = tmp_path / "out"
    with pytest.raises(SystemExit) as stop:
        main(["verify", str(folder), "-o", str(output), "--write"])
    assert stop.value.code == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("SHORT generated_00000")
    assert any("1 of 2 are below 90%" in line for line in lines)
    table = (output / "completeness.csv").read_text()
    rows = list(csv.DictReader(table.splitlines()))
    assert [row["passes"] for row in rows] == ["False", "True"]
    assert float(rows[0]["completeness"]) == pytest.approx(0.4, abs=0.15)
    assert float(rows[0]["low"]) < 0.4 < float(rows[0]["high"])
    assert "looks missing" in (output / "index.html").read_text()
    told = tomllib.loads((folder / "beads.toml").read_text())
    assert told["pixel_size"] == 0.5
    share = told["completeness"]["generated_00000"]
    assert share == pytest.approx(float(rows[0]["completeness"]), abs=1e-3)


def test_a_folder_without_masks_is_refused(tmp_path):
    (tmp_path / "images").mkdir()
    tifffile.imwrite(tmp_path / "images" / "a.tif", np.eye(64))
    with pytest.raises(BeadsegError, match="no image has a mask"):
        verify(tmp_path, tmp_path / "out", None, 0.9, False)


def test_a_share_out_of_range_is_refused(tmp_path):
    with pytest.raises(BeadsegError, match="--min-completeness 90"):
        verify(tmp_path, tmp_path / "out", None, 90, False)
