"""What a finished run says of itself, for tests that train nothing."""

SUMMARY = {
    "best_jaccard": 0.8,
    "best_epoch": 2,
    "final_jaccard": 0.7,
    "final_epoch": 3,
    "threshold": 0.5,
    "verdict": "converged",
    "epochs": 3,
    "validation": "on complete masks",
}
