"""Where numbers and pictures go: `metrics.jsonl` always, Weights & Biases if it can.

A W&B run that cannot be started, or a network that is lost, is said once and never
stops or slows training: what is logged there is written to disk first.
"""

import json
import os
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from beadseg import old_names
from beadseg.config import flatten
from beadseg.errors import BeadsegError, note, reason
from beadseg.files import read_file, write_whole, writing
from beadseg.quoting import printable
from beadseg.training.run_folder import RunFolder
from beadseg.training.tracking import wandb_mode

INIT_TIMEOUT = 10.0  # s, once the server has answered
_NEEDED = {  # numbers of the rows of a kind, for curves and summary
    "validation": ("loss", "jaccard", "jaccard_at_0.5", "threshold"),
    "train_epoch": ("loss", "jaccard", "learning_rate", "gradient_norm"),
}


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
        rows = [row for row in read_rows(self._file) if row["step"] <= step]
        self.rows = [row for row in rows if _has(row, _NEEDED)]
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
                wandb.Image(panel, caption=printable(name))
                for name, panel in panels.items()
            ]
            run.log({"validation/samples": images}, step=step)

        self._to_wandb(send)

    def summarise(self, summary: dict[str, Any]) -> None:
        """Gives W&B what came of the run."""
        self._to_wandb(lambda run: run.summary.update(flatten(summary)))

    def finish(self) -> None:
        """Closes the logs."""
        if self._out is not None:
            with suppress(OSError):  # a full disk, which has been told
                self._out.close()
        self._to_wandb(lambda run: run.finish())
        self._wandb = None

    def _to_wandb(self, send) -> None:
        if self._wandb is None:
            return
        try:
            send(self._wandb)
        except Exception as error:  # whatever it is, training goes on
            note(f"W&B has stopped ({reason(error)}); metrics.jsonl continues")
            self._wandb = None


def read_rows(file: Path) -> list[dict[str, Any]]:
    """The whole rows of a `metrics.jsonl`.

    A last one cut short by a kill is left out, and so is what is damaged.
    """
    try:
        content = read_file(file)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise BeadsegError(
            f"{file}: cannot be read ({error.strerror or error}): move this file away "
            "and run the same command again"
        ) from error
    rows = [_row(line) for line in content.decode(errors="replace").splitlines()]
    return [row for row in rows if row is not None]


def _row(line: str) -> dict[str, Any] | None:
    try:
        row = old_names.row(json.loads(line))
        whole = isinstance(row["kind"], str) and type(row["epoch"]) is int
        whole = whole and type(row["step"]) is int
    except (AttributeError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return row if whole and _has(row, {"validation": ("jaccard",)}) else None


def _has(row: dict[str, Any], needed: dict[str, tuple[str, ...]]) -> bool:
    names = needed.get(row["kind"], ())
    return all(type(row.get(name)) in (int, float) for name in names)


def _line(row: dict[str, Any]) -> str:
    return json.dumps(row) + "\n"


def start_wandb(folder: RunFolder, config: ConfigDict, name: str):
    """A W&B run as `config.log` says, kept in `folder`; None where there is to be none.

    What has `path`, `read` and `write` as a RunFolder may take its place.
    """
    mode = wandb_mode.mode_of(config.log.wandb)
    if mode == "off":
        return None
    import wandb  # here: a run without it starts two seconds sooner

    # An agent of `wandb sweep` has made the run already, and waits for it.
    waiting = os.environ.get("WANDB_RUN_ID") if "WANDB_SWEEP_ID" in os.environ else None
    run_id = (folder.read("wandb.json") or {}).get("id")
    if not isinstance(run_id, str) or not run_id:
        run_id = waiting or _new_id()
    for attempt in dict.fromkeys((mode, "offline")):
        folder.write("wandb.json", {"id": run_id})
        try:
            return wandb.init(
                project=config.log.project,
                group=config.log.group or None,
                job_type=config.log.job_type or None,
                tags=_tags(config),
                name=printable(name),
                id=run_id,
                resume="allow" if attempt == "online" else None,
                mode=attempt,
                dir=folder.path,
                config=config.to_dict(),
                reinit="create_new",
                settings=wandb.Settings(
                    silent=True, console="off", init_timeout=INIT_TIMEOUT
                ),
            )
        except Exception as error:  # no network, a wrong key, a full disk
            if attempt == "online":
                wandb_mode.give_up(reason(error))
                run_id = _new_id()  # W&B holds on to the one that has failed
            else:
                note(f"W&B cannot start {attempt} ({reason(error)})")
    return None


def _tags(config: ConfigDict) -> list[str]:
    """What runs are filtered by; W&B takes 64 letters of each."""
    source = Path(config.data.dir).name if config.data.dir else "generated beads"
    tags = [*config.log.tags, config.model.name, config.loss.name, source]
    tags += ["fine-tuning"] if config.init_from else []
    tags += (os.environ.get("WANDB_TAGS") or "").split(",")
    return list(dict.fromkeys(printable(tag)[:64] for tag in tags if tag.strip()))


def _new_id() -> str:
    return uuid.uuid4().hex[:8]
