"""The size that a run of one bead size looks for, with looks that are played."""

from types import SimpleNamespace

import numpy as np
import pytest

from beadseg.data.scaling import LARGEST_SCALE, SMALLEST_SCALE
from beadseg.errors import BeadsegError
from beadseg.inference.pyramid import bead_scores, size
from beadseg.inference.pyramid.size import known_size
from tests.inference import played

KNOWN = 16.0  # px of the network
SIDE = 512  # px of the image


@pytest.fixture(autouse=True)
def probabilities_are_scores(monkeypatch):
    def mean_probability(levels, found, beneath):
        return levels[0].regions["mean_probability"][found.label - 1].astype(np.float32)

    monkeypatch.setattr(bead_scores, "scores", mean_probability)


def run_of(scale=1.0, pixel_size=None, bead_diameter=KNOWN):
    return SimpleNamespace(
        name="runs/a", bead_diameter=bead_diameter, scale=scale, pixel_size=pixel_size
    )


def on_grid(count, diameter, side=SIDE):
    """So many discs in rows from the top, apart."""
    pitch = 1.3 * diameter
    across = int(side // pitch)
    at = [divmod(i, across) for i in range(count)]
    return [((row + 0.5) * pitch, (i + 0.5) * pitch, diameter) for row, i in at]


class Looks:
    """What is found at each scale; elsewhere nothing."""

    def __init__(self, found=None, side=SIDE, probability=0.95):
        self.image = np.zeros((side, side), np.uint8)
        self.found, self.probability = found or {}, probability
        self.scales = []

    def __call__(self, scale):
        self.scales.append(scale)
        discs = self.found.get(scale, [])
        return played.level(self.image.shape, scale, discs, self.probability)

    def choose(self, run, asked=None, pixel_size=None):
        """Scale of the chosen level, and the notes."""
        (chosen,), notes = known_size(self.image, run, self, asked, pixel_size)
        return chosen.scale, notes


@pytest.mark.parametrize("scale", [0.25, 1.0, 1.4])
def test_the_size_of_training_is_looked_at_first_and_is_enough(scale):
    looks = Looks({scale: on_grid(5, KNOWN / scale)})
    assert looks.choose(run_of(scale)) == (scale, ())
    assert looks.scales == [scale]


@pytest.mark.parametrize("step", [0.5, 0.25, 2.0])
def test_an_image_full_of_another_size_is_looked_at_there_and_that_is_said(step):
    diameter = KNOWN / step
    count = int(0.2 * SIDE**2 / (np.pi / 4 * diameter**2))
    scale, (note,) = Looks({step: on_grid(count, diameter)}).choose(run_of())
    assert scale == step
    assert f"beads of about {diameter:.3g} px" in note
    assert "runs/a" in note and "--diameter 16" in note
    assert "\n" not in note


@pytest.mark.parametrize(
    "evidence",
    [
        {"count": 4},
        {"covered": 0.04},
        {"probability": 0.75},
        {"factor": 2.2},  # of another size than the known one there
    ],
)
def test_less_than_overwhelming_evidence_changes_nothing(evidence):
    side, diameter = 300, KNOWN / 0.25 * evidence.get("factor", 1)
    count = evidence.get("count", 6)
    if "covered" in evidence:
        side = round(np.sqrt(count * np.pi / 4 * diameter**2 / evidence["covered"]))
    looks = Looks(
        {0.25: on_grid(count, diameter, side)}, side, evidence.get("probability", 0.95)
    )
    assert looks.choose(run_of()) == (1.0, ())
    assert 0.25 in looks.scales


@pytest.mark.parametrize(("diameter", "stays"), [(28, True), (36, False)])
def test_what_the_known_size_covers_counts_against_another(diameter, stays):
    side = 128  # four beads of 16 px cover 4.9 %, six of 28 px 22 %, of 36 px 37 %
    found = {1.0: on_grid(4, KNOWN, side), 0.5: on_grid(6, diameter, side)}
    scale, notes = Looks(found, side).choose(run_of())
    assert (scale == 1.0, notes == ()) == (stays, stays)


def test_where_nothing_is_found_the_size_of_training_stands():
    looks = Looks()
    assert looks.choose(run_of(0.5)) == (0.5, ())
    assert looks.scales[0] == 0.5


@pytest.mark.parametrize(
    ("here", "there", "scale"),
    [
        (0.25, 0.5, 0.5),  # um a pixel: as many um are twice as many px here
        (1.0, 0.5, 2.0),
        (0.51, 0.5, 1.0),  # the same but for rounding
        (None, 0.5, 1.0),
        (0.25, None, 1.0),
        (0.001, 1.0, SMALLEST_SCALE),
        (100.0, 1.0, LARGEST_SCALE),
    ],
)
def test_beads_have_as_many_um_where_both_pixel_sizes_are_known(here, there, scale):
    side = max(64, round(5 * KNOWN / scale))
    looks = Looks({scale: on_grid(6, KNOWN / scale, side)}, side)
    assert looks.choose(run_of(pixel_size=there), pixel_size=here) == (scale, ())
    assert looks.scales == [scale]


@pytest.mark.parametrize("asked", [8.0, 15.0, 60.0])
def test_a_diameter_that_is_given_wins(asked):
    looks = Looks({1.0: on_grid(20, KNOWN)})
    scale, notes = looks.choose(run_of(0.5, pixel_size=0.5), asked, pixel_size=0.1)
    assert scale == (1.0 if asked == 15 else KNOWN / asked)
    assert notes == () and looks.scales == [scale]


@pytest.mark.parametrize("asked", [1.9, 257.0, 9999.0])
def test_a_diameter_beyond_all_resampling_is_one_line(asked):
    with pytest.raises(BeadsegError, match=f"--diameter {asked:g}") as error:
        Looks().choose(run_of(), asked)
    assert "\n" not in str(error.value)


def test_other_looks_are_never_dear_nor_at_a_few_pixels(monkeypatch):
    monkeypatch.setattr(size, "MOST", 300**2)
    for side in (40, 200, 512):
        looks = Looks(side=side)
        looks.choose(run_of())
        assert len(looks.scales) > 1
        for scale in looks.scales[1:]:
            assert 16 <= side * scale <= 300


def test_a_run_that_knows_no_size_looks_once_as_in_training():
    looks = Looks()
    assert looks.choose(run_of(0.7, bead_diameter=None)) == (0.7, ())
    assert looks.scales == [0.7]
