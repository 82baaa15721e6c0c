"""Where numbers and pictures go: `metrics.jsonl` always, Weights & Biases if it can.

A W&B run that cannot be started, or a network that is lost, is said once and never
stops or slows training: what is logged there is written to disk first.
"""

import json
import netrc
import os
import sys
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import numpy as np
from ml_collections import ConfigDict

from beadseg.files import write_whole, writing
from beadseg.training.run_folder import RunFolder, flatten


class Tracker:
    """Logs rows of numbers and panels of images for one run."""

    def __init__(self, folder: RunFolder, config: ConfigDict, name: str, step: int):
        """Opens the logs to go on after `step`; later rows of a killed run go.

        Nothing is kept where `folder` only looks on.
        """
        self._file = folder.path / "metrics.jsonl"
        self._out = self._wandb = None
        self.rows: list[dict[str, Any]] = []
        if not folder.keeps:
            return
        self.rows = [row for row in read_rows(self._file) if row["step"] <= step]
        with writing(self._file):
            write_whole(self._file, "".join(map(_line, self.rows)))
            self._out = open(self._file, "a")
        self._wandb = start_wandb(folder, config, name)

    def log(self, row: dict[str, Any]) -> None:
        """Adds a row; it holds "step", "epoch", "kind" and numbers."""
        if self._out is None:
            return
        self.rows.append(row)
        with writing(self._file):
            self._out.write(_line(row))
            self._out.flush()
        kind = row["kind"]
        numbers = {
            f"{kind}/{name}": value
            for name, value in row.items()
            if name not in ("step", "kind", "epoch") and value is not None
        }
        self._to_wandb(
            lambda run: run.log(numbers | {"epoch": row["epoch"]}, step=row["step"])
        )

    def log_images(self, step: int, panels: dict[str, np.ndarray]) -> None:
        """Adds RGB images, u8 [H, W, 3], to the W&B run by name."""

        def send(run):
            import wandb

            images = [
                wandb.Image(panel, caption=name) for name, panel in panels.items()
            ]
            run.log({"validation/samples": images}, step=step)

        self._to_wandb(send)

    def summarise(self, summary: dict[str, Any]) -> None:
        """Gives W&B what came of the run."""
        self._to_wandb(lambda run: run.summary.update(flatten(summary)))

    def finish(self) -> None:
        """Closes the logs."""
        if self._out is not None:
            self._out.close()
        self._to_wandb(lambda run: run.finish())
        self._wandb = None

    def _to_wandb(self, send) -> None:
        if self._wandb is None:
            return
        try:
            send(self._wandb)
        except Exception as error:  # whatever it is, training goes on
            _say_once(f"W&B has stopped ({_reason(error)}); metrics.jsonl goes on")
            self._wandb = None


def read_rows(file: Path) -> list[dict[str, Any]]:
    """The whole rows of a `metrics.jsonl`; a last one cut short by a kill is left."""
    rows = []
    if file.exists():
        for line in file.read_text().splitlines():
            try:
                rows.append(json.loads(line))
            except ValueError:
                break
    return rows


def _line(row: dict[str, Any]) -> str:
    return json.dumps(row) + "\n"


def start_wandb(folder: RunFolder, config: ConfigDict, name: str):
    """A W&B run as `config.log` says, kept in `folder`; None where there is to be none.

    What has `path`, `read` and `write` as a RunFolder may take its place.
    """
    mode = config.log.wandb
    if mode == "auto":
        mode = os.environ.get("WANDB_MODE") or ("online" if _has_key() else "offline")
    if mode in ("off", "disabled"):
        return None
    import wandb  # here: a run without it starts two seconds sooner

    # An agent of `wandb sweep` has made the run already, and waits for it.
    waiting = os.environ.get("WANDB_RUN_ID") if "WANDB_SWEEP_ID" in os.environ else None
    run_id = folder.read("wandb.json") or {"id": waiting or uuid.uuid4().hex[:8]}
    folder.write("wandb.json", run_id)
    for attempt in dict.fromkeys((mode, "offline")):
        try:
            return wandb.init(
                project=config.log.project,
                group=config.log.group or None,
                name=name,
                id=run_id["id"],
                resume="allow" if attempt == "online" else None,
                mode=attempt,
                dir=folder.path,
                config=config.to_dict(),
                reinit="create_new",
                settings=wandb.Settings(silent=True, console="off", init_timeout=20),
            )
        except Exception as error:  # no network, a wrong key, a full disk
            _say_once(f"W&B cannot start {attempt} ({_reason(error)})")
    return None


def _has_key() -> bool:
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = urlparse(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname
    try:
        return netrc.netrc().authenticators(host or "") is not None
    except (OSError, netrc.NetrcParseError):
        return False


def _reason(error: Exception) -> str:
    return str(error).strip().split("\n")[0][:120] or type(error).__name__


def _say_once(line: str) -> None:
    print(f"note: {line}", file=sys.stderr, flush=True)
