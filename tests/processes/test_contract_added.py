"""A contract of another distribution on real nodes: its folder on the path is all that they have of it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from learningchain.client.sdk.types import Json
from tests.processes.harness import Graph, NodeProcess, Person, Role, command, eventually, validators
from tests.processes.scripted import declare
from tests.toy.installed import installed, path, run

OPEN_MS = 45_000
"""How long a forecast stands: what the test looks at while one stands takes a part of it."""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every node and command of the test finds what is installed here."""
    found = installed(tmp_path / "site")
    monkeypatch.setenv("PYTHONPATH", path(found))
    return found


def configure(graph: Graph) -> None:
    """Its parameters are in the genesis file, in a part of their own."""
    for node in graph:
        file = node.data / "genesis.json"
        document = json.loads(file.read_text())
        assert "weather" not in document["contracts"], "this program does not know it"
        document["contracts"]["weather"] = {"weather_open": OPEN_MS, "weather_deposit": 10}
        file.write_text(json.dumps(document))


async def of(node: NodeProcess, *words: str) -> Any:
    """What a command says, as JSON."""
    code, out, err = await command(node, *words, "--json")
    assert code == 0, err
    return json.loads(out)


async def history(node: NodeProcess, reason: str) -> Json:
    """The newest entry of the node's account with this reason, once there is one."""

    async def there() -> Json | None:
        return next((entry for entry in await of(node, "history") if entry["reason"] == reason), None)

    return await eventually(f"{node.name} has {reason} in its history", there)


@pytest.mark.full("sim/test_contract_added.py sends its messages; what is installed, unit tests load")
async def test_what_is_said_on_one_node_is_measured_by_another(tmp_path: Path, site: Path) -> None:
    async with Graph(tmp_path, [*validators(1), Role("station", verifier=True)]) as graph:
        configure(graph)
        said, station = graph["v0"], graph["station"]
        await graph.start()
        await declare(said, [Person.behind(station)])
        assert (await command(station, "weather", "say", "Bonn", "--rain", "--stake", "1"))[0] == 0
        await _seen_while_it_stands(station, said, site)
        code, out, err = await command(said, "weather", "say", "Ulm", "--rain", "--stake", "0.5")
        assert (code, out) == (0, "Rain in Ulm, it is said.\n"), err
        returned = await history(said, "forecast.returned")
        assert (returned["amount"], returned["other"]) == ("+0.5", f"forecast:{returned['ref']}")
        shown = await of(said, "tx", "show", returned["tx"])
        assert shown["sender"] == station.address
        assert shown["ops"] == [{"type": "Measure", "place": "Ulm", "rain": True}]
        noted = next(event for event in shown["events"] if event["type"] == "noted")
        assert (noted["topic"], noted["data"]) == ("measured", {"by": station.address, "place": "Ulm", "rain": 1})
        # Nobody measures its own: its deadline comes, and the rain that nobody saw costs a strike.
        assert (await history(station, "forecast.returned"))["tx"] is None, "no transaction did it"
        assert len((await station.api.account())["strikes"]) == 1
        assert await of(said, "weather", "list") == []
        await graph.agree()
        await graph.conserved()


async def _seen_while_it_stands(station: NodeProcess, other: NodeProcess, site: Path) -> None:
    """By a command on another node, by the SDK, in the history, and as a transaction."""
    standing = [{"place": "Bonn", "by": station.address}]
    assert await of(other, "weather", "list") == standing
    told = json.loads((await asyncio.to_thread(run, site, "-m", "tests.toy.look", str(other.data))).stdout)
    assert told["forecasts"] == told["blocking"] == standing
    code, name, message = told["refused"]
    assert (code, name) == (10000, "FORECAST_STANDS") and "Wait until it ends" in message
    account = await of(other, "balance", station.address)
    assert (account["locked"], account["rain"]) == ("1", ["Bonn"])
    code, out, _ = await command(other, "balance", station.address)
    assert code == 0 and "expects rain in  Bonn" in out
    settings = (await of(other, "config"))["settings"]
    assert {"name": "work.measure", "value": True}.items() <= next(one for one in settings if one["name"] == "work.measure").items()
    locked = await history(station, "forecast.locked")
    assert (locked["amount"], locked["other"]) == ("-1", f"forecast:{locked['ref']}")
    paid = await of(other, "tx", "show", locked["tx"])
    assert paid["ops"] == [{"type": "Forecast", "place": "Bonn", "rain": True, "stake": "1"}]
    document: Any = await other.api.api.get("/v1/openapi.json")
    assert document["paths"]["/v1/forecasts"]["post"]["tags"] == ["weather"]
    measured = document["components"]["schemas"]["event.measured"]["properties"]
    assert {name: schema["type"] for name, schema in measured.items()} == {"by": "string", "place": "string", "rain": "integer"}
