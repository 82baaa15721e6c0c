"""Signs of what ails a run that its curves show."""

import numpy as np

from beadseg.analysis.diagnosis.evidence import Evidence
from beadseg.analysis.diagnosis.signs import TRAIN, Sign, beyond, in_vain
from beadseg.quoting import counted, percent
from beadseg.training.tracking.summary import SKILL

_BLOWN = 10.0  # times the worst training loss: no validation loss of a sound run


def overfitting(e: Evidence) -> Sign | None:
    if len(e.curve) < 4 or len(e.training) < 4:
        return None
    losses = np.array([row["loss"] for row in e.curve])
    learnt = np.array([row["loss"] for row in e.training])
    tail = max(len(losses) // 5, 1)
    lowest = int(losses.argmin())
    rise = losses[-tail:].mean() / max(losses[lowest], 1e-6) - 1
    fell = learnt[-tail:].mean() < 0.97 * learnt[min(lowest, len(learnt) - 1)]
    gap = e.training[-1]["jaccard"] - e.curve[-1]["jaccard_at_0.5"]
    if _fallen(e) is not None or rise < 0.15 or not fell or gap < 0.1:
        return None
    return Sign(
        max(beyond(rise, 0.15, 0.6), beyond(gap, 0.1, 0.3)),
        f"Validation loss rose by {percent(rise)} after epoch "
        f"{e.curve[lowest]['epoch']} while training loss kept falling; Jaccard "
        f"{e.training[-1]['jaccard']:.2f} in training, "
        f"{e.curve[-1]['jaccard_at_0.5']:.2f} in validation.",
        f"{TRAIN} --config.model.dropout=0.3 --config.data.augment.enabled=True",
    )


def _fallen(e: Evidence) -> tuple[float, float, int] | None:
    """Best and last Jaccard, and the epoch of the best, where a run collapsed."""
    if len(e.curve) < 4:
        return None
    scores = np.array([row["jaccard"] for row in e.curve])
    top = int(scores.argmax())
    last = float(np.mean(scores[-max(len(scores) // 5, 1) :]))
    if last > 0.6 * scores[top] or scores[top] < 0.03 or top > 0.7 * len(scores):
        return None
    if _recovers(scores):
        return None  # up and down, not a collapse
    return float(scores[top]), last, e.curve[top]["epoch"]


def _recovers(scores: np.ndarray) -> bool:
    """Whether scores once fell far below what had been reached, and came back."""
    fallen = False
    for i in range(1, len(scores)):
        best = scores[:i].max()
        if best < 0.5 * scores.max():
            continue
        if fallen and scores[i] > 0.75 * best:
            return True
        fallen |= bool(scores[i] < 0.6 * best)
    return False


def collapse(e: Evidence) -> Sign | None:
    fallen = _fallen(e)
    if fallen is None:
        return None
    best, last, epoch = fallen
    return Sign(
        0.98,
        f"Validation Jaccard peaked at {best:.2f} in epoch {epoch} and fell to "
        f"{last:.2f}; the weights of that epoch were kept.",
        f"{TRAIN} --config.loss.name=dice --config.optim.warmup_steps=50",
    )


def disagreement(e: Evidence) -> Sign | None:
    if len(e.curve) < 5 or len(e.training) < 5 or _fallen(e) is not None:
        return None
    top, tail = _top(e), max(len(e.curve) // 5, 1)
    scores, losses = (np.array([r[k] for r in e.curve]) for k in ("jaccard", "loss"))
    learnt = np.array([row["loss"] for row in e.training])
    fell = scores[top] - scores[-tail:].mean()
    better = losses[-tail:].mean() < 0.8 * losses[top]
    learns = learnt[-tail:].mean() < 0.7 * learnt[min(top, len(learnt) - 1)]
    if 3 * top > len(scores) or fell < 0.03 or not (better and learns):
        return None
    return Sign(
        beyond(fell, 0.03, 0.1),
        f"Loss kept falling after epoch {e.curve[top]['epoch']}, in validation too, "
        f"but Jaccard fell from {scores[top]:.2f} to {scores[-tail:].mean():.2f}: what "
        "is learnt from the training masks is not what the validation masks show.",
        "beadseg analyze DIR",
    )


def _top(e: Evidence) -> int:
    """Index of the best epoch, whose weights were kept."""
    return int(np.argmax([row["jaccard"] for row in e.curve])) if e.curve else 0


def rate_high(e: Evidence) -> Sign | None:
    rate = e.config.get("optim", {}).get("learning_rate", float("nan"))
    command = f"{TRAIN} --config.optim.learning_rate={rate / 5:.2g}"
    worst = max((row["loss"] for row in e.curve), default=0.0)
    usual = max((row["loss"] for row in e.training), default=np.inf)
    if worst > _BLOWN * usual:
        return Sign(
            beyond(np.log(worst / usual), np.log(_BLOWN), np.log(10 * _BLOWN)),
            f"Validation loss rose to {worst:.3g}, where training loss was {usual:.2g} "
            f"at most: weights were blown up (rate {rate:g}).",
            command,
        )
    if _dead(e):
        return Sign(
            0.97,
            "The network gives one answer everywhere, and for sure; training loss "
            f"never fell: weights were blown up in the first steps (rate {rate:g}).",
            command,
        )
    if len(e.curve) < 5 or _fallen(e) is not None:
        return None
    scores = np.array([row["jaccard"] for row in e.curve])
    late = scores[len(scores) // 3 :]
    jumps = np.diff(late)
    turns = np.mean(np.sign(jumps[1:]) != np.sign(jumps[:-1])) if len(jumps) > 1 else 0
    most = np.sort(np.abs(jumps))[:-2]  # one bad epoch makes two large jumps
    swing = float(most.mean() - abs(jumps.mean())) if len(most) else 0.0
    if swing < 0.035 or turns < 0.35:
        return None
    return Sign(
        beyond(swing, 0.035, 0.09),
        f"Validation Jaccard swings by {swing:.2f} from epoch to epoch in the last two "
        f"thirds of training (rate {rate:g}).",
        command,
    )


def _dead(e: Evidence) -> bool:
    """Whether weights are such that nothing that comes in matters."""
    if not e.total("truth") or len(e.training) < 4 or e.skill > 0.02:
        return False
    losses = [row["loss"] for row in e.training]
    sure = max(e.unsure_shares()) < 0.1
    return sure and min(losses) > 0.9 * losses[0]


def rate_low(e: Evidence) -> Sign | None:
    rate = e.config.get("optim", {}).get("learning_rate", float("nan"))
    command = f"{TRAIN} --config.optim.learning_rate={rate * 5:.2g}"
    if rate >= 1e-3:
        command = f"{TRAIN} --config.train.epochs={max(3 * len(e.curve), 30)}"
    scores = [row["jaccard"] for row in e.curve]
    # Else the weights are of an early epoch.
    late = 3 * _top(e) >= len(scores) or scores[-1] == max(scores)
    if e.undecided and not e.silent and not in_vain(e) and late:
        beads, background = e.unsure_shares()
        return Sign(
            0.97,
            f"After {counted(len(e.curve), 'epoch')} nothing is certain: "
            f"{percent(beads)} of the pixels on beads and {percent(background)} of "
            f"those off them have a probability of 0.2 to 0.8 (rate {rate:g}).",
            command,
        )
    answers = bool(e.curve and e.rows) and not e.silent and not _dead(e)
    if answers and e.skill < SKILL and late and e.curve[-1]["jaccard_at_0.5"] >= 0.02:
        return Sign(
            0.9,
            f"After {counted(len(e.curve), 'epoch')} beads are hardly told from "
            f"background: a Jaccard of {e.best[0]:.2f} at best, where calling "
            f"everything bead gives {e.trivial:.2f} (rate {rate:g}).",
            command,
        )
    if len(e.curve) < 5 or len(e.training) < 5 or _fallen(e) is not None:
        return None
    scores = np.array(scores)
    third = max(len(scores) // 3, 1)
    gain = scores[-third:].mean() - scores[-2 * third : -third].mean()
    spread = np.ptp(scores)
    loss = np.array([row["loss"] for row in e.training])
    fall = loss[-2 * third : -third].mean() - loss[-third:].mean()
    fall /= max(loss[0], 1e-6)
    if scores.max() > 0.8 or gain < 0.02 or gain < 0.2 * spread or fall < 0.02:
        return None
    return Sign(
        beyond(gain / max(spread, 1e-6), 0.2, 0.35),
        f"After {counted(len(scores), 'epoch')} Jaccard is {scores[-1]:.2f} and still "
        f"rising steadily, by {gain:.2f} from one third to the next (rate {rate:g}).",
        command,
    )
