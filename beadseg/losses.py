"""Losses: pure functions from logits to one number per example.

Every loss is `fn(logits, mask, weight, *, options) -> f32[B]` with logits, mask and
weight [B, H, W, 1]; options are keywords and may be traced, so that the members of a
sweep can differ in them. Pixels of weight 0 are unknown: neither their logits nor their
mask changes the value or the gradient, whatever they hold. An example without a known
pixel has loss 0. The mask may be fractional, as it is at the lower levels of deep
supervision.

Those that take `completeness` are for masks that label only that share of the beads: a
pixel of the mask is a bead for certain, one outside is background or a bead that was
left out. It is a scalar or f32[B, 1, 1, 1], and at 1 they are plain losses.
"""

import inspect
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from jax import Array

from beadseg.errors import BeadsegError

Number = Array | float
# Added to both sides of the Dice ratio, as a share of the known pixels. It decides how
# an example without beads is judged: predicting this share of it costs 1/2. Counted in
# pixels (smooth=1, as is common) it would call one wrong pixel in 10,000 a failure.
SMOOTHING = 0.01
EXCLUDED = 0.5  # probability from which an unlabelled pixel may be a bead left out
BOUNDARY_WIDTH = 5  # px, side of the square that meets both bead and background


def bce(logits: Array, mask: Array, weight: Array) -> Array:
    """Binary cross-entropy, weighted mean over the pixels: f32[B]."""
    logits, mask, weight = _known(logits, mask, weight)
    return _mean(optax.sigmoid_binary_cross_entropy(logits, mask), weight)


def focal(
    logits: Array,
    mask: Array,
    weight: Array,
    *,
    gamma: Number = 2.0,
    positive_weight: Number = 0.5,
) -> Array:
    """Cross-entropy times (1 - probability of the truth)**gamma, weighted mean: f32[B].

    Bead pixels count `positive_weight`, background `1 - positive_weight` (alpha of
    Lin et al. 2017, arXiv 1708.02002); gamma 0 and 0.5 give half of `bce`.
    """
    logits, mask, weight = _known(logits, mask, weight)
    each = optax.sigmoid_focal_loss(logits, mask, alpha=positive_weight, gamma=gamma)
    return _mean(each, weight)


def dice(logits: Array, mask: Array, weight: Array) -> Array:
    """1 - 2 |P M| / (|P| + |M|) with P the probability, soft Dice: f32[B].

    Milletari et al. 2016, arXiv 1606.04797, without its squares; smoothed as said at
    `SMOOTHING`, so that an example without beads costs about 0 when none is predicted.
    """
    return tversky(logits, mask, weight, alpha=0.5, beta=0.5)


def tversky(
    logits: Array,
    mask: Array,
    weight: Array,
    *,
    alpha: Number = 0.5,
    beta: Number = 0.5,
) -> Array:
    """1 - TP / (TP + alpha FP + beta FN) in soft counts: f32[B].

    alpha weighs false positives, beta false negatives (Salehi et al. 2017, arXiv
    1706.05721): beta > alpha finds more and is wrong more often.
    """
    logits, mask, weight = _known(logits, mask, weight)
    probability = nn.sigmoid(logits)
    true_positive = _sum(weight * probability * mask)
    false_positive = _sum(weight * probability * (1.0 - mask))
    false_negative = _sum(weight * (1.0 - probability) * mask)
    known = _sum(weight)
    # Half, because Dice counts the true positives twice.
    smoothing = 0.5 * SMOOTHING * known
    errors = alpha * false_positive + beta * false_negative
    total = true_positive + errors + smoothing
    return errors / jnp.where(known > 0.0, total, 1.0)


def combined(logits: Array, mask: Array, weight: Array, *, mix: Number = 0.5) -> Array:
    """mix * bce + (1 - mix) * dice: f32[B]."""
    cross_entropy = bce(logits, mask, weight)
    return mix * cross_entropy + (1.0 - mix) * dice(logits, mask, weight)


def boundary(logits: Array, mask: Array, weight: Array) -> Array:
    """Binary cross-entropy on the pixels next to the edge of a bead, mean: f32[B].

    The edge is where the `BOUNDARY_WIDTH` square around a pixel holds both known bead
    and known background: the narrow gaps that part touching beads, to which
    Ronneberger et al. 2015 (arXiv 1505.04597) give weight in the same intent.
    0 where there is no such pixel.
    """
    logits, mask, weight = _known(logits, mask, weight)
    known = weight > 0.0
    bead = _near(jnp.where(known, mask, 0.0))
    background = _near(jnp.where(known, 1.0 - mask, 0.0))
    edge = jnp.minimum(bead, background)
    each = optax.sigmoid_binary_cross_entropy(logits, mask)
    return _mean(each, weight * edge)


