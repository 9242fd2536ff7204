"""LC-P2P-26: the table of what messages cost names every message of every channel, and bounds that the code has."""

from __future__ import annotations

import re
from functools import reduce
from pathlib import Path
from typing import Any

import pytest

from learningchain.chain import params
from learningchain.chain.consensus import resend, votes
from learningchain.chain.node import ancestry, answer_budget, batches, bodies, candidates, messages, node, relay, service, snapshot
from learningchain.client.contracts.federation.roles import aggregator, channel, keeping, member, panel, sponsor, vaulting
from learningchain.client.node import driver, snapshots, waiting
from learningchain.client.work import peers
from learningchain.p2p import address_book, config, connection, discovery, lan, mdns, wire
from learningchain.p2p.content import exchange, moves, serving
from learningchain.p2p.content import messages as content_messages
from learningchain.p2p.content import service as content
from learningchain.p2p.mover import mover, sending

CHAPTER = (Path(__file__).parents[2] / "protocol_spec" / "p2p.md").read_text(encoding="utf-8")
TABLE = CHAPTER[CHAPTER.index("## What a message costs") : CHAPTER.index("## Exchange of addresses")]
ROWS = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in TABLE.splitlines() if line.startswith("| ")][1:]
CHANNELS: dict[str, Any] = {
    "NODE": messages.Message,
    "PEERS": wire.PeersMessage,
    "CONTENT": content_messages.Message,
    "FED": channel.FedMessage,
}
LAN = {"LAN": mdns.Announcement | mdns.Question}
"""No channel of a connection: packets of whoever is on the same network."""
MODULES = {
    "ancestry": ancestry,
    "answer_budget": answer_budget,
    "batches": batches,
    "bodies": bodies,
    "address_book": address_book,
    "aggregator": aggregator,
    "candidates": candidates,
    "config": config,
    "connection": connection,
    "content": content,
    "content_messages": content_messages,
    "discovery": discovery,
    "driver": driver,
    "exchange": exchange,
    "keeping": keeping,
    "lan": lan,
    "member": member,
    "messages": messages,
    "moves": moves,
    "node": node,
    "panel": panel,
    "params": params,
    "relay": relay,
    "resend": resend,
    "mover": mover,
    "sending": sending,
    "service": service,
    "serving": serving,
    "snapshot": snapshot,
    "snapshots": snapshots,
    "sponsor": sponsor,
    "vaulting": vaulting,
    "votes": votes,
    "waiting": waiting,
    "wire": wire,
    "work_peers": peers,
}
_BOUND = re.compile(r"`([a-z_]+)\.([A-Za-z_.]+)` = (\d+)")


def test_every_message_of_every_channel_has_one_row() -> None:
    stated = sorted((channel, message) for channel, message, *_ in ROWS)
    assert stated == sorted((channel, kind.__name__) for channel, kinds in (CHANNELS | LAN).items() for kind in kinds.__args__)


def test_there_is_no_channel_without_messages_in_the_table() -> None:
    assert {getattr(wire, name) for name in CHANNELS} == set(range(len(wire.CHANNEL_LIMITS)))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[1])
def test_each_row_says_who_pays_and_names_bounds_of_the_code(row: tuple[str, ...]) -> None:
    _, _, sender, receiver, bounds = row
    assert sender and receiver
    found = _BOUND.findall(bounds)
    assert found and not re.sub(r"[, ]", "", _BOUND.sub("", bounds)), "bounds, and nothing else"
    for module, name, value in found:
        assert reduce(getattr, name.split("."), MODULES[module]) == int(value), f"{module}.{name}"
