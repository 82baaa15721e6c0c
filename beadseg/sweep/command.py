"""What `beadseg.main` does with a config file that is a sweep."""

from pathlib import Path

import jax
from ml_collections import ConfigDict

from beadseg.quoting import counted
from beadseg.sweep import plan, programs
from beadseg.sweep.dashboard import log_leaderboard
from beadseg.sweep.folder import SweepFolder
from beadseg.sweep.points import configs, describe
from beadseg.sweep.queue import Share
from beadseg.sweep.report import settings_of, winner, write_report
from beadseg.sweep.run import Outcome, run_sweep
from beadseg.sweep.sweep_file import Sweep, sweep_workdir
from beadseg.training.tracking.summary import cautions
from beadseg.training.tracking.wandb_mode import sync_command


def run(
    sweep: Sweep, config: ConfigDict, workdir: Path | None, name: str, share: Share
) -> int:
    """Runs a sweep and prints what came of it; returns the exit code."""
    workdir = workdir or sweep_workdir(sweep, config, name)
    print(f"sweep folder: {workdir}")
    if sweep.points:
        print(summary(sweep, config))
    outcome = run_sweep(config, sweep.points, workdir, name, sweep.space, share)
    page = write_report(workdir)
    if not outcome.elsewhere:
        folder = SweepFolder(workdir, name, config, sweep.points)
        log_leaderboard(folder, outcome.results)
    print(_outcome_text(outcome))
    last = f"leaderboard and report: {workdir / 'leaderboard.csv'}, {page}"
    print("\n".join([last, *sync_command(workdir)]))
    return 1 if outcome.skipped else 0


def dry_run(sweep: Sweep, config: ConfigDict) -> str:
    """Groups, members, estimated memory and time, and how members will run."""
    if not sweep.points:
        fields = ", ".join(sweep.space or {})
        return f"{config.sweep.trials} trials, chosen one after another, of {fields}"
    programs.check(config.sweep.over_members)
    every = configs(config, sweep.points)
    found = plan.groups(every, range(len(every)))
    speed, memory = plan.device_speed(), plan.memory_of_device()
    lines, total = [], 0.0
    for number, group in enumerate(found):
        first = every[group.members[0]]
        cost = plan.cost(first)
        count = len(group.members)
        how = config.sweep.over_members
        together = plan.at_once(cost, how, config.sweep.at_once or count, memory)
        gibibytes = (cost.step_bytes + together * cost.state_bytes) / 2**30
        lines.append(
            f"group {number}: {describe(group.static) or 'all alike'}; "
            f"{counted(count, 'member')}, {together} at once, {cost.parameters:,} "
            f"parameters, {gibibytes:.1f} GiB"
        )
        steps = plan.steps(first)
        if steps is not None:
            seconds = plan.PROGRAM + count * (plan.MEMBER + steps * cost.flop / speed)
            total += seconds
            lines[-1] += f", {_time(seconds)}"
        for member in group.members:
            point = sweep.points[member]
            own = {k: v for k, v in point.items() if k not in group.static}
            lines.append(f"  member {member:03d}: {describe(own) or 'as the group'}")
    lines.append(summary(sweep, config))
    lines.append(_how(config))
    if total:
        device = jax.devices()[0].device_kind
        lines.append(f"estimated on this {device}: {_time(plan.START + total)} in all")
    else:
        lines.append(
            "time: not known before images are read; --config.train.steps_per_epoch "
            "tells it"
        )
    return "\n".join(lines)


def summary(sweep: Sweep, config: ConfigDict) -> str:
    """How many points and programs, in one line."""
    every = configs(config, sweep.points)
    count = len(plan.groups(every, range(len(every))))
    return f"{counted(len(every), 'member')} in {counted(count, 'compiled program')}"


def _how(config: ConfigDict) -> str:
    how = config.sweep.over_members
    if how != "auto":
        return f"members run as {how}: config.sweep.over_members says so"
    names = ", ".join(programs.OVER_MEMBERS)
    return f"members run as is fastest of {names}: measured when it starts"


def _outcome_text(outcome: Outcome) -> str:
    done = [r for r in outcome.results if r.state == "finished"]
    lines = [
        f"{len(done)} of {counted(len(outcome.results), 'member has', 'members have')} "
        "finished"
    ]
    for r in outcome.results:
        if r.state == "failed":
            lines.append(f"member {r.member} ended alone: {r.reason}")
    for member, reason in outcome.skipped.items():
        lines.append(f"member {member} was left out: {reason}")
    if outcome.elsewhere:
        others = counted(outcome.elsewhere, "member is", "members are")
        lines.append(f"{others} with other processes")
    if done:
        best = done[0]
        lines.append(
            f"best: member {best.member:03d} ({describe(best.point)}), validation "
            f"{best.measure} {best.score:.3f} at epoch {best.summary['best_epoch']}"
        )
        settings = settings_of(done)
        if 1 < len(settings) < len(done) and winner(settings) is None:
            lines.append(
                "no setting is better than all others beyond chance: means over seeds, "
                "with their intervals, are on the page"
            )
        lines += cautions(best.summary)
    return "\n".join(lines)


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
