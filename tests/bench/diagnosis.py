"""Does the diagnosis name the illness that was planted, and stay silent on the healthy?

  python -m tests.bench.diagnosis --seeds 5 --write
  python -m tests.bench.diagnosis --trained --write

Predictions are made from rendered truth and spoilt in one known way each
(tests/analysis/illness.py); the causes see what a run would leave: labels,
probabilities, predicted beads and curves. With --trained the runs are small but real
ones, each ill by its settings or data (ill_runs.py); some minutes of two cores.
"""

import argparse
import tempfile
from pathlib import Path

from beadseg.analysis.diagnosis.causes import diagnose
from tests.analysis.illness import ILLNESSES, healthy, ill
from tests.bench.ill_runs import RUNS, causes
from tests.bench.record import keep


def planted(seeds: int, healthy_runs: int) -> dict:
    """Predictions that were spoilt: the rank of what was planted, and false alarms."""
    rows = []
    for kind in ILLNESSES:
        ranks = []
        for seed in range(seeds):
            found = [
                (f.cause, round(f.confidence, 2)) for f in diagnose(ill(kind, seed))
            ]
            names = [cause for cause, _ in found]
            cause = kind.split(".")[0]
            ranks.append(names.index(cause) + 1 if cause in names else None)
            print(kind, seed, ranks[-1], found, flush=True)
        rows.append({"kind": kind, "rank_of_planted": ranks})
    alarms = []
    for seed in range(healthy_runs):
        found = [
            (f.cause, round(f.confidence, 2)) for f in diagnose(healthy(100 + seed))
        ]
        print("healthy", seed, found, flush=True)
        alarms += [cause for cause, _ in found]
    every = [rank for row in rows for rank in row["rank_of_planted"]]
    return {
        "planted": len(every),
        "first": sum(rank == 1 for rank in every) / len(every),
        "in_first_two": sum(rank in (1, 2) for rank in every) / len(every),
        "healthy": healthy_runs,
        "false_alarms": alarms,
        "kinds": rows,
    }


def trained(kinds: list[str], folder: Path, seeds: int) -> dict:
    """Runs that were trained: the rank of what ails them, and false alarms."""
    rows = []
    for kind in kinds:
        # More of the healthy: a false alarm is to be as rare as an illness is sure.
        for seed in range(seeds if RUNS[kind].causes else 3 * seeds):
            found = causes(kind, folder / f"{kind}-{seed}", seed)
            wanted = RUNS[kind].causes
            ranks = [i for i, (cause, _) in enumerate(found, 1) if cause in wanted]
            row = {"kind": kind, "seed": seed, "wanted": wanted, "found": found}
            rows.append(row | {"rank": min(ranks, default=None)})
            print(rows[-1], flush=True)
    ill_ones = [row for row in rows if row["wanted"]]
    sound = [row for row in rows if not row["wanted"]]
    number = max(len(ill_ones), 1)
    return {
        "ill": len(ill_ones),
        "first": sum(row["rank"] == 1 for row in ill_ones) / number,
        "in_first_two": sum(row["rank"] in (1, 2) for row in ill_ones) / number,
        "healthy": len(sound),
        "healthy_with_alarm": sum(bool(row["found"]) for row in sound),
        "runs": rows,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, help="of each kind (5, or 1 of --trained)")
    parser.add_argument("--healthy", type=int, default=20)
    parser.add_argument("--trained", action="store_true", help="train small runs")
    parser.add_argument("--kinds", nargs="+", default=list(RUNS), help="of --trained")
    parser.add_argument(
        "--folder", type=Path, help="keeps the runs; those that are there are looked at"
    )
    parser.add_argument("--write", action="store_true", help="keep in results/")
    options = parser.parse_args()
    if not options.trained:
        name, result = "diagnosis", planted(options.seeds or 5, options.healthy)
    else:
        with tempfile.TemporaryDirectory() as temporary:
            folder = options.folder or Path(temporary)
            result = trained(options.kinds, folder, options.seeds or 1)
        name = "diagnosis_trained"
    print({k: v for k, v in result.items() if k not in ("kinds", "runs")})
    if options.write:
        keep(name, result)


if __name__ == "__main__":
    main()
