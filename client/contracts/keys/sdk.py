"""Calls about keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from learningchain.client.sdk.calls import SdkPart, call
from learningchain.client.sdk.node import NodeCalls

if TYPE_CHECKING:
    from learningchain.client.schema.bodies import TxAnswer


class KeyCalls(NodeCalls):
    @call
    async def rotate_key(self, key: str, signature: str, sealed: str, *, wait: float = 0) -> TxAnswer:
        """Give the node's account another key: see `learningchain key rotate`, which makes and keeps it."""
        return await self.api.submit("/v1/key", {"key": key, "signature": signature, "sealed": sealed}, wait)

    @call
    async def set_guardians(self, guardians: Sequence[str], threshold: int, delay_ms: int, *, wait: float = 0) -> TxAnswer:
        """`threshold` of them together may give the node's account another key, `delay_ms` after they agreed. None: nobody.

        Where it has guardians, these are in force when the delay of those is over, and not while a recovery is open."""
        body = {"guardians": list(guardians), "threshold": threshold, "delay": delay_ms}
        return await self.api.submit("/v1/guardians", body, wait)

    @call
    async def approve_recovery(self, request: str, *, wait: float = 0) -> TxAnswer:
        """The node's word, as a guardian, on what `learningchain recover start` printed on another machine."""
        return await self.api.submit("/v1/recoveries", {"request": request}, wait)

    @call
    async def object_recovery(self, *, wait: float = 0) -> TxAnswer:
        """Speak against the recovery of the node's own account: more than two thirds of its guardians decide then."""
        return await self.api.submit("/v1/objections", {}, wait)


PART = SdkPart(KeyCalls)
