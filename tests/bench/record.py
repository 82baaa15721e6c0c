"""What a benchmark found, kept in results/ with how, where and of what it was found."""

import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

from beadseg.files import write_whole
from beadseg.training.run_folder import versions

RESULTS = Path(__file__).parent / "results"


def keep(name: str, found: dict, folder: Path = RESULTS, **packages: str) -> None:
    """Writes `found` to NAME.json in results/, or `folder`.

    `packages` are versions to tell beside ours. Added are the command, the commit (with
    "+" where files differ from it), the processor, the cores given to this process and
    the load of the machine.
    """
    module = sys.modules["__main__"].__spec__
    started = module.name if module else sys.argv[0]
    result = {
        "command": " ".join(["python -m", started, *sys.argv[1:]]),
        **found,
        "commit": _commit(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "load": round(os.getloadavg()[0], 2),
        "versions": versions() | packages,
    }
    write_whole(folder / f"{name}.json", json.dumps(result, indent=2) + "\n")


def rounded(value: Any) -> Any:
    """Floats of four digits, as results are kept."""
    if isinstance(value, dict):
        return {key: rounded(part) for key, part in value.items()}
    if isinstance(value, list):
        return [rounded(part) for part in value]
    return round(value, 4) if isinstance(value, float) else value


def _commit() -> str | None:
    try:
        command = ["git", "describe", "--always", "--dirty=+", "--exclude=*"]
        return subprocess.run(
            command, capture_output=True, text=True, check=True, cwd=RESULTS
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def _processor() -> str:
    told = Path("/proc/cpuinfo")
    if told.exists():
        for line in told.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor()
