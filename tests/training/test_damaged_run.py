"""Files of a run that a disk, a copy or a hand has spoilt: what is whole is used."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from beadseg import cli
from beadseg.errors import BeadsegError
from beadseg.files import folder_lock
from beadseg.inference.run import load_run
from beadseg.training.loop import train
from beadseg.training.run import Run
from beadseg.training.tracking.tracker import read_rows
from tests.calls import exit_code
from tests.tiny import FOUR_IMAGES, tiny_config


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return tiny_config(
        data__cache_dir=str(tmp_path_factory.mktemp("cache")),
        model__depth=1,
        **FOUR_IMAGES,
    )


@pytest.fixture(scope="module")
def whole(config, tmp_path_factory):
    """A run at its end, with the best and the last checkpoint."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    train(config, folder, "whole")
    return folder


@pytest.fixture
def run(whole, tmp_path):
    shutil.copytree(whole, tmp_path / "run")
    return tmp_path / "run"


def same_weights(a: Path, b: Path) -> bool:
    with np.load(a / "weights.npz") as x, np.load(b / "weights.npz") as y:
        return x.files == y.files and all((x[k] == y[k]).all() for k in x.files)


def spoil(file: Path, how: str) -> None:
    content = file.read_bytes()
    match how:
        case "empty":
            file.write_bytes(b"")
        case "cut":
            file.write_bytes(content[: len(content) // 2])
        case "noise":
            file.write_bytes(bytes(range(256)) * 4)
        case "zeros":
            file.write_bytes(bytes(len(content)))
        case "list":
            file.write_text("[1, 2]")
        case "table":
            file.write_text("{}")
        case "deep":
            file.write_text("[" * 100_000)
        case "gone":
            file.unlink()


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("summary.json", "cut"),
        ("summary.json", "noise"),
        ("summary.json", "deep"),
        ("summary.json", "list"),
        ("weights.npz", "empty"),
        ("weights.npz", "cut"),
    ],
)
def test_what_training_wrote_last_is_written_anew(name, how, run, whole, config):
    spoil(run / name, how)
    found = train(config, run, "run")
    before = json.loads((whole / "summary.json").read_text())
    for field in ("best_jaccard", "best_epoch", "threshold", "verdict", "epochs"):
        assert found[field] == before[field]
    assert same_weights(run, whole)
    assert json.loads((run / "summary.json").read_text()) == found


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("dataset.json", "cut"),
        ("dataset.json", "list"),
        ("dataset.json", "table"),
        ("split.json", "table"),
        ("split.json", "noise"),
        ("versions.json", "gone"),
    ],
)
def test_what_can_be_told_again_is_written_anew(name, how, run, whole, config):
    before = json.loads((whole / name).read_text())
    spoil(run / name, how)
    (run / "summary.json").unlink()
    train(config, run, "run")
    assert json.loads((run / name).read_text()) == before


@pytest.mark.parametrize("how", ["empty", "noise", "list", "deep"])
def test_lost_settings_cost_one_file(how, run, whole, config):
    spoil(run / "config.json", how)
    with pytest.raises(BeadsegError, match="move this one file away") as error:
        train(config, run, "run")
    assert len(str(error.value).splitlines()) == 1
    (run / "config.json").unlink()
    (run / "summary.json").unlink()
    train(config, run, "run")
    assert same_weights(run, whole)


@pytest.mark.parametrize(
    "damage", [b"\xe5\x00\xff", b"3\n[]\n{}\n", b'{"step": "x"}\n']
)
def test_damaged_lines_of_the_log_are_left_out(damage, run, whole, config):
    lines = (run / "metrics.jsonl").read_bytes().splitlines(keepends=True)
    (run / "metrics.jsonl").write_bytes(b"".join([lines[0], damage, b"\n", *lines[1:]]))
    assert read_rows(run / "metrics.jsonl") == read_rows(whole / "metrics.jsonl")
    (run / "metrics.jsonl").write_bytes(damage)
    (run / "summary.json").unlink()
    found = train(config, run, "run")
    assert found["best_jaccard"] == pytest.approx(
        json.loads((whole / "summary.json").read_text())["best_jaccard"], abs=1e-6
    )


@pytest.fixture(scope="module")
def longer(config):
    longer = config.copy_and_resolve_references()
    longer.train.epochs = 4
    return longer


