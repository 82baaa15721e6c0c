"""A sweep on W&B: beside a run for each member, one with the leaderboard.

All are in the group `config.log.group`, by default the name of the sweep. Grouping the
runs table by it, or a parallel-coordinates panel over `best_jaccard`, shows the sweep.
"""

import csv

from beadseg.errors import note, reason
from beadseg.sweep.folder import Result, SweepFolder
from beadseg.training.tracking.tracker import start_wandb


def log_leaderboard(folder: SweepFolder, results: list[Result]) -> None:
    """Logs the leaderboard as a table, and as an artifact with the report page.

    Where W&B cannot be reached nothing is lost: both are files of the sweep folder.
    """
    config = folder.base.copy_and_resolve_references()
    config.log.group = config.log.group or folder.name
    config.log.job_type = "sweep"
    run = start_wandb(folder, config, f"{folder.name} leaderboard")
    if run is None:
        return
    import wandb

    try:
        with open(folder.path / "leaderboard.csv", newline="") as file:
            header, *rows = csv.reader(file)
        run.log({"leaderboard": wandb.Table(columns=header, data=rows)})
        artifact = wandb.Artifact(f"{folder.name}-leaderboard", type="sweep")
        for name in ("leaderboard.csv", "sweep.json", "report.html"):
            if (folder.path / name).exists():
                artifact.add_file(str(folder.path / name))
        run.log_artifact(artifact)
        if results and results[0].summary:
            run.summary["best_jaccard"] = results[0].jaccard
            run.summary["best_member"] = results[0].member
        run.finish()
    except Exception as error:  # whatever it is, the sweep is finished
        note(f"W&B did not take the leaderboard ({reason(error)})")
