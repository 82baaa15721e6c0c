"""Does the diagnosis name the illness that was planted, and stay silent on the healthy?

  python -m tests.bench.diagnosis --seeds 5 --write

Predictions are made from rendered truth and spoilt in one known way each
(tests/analysis/illness.py); the causes see what a run would leave: labels,
probabilities, predicted beads and curves.
"""

import argparse

from beadseg.analysis.diagnosis import diagnose
from tests.analysis.illness import ILLNESSES, healthy, ill
from tests.bench.record import keep


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--healthy", type=int, default=20)
    parser.add_argument("--write", action="store_true", help="keep in results/")
    options = parser.parse_args()
    rows = []
    for kind in ILLNESSES:
        ranks = []
        for seed in range(options.seeds):
            found = [
                (f.cause, round(f.confidence, 2)) for f in diagnose(ill(kind, seed))
            ]
            names = [cause for cause, _ in found]
            cause = kind.split(".")[0]
            ranks.append(names.index(cause) + 1 if cause in names else None)
            print(kind, seed, ranks[-1], found, flush=True)
        rows.append({"kind": kind, "rank_of_planted": ranks})
    alarms = []
    for seed in range(options.healthy):
        found = [
            (f.cause, round(f.confidence, 2)) for f in diagnose(healthy(100 + seed))
        ]
        print("healthy", seed, found, flush=True)
        alarms += [cause for cause, _ in found]
    every = [rank for row in rows for rank in row["rank_of_planted"]]
    result = {
        "planted": len(every),
        "first": sum(rank == 1 for rank in every) / len(every),
        "in_first_two": sum(rank in (1, 2) for rank in every) / len(every),
        "healthy": options.healthy,
        "false_alarms": alarms,
        "kinds": rows,
    }
    print({k: v for k, v in result.items() if k != "kinds"})
    if options.write:
        keep("diagnosis", result)


if __name__ == "__main__":
    main()
