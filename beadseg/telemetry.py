"""Libraries that would report to their makers are told not to, before they are loaded.

Without this W&B does so even offline, and onnxruntime whenever it runs a network. What
the user has set in the environment stays as it is.
"""

import os

SILENT = {"WANDB_ERROR_REPORTING": "false", "ORT_DISABLE_TELEMETRY": "1"}


def say_nothing() -> None:
    """Sets the environment that the libraries read."""
    for name, value in SILENT.items():
        os.environ.setdefault(name, value)
