"""Calls about credits."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from learningchain.client.sdk.calls import SdkPart, call
from learningchain.client.sdk.node import NodeCalls

if TYPE_CHECKING:
    from learningchain.client.contracts.credits.http.schema import SupplyView
    from learningchain.client.schema.bodies import TxAnswer


class CreditsCalls(NodeCalls):
    @call
    async def supply(self) -> SupplyView:
        return cast("SupplyView", await self.api.get("/v1/supply"))

    @call
    async def transfer(self, to: str, amount: str, *, memo: str | None = None, wait: float = 0) -> TxAnswer:
        """Send credits from the node's account. With `wait` seconds it returns when the transfer is final."""
        body = {"to": to, "amount": amount} | ({"memo": memo} if memo else {})
        return await self.api.submit("/v1/transfers", body, wait)


PART = SdkPart(CreditsCalls)
