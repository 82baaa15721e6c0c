"""The study: effects, verdicts and shares by hand, its design, its page."""

import json
import math
import shutil

import pytest

from beadseg.errors import BeadsegError
from beadseg.sweep.folder import SweepView
from beadseg.sweep.points import collect
from beadseg.sweep.report import write_report
from configs import study_domain_shift
from tests.bench.domain_shift.__main__ import main
from tests.bench.domain_shift.claims import CLAIMS
from tests.bench.domain_shift.reading import Reading
from tests.bench.domain_shift.study import (
    Claim,
    Contrast,
    Effect,
    Level,
    Member,
    Study,
    effect_of,
    factors_of,
    judge,
    outcome,
    scores_of,
    shares,
    stopped,
    verdict,
)
from tests.summaries import SUMMARY

START = {"labelled": 0.5, "loss": "focal 2", "rate": 1e-3, "method": "none"}
END = {"labelled": 1.0, "loss": "combined", "rate": 5e-4, "method": "none"}


def members(factors, *at_half, **more):
    """Members of one setting, seed by seed, with "best at 0.5" and more scores."""
    return [
        Member(factors, seed, {"best at 0.5": score, "final at 0.5": score} | more)
        for seed, score in enumerate(at_half)
    ]


@pytest.fixture
def study():
    found = members(START, 0.0, 0.1, 0.2, final=0.7, best=0.7)
    found += members(START | {"labelled": 1.0}, 0.6, 0.7, 0.8)
    found += members(START | {"loss": "combined"}, 0.1, 0.3, 0.5)
    found += members(START | {"method": "auto"}, 0.5, 0.6, 0.7)
    found += members(END, 0.8, 0.9, 1.0, final=0.9)
    found += members(END | {"labelled": 0.5}, 0.4, 0.5, 0.6)
    return Study(found, START, END)


def test_an_interval_is_that_of_student():
    effect = effect_of([0.1, 0.2, 0.3])
    assert effect.mean == pytest.approx(0.2)
    # t(0.975, 2) = 4.30265, standard deviation 0.1
    assert effect.interval == pytest.approx(4.30265 * 0.1 / math.sqrt(3), rel=1e-5)
    assert math.isnan(effect_of([0.5]).interval)


def test_a_difference_is_paired_by_seed(study):
    """0.6, 0.6 and 0.6, though the scores themselves spread by 0.2."""
    found = study.difference(Contrast("", {}, {"labelled": 1.0}))
    assert found.mean == pytest.approx(0.6)
    assert found.interval == pytest.approx(0, abs=1e-12)
    assert found.count == 3
    assert study.difference(Contrast("", {}, {"rate": 5e-4})) is None


def test_a_difference_may_be_of_the_two_ends(study):
    asked = Contrast("", {"labelled": 1.0}, {}, end=True, end_before=False)
    assert study.difference(asked).mean == pytest.approx(0.2)  # 0.9 - 0.7


def test_a_difference_may_be_of_two_scores_of_one_setting(study):
    found = study.difference(Contrast("", {}, {}, "more", "best", "best at 0.5"))
    assert found.mean == pytest.approx(0.6)  # 0.7 - 0.1


@pytest.mark.parametrize(
    ("mean", "interval", "predicts", "expected"),
    [
        (0.10, 0.05, "more", "shown"),
        (0.10, 0.15, "more", "open"),
        (-0.10, 0.05, "more", "refuted"),
        (0.005, 0.01, "more", "refuted"),  # too small to matter
        (0.01, 0.02, "more", "open"),
        (-0.10, 0.05, "less", "shown"),
        (0.10, 0.05, "less", "refuted"),
        (0.00, 0.01, "same", "shown"),
        (0.00, 0.10, "same", "open"),
        (0.10, 0.05, "same", "refuted"),
        (0.10, math.nan, "more", "missing"),
    ],
)
def test_outcome_follows_the_interval(mean, interval, predicts, expected):
    assert outcome(Effect(mean, interval, 3), predicts) == expected


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        (["shown", "shown"], "holds"),
        (["shown", "missing"], "holds"),
        (["shown", "open"], "holds in part"),
        (["shown", "refuted"], "holds in part"),
        (["refuted", "open"], "does not"),
        (["open"], "cannot be told"),
        (["missing"], "not tested"),
        ([], "not tested"),
    ],
)
def test_verdict_follows_the_outcomes(outcomes, expected):
    assert verdict(outcomes) == expected