def distance_loss(logits: Array, distance: Array, weight: Array) -> Array:
    """Binary cross-entropy of the "distance" head with its soft target: f32[B].

    `distance` is 0..1, see `beadseg.data.targets.distance`; below 0 it is unknown.
    """
    return bce(logits, distance, jnp.where(distance < 0.0, 0.0, weight))


def forward_bce(
    logits: Array, mask: Array, weight: Array, *, completeness: Number = 1.0
) -> Array:
    """-log c p on labelled pixels, -log(1 - c p) on others, mean: f32[B].

    The likelihood of what was labelled, if beads were left out at random (the forward
    correction of Patrini et al. 2017, arXiv 1609.03683, for this one kind of error).
    Its optimum is the probability p of a bead, not of a label; what pushes an
    unlabelled bead down fades as the network becomes sure of it. The constant
    -log c is left out.
    """
    logits, mask, weight = _known(logits, mask, weight)
    labelled = jax.nn.log_sigmoid(logits)
    # log(1 - c p) = log((1 - c) e^z + 1) - log(e^z + 1), without overflow.
    lacking = jnp.log(jnp.maximum(1.0 - completeness, 1e-7))
    unlabelled = nn.softplus(logits + lacking) - nn.softplus(logits)
    return _mean(-mask * labelled - (1.0 - mask) * unlabelled, weight)


def expected_dice(
    logits: Array, mask: Array, weight: Array, *, completeness: Number = 1.0
) -> Array:
    """Soft Dice of what the complete mask is expected to be: f32[B].

    Labelled pixels stand for 1 / c of their kind, in overlap and size:
    1 - 2 |P M| / (c |P| + |M|).
    """
    logits, mask, weight = _known(logits, mask, weight)
    share = jnp.reshape(jnp.asarray(completeness, jnp.float32), (-1,))
    probability = nn.sigmoid(logits)
    overlap = 2.0 * _sum(weight * probability * mask)
    sizes = share * _sum(weight * probability) + _sum(weight * mask)
    smoothing = SMOOTHING * share * _sum(weight)
    total = sizes + smoothing
    return (sizes - overlap) / jnp.where(total > 0.0, total, 1.0)


def forward_bce_dice(
    logits: Array, mask: Array, weight: Array, *, completeness: Number = 1.0
) -> Array:
    """Half `forward_bce`, half `expected_dice`: f32[B]."""
    options = {"completeness": completeness}
    return 0.5 * forward_bce(logits, mask, weight, **options) + 0.5 * expected_dice(
        logits, mask, weight, **options
    )


def nnpu(
    logits: Array, mask: Array, weight: Array, *, completeness: Number = 1.0
) -> Array:
    """Non-negative risk of positive and unlabelled pixels, logistic loss: f32[B].

    pi R(labelled, +) + max(0, R(all, -) - pi R(labelled, -)), with R the mean loss and
    pi = |M| / c the share of bead pixels (Kiryo et al. 2017, arXiv 1703.00593, for one
    sample of which a part is labelled).
    """
    logits, mask, weight = _known(logits, mask, weight)
    share = jnp.reshape(jnp.asarray(completeness, jnp.float32), (-1,))
    known = jnp.maximum(_sum(weight), 1e-6)
    as_bead, as_background = nn.softplus(-logits), nn.softplus(logits)
    positive = _sum(weight * mask * as_bead) / (share * known)
    negative = _sum(weight * as_background) / known
    negative -= _sum(weight * mask * as_background) / (share * known)
    return positive + jnp.maximum(negative, 0.0)


def exclusive(
    logits: Array, mask: Array, weight: Array, *, completeness: Number = 1.0
) -> Array:
    """Cross-entropy without the unlabelled pixels that look like beads: f32[B].

    Pixels outside the mask count as background only while the network holds them for
    less than `EXCLUDED` of a bead (after Panteli et al. 2021, arXiv 2104.10425).
    `completeness` 1 counts all.
    """
    logits, mask, weight = _known(logits, mask, weight)
    seen = jax.lax.stop_gradient(nn.sigmoid(logits)) >= EXCLUDED
    partial = jnp.asarray(completeness) < 1.0
    doubted = seen & (mask < 0.5) & partial
    each = nn.softplus(logits) - mask * logits
    return _mean(each, jnp.where(doubted, 0.0, weight))


