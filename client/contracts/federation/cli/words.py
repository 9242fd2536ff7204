"""What states, ends and rules of a federation say to people."""

from __future__ import annotations

from typing import Any

from rich.text import Text

from client.cli.common import cell

_COLORS = {"REACHED": "green", "MET": "green", "ROUNDS": "green", "USED": "green", "PROGRESS": "green", "END": "", "IDLE": "cyan"}
STATES = {
    "IDLE": "waits for the sponsor to start a round",
    "DRAW": "who aggregates or measures is drawn in a block to come",
    "KEY": "the sponsor opens the hidden test file to the panel",
    "READY": "the drawn aggregators make their keys",
    "TRAIN": "members train, each at home",
    "HAVE": "the aggregators say which updates they have",
    "ROWS": "what the updates are judged by is drawn in a block to come",
    "SCREEN": "the aggregators judge the updates, which none of them can open",
    "SUM": "the aggregators add up what was accepted",
    "MEASURE": "the panel measures the new model",
    "OPEN": "the panel shows what it measured",
    "END": "it is over",
}
ENDS = {
    "REACHED": "the target is met, and all of the bounty is paid",
    "ROUNDS": "all rounds, or all starts, are used up",
    "MET": "the initial model met the target already: everything went back",
    "BAD_MODEL": "the panel found that the initial model is none: everything went back",
    "NOKEY": "the sponsor did not open the hidden file in time",
    "STALLED": "three measurements came to nothing",
    "CLOSED": "the sponsor closed it",
    "ABANDONED": "the sponsor started no further round in time",
    "EXPIRED": "its time is over",
    "GIVEN_BACK": "it was given back",
}
CODES = {
    "USED": "used",
    "AWAY": "not used: an aggregator did not get it in time",
    "LARGE": "refused, LARGE: its norm is above the bound of this round",
    "EMPTY": "refused, EMPTY: it is next to nothing beside the others",
    "WRONG": "refused, WRONG: it points away from where the others, or the sponsor's reference, point",
    "STALE": "refused, STALE: it repeats what was added in one of the last rounds",
    "COPY": "refused, COPY: it is that of a member who committed earlier",
    "OUTLIER": "refused, OUTLIER: it lies among the farthest from the others",
}
VOIDS = {
    "NO_AGGREGATORS": "fewer than two aggregators were there",
    "TOO_FEW": "fewer members than needed sent an update in time",
    "NO_SET": "the aggregators did not get the same updates",
    "NO_REFERENCE": "the sponsor's reference update was missing",
    "DISPUTE": "the aggregators contradicted each other",
    "SPLIT": "too few updates could be accepted together",
    "NOT_FINITE": "the new model has values that are no numbers",
}
OUTCOMES = {"PROGRESS": "better, and paid", "NO_PROGRESS": "not better", "REVERTED": "not better: back to the best model"}
PAY = {
    "PAID": "paid",
    "NOT_IN": "not paid: it joined later",
    "NO_FILE": "not paid: no update of it came in time",
    "REFUSED": "not paid: its update was refused",
    "NOT_ADDED": "not paid: its update was fit, but not added, for too few new ones stood beside it",
    "NOT_MEASURED": "the round is not measured yet",
    "NO_PROGRESS": "not paid yet: the model is not better; the round's points count when the next one pays",
    "REVERTED": "not paid: the model is worse, or too many rounds brought nothing; the points are gone",
    "NO_POINTS": "not paid: what it added earned no points",
}
MEMBERS = {"PENDING": "waits to be admitted", "ACTIVE": "is in", "GONE": "left"}
WARNED = 10.0
"""Noise to signal of a round above which opening asks for --force."""


def colored(word: Any) -> Text:
    return cell(word, _COLORS.get(str(word), "yellow"))


def state_text(one: Any) -> Text:
    """The state, and once it is over why."""
    return colored(one["end"] or one["state"])


def meaning(one: Any) -> str:
    return ENDS.get(one["end"], "") if one["end"] else STATES.get(one["state"], "")
