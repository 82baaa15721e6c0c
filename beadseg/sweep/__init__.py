"""Sweeps: points -> groups -> members; the run; the leaderboard.

python -m beadseg.main --config=configs/sweep_loss.py            every point of it
... --dry_run                                                    what it would cost
... --config.sweep.search=halving                                or optuna
python launch/submit.py --scheduler=slurm --config=... --nodes=8 one array job
python launch/status.py SWEEP                                    done, running, failed
beadseg report SWEEP                                             the page anew
beadseg predict IMAGES --run SWEEP --top 3                       an ensemble of its best
"""
