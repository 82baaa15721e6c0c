"""The claims of the domain-shift analysis, each with the tests that decide it.

Settings are told as changes to those for mitochondria (focal loss with gamma 2, rate
1e-3, batch 8, no dropout, no augmentation, no weight decay) on half-labelled beads, or,
with `end`, to those for beads. Scores are validation Jaccard against complete masks.
"""

from tests.bench.domain_shift.study import Claim, Contrast, Level

COMPLETE = {"labelled": 1.0}
SPARSE = {"objects": "mitochondria"}
SPARSE_COMPLETE = SPARSE | COMPLETE
BASELINE = {"loss": "bce", "rate": 1e-4, "batch": 32}


def _on_complete(what: str, predicts: str = "more", **change) -> Contrast:
    after = COMPLETE | _named(change)
    return Contrast(f"complete masks: {what}", COMPLETE, after, predicts)


def _on_half(what: str, predicts: str = "more", **change) -> Contrast:
    return Contrast(f"half labelled: {what}", {}, _named(change), predicts)


def _on_sparse(what: str, predicts: str = "more", **change) -> Contrast:
    after = SPARSE_COMPLETE | _named(change)
    return Contrast(f"mitochondria: {what}", SPARSE_COMPLETE, after, predicts)


def _as_for_beads(what: str, factor: str, otherwise) -> Contrast:
    """What a factor does in the settings for beads, against its other value."""
    return Contrast(f"as for beads: {what}", {factor: otherwise}, {}, end=True)


def _named(change: dict) -> dict:
    return {name.replace("_", " "): value for name, value in change.items()}


