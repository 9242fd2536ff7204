"""What a round paid to whom, by which measurement, and why not; and what callbacks tell of a federation."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest

from learningchain.chain.contracts.federation.messages import FileCode
from learningchain.client.callbacks.following import CALLBACKS
from learningchain.client.cli.paper import Console
from learningchain.client.contracts import parts
from learningchain.client.contracts.federation import callbacks
from learningchain.client.contracts.federation.cli.reading import show_round
from learningchain.client.contracts.federation.web.phrases import PAY
from tests.unit.api_kit import Api, serving
from tests.unit.federation_play import OWNERS, FederationPlay, helpers_serve
from tests.unit.test_api_federations import SECOND, opened, played, who

BOTH = (FileCode.USED, FileCode.USED)
STEP = SECOND // 4


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with serving(tmp_path) as api:
        helpers_serve(api.node.ledger)
        yield api


async def pay(api: Api, play: FederationPlay, r: int) -> dict[str, Any]:
    found: dict[str, Any] = await api.get(f"/v1/federations/{play.id.hex()}/rounds/{r}")
    return found


def whys(found: dict[str, Any]) -> list[tuple[str, str]]:
    return [(one["paid"], one["why"]) for one in found["owners"]]


async def test_a_round_that_paid_says_to_whom_and_who_measured(api: Api) -> None:
    play = await played(api, (2 * SECOND - STEP, BOTH))
    found = await pay(api, play, 1)
    written = io.StringIO()
    show_round(Console(200, written), cast(Any, found))
    told = written.getvalue()
    assert "12.5" in told and "PROGRESS" in told and "seats agreed" in told and PAY["PAID"] in told
    assert (found["outcome"], found["loss"], found["pot"], found["shared"]) == ("PROGRESS", "1.750000000", "25", "25")
    assert [one["member"] for one in found["owners"]] == [who(api, name) for name in OWNERS]
    assert whys(found) == [("12.5", "PAID")] * 2
    assert (found["counts"], found["before"]) == ([1], None)
    assert {vote["loss"] for vote in found["measurement"]["votes"]} == {"1.750000000"}
    assert len(found["measurement"]["counted"]) == len(found["measurement"]["votes"]) >= 3


async def test_a_round_without_progress_pays_with_the_next_one_and_each_says_so(api: Api) -> None:
    """The second one pays by the points of both, and what a third pays is its own."""
    play = await played(api, (2 * SECOND, BOTH), (2 * SECOND - STEP, BOTH), (2 * SECOND - 2 * STEP, BOTH))
    first, second, third = [await pay(api, play, r) for r in (1, 2, 3)]
    assert (first["outcome"], first["pot"]) == ("NO_PROGRESS", "0") and whys(first) == [("0", "NO_PROGRESS")] * 2
    assert (second["counts"], second["pot"]) == ([1, 2], "25") and whys(second) == [("12.5", "PAID")] * 2
    assert (third["counts"], third["pot"]) == ([3], "25") and whys(third) == [("12.5", "PAID")] * 2
    assert second["measurement"]["loss"] == "1.750000000" and third["measurement"]["loss"] == "1.500000000"


async def test_a_worse_model_is_taken_back_and_pays_nobody(api: Api) -> None:
    play = await played(api, (3 * SECOND, BOTH))
    assert whys(await pay(api, play, 1)) == [("0", "REVERTED")] * 2


async def test_who_was_refused_sent_nothing_or_came_later_is_told_so(api: Api) -> None:
    play = FederationPlay(api.node.ledger, await opened(api, unvetted=None))
    play.join(*OWNERS, "n3", "n4")
    play.begin(0)
    play.measure(2 * SECOND)
    play.begin(1)
    play.train("n1", "n2", "n3")
    play.screen(FileCode.USED, FileCode.USED, FileCode.WRONG)
    play.sum("model 1")
    found = await pay(api, play, 1)
    assert (found["outcome"], found["measurement"]) == (None, None)
    assert whys(found) == [("0", "NOT_MEASURED")] * 2 + [("0", "REFUSED"), ("0", "NO_FILE")]
    play.measure(2 * SECOND - STEP)
    found = await pay(api, play, 1)
    assert whys(found) == [("12.5", "PAID")] * 2 + [("0", "REFUSED"), ("0", "NO_FILE")]
    assert [one["code"] for one in found["owners"]] == ["USED", "USED", "WRONG", None]


# --- callbacks -------------------------------------------------------------------------------------------------------------------


def rows(play: FederationPlay, api: Api, name: str) -> dict[str, Any]:
    return callbacks.data(api.node.ledger.state, play.id, name, None)


async def test_callbacks_tell_the_first_measurement_the_first_pay_and_the_end_with_what_each_got(api: Api) -> None:
    assert parts(CALLBACKS)["federation"] is callbacks.PART
    play = FederationPlay(api.node.ledger, await opened(api))
    state = api.node.ledger.state
    assert callbacks.happened(state, play.id) == [] and callbacks.knows(state, play.id)
    play.join(*OWNERS)
    play.begin(0)
    play.measure(2 * SECOND)
    assert callbacks.happened(state, play.id) == ["measured"]
    play.round(1, 2 * SECOND - STEP)
    assert callbacks.happened(state, play.id) == ["measured", "improved"]
    play.round(2, SECOND)
    assert callbacks.happened(state, play.id) == ["measured", "improved", "ended"]
    said = rows(play, api, "ended")
    assert (said["end"], said["best"], said["paid"], said["bounty"]) == ("REACHED", "1.000000000", "100", "100")
    assert said["owners"] == [{"account": who(api, name), "paid": "50"} for name in OWNERS]
    events = list(reversed(await api.node.events(play.id, before=None, limit=10_000)))
    names = [name for one in events if (name := callbacks.named(one["topic"], one["data"])) is not None]
    assert names == ["measured", "improved", "improved", "ended"], "the second one is the same row, which is there once"


async def test_a_federation_that_left_the_state_ended_where_it_is_known_to_have_been(api: Api) -> None:
    assert callbacks.left(api.node.ledger.state, ["measured"], None, 0) == "ended"
    assert callbacks.left(api.node.ledger.state, [], 5, 0) == "left"
    assert callbacks.data(api.node.ledger.state, bytes(32), "ended", {"outcome": None}) == {"federation": "00" * 32, "end": None}
    assert {"ended", "left"} == callbacks.PART.last <= callbacks.PART.names
