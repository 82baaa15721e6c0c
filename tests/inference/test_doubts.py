"""What makes a count doubtful is said once a kind, with what to try."""

import pytest

from beadseg.inference.doubts import mark


def row(name, count=50, diameter=20.0, score=0.95, coverage=0.3):
    return {
        "image": name,
        "count": count,
        "median_diameter_px": diameter if count else None,
        "mean_score": score if count else None,
        "coverage": coverage,
    }


def test_nothing_is_said_of_images_alike():
    rows = [row(f"a{i}", diameter=20 + i) for i in range(6)] + [row("none", count=0)]
    assert mark(rows) == []
    assert {r["doubt"] for r in rows} == {""}


@pytest.mark.parametrize(
    "name, odd, option",
    [
        ("size", {"diameter": 8.0}, "--diameter"),
        ("size", {"diameter": 90.0}, "--diameter"),
        ("scores", {"score": 0.6}, "--min-score"),
        ("noise", {"score": 0.6, "count": 3000}, "--min-score"),
        ("coverage", {"coverage": 0.95}, "--threshold"),
        ("resolution", {"diameter": 4.0, "count": 5}, "magnification"),
    ],
)
def test_the_odd_image_is_named_with_what_to_try(name, odd, option):
    rows = [row(f"a{i}") for i in range(5)] + [row("odd", **odd)]
    lines = mark(rows)
    assert name in rows[-1]["doubt"].split()
    assert all(r["doubt"] == "" for r in rows[:-1])
    (line,) = [line for line in lines if option in line]
    assert "(odd)" in line


def test_one_line_stands_for_many_images_of_a_kind():
    rows = [row(f"a{i}", score=0.6) for i in range(9)]
    (line,) = mark(rows)
    assert "a0, a1, a2 and 6 more" in line


def test_a_small_batch_and_few_beads_say_nothing_about_size():
    assert mark([row("a"), row("b", diameter=80.0)]) == []
    assert mark([row(f"a{i}") for i in range(5)] + [row("b", 3, 80.0)]) == []


@pytest.mark.parametrize("count", [50, 3000])
def test_low_scores_of_a_run_of_ones_own_call_for_nothing(count):
    rows = [row(f"a{i}", count, score=0.4) for i in range(6)]
    assert mark(rows, calibrated=False) == []
    assert mark(rows) != []
