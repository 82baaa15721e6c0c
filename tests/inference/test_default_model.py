"""The model that comes with beadseg: it is there, small, and finds what it should."""

import json

import numpy as np
import pytest

import beadseg
from beadseg.data.generated import generate
from beadseg.data.generated_settings import GeneratedSettings
from beadseg.inference.matching import f1, match
from beadseg.inference.run import DEFAULT, load_run
from configs import default_model


def test_it_is_complete_and_small():
    size = sum(file.stat().st_size for file in DEFAULT.iterdir() if file.is_file())
    assert size < 12 * 2**20
    assert (DEFAULT / "CARD.md").read_text().startswith("# ")
    run = load_run(DEFAULT)
    assert run.bead_diameter == pytest.approx(16, rel=0.05)
    assert "distance" in run.model_config.heads


def test_it_is_what_its_config_asks_for():
    stored = json.loads((DEFAULT / "config.json").read_text())
    wanted = json.loads(json.dumps(default_model.get_config().to_dict()))
    for part in ("model", "loss", "optim", "train"):
        assert wanted[part].items() >= stored[part].items()
    for field in ("bead_diameter", "crop", "batch_size", "generated", "augment"):
        assert wanted["data"][field] == stored["data"][field]


@pytest.mark.parametrize("modality", ["fluorescence", "bright_field"])
@pytest.mark.parametrize("radius", [6, 18])
def test_it_finds_touching_beads_whatever_their_size(modality, radius):
    settings = GeneratedSettings(
        size=20 * radius,
        modalities=(modality,),
        patterns=("clusters",),
        beads=(20, 60),
        coverage=(0.2, 0.5),
        radius=(0.9 * radius, 1.1 * radius),
        overlap_share=0.0,
    )
    predictor = beadseg.load()
    scores = []
    for index in range(2):
        made = generate(settings, 100, index)
        found = predictor.predict(made.image)
        scores.append(f1(match(made.labels, found.labels, 0.5).counts))
    assert np.mean(scores) > 0.8
