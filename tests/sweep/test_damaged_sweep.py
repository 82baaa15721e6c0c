"""A sweep whose files are spoilt, and members that another process took over."""

import csv
import json
import os

import pytest

from beadseg.errors import BeadsegError
from beadseg.inference.run import load_runs
from beadseg.sweep.claims import Claims
from beadseg.sweep.folder import SweepFolder, SweepView
from beadseg.sweep.search import search_of
from tests.summaries import SUMMARY

POINTS = [{"seed": n} for n in range(3)]


@pytest.fixture
def folder(tiny, tmp_path):
    folder = SweepFolder(tmp_path / "s", "sweep", tiny, POINTS)
    for member in range(3):
        path = folder.run_path(member)
        path.mkdir(parents=True)
        (path / "config.json").write_text("{}")
        (path / "summary.json").write_text(json.dumps(SUMMARY))
    return folder


@pytest.mark.parametrize(
    "content",
    [
        *("", "[]", '{"best_jaccard": "x"}', json.dumps(SUMMARY)[:40]),
        *("[" * 99_999, "\0\1"),
        *(json.dumps(SUMMARY | {"best_f1": value}) for value in ("x", [1, 2], True)),
        *(json.dumps(SUMMARY | {"best_score": value}) for value in (None, {}, 1e308)),
    ],
)
def test_a_damaged_summary_is_a_member_to_go_on_with(content, folder):
    (folder.run_path(1) / "summary.json").write_text(content)
    states = {r.member: r.state for r in SweepView(folder.path).results()}
    assert states == {0: "finished", 1: "training", 2: "finished"}
    assert search_of(folder, None).todo() == {1: 3}
    assert len(folder.write_leaderboard()) == 3


def with_(**changes) -> str:
    whole = {"name": "x", "lease": 60.0, "config": {}, "points": []}
    return json.dumps(whole | changes)


SPOILT = [with_(points=5), with_(points=[3]), with_(lease="x"), with_(lease=-1)]
SPOILT += [with_(config=[]), with_(name=None)]


@pytest.mark.parametrize("content", SPOILT)
def test_what_is_of_another_kind_is_damage_for_who_only_looks(content, folder):
    (folder.path / "sweep.json").write_text(content)
    with pytest.raises(BeadsegError, match="sweep.json: damaged") as error:
        SweepView(folder.path)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize(
    "content", ["", "{", "[1]", '{"name": "x"}', "[" * 99_999, *SPOILT[:2]]
)
def test_a_damaged_sweep_costs_one_file(content, folder, tiny):
    file = folder.path / "sweep.json"
    file.write_text(content)
    with pytest.raises(BeadsegError, match="move this one file away") as error:
        SweepFolder(folder.path, "sweep", tiny, POINTS)
    assert len(str(error.value).splitlines()) == 1
    file.unlink()
    again = SweepFolder(folder.path, "sweep", tiny, POINTS)
    assert [r.state for r in again.results()] == ["finished"] * 3


@pytest.mark.parametrize("member", ["../../x", "/etc", "-1", "", "1e9", "0x1", "٣x"])
def test_a_leaderboard_that_names_no_member_is_one_line(member, folder):
    board = folder.path / "leaderboard.csv"
    with open(board, "w", newline="") as file:
        csv.writer(file).writerows([["rank", "member"], [1, member]])
    with pytest.raises(BeadsegError, match="delete this one file") as error:
        load_runs([folder.path])
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe\x00", b"rank\n1\n", b"\x00" * 9, b"member\n1,2\n"]
)
def test_a_leaderboard_that_is_none_is_one_line(content, folder):
    (folder.path / "leaderboard.csv").write_bytes(content)
    with pytest.raises(BeadsegError) as error:
        load_runs([folder.path])
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("name", ["000.tmp", "000.", "000.1.bak", ".000.0.17.1234567"])
def test_a_file_among_the_claims_that_is_none_stops_nobody(name, tmp_path):
    with Claims(tmp_path, 60) as claims:
        (tmp_path / name).write_text("[]")
        assert claims.take(0)
        assert not claims.lost(0)


@pytest.mark.parametrize("content", ["", "[]", "{}", '"x"', '{"pid": "one"}'])
def test_a_claim_without_words_is_somebodys_until_its_lease_ends(content, tmp_path):
    (tmp_path / "000.0").write_text(content)
    with Claims(tmp_path, 60) as claims:
        assert not claims.take(0)
        os.utime(tmp_path / "000.0", (0, 0))
        assert claims.take(0)


def test_who_slept_knows_what_was_taken_over(tmp_path):
    with Claims(tmp_path, 60) as sleeper, Claims(tmp_path, 60) as other:
        assert sleeper.alone() and sleeper.take(0) and sleeper.take(1)
        assert not other.alone()
        os.utime(tmp_path / "000.0", (0, 0))  # no sign of life
        assert other.take(0)
        assert sleeper.lost(0) and not sleeper.lost(1)
        sleeper.release(0)
        assert not other.lost(0) and not sleeper.lost(0)


@pytest.mark.parametrize("start", ["=1+1", "@x", "+2"])
def test_no_cell_of_a_leaderboard_is_a_formula(start, tiny, tmp_path):
    points = [{"init_from": start, "seed": 0}]
    folder = SweepFolder(tmp_path / "s", "sweep", tiny, points)
    folder.fail(0, f"{start}\nof two lines")
    folder.write_leaderboard()
    with open(folder.path / "leaderboard.csv", newline="") as file:
        rows = list(csv.reader(file))
    assert not any(cell[:1] in "=+-@" for cell in rows[1] if cell)
