"""What people are told of forecasts."""

from __future__ import annotations

from learningchain.client.schema.explain import TextsPart

from .. import WeatherCode

PART = TextsPart(
    refusals={
        WeatherCode.FORECAST_STANDS: ("there is a forecast for this place", "Wait until it ends"),
        WeatherCode.NO_FORECAST: ("there is no forecast for this place", "Nothing to do"),
        WeatherCode.NO_STATION: ("this account may not measure", "Let a verifier measure"),
    }
)
