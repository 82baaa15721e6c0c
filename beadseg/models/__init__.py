"""Networks, from an image to a dict of logits; `build` takes `config.model`."""

import jax
import jax.numpy as jnp
from flax import linen as nn
from ml_collections import ConfigDict

from beadseg.errors import BeadsegError
from beadseg.models.attention_resunet import AttentionResUNet
from beadseg.models.attention_unet import AttentionUNet
from beadseg.models.norms import NORMS
from beadseg.models.unet import UNet

MODELS: dict[str, type[nn.Module]] = {
    "unet": UNet,
    "attention_unet": AttentionUNet,
    "attention_resunet": AttentionResUNet,
}
HEADS = {"mask", "distance"}
DEEPEST = 10  # halvings: of 1024 px a pixel is left
WIDEST = 2**15  # channels at the bottom


def build(config: ConfigDict) -> nn.Module:
    """The network that `config.model` describes; `dropout` is given when it is applied.

    `module.apply({"params": p, "batch_stats": s}, image)` is described in
    `beadseg.models.unet.UNet`.

    Raises:
      BeadsegError: for an unknown model or norm, or a size that makes no network.
    """
    _check(config)
    on_cpu = jax.default_backend() == "cpu"
    bfloat16 = not on_cpu if config.bfloat16 is None else config.bfloat16
    return MODELS[config.name](
        width=config.width,
        depth=config.depth,
        norm=config.norm,
        heads=tuple(config.heads),
        deep_supervision=config.deep_supervision,
        dtype=jnp.bfloat16 if bfloat16 else jnp.float32,
    )


def stride(config: ConfigDict) -> int:
    """Pixels of the pooling grid: tiles must start at multiples of it."""
    return 2**config.depth


def receptive_field(config: ConfigDict) -> int:
    """Radius in pixels: what is further away (in x or y) changes no logit of a pixel.

    Each level has two 3x3 convolutions on the way down and two on the way up, of
    2**level pixels; the bottom has two. To that comes what pooling spans beyond them,
    which depends on where the pixel lies on the pooling grid: at most 2**depth - 1.
    """
    levels = sum(4 * 2**level for level in range(config.depth))
    return levels + 2 * 2**config.depth + 2**config.depth - 1


def margin(config: ConfigDict) -> int:
    """As `receptive_field`, for squares that begin and end on the pooling grid."""
    return receptive_field(config) - (stride(config) - 1) + 2


def _check(config: ConfigDict) -> None:
    for field, value, known in (
        ("name", config.name, MODELS),
        ("norm", config.norm, NORMS),
    ):
        if value not in known:
            raise BeadsegError(
                f"model.{field}: {value!r} is unknown; known are {', '.join(known)}"
            )
    size = (config.width, config.depth)
    if not all(type(number) is int and number >= 1 for number in size):
        raise BeadsegError(
            f"model.width = {config.width}, model.depth = {config.depth}: "
            "both must be whole numbers of at least 1"
        )
    if config.depth > DEEPEST or config.width << config.depth > WIDEST:
        raise BeadsegError(
            f"model.width = {config.width}, model.depth = {config.depth}: no device "
            f"holds such a network; depth goes to {DEEPEST}, and width * 2**depth to "
            f"{WIDEST}"
        )
    heads = tuple(config.heads)
    if heads[:1] != ("mask",) or len(set(heads)) != len(heads) or set(heads) - HEADS:
        raise BeadsegError(
            f"model.heads: {heads!r} must be different names: mask, then any of "
            f"{', '.join(sorted(HEADS - {'mask'}))}"
        )
