"""What contracts do for each other, as the one that uses it sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from chain.host.host import Host


class Membership(Protocol):
    """What the membership contract does for the others."""

    def strike(self, host: Host, identity: bytes, reason: str, ref: bytes) -> None: ...

    def live_strikes(self, host: Host, identity: bytes) -> int: ...

    def suspend(self, host: Host, identity: bytes, ref: bytes, accuser: bytes, contract: int) -> None: ...

    def corroborate(self, host: Host, identity: bytes, ref: bytes) -> None: ...

    def verifiers(self, host: Host, since_before: int) -> list[bytes]: ...

    def record_draw(self, host: Host, identity: bytes, good: bool) -> None: ...
