"""What the operator is told, by which way, and that nobody who is told can hold the node up."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from learningchain.chain.contracts.credits import Transfer
from learningchain.chain.crypto import address
from learningchain.chain.node.events import Decided
from learningchain.chain.types import LogEvent, Receipt, TransferEvent
from learningchain.client import config
from learningchain.client.addresses import AllowedAddresses
from learningchain.client.callbacks.posting import Caller
from learningchain.client.callbacks.signatures import signature
from learningchain.client.contracts import parts
from learningchain.client.notify.delivery import MAX_WAITING, DeliveryLine, command, webhook
from learningchain.client.notify.events import KINDS, MAX_LISTED, NOTIFY, PAYMENTS, VOTES, Notification, OwnNews
from learningchain.client.notify.service import NotifyService
from tests.unit.api_kit import FakeNode
from tests.unit.callbacks_kit import HttpServer, status

OWN, OTHER, REF, ZERO = b"o" * 20, b"x" * 20, b"r" * 32, bytes(32)
NEWS = Notification("0" * 32, "payments", "2 credits came", 1_000, 7, {"amount": "2"})


def own_news(kinds: Any = KINDS, least: int = 0) -> OwnNews:
    return OwnNews(OWN, kinds, least, parts(NOTIFY).values())


def block(tmp_path: Path, *events: Any, time_ms: int = 1_000) -> Decided:
    node = FakeNode(tmp_path)
    node.ledger.block()
    header = msgspec.structs.replace(node.ledger.blocks[-1][0], time=time_ms)
    return Decided(9, ZERO, header, [REF], [Receipt(ZERO, 0, []), Receipt(REF, 0, list(events))], [])


def paid(amount: int, source: bytes = OTHER, target: bytes = OWN) -> TransferEvent:
    return TransferEvent("transfer", source, target, amount, b"")


# --- what is told ---------------------------------------------------------------------------------------------------------------


def test_payments_of_a_block_are_one_notification_with_their_sum(tmp_path: Path) -> None:
    many = [paid(1_000_000) for _ in range(MAX_LISTED + 3)]
    news = own_news().of_block(block(tmp_path, *many, paid(5, OWN, OTHER), paid(7, OWN, OWN)), 1_000)
    assert [one.kind for one in news] == ["payments"]
    assert news[0].data["amount"] == str(MAX_LISTED + 3) and len(news[0].data["payments"]) == MAX_LISTED
    assert news[0].data["payments"][0] == {
        "amount": "1",
        "reason": "transfer",
        "from": address(OTHER),
        "ref": "",
        "tx": REF.hex(),
    }


def test_cases_invitations_and_ends_of_proposals(tmp_path: Path) -> None:
    made = block(
        tmp_path,
        LogEvent("suspended", OWN, [REF, OTHER, 5, 6, 1]),
        LogEvent("suspended", OTHER, [REF, OWN, 5, 6, 1]),
        LogEvent("joined", OTHER, [OWN, OWN, OTHER]),
        LogEvent("joined", OTHER, [OTHER, OTHER, OTHER]),
        LogEvent("invitation.ended", OWN, [REF, "used"]),
        LogEvent("proposal.accepted", REF, [3, 0, 4]),
        LogEvent("whatever a stranger wrote", OWN, []),
    )
    assert [one.kind for one in own_news().of_block(made, 1_000)] == ["cases", "invitations", "invitations", "votes"]


def test_a_notice_is_told_once_while_it_stands_and_again_when_it_comes_back() -> None:
    news = own_news()
    waits = {"topic": "case.waits", "ref": "ab", "text": "A case waits"}
    vote = {"topic": "proposal.waits", "ref": "cd", "text": "A proposal waits"}
    other = {"topic": "image.missing", "ref": "ef", "text": "An image is missing"}
    first = news.of_notices([waits, vote, other], 5)
    assert [one.kind for one in first] == ["cases", "votes", "notices"]
    assert news.of_notices([waits, vote], 6) == []
    again = news.of_notices([waits, vote, other], 7)
    assert [one.id for one in again] == [first[2].id]
    assert own_news().of_notices([waits], 8)[0].id == first[0].id


# --- how it leaves --------------------------------------------------------------------------------------------------------------


async def during(line: DeliveryLine, done: Callable[[], bool | Awaitable[bool]]) -> None:
    """Runs a line until something is so."""
    task = asyncio.create_task(line.run())
    try:
        async with asyncio.timeout(20):
            while not done():
                await asyncio.sleep(0.01)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_webhook_is_signed_and_tried_again_under_the_same_id() -> None:
    async with HttpServer(status(500), status(302), status(204)) as server:
        caller, secret = Caller(AllowedAddresses.of(["loopback"]), "1"), b"s" * 32
        line = DeliveryLine("webhook", webhook(caller, server.url("/told"), secret, "ab"), 5, first_s=0.01)
        line.offer(NEWS)
        await during(line, lambda: line.ended["told"] == 1)
        assert line.ended == {"told": 1, "failed": 2, "given_up": 0, "left_out": 0}
        assert {post.id for post in server.posts} == {NEWS.id} and len(server.posts) == 3
        last = server.posts[-1]
        assert last.headers["webhook-signature"] == signature(secret, NEWS.id, int(last.headers["webhook-timestamp"]), last.body)
        assert last.said == {
            "type": "notify.payments",
            "id": NEWS.id,
            "text": "2 credits came",
            "time": 1_000,
            "network": "ab",
            "height": 7,
            "data": {"amount": "2"},
        }


async def test_an_address_that_was_not_allowed_is_never_called() -> None:
    async with HttpServer() as server:
        caller = Caller(AllowedAddresses.of([]), "1")
        assert await webhook(caller, server.url(), b"s" * 32, "ab")(NEWS)
        assert server.posts == []


async def test_the_smallest_payment_gives_way_where_too_many_wait() -> None:
    async def never(news: Notification) -> str:
        raise AssertionError("it does not run")

    line = DeliveryLine("webhook", never, 1)
    for _ in range(MAX_WAITING + 5):
        line.offer(NEWS)
    assert (line.waiting, line.ended["left_out"]) == (MAX_WAITING, 5)


async def test_dust_pushes_out_neither_a_payment_nor_what_is_no_payment() -> None:
    told: list[Notification] = []

    async def way(news: Notification) -> str:
        told.append(news)
        return ""

    def paid(amount: str) -> Notification:
        return NEWS._replace(kind=PAYMENTS, data={"amount": amount, "payments": []})

    line = DeliveryLine("command", way, 1)
    vote = NEWS._replace(kind=VOTES, data={})
    for news in (*[paid("0.01")] * 100, vote, paid("77"), *[paid("0.02")] * 2 * MAX_WAITING, paid("0.000001")):
        line.offer(news)
    assert line.waiting == MAX_WAITING
    running = asyncio.create_task(line.run())
    async with asyncio.timeout(20):
        while line.waiting:
            await asyncio.sleep(0.01)
    running.cancel()
    assert vote in told and paid("77") in told and paid("0.01") not in told


@pytest.mark.parametrize("end", ["/hooks/secret", "?token=secret", "/a?token=secret"])
def test_what_follows_a_webhook_s_host_is_never_shown(end: str) -> None:
    for host in ("https://example.org", "http://[::1]:8080"):
        shown = config.display("notify.url", host + end)
        assert shown == f"{host}{end[0]}***"


@pytest.mark.parametrize("given", [["/bin/tell", "--token", "secret"], "/bin/tell --token=secret"])
def test_words_of_a_command_are_never_shown(given: Any) -> None:
    shown = config.display("notify.command", given)
    assert shown[0] == "/bin/tell" and set(shown[1:]) == {"***"} and "secret" not in str(shown)
    assert config.display("notify.command", []) == []
    own = config.Config(notify=config.NotifyConfig(command=["/bin/tell", "secret"]))
    assert config.shown(own)["notify.command"] == ["/bin/tell", "***"]


def program(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "told.py"
    path.write_text(text)
    return [sys.executable, str(path), str(tmp_path / "out"), "; touch /tmp/never; $(id)"]


async def test_a_command_gets_json_and_its_words_as_they_are_and_nothing_of_the_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEARNINGCHAIN_PASSPHRASE", "secret")
    text = "import json,os,sys\nopen(sys.argv[1],'w').write(json.dumps([json.load(sys.stdin),sys.argv[2],dict(os.environ)]))"
    assert await command(program(tmp_path, text), "ab")(NEWS) == ""
    said, word, environment = json.loads((tmp_path / "out").read_text())
    assert said["text"] == "2 credits came" and word == "; touch /tmp/never; $(id)"
    assert environment["LEARNINGCHAIN_NOTIFY_KIND"] == "payments" and "secret" not in environment.values()
    assert set(environment) <= {"PATH", "HOME", "LANG", "LC_CTYPE", "LEARNINGCHAIN_NOTIFY_KIND", "LEARNINGCHAIN_NOTIFY_ID"}


async def test_a_command_that_does_not_end_is_killed_with_what_it_started(tmp_path: Path) -> None:
    text = (
        "import os,subprocess,sys,time\n"
        "child = subprocess.Popen(['sleep', '600'])\n"
        "open(sys.argv[1] + '.new', 'w').write(str(child.pid))\nos.rename(sys.argv[1] + '.new', sys.argv[1])\ntime.sleep(600)"
    )
    for seconds in (2.0, 10.0, 60.0):  # until it has got as far as that, also on a machine that is busy elsewhere
        assert "was killed" in await command(program(tmp_path, text), "ab", seconds=seconds)(NEWS)
        if (tmp_path / "out").exists():
            break
    child = int((tmp_path / "out").read_text())
    end = time.monotonic() + 10
    while time.monotonic() < end and _alive(child):
        await asyncio.sleep(0.02)
    assert not _alive(child)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


# --- the whole ------------------------------------------------------------------------------------------------------------------


async def test_blocks_and_notices_reach_every_way(tmp_path: Path) -> None:
    node, seen = FakeNode(tmp_path), []
    notices: list[dict[str, Any]] = [{"topic": "case.waits", "ref": "ab", "text": "A case waits"}]

    async def way(news: Notification) -> str:
        seen.append(news.kind)
        return ""

    line = DeliveryLine("webhook", way, 1)
    ledger: Any = node.ledger
    news = OwnNews(ledger.own_id, KINDS, 0, parts(NOTIFY).values())
    service = NotifyService(ledger, lambda: notices, news, [line], now=lambda: ledger.state and 0)
    service.start()
    try:
        await ledger.submit_raw(ledger.signed("n1", Transfer(ledger.own_id, 5_000_000, b"")))
        async with asyncio.timeout(20):
            while len(seen) < 2:
                await asyncio.sleep(0.01)
    finally:
        await service.stop()
    assert sorted(seen) == ["cases", "payments"]
    assert service.metrics() == {"webhook": (0, {"told": 2, "failed": 0, "given_up": 0, "left_out": 0})}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("notify.url", "http://127.0.0.1/x y"),
        ("notify.least", "-1"),
        ("notify.kinds", ["gossip"]),
        ("notify.url", "ftp://example.org/"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(tmp_path: Path, name: str, value: Any) -> None:
    (tmp_path / config.FILE).write_text(
        config.render({name: value}) if not isinstance(value, str) else f'[notify]\n{name[7:]} = "{value}"\n'
    )
    with pytest.raises(config.ConfigError, match=name):
        config.load(tmp_path, {})
