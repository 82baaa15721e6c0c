"""Regression of counts: log link, a constant background, variance beyond Poisson's."""

from typing import NamedTuple

import numpy as np
from scipy import optimize, special

LEVEL = 0.95  # of every interval
_STEPS, _HALVINGS = 100, 30
_FAR = 2.0  # natural logs: the longest step
_MOST = 1e4  # overdispersion; more is a table of nonsense


class Fit(NamedTuple):
    """Coefficients of k terms from n counts."""

    coefficients: np.ndarray  # f64[k]
    covariance: np.ndarray  # f64[k, k], before `scale`
    of_background: np.ndarray  # f64[k, k], of what is not known of the background
    mean: np.ndarray  # f64[n], expected counts
    variance: np.ndarray  # f64[n], of the counts, before `scale`
    overdispersion: float  # a of variance = mean + a mean^2; its root is a CV
    scale: float  # on variances: 1, or below where counts scatter less than Poisson's
    df: int  # degrees of freedom; 0: Poisson's variance was taken for granted
    by_overdispersion: np.ndarray  # f64[k, k], change of `covariance`
    information: float  # fall of Pearson's chi-squared as the overdispersion rises

    def interval(self, terms: np.ndarray) -> tuple[float, float]:
        """Of the sum of coefficients weighted by `terms`, f64[k], by Student's t."""
        middle = float(terms @ self.coefficients)
        half = quantile(self.df_of(terms)) * self.standard_error(terms)
        return middle - half, middle + half

    def df_of(self, terms: np.ndarray) -> float:
        """Degrees of freedom of its standard error (Satterthwaite 1946); 0: infinite.

        They are few where other counts rule the variance than tell it: counts of 5
        know nothing of an overdispersion that matters at 500.
        """
        change = float(terms @ self.by_overdispersion @ terms)
        if not self.df or not self.overdispersion or change <= 0:
            return self.df
        share = float(terms @ self.covariance @ terms) / change
        return max((share * self.information) ** 2 / self.df, 1.0)

    def standard_error(self, terms: np.ndarray) -> float:
        """Of the same sum."""
        covariance = self.covariance * self.scale + self.of_background
        return float(np.sqrt(max(terms @ covariance @ terms, 0.0)))


def quantile(df: float) -> float:
    """Of Student's t for the interval's upper end; df 0: of the normal distribution."""
    upper = (1 + LEVEL) / 2
    return float(special.stdtrit(df, upper) if df else special.ndtri(upper))


def fit(
    design: np.ndarray,
    counts: np.ndarray,
    exposure: np.ndarray,
    background: tuple[float, float] = (0.0, 0.0),
    offset: np.ndarray | float = 0.0,
    overdispersed: bool = True,
) -> Fit:
    """Fits counts of mean exposure * (background + exp(design @ b + offset)).

    A count of 0 enters as any other: no logarithm is taken of counts. The coefficients
    maximise the likelihood of Poisson's distribution, or of the negative binomial with
    variance mean + a mean^2, where a is the one with which Pearson's chi-squared equals
    its degrees of freedom (Breslow 1984, Appl. Stat. 33, 38). Counts that scatter less
    than Poisson's keep a = 0, and their variance is scaled, as in linear regression.

    Args:
      design: f64[n, k].
      counts: f64[n], 0 or more.
      exposure: f64[n], above 0.
      background: counts per exposure that do not depend on the design, and the
        standard error of this number.
      offset: f64[n] or a number, natural logs.
      overdispersed: False: Poisson's variance, and intervals from it alone (df 0).

    Raises:
      ValueError: the counts leave a coefficient at minus infinity, such as the mean of
        a group without any count.
    """
    shape = len(counts), design.shape[1]
    if np.linalg.matrix_rank(design) < shape[1]:
        raise ValueError("the terms of the design depend on each other")
    start = _start(design, counts, exposure, background[0], offset)

    def solve(overdispersion: float, start: np.ndarray) -> Fit:
        return _solve(
            start, design, counts, exposure, background, offset, overdispersion
        )

    poisson = solve(0.0, start)
    df = shape[0] - shape[1]
    if not overdispersed or df < 1:
        return poisson
    excess = _pearson(counts, poisson) - df
    if excess <= 0:
        return poisson._replace(scale=1 + excess / df, df=df)

    def left(overdispersion: float) -> float:
        found = solve(overdispersion, poisson.coefficients)
        return _pearson(counts, found) - df

    high = 1e-3
    while left(high) > 0 and high < _MOST:
        high *= 4
    best = high if high >= _MOST else optimize.brentq(left, 0.0, high, rtol=1e-6)
    return solve(best, poisson.coefficients)._replace(df=df)


def _start(design, counts, exposure, background, offset) -> np.ndarray:
    """Least squares of logs, where a count of 0 is taken for a half."""
    net = np.maximum(counts - background * exposure, 0.5) / exposure
    weights = np.sqrt(np.maximum(counts, 0.5))
    logs = weights * (np.log(net) - offset)
    return np.linalg.lstsq(weights[:, None] * design, logs)[0]


def _solve(start, design, counts, exposure, background, offset, overdispersion) -> Fit:
    """Fisher's scoring, with steps that are halved until the likelihood rises."""
    level, error = background

    def look(coefficients: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        eta = np.clip(design @ coefficients + offset, -300, 300)
        signal = exposure * np.exp(eta)
        mean = signal + exposure * level
        return _likelihood(counts, mean, overdispersion), signal, mean

    def inform(signal: np.ndarray, variance: np.ndarray) -> np.ndarray:
        return (design.T * (signal**2 / variance)) @ design

    coefficients = start
    value, signal, mean = look(coefficients)
    for _ in range(_STEPS):
        variance = mean + overdispersion * mean**2
        gradient = design.T @ (signal * (counts - mean) / variance)
        try:
            step = np.linalg.solve(inform(signal, variance), gradient)
        except np.linalg.LinAlgError as error:
            raise ValueError("the counts say nothing of a coefficient") from error
        step *= min(1.0, _FAR / max(np.abs(step).max(), 1e-300))
        for _ in range(_HALVINGS):
            tried = look(coefficients + step)
            if tried[0] >= value - 1e-9 * abs(value):
                break
            step = step / 2
        coefficients = coefficients + step
        value, signal, mean = tried
        if np.abs(step).max() < 1e-9:
            break
    else:
        raise ValueError("the counts leave a coefficient at infinity")
    variance = mean + overdispersion * mean**2
    weights = signal**2 / variance
    covariance = np.linalg.inv(inform(signal, variance))
    moves = covariance @ (design.T @ (signal * exposure / variance)) * error
    worth = mean**2 / variance
    leverage = weights * np.einsum("nk,kl,nl->n", design, covariance, design)
    change = covariance @ ((design.T * (weights * worth)) @ design) @ covariance
    return Fit(
        coefficients=coefficients,
        covariance=covariance,
        of_background=np.outer(moves, moves),
        mean=mean,
        variance=variance,
        overdispersion=float(overdispersion),
        scale=1.0,
        df=0,
        by_overdispersion=change,
        information=float(np.sum(worth * (1 - leverage))),
    )


def _likelihood(counts, mean, overdispersion) -> float:
    """Log of it, up to what the mean does not change."""
    if overdispersion == 0:
        return float(np.sum(special.xlogy(counts, mean) - mean))
    more = np.log1p(overdispersion * mean)
    return float(
        np.sum(special.xlogy(counts, mean) - (counts + 1 / overdispersion) * more)
    )


def _pearson(counts: np.ndarray, found: Fit) -> float:
    return float(np.sum((counts - found.mean) ** 2 / found.variance))
