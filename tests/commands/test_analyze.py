import json
import subprocess
import sys

import numpy as np
import pytest

from beadseg.analysis import fingerprint
from beadseg.config import load_config
from beadseg.data.generated.write import write_generated
from tests.calls import exit_code


@pytest.fixture
def analyze(tmp_path, monkeypatch):
    """Runs the command; returns its result, what it printed and the exit code."""
    monkeypatch.setenv("BEADSEG_CACHE", str(tmp_path / "cache"))

    def of(folder, *more):
        out = tmp_path / "out"
        return out, exit_code("analyze", folder, "-o", out, *more)

    return of


def test_page_numbers_and_settings_are_written(beads_folder, analyze, capsys):
    out, code = analyze(beads_folder, "--config=configs/focal.py")
    assert code == 0
    result = json.loads((out / "analysis.json").read_text())
    assert result["overview"]["labelled_images"] == 8
    assert result["overview"]["source"] == "masks"
    page = (out / "analysis.html").read_text()
    assert "Recommended settings" in page and "The settings given" in page
    config = load_config(str(out / "recommended.py"))
    assert config.data.dir == str(beads_folder.resolve())
    said = capsys.readouterr().out
    assert result["regime"]["sentence"] in said and "recommended.py" in said


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--channel", "7"), "there is no channel 7 in 1: give 0 with --channel"),
        (("--group-pattern", "("), "--group-pattern '(' is not a regular expression"),
        (("--group-pattern", "a"), "--group-pattern 'a' has no group"),
    ],
)
def test_wrong_use_names_the_option(beads_folder, analyze, capsys, more, words):
    assert analyze(beads_folder, *more)[1] == 2
    line = capsys.readouterr().err
    assert words in line and line.count("\n") == 1 and "data." not in line


def test_an_image_is_looked_at_once(beads_folder, analyze, monkeypatch):
    looked = []

    def estimate(image):
        looked.append(image.tobytes())
        return whole(image)

    whole = fingerprint.estimate
    monkeypatch.setattr(fingerprint, "estimate", estimate)
    analyze(beads_folder)
    assert len(looked) == len(set(looked)) == 8


@pytest.mark.parametrize("command", ["analyze", "verify", "diagnose"])
def test_help_starts_without_jax(command):
    code = (
        "import sys; from beadseg.cli import main\n"
        f"try: main(['{command}', '--help'])\n"
        "except SystemExit: sys.exit('jax' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True)
    assert done.returncode == 0, done.stderr


def test_images_without_masks_get_a_page_and_no_settings(write, analyze, capsys):
    rng = np.random.default_rng(0)
    folder = write({"a": rng.integers(0, 255, (64, 64), np.uint8)})
    out, code = analyze(folder)
    assert code == 0
    assert (out / "analysis.html").exists()
    assert not (out / "recommended.py").exists()
    assert "nothing to train on" in capsys.readouterr().out


@pytest.mark.parametrize("ours", [True, False])
def test_a_config_of_an_older_analysis_goes_with_it(write, analyze, ours):
    """Where nothing is recommended any more; a file of somebody else stays."""
    rng = np.random.default_rng(0)
    images = {name: rng.integers(0, 255, (64, 64), np.uint8) for name in "abcd"}
    mask = np.zeros((64, 64), np.uint8)
    mask[20:30, 20:30] = 1
    folder = write(images, dict.fromkeys(images, mask))
    out, _ = analyze(folder)
    config = out / "recommended.py"
    assert config.exists()
    if not ours:
        config.write_text('"""My own."""\n')
    for file in (folder / "masks").iterdir():
        file.unlink()
    _, code = analyze(folder)
    assert code == 0 and config.exists() == (not ours)
    assert "recommended.py" not in (out / "analysis.html").read_text()


@pytest.mark.parametrize("value", [0, 255])
def test_empty_and_full_masks_get_a_page(write, analyze, value):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (64, 64), np.uint8)
    out, code = analyze(write({"a": image}, {"a": np.full((64, 64), value, np.uint8)}))
    assert code == 0
    word = "full" if value else "empty"
    assert f"Masks that are {word}" in (out / "analysis.html").read_text()
    assert not (out / "recommended.py").exists()


def test_one_labelled_image_is_too_few_to_train_on(write, analyze, capsys):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (64, 64), np.uint8)
    mask = np.zeros((64, 64), np.uint8)
    mask[20:30, 20:30] = 1
    out, code = analyze(write({"a": image}, {"a": mask}))
    assert code == 0
    assert not (out / "recommended.py").exists()
    assert "training needs two" in (out / "analysis.html").read_text()
    assert "training needs two" in capsys.readouterr().out


def test_a_folder_without_a_readable_image_is_one_line(write, analyze, capsys):
    folder = write({"a": np.zeros((64, 64), np.uint8)})
    (folder / "images" / "a.tif").write_bytes(b"nothing")
    _, code = analyze(folder)
    assert code == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_an_image_whose_mask_is_left_out_is_shown_without_it(tmp_path, analyze, capsys):
    write_generated(tmp_path / "mixed", count=3, size=128)
    masks = sorted((tmp_path / "mixed" / "masks").iterdir())
    masks[0].write_bytes(masks[1].read_bytes())
    out, code = analyze(tmp_path / "mixed")
    assert code == 0
    assert "the mask belongs to another image" in capsys.readouterr().out
    rows = json.loads((out / "analysis.json").read_text())["images"]
    assert [row["mask"] is None for row in rows] == [True, False, False]
    page = (out / "analysis.html").read_text()
    shown = [page.partition(f"{row['name']}: {row['count']} seen")[2] for row in rows]
    in_mask = [text.lstrip().startswith(",") for text in shown]
    assert all(shown) and in_mask == [False, True, True]


def test_a_folder_whose_only_mask_is_left_out_says_why(tmp_path, analyze, capsys):
    write_generated(tmp_path / "swapped", count=2, size=128)
    first, second = sorted((tmp_path / "swapped" / "masks").iterdir())
    second.replace(first)
    out, code = analyze(tmp_path / "swapped")
    assert code == 0 and not (out / "recommended.py").exists()
    said = capsys.readouterr().out
    assert f"the first: {first}: the mask seems to belong to another image" in said
    assert exit_code("baseline", tmp_path / "swapped") == 2
    assert "seems to belong to another image" in capsys.readouterr().err
