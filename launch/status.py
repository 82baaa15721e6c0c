"""What of a sweep or a prediction is done, running, waiting and failed, and why.

  python launch/status.py FOLDER

Reads the folder alone: any machine that sees it may ask. Exit code 1: some have failed.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from beadseg.errors import BeadsegError  # noqa: E402
from beadseg.inference import batch  # noqa: E402
from beadseg.inference.shares import Shares  # noqa: E402
from beadseg.quoting import counted  # noqa: E402
from beadseg.sweep.claims import Claims  # noqa: E402
from beadseg.sweep.folder import SweepView  # noqa: E402
from beadseg.sweep.points import describe  # noqa: E402


def status(path: Path) -> tuple[list[str], bool]:
    """One line per member and one for all, and whether some have failed."""
    if (path / batch.TASKS).exists():
        return _of_prediction(path)
    sweep = SweepView(path)
    claims = Claims(path / "claims", sweep.lease)
    lines, counts = [], {}
    for result in sorted(sweep.results(), key=lambda r: r.member):
        owner = claims.owner(result.member)
        state = result.state
        if owner is not None and state != "failed":
            state = "running"
        elif state == "training":
            state = "stopped"  # saved, and nobody goes on with it
        rows = sweep.rows(result.member)
        told = [f"epoch {rows[-1]['epoch']}"] if rows else []
        if result.summary:
            told.append(f"best Jaccard {result.jaccard:.3f}")
        if state == "running":
            told.append(f"on {owner.get('host', '?')}")
        if result.reason:
            told.append(result.reason)
        point = describe(result.point) or "the base settings"
        lines.append(f"{result.member:03d} {state:9} {point}: {', '.join(told)}")
        counts[state] = counts.get(state, 0) + 1
    lines.append(", ".join(f"{count} {state}" for state, count in counts.items()))
    return lines, "failed" in counts


def _of_prediction(path: Path) -> tuple[list[str], bool]:
    """A line a share that is in work and each image that failed, and one for all."""
    shares = Shares(path)
    claims = Claims(path / batch.CLAIMS, batch.LEASE)
    left = shares.left()
    owners = {share: claims.owner(share) for share in left & claims.claimed()}
    running = {s: owner for s, owner in sorted(owners.items()) if owner is not None}
    lines = [f"share {s} on {o.get('host', '?')}" for s, o in running.items()]
    failed = shares.failures()
    lines += [f"failed: {line}" for line in failed]
    lines.append(
        f"{shares.count - len(left)} of {shares.count} shares finished, "
        f"{len(running)} running, {len(left) - len(running)} waiting, "
        f"{counted(len(failed), 'image')} failed"
    )
    return lines, bool(failed)


def main() -> None:
    """The command."""
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        print(__doc__.strip())
        sys.exit(0 if "--help" in sys.argv else 2)
    try:
        lines, failed = status(Path(sys.argv[1]))
    except BeadsegError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    print("\n".join(lines))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
