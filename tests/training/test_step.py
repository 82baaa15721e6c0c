import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from beadseg import models
from beadseg.errors import BeadsegError
from beadseg.losses import LOSSES
from beadseg.training.devices import compile_steps
from beadseg.training.state import create_state, hyperparameters
from beadseg.training.step import make_train_step

GOLDEN = {"loss": 0.6795185, "gradient_norm": 0.0820064}


def begin(config):
    model = models.build(config.model)
    hp = hyperparameters(config)
    return model, hp, jax.jit(lambda hp: create_state(model, config, hp))(hp)


def run_steps(config, batch, devices, count=4):
    model, hp, state = begin(config)
    steps = compile_steps(model, config, 100, devices)
    hp, state = steps.place(hp), steps.place(state)
    for _ in range(count):
        state, sums = steps.train(state, hp, batch)
    return jax.device_get((state, sums, steps.evaluate(state, hp, batch)))


def assert_close(a, b, rtol=2e-4, atol=2e-5):
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(
            x.astype(np.float64), y.astype(np.float64), rtol, atol
        ),
        a,
        b,
    )


@pytest.mark.slow
@pytest.mark.parametrize("model", list(models.MODELS))
def test_jit_and_pmap_on_one_and_two_devices_give_the_same_numbers(tiny, batch, model):
    tiny.model.name = model
    tiny.model.dropout = 0.3
    ways = [("jit", 1), ("pmap", 2)]
    if model == "unet":
        ways += [("jit", 2), ("pmap", 1)]
    runs = []
    for how, devices in ways:
        tiny.train.parallel = how
        runs.append(run_steps(tiny, batch, jax.devices()[:devices]))
    for other in runs[1:]:
        assert_close(runs[0], other)


def test_a_member_of_a_vmapped_sweep_equals_the_run_alone(tiny, batch):
    model = models.build(tiny.model)
    tiny.loss.name = "tversky"
    settings = [{}, {"seed": 3}, {"optim.learning_rate": 3e-3, "loss.alpha": 0.3}]
    members = []
    for changes in settings:
        config = tiny.copy_and_resolve_references()
        config.update_from_flattened_dict(changes)
        members.append(hyperparameters(config))
    step = make_train_step(model, tiny, 100)
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *members)
    create = jax.jit(lambda hp: create_state(model, tiny, hp))
    together = jax.jit(jax.vmap(create))(stacked)
    sweep = jax.jit(jax.vmap(step, in_axes=(0, 0, None)))
    alone = [create(hp) for hp in members]
    single = jax.jit(step)
    for _ in range(3):
        together, _ = sweep(together, stacked, batch)
        alone = [single(s, hp, batch)[0] for s, hp in zip(alone, members, strict=True)]
    for i, state in enumerate(alone):
        member = jax.tree.map(lambda x, i=i: x[i], together)
        assert_close(
            jax.device_get(member.params), jax.device_get(state.params), 1e-3, 1e-4
        )


def test_the_update_is_that_of_optax_adamw_after_clipping(tiny, batch):
    tiny.model.dropout = 0.0
    tiny.optim.clip_norm = 0.05
    tiny.optim.weight_decay = 1.0
    model, hp, state = begin(tiny)

    def mean_loss(params):
        outputs, _ = model.apply(
            {"params": params, "batch_stats": state.statistics},
            batch["image"],
            train=True,
            mutable=["batch_stats"],
        )
        return LOSSES["dice"](outputs["mask"], batch["mask"], batch["weight"]).mean()

    decayed = jax.tree_util.tree_map_with_path(
        lambda path, _: path[-1].key == "kernel", state.params
    )
    reference = optax.chain(
        optax.clip_by_global_norm(0.05),
        optax.adamw(1e-3, weight_decay=1.0, mask=decayed),
    )

    def updated(params):
        gradients = jax.grad(mean_loss)(params)
        with jax.numpy_dtype_promotion("standard"):
            updates, _ = reference.update(gradients, reference.init(params), params)
        return gradients, optax.apply_updates(params, updates)

    gradients, expected = jax.jit(updated)(state.params)
    found, sums = jax.jit(make_train_step(model, tiny, 100))(state, hp, batch)
    assert_close(jax.device_get(found.params), jax.device_get(expected), 1e-4, 1e-5)
    assert float(sums.gradient_norm) == pytest.approx(
        float(optax.tree.norm(gradients)), rel=1e-4
    )


