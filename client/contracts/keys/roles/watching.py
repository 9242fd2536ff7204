"""Tells the owner of a recovery, and of other guardians, in time. Pure."""

from __future__ import annotations

from datetime import UTC, datetime

from learningchain.chain.contracts.keys.duties import coming_guardians, recovery_against
from learningchain.chain.host import Reader
from learningchain.client.work.events import Chain, Effect, Input, Notice
from learningchain.client.work.machine import Machine, Recalled

OPEN = "recovery.open"
COMING = "guardians.coming"


class RecoveryWatch(Machine):
    name = "recovery watch"

    def __init__(self, known: Recalled) -> None:
        self._me = known.me
        self._notices: list[Notice] = []

    def handle(self, given: Input) -> list[Effect]:
        if isinstance(given, Chain):
            said = ((OPEN, say(given.reader, self._me)), (COMING, say_coming(given.reader, self._me)))
            self._notices = [Notice(kind, self._me, text) for kind, text in said if text]
        return []

    def notices(self) -> list[Notice]:
        return self._notices


def say(reader: Reader, account: bytes) -> str:
    """What the owner should know; empty where no recovery is open."""
    against = recovery_against(reader, account)
    if against is None:
        return ""
    found, of, agree, needed = against
    more = "" if found.key else f" ({agree} agree, {needed} of {len(of.guardians)} have to, until {_time(found.until)})"
    what = f"get another key at {_time(found.until)}" if found.key else f"get another key{more}"
    end = "It objected: speak with them" if found.objected else "If you have not asked for it: learningchain recover object"
    return f"Guardians want this account to {what}. {end}"


def say_coming(reader: Reader, account: bytes) -> str:
    """Empty where the guardians stay who they are."""
    later = coming_guardians(reader, account)
    if later is None:
        return ""
    who = f"{len(later.guardians)} other guardians" if later.guardians else "no guardians"
    return (
        f"This account has {who} from {_time(later.since)} on. If you have not asked for it, its key is stolen: "
        "let the guardians of now speak before (learningchain recover start on another machine)"
    )


def _time(ms: int) -> str:
    return f"{datetime.fromtimestamp(ms / 1_000, UTC):%Y-%m-%d %H:%M} UTC (chain clock)"
