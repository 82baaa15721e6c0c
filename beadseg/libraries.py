"""Habits of libraries that are put right before they are used.

W&B reports to its makers even offline, and onnxruntime whenever it runs a network: they
are told not to. OpenBLAS has all cores wait for the next product of two matrices, and
those of beadseg are small: commands give it one. What the user has set in the
environment stays as it is.
"""

import os
import stat
from typing import Any

SILENT = {"WANDB_ERROR_REPORTING": "false", "ORT_DISABLE_TELEMETRY": "1"}
ONE_CORE = "OPENBLAS_NUM_THREADS"  # numpy reads it when it is loaded


def say_nothing() -> None:
    """Sets the environment that the libraries read."""
    for name, value in SILENT.items():
        os.environ.setdefault(name, value)


def multiply_on_one_core() -> None:
    """Products of matrices wait for no other core, in a process of a command."""
    os.environ.setdefault(ONE_CORE, "1")


def allow_nameless() -> None:
    """Lets epath take the number of an owner or a group where it has no name.

    With it tfds and orbax look at files, and fail in containers that run under any
    user's number.
    """
    from etils.epath import backend, stat_utils

    local = backend._OsPathBackend
    named = local.stat
    if getattr(named, "nameless", False):
        return

    def look(self, path: Any):
        try:
            return named(self, path)
        except KeyError:
            found = os.stat(path)
        return stat_utils.StatResult(
            is_directory=stat.S_ISDIR(found.st_mode),
            length=found.st_size,
            mtime=int(found.st_mtime),
            owner=str(found.st_uid),
            group=str(found.st_gid),
            mode=found.st_mode,
        )

    look.nameless = True
    local.stat = look
