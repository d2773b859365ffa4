"""What a number of queries can find, how many it takes, and when two cells are as good as equal."""

from __future__ import annotations

import math

from scipy import special

from finrag_eval.statistics.intervals import normal_quantile


def detectable_factor(family: int = 1, *, alpha: float = 0.05, power: float = 0.8) -> float:
    """How many standard errors a true difference must be: z(1 - alpha/2m) + z(power)."""
    return normal_quantile(1 - alpha / 2 / max(family, 1)) + normal_quantile(power)


def smallest_detectable(
    se: float, family: int = 1, *, alpha: float = 0.05, power: float = 0.8
) -> float:
    """The smallest true difference that is found with this power among ``family`` comparisons."""
    return detectable_factor(family, alpha=alpha, power=power) * se


def queries_needed(
    delta: float, se: float, n: int, family: int = 1, *, alpha: float = 0.05, power: float = 0.8
) -> int | None:
    """How many queries would find a true difference of ``delta``; None where it is 0.

    ``se`` is the standard error seen with ``n`` queries; it falls with the square root of their
    number as long as new queries cluster as the old ones do.
    """
    if delta == 0:
        return None
    ratio = smallest_detectable(se, family, alpha=alpha, power=power) / abs(delta)
    return max(1, math.ceil(n * ratio * ratio * (1 - 1e-12)))


def expected_se(spread: float, n: float, *, design_effect: float = 1.0) -> float:
    """The standard error that ``n`` queries will have, from the spread of one difference."""
    return spread * math.sqrt(design_effect / n)


def found_with_power(delta: float, se: float, family: int = 1, *, alpha: float = 0.05) -> float:
    """The chance to find a true difference of ``delta`` with this standard error."""
    threshold = normal_quantile(1 - alpha / 2 / max(family, 1))
    if se == 0:
        return 0.0 if delta == 0 else 1.0
    reach = abs(delta) / se
    return float(special.ndtr(reach - threshold) + special.ndtr(-reach - threshold))


def passes_when_equal(room: float, se: float, *, alpha: float = 0.05) -> float:
    """The chance that an interval around a true difference of 0 stays within ``room`` on one side.

    What a non-inferiority gate lets pass of candidates that are as good as their baseline; 0.025
    where ``room`` is 0.
    """
    if se == 0:
        return 1.0 if room > 0 else 0.0
    return float(special.ndtr(room / se - normal_quantile(1 - alpha / 2)))


def is_equivalent(low: float | None, high: float | None, margin: float) -> bool:
    """Whether the interval lies within the margin on both sides (Schuirmann 1987).

    The interval is the reported one of 95%, so each of the two one-sided tests is held at 2.5%:
    what the reader sees is what decides.
    """
    return low is not None and high is not None and -margin < low and high < margin


def tost_p_value(delta: float, se: float, df: float, margin: float) -> float:
    """The larger p-value of the two one-sided t tests against -margin and +margin."""
    if se == 0:
        return 0.0 if abs(delta) < margin else 1.0
    above = special.stdtr(df, -(delta + margin) / se)
    below = special.stdtr(df, (delta - margin) / se)
    return float(max(above, below))