LOSSES: dict[str, Callable[..., Array]] = {
    "bce": bce,
    "focal": focal,
    "dice": dice,
    "tversky": tversky,
    "combined": combined,
    "forward_bce": forward_bce,
    "expected_dice": expected_dice,
    "forward_bce_dice": forward_bce_dice,
    "nnpu": nnpu,
    "exclusive": exclusive,
}


def loss_options(name: str) -> tuple[str, ...]:
    """The names of the options that loss `name` takes, in `config.loss`.

    Raises:
      BeadsegError: for a loss that is not in `LOSSES`.
    """
    if name not in LOSSES:
        raise BeadsegError(
            f"loss.name: {name!r} is unknown; known are {', '.join(LOSSES)}"
        )
    parameters = inspect.signature(LOSSES[name]).parameters.values()
    return tuple(p.name for p in parameters if p.kind is p.KEYWORD_ONLY)


def total_loss(
    name: str,
    outputs: Mapping[str, Array | tuple[Array, ...]],
    mask: Array,
    weight: Array,
    options: Mapping[str, Number],
    distance: Array | None = None,
) -> Array:
    """Loss `name` of the "mask" head, with deep supervision and further terms: f32[B].

    `options` may hold all fields of `config.loss`; those that the loss does not take
    are ignored, but for "boundary" and "distance", the weights of those terms. The
    second needs the head and its target `distance`. Where the model gives "deep",
    level k (halved k times) counts 2**-k and all levels together 1
    (Lee et al. 2015, arXiv 1409.5185).

    Raises:
      BeadsegError: for a loss that is not in `LOSSES`.
    """
    chosen = {key: options[key] for key in loss_options(name) if key in options}
    loss = LOSSES[name]
    value = loss(outputs["mask"], mask, weight, **chosen)
    share, coarse_mask, coarse_weight = 1.0, mask, weight
    for level, logits in enumerate(outputs.get("deep", ()), start=1):
        coarse_mask, coarse_weight = _pool(coarse_mask, coarse_weight)
        value += 0.5**level * loss(logits, coarse_mask, coarse_weight, **chosen)
        share += 0.5**level
    value = value / share
    if "completeness" in chosen:
        weight *= _trust(outputs["mask"], mask, chosen["completeness"])
    if "boundary" in options:
        value += options["boundary"] * boundary(outputs["mask"], mask, weight)
    if "distance" in outputs and distance is not None:
        value += options["distance"] * distance_loss(
            outputs["distance"], distance, weight
        )
    return value


def _trust(logits, mask, completeness) -> Array:
    """How probable it is that a pixel is what the mask says, as the network sees it."""
    probability = jax.lax.stop_gradient(nn.sigmoid(logits))
    background = (1.0 - probability) / jnp.maximum(
        1.0 - completeness * probability, 1e-6
    )
    return jnp.where(mask > 0.0, 1.0, background)


def _known(logits: Array, mask: Array, weight: Array) -> tuple[Array, Array, Array]:
    """All in f32, with 0 in unknown pixels: 0 times infinity would be NaN."""
    known = weight > 0
    logits = jnp.where(known, logits, 0).astype(jnp.float32)
    mask = jnp.where(known, mask, 0).astype(jnp.float32)
    return logits, mask, weight.astype(jnp.float32)


def _sum(x: Array) -> Array:
    return x.sum((1, 2, 3))


def _mean(x: Array, weight: Array) -> Array:
    total = _sum(weight)
    return _sum(x * weight) / jnp.where(total > 0.0, total, 1.0)


def _near(x: Array) -> Array:
    """The maximum in the square around each pixel, one axis after the other."""
    x = nn.max_pool(x, (BOUNDARY_WIDTH, 1), padding="SAME")
    return nn.max_pool(x, (1, BOUNDARY_WIDTH), padding="SAME")


def _pool(mask: Array, weight: Array) -> tuple[Array, Array]:
    """Means of 2x2 known pixels; an odd last row or column is joined by unknown."""
    rest = [(0, 0), *((0, size % 2) for size in mask.shape[1:3]), (0, 0)]
    bead, total = jnp.where(weight > 0, weight * mask, 0), weight

    def mean(x):
        x = jnp.pad(x, rest)
        batch, height, width, _ = x.shape
        x = x.reshape(batch, height // 2, 2, width // 2, 2)
        return x.mean((2, 4))[..., None]

    bead, total = mean(bead), mean(total)
    return bead / jnp.where(total > 0, total, 1), total
