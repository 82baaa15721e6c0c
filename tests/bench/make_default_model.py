"""python -m tests.bench.make_default_model: rebuilds the model that comes with beadseg.

Trains configs/default_model.py in runs/default_model, or goes on there, puts what
prediction needs into beadseg/default_model, and fits the scores of beads to the new
network. Run it where configs/ lies.
"""

import shutil
import subprocess
import sys
from pathlib import Path

from beadseg.default_model import DEFAULT

FILES = (
    *("config.json", "dataset.json", "summary.json", "versions.json"),
    "weights.npz",
)
RUN = Path("runs/default_model")


def main() -> int:
    """Returns the exit code of the training, or of the fit."""
    command = [sys.executable, "-m", "beadseg.main"]
    command += ["--config=configs/default_model.py", f"--workdir={RUN}", *sys.argv[1:]]
    code = subprocess.run(command).returncode
    if code:
        return code
    for name in FILES:
        shutil.copy(RUN / name, DEFAULT / name)
    print(f"default model: {DEFAULT}")
    command = [sys.executable, "-m", "tests.bench.fit_scores"]
    for more in ([], ["--wide"]):
        code = code or subprocess.run(command + more).returncode
    return code


if __name__ == "__main__":
    sys.exit(main())
