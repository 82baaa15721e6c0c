"""`beadseg generate`: the files against the images that they were drawn as."""

import numpy as np
import pytest
import tifffile

from beadseg.data.generated.render import generate
from beadseg.data.generated.settings import GeneratedSettings
from tests.calls import exit_code


def generated(*arguments) -> int:
    return exit_code("generate", *arguments) or 0


def read(folder):
    return [tifffile.imread(file) for file in sorted(folder.iterdir())]


def test_files_hold_the_images_drawn_of_the_modalities_asked_for(tmp_path):
    folder = tmp_path / "beads"
    asked = ("--count", 3, "--size", 96, "--seed", 7, "--modalities", "bright_field")
    assert generated(folder, *asked) == 0
    settings = GeneratedSettings(size=96, modalities=("bright_field",))
    drawn = [generate(settings, 7, index) for index in range(3)]
    assert [d.modality for d in drawn] == ["bright_field"] * 3
    for found, expected in zip(read(folder / "images"), drawn, strict=True):
        np.testing.assert_array_equal(found, expected.image)
    for found, expected in zip(read(folder / "masks"), drawn, strict=True):
        np.testing.assert_array_equal(found, expected.labels)


def test_damaged_masks_stand_beside_complete_ones(tmp_path):
    folder = tmp_path / "beads"
    damage = ("--damage", "drop_random", "--amount", 0.5)
    assert generated(folder, "--count", 2, "--size", 96, *damage) == 0
    for mask, truth in zip(read(folder / "masks"), read(folder / "truth"), strict=True):
        kept, every = np.unique(mask[mask > 0]), np.unique(truth[truth > 0])
        assert abs(len(kept) - 0.5 * len(every)) <= 1
        np.testing.assert_array_equal(mask, np.where(np.isin(truth, kept), truth, 0))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--modalities", "x-ray"), "unknown modality 'x-ray'"),
        (("--preset", "stars"), "unknown preset 'stars'"),
        (("--count", 0), "give at least 1 image"),
        (("--seed", -1), "give a number from 0"),
        (("--damage", "rust", "--amount", 1), "unknown label damage 'rust'"),
        (("--amount", 0.5), "--amount 0.5: say of what with --damage"),
        (("--damage", "erode"), "--damage erode: say how much with --amount"),
    ],
)
def test_what_cannot_be_drawn_is_one_line(tmp_path, capsys, arguments, said):
    assert generated(tmp_path / "new", *arguments) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_a_folder_that_holds_something_is_left_alone(tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("mine")
    assert generated(tmp_path, "--count", 1) == 2
    assert "is not empty" in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["notes.txt"]


def test_a_file_in_place_of_the_folder_is_named_as_such(tmp_path, capsys):
    (tmp_path / "new").write_text("mine")
    assert generated(tmp_path / "new", "--count", 1) == 2
    assert f"{tmp_path / 'new'}: is a file, not a folder" in capsys.readouterr().err


def test_what_a_kill_left_before_the_first_file_is_nothing(tmp_path):
    left = tmp_path / "new/images/.generated_00000.tif.4242.1852661613162"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"II*")
    assert generated(tmp_path / "new", "--count", 1, "--size", 64) == 0
    assert not left.exists()
    files = [path.name for path in (tmp_path / "new").rglob("*.tif")]
    assert files == ["generated_00000.tif"] * 2
