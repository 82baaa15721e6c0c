"""Sweeps: points -> groups -> members; the run; the leaderboard."""
