import json

from beadseg.sweep.dashboard import log_leaderboard
from beadseg.sweep.folder import SweepFolder
from beadseg.sweep.points import over
from beadseg.training.tracking.wandb_mode import sync_command
from tests.summaries import SUMMARY
from tests.training.tracking.test_tracker import read_wandb


def test_the_leaderboard_goes_to_an_offline_run_of_the_group(tiny, tmp_path):
    tiny.log.wandb = "offline"
    folder = SweepFolder(tmp_path / "sweep", "test", tiny, over("seed", 0, 1))
    run = folder.run_path(1)
    run.mkdir(parents=True)
    summary = SUMMARY | {"best_jaccard": 0.5}
    (run / "summary.json").write_text(json.dumps(summary))
    log_leaderboard(folder, folder.write_leaderboard())
    (offline,) = (folder.path / "wandb").glob("offline-run-*")
    (table,) = offline.glob("files/media/table/leaderboard_*.table.json")
    content = json.loads(table.read_text())
    assert content["columns"][:3] == ["rank", "member", "state"]
    assert content["data"][0][:4] == ["1", "1", "finished", "0.5"]
    (file,) = offline.glob("run-*.wandb")
    assert read_wandb(file)["job_type"] == "sweep"
    assert folder.config(0).log.job_type == "sweep member"
    (run / "wandb" / "offline-run-1").mkdir(parents=True)
    (line,) = sync_command(folder.path)
    assert line.endswith(
        f"wandb sync {folder.path}/wandb/offline-run-* "
        f"{folder.path}/*/*/wandb/offline-run-*"
    )


def test_switched_off_nothing_is_logged(tiny, tmp_path):
    folder = SweepFolder(tmp_path / "sweep", "test", tiny, over("seed", 0, 1))
    log_leaderboard(folder, folder.write_leaderboard())
    assert not (folder.path / "wandb").exists()
