"""`weather say` and `weather list`."""

from __future__ import annotations

from learningchain.client.cli.common import HERE, Common, amount, listing, named
from learningchain.client.cli.ledger import Wait, finished
from learningchain.client.cli.paper import Console


def say(place: str, /, *, rain: bool = False, stake: str = "0.1", wait: Wait = 30, common: Common = HERE) -> int:
    """Forecast the weather of a place."""
    sum_ = amount(stake, "--stake")
    done = common.ask(lambda node: node.weather.forecast(place, rain=rain, stake=sum_, wait=wait))  # type: ignore[attr-defined]
    common.out.show(done, lambda console: console.print(f"{'Rain' if rain else 'Sun'} in {place}, it is said."))
    return finished(common, done, wait)


def list_forecasts(*, common: Common = HERE) -> int:
    """Places where rain is expected."""
    found = common.ask(lambda node: node.weather.forecasts())  # type: ignore[attr-defined]

    def people(console: Console) -> None:
        console.print(listing(["place", "by"], [[one["place"], named(one["by"])] for one in found]))

    common.out.show(found, people)
    return 0
