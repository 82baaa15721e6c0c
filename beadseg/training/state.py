"""What a member of a sweep is: its hyperparameters and its state, both pytrees.

Everything here is a pure function of arrays, so that a plain run and one member of a
vmapped sweep are the same code.
"""

from operator import attrgetter
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from ml_collections import ConfigDict
from optax import contrib

from beadseg.config import check_ranges
from beadseg.errors import BeadsegError
from beadseg.losses import loss_options

Params = Any


class Hyperparameters(NamedTuple):
    """The traced numbers of a run: they may differ between members of one program.

    All are f32 scalars but `seed` (u32) and `loss` (the options of the loss by name,
    and the weights "boundary" and "distance" of terms that are on: off, they cost
    nothing).
    """

    seed: jax.Array
    learning_rate: jax.Array
    weight_decay: jax.Array
    clip_norm: jax.Array
    dropout: jax.Array
    loss: dict[str, jax.Array]


# Which field of a config each is; those of the loss are `loss_options`.
TRACED = {
    "seed": "seed",
    "learning_rate": "optim.learning_rate",
    "weight_decay": "optim.weight_decay",
    "clip_norm": "optim.clip_norm",
    "dropout": "model.dropout",
}


class EarlyStopping(NamedTuple):
    """The best score of an evaluation so far and the evaluations since (scalars).

    The score is the validation Jaccard; F1 where masks are marks.
    """

    best: jax.Array
    best_epoch: jax.Array
    stale: jax.Array


class TrainState(NamedTuple):
    """All that changes in training.

    `key` is u32[2], folded with `step` at each use. `statistics` are the running means
    and variances of the norms that keep them, else empty. `completeness` is what the
    masks are taken to label of the beads, f32: 1 until it is given or estimated.
    """

    step: jax.Array
    key: jax.Array
    params: Params
    statistics: Params
    adam: optax.OptState
    plateau: contrib.ReduceLROnPlateauState
    stopping: EarlyStopping
    completeness: jax.Array

    @property
    def estimate(self) -> float | None:
        """Of the completeness, on the host; None while masks count as complete."""
        share = float(self.completeness)
        return share if share < 1.0 else None


def hyperparameters(config: ConfigDict) -> Hyperparameters:
    """Reads the traced numbers out of a config.

    Raises:
      BeadsegError: a number is out of its range; the line names the field.
    """
    check_ranges(config)
    options = list(loss_options(config.loss.name))
    if config.loss.boundary:
        options.append("boundary")
    if "distance" in config.model.heads:
        options.append("distance")
    options = [name for name in options if name != "completeness"]  # is in the state
    lacking = [name for name in options if name not in config.loss]
    if lacking:
        raise BeadsegError(
            f"config.loss lacks {lacking[0]}, an option of {config.loss.name}: fields "
            "are in configs/base.py"
        )
    numbers = {
        name: (jnp.uint32 if name == "seed" else jnp.float32)(attrgetter(field)(config))
        for name, field in TRACED.items()
    }
    loss = {name: jnp.float32(config.loss[name]) for name in options}
    return Hyperparameters(**numbers, loss=loss)


def plateau_transform(config: ConfigDict) -> optax.GradientTransformationExtraArgs:
    """Reduce-on-plateau, updated once an evaluation; only its `scale` is used."""
    return contrib.reduce_on_plateau(
        factor=config.plateau.factor, patience=config.plateau.patience
    )


def create_state(model, config: ConfigDict, hp: Hyperparameters) -> TrainState:
    """Fresh weights and optimiser state for the seed in `hp`; jit and vmap safe."""
    key = jax.random.key(hp.seed)
    image = jnp.zeros((1, model.stride, model.stride, 1))
    variables = model.init(jax.random.fold_in(key, 0), image)
    params = variables["params"]
    return TrainState(
        step=jnp.int32(0),
        key=jax.random.key_data(jax.random.fold_in(key, 1)),
        params=params,
        statistics=variables.get("batch_stats", {}),
        adam=optax.scale_by_adam().init(params),
        plateau=plateau_transform(config).init(params),
        stopping=_no_stopping(),
        completeness=jnp.float32(1),
    )


def after_evaluation(
    state: TrainState,
    validation_loss: jax.Array,
    score: jax.Array,
    epoch: jax.Array,
    config: ConfigDict,
) -> TrainState:
    """Updates plateau and early stopping with one evaluation's f32 scalars."""
    plateau = state.plateau
    if config.plateau.enabled:
        with jax.numpy_dtype_promotion("standard"):  # optax adds int32 to float32
            _, plateau = plateau_transform(config).update(
                {}, plateau, value=validation_loss
            )
    better = score > state.stopping.best
    stopping = EarlyStopping(
        best=jnp.where(better, score, state.stopping.best),
        best_epoch=jnp.where(better, epoch, state.stopping.best_epoch),
        stale=jnp.where(better, 0, state.stopping.stale + 1),
    )
    return state._replace(plateau=plateau, stopping=stopping)


def with_completeness(
    state: TrainState, completeness: float, config: ConfigDict
) -> TrainState:
    """The state from which training continues with partial labels.

    The plateau and early stopping begin anew: losses and scores before were others.
    """
    return state._replace(
        completeness=jnp.float32(completeness),
        plateau=plateau_transform(config).init(state.params),
        stopping=_no_stopping(),
    )


def _no_stopping() -> EarlyStopping:
    return EarlyStopping(jnp.float32(-1), jnp.int32(0), jnp.int32(0))
