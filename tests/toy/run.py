"""What a program does in which `weather` is installed: run by a test in a process of its own, where the contract is found."""

from __future__ import annotations

import json
from typing import Any

import weather  # type: ignore[import-not-found]

from learningchain.chain.contracts import CONTRACTS, credits, host_of
from learningchain.chain.crypto import address
from learningchain.chain.host import Host, Service
from learningchain.chain.ledger import snapshot
from learningchain.chain.ledger.genesis import all_params, from_json, to_json
from learningchain.chain.ledger.listings import stored
from learningchain.chain.ledger.state import Overlay, State
from learningchain.chain.ledger.transition import chain_record, params_of
from learningchain.client.schema.explain import explain
from learningchain.client.schema.render import code_name, render_event, render_op, render_party
from tests.unit.ledger_kit import GRANT, Chain, genesis_of, id_of


def acting(chain: Chain) -> Host:
    """Another contract's host in the next block."""
    now = chain_record(chain.state)
    host = host_of(Overlay(chain.state), params_of(chain.state), now, now.height + 1, now.time + 1, now.clock, now.beacon)
    return host.acting(credits.CONTRACT)


def services(chain: Chain) -> tuple[bool, bool, list[bytes]]:
    offered: Any = acting(chain).service(Service("forecasts"))
    return offered.rain("Ulm"), offered.rain("Bonn"), offered.umbrellas()


def main() -> None:
    assert [c.name for c in CONTRACTS] == [
        "credits",
        "membership",
        "job",
        "prediction",
        "federation",
        "governance",
        "keys",
        "weather",
    ]
    genesis = genesis_of("alice", "bob", weather_open=5_000, appeal=7_000)
    document = json.loads(to_json(genesis))
    assert document["contracts"]["weather"] == {"weather_open": 5_000, "weather_deposit": 10}
    assert from_json(to_json(genesis)) == genesis
    del document["contracts"]["weather"]
    assert all_params(from_json(json.dumps(document).encode()))["weather_open"] == 60_000

    chain = Chain(genesis)
    ulm, bonn = weather.Forecast("Ulm", True, 50), weather.Forecast("Bonn", False, 1)
    receipts = chain.block(*[chain.tx("alice", op) for op in (ulm, bonn, ulm)])
    assert [r.code for r in receipts] == [0, 0, 0, 10_000]
    assert chain.account("alice").balance == GRANT - 60
    place = weather.ref_of("Ulm")
    assert services(chain) == (True, False, [weather.key_of(place)])

    # Listings: as commits keep them, as pages and snapshots find them, and after all was read again.
    items = list(chain.state.items())
    listed = {key: stands for record, raw in items for key, stands in stored(record, raw) if key.startswith((b"wf/", b"wr/"))}
    assert listed == {
        weather.key_of(place): True,
        b"wr/" + place: True,
        weather.key_of(weather.ref_of("Bonn")): True,
        b"wr/" + weather.ref_of("Bonn"): False,
    }
    assert snapshot.path_of_listed(b"wr/" + place) == snapshot.path_of_listed(weather.key_of(place))
    again = State.load(items)
    assert again.root == chain.state.root
    assert again.listing(b"wf/") == chain.state.listing(b"wf/") == [weather.key_of(place)]

    # Words.
    noted = next(e for e in receipts[1].events if getattr(e, "topic", "") == "forecast")
    assert render_event(noted)["data"] == {"by": address(id_of("alice")), "stake": "0.00005", "place": "Ulm"}
    assert render_op(ulm) == {"type": "Forecast", "place": "Ulm", "rain": True, "stake": "0.00005"}
    assert render_party(place + b"W") == f"forecast:{place.hex()}"
    assert (code_name(10_000), explain(10_000)[1]) == ("FORECAST_STANDS", "Wait until it ends")

    # The deadline: the deposits come back, and rain costs a strike of another contract's service.
    chain.block(step=6_000)
    assert chain.account("alice").balance == GRANT
    assert services(chain) == (False, False, [])
    member: Any = chain.state.get(b"m/" + id_of("alice"))
    assert len(member.strikes) == 1
    print("the weather is fine")


if __name__ == "__main__":
    main()
