import dataclasses
import math
from operator import attrgetter

import pytest

from beadseg.analysis.recommendation import FILE, write_config
from beadseg.analysis.regime import DENSE, SPARSE, distance, regime, sentence, table
from beadseg.analysis.rules import RULES, complain, recommend
from beadseg.config import base_config, load_config


@pytest.fixture
def recommended(tmp_path):
    """The settings of the file that is written for an overview."""

    def of(overview):
        text = write_config(overview, tmp_path, tmp_path)
        (tmp_path / FILE).write_text(text)
        return load_config(str(tmp_path / FILE))

    return of


def test_references_are_at_no_distance_from_themselves(dense, sparse):
    assert distance(dense, DENSE) == 0
    assert distance(sparse, SPARSE) == 0


def test_distance_counts_doublings_and_coverage_twice(dense):
    twice = dataclasses.replace(dense, objects=200.0)
    assert distance(twice, DENSE) == pytest.approx(1)
    thin = dataclasses.replace(dense, coverage=0.15)
    assert distance(thin, DENSE) == pytest.approx(2)


def test_each_kind_is_named(dense, sparse):
    assert regime(dense).name == "dense"
    assert regime(sparse).name == "sparse"
    tiles = dataclasses.replace(sparse, objects=20.0, coverage=0.055, spacing=1.7)
    assert regime(tiles).name == "sparse"
    middle = dataclasses.replace(dense, objects=50.0, coverage=0.08, spacing=1.3)
    assert regime(middle).name == "between"


def test_nothing_seen_is_said_to_be_unknown(dense):
    none = dataclasses.replace(dense, objects=0.0, coverage=0.0)
    found = regime(none)
    assert found.name == "unknown" and math.isnan(found.from_dense)
    assert "No objects" in sentence(found)
    assert len(table(none)) == 5


def test_base_settings_with_the_recommendation_raise_no_complaint(
    dense, partial, recommended
):
    for overview in (dense, partial):
        config = recommended(overview)
        assert [c.field for c in complain(config, overview)] == []


@pytest.mark.parametrize(
    "field, value",
    [
        ("data.crop", 32),
        ("data.crop", 1024),
        ("data.batch_size", 4000),
        ("optim.learning_rate", 1e-6),
        ("optim.learning_rate", 0.1),
        ("train.early_stopping", 3),
        ("data.bead_diameter", 400.0),
        ("data.bead_diameter", 6.0),
        ("model.heads", ("mask",)),
        ("data.normalise.flatten", 1.0),
    ],
)
def test_a_bad_setting_is_named_and_it_alone(dense, recommended, field, value):
    config = recommended(dense)
    config.update_from_flattened_dict({field: value})
    assert field in [c.field for c in complain(config, dense)]


def test_focal_loss_is_named_on_balanced_classes_but_not_on_rare_ones(dense, sparse):
    config = base_config()
    config.loss.name = "focal"
    assert "loss.name" in [c.field for c in complain(config, dense)]
    assert "loss.name" not in [c.field for c in complain(config, sparse)]


def test_partial_masks_are_told_to_the_run(partial):
    assert recommend(partial)["partial.completeness"][0].value == 0.4
    config = base_config()
    config.partial.method = "none"
    config.train.threshold = 0.5
    fields = [c.field for c in complain(config, partial)]
    assert {"partial.completeness", "train.threshold"} <= set(fields)


def test_masks_are_not_called_partial_where_the_estimate_is_blind(dense):
    blind = dataclasses.replace(dense, labelled=0.1, seen=0.2)
    assert not blind.partial
    assert "partial.completeness" not in recommend(blind)


def test_every_rule_speaks_of_a_field_there_is_and_of_a_measurement():
    config = base_config()
    for rule in RULES:
        attrgetter(rule.field)(config)
        assert rule.measured
