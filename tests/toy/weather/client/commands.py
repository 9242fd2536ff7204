"""The commands about the weather."""

from learningchain.client.cli.entries import Command, CommandsPart, Family, Sections

_SECTIONS: Sections = {
    "Weather": (
        Family(
            "weather",
            "Forecasts with a deposit.",
            (
                Command("say", "cli:say", "Forecast the weather of a place.", "weather say Ulm --rain --stake 1"),
                Command("list", "cli:list_forecasts", "Places where rain is expected.", "weather list"),
            ),
        ),
    ),
}
PART = CommandsPart(_SECTIONS, says={"GET /v1/forecasts": "learningchain weather list"})
