"""Networks, from an image to a dict of logits; `build` takes `config.model`.

A new one is a module with a `beadseg.models.network.Network` and a row of `MODELS`.
"""

import dataclasses

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from beadseg.errors import BeadsegError
from beadseg.models.attention_resunet import AttentionResUNet
from beadseg.models.attention_unet import AttentionUNet
from beadseg.models.network import Network
from beadseg.models.unet import UNet

MODELS: dict[str, type[Network]] = {
    "unet": UNet,
    "attention_unet": AttentionUNet,
    "attention_resunet": AttentionResUNet,
}
_NOT_SETTINGS = {"parent", "name", "dtype", "axis_name"}


def build(config: ConfigDict) -> Network:
    """The network that `config.model` describes; `dropout` is given when it is applied.

    `module.apply({"params": p, "batch_stats": s}, image)` is described in
    `beadseg.models.unet.UNet`.

    Raises:
      BeadsegError: for an unknown model, a missing setting, or one that makes no
        network.
    """
    if config.name not in MODELS:
        raise BeadsegError(
            f"model.name: {config.name!r} is unknown; known are {', '.join(MODELS)}"
        )
    kind = MODELS[config.name]
    settings = {}
    for field in _settings(kind):
        if field.name in config:
            value = config[field.name]
            settings[field.name] = tuple(value) if isinstance(value, list) else value
        elif field.default is dataclasses.MISSING:
            raise BeadsegError(
                f"config.model lacks {field.name}, which {config.name} needs (fields "
                "are in configs/base.py)"
            )
    on_cpu = jax.default_backend() == "cpu"
    bfloat16 = not on_cpu if config.bfloat16 is None else config.bfloat16
    model = kind(**settings, dtype=jnp.bfloat16 if bfloat16 else jnp.float32)
    model.check()
    return model


def settings() -> set[str]:
    """The fields of `config.model` that this version knows."""
    of_models = (field.name for kind in MODELS.values() for field in _settings(kind))
    return {"name", "dropout", "bfloat16", *of_models}


def _settings(kind: type[Network]) -> list[dataclasses.Field]:
    return [f for f in dataclasses.fields(kind) if f.name not in _NOT_SETTINGS]
