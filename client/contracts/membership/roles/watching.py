"""Tells the operator of cases: the one against this node, and those that wait for its word as a validator. Pure."""

from __future__ import annotations

from learningchain.chain.contracts.membership import case_key, duties
from learningchain.chain.crypto import address
from learningchain.chain.host import Reader
from learningchain.client.contracts.membership.http import cases
from learningchain.client.work.events import Chain, Changed, Effect, Input, Notice
from learningchain.client.work.machine import Machine, Recalled

_CASE = case_key(b"")
OWN, WAITS = "case.own", "case.waits"


class CaseWatch(Machine):
    """Follows the open cases; there are as many as accounts that are suspended."""

    name = "case watch"

    def __init__(self, known: Recalled) -> None:
        self._me = known.me
        self._open: set[bytes] = set()
        self._notices: list[Notice] = []

    def handle(self, given: Input) -> list[Effect]:
        match given:
            case Changed():
                for account in {*given.under(_CASE), *(self._open if given.anew else ())}:
                    (self._open.discard if duties.open_case(given.reader, account) is None else self._open.add)(account)
            case Chain():
                self._notices = [said for account in sorted(self._open) if (said := self._say(given.reader, account)) is not None]
        return []

    def notices(self) -> list[Notice]:
        return self._notices

    def _say(self, reader: Reader, account: bytes) -> Notice | None:
        case, shown = duties.open_case(reader, account), cases.view(reader, account)
        if case is None or shown is None:
            return None
        text = " ".join(shown["words"])
        if account == self._me:
            return Notice(OWN, account, f"A case is open against this node's identity. {text} Ask the judges to look at it.")
        if not duties.waits_for(reader, self._me, account):
            return None
        why_not = cases.why_not_confirm(reader, self._me, case)
        can = f"--lift ({why_not})" if why_not else "--confirm or --lift"
        asked = f"Say it with: learningchain judge {address(account)} {can}."
        return Notice(WAITS, account, f"A case against {address(account)} waits for this validator's word. {text} {asked}")