@pytest.fixture(scope="module")
def interrupted(longer, tmp_path_factory):
    """A run with two checkpoints, the best and that of an interruption; its end."""
    folder = tmp_path_factory.mktemp("interrupted")
    stopped_at(longer, folder / "run", 2)
    assert len(list((folder / "run" / "checkpoints").iterdir())) == 2
    shutil.copytree(folder / "run", folder / "end")
    train(longer, folder / "end", "run")
    return folder


# Orbax never asks its readers for their errors when one of them has failed.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore:coroutine.*was never awaited:RuntimeWarning")
@pytest.mark.parametrize(
    ("spoilt", "how"),
    [
        ("state/d/*", "empty"),
        ("state/d/*", "noise"),
        ("state/manifest.ocdbt", "cut"),
        ("state/_METADATA", "gone"),
        ("iterator/*.json", "empty"),
        ("_CHECKPOINT_METADATA", "noise"),
    ],
)
def test_of_checkpoints_the_last_good_one_is_taken(
    spoilt, how, interrupted, longer, tmp_path, capsys
):
    """The bits in the end are those of a run that nothing befell."""
    folder, end = tmp_path / "run", interrupted / "end"
    shutil.copytree(interrupted / "run", folder)
    last = max((folder / "checkpoints").iterdir(), key=lambda path: int(path.name))
    found = list(last.glob(spoilt))
    assert found
    for file in found:
        spoil(file, how)
    train(longer, folder, "run")
    assert same_weights(folder, end)
    rows = [read_rows(f / "metrics.jsonl") for f in (folder, end)]
    assert [r["step"] for r in rows[0]] == [r["step"] for r in rows[1]]


def stopped_at(config, folder, more):
    """A run that was interrupted some steps after its second epoch."""
    at = 2 * config.train.steps_per_epoch + more
    taken = Run.train_step

    def take(self, batch):
        taken(self, batch)
        if self.step == at:
            os.kill(os.getpid(), 15)

    Run.train_step = take
    try:
        with pytest.raises(BeadsegError, match="saved at step"):
            train(config, folder, "run")
    finally:
        Run.train_step = taken


def test_where_all_checkpoints_are_damaged_it_is_one_line(run, config):
    (run / "summary.json").unlink()
    for file in (run / "checkpoints").glob("*/state/d/*"):
        file.write_bytes(b"")
    with pytest.raises(BeadsegError, match="checkpoint cannot be read") as error:
        train(config, run, "run")
    assert f"{run / 'checkpoints'}/" in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def edit(file: Path, change) -> None:
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("config.json", lambda c: c["model"].update(depth=33)),
        ("config.json", lambda c: c["model"].update(width=10**12)),
        ("config.json", lambda c: c["model"].update(width="wide")),
        ("config.json", lambda c: c["model"].update(depth=2.5)),
        ("config.json", lambda c: c.update(model=[1])),
        ("config.json", lambda c: c.update(data=None)),
        ("config.json", lambda c: c["data"].update(channel=-1)),
        ("config.json", lambda c: c["data"].update(channel=[1, 2])),
        ("config.json", lambda c: c["data"].update(channel="x")),
        ("config.json", lambda c: c["data"].update(stack=None)),
        ("config.json", lambda c: c["data"].update(stack=["max"])),
        ("dataset.json", lambda c: c.update(scale=-1)),
        ("dataset.json", lambda c: c.update(scale=float("nan"))),
        ("dataset.json", lambda c: c.update(scale="2")),
        ("dataset.json", lambda c: c.update(bead_diameter_px=1e300)),
        ("dataset.json", lambda c: c["normalise"].update(low=99, high=1)),
        ("dataset.json", lambda c: c["normalise"].update(high=float("inf"))),
        ("dataset.json", lambda c: c["normalise"].update(flatten_sigma=-3)),
        ("dataset.json", lambda c: c.update(normalise=[])),
        ("dataset.json", lambda c: c.update(sizes=[26, 5.5])),
        ("dataset.json", lambda c: c.update(sizes=7)),
    ],
)
def test_numbers_that_cannot_be_are_one_line(name, change, run):
    edit(run / name, change)
    with pytest.raises(BeadsegError) as error:
        load_run(run)
    assert len(str(error.value).splitlines()) == 1
    assert str(run) in str(error.value) or "model." in str(error.value)


