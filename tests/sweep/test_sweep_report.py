"""The page of a sweep answers which setting is better, and only where seeds tell."""

import json
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from scipy import stats

from beadseg.sweep import command
from beadseg.sweep.folder import Result, SweepFolder
from beadseg.sweep.points import over, product
from beadseg.sweep.report import advice, effects, settings_of, winner, write_report
from beadseg.sweep.run import Outcome
from tests.summaries import SUMMARY


def finished(scores: dict[float, list[float]]) -> list[Result]:
    """Members with a score each, by their learning rate."""
    members = []
    for rate, found in scores.items():
        for seed, score in enumerate(found):
            point = {"optim.learning_rate": rate, "seed": seed}
            summary = SUMMARY | {"best_jaccard": score}
            members.append(Result(len(members), point, "finished", summary))
    return sorted(members, key=lambda r: -r.score)


def test_a_setting_is_judged_by_its_mean_over_seeds_with_scipys_interval():
    seeds = [0.70, 0.72, 0.77]
    best, other = settings_of(finished({1e-3: seeds, 1e-4: [0.9, 0.1, 0.2]}))
    assert best.point == {"optim.learning_rate": 1e-3}
    low, high = stats.t.interval(0.95, 2, np.mean(seeds), stats.sem(seeds))
    assert best.mean == pytest.approx(np.mean(seeds))
    assert best.interval == pytest.approx((high - low) / 2)
    assert len(other.members) == 3


@pytest.mark.parametrize(
    ("scores", "better"),
    [
        ({1e-3: [0.80, 0.81, 0.805], 1e-4: [0.70, 0.71, 0.705]}, 1e-3),
        ({1e-3: [0.80, 0.60, 0.70], 1e-4: [0.70, 0.65, 0.60]}, None),
        ({1e-3: [0.80], 1e-4: [0.70]}, None),
        ({1e-3: [0.80, 0.81, 0.805], 1e-4: [0.2]}, None),
        ({1e-3: [0.80, 0.81, 0.805]}, None),
    ],
)
def test_there_is_a_winner_only_where_no_interval_overlaps(scores, better):
    found = winner(settings_of(finished(scores)))
    assert (found and found.point["optim.learning_rate"]) == better


@pytest.mark.parametrize(
    ("scores", "undecided"),
    [
        ({1e-3: [0.80, 0.81, 0.805], 1e-4: [0.70, 0.71, 0.705]}, False),
        ({1e-3: [0.80, 0.60, 0.70], 1e-4: [0.70, 0.65, 0.60]}, True),
        ({1e-3: [0.80], 1e-4: [0.70]}, False),  # one seed each: nobody asks for more
    ],
)
def test_the_last_lines_say_where_no_setting_is_better(scores, undecided):
    told = command._outcome_text(Outcome(finished(scores), 0, {}))
    assert "best: member" in told
    assert ("no setting is better" in told) == undecided


def test_values_whose_intervals_overlap_are_not_advised():
    apart = finished({1e-3: [0.80, 0.81, 0.805], 1e-4: [0.70, 0.71, 0.705]})
    near = finished({1e-3: [0.80, 0.60, 0.70], 1e-4: [0.70, 0.65, 0.60]})
    assert list(effects(apart)) == ["optim.learning_rate"]  # not the seed
    assert any("highest, 0.001: try higher" in line for line in advice(apart))
    assert not any("highest" in line for line in advice(near))
    assert any("intervals of its values overlap" in line for line in advice(near))


def test_curves_of_seeds_have_one_colour_and_one_name_outside_the_plot(tiny, tmp_path):
    points = product(over("optim.learning_rate", 1e-3, 1e-4), over("seed", 0, 1, 2))
    path = tmp_path / "sweep"
    folder = SweepFolder(path, "test", tiny, points)
    for member in range(6):
        run = folder.run_path(member)
        run.mkdir(parents=True)
        (run / "summary.json").write_text(json.dumps(SUMMARY))
        rows = [
            {"kind": "validation", "step": e, "epoch": e, "jaccard": 0.1 * e}
            for e in range(9)
        ]
        (run / "metrics.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    page = write_report(path).read_text()
    svg = re.search(r"Curves</h2>.*?(<svg.*?</svg>)", page, re.DOTALL)[1]
    groups = {g.get("id"): g for g in ElementTree.fromstring(svg).iter() if g.get("id")}
    (axes,) = [g for name, g in groups.items() if name.endswith("axes_1")]
    (legend,) = [g for name, g in groups.items() if name.endswith("legend_1")]
    assert legend not in list(axes.iter())
    texts = [g for g in legend.iter() if g.tag.endswith("text")]
    names = ["".join(g.itertext()) for g in texts]
    assert len(names) == 2 and all("learning_rate" in name for name in names)
    strokes = re.findall(r"fill: none; stroke: (#\w+); stroke-width: 1.6", svg)
    assert sorted(map(strokes.count, set(strokes))) == [4, 4]  # three, and the name


def page_of(tiny, path, points, scores):
    folder = SweepFolder(path, "test", tiny, points)
    for member, score in enumerate(scores):
        run = folder.run_path(member)
        run.mkdir(parents=True)
        summary = json.dumps(SUMMARY | {"best_jaccard": score})
        (run / "summary.json").write_text(summary)
    return re.sub(r"<[^>]+>", " ", write_report(path).read_text())


@pytest.mark.parametrize(
    ("scores", "says"),
    [
        ((0.800, 0.801, 0.700, 0.701), "Better than all others: "),
        ((0.90, 0.60, 0.70, 0.65), "None is better than all others beyond chance"),
    ],
)
def test_the_page_names_a_winner_or_says_that_there_is_none(
    scores, says, tiny, tmp_path
):
    points = product(over("optim.learning_rate", 1e-3, 1e-4), over("seed", 0, 1))
    text = page_of(tiny, tmp_path / "sweep", points, scores)
    assert says in text
    assert "0.001" in text and "Mean over seeds" in text


def test_one_seed_each_is_said_to_tell_little(tiny, tmp_path):
    points = over("optim.learning_rate", 1e-3, 1e-4)
    text = page_of(tiny, tmp_path / "sweep", points, (0.8, 0.7))
    assert "by one seed: chance may decide" in text
    assert "Mean over seeds" not in text


def test_what_a_point_leaves_out_shows_as_the_base_has_it(tiny, tmp_path):
    tiny.optim.weight_decay = 0.0123
    points = [{"optim.learning_rate": 1e-3}, {"optim.weight_decay": 0.5}]
    text = page_of(tiny, tmp_path / "sweep", points, (0.8, 0.7))
    assert "0.0123" in text
    assert "None" not in text
