"""Says on the ledger that this account may be drawn for federations, where the settings want it, and who may for those with cells,
too. Its owner takes it back. Pure."""

from __future__ import annotations

from learningchain.chain.contracts.federation import records
from learningchain.chain.contracts.federation.messages import ServeCells, ServeFederation
from learningchain.chain.contracts.membership import Member, member_key
from learningchain.chain.host import Account, account_key
from learningchain.client.contracts.federation.roles.role import KIND
from learningchain.client.work.events import Chain, Effect, Input, Settled, Submit
from learningchain.client.work.machine import Machine, Recalled

AGAIN_MS = 30_000
"""Chain clock after which it is said again, where it did not take effect."""
ACTIVE = 0


class ServingAnnouncer(Machine):
    name = f"{KIND}.serving"

    def __init__(self, known: Recalled) -> None:
        self._me, self._verifies = known.me, known.config.verify
        self._wants = known.config.federation.serve and known.config.verify
        self._said_at: int | None = None

    def handle(self, given: Input) -> list[Effect]:
        if isinstance(given, Settled) and given.kind == KIND and given.key.startswith("serve:"):
            self._said_at = None
        if not isinstance(given, Chain) or not given.recent:
            return []
        if self._said_at is not None and given.clock < self._said_at + AGAIN_MS:
            return []
        serves = given.reader.get(records.serving_key(self._me)) is not None
        with_cells = given.reader.get(records.cell_serving_key(self._me)) is not None
        wants = self._wants or (serves and self._verifies)
        if (serves and with_cells) or not wants or not self._may(given):
            return []
        self._said_at = given.clock
        op = ServeCells(True) if serves else ServeFederation(True)
        return [Submit(KIND, f"serve:{1 + serves}:{given.clock}", b"", op)]

    def _may(self, given: Chain) -> bool:
        """Flagged, with a box key, and neither suspended nor banned: else it would be refused."""
        member, account = given.reader.get(member_key(self._me)), given.reader.get(account_key(self._me))
        able = isinstance(member, Member) and member.verifier and bool(member.box_key)
        return able and isinstance(account, Account) and account.status == ACTIVE
