"""What other contracts use of membership (`chain.host.services`)."""

from __future__ import annotations

from chain.contracts.membership.cases import corroborate, suspend
from chain.contracts.membership.members import live_strikes, record_draw, strike, verifiers
from chain.contracts.membership.params import MemberParams
from chain.host import (
    Host,
)


class StrikesService:
    def __init__(self, host: Host) -> None:
        self._host = host

    def add(self, identity: bytes, reason: str, ref: bytes) -> None:
        strike(self._host, identity, reason, ref)

    def live(self, identity: bytes) -> int:
        return live_strikes(self._host, identity)


class SuspensionsService:
    def __init__(self, host: Host) -> None:
        self._host = host

    def suspend(self, identity: bytes, ref: bytes, accuser: bytes, contract: int) -> None:
        suspend(self._host, identity, ref, accuser, contract)

    def corroborate(self, identity: bytes, ref: bytes) -> None:
        corroborate(self._host, identity, ref)

    def appeal_ms(self) -> int:
        return self._host.params_of(MemberParams).appeal


class VerifiersService:
    def __init__(self, host: Host) -> None:
        self._host = host

    def since(self, before: int) -> list[bytes]:
        return verifiers(self._host, before)

    def count_draw(self, identity: bytes, good: bool) -> None:
        record_draw(self._host, identity, good)
