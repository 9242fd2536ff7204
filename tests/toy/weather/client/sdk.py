"""Calls about the weather: `node.weather`."""

from __future__ import annotations

from typing import Any

from learningchain.client.schema.bodies import TxAnswer
from learningchain.client.sdk.calls import Calls, SdkPart, call


class WeatherCalls(Calls):
    @call
    async def forecast(self, place: str, *, rain: bool, stake: str = "0.1", wait: float = 0) -> TxAnswer:
        return await self.api.submit("/v1/forecasts", {"place": place, "rain": rain, "stake": stake}, wait)

    @call
    async def forecasts(self) -> list[Any]:
        return await self.api.rows("/v1/forecasts")


PART = SdkPart(WeatherCalls)