def test_nothing_follows_from_settings_that_did_not_learn():
    found = members(START, 0.0, 0.0, 0.0, best=0.2)
    found += members(START | {"rate": 5e-4}, 0.10, 0.11, 0.12, best=0.25)
    claim = Claim("", (Contrast("", {}, {"rate": 5e-4}),))
    assert judge(Study(found, START, END), [claim])[0].verdict == "cannot be told"
    found += members(START | {"rate": 5e-4}, 0.10, 0.11, 0.12, best=0.35)
    assert judge(Study(found, START, END), [claim])[0].verdict == "holds"


def test_a_level_is_shown_where_its_interval_lies_inside(study):
    asked = (Level("", {"labelled": 1.0}, low, high) for low, high in BOUNDS)
    row = judge(study, [Claim("", tuple(asked))])[0]
    assert [t.outcome for t in row.tests] == ["shown", "open", "refuted"]
    assert row.tests[0].effect.mean == pytest.approx(0.7)


# Of 0.6, 0.7, 0.8: the interval is 0.7 +- 0.248.
BOUNDS = [(0.4, 1.0), (0.6, 0.8), (0.0, 0.4)]


def test_shares_are_parts_of_the_way_from_the_collapse_to_what_is_sound(study):
    """From 0.1 to 0.9: complete masks make 0.6 of 0.8, the loss 0.2."""
    found = {s.factor: s for s in shares(study)}
    assert list(found) == ["labelled", "loss", "rate", "threshold", "loss for gaps"]
    assert found["rate"].alone is None  # not run
    assert found["labelled"].undone == pytest.approx(0.75)
    assert found["labelled"].back.mean == pytest.approx(-0.4)
    assert found["loss"].undone == pytest.approx(0.25)
    assert found["loss"].back is None
    assert found["threshold"].undone == pytest.approx(0.75)  # 0.7 - 0.1
    assert found["loss for gaps"].undone == pytest.approx(0.625)


def test_scores_of_a_curve():
    curve = [(0.3, 0.2, 0.4), (0.6, 0.5, 0.3), (0.5, 0.1, 0.6), (0.7, 0.4, 0.2)]
    rows = [
        {"jaccard": best, "jaccard_at_0.5": half, "threshold": threshold}
        for best, half, threshold in curve
    ]
    found = scores_of(rows)
    assert (found["best"], found["final"], found["threshold"]) == (0.7, 0.7, 0.2)
    assert (found["best at 0.5"], found["final at 0.5"]) == (0.5, 0.4)
    assert found["peak"] == 0.5
    assert found["final of best"] == pytest.approx(0.8)


@pytest.mark.parametrize(("patience", "best"), [(1, 0.4), (2, 0.5), (3, 0.6)])
def test_patience_decides_which_peak_is_reached(patience, best):
    assert stopped([0.4, 0.3, 0.5, 0.5, 0.2, 0.6], patience) == best


def designed(side: str) -> list[dict]:
    config = study_domain_shift.get_config(side)
    config.data.dir = "DIR" if side in ("folder", "sparse") else ""
    return collect(study_domain_shift.sweep, config)


@pytest.mark.parametrize("side", study_domain_shift.SIDES)
def test_members_of_the_study_have_three_seeds_and_see_as_many_crops(side):
    points = designed(side)
    settings = {}
    for point in points:
        own = {k: v for k, v in point.items() if k != "seed"}
        settings.setdefault(json.dumps(own, sort_keys=True), []).append(point["seed"])
    assert set(map(tuple, settings.values())) == {(0, 1, 2)}
    crops = {factors_of(point)["crops"] for point in points}
    assert crops <= {study_domain_shift.CROPS[side], 32}


def test_the_study_holds_the_settings_of_every_test():
    """Small or in full; but for ensembles, which are made of its members."""
    held = {}
    for side in ("small", "full"):
        points = designed(side)
        ends = factors_of(points[0]), factors_of(points[3])
        assert (ends[0]["labelled"], ends[0]["loss"]) == (0.5, "focal 2")
        assert (ends[1]["labelled"], ends[1]["loss"]) == (1.0, "combined")
        held[side] = ends, {repr(sorted(factors_of(p).items())) for p in points}
    for claim in CLAIMS:
        for asked in claim.tests:
            one = isinstance(asked, Level)
            parts = [(asked.end, asked.settings if one else asked.after)]
            if not one:
                before = asked.end if asked.end_before is None else asked.end_before
                parts.append((before, asked.before))
            assert any(
                all(
                    "ensemble" in part
                    or repr(sorted((ends[end] | part).items())) in keys
                    for end, part in parts
                )
                for ends, keys in held.values()
            ), asked.what


def test_an_unknown_side_of_the_study_is_one_line():
    with pytest.raises(BeadsegError, match="give one of small, folder, sparse, full"):
        study_domain_shift.get_config("large")


