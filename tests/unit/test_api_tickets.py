"""Tickets for streams: who gets one, that it is good once and not for long, and on whose word the stream is."""

from __future__ import annotations

import asyncio
from itertools import count
from pathlib import Path

from learningchain.client.api.route import ServerLimits
from learningchain.client.api.tickets import MAX_TICKETS, TICKET_S, Tickets
from learningchain.client.keys.tokens import FULL, Tokens, TokenScope, now_ms
from tests.unit.api_kit import serving


def tickets() -> Tickets:
    numbers = count()
    return Tickets(lambda: f"ticket-{next(numbers)}")


def test_a_ticket_is_good_once_and_for_its_time() -> None:
    kept = tickets()
    first, late = kept.new(FULL, 0.0), kept.new(FULL, 0.0)
    assert kept.take(first, TICKET_S - 1) is FULL and kept.take(first, TICKET_S - 1) is None
    assert kept.take(late, TICKET_S) is None and kept.take("none", 0.0) is None and len(kept) == 0


def test_one_token_s_tickets_push_out_its_own_alone(tmp_path: Path) -> None:
    kept, store = tickets(), Tokens(tmp_path / "tokens.db")
    reader, _ = store.new(TokenScope.READ, most=None, days=None, label="", now=now_ms())
    store.close()
    own = kept.new(FULL, 0.0)
    made = [kept.new(reader, 0.0) for _ in range(MAX_TICKETS + 3)]
    assert len(kept) == MAX_TICKETS + 1 and kept.take(own, 1.0) is FULL
    assert [kept.take(one, 1.0) is reader for one in made] == [False] * 3 + [True] * MAX_TICKETS


async def test_a_ticket_opens_one_stream_without_a_header(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        await api.refused("POST", "/v1/events/tickets", 401, token=None)
        made = await api.post("/v1/events/tickets", None)
        way = f"{api.url}/v1/events?kinds=block&ticket={made['ticket']}"
        async with api.session.get(way) as response, asyncio.timeout(20):
            assert response.status == 200 and await response.content.readline() == b": ok\n"
            api.node.ledger.mine()
            while await response.content.readline() != b"event: block\n":
                pass
        error = await api.refused("GET", f"/v1/events?ticket={made['ticket']}", 401, token=None)
        assert "used once" in error["message"]
        another = (await api.post("/v1/events/tickets", None))["ticket"]
        await api.refused("GET", f"/v1/status?ticket={another}", 401, token=None)


async def test_a_stream_by_ticket_ends_with_the_token_that_made_it(tmp_path: Path) -> None:
    store = Tokens(tmp_path / "tokens.db")
    async with serving(tmp_path, limits=ServerLimits(heartbeat_s=0.05)) as api:
        gone, text = store.new(TokenScope.READ, most=None, days=None, label="", now=now_ms())
        status, made = await api.call("POST", "/v1/events/tickets", token=text)
        assert status == 200
        async with api.session.get(f"{api.url}/v1/events?ticket={made['ticket']}") as response:
            assert response.status == 200 and await response.content.readline() == b": ok\n"
            store.revoke(gone.id, now_ms())
            async with asyncio.timeout(20):
                await response.content.read()
        status, made = await api.call("POST", "/v1/events/tickets", token=text)
        assert status == 401
    store.close()