def test_unknown_pixels_change_nothing(tiny, batch):
    changed = {k: v.copy() for k, v in batch.items()}
    changed["mask"][:, :4] = 1 - changed["mask"][:, :4]
    first, again = (run_steps(tiny, b, jax.devices()[:1]) for b in (batch, changed))
    assert_close(first[0].params, again[0].params, 0, 0)
    assert_close(first[1].confusion, again[1].confusion, 0, 0)


def test_training_counts_equal_a_count_by_hand(tiny, batch):
    model, hp, state = begin(tiny)
    tiny.model.dropout = 0.0
    forward = functools.partial(model.apply, train=True, mutable=["batch_stats"])
    variables = {"params": state.params, "batch_stats": state.statistics}
    outputs, _ = jax.jit(forward)(variables, batch["image"])
    hp = hyperparameters(tiny)
    _, sums = jax.jit(make_train_step(model, tiny, 100))(state, hp, batch)
    found, bead = np.asarray(outputs["mask"]) >= 0, batch["mask"] > 0
    known = batch["weight"] > 0
    assert int(sums.confusion.true_positive) == (found & bead & known).sum()
    assert int(sums.confusion.false_positive) == (found & ~bead & known).sum()
    assert int(sums.confusion.false_negative) == (~found & bead & known).sum()
    assert int(sums.confusion.true_negative) == (~found & ~bead & known).sum()


def test_golden_step(tiny, batch):
    _, sums, _ = run_steps(tiny, batch, jax.devices()[:1], count=2)
    found = {"loss": sums.loss / sums.examples, "gradient_norm": sums.gradient_norm}
    for name, value in found.items():
        assert value == pytest.approx(GOLDEN[name], rel=2e-3), (
            f"{name} of the second step has changed from {GOLDEN[name]} to {value}: if "
            "a change of model, loss or optimiser was meant to do this, write the new "
            "numbers into GOLDEN and say so in the commit"
        )


def test_the_distance_head_learns_beside_the_mask(tiny, batch):
    tiny.model.heads = ("mask", "distance")
    tiny.model.dropout = 0.0
    batch = batch | {"distance": 0.5 * batch["mask"]}
    _, first, _ = run_steps(tiny, batch, jax.devices()[:1], count=1)
    tiny.optim.learning_rate = 5e-3
    state, later, found = run_steps(tiny, batch, jax.devices()[:1], count=12)
    assert float(later.loss) < float(first.loss)
    assert np.isfinite(found.loss).all()
    moved = state.params["head_distance"]["kernel"]
    assert np.isfinite(moved).all() and np.abs(moved).max() > 0.02


def test_an_uneven_share_of_a_batch_is_refused(tiny):
    tiny.data.batch_size = 3
    model, _, _ = begin(tiny)
    with pytest.raises(BeadsegError, match="batch_size = 3.*2 devices.*multiple of 2"):
        compile_steps(model, tiny, 100)


def test_an_unknown_kind_of_parallelism_is_answered_with_the_known(tiny):
    tiny.train.parallel = "threads"
    model, _, _ = begin(tiny)
    with pytest.raises(BeadsegError, match="'threads' is unknown.*jit.*pmap"):
        compile_steps(model, tiny, 100)


@pytest.mark.slow
def test_two_images_are_learnt_by_heart(tiny, batch):
    two = {k: np.concatenate([v[:2]] * 2) for k, v in batch.items()}
    tiny.model.width = 8
    tiny.model.dropout = 0.0
    tiny.optim.learning_rate = 5e-3
    model, hp, state = begin(tiny)
    steps = compile_steps(model, tiny, 300, jax.devices()[:1])
    hp, state = steps.place(hp), steps.place(state)
    for _ in range(300):
        state, _ = steps.train(state, hp, two)
    found = np.asarray(steps.evaluate(state, hp, two).probability) >= 0.5
    known, bead = two["weight"] > 0, two["mask"] > 0
    union = ((found | bead) & known).sum()
    assert (found & bead & known).sum() / union > 0.98
