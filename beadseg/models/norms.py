"""Norms: what keeps activations in range from layer to layer.

batch    statistics of the training batch; at inference a fixed map of each channel
weight   none of the activations: the kernels are standardised
channel  over the channels of each pixel
group    over space and groups of channels; a tile is not predicted as its image is
none     He's initialisation only
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

NORMS = ("batch", "weight", "channel", "group", "none")
RELU_GAIN = math.sqrt(2 / (1 - 1 / math.pi))  # unit variance after relu of a Gaussian
GROUP_SIZE = 8  # channels that share a statistic in the norm "group"
EPSILON = 1e-5
MOMENTUM = 0.9  # of the running statistics of the norm "batch"


def standardise_kernel(kernel: jax.Array) -> jax.Array:
    """Gives each output channel's weights mean 0 and variance 1 / fan-in.

    With the gain of the relu folded in, activations keep unit variance from layer to
    layer without a statistic of the activations themselves (scaled weight
    standardisation, Brock et al. 2021, arXiv 2101.08692). f32 [..., C_in, C_out].
    """
    axes = tuple(range(kernel.ndim - 1))
    fan_in = math.prod(kernel.shape[:-1])
    kernel = kernel - kernel.mean(axes, keepdims=True)
    squares = jnp.square(kernel).sum(axes, keepdims=True)
    return kernel * (RELU_GAIN * jax.lax.rsqrt(squares + EPSILON * fan_in))


def normalise_channels(x: jax.Array) -> jax.Array:
    """Mean 0 and variance 1 over the channels of each pixel (layer norm, Ba 2016)."""
    wide = x.astype(jnp.float32)
    mean = wide.mean(-1, keepdims=True)
    variance = jnp.square(wide).mean(-1, keepdims=True) - jnp.square(mean)
    scale = jax.lax.rsqrt(jnp.maximum(variance, 0.0) + EPSILON)
    return ((wide - mean) * scale).astype(x.dtype)


def normalise_groups(x: jax.Array) -> jax.Array:
    """Mean 0 and variance 1 over space and `GROUP_SIZE` channels (Wu and He 2018).

    The statistic covers the whole image, so a tile is not predicted as the image is.
    """
    batch, height, width, channels = x.shape
    groups = max(channels // GROUP_SIZE, 1)
    wide = x.astype(jnp.float32)
    sums = jnp.stack([wide.sum((1, 2)), jnp.square(wide).sum((1, 2))])
    sums = sums.reshape(2, batch, groups, -1).sum(-1, keepdims=True)
    mean, square = sums / (height * width * channels / groups)
    scale = jax.lax.rsqrt(jnp.maximum(square - jnp.square(mean), 0.0) + EPSILON)

    def to_channels(statistic):
        each = jnp.broadcast_to(statistic, (batch, groups, channels // groups))
        return each.reshape(batch, 1, 1, channels)

    return (wide * to_channels(scale) - to_channels(mean * scale)).astype(x.dtype)


class Norm(NamedTuple):
    """Which norm, and what "batch" needs to know (Ioffe and Szegedy 2015).

    In training "batch" takes the statistics of the whole batch, over the devices of
    `axis_name` too, and keeps a running mean of them in the collection "batch_stats";
    at inference it is a fixed map of each channel, the same for a tile and an image.
    """

    kind: str
    train: bool = False
    axis_name: str | None = None


def batch_moments(x: jax.Array, axis_name: str | None) -> tuple[jax.Array, jax.Array]:
    """Mean and variance of each channel, f32[C], over all else and all devices.

    From the sums of x and of its squares: one pass over [B, H, W, C].
    """
    wide = x.astype(jnp.float32)
    moments = jnp.stack([wide.mean((0, 1, 2)), jnp.square(wide).mean((0, 1, 2))])
    if axis_name is not None:
        moments = jax.lax.pmean(moments, axis_name)
    mean, square = moments
    return mean, jnp.maximum(square - jnp.square(mean), 0.0)


def stem_norm(norm: Norm) -> Norm:
    """The norm of the first convolution, whose one input channel is brightness.

    A standardised kernel would see no brightness there, only contrast, and a norm over
    the channels of a pixel would see neither.
    """
    return norm if norm.kind == "batch" else norm._replace(kind="none")


NORMALISE = {"channel": normalise_channels, "group": normalise_groups}
