"""A share that was counted, with the range that holds the true one in 95 of 100 cases."""

from __future__ import annotations

from dataclasses import dataclass
from math import floor, log10, sqrt

Z = 1.959964
"""Of the normal distribution: 95 % lie within so many standard deviations."""


@dataclass(frozen=True, slots=True)
class Rate:
    """`hits` of `tries`."""

    hits: int
    tries: int

    @property
    def share(self) -> float:
        return self.hits / self.tries

    def range(self, z: float = Z) -> tuple[float, float]:
        """Wilson's score interval (1927): it has a sensible end where nothing or everything was hit."""
        n, share = self.tries, self.share
        middle = share + z * z / (2 * n)
        half = z * sqrt(share * (1 - share) / n + z * z / (4 * n * n))
        low, high = (middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)
        return (0.0 if self.hits == 0 else low), (1.0 if self.hits == n else high)


def short(number: float) -> str:
    """Two significant digits, three from ten on."""
    if number == 0:
        return "0"
    digits = (2 if number >= 10 else 1) - floor(log10(number))
    return f"{number:.{max(0, digits)}f}"


def percent(rate: Rate) -> str:
    """`0.037 % (0.034 to 0.041)`; of what never happened only the upper end, of what always happened the lower one."""
    low, high = rate.range()
    if rate.hits == 0:
        return f"0 (below {short(100 * high)} %)"
    if rate.hits == rate.tries:
        return f"100 % (above {100 * low:.{max(1, -floor(log10(1 - low)) - 2)}f})"
    return f"{short(100 * rate.share)} % ({short(100 * low)} to {short(100 * high)})"


def bare(rate: Rate) -> str:
    """The same for a table in percent."""
    return percent(rate).replace(" %", "").replace("below ", "<").replace("above ", ">").replace(" to ", "-")
