import tomllib

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from beadseg.data.generated.write import write_generated
from beadseg.errors import BeadsegError
from beadseg.partial.verification import verify
from tests.calls import exit_code, rows_of


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
    assert exit_code("verify", folder, "-o", output, "--write") == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("SHORT generated_00000")
    assert any("1 of 2 are below 90 %" in line for line in lines)
    rows = rows_of(output / "completeness.csv")
    first = ["image", "file", "labelled", "missing", "completeness", "low", "high"]
    assert [*rows[0]][:7] == first and [*rows[0]][-1] == "wrong"
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


def test_the_mask_of_another_image_counts_for_nothing(tmp_path, capsys):
    folder = tmp_path / "mixed"
    write_generated(folder, count=3, size=128)
    masks = [folder / "masks" / f"generated_0000{i}.tif" for i in range(3)]
    masks[0].write_bytes(masks[1].read_bytes())
    assert exit_code("verify", folder, "-o", tmp_path / "out", "--write") == 1
    said = capsys.readouterr().out
    assert said.startswith("WRONG generated_00000  other image")
    assert "0 of 2 are below 90 %, and 1 more is wrong, not counted" in said
    result = verify(folder, tmp_path / "again", None, 0.9, False)
    assert result["completeness"] > 0.95 and result["wrong"] == 1
    assert result["images"][0]["completeness"] is None
    told = tomllib.loads((folder / "beads.toml").read_text())["completeness"]
    assert set(told) == {"generated_00001", "generated_00002"}


def test_masks_that_are_all_of_other_images_say_nothing_of_completeness(tmp_path):
    folder = tmp_path / "swapped"
    write_generated(folder, count=2, size=128)
    first, second = (folder / "masks" / f"generated_0000{i}.tif" for i in range(2))
    first.write_bytes(second.read_bytes())
    labels = tifffile.imread(second)
    second.unlink()  # its image has centres alone: only one mask is to be verified
    numbers = np.unique(labels)[1:]
    centres = ndimage.center_of_mass(labels > 0, labels, numbers)
    dots = np.zeros(labels.shape, np.uint16)
    dots[tuple(np.round(centres).astype(int).T)] = numbers
    (folder / "points").mkdir()
    tifffile.imwrite(folder / "points" / second.name, dots)
    result = verify(folder, tmp_path / "out", None, 0.9, True)
    assert result["completeness"] is None and result["exit_code"] == 1
    assert result["sentence"] == "the only mask does not belong to its image"
    page = (tmp_path / "out" / "index.html").read_text()
    assert "Every mask labels" not in page and "Beads are missing" not in page
