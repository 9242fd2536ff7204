"""`receipt`, `why` and `--receipt` against a node whose ledger is the real one: what is said is proven, a lie is told as one."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from learningchain.chain.contracts.credits import Transfer
from learningchain.chain.contracts.job.messages import Ballot
from learningchain.chain.crypto import address
from learningchain.chain.ledger.genesis import to_json
from learningchain.chain.verification.votes import BallotCode
from learningchain.client.cli import receipts
from learningchain.client.cli.common import Common
from learningchain.client.cli.receipts import explain_line
from tests.unit.api_kit import TOKEN, Api, serving
from tests.unit.job_kit import column

pytest_plugins = ["tests.unit.client_cli_kit"]


@contextmanager
def _in_a_thread(folder: Path) -> Iterator[Api]:
    """The commands block: the node that they ask has a loop of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    held = serving(folder)
    made = asyncio.run_coroutine_threadsafe(held.__aenter__(), loop).result(30)
    try:
        yield made
    finally:
        asyncio.run_coroutine_threadsafe(held.__aexit__(None, None, None), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture
def api(tmp_path: Path, clean_environment: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    served = tmp_path / "served"
    served.mkdir()
    with _in_a_thread(served) as made:
        ledger = made.node.ledger
        assert ledger.block(boss=Transfer(ledger.ids["n2"], 5_000_000, b""), n3=Transfer(ledger.ids["n2"], 0, b"")) == [0, 3]
        home = tmp_path / "home"
        home.mkdir()
        (home / "api.token").write_text(TOKEN)
        (home / "genesis.json").write_bytes(to_json(ledger.genesis))
        monkeypatch.setenv("LEARNINGCHAIN_DATA", str(home))
        monkeypatch.setenv("LEARNINGCHAIN_API", made.url)
        monkeypatch.chdir(tmp_path)
        yield made


def paid(api: Api) -> str:
    tx: bytes = api.node.ledger.blocks[0][1][0].id
    return tx.hex()


def test_a_receipt_is_saved_and_checked_without_a_node(api: Api, run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = run("receipt", "get", paid(api), "--out", "payment.lcr", "--json")
    assert ran.code == 0 and ran.json["shows"]["tx"] == paid(api)
    monkeypatch.setenv("LEARNINGCHAIN_API", "http://127.0.0.1:1")
    ran = run("receipt", "check", "payment.lcr", "--genesis", tmp_path / "home" / "genesis.json")
    assert ran.code == 0
    assert "3 of its 4 validators signed it" in ran.out
    assert "5 credits from" in ran.out and "the sender transferred its free credits" in ran.out
    assert run("receipt", "check", "payment.lcr", "--json").json["events"][0]["amount"] == "5"


def test_a_receipt_that_was_changed_is_refused(api: Api, run: Any) -> None:
    run("receipt", "get", "1-1", "--out", "payment.lcr")
    raw = bytearray(Path("payment.lcr").read_bytes())
    raw[len(raw) // 2] ^= 1
    Path("payment.lcr").write_bytes(raw)
    ran = run("receipt", "check", "payment.lcr")
    assert ran.code == 1 and "proves nothing" in ran.err
    assert run("receipt", "check", "payment.lcr", "--json").error["kind"] == "not_started"
    assert run("receipt", "check", "nowhere.lcr").code == 2
    assert run("receipt", "check", "payment.lcr", "--genesis", "g", "--trusted", "00" * 32).code == 2


def test_nothing_is_overwritten(api: Api, run: Any) -> None:
    assert run("receipt", "get", "1-0", "--out", "a.lcr").code == 0
    ran = run("receipt", "get", "1-0", "--out", "a.lcr")
    assert ran.code == 2 and "--force" in ran.err
    assert run("receipt", "get", "1-0", "--out", "a.lcr", "--force").code == 0
    assert run("receipt", "get", "9-0").code == 2


def test_a_reader_may_begin_at_a_block_that_it_trusts(api: Api, run: Any) -> None:
    ledger = api.node.ledger
    ledger.block(boss=Transfer(ledger.ids["n2"], 1, b""))
    known = run("receipt", "get", "2-1", "--trusted", "1", "--out", "later.lcr", "--json").json["trusted"]
    assert run("receipt", "check", "later.lcr", "--trusted", known).code == 0
    assert run("receipt", "check", "later.lcr").code == 1
    assert run("receipt", "check", "later.lcr", "--trusted", "00" * 32).code == 1


def test_a_submission_writes_its_receipt(api: Api, run: Any) -> None:
    who = address(api.node.ledger.ids["n1"])
    assert run("transfer", who, "2", "--receipt", "mine.lcr").code == 0
    assert "2 credits from" in run("receipt", "check", "mine.lcr").out
    height = api.node.ledger.height
    ran = run("transfer", who, "2", "--receipt", "mine.lcr")
    assert ran.code == 2 and "Nothing was sent" in ran.err
    assert api.node.ledger.height == height
    ran = run("status", "--receipt", "other.lcr")
    assert ran.code == 2 and "submitted nothing" in ran.err


def test_why_credits_came_is_proven(api: Api, run: Any) -> None:
    ran = run("why", paid(api)[:8])
    assert ran.code == 0
    for said in ("-5 credits, transfer, in block 1", "the sender transferred its free credits", "3 of its 4 validators"):
        assert said in ran.out
    ran = run("why", "latest", "--of", address(api.node.ledger.ids["n2"]), "--json")
    (line,) = ran.json
    assert (line["proven"], line["line"]["amount"], line["receipt"]) == (True, "+5", paid(api))
    assert run("why", "ffffffff").code == 2
    assert run("why", "no").code == 2


def test_why_a_winner_was_paid_is_proven_by_the_block_itself(api: Api, run: Any) -> None:
    """A deadline or a vote pays: no transaction of the winner's is in that block."""
    ledger = api.node.ledger
    job = ledger.judged_job(Ballot(int(BallotCode.OK), [column(5_000)], [], False))
    ran = run("why", job.hex()[:12], "--of", address(ledger.ids["n1"]))
    assert ran.code == 0, ran.err
    assert "+10 credits, bounty, in block" in ran.out and "its claimant won the bounty (LC-JOB-39)" in ran.out
    assert "-1 credits, stake.locked" in ran.out and "+1 credits, stake, in block" in ran.out


def test_a_history_that_the_block_does_not_hold_is_told_as_such(api: Api, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = api.node.history

    async def lying(*given: Any, **named: Any) -> list[dict[str, Any]]:
        return [line | {"amount": "-6"} for line in await honest(*given, **named)]

    monkeypatch.setattr(api.node, "history", lying)
    ran = run("why", "latest")
    assert ran.code == 1 and "NOT PROVEN" in ran.out and "the node's history is wrong" in ran.out


class Pages:
    """A node with a history of so many lines, newest first, two of three of the same job."""

    def __init__(self, count: int) -> None:
        refs = ("cd" * 32, "ab" * 32, "ab" * 32)
        self.lines: list[dict[str, Any]] = [
            {"cursor": n, "tx": f"{n:064x}", "ref": refs[n % 3], "amount": None if n == count else "-1"}
            for n in range(count, 0, -1)
        ]
        """The newest moved no credits."""
        self.asked: list[int | None] = []

    async def status(self) -> dict[str, str]:
        return {"id": "me"}

    async def history(self, whose: str, *, before: int | None, limit: int) -> list[dict[str, Any]]:
        self.asked.append(before)
        return [line for line in self.lines if before is None or line["cursor"] < before][:limit]


def looked_up(node: Any, ref: str) -> list[int]:
    whose, lines = asyncio.run(receipts._lines(node, Common(), None, ref))
    assert whose == "me"
    return [line["cursor"] for line in lines]


def test_a_history_is_looked_through_page_by_page_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receipts, "PAGE", 4)
    monkeypatch.setattr(receipts, "MOST_LINES", 12)
    node = Pages(10)
    assert looked_up(node, "cdcdcd") == [9, 6, 3] and node.asked == [None, 7, 3]
    node = Pages(10)
    assert looked_up(node, "latest") == [9] and node.asked == [None]
    assert looked_up(Pages(1), "latest") == [1], "where nothing moved any, the newest"
    assert looked_up(Pages(10), "1") == [1] and looked_up(Pages(10), "eeeeee") == []
    node = Pages(100)
    assert looked_up(node, "3") == [] and node.asked == [None, 97, 93], "no more than so many lines"


@pytest.mark.parametrize("lie", [{"amount": "-6"}, {"other": None}, {"reason": "bounty"}, {"ref": "other"}, {"height": 2}])
def test_a_line_that_differs_from_its_proven_block_is_not_explained(api: Api, run: Any, lie: dict[str, Any]) -> None:
    run("receipt", "get", paid(api), "--out", "payment.lcr")
    raw, own = Path("payment.lcr").read_bytes(), address(api.node.ledger.ids["boss"])
    (line,) = run("history", "--json").json
    honest = explain_line(own, line, paid(api), raw, api.node.ledger.genesis)
    assert honest.proven and honest.place == paid(api)
    told = explain_line(own, line | lie, paid(api), raw, api.node.ledger.genesis)
    assert not told.proven and "NOT PROVEN" in told.lines[0] and told.document["proven"] is False


def test_a_line_of_another_account_s_payment_is_not_explained(api: Api, run: Any) -> None:
    """A node tells a stranger's payment as the asker's own: the receipt is good, and it is about somebody else."""
    run("receipt", "get", paid(api), "--out", "payment.lcr")
    raw, genesis = Path("payment.lcr").read_bytes(), api.node.ledger.genesis
    (line,) = run("history", "--json").json
    for amount, other in ((line["amount"], line["other"]), ("+5", address(api.node.ledger.ids["boss"]))):
        told = explain_line(address(b"n" * 20), line | {"amount": amount, "other": other}, paid(api), raw, genesis)
        assert not told.proven and "no such movement of this account" in told.lines[0]
        assert told.document["account"] == address(b"n" * 20)


def test_one_line_that_is_not_proven_fails_the_command_and_few_are_shown(
    api: Api, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    async def lines(node: Any, common: Any, of: Any, ref: str) -> tuple[str, list[Any]]:
        return "me", [{"cursor": n} for n in range(3)]

    async def explained(node: Any, trust: Any, whose: str, lines: list[Any]) -> list[Any]:
        asked.append(len(lines))
        return [receipts.Explained(f"1-{n}", n != 1, [f"line {n}"], {}) for n in range(len(lines))]

    monkeypatch.setattr(receipts, "_lines", lines)
    monkeypatch.setattr(receipts, "_explained", explained)
    monkeypatch.setattr(receipts, "MOST_SHOWN", 2)
    ran = run("why", "123456")
    assert ran.code == 1 and asked == [2] and "1 more lines belong to it" in ran.out
    monkeypatch.setattr(receipts, "MOST_SHOWN", 1)
    assert run("why", "7").code == 0, "a cursor may have few digits"


def test_a_file_that_proves_nothing_is_not_kept(api: Api, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = api.node.receipt_file

    async def lying(*given: Any) -> Any:
        found = await honest(*given)
        assert found is not None
        raw = bytearray.fromhex(found["file"])
        raw[-1] ^= 1
        return found | {"file": raw.hex()}

    monkeypatch.setattr(api.node, "receipt_file", lying)
    for words in (["1-1"], ["1-1", "--trusted", "1"]):
        ran = run("receipt", "get", *words, "--out", "payment.lcr")
        assert ran.code == 1 and "Nothing was kept" in ran.err and not Path("payment.lcr").exists()
