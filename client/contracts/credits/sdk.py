"""Calls about credits."""

from __future__ import annotations

from typing import cast

from client.sdk_calls import call
from client.sdk_node import NodeCalls
from client.sdk_types import Submitted


class CreditsCalls(NodeCalls):
    @call
    async def supply(self) -> dict[str, str]:
        return cast(dict[str, str], await self.api.get("/v1/supply"))

    @call
    async def transfer(self, to: str, amount: str, *, memo: str | None = None, wait: float = 0) -> Submitted:
        """Send credits from the node's account. With `wait` seconds it returns when the transfer is final."""
        body = {"to": to, "amount": amount} | ({"memo": memo} if memo else {})
        return await self.api.submit("/v1/transfers", body, wait)


CALLS = CreditsCalls
