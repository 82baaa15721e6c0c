"""Norms: what keeps activations in range from layer to layer.

batch    statistics of the training batch; at inference a fixed map of each channel
weight   none of the activations: the kernels are standardised
channel  over the channels of each pixel
group    over space and groups of channels; a tile is not predicted as its image is
none     He's initialisation only
"""

import math
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from beadseg.models.primitives import per_channel, sum_pixels

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


@partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def normalise_batch(
    x: jax.Array, gain: jax.Array, bias: jax.Array, relu: bool, axis_name: str | None
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Mean 0 and variance 1 of each channel over all else, gain, bias, relu if asked.

    Only `x` is kept from forward to backward.

    Args:
      x: [B, H, W, C].
      gain, bias: f32[C].
      relu: whether negative results become 0.
      axis_name: of the devices that the batch is spread over.

    Returns:
      The result [B, H, W, C], mean and variance f32[C]. For the running statistics:
      no gradient comes back through those two.
    """
    return _normalise_batch(x, gain, bias, relu, axis_name)[0]


def _normalise_batch(x, gain, bias, relu, axis_name):
    wide = x.astype(jnp.float32)
    sums = jnp.stack([sum_pixels(wide), sum_pixels(jnp.square(wide))])
    mean, square = _over_devices(sums, x, axis_name)
    variance = jnp.maximum(square - jnp.square(mean), 0.0)
    deviation = jnp.sqrt(variance + EPSILON)
    result = _standardise(x, gain, bias, mean, deviation)
    result = jax.nn.relu(result) if relu else result
    return (result, mean, variance), (x, gain, bias, mean, deviation)


def _standardise(x, gain, bias, mean, deviation):
    gain = gain / deviation
    return scale_and_bias(x, gain, bias - mean * gain)


def _normalise_batch_backward(relu, axis_name, saved, gradients):
    x, gain, bias, mean, deviation = saved
    gradient, wide = gradients[0].astype(jnp.float32), x.astype(jnp.float32)
    if relu:
        positive = _standardise(x, gain, bias, mean, deviation) > 0
        gradient = jnp.where(positive, gradient, 0.0)
    gradient = jax.lax.optimization_barrier(gradient)  # for two sums and the result
    of_bias = sum_pixels(gradient)
    of_gain = (sum_pixels(gradient * wide) - mean * of_bias) / deviation
    means = _over_devices(jnp.stack([of_bias, of_gain]), x, axis_name)
    slope = -gain * means[1] / jnp.square(deviation)
    offset = -gain * means[0] / deviation - mean * slope
    of_x = scale_and_bias(gradient, gain / deviation, offset)
    of_x = of_x + wide * per_channel(slope, wide)
    return of_x.astype(x.dtype), of_gain, of_bias


normalise_batch.defvjp(_normalise_batch, _normalise_batch_backward)


def _over_devices(sums: jax.Array, x: jax.Array, axis_name: str | None) -> jax.Array:
    """The means over all pixels, from the sums over those of this device's `x`."""
    means = sums / (x.size / x.shape[-1])
    return means if axis_name is None else jax.lax.pmean(means, axis_name)


def scale_and_bias(x: jax.Array, gain: jax.Array, bias: jax.Array) -> jax.Array:
    """x [B, H, W, C] * gain [C] + bias [C], in the dtype of `x`."""
    return x * per_channel(gain, x) + per_channel(bias, x)


def stem_norm(norm: Norm) -> Norm:
    """The norm of the first convolution, whose one input channel is brightness.

    A standardised kernel would see no brightness there, only contrast, and a norm over
    the channels of a pixel would see neither.
    """
    return norm if norm.kind == "batch" else norm._replace(kind="none")


NORMALISE = {"channel": normalise_channels, "group": normalise_groups}