@pytest.mark.parametrize("threshold", ["x", None, 7, float("nan"), [0.5]])
def test_a_threshold_that_cannot_be_is_taken_from_the_log(threshold, run, whole):
    edit(run / "summary.json", lambda s: s.update(threshold=threshold))
    found = load_run(run)
    assert found.threshold == load_run(whole).threshold
    assert any("threshold" in note for note in found.notes)


@pytest.mark.parametrize("how", ["empty", "noise", "list", "zeros"])
def test_weights_that_are_no_arrays_are_named_so(how, run):
    spoil(run / "weights.npz", how)
    (note,) = load_run(run).notes
    assert "weights.npz: damaged (it is no .npz file): copy it again" in note


def test_weights_that_are_lost_are_no_run_that_goes_on(run):
    spoil(run / "weights.npz", "gone")
    shutil.rmtree(run / "checkpoints")
    with pytest.raises(BeadsegError, match="is missing.*copy the run folder again"):
        load_run(run)
    (run / "summary.json").unlink()
    with pytest.raises(BeadsegError, match="never reached a checkpoint"):
        load_run(run)


@pytest.mark.parametrize("how", ["empty", "cut", "noise"])
def test_damaged_weights_are_taken_from_the_best_checkpoint(how, run, whole):
    spoil(run / "weights.npz", how)
    found, before = load_run(run), load_run(whole)
    assert str(found.weights.params) == str(before.weights.params)
    assert any("damaged" in note for note in found.notes)


@pytest.mark.parametrize("how", ["cut", "noise", "list"])
@pytest.mark.parametrize(
    "name",
    ["summary.json", "metrics.jsonl", "dataset.json", "split.json", "samples.png"],
)
def test_a_report_is_made_of_what_is_there(name, how, run, tmp_path, capsys):
    (run / "samples.png").write_bytes(b"")
    spoil(run / name, how)
    with pytest.raises(SystemExit) as ended:
        cli.main(["report", str(run), "-o", str(tmp_path / "page.html")])
    assert ended.value.code == 0, capsys.readouterr().err
    assert "Settings" in (tmp_path / "page.html").read_text()


@pytest.mark.parametrize(
    ("name", "how", "code"),
    [
        ("config.json", "cut", 2),
        ("dataset.json", "cut", 1),
        ("split.json", "noise", 1),
        ("weights.npz", "gone", 1),
    ],
)
def test_a_diagnosis_without_images_is_no_good_health(
    name, how, code, run, tmp_path, capsys
):
    spoil(run / name, how)
    page = tmp_path / "page.html"
    assert exit_code("diagnose", run, "-o", page) == code
    said = "".join(capsys.readouterr())
    assert f"{run / name}" in said and "healthy" not in said
    assert how == "gone" or "copy this file again" in said
    assert page.exists() == (code == 1)
    assert code == 2 or "healthy" not in page.read_text()


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d["generated"].update(seed=-1),
        lambda d: d["normalise"].update(high=1e308),
        lambda d: d["normalise"].update(flatten=1e308),
        lambda d: d.update(density_bins=[]),
    ],
)
def test_a_diagnosis_of_settings_that_cannot_be_is_one_line(change, run, capsys):
    edit(run / "config.json", lambda c: change(c["data"]))
    assert exit_code("diagnose", run) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{run / 'config.json'}: damaged (config.data." in line
    assert line.endswith("copy this file again")


@pytest.mark.parametrize("name", ["summary.json", "weights.npz"])
def test_a_diagnosis_says_what_it_took_in_place_of_damage(name, run, tmp_path, capsys):
    spoil(run / name, "cut")
    assert exit_code("diagnose", run, "-o", tmp_path / "page.html") in (0, 1)
    out = capsys.readouterr().out
    assert f"{run / name}: damaged" in out and "No image was predicted" not in out


def test_two_at_once_are_refused_and_a_leftover_is_removed(tmp_path, config):
    folder = tmp_path / "run"
    folder.mkdir()
    left = folder / ".config.json.4242.1852661613162"
    left.write_text('{"se')
    with folder_lock(folder):
        with pytest.raises(BeadsegError, match="works in this folder"):
            train(config, folder, "run")
    train(config, folder, "run")
    assert not left.exists()


def test_a_foreign_folder_is_left_as_it_was(tmp_path, config):
    (tmp_path / "thesis.tex").write_text("work of years")
    with pytest.raises(BeadsegError, match="holds other files"):
        train(config, tmp_path, "run")
    assert os.listdir(tmp_path) == ["thesis.tex"]
