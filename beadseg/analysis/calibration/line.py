"""The straight line of log count over log concentration, and where counts leave it."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from beadseg.analysis.calibration.intervals import Interval
from beadseg.analysis.calibration.regression import Fit, fit
from beadseg.analysis.calibration.series import Unit
from beadseg.errors import BeadsegError

OFF = 0.1  # relative: a smaller distance from the line is none worth telling
CHANCE = 0.02  # of a straight series, that an end seems off the line
_SLOPE = np.array([0.0, 1.0])  # of the coefficients, the one of the second term
LEAST = 4  # dilutions, from which one can be off the line of the others

Background = tuple[float, float]  # counts per field, and their standard error


class NoLineError(BeadsegError):
    """Why counts give no line."""


class Clumping(NamedTuple):
    """Beads that are lost because they touch or hide each other.

    The share that is counted falls as exp(-k concentration), as with particles that
    coincide in a counter (Coulter; Poisson's chance of a neighbour within reach).
    """

    lost: float  # share of the beads of the thickest dilution
    interval: Interval
    p: float  # chance of as much where none are lost
    bends_at: float | None  # dilution at which a share of `OFF` is lost
    per_field: float | None  # beads counted per field there


class Stray(NamedTuple):
    """A thinnest dilution that is off the line of the others."""

    dilution: float
    deviation: float  # of the count, relative
    p: float


class Line(NamedTuple):
    """log(counts per field - background) = intercept - slope log(dilution)."""

    slope: float
    interval: Interval  # from the scatter of the counts about the line
    poisson: Interval  # from counting alone
    undiluted: float  # beads per field at dilution 1, the slope taken for 1
    undiluted_interval: Interval
    overdispersion: float
    df: int
    thickest: float  # dilution
    thinnest: float
    clumping: Clumping | None  # None: it cannot be told
    strays: tuple[Stray, ...]
    background: float  # counts per field
    centre: float  # log dilution at which the intercept stands
    free: Fit

    def expected(self, dilution: float) -> tuple[float, float, float]:
        """Counts per field, background included, and their interval."""
        terms = np.array([1.0, self.centre - np.log(dilution)])
        logs = (float(terms @ self.free.coefficients), *self.free.interval(terms))
        return tuple(_exp(value) + self.background for value in logs)

    def residual(self, dilution: float, rate: float) -> float:
        """Relative distance of `rate` counts per field, above the background."""
        signal = self.expected(dilution)[0] - self.background
        return (rate - self.background) / signal - 1

    def dilution_of(self, signal: float) -> float | None:
        """Where the line has `signal` counts per field above the background."""
        intercept, slope = self.free.coefficients
        if slope <= 0:
            return None
        return _exp(self.centre - (np.log(signal) - intercept) / slope)

    @property
    def proportional(self) -> bool:
        """A slope of 1 lies in the interval."""
        return self.interval[0] <= 1 <= self.interval[1]


def straight_line(units: Sequence[Unit], background: Background = (0.0, 0.0)) -> Line:
    """Fits counts of two or more dilutions; ends that are off the line are left out.

    At the thick end these are dilutions that lose more than `OFF` of their beads by
    clumping; at the thin end those whose count differs by more than that from what the
    line of all others foretells: each by more than chance does once in 1 / `CHANCE`.

    Args:
      units: independent counts, without blanks.
      background: of the blank.

    Raises:
      NoLineError: the counts give no line.
    """
    dilutions = sorted({unit.dilution for unit in units})
    if len(dilutions) < 2:
        raise NoLineError(
            f"no line: all images have the dilution {dilutions[0]:g}, and a line needs "
            "two or more"
        )
    strays: list[Stray] = []
    while True:
        clumping = _clumping(units, dilutions, background)
        straight = _straight(dilutions, clumping)
        stray = _stray(units, straight, background)
        if stray is None:
            break
        strays.append(stray)
        dilutions = dilutions[:-1]
    used = _of(units, straight)
    centre = float(np.mean([np.log(unit.dilution) for unit in used]))
    free = _fit(used, centre, background)
    poisson = _fit(used, centre, background, overdispersed=False)
    level = _fit(used, 0.0, background, slope=1.0)
    return Line(
        slope=float(free.coefficients[1]),
        interval=free.interval(_SLOPE),
        poisson=poisson.interval(_SLOPE),
        undiluted=float(np.exp(level.coefficients[0])),
        undiluted_interval=tuple(map(_exp, level.interval(np.ones(1)))),
        overdispersion=free.overdispersion,
        df=free.df,
        thickest=straight[0],
        thinnest=straight[-1],
        clumping=clumping,
        strays=tuple(strays),
        background=background[0],
        centre=centre,
        free=free,
    )


def _clumping(
    units: Sequence[Unit], dilutions: list[float], background: Background
) -> Clumping | None:
    """Fits K c exp(-k c), where c is the concentration, 1 of the thickest."""
    if len(dilutions) < LEAST:
        return None
    used = _of(units, dilutions)
    thick = np.log(dilutions[0])
    of = np.exp(_logs(used, thick))
    found = _fit(used, thick, background, slope=1.0, term=of)
    if not found.df:
        return None
    found = _at_least_poisson(found)
    k, error = -found.coefficients[1], found.standard_error(_SLOPE)
    low, high = sorted(-end for end in found.interval(_SLOPE))
    p = float(stats.t.sf(k / error, found.df_of(_SLOPE)))
    lost = -float(np.expm1(-k))
    bends_at = per_field = None
    if p < CHANCE and lost > OFF:
        at = -np.log1p(-OFF) / k
        bends_at = dilutions[0] / at
        signal = np.exp(found.coefficients[0]) * at * (1 - OFF)
        per_field = float(signal) + background[0]
    ends = (-float(np.expm1(-max(end, -300.0))) for end in (low, high))
    return Clumping(lost, tuple(ends), p, bends_at, per_field)


def _straight(dilutions: list[float], clumping: Clumping | None) -> list[float]:
    """Those that clumping leaves; the thinnest three whatever it says."""
    if clumping is None or clumping.bends_at is None:
        return dilutions
    kept = [d for d in dilutions if d >= clumping.bends_at]
    return kept if len(kept) >= LEAST - 1 else dilutions[1 - LEAST :]


def _stray(
    units: Sequence[Unit], dilutions: list[float], background: Background
) -> Stray | None:
    """The thinnest, if it is off the line of the others."""
    if len(dilutions) < LEAST:
        return None
    rest = _of(units, dilutions[:-1])
    centre = np.log(dilutions[-1])
    try:
        found = _fit(rest, centre, background)
    except NoLineError:
        return None
    if not found.df:
        return None
    found = _at_least_poisson(found)
    _, counts, exposure = _columns(_of(units, dilutions[-1:]))
    intercept = np.array([1.0, 0.0])
    signal = exposure * _exp(found.coefficients[0])
    mean = signal + exposure * background[0]
    scatter = np.sum(mean + found.overdispersion * mean**2) * found.scale
    errors = (
        np.sqrt(scatter),
        signal.sum() * found.standard_error(intercept),
        exposure.sum() * background[1],
    )
    far = counts.sum() - mean.sum()
    p = 2 * float(stats.t.sf(abs(far) / np.linalg.norm(errors), found.df))
    deviation = float(far / signal.sum())
    off = p < CHANCE and abs(deviation) > OFF
    return Stray(dilutions[-1], deviation, p) if off else None


def _fit(
    units: Sequence[Unit],
    centre: float,
    background: Background,
    overdispersed: bool = True,
    slope: float | None = None,
    term: np.ndarray | None = None,
) -> Fit:
    """Intercept at the log dilution `centre`, slope unless given, and `term`."""
    one, counts, exposure = _columns(units)
    above = {u.dilution for u in units if u.count > background[0] * u.exposure}
    if len(above) < 2:
        raise NoLineError(
            f"no line: {len(above)} of {len({u.dilution for u in units})} dilutions "
            + ("hold more beads than the blank" if background[0] else "hold any bead")
            + ", and a line needs two"
        )
    logs = _logs(units, centre)
    columns = [one] if slope is not None else [one, logs]
    columns += [] if term is None else [term]
    offset = 0.0 if slope is None else slope * logs
    try:
        return fit(
            np.stack(columns, 1), counts, exposure, background, offset, overdispersed
        )
    except ValueError as error:
        raise NoLineError(f"no line: {error}") from error


def _at_least_poisson(found: Fit) -> Fit:
    """Counts that lie well by chance make no distance from their line surer."""
    return found._replace(scale=max(found.scale, 1.0))


def _of(units: Sequence[Unit], dilutions: Sequence[float]) -> list[Unit]:
    return [unit for unit in units if unit.dilution in dilutions]


def _columns(units: Sequence[Unit]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    counts = np.array([float(unit.count) for unit in units])
    return np.ones(len(units)), counts, np.array([unit.exposure for unit in units])


def _logs(units: Sequence[Unit], centre: float) -> np.ndarray:
    """Logs of the concentrations, 0 at the log dilution `centre`."""
    return np.array([centre - np.log(unit.dilution) for unit in units])


def _exp(value: float) -> float:
    return float(np.exp(min(value, 300.0)))
