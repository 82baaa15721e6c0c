import contextlib
import json
import struct
import time

import numpy as np
import pytest

from beadseg.config import flatten
from beadseg.errors import BeadsegError
from beadseg.training.run_folder import RunFolder, default_workdir
from beadseg.training.tracking.summary import summarise, verdict_of
from beadseg.training.tracking.tracker import Tracker, read_rows
from beadseg.training.tracking.wandb_mode import sync_command


def row(step, kind="train", **numbers):
    return {"step": step, "epoch": 1, "kind": kind} | numbers


def test_rows_after_the_checkpoint_and_a_torn_line_are_left_behind(tiny, tmp_path):
    folder = RunFolder(tmp_path / "run", tiny)
    tracker = Tracker(folder, tiny, "run", 0)
    for step in (2, 4, 6):
        tracker.log(row(step, loss=0.5))
    tracker.finish()
    file = folder.path / "metrics.jsonl"
    file.write_text(file.read_text() + '{"step": 8, "ki')
    tracker = Tracker(folder, tiny, "run", 4)
    tracker.log(row(5, loss=0.25))
    tracker.finish()
    assert [r["step"] for r in read_rows(file)] == [2, 4, 5]


def test_a_full_disk_is_one_line(tiny, tmp_path):
    folder = RunFolder(tmp_path / "run", tiny)
    tracker = Tracker(folder, tiny, "run", 0)
    tracker._out.close()
    tracker._out = open("/dev/full", "w")
    with pytest.raises(BeadsegError, match="cannot be written.*space"):
        tracker.log(row(1, loss=0.5))
    with contextlib.suppress(OSError):  # what could not be written is still buffered
        tracker._out.close()


def test_an_offline_wandb_run_holds_config_history_summary_and_images(tiny, tmp_path):
    tiny.log.wandb, tiny.log.tags = "offline", ("paper",)
    folder = RunFolder(tmp_path / "run", tiny)
    tracker = Tracker(folder, tiny, "run", 0)
    for step in (1, 2):
        tracker.log(row(step, loss=0.5 / step))
    tracker.log_images(2, {"a: Jaccard 0.9": np.zeros((8, 32, 3), np.uint8)})
    tracker.summarise({"best_jaccard": 0.75, "verdict": "converged"})
    tracker.finish()
    (line,) = sync_command(folder.path)
    assert line.endswith(f"wandb sync {folder.path}/wandb/offline-run-*")
    (file,) = (folder.path / "wandb").glob("offline-run-*/run-*.wandb")
    found = read_wandb(file)
    assert json.loads(found["config"]["model"])["width"] == 4
    assert found["job_type"] == "train"
    assert found["tags"] == ["paper", "unet", "dice", "generated beads"]
    losses = [float(h["train/loss"]) for h in found["history"] if "train/loss" in h]
    assert losses == [0.5, 0.25]
    counts = [h.get("validation/samples/count") for h in found["history"]]
    assert counts == [None, "1"]
    assert json.loads(found["summary"]["verdict"]) == "converged"
    assert float(found["summary"]["best_jaccard"]) == 0.75
    assert list((folder.path / "wandb").glob("offline-run-*/files/media/**/*.png"))


def read_wandb(file, patience=30):
    """Config, history and summary of a W&B run file, once its last record is there.

    W&B's own process may still be writing when the run has finished.
    """
    for _ in range(patience):
        found = records_of(file)
        if found["ended"]:
            break
        time.sleep(1)
    return found