@pytest.fixture
def sweep_folder(tmp_path):
    """A study on disk of which the ends and complete masks are done."""
    points = designed("small")
    folder = tmp_path / "sweep"
    content = {"name": "study_domain_shift", "lease": 1, "points": points}
    content["config"] = {"study": "small"}
    levels = {0: (0.8, 0.0), 1: (0.85, 0.84)}
    complete = factors_of(points[0]) | {"labelled": 1.0}
    for number, point in enumerate(points):
        found = levels.get(number // 3)
        if factors_of(point) == complete:
            found = (0.9, 0.88)
        if found is None:
            continue
        member = folder / "members" / f"{number:03d}"
        member.mkdir(parents=True)
        rows = [
            {
                "kind": "validation",
                "step": 24 * epoch,
                "epoch": epoch,
                "jaccard": found[0] - 0.01 * point["seed"],
                "jaccard_at_0.5": max(found[1] - 0.01 * point["seed"], 0.0),
                "threshold": 0.3,
            }
            for epoch in (1, 2)
        ]
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (member / "metrics.jsonl").write_text(lines)
        summary = SUMMARY | {"best_jaccard": rows[0]["jaccard"]}
        (member / "summary.json").write_text(json.dumps(summary))
    (folder / "sweep.json").write_text(json.dumps(content))
    return folder


def test_ensembles_are_compared_with_their_members_alone(sweep_folder):
    pair = {"alone": {"best": 0.7}, "together": {"best": 0.75}}
    study = Reading(SweepView(sweep_folder)).study([pair, pair])
    (row,) = judge(study, [c for c in CLAIMS if c.said == "Ensembles help"])
    assert row.tests[0].effect.mean == pytest.approx(0.05)
    assert row.tests[0].effect.count == 2


def test_mitochondria_alone_answer_no_test_on_beads(sweep_folder):
    file = sweep_folder / "sweep.json"
    content = json.loads(file.read_text()) | {"config": {"study": "sparse"}}
    file.write_text(json.dumps(content))
    study = Reading(SweepView(sweep_folder)).study([])
    for row in judge(study, CLAIMS):
        for tested in row.tests:
            one = isinstance(tested.test, Level)
            about = tested.test.settings if one else tested.test.after
            sparse = about.get("objects") == "mitochondria"
            assert tested.effect is None or sparse, tested.test.what


def test_the_page_of_the_study_tells_claims_and_collapse(sweep_folder, tmp_path):
    json_file = tmp_path / "study.json"
    assert main([str(sweep_folder), "--json", str(json_file)]) == 0
    page = (sweep_folder / "study.html").read_text()
    assert "The claims of the domain-shift analysis" in page
    assert "Half-labelled masks are what training collapses of" in page
    assert "The collapse, factor by factor" in page
    assert "not tested" in page  # most of the members are not there
    found = json.loads(json_file.read_text())
    assert found["levels"]["mitochondria settings, half: best at 0.5"]["mean"] == 0
    assert found["levels"]["beads settings: best at 0.5"]["mean"] == 0.83


def test_the_page_of_the_sweep_holds_the_leaderboard(sweep_folder):
    page = write_report(sweep_folder).read_text()
    assert "Leaderboard" in page
    assert "claims" not in page


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": "sweep_lr"}, "a sweep of sweep_lr, not of configs/study_domain"),
        ({"points": []}, "none of 0 members has finished"),
        ({}, "none of 123 members has finished"),
        (None, "no sweep"),
    ],
)
def test_what_is_no_study_is_one_line(change, words, sweep_folder, capsys):
    file = sweep_folder / "sweep.json"
    content = json.loads(file.read_text())
    shutil.rmtree(sweep_folder / "members")
    file.unlink()
    if change is not None:
        file.write_text(json.dumps(content | change))
    assert main([str(sweep_folder)]) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1


def test_a_study_that_lacks_something_is_one_line(sweep_folder, capsys):
    file = sweep_folder / "sweep.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"config": {}}))
    assert main([str(sweep_folder)]) == 2
    error = capsys.readouterr().err
    assert "lacks 'study': it is damaged" in error and error.count("\n") == 1


def test_a_study_on_disk_gives_effects_by_hand(sweep_folder):
    study = Reading(SweepView(sweep_folder)).study([])
    (row,) = judge(study, [c for c in CLAIMS if "collapses of" in c.said])
    # complete: 0.88, 0.87, 0.86; half: 0
    assert row.tests[0].effect.mean == pytest.approx(-0.87)
    assert row.verdict == "holds"
