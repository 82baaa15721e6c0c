"""A network applied to a window that is larger than what it holds of the image.

Each new shape is a new program to compile, so windows come in few shapes. Around an
image a network sees zeros at every 3x3 convolution; here those zeros begin where the
image ends inside the window, so that a pixel has the same logit in any window.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn

from beadseg.models.blocks import Convolution
from beadseg.models.network import Network


def apply_within(
    model: Network, variables: dict, windows: jax.Array, inside: jax.Array
) -> dict[str, jax.Array]:
    """Logits f32[B, H, W, 1] of every head, at inference.

    Args:
      model: one that `fits_any_window`.
      variables: of the model: "params" and "batch_stats".
      windows: f32[B, H, W, 1]; H and W are multiples of the model's stride.
      inside: bool[B, H, W], what belongs to an image: rectangles whose sides lie on
        multiples of the stride, with at least a stride between two of them. What is
        beyond is not looked at, and its logits mean nothing.
    """
    height = windows.shape[1]

    def keep(x: jax.Array) -> jax.Array:
        level = height // x.shape[1]  # pixels of the window to one of x
        return jnp.where(inside[:, ::level, ::level, None], x, 0)

    def within(call, inputs, options, context):
        module = context.module
        if isinstance(module, Convolution) and context.method_name == "__call__":
            if module.size > 1:
                inputs = tuple(keep(x) for x in inputs)
        return call(*inputs, **options)

    with nn.intercept_methods(within):
        outputs = model.apply(variables, windows)
    return {name: x for name, x in outputs.items() if name != "deep"}
