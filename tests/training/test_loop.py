"""The loop in this process: what it does when training or the disk goes wrong."""

import io
import json

import pytest
from tqdm import tqdm

from beadseg.errors import BeadsegError
from beadseg.training.loop import forget_start, train


@pytest.fixture
def here(tiny, tmp_path):
    tiny.data.cache_dir = str(tmp_path / "cache")
    return tiny


@pytest.mark.slow
def test_a_loss_that_is_not_finite_stops_with_step_and_checkpoint_named(here, tmp_path):
    here.model.norm = "none"
    here.loss.name = "bce"
    here.optim.learning_rate = 1e3
    here.train.epochs = 200
    with pytest.raises(
        BeadsegError, match=r"not finite at step \d+ \(member 0, last good checkpoint"
    ):
        train(here, tmp_path / "run", "run")


@pytest.mark.slow
def test_changed_images_are_noticed_when_a_run_goes_on(here, tmp_path):
    train(here, tmp_path / "run", "run")
    file = tmp_path / "run" / "dataset.json"
    stored = json.loads(file.read_text())
    file.write_text(json.dumps(stored | {"fingerprint": "of another data set"}))
    here.train.epochs += 1
    with pytest.raises(BeadsegError, match="changed since this run began.*--workdir"):
        train(here, tmp_path / "run", "run")


@pytest.mark.slow
def test_training_stops_early_and_keeps_the_best(here, tmp_path):
    here.train.epochs = 50
    here.train.early_stopping = 2
    here.optim.learning_rate = 1e-9
    here.plateau.enabled = False
    summary = train(here, tmp_path / "run", "run")
    assert summary["final_epoch"] < 50
    assert summary["final_epoch"] - summary["best_epoch"] == 2


def test_the_time_left_is_that_of_the_steps_without_the_start():
    """A minute of compiling, then a step a second: the first time told is right."""
    now = [0.0]
    bar = tqdm(total=101, file=io.StringIO(), mininterval=0.5)
    bar._time = lambda: now[0]
    bar.start_t = bar.last_print_t = 0.0
    now[0] = 60.0
    forget_start(bar)
    bar.update()
    told = []
    for _ in range(9):
        now[0] += 1.0
        bar.update()
        state = bar.format_dict
        told.append((state["total"] - state["n"]) / state["rate"])
    assert state["elapsed"] == 69
    assert told == pytest.approx(list(range(99, 90, -1)), rel=0.7)
    assert told[-1] == pytest.approx(91, rel=0.05)
    bar.close()


def test_damaged_training_labels_do_not_damage_validation(here, tmp_path):
    here.model.depth, here.train.epochs, here.train.steps_per_epoch = 1, 1, 1
    here.log.images_every = 0
    here.data.generated.damage = "drop_random"
    splits = []
    for amount in (0.0, 0.8):
        here.data.generated.amount = amount
        workdir = tmp_path / f"run{amount}"
        train(here, workdir, "run")
        splits.append(json.loads((workdir / "split.json").read_text()))
    assert splits[0] == splits[1]
