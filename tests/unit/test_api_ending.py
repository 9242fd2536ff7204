"""Lists of what ends (proposals, cases): a page at a time in the order of the ends, whatever comes, changes or goes meanwhile."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from learningchain.chain.contracts.governance import MAX_OPEN, Propose, SetParameters
from learningchain.chain.contracts.governance.messages import ParamValue
from learningchain.client.api.ending import Ending, cursor_of
from learningchain.client.api.errors import RequestError
from tests.unit.dashboard_kit import browsing

MANY = 300


class _Feed:
    def __init__(self) -> None:
        self.lost, self.keys = False, dict[bytes, None]()

    def restart(self) -> None:
        self.lost, self.keys = False, {}

    def take(self, most: int) -> list[bytes]:
        taken = list(self.keys)[:most]
        for key in taken:
            del self.keys[key]
        return taken


class _State:
    """Of records that are their own ends."""

    def __init__(self, records: dict[bytes, int]) -> None:
        self.records, self.feed = records, _Feed()

    def follow(self, _: Any) -> _Feed:
        return self.feed

    def keys(self, _: bytes) -> list[bytes]:
        return sorted(self.records)

    def get(self, key: bytes) -> int | None:
        return self.records.get(key)

    def put(self, key: bytes, end: int | None) -> None:
        if end is None:
            self.records.pop(key, None)
        else:
            self.records[key] = end
        self.feed.keys[key] = None


class _Ends(Ending):
    prefix = b"x/"

    def end_of(self, record: Any) -> int | None:
        return record  # type: ignore[no-any-return]


def expected(state: _State) -> list[tuple[int, bytes]]:
    return sorted((end, key[2:]) for key, end in state.records.items())


async def test_pages_hold_every_row_once_in_order_while_rows_come_move_and_go() -> None:
    rng = random.Random(7)
    state = _State({b"x/" + bytes([n // 256, n % 256]): rng.randrange(50) for n in range(MANY)})
    followed = _Ends(state)  # type: ignore[arg-type]
    await followed.settled()
    assert followed.first(None, 10_000) == expected(state)
    for _ in range(20):
        for _ in range(30):
            key = b"x/" + bytes([rng.randrange(2), rng.randrange(256)])
            state.put(key, rng.choice([None, rng.randrange(50)]))
        await followed.settled()
        found: list[tuple[int, bytes]] = []
        while page := followed.first(cursor_of(*found[-1]) if found else None, 7):
            found += page
        assert found == expected(state)


async def test_a_page_goes_on_where_its_last_row_has_vanished() -> None:
    state = _State({b"x/" + bytes([n]): n for n in range(10)})
    followed = _Ends(state)  # type: ignore[arg-type]
    await followed.settled()
    last = followed.first(None, 4)[-1]
    state.put(b"x/" + last[1], None)
    await followed.settled()
    assert [end for end, _ in followed.first(cursor_of(*last), 2)] == [4, 5]


async def test_a_reader_that_fell_behind_looks_again() -> None:
    state = _State({b"x/a": 1})
    followed = _Ends(state)  # type: ignore[arg-type]
    await followed.settled()
    state.records = {b"x/b": 2}
    state.feed.lost = True
    await followed.settled()
    assert followed.first(None, 10) == [(2, b"b")]


@pytest.mark.parametrize("cursor", ["", "1", "x-00", "1-0", "1-" + "00" * 65, "-1-00", "1-00\n"])
def test_what_is_no_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(RequestError):
        _Ends(_State({})).first(cursor, 1)  # type: ignore[arg-type]


async def test_proposals_come_in_pages(tmp_path: Path) -> None:
    """Of the API, with cursors; the page of the dashboard takes the same ones."""
    async with browsing(tmp_path) as browser:
        ledger = browser.api.node.ledger
        for n in range(MAX_OPEN):
            action = SetParameters(0, [ParamValue("max_step", 1_000 + n)])
            assert ledger.block(n1=Propose(action, ledger.clock + 1_000_000 - 1_000 * n)) == [0]
        every = await browser.api.get("/v1/proposals")
        assert len(every) == MAX_OPEN and [one["expires"] for one in every] == sorted(one["expires"] for one in every)
        first = await browser.api.get("/v1/proposals?limit=3")
        then = await browser.api.get(f"/v1/proposals?limit=1000&after={first[-1]['cursor']}")
        assert [one["proposal"] for one in first + then] == [one["proposal"] for one in every]
        await browser.api.refused("GET", "/v1/proposals?after=x", 400)
        status, page = await browser.get(f"/dashboard/proposals?after={every[-2]['cursor']}")
        assert status == 200 and every[-1]["text"] in page.text and every[-2]["text"] not in page.text
        assert (await browser.get("/dashboard/cases?after=nonsense"))[0] == 400
