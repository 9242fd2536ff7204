"""Commands over the API of a node whose ledger is the real one: what people read of cases, jobs taken back, refusals, runs."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from learningchain.chain.contracts.membership import JudgeCase
from learningchain.chain.crypto import address
from learningchain.chain.verification.votes import BallotCode
from tests.unit.api_kit import TOKEN, Api, serving
from tests.unit.job_kit import ballot

pytest_plugins = ["tests.unit.client_cli_kit"]

Typed = Callable[..., Any]
FALSE = ballot(BallotCode.FALSE, 900_000_000)


@pytest.fixture
def at(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A node of `own`, and what its owner types."""
    folder = tmp_path / "node"
    folder.mkdir()
    (folder / "api.token").write_text(TOKEN)
    monkeypatch.setenv("LEARNINGCHAIN_DATA", str(folder))

    @asynccontextmanager
    async def of(own: str) -> AsyncIterator[tuple[Api, Typed]]:
        async with serving(tmp_path, own=own) as api:
            monkeypatch.setenv("LEARNINGCHAIN_API", api.url)

            yield api, functools.partial(asyncio.to_thread, run)

    return of


def who(api: Api, name: str) -> str:
    return address(api.node.ledger.ids[name])


def lines(text: str) -> str:
    return " ".join(text.split())


# --- cases ---------------------------------------------------------------------------------------------------------------------


async def test_a_case_is_listed_shown_judged_and_shown_again(at: Any) -> None:
    async with at("n2") as (api, typed):
        assert (await typed("case", "list")).out == "No account is suspended.\n"
        job = api.node.ledger.judged_job(FALSE).hex()
        accused = who(api, "n1")
        await typed("name", "set", accused, "worker")
        listed = await typed("case", "list")
        assert listed.code == 0 and f"{accused} (worker)" in listed.out and "0 of 3 0 of 2 waits for it" in lines(listed.out)
        shown = await typed("case", "show", "worker")
        assert shown.code == 0 and f"{job} of {who(api, 'boss')}" in shown.out
        assert "needs 3 of 3 judges (more than two thirds)" in lines(shown.out) and "0 confirm, 0 lift" in lines(shown.out)
        assert f"job recheck {job[:12]} --claimant {accused}" in shown.err and "--confirm or --lift" in shown.err
        assert (await typed("judge", "worker", "--lift")).code == 0
        again = await typed("case", "show", "worker")
        assert "0 confirm, 1 lift" in lines(again.out) and "your word lift" in lines(again.out) and "Say it" not in again.err
        assert api.node.ledger.block(n3=JudgeCase(api.node.ledger.ids["n1"], False)) == [0]
        ended = await typed("case", "show", "worker")
        assert ended.code == 2 and f"There is no open case against {accused} (worker)." in ended.err


async def test_a_refusal_has_the_names_that_its_reader_gave(at: Any) -> None:
    async with at("n2") as (api, typed):
        accused = who(api, "n1")
        await typed("name", "set", accused, "worker")
        ran = await typed("judge", "worker", "--confirm")
        assert ran.code == 1 and f"{accused} (worker)" in ran.err and f"{accused} (worker) (worker)" not in ran.err
        ran = await typed("judge", "worker", "--confirm", "--json")
        assert f"{accused} (worker)" in ran.error["message"]


# --- jobs ----------------------------------------------------------------------------------------------------------------------

JOB = ["job", "submit", "--image", "x@sha256:" + "a" * 64, "--bounty", "5", "--yes"]


async def test_a_job_is_put_off_and_taken_back_and_says_so(at: Any) -> None:
    async with at("boss") as (api, typed):
        api.node.ledger.declare()
        posted = await typed(*JOB, "--expires", "1m", "--json")
        job = posted.json["job"]
        assert "claims end in 59 s" in lines((await typed("job", "show", job)).out)
        put_off = await typed("job", "extend", "latest", "--expires", "2h")
        assert put_off.code == 0 and "Job extended" in put_off.out and "claims end in 1 h 59 min" in lines(put_off.out)
        ran = await typed("job", "cancel", "latest")
        height = api.node.ledger.height
        assert (ran.code, ran.err) == (0, "")
        assert ran.out.startswith("Job taken back") and job in ran.out and f"block {height}" in lines(ran.out)
        shown = lines((await typed("job", "show", job)).out)
        assert "state EMPTY its poster took it back before anybody claimed; all that was locked for it came back" in shown
        assert "claims ended 0 s ago" in shown and "bounty returned 5" in shown
        again = await typed("job", "cancel", "latest")
        assert again.code == 1 and "the job is EMPTY" in again.err and "TOO_LATE" in again.err