CLAIMS = (
    Claim(
        "Settings tuned on sparse mitochondria are fundamentally wrong for dense beads",
        (
            Level("settings for mitochondria, complete bead masks", COMPLETE, 0.0, 0.5),
            Contrast(
                "complete masks: settings for beads - for mitochondria",
                COMPLETE,
                {},
                "more",
                end=True,
                end_before=False,
            ),
        ),
    ),
    Claim(
        "On balanced classes focal loss with gamma 2 is wrong, BCE, Dice or their sum "
        "right",
        (
            _on_complete("focal 1 - focal 2", loss="focal 1"),
            _on_complete("BCE - focal 2", loss="bce"),
            _on_complete("Dice - focal 2", loss="dice"),
            _on_complete("BCE + Dice - focal 2", loss="combined"),
        ),
    ),
    Claim(
        "On sparse classes focal loss with gamma 2 is right",
        (_on_sparse("BCE - focal 2", "less", loss="bce"),),
    ),
    Claim(
        "Half-labelled masks are what training collapses of",
        (
            Contrast("half - complete, focal 2", COMPLETE, {}, "less"),
            Contrast(
                "half - complete, settings for beads",
                {},
                {"labelled": 0.5},
                "less",
                end=True,
            ),
        ),
    ),
    Claim(
        "From half-labelled masks the network learns contradictions, not beads",
        (
            Contrast(
                "half labelled: best threshold - 0.5, the same weights",
                {},
                {},
                "same",
                "best",
                "best at 0.5",
            ),
            Contrast(
                "best threshold: half - complete", COMPLETE, {}, "less", "best"
            ),
        ),
    ),
    Claim(
        "With sparse objects, unlabelled ones are tolerable",
        (
            Contrast(
                "mitochondria: half - complete, at 0.5",
                SPARSE_COMPLETE,
                SPARSE,
                "same",
            ),
        ),
    ),
    Claim(
        "Dice or BCE + Dice in place of focal loss mends it",
        (
            _on_half("BCE - focal 2", loss="bce"),
            _on_half("Dice - focal 2", loss="dice"),
            _on_half("Tversky 0.3/0.7 - focal 2", loss="tversky"),
            _on_half("BCE + Dice - focal 2", loss="combined"),
        ),
    ),
    Claim(
        "Dense beads need a rate of 1e-4 or 1e-5, not 1e-3",
        (
            _on_complete("1e-4 - 1e-3", rate=1e-4),
            _on_complete("1e-5 - 1e-3", rate=1e-5),
            _on_half("5e-4 - 1e-3", rate=5e-4),
            _as_for_beads("5e-4 - 1e-3", "rate", 1e-3),
        ),
        "at the same number of steps, which are few",
    ),
    Claim(
        "A rate of 1e-3 makes training on beads collapse",
        (
            Level(
                "complete masks: final / best at 0.5",
                COMPLETE,
                0.0,
                0.9,
                "final of best",
            ),
        ),
    ),
    Claim(
        "Sparse mitochondria need the higher rate",
        (_on_sparse("1e-4 - 1e-3", "less", rate=1e-4),),
        "at the same number of steps",
    ),
    Claim(
        "Dense beads need batches of 32 to 64",
        (
            _on_complete("32 - 8", batch=32),
            _on_complete("64 - 8", batch=64),
            _on_half("16 - 8", batch=16),
            _as_for_beads("16 - 8", "batch", 8),
        ),
        "at the same number of crops",
    ),
    Claim(
        "Dropout of 0.3 helps",
        (
            _on_complete("0.3 - 0", dropout=0.3),
            _on_half("0.3 - 0", dropout=0.3),
            _as_for_beads("0.3 - 0", "dropout", 0.0),
        ),
    ),
    Claim(
        "L2 of 1e-4 helps",
        (
            _on_half("1e-4 - 0", weight_decay=1e-4),
            _as_for_beads("1e-4 - 0", "weight decay", 0.0),
        ),
        "decoupled weight decay",
    ),
    Claim(
        "Augmentation helps",
        (
            _on_complete("with - without", augmentation=True),
            _as_for_beads("with - without", "augmentation", False),
            _on_half("with - without", augmentation=True),
        ),
    ),
    Claim(
        "Deep supervision helps",
        (_on_complete("with - without", deep_supervision=True),),
    ),
    Claim(
        "Attention helps",
        (_on_complete("attention U-Net - U-Net", network="attention_unet"),),
    ),
    Claim(
        "Ensembles help",
        (
            Contrast(
                "complete masks: three members together - alone",
                COMPLETE | {"ensemble": False},
                COMPLETE | {"ensemble": True},
                "more",
                "best",
            ),
        ),
        "mean over settings, not seeds",
    ),
    Claim(
        "Stopping after a fifth of the epochs without gain is better than after a "
        "tenth",
        (
            Contrast(
                "complete masks, settings for mitochondria",
                COMPLETE,
                COMPLETE,
                "more",
                "patience 20 %",
                "patience 10 %",
            ),
            Contrast(
                "complete masks, settings for beads",
                {},
                {},
                "more",
                "patience 20 %",
                "patience 10 %",
                end=True,
            ),
        ),
        "read off the curves",
    ),
    Claim(
        "BCE, rate 1e-4 and batch 32 tell settings from data: above 0.3 the settings "
        "are at fault, below 0.2 the data",
        (
            Level("complete masks: baseline", COMPLETE | BASELINE, 0.3, 1.0),
            Level("half labelled: baseline", BASELINE, 0.0, 0.2),
        ),
    ),
    Claim(
        "Mitochondria with their settings: Jaccard of 0.067 to 0.070",
        (
            Level("settings for mitochondria", SPARSE_COMPLETE, 0.067, 0.070),
        ),
    ),
    Claim(
        "Beads with the recommended settings: 0.50 to 0.70, with augmentation 0.70 to "
        "0.85",
        (
            Level("without augmentation", {"augmentation": False}, 0.5, 0.7, end=True),
            Level("with augmentation", {}, 0.7, 0.85, end=True),
        ),
    ),
    Claim(
        "With the recommended settings the last epoch is within 10 % of the best",
        (
            Level(
                "final / best at 0.5", {}, 0.9, 1.0, "final of best", end=True
            ),
        ),
    ),
    Claim(
        "The best epoch comes at 1 to 4 % of training with the settings for "
        "mitochondria, at 30 to 60 % with those for beads",
        (
            Level("collapse: the best epoch / all", {}, 0.0, 0.2, "peak"),
            Level("beads: the best epoch / all", {}, 0.3, 0.6, "peak", end=True),
        ),
        "of 6 epochs, the first is 17 %",
    ),
    Claim(
        "Where beads are missed, a threshold of 0.3 mends it",
        (
            Level("half labelled: the best threshold", {}, 0.25, 0.35, "threshold"),
            Contrast(
                "half labelled: best threshold - 0.5",
                {},
                {},
                "more",
                "best",
                "best at 0.5",
            ),
        ),
    ),
    Claim("A split by density is essential", (), "one split was used throughout"),
)  # fmt: skip
