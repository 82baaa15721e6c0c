"""Makes the locks anew from pyproject.toml: `python -m tests.lock` (with uv: `.[dev]`).

requirements.lock is what running needs, tests/requirements.lock that with the packages
of tests and style, in the same versions: with hashes, for every Python and system of
`requires-python`. Versions that still fit stay as they are; `--upgrade` takes newer
ones.
"""

import hashlib
import json
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
# Each with the extras of pyproject.toml that it holds.
LOCKS = {"requirements.lock": (), "tests/requirements.lock": ("test", "dev")}


def head(lock: str) -> str:
    """The first lines of a lock: they tell whether pyproject.toml has changed since."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"] if LOCKS[lock] else {}
    wanted = [project["requires-python"], project["dependencies"], extras]
    digest = hashlib.sha256(json.dumps(wanted, sort_keys=True).encode()).hexdigest()
    return (
        "# Made by `python -m tests.lock`; not to be edited.\n"
        f"# Requirements in pyproject.toml: {digest}\n"
    )


def main(options: list[str]) -> None:
    """Runs uv once for each lock."""
    for lock, extras in LOCKS.items():
        command = [sys.executable, "-m", "uv", "pip", "compile", "pyproject.toml"]
        command += ["--universal", "--generate-hashes", "--fork-strategy=fewest"]
        command += ["--python-version=3.11", "--no-header", "--no-annotate", "--quiet"]
        command += [f"--extra={extra}" for extra in extras]
        if extras:
            command.append("--constraint=requirements.lock")
        command += [f"--output-file={lock}", *options]
        subprocess.run(command, cwd=ROOT, check=True)
        file = ROOT / lock
        file.write_text(head(lock) + file.read_text())


if __name__ == "__main__":
    main(sys.argv[1:])
