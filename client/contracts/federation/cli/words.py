"""What states, ends and rules of a federation say to people."""

from __future__ import annotations

from typing import Any

from learningchain.client.cli.common import cell
from learningchain.client.cli.paper import Text
from learningchain.client.contracts.federation.web.phrases import ENDS, STATES

_COLORS = {"REACHED": "green", "MET": "green", "ROUNDS": "green", "USED": "green", "PROGRESS": "green", "END": "", "IDLE": "cyan"}


def colored(word: Any) -> Text:
    return cell(word, _COLORS.get(str(word), "yellow"))


def state_text(one: Any) -> Text:
    """The state, and once it is over why."""
    return colored(one["end"] or one["state"])


def meaning(one: Any) -> str:
    return ENDS.get(one["end"], "") if one["end"] else STATES.get(one["state"], "")
