"""Federations as objects, before a real API and real blocks: opened, read, joined, watched and waited for, blocking and awaited."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import pytest

import learningchain
from learningchain.chain.contracts.federation.messages import FileCode
from learningchain.client.contracts.federation.wishes import SponsorWish, TrainWish, wish_in
from tests.unit.api_kit import TOKEN, Api, serving
from tests.unit.federation_play import DIMS, helpers_serve
from tests.unit.test_api_federations import SECOND, opened, played, who
from tests.unit.test_client_cli_federations import initial, own

R = TypeVar("R")
PINNED = "registry.example/train@sha256:" + "ab" * 32
LIMITS = {"cpus": 0.5, "mem_mb": 256, "eval_s": 10}
TERMS: dict[str, Any] = {"bounty": 100, "target": 1, "rounds": 3, "ends": "1d", "min_members": 2, "limits": LIMITS}


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with serving(tmp_path) as api:
        helpers_serve(api.node.ledger)
        api.node.work.data["scans"] = own("scans")
        yield api


async def blocking(api: Api, does: Callable[[learningchain.Node], R]) -> R:
    def run() -> R:
        with learningchain.connect(url=api.url, token=TOKEN) as node:
            return does(node)

    return await asyncio.to_thread(run)


async def test_a_sponsor_opens_one_and_it_stands_as_it_was_said(api: Api, tmp_path: Path) -> None:
    model = initial(tmp_path / "init.safetensors")

    def opens(node: learningchain.Node) -> str:
        made = node.federations.open(PINNED, model, **TERMS)
        assert (made.state, made.end, made.is_over, made.round, made.rounds) == ("IDLE", None, False, 0, 3)
        assert [made.bounty, made.paid, made.target, made.loss, made.members] == [100, 0, 1, None, 0]
        assert (made.secrecy, made.sponsor) == ("sum", who(api, "boss"))
        assert [one.id for one in node.federations.list(live=True)] == [node.federations[made.id[:9]].id] == [made.id]
        assert "<td>IDLE</td>" in made._repr_html_() and repr(made).startswith(f"<Federation id={made.id[:12]} state=IDLE")
        made.close()
        assert (made.end, made.is_over) == ("CLOSED", True)
        assert node.federations.list(live=True) == []
        return made.id

    federation = await blocking(api, opens)
    assert (await api.get(f"/v1/federations/{federation}"))["terms"]["model"]["dims"] == DIMS
    wish = wish_in(api.node.work.secrets.all[0])
    assert isinstance(wish, SponsorWish) and wish.auto
    with pytest.warns(UserWarning, match="31 values, and secrecy='open' is taken"):
        await blocking(api, lambda node: node.federations.open(PINNED, initial(tmp_path / "small", 31), **TERMS))


@pytest.mark.parametrize(
    ("change", "kind", "why"),
    [
        ({"image": "train:latest"}, learningchain.UsageError, "no file or folder"),
        ({"model": "nowhere"}, learningchain.UsageError, "no file nowhere"),
        ({"schema": "nowhere"}, learningchain.UsageError, "no file nowhere"),
        ({"hidden": "nowhere"}, learningchain.UsageError, "no file nowhere"),
        ({"hidden": "nowhere", "image": "."}, learningchain.UsageError, "no file nowhere"),  # before anything is built
        ({"image": "a" * 300}, learningchain.UsageError, "no file or folder"),
        ({"bounty": "much"}, learningchain.UsageError, "bounty cannot be 'much'"),
        ({"ends": "soon"}, learningchain.UsageError, "ends cannot be 'soon'"),
        ({"dp": 9}, learningchain.UsageError, "0 to 8"),
        ({"rounds": 0}, learningchain.RejectedError, "rounds is 0"),
        ({"bounty": 1_000_000}, learningchain.RejectedError, "free"),
        ({"bounty": 1_000_000, "image": "."}, learningchain.RejectedError, "free"),  # whatever is built of it
        ({"more": {"clip": "wide"}}, learningchain.UsageError, "clip"),
    ],
)
async def test_what_cannot_be_opened_is_refused_and_nothing_is_sent(
    api: Api, tmp_path: Path, change: dict[str, Any], kind: type[learningchain.ApiError], why: str
) -> None:
    given: dict[str, Any] = {"image": PINNED, "model": initial(tmp_path / "init.safetensors")} | TERMS | change
    with pytest.raises(kind, match=why) as refused:
        await blocking(api, lambda node: node.federations.open(**given))
    assert refused.value.remedy
    assert api.node.files.added == [] and await api.get("/v1/federations") == []


async def test_an_owner_reads_what_joining_means_joins_and_leaves(api: Api) -> None:
    play = await played(api)
    api.node.ledger.own = "n3"

    def joins(node: learningchain.Node) -> None:
        with pytest.raises(learningchain.UsageError, match=r"no data called 'scans2'.*There are: scans"):
            node.federations.join("latest", "scans2")
        one = node.federations.get("latest")
        page = one.joining("scans")
        assert "one file of 4.5 KiB, masked" in str(page) and "scans: 3 files" in page._repr_html_()
        assert "Mind: only 4 verifiers" in str(page) and len(page.warnings) > 2
        with pytest.raises(learningchain.UsageError, match="no examples are claimed"):
            one.join("scans", examples=3)
        assert one.members == 2
        assert node.federations.join("latest", "scans").members == 3
        with pytest.raises(learningchain.RejectedError) as refused:
            one.join("scans")
        assert refused.value.name == "ALREADY_MEMBER" and refused.value.code
        one.leave()

    await blocking(api, joins)
    assert wish_in(api.node.work.secrets.all[0]) == TrainWish(play.id, "scans", 2), "the node trains by itself from then on"


async def test_it_is_watched_and_waited_for_until_it_is_over(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    play = await played(api, (SECOND * 3 // 2, (FileCode.USED, FileCode.USED)), (SECOND, (FileCode.USED, FileCode.USED)))

    def follows(node: learningchain.Node) -> None:
        one = node.federations.get(play.id.hex())
        events = list(node.federations.watch(play.id.hex()))
        assert [events[0].topic, events[-1].topic] == ["fed.opened", "fed.ended"]
        assert [event.topic for event in events] == [event.topic for event in one.watch()]
        assert [event.round for event in events if event.topic == "fed.settled"] == [1, 2]
        one.wait(progress=True, timeout=5)
        assert (one.end, one.loss, one.initial, one.paid) == ("REACHED", 1.0, 2.0, Decimal(100))
        assert [(found.round, found.loss, found.outcome) for found in one.history()] == [(1, 1.5, "PROGRESS"), (2, 1.0, "PROGRESS")]

    await blocking(api, follows)
    assert "REACHED, round 2 of 3, loss 1\n" in capsys.readouterr().err
    living = await opened(api)
    with pytest.raises(learningchain.UnavailableError, match="is IDLE still"):
        await blocking(api, lambda node: node.federations.get(living).wait(timeout=0))


async def test_awaited_it_is_the_same(api: Api, tmp_path: Path) -> None:
    async with await learningchain.connect_async(url=api.url, token=TOKEN) as node:
        made = await node.federations.open(PINNED, initial(tmp_path / "init.safetensors"), **TERMS | {"admit": "open"})
        api.node.ledger.own = "n3"
        joined = await node.federations.join("latest", "scans")
        assert (joined.id, joined.members, "masked" in str(await made.joining())) == (made.id, 1, True)
        api.node.ledger.own = "boss"
        await made.close()
        assert [event.topic async for event in made.watch()][-1] == "fed.ended"
        with pytest.raises(learningchain.NotFoundError, match="no measured model"):
            await made.model()
