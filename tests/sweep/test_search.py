"""What is to be done is read off the folder; no member is trained here."""

import json

import pytest

from beadseg.errors import BeadsegError
from beadseg.sweep.folder import SweepFolder
from beadseg.sweep.points import log_uniform, over
from beadseg.sweep.search import search_of
from tests.summaries import SUMMARY


def sweep(tiny, path, count=9, **fields):
    tiny.sweep.update(fields)
    return SweepFolder(path / "sweep", "test", tiny, over("seed", *range(count)))


def train(folder, member, epochs, score):
    """Leaves behind what a run of so many epochs does."""
    run = folder.run_path(member)
    run.mkdir(parents=True, exist_ok=True)
    rows = [
        {"step": e, "epoch": e, "kind": "validation", "jaccard": score}
        for e in range(1, epochs + 1)
    ]
    (run / "metrics.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    summary = SUMMARY | {"epochs": epochs, "best_jaccard": score}
    (run / "summary.json").write_text(json.dumps(summary))


def test_all_members_without_a_summary_are_to_be_trained(tiny, tmp_path):
    folder = sweep(tiny, tmp_path, 3)
    search = search_of(folder, None)
    assert search.todo() == {0: 3, 1: 3, 2: 3}
    train(folder, 1, 3, 0.5)
    folder.fail(2, "not finite")
    assert search.todo() == {0: 3}
    assert not search.ask(1)


def test_halving_keeps_the_best_third_of_each_round(tiny, tmp_path):
    tiny.train.epochs = 18
    folder = sweep(tiny, tmp_path, search="halving", rounds=3, keep=1 / 3)
    search = search_of(folder, None)
    assert search.epochs == [2, 6, 18]
    assert search.todo() == dict.fromkeys(range(9), 2)
    for member in range(8):
        train(folder, member, 2, member / 10)
    assert search.todo() == {8: 2}  # no one goes on before all are there
    folder.fail(8, "not finite")
    assert search.todo() == {5: 6, 6: 6, 7: 6}
    train(folder, 5, 6, 0.9)
    train(folder, 7, 6, 0.95)
    assert search.todo() == {6: 6}  # later scores do not change the round before
    train(folder, 6, 6, 0.65)
    assert search.todo() == {7: 18}
    train(folder, 7, 18, 0.96)
    assert search.todo() == {}


def test_optuna_asks_for_trials_until_there_are_enough(tiny, tmp_path):
    pytest.importorskip("optuna")
    space = {"optim.learning_rate": log_uniform(1e-4, 1e-2)}
    folder = sweep(tiny, tmp_path, 0, search="optuna", trials=3)
    search = search_of(folder, space)
    assert search.todo() == {}
    assert search.ask(2)
    assert search.todo() == {0: 3, 1: 3}
    train(folder, 0, 3, 0.5)
    search.tell(folder.result(0, folder.members[0]))
    again = search_of(folder, space)  # another process on the same study
    assert again.ask(5)
    assert list(again.todo()) == [1, 2]
    assert not again.ask(1)
    rates = [p["optim.learning_rate"] for p in folder.members.values()]
    assert len(set(rates)) == 3 and all(1e-4 <= r <= 1e-2 for r in rates)
    assert folder.config(2).optim.learning_rate == rates[2]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"search": "grid"}, "'grid' is unknown.*all.*halving.*optuna"),
        ({"search": "optuna"}, "no space"),
        ({"search": "halving", "keep": 1.5}, "keep = 1.5"),
    ],
)
def test_a_wrong_search_is_named(tiny, tmp_path, fields, words):
    with pytest.raises(BeadsegError, match=words):
        search_of(sweep(tiny, tmp_path, **fields), None)


def test_the_leaderboard_ranks_by_score_with_failed_members_last(tiny, tmp_path):
    folder = sweep(tiny, tmp_path, 4)
    for member, score in ((0, 0.4), (1, 0.7), (3, 0.9)):
        train(folder, member, 3, score)
    folder.fail(3, "not finite")
    folder.write_leaderboard()
    lines = (folder.path / "leaderboard.csv").read_text().splitlines()
    header = lines[0].split(",")
    members = [line.split(",")[header.index("member")] for line in lines[1:]]
    assert members == ["1", "0", "2", "3"]
    assert lines[4].endswith("not finite")


def test_a_sweep_goes_on_with_the_same_settings_only(tiny, tmp_path):
    sweep(tiny, tmp_path)
    sweep(tiny, tmp_path, over_members="unroll")  # changes no number
    with pytest.raises(BeadsegError, match="8 other points|9 other points"):
        sweep(tiny, tmp_path, 8)
    tiny.train.epochs = 5
    with pytest.raises(BeadsegError, match="begun with train.epochs = 3, not 5"):
        sweep(tiny, tmp_path)


def test_a_folder_of_other_things_is_left_alone(tiny, tmp_path):
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "thesis.txt").touch()
    with pytest.raises(BeadsegError, match="holds other files and no sweep"):
        sweep(tiny, tmp_path)
