"""What the second edition had to reach, and what the first one had."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .figures import Results
from .ranges import Rate, percent


@dataclass(frozen=True, slots=True)
class Target:
    words: str
    before: str
    aim: str
    most: float
    """Largest share that reaches it; the whole range has to lie below, or 0 be all that was seen."""
    found: Callable[[Results], Rate]

    def now(self, results: Results) -> str:
        rate = self.found(results)
        return f"{percent(rate)} of {rate.tries:,}"

    def reached(self, results: Results) -> bool:
        rate = self.found(results)
        return rate.range()[1] < self.most if self.most else rate.hits == 0


def _rate(key: str, *names: str) -> Callable[[Results], Rate]:
    def found(results: Results) -> Rate:
        cell = results["cells"][key]
        return Rate(round(sum(cell[name] for name in names)), round(cell["tries"]))

    return found


def _barred(results: Results) -> Rate:
    cells = [cell for key, cell in results["cells"].items() if key.startswith("campaigns") and key.endswith("/1")]
    return Rate(round(sum(cell["barred"] for cell in cells)), round(sum(cell["tries"] for cell in cells)))


def _beyond(results: Results) -> Rate:
    """Jobs that took more than they cost; all were equal, or none is known."""
    cell = results["cells"]["takings"]
    return Rate(round(cell["most"] > 0), round(cell["against"]))


_LAZY = "lazy/LogisticRegression/F32/False/0.125/at random"

TARGETS = (
    Target(
        "False claim paid: 100 verifiers, a third in collusion, 2 % silent",
        "0.48 %",
        "below 0.05 %",
        0.0005,
        _rate("target/false", "OK"),
    ),
    Target(
        "The same, where the claimant serves its model to friends only",
        "3.7 % (if that were no dissent)",
        "below 0.05 %",
        0.0005,
        _rate("target/friends", "OK"),
    ),
    Target(
        "False claim paid: 50 verifiers, 5 % in collusion, 90 % of the honest abstain",
        "13 %",
        "0",
        0.0,
        _rate("abstain/50/5", "OK"),
    ),
    Target(
        "The same: 100 verifiers, a third in collusion, 90 % of the honest abstain",
        "not measured",
        "0",
        0.0,
        _rate("abstain/100/33", "OK"),
    ),
    Target(
        "Jobs in which verdicts took more of others than of their own contractor",
        "5,000 credits for 0.000013",
        "none",
        0.0,
        _beyond,
    ),
    Target("Verifiers barred by one contractor in 400 jobs", "30 of 30, in 37 jobs", "none", 0.0, _barred),
    Target(
        "Share of an honest verifier's fees that one gets who runs an eighth, chosen at random (digits, logistic regression, f32)",
        "100 %: 129 % of an honest one's profit",
        "below 1 %",
        0.01,
        _rate(_LAZY, "paid"),
    ),
    Target(
        "The same, by the eighth that was hardest for another model, where 95 % of the losses are 0 (digits, nearest neighbours)",
        "not measured",
        "below 1 %",
        0.01,
        _rate("lazy/KNeighborsClassifier/F32/False/0.125/where another model erred most", "paid"),
    ),
    Target(
        "False claim paid by a committee that was chosen: a last message is held; 100 verifiers and validators, a third in "
        "collusion",
        "17.7 %",
        "at most 1 %",
        0.01,
        _rate("draw/100/100/held", "OK"),
    ),
    Target(
        "The same, where its colluding proposers also leave secrets out",
        "0.93 % (first audit; the held message apart)",
        "at most 1 %",
        0.01,
        _rate("draw/100/100/withheld", "OK"),
    ),
    Target(
        "The same, where their ids also lie side by side",
        "not measured",
        "at most 1 %",
        0.01,
        _rate("draw/100/100/adjacent", "OK"),
    ),
)
