"""Which members are to be trained, and how far: all, in rounds, or as Optuna chooses.

What is to be done is read off the folder each time, so that any number of processes
come to the same answer and a killed one leaves nothing behind that it alone knew.
"""

import math
import warnings

from beadseg.errors import BeadsegError
from beadseg.sweep.folder import Result, SweepFolder
from beadseg.sweep.points import Choice, Space, Uniform
from beadseg.training.tracking.summary import score_of


class All:
    """Every point to its last epoch. Other searches derive from this one."""

    of_space = False  # whether it makes its own points, of `space()` in the config file

    def __init__(self, folder: SweepFolder, space: Space | None):
        self._folder = folder

    def todo(self) -> dict[int, int]:
        """Members that are to go on now, with the epoch they are to reach."""
        epochs = self._folder.base.train.epochs
        members = self._folder.members
        found = (self._folder.result(m, point) for m, point in members.items())
        return {r.member: epochs for r in found if not _has_reached(r, epochs)}

    def ask(self, count: int) -> bool:
        """Adds up to `count` members; False if there are to be no more."""
        return False

    def tell(self, result: Result) -> None:
        """A member has ended."""


class Halving(All):
    """Successive halving (Jamieson and Talwalkar 2016, arXiv 1502.07943).

    All members train for a part of the epochs; the better ones, `sweep.keep` of them,
    for a longer part, and so on: the last round goes to the last epoch.
    """

    def __init__(self, folder: SweepFolder, space: Space | None):
        super().__init__(folder, space)
        config = folder.base
        self._keep, rounds = config.sweep.keep, config.sweep.rounds
        if not 0 < self._keep < 1 or rounds < 1:
            raise BeadsegError(
                f"config.sweep.keep = {self._keep}, config.sweep.rounds = {rounds}: "
                "give a share between 0 and 1, and at least 1 round"
            )
        epochs = config.train.epochs
        parts = [epochs * self._keep**back for back in reversed(range(rounds))]
        self.epochs = sorted({max(1, round(part)) for part in parts})

    def todo(self) -> dict[int, int]:
        """Members of the first round that is not over."""
        folder = self._folder
        living = {m: folder.result(m, p) for m, p in folder.members.items()}
        for epochs in self.epochs:
            left = [m for m, r in living.items() if not _has_reached(r, epochs)]
            if left:
                return dict.fromkeys(left, epochs)
            fit = [m for m, r in living.items() if r.state != "failed"]
            scores = {m: self._score(m, epochs) for m in fit}
            ranked = sorted(fit, key=lambda m: (-scores[m], m))
            kept = ranked[: max(1, math.ceil(self._keep * len(living)))]
            living = {m: living[m] for m in kept}
        return {}

    def _score(self, member: int, epochs: int) -> float:
        """Best score until then: what came later must not change a round."""
        rows = self._folder.rows(member)
        found = [r for r in rows if r["kind"] == "validation" and r["epoch"] <= epochs]
        return max(map(score_of, found), default=-1.0)


class Optuna(All):
    """Trials chosen by Optuna from what came before; its journal is in the folder.

    Trial and member have the same number. A trial whose process was killed continues
    as any other member.
    """

    of_space = True

    def __init__(self, folder: SweepFolder, space: Space | None):
        super().__init__(folder, space)
        if not space:
            raise BeadsegError(
                'config.sweep.search = "optuna": the config file has no space(): let '
                "it return ranges of fields, see beadseg/sweep/points.py"
            )
        try:
            import optuna
        except ImportError as error:
            raise BeadsegError(
                'config.sweep.search = "optuna": Optuna is not installed: give '
                'pip install "beadseg[sweep]"'
            ) from error
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        journal = optuna.storages.journal
        file = str(folder.path / "optuna.log")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            storage = optuna.storages.JournalStorage(journal.JournalFileBackend(file))
        self._study = optuna.create_study(
            storage=storage,
            study_name="sweep",
            load_if_exists=True,
            direction="maximize",
        )
        self._space = space

    def ask(self, count: int) -> bool:
        """Asks for trials, up to `sweep.trials` in all."""
        left = self._folder.base.sweep.trials - len(self._folder.members)
        for _ in range(min(count, left)):
            trial = self._study.ask()
            self._study.sampler = _sampler(self._folder.base.seed, trial.number)
            for field, values in self._space.items():
                _suggest(trial, field, values)
            self._folder.add_trial(trial.number, dict(trial.params))
        return left > 0

    def tell(self, result: Result) -> None:
        """Gives the score of a member back; one that failed has none."""
        import optuna

        failed = result.state == "failed"
        self._study.tell(
            result.member,
            None if failed else result.score,
            state=optuna.trial.TrialState.FAIL if failed else None,
            skip_if_finished=True,
        )


SEARCHES: dict[str, type[All]] = {"all": All, "halving": Halving, "optuna": Optuna}


def search_of(folder: SweepFolder, space: Space | None) -> All:
    """The search that `config.sweep.search` names."""
    name = folder.base.sweep.search
    if name not in SEARCHES:
        raise BeadsegError(
            f"config.sweep.search = {name!r} is unknown: use one of {list(SEARCHES)}"
        )
    return SEARCHES[name](folder, space)


def _has_reached(result: Result, epochs: int) -> bool:
    return result.state == "failed" or result.summary.get("epochs", 0) >= epochs


def _sampler(seed: int, trial: int):
    """One for each trial: two processes with one seed would draw the same numbers."""
    import optuna

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.TPESampler(
            seed=(1000 * seed + trial) % 2**32, constant_liar=True, n_startup_trials=5
        )


def _suggest(trial, field: str, values: Uniform | Choice) -> None:
    if isinstance(values, Choice):
        trial.suggest_categorical(field, values.values)
    elif values.whole:
        trial.suggest_int(field, values.low, values.high)
    else:
        trial.suggest_float(field, values.low, values.high, log=values.log)