def records_of(file):
    from wandb.proto import wandb_internal_pb2

    found = {"config": {}, "history": [], "summary": {}, "ended": False}
    for data in log_records(file.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        kind = record.WhichOneof("record_type")
        if kind == "run":
            found |= {"job_type": record.run.job_type, "tags": [*record.run.tags]}
        if kind in ("run", "config"):
            config = record.run.config if kind == "run" else record.config
            found["config"] |= values(config.update)
        elif kind == "history":
            found["history"].append(values(record.history.item))
        elif kind == "summary":
            found["summary"] |= values(record.summary.update)
        elif kind == "exit":
            found["ended"] = True
    return found


def values(items):
    return {i.key or "/".join(i.nested_key): i.value_json for i in items}


def log_records(data):
    """Records of a LevelDB log behind W&B's 7-byte header, put together from parts."""
    assert data[:4] in (b":W&B", b"")  # nothing is written yet
    at, block, parts = 7, 32768, b""
    while at + 7 <= len(data):
        if block - at % block < 7:  # too little room for a header: padding
            at += block - at % block
            continue
        length, kind = struct.unpack("<HB", data[at + 4 : at + 7])
        if at + 7 + length > len(data):
            return  # still being written
        parts += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield parts
            parts = b""


def test_a_lost_wandb_does_not_stop_the_rows(tiny, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.delenv("WANDB_MODE", raising=False)
    tiny.log.wandb = "online"
    folder = RunFolder(tmp_path / "run", tiny)
    tracker = Tracker(folder, tiny, "run", 0)
    tracker.log(row(1, loss=0.5))
    tracker.finish()
    assert read_rows(folder.path / "metrics.jsonl") == [row(1, loss=0.5)]
    assert "W&B cannot start online" in capsys.readouterr().err


def test_a_folder_of_another_config_is_refused_by_the_field(tiny, tmp_path):
    RunFolder(tmp_path / "run", tiny)
    tiny.loss.name = "bce"
    with pytest.raises(BeadsegError, match="loss.name = 'dice', not 'bce'.*--workdir"):
        RunFolder(tmp_path / "run", tiny)


def test_a_field_newer_than_a_run_counts_as_in_the_base_config(tiny, tmp_path):
    folder = RunFolder(tmp_path / "run", tiny)
    stored = folder.read("config.json")
    del stored["data"]["augment"]["blur"], stored["sweep"]["keep"]
    folder.write("config.json", stored)
    tiny.data.augment.blur = 2.0
    with pytest.raises(BeadsegError, match="data.augment.blur = 1.0, not 2.0"):
        RunFolder(tmp_path / "run", tiny)
    tiny.data.augment.blur = 1.0
    again = RunFolder(tmp_path / "run", tiny).read("config.json")
    assert again["data"]["augment"]["blur"] == 1.0 and "keep" in again["sweep"]


def test_what_changes_no_number_may_change_and_epochs_may_be_added(tiny, tmp_path):
    RunFolder(tmp_path / "run", tiny)
    tiny.data.workers = 2
    tiny.train.epochs = 9
    assert RunFolder(tmp_path / "run", tiny).read("config.json")["train"]["epochs"] == 9
    tiny.optim.cosine = True
    cosine = tmp_path / "cosine"
    RunFolder(cosine, tiny)
    tiny.train.epochs = 10
    with pytest.raises(BeadsegError, match="train.epochs = 9, not 10"):
        RunFolder(cosine, tiny)


def test_a_folder_with_other_files_is_left_alone(tiny, tmp_path):
    (tmp_path / "thesis.tex").write_text("work of years")
    with pytest.raises(BeadsegError, match="holds other files and no run"):
        RunFolder(tmp_path, tiny)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_folder_that_cannot_be_made_is_one_line(tiny, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BeadsegError, match="cannot be written.*--workdir"):
        RunFolder(tmp_path / "file" / "run", tiny)


def test_the_default_folder_follows_the_settings(tiny):
    first = default_workdir("dice", tiny)
    tiny.log.wandb = "offline"
    assert default_workdir("dice", tiny) == first
    tiny.loss.name = "bce"
    assert default_workdir("dice", tiny) != first


@pytest.mark.parametrize("place", ["", "round_0/run"])
def test_a_run_of_before_a_setting_was_added_is_found(
    tiny, tmp_path, monkeypatch, place
):
    monkeypatch.chdir(tmp_path)
    tiny.partial.self_training = 2 if place else 0
    of_today = default_workdir("dice", tiny)
    before = of_today.with_name(of_today.name[:-6] + "0a1b2c")
    RunFolder(before / place, tiny)
    file = before / place / "config.json"
    told = json.loads(file.read_text())
    del told["train"]["early_stopping"], told["log"]["tags"]
    file.write_text(json.dumps(told))
    tiny.train.epochs += 1
    assert default_workdir("dice", tiny) == before
    assert default_workdir("other", tiny) != before
    tiny.train.early_stopping += 1  # not as runs had it before
    assert default_workdir("dice", tiny) not in (before, of_today)
    tiny.train.early_stopping -= 1
    of_today.mkdir()
    assert default_workdir("dice", tiny) == of_today
    of_today.rmdir()
    file.write_text("{")
    assert default_workdir("dice", tiny) == of_today


def test_flatten_names_every_leaf():
    assert flatten({"a": {"b": 1, "c": {"d": 2}}, "e": 3}) == {
        "a.b": 1,
        "a.c.d": 2,
        "e": 3,
    }


@pytest.mark.parametrize(
    ("curve", "epochs", "verdict"),
    [
        ([0.1, 0.6, 0.8, 0.85, 0.86, 0.86, 0.86, 0.86, 0.86, 0.86], 10, "converged"),
        ([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85], 10, "still rising"),
        ([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.6, 0.6, 0.6], 40, "converged"),
        ([0.11, 0.14, 0.05, 0.0, 0.0], 5, "collapsed"),
        ([0.7, 0.8, 0.8, 0.6, 0.5], 5, "collapsed"),
        ([0.01, 0.02, 0.02, 0.02, 0.02], 5, "did not learn"),
    ],
)
def test_the_verdict_names_the_shape_of_the_curve(curve, epochs, verdict):
    assert verdict_of(curve, epochs) == verdict


def test_the_summary_is_of_the_best_epoch_and_the_last(tiny):
    rows = [
        row(1, images_per_second=1.0),
        row(2, images_per_second=30.0),
        row(3, images_per_second=32.0),
    ]
    for epoch, jaccard in enumerate((0.5, 0.8, 0.75), 1):
        rows.append(
            {"step": epoch, "epoch": epoch, "kind": "validation", "jaccard": jaccard}
            | {"jaccard_at_0.5": jaccard / 2, "threshold": epoch / 10}
        )
    found = summarise(rows, tiny)
    assert found["best_jaccard"] == 0.8
    assert found["best_epoch"] == 2
    assert found["threshold"] == 0.2
    assert found["final_jaccard"] == 0.75
    assert found["final_within_10_percent"]
    assert found["images_per_second"] in (30.0, 32.0)
