"""The training step and the evaluation step: pure functions of state and batch.

`train_step(state, hp, batch)` is the single code path of a plain run, of a member of
a sweep, and of every device: the loss is a mean of per-example losses, so that equal
shares of a batch on several devices average to the same number.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from ml_collections import ConfigDict

from beadseg.losses import total_loss
from beadseg.metrics import (
    Confusion,
    ProbabilityHistogram,
    probability_histogram,
    ratios,
)
from beadseg.training.state import Hyperparameters, TrainState

Batch = dict[str, jax.Array]


class TrainSums(NamedTuple):
    """What one training step adds to the metrics: f32 scalars, summed over devices.

    `loss` is the sum over `examples`; `gradient_norm` (before clipping) and
    `learning_rate` are sums over `steps`; `confusion` holds pixel counts at
    probability 0.5.
    """

    loss: jax.Array
    examples: jax.Array
    steps: jax.Array
    gradient_norm: jax.Array
    learning_rate: jax.Array
    confusion: Confusion

    @classmethod
    def none(cls) -> "TrainSums":
        """Of no step, on the host: f64."""
        zero = np.zeros((), np.float64)
        return cls(*[zero] * 5, confusion=Confusion(*[zero] * 4))

    def numbers(self) -> dict[str, float]:
        """All that goes into a row of the logs."""
        return {
            "loss": float(self.loss / self.examples),
            "gradient_norm": float(self.gradient_norm / self.steps),
            "learning_rate": float(self.learning_rate / self.steps),
            **ratios(self.confusion),
        }


class Evaluated(NamedTuple):
    """What one evaluation step gives for each example of a batch."""

    loss: jax.Array  # f32[B]
    histogram: ProbabilityHistogram  # i32[B, BINS]
    probability: jax.Array  # f32[B, H, W, 1]
    distance: jax.Array | None  # f32[B, H, W, 1], where the network has that head


def learning_rate(
    state: TrainState, hp: Hyperparameters, config: ConfigDict, total_steps: int
) -> jax.Array:
    """Rate of the coming step: warm-up, cosine and plateau, never below the floor."""
    step = state.step.astype(jnp.float32)
    rate = hp.learning_rate * state.plateau.scale
    if config.optim.cosine:
        span = max(total_steps - config.optim.warmup_steps, 1)
        done = jnp.clip((step - config.optim.warmup_steps) / span, 0.0, 1.0)
        rate = rate * 0.5 * (1.0 + jnp.cos(jnp.pi * done))
    floor = jnp.minimum(config.plateau.min_learning_rate, hp.learning_rate)
    rate = jnp.maximum(rate, floor)
    if config.optim.warmup_steps:
        rate = rate * jnp.minimum(1.0, (step + 1.0) / config.optim.warmup_steps)
    return rate


def make_train_step(
    model, config: ConfigDict, total_steps: int, axis_name: str | None = None
) -> Callable[[TrainState, Hyperparameters, Batch], tuple[TrainState, TrainSums]]:
    """Builds `train_step` for a model and the static part of a config.

    Args:
      model: a Flax module, see `beadseg.models.build`.
      config: the run's config; its traced numbers come through `hp` instead.
      total_steps: length of the cosine schedule.
      axis_name: the `pmap` axis over which a batch is spread; None under `jit`.
    """

    model = model.clone(axis_name=axis_name)

    def train_step(
        state: TrainState, hp: Hyperparameters, batch: Batch
    ) -> tuple[TrainState, TrainSums]:
        keys = _example_keys(state, batch["image"].shape[0], axis_name)

        def mean_loss(params):
            outputs, updated = model.apply(
                {"params": params, "batch_stats": state.statistics},
                batch["image"],
                train=True,
                dropout_rate=hp.dropout,
                dropout_keys=keys,
                mutable=["batch_stats"],
            )
            losses = _losses(config, outputs, batch, hp, state)
            return losses.mean(), (outputs["mask"], updated.get("batch_stats", {}))

        gradient_of = jax.value_and_grad(mean_loss, has_aux=True)
        (loss, (logits, statistics)), gradients = gradient_of(state.params)
        examples = jnp.float32(batch["image"].shape[0])
        counts = _confusion(logits, batch["mask"], batch["weight"])
        if axis_name is not None:
            loss, gradients = lax.pmean((loss, gradients), axis_name)
            examples, counts = lax.psum((examples, counts), axis_name)
        norm = optax.tree.norm(gradients)
        rate = learning_rate(state, hp, config, total_steps)
        params, adam = _adamw(state, gradients, rate, hp)
        sums = TrainSums(
            loss * examples, examples, jnp.float32(1.0), norm, rate, counts
        )
        state = state._replace(
            step=state.step + 1, params=params, statistics=statistics, adam=adam
        )
        return state, sums

    return train_step


def make_eval_step(
    model, config: ConfigDict
) -> Callable[[TrainState, Hyperparameters, Batch], Evaluated]:
    """Builds `eval_step(state, hp, batch) -> Evaluated`."""

    def eval_step(state: TrainState, hp: Hyperparameters, batch: Batch) -> Evaluated:
        variables = {"params": state.params, "batch_stats": state.statistics}
        outputs = model.apply(variables, batch["image"])
        probability = jax.nn.sigmoid(outputs["mask"])
        distance = outputs.get("distance")
        return Evaluated(
            loss=_losses(config, outputs, batch, hp, state),
            histogram=probability_histogram(
                probability, batch["mask"], batch["weight"]
            ),
            probability=probability,
            distance=None if distance is None else jax.nn.sigmoid(distance),
        )

    return eval_step


def _losses(config, outputs, batch, hp, state) -> jax.Array:
    completeness = state.completeness
    if "completeness" in batch:  # 0 where not given
        given = batch["completeness"]
        completeness = jnp.where(given > 0.0, given, completeness)
    targets = {
        key: batch[key] for key in ("mask", "weight", "distance") if key in batch
    }
    options = hp.loss | {"completeness": completeness}
    return total_loss(config.loss.name, outputs, options=options, **targets)


def _confusion(logits, mask, weight) -> Confusion:
    """Known pixels at probability 0.5: f32, exact up to 2**24 pixels a batch."""
    known, bead, found = weight > 0, mask >= 0.5, logits >= 0.0

    def count(pixels):
        return jnp.sum(known & pixels, dtype=jnp.float32)

    return Confusion(
        true_positive=count(bead & found),
        false_positive=count(~bead & found),
        false_negative=count(bead & ~found),
        true_negative=count(~bead & ~found),
    )


def _adamw(state, gradients, rate, hp):
    """AdamW (Loshchilov and Hutter 2019) after clipping by global norm.

    Built anew in each step, as its numbers are traced. Only its moments are state.
    """
    optimiser = optax.chain(
        optax.clip_by_global_norm(hp.clip_norm),
        optax.adamw(rate, weight_decay=hp.weight_decay, mask=_kernels),
    )
    clipping, (_, *stateless) = optimiser.init(state.params)
    before = clipping, (state.adam, *stateless)
    with jax.numpy_dtype_promotion("standard"):  # optax raises a float to an int32
        updates, after = optimiser.update(gradients, before, state.params)
    return optax.apply_updates(state.params, updates), after[1][0]


def _kernels(params):
    return jax.tree_util.tree_map_with_path(lambda p, _: p[-1].key == "kernel", params)


def _example_keys(state: TrainState, examples: int, axis_name: str | None):
    """One key an example of the whole batch, whichever device it is on."""
    key = jax.random.fold_in(jax.random.wrap_key_data(state.key), state.step)
    first = 0 if axis_name is None else lax.axis_index(axis_name) * examples
    return jax.vmap(lambda i: jax.random.fold_in(key, i))(first + jnp.arange(examples))
