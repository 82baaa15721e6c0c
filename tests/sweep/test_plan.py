import json
import math

import jax
import jax.numpy as jnp
import pytest

from beadseg import models
from beadseg.errors import BeadsegError
from beadseg.sweep import command, plan
from beadseg.sweep.folder import SweepFolder
from beadseg.sweep.points import configs, over, product
from beadseg.sweep.sweep_file import Sweep, sweep_of, sweep_workdir
from beadseg.training.run_data import open_data
from configs import base, sweep_grid, sweep_loss, sweep_lr, sweep_seeds


def grouped(points):
    found = configs(base.get_config(), points)
    return plan.groups(found, range(len(found)))


def test_traced_numbers_share_a_group_and_static_fields_part_it():
    points = product(
        over("loss.name", "bce", "dice"),
        over("optim.learning_rate", 1e-4, 1e-3),
        over("data.batch_size", 8, 16),
    )
    found = grouped(points)
    assert [g.members for g in found] == [(0, 2), (1, 3), (4, 6), (5, 7)]
    assert found[1].static == {"data.batch_size": 16, "loss.name": "bce"}


@pytest.mark.parametrize(
    ("field", "values", "count"),
    [
        ("seed", (0, 1, 2), 1),
        ("loss.boundary", (0.0, 0.5, 1.0), 2),  # a term that is off is not compiled
        ("plateau.patience", (3, 10), 1),
        ("plateau.min_learning_rate", (1e-6, 1e-5), 2),
        ("train.early_stopping", (5, 10), 1),
        ("optim.warmup_steps", (0, 10), 2),
        ("model.width", (8, 16), 2),
        ("data.augment.blur", (0.0, 1.0), 2),  # a group shares its batches
    ],
)
def test_each_field_is_of_its_kind(field, values, count):
    assert len(grouped(over(field, *values))) == count


@pytest.mark.parametrize(
    ("file", "members", "programs"),
    [(sweep_grid, 108, 18), (sweep_loss, 12, 6), (sweep_lr, 8, 1), (sweep_seeds, 5, 1)],
)
def test_shipped_sweeps_have_the_members_and_programs_they_say(file, members, programs):
    found = sweep_of(file.__file__, file.get_config())
    line = command.summary(found, file.get_config())
    assert line.startswith(f"{members} members in ")
    assert str(programs) in line or (programs == 1 and "one compiled" in line)


def test_a_value_out_of_range_is_named_before_anything_runs():
    with pytest.raises(BeadsegError, match="config.model.dropout = 1.5"):
        grouped(over("model.dropout", 0.1, 1.5))


def test_operations_and_parameters_equal_a_count_by_hand():
    config = base.get_config()
    config.model.width, config.model.depth, config.model.norm = 4, 1, "none"
    config.model.heads = ("mask",)
    config.data.crop, config.data.batch_size = 16, 2
    found = plan.cost(config)
    model = models.build(config.model)
    image = jnp.zeros((1, 16, 16, 1))
    variables = jax.eval_shape(model.init, jax.random.key(0), image)
    kernels = {
        jax.tree_util.keystr(path): leaf.shape
        for path, leaf in jax.tree_util.tree_leaves_with_path(variables["params"])
    }
    assert found.parameters == sum(math.prod(s) for s in kernels.values())
    # Two 3x3 convolutions at each of: full, half, full again; one up, one head.
    full, half = 16 * 16, 8 * 8
    multiplied = full * 9 * (1 * 4 + 4 * 4) + half * 9 * (4 * 8 + 8 * 8)
    multiplied += half * 8 * 4 * 4 + full * 9 * (8 * 4 + 4 * 4) + full * 4
    # Narrow convolutions take two pixels as one, for up to a third more.
    assert 1 <= found.flop / (3 * 2 * 2 * multiplied) <= 4 / 3


def test_as_many_members_at_once_as_memory_holds_and_at_least_one():
    cost = plan.Cost(parameters=1, flop=1.0, state_bytes=100, step_bytes=1000)
    assert plan.at_once(cost, "loop", 8, 10_000) == 8
    assert plan.at_once(cost, "loop", 8, 2_000) == 6
    assert plan.at_once(cost, "vmap", 8, 6_000) == 4
    assert plan.at_once(cost, "vmap", 8, 10) == 1
    assert plan.at_once(cost, "vmap", 8, None) == 8


def test_the_time_of_a_dry_run_is_that_of_steps_programs_and_members(monkeypatch):
    config = base.get_config()
    config.model.width, config.model.depth, config.data.crop = 4, 1, 16
    config.train.steps_per_epoch, config.train.epochs = 100, 30
    points = product(over("loss.name", "bce", "dice"), over("seed", 0, 1, 2))
    flop = plan.cost(config).flop
    monkeypatch.setattr(plan, "device_speed", lambda: 3000 * flop / 20)  # 20 s each
    found = command.dry_run(Sweep(points, None), config)
    seconds = plan.START + 6 * (20 + plan.MEMBER) + 2 * plan.PROGRAM
    assert f"{seconds / 60:.0f} min in all" in found
    config.train.steps_per_epoch, config.data.dir = None, "somewhere"
    found = command.dry_run(Sweep(points, None), config)
    assert "time: not known before images are read" in found


def test_steps_on_generated_beads_are_known_before_they_are_drawn(tmp_path):
    config = base.get_config()
    config.data.cache_dir = str(tmp_path)
    config.data.generated.count, config.data.generated.size = 20, 80
    config.data.generated.modalities = ("fluorescence",)
    config.data.crop, config.data.batch_size, config.train.epochs = 32, 4, 3
    drawn = open_data(config).epoch_steps * 3
    assert abs(plan.steps(config) - drawn) <= 0.1 * drawn


def test_a_dry_run_names_groups_members_memory_and_how():
    config = base.get_config()
    config.model.width, config.model.depth, config.data.crop = 4, 1, 16
    config.train.steps_per_epoch = 10
    points = product(over("loss.name", "bce", "dice"), over("seed", 0, 1))
    found = command.dry_run(Sweep(points, None), config)
    for words in (
        "group 1: loss.name=dice; 2 members, 2 at once",
        "  member 003: seed=1",
        "4 members in 2 compiled programs",
        "measured when it starts",
        "in all",
    ):
        assert words in found


def test_a_sweep_of_before_a_setting_was_added_is_found(tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    points = [{"seed": 0, "model.heads": ("mask",)}, {"seed": 1}]
    sweep = Sweep(points, None)
    of_today = sweep_workdir(sweep, tiny, "loss")
    before = of_today.with_name("loss-0a1b2c")
    SweepFolder(before, "loss", tiny, points)
    file = before / "sweep.json"
    told = json.loads(file.read_text())
    del told["config"]["train.early_stopping"]
    file.write_text(json.dumps(told))
    assert sweep_workdir(sweep, tiny, "loss") == before
    assert sweep_workdir(Sweep(points[:1], None), tiny, "loss") != before
    tiny.train.epochs += 1  # a sweep does not grow
    assert sweep_workdir(sweep, tiny, "loss") != before
