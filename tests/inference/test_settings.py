"""What a person may ask of a prediction, in Python and on the command line."""

import json
import re

import numpy as np
import pytest
import tifffile

import beadseg
from beadseg import cli
from beadseg.errors import BeadsegError
from beadseg.inference.settings import Settings, has_calibrated_scores, read_settings
from tests.inference.bright import DIAMETER, beads_image, write_run

NAN, INFINITE = float("nan"), float("inf")
WRONG = [
    *(("threshold", value) for value in (0.0, 1.0, -0.1, 1.5, NAN, INFINITE)),
    *(("min_score", value) for value in (1.0, -0.1, 1.5, NAN, INFINITE)),
    *(("diameter", value) for value in (0.0, -3.0, NAN, INFINITE)),
]


def option_of(name):
    return f"--{name.replace('_', '-')}"


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"threshold": 0.01, "min_score": 0.0, "diameter": 0.5},
        {"threshold": 0.99, "min_score": 0.99, "diameter": 1e5, "polarity": "dark"},
        {"threshold": "auto", "min_score": "auto", "diameter": "auto"},
    ],
)
def test_what_is_in_range_is_taken(given):
    settings = Settings(**given)
    assert given.items() <= vars(settings).items()


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_what_is_out_of_range_is_one_line_that_names_the_option(name, value):
    with pytest.raises(BeadsegError) as error:
        Settings(**{name: value})
    line = str(error.value)
    assert line.startswith(f"{option_of(name)} {value:g}: give ")
    assert "\n" not in line


def test_an_unknown_polarity_lists_the_known():
    with pytest.raises(BeadsegError, match="--polarity grey: .* any, bright, dark"):
        Settings(polarity="grey")


@pytest.fixture
def command(bright_run, tmp_path):
    """The words of a prediction of an image of 25 beads."""
    tifffile.imwrite(tmp_path / "a.tif", beads_image()[0])
    return [
        *("predict", str(tmp_path / "a.tif"), "--run", str(bright_run)),
        *("-o", str(tmp_path / "out")),
    ]


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *((option_of(name), f"{value:g}") for name, value in WRONG),
        ("--polarity", "grey"),
        ("--min-score", "high"),
        ("--diameter", "1,5"),
        ("--diameter", "1000"),
    ],
)
def test_the_command_ends_with_code_2_and_a_line(
    command, tmp_path, capsys, option, value
):
    with pytest.raises(SystemExit) as stopped:
        cli.main([*command, f"{option}={value}"])
    errors = capsys.readouterr().err
    assert stopped.value.code == 2
    (line,) = re.findall(".*error: .*", errors)
    assert option in line and value in line
    assert "Traceback" not in errors


def bright_and_dark():
    """Bright discs in the upper half, dark ones in the lower; their labels."""
    image, labels = beads_image(count=4)
    lower = (np.arange(len(image)) > len(image) // 2)[:, None]
    grey = np.where(labels > 0, np.where(lower, 200, 800), 500)
    return (
        grey.astype(np.uint16),
        np.where(lower, 0, labels),
        np.where(lower, labels, 0),
    )


@pytest.mark.parametrize("sizes", [(), (6.0, 24.0)])
def test_polarity_gives_the_bright_and_the_dark_alone(tmp_path, sizes):
    run = beadseg.load(write_run(tmp_path / "run", dark=True, sizes=sizes))
    image, bright, dark = bright_and_dark()

    def where(polarity):
        return run.predict(image, polarity=polarity, min_score=0).labels > 0

    np.testing.assert_array_equal(where("any"), bright + dark > 0)
    np.testing.assert_array_equal(where("bright"), bright > 0)
    np.testing.assert_array_equal(where("dark"), dark > 0)


def test_what_has_less_than_the_least_score_is_left_out(tmp_path):
    run = beadseg.load(write_run(tmp_path / "run", sizes=(6.0, 24.0)))
    image, _ = beads_image(count=8)
    rng = np.random.default_rng(0)
    image = np.where(image > 500, rng.integers(450, 1000, image.shape), image)
    every = run.predict(image, min_score=0)
    scores = np.unique(every.table["score"])
    assert len(scores) > 20
    least = float(np.median(scores)) + 1e-6
    some = run.predict(image, min_score=least)
    assert 0 < len(some.table["score"]) <= len(every.table["score"])
    assert some.table["score"].min() >= least
    assert some.image["mean_score"] == pytest.approx(some.table["score"].mean())


def test_a_diameter_that_is_given_leaves_out_other_sizes(tmp_path):
    run = beadseg.load(write_run(tmp_path / "run", sizes=(6.0, 24.0)))
    small, _ = beads_image(count=8)
    large, _ = beads_image(diameter=6 * DIAMETER, count=1, pitch=1.25)
    side = len(large)
    image = np.full((side + len(small), len(small)), small.min())
    image[side:], image[:side, :side] = small, large
    for diameter, count in ((DIAMETER, 64), (6 * DIAMETER, 1)):
        found = run.predict(image, diameter=diameter, min_score=0).table
        np.testing.assert_allclose(found["diameter_px"], diameter, rtol=0.05)
        assert len(found["label"]) == count


@pytest.mark.parametrize("sizes", [(6.0, 24.0), (8.0, 32.0)])
def test_runs_that_know_any_size_are_mixed_on_all_levels(tmp_path, sizes):
    one = write_run(tmp_path / "one", sizes=(6.0, 24.0))
    other = write_run(tmp_path / "other", sizes=sizes)
    image, _ = beads_image(diameter=130, count=4)  # down to 1/32
    alone = beadseg.load(one).predict(image)
    mixed = beadseg.load(one, other).predict(image)
    assert mixed.image["count"] == alone.image["count"] == 16
    diameters = (found.image["median_diameter_px"] for found in (mixed, alone))
    assert np.divide(*diameters) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize(
    "damage",
    [
        {"runs": [3]},
        {"runs": "default"},
        {"runs": [{}]},
        {"min_score": []},
        {"diameter": True},
        {"polarity": "up"},
        {"only": 3},
        {"edge": True},
        {"channels": {}},
        {"calibrated_scores": "yes"},
        {"beadseg": 1},
    ],
)
def test_a_setting_of_another_kind_is_damage(tmp_path, damage):
    whole = {"runs": [{"run": "a", "weights": "b"}], "min_score": 0.5, "edge": "all"}
    (tmp_path / "prediction.json").write_text(json.dumps(whole))
    assert read_settings(tmp_path) == whole
    (tmp_path / "prediction.json").write_text(json.dumps(whole | damage))
    with pytest.raises(ValueError, match=f"^{min(damage)} = .* cannot be$"):
        read_settings(tmp_path)


@pytest.mark.parametrize(
    ("runs", "calibrated"), [([], False), (["the default model"], True), (["a"], False)]
)
def test_scores_of_an_older_folder_are_calibrated_if_they_are_of_the_default_model(
    runs, calibrated
):
    made = {"runs": [{"run": run} for run in runs]}
    assert has_calibrated_scores(made) == calibrated
    assert has_calibrated_scores(made | {"calibrated_scores": not calibrated}) != (
        calibrated
    )
