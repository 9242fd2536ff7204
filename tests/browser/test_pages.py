"""Pages with all that they can show, in a real browser: what real nodes come to in hours is played on the real ledger, a block
at a time, behind the API's own server (`tests/unit/api_kit.py`). Each page is looked at in the light, in the dark and on a phone.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from learningchain.chain.codec import encode
from learningchain.chain.contracts.federation.messages import FileCode
from learningchain.chain.contracts.governance import ParamValue, Propose, SetParameters
from learningchain.chain.contracts.job.messages import Claim, claim_commitment
from learningchain.chain.crypto import address
from learningchain.chain.losses import Measurement
from learningchain.client.contracts.federation.roles.journal import JOURNAL, AttemptNote, FederationNotes, JournalBook, PreviewNote
from learningchain.client.contracts.federation.roles.making import NO_UPDATES
from learningchain.client.contracts.federation.roles.member import MemberBook, MemberMachine
from learningchain.client.contracts.federation.wishes import TrainedFederation
from tests.browser.looking import look, refused
from tests.browser.person import Person, person
from tests.unit.api_kit import MODEL_CID, Api, a_run, sha
from tests.unit.dashboard_kit import HOSTILE, Browser, browsing
from tests.unit.federation_play import OWNERS, FederationPlay, helpers_serve
from tests.unit.test_api_federations import SECOND, opened, played
from tests.unit.test_api_ledger import FALSE
from tests.unit.test_api_predictions import answered, ask, served, seven
from tests.unit.test_dashboard_owner import own

pytestmark = [pytest.mark.full("it brings Chromium; test_dashboard_*.py have the pages without one"), pytest.mark.timeout(300)]
WIDE_ROW = "a" * 200
"""A word that breaks nowhere."""


@contextlib.asynccontextmanager
async def at_the_pages(folder: Path, *, keys: bool = False, **how: Any) -> AsyncIterator[tuple[Browser, Person, str]]:
    """The server with its ledger, somebody who is logged in to it, and where the pages are."""
    async with browsing(folder, login=False, **how) as pages, person(folder, keys=keys) as someone:
        made = await pages.link()
        await someone.do("open", url=pages.url + made["path"])
        await someone.do("arrive", path="/dashboard")
        yield pages, someone, pages.url


# --- each page with data and empty ----------------------------------------------------------------------------------------------

Scene = Callable[[Api], Awaitable[dict[str, str]]]
"""Plays something; then the pages to look at, by a word for their pictures."""


async def nothing(api: Api) -> dict[str, str]:
    """Nothing happened but a federation that was opened, of which this node has no part."""
    helpers_serve(api.node.ledger)
    federation = f"federations/{await opened(api)}"
    assert api.node.runs is not None
    api.node.runs.all = []
    lists = ("", "runs", "cases", "proposals", "models", "predictions", "serving", "jobs")
    return {f"empty-{name or 'overview'}": name for name in lists} | {
        "empty-federation": federation,
        "empty-own-part": f"{federation}/own",
    }


async def computed(api: Api) -> dict[str, str]:
    """Runs, one with a loss curve and the output of a stranger's program."""
    assert api.node.runs is not None
    going = a_run("going") | {"log": f"{HOSTILE}\n{WIDE_ROW}\nepoch 2 of 40", "reason": HOSTILE}
    going["progress"] = [{"step": step, "of": 40, "loss": f"{1 / (1 + step):.6f}"} for step in range(1, 31)]
    api.node.runs.all = [going, *(a_run(f"run-{at}", state) for at, state in enumerate(("done", "failed", "cancelled", WIDE_ROW)))]
    return {"data-overview": "", "data-runs": "runs", "data-run": "runs/going"}


async def sponsored(api: Api) -> dict[str, str]:
    """A round with pay and one with a refused file, as the sponsor sees them."""
    helpers_serve(api.node.ledger)
    play = await played(api, (1_750_000_000, (FileCode.USED, FileCode.USED)))
    play.begin(2)
    play.train(*OWNERS)
    play.screen(FileCode.USED, FileCode.WRONG)
    path = f"federations/{play.id.hex()}"
    return {"data-federations": "federations", "data-federation": path, "data-round": f"{path}/rounds/1"}


async def owned(api: Api) -> dict[str, str]:
    """A paid round as an owner of data sees it, with each verdict that an update may get, and previews."""
    ledger, node = api.node.ledger, api.node
    helpers_serve(ledger)
    play = await played(api, (1_750_000_000, (FileCode.USED, FileCode.USED)))
    ledger.own = "n1"
    path = f"federations/{play.id.hex()}"
    loss = [Measurement(sha("root"), 20 * SECOND // 4, 20)]
    notes = [AttemptNote(at, 1, True, 4_596, 3, 4_296, code, 0, loss, "") for at, code in enumerate(FileCode, 2)]
    notes.append(AttemptNote(20, 2, False, 0, 0, 4_296, 0, 0, [], HOSTILE + WIDE_ROW))
    previews = [
        PreviewNote(sha(at), play.id, "scans", state, why, loss if state == "ok" else [], 4_296)
        for at, (state, why) in enumerate((("ok", ""), ("failed", HOSTILE), ("running", "")))
    ]
    node.work.books[JOURNAL] = encode(JournalBook([FederationNotes(play.id, notes, [])], previews))
    node.work.books[MemberMachine.name] = encode(MemberBook([TrainedFederation(play.id, "scans", 2)], NO_UPDATES))
    node.work.data["scans"] = own("scans")
    return {"data-own-part": f"{path}/own", "data-own-round": f"{path}/rounds/1"}


async def accused(api: Api) -> dict[str, str]:
    """A case against a worker, and proposals; the node is a validator that may speak on both."""
    ledger = api.node.ledger
    ledger.judged_job(FALSE)
    for n in range(3):
        action = SetParameters(0, [ParamValue("max_step", 1_000 + n)])
        assert ledger.block(n3=Propose(action, ledger.clock + 1_000_000)) == [0]
    ledger.own = "n2"
    jobs = await api.get("/v1/jobs")
    return {
        "data-cases": "cases",
        "data-proposals": "proposals",
        "data-members": "members",
        "data-jobs": "jobs?which=all",
        "data-job": f"jobs/{jobs[0]['id']}",
        "data-history": f"accounts/{address(ledger.ids['n1'])}",
    }


async def raced(api: Api) -> dict[str, str]:
    """A job with claims of two workers: its curve has steps."""
    ledger = api.node.ledger
    job = ledger.claimed_job("n1", 9_000)
    for worker, loss in (("n2", 6_000), ("n1", 7_000), ("n2", 4_000)):
        sealed = claim_commitment(ledger.chain_id, job, ledger.ids[worker], MODEL_CID.digest, sha("salt"))
        assert ledger.block(5_000, **{worker: Claim(job, loss, sealed, True)}) == [0]
    return {"data-race": f"jobs/{job.hex()}", "data-live-jobs": "jobs"}


async def predicted(api: Api) -> dict[str, str]:
    """A model that is asked; one request is answered, one waits. This node asked."""
    ledger = api.node.ledger
    ledger.declare()
    model = await served(api, slots=1)
    done = (await ask(api, model))["request"]
    answered(api, done, seven(), seven(), seven())
    await ask(api, model)
    waits = (await ask(api, model, within_s=600))["request"]
    ledger.mine()
    return {
        "data-models": "models",
        "data-model": f"models/{model}",
        "data-predictions": "predictions",
        "data-prediction": f"predictions/{done}",
        "data-waiting": f"predictions/{waits}",
    }


async def answering(api: Api) -> dict[str, str]:
    """As a server of it: a model with its stake and its containers, one that is gone, and what came in."""
    ledger = api.node.ledger
    ledger.declare()
    model = await served(api)
    request = (await ask(api, model))["request"]
    answered(api, request, seven(), seven(), seven())
    warm = {"starting": 1, "ready": 2, "answering": 3}
    api.node.extra["serving"] = [{"model": one, **warm} for one in (model, "ab" * 32)]
    ledger.own = "n1"
    return {"data-serving": "serving"}


@pytest.mark.parametrize("scene", [nothing, computed, sponsored, owned, accused, raced, predicted, answering])
async def test_nothing_is_wrong_with_the_pages_of(tmp_path: Path, scene: Scene) -> None:
    async with at_the_pages(tmp_path) as (pages, someone, base):
        for name, path in (await scene(pages.api)).items():
            came = await someone.do("open", url=f"{base}/dashboard/{path}")
            assert came["status"] == 200, path
            await look(someone, name)


# --- what is done on them -------------------------------------------------------------------------------------------------------


async def test_the_log_and_the_curve_of_a_run_come_while_the_page_stands(tmp_path: Path) -> None:
    """Over the page's stream; what the program prints stays text, and the place to which somebody scrolled stays, too."""
    async with at_the_pages(tmp_path) as (pages, someone, base):
        assert pages.api.node.runs is not None
        run = a_run("going") | {"log": "\n".join(f"line {n}" for n in range(200))}
        pages.api.node.runs.all = [run]
        await someone.do("open", url=f"{base}/dashboard/runs/going")
        page = await someone.do("loads")
        run["log"] += "\nthe second epoch begins"
        await someone.do("wait", text="the second epoch begins")
        run["progress"] += [{"step": step, "of": 9, "loss": f"0.{9 - step}"} for step in (2, 3)]
        await someone.do("wait", text="step 3 of 9")
        await someone.do("wait", text="Loss by step")
        assert await someone.do("loads") == page, "it was loaded once"
        await look(someone, "live-run")
        await someone.do("press", name="Stop this run", agree=True)
        assert "cancelled" in await someone.do("text")


@pytest.mark.parametrize("keys", [False, True], ids=["mouse", "keys"])
async def test_a_waiting_request_gets_a_higher_tip_and_is_taken_back(tmp_path: Path, keys: bool) -> None:
    async with at_the_pages(tmp_path, keys=keys) as (pages, someone, base):
        path = (await predicted(pages.api))["data-waiting"]
        await someone.do("open", url=f"{base}/dashboard/{path}")
        await someone.do("fill", label="Credits on top of the tip", value="much")
        await someone.do("press", name="Show what that costs")
        await refused(someone)
        await someone.do("fill", label="Credits on top of the tip", value="0.1")
        await someone.do("press", name="Show what that costs")
        await look(someone, "tip")
        assert "0.10497 credits are locked" in await someone.do("text")
        await someone.do("press", name="Raise it: lock")
        assert "The tip is raised, final" in await someone.do("text")
        await someone.do("press", name="Take it back", agree=True)
        assert "taken back, final" in await someone.do("text")
        await look(someone, "taken-back")


@pytest.mark.parametrize("keys", [False, True], ids=["mouse", "keys"])
async def test_an_answer_gives_its_receipt_and_is_appealed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keys: bool) -> None:
    monkeypatch.setattr("learningchain.chain.contracts.prediction.formulas.least_judges", lambda opened, agree: 1)
    async with at_the_pages(tmp_path, keys=keys) as (pages, someone, base):
        path = (await predicted(pages.api))["data-prediction"]
        await someone.do("open", url=f"{base}/dashboard/{path}")
        assert await someone.do("save", name="Download the receipt") > 1_000
        await look(someone, "appeal")
        await someone.do("fill", label="Rows that you doubt", value="1")
        await someone.do("press", name="Appeal: lock", agree=True)
        assert "The appeal stands" in await someone.do("text")
        await look(someone, "appealed")


@pytest.mark.parametrize("keys", [False, True], ids=["mouse", "keys"])
async def test_an_owner_of_data_reads_what_joining_means_joins_and_leaves(tmp_path: Path, keys: bool) -> None:
    async with at_the_pages(tmp_path, keys=keys) as (pages, someone, base):
        node = pages.api.node
        helpers_serve(node.ledger)
        federation = await opened(pages.api)
        play = FederationPlay(node.ledger, federation)
        play.join(*OWNERS[:1])
        node.ledger.own, node.work.data["scans"] = "n3", own("scans")
        await someone.do("open", url=f"{base}/dashboard/federations")
        await someone.do("press", name="own data", role="link")
        assert "What joining means" in await someone.do("text")
        await look(someone, "joining")
        await someone.do("press", name="Show what that means")
        await look(someone, "join-like-this")
        await someone.do("press", name="I have read it: join with scans")
        assert "You have joined, final" in await someone.do("text")
        node.work.books[MemberMachine.name] = encode(MemberBook([TrainedFederation(play.id, "scans", 3)], NO_UPDATES))
        await someone.do("open", url=f"{base}/dashboard/federations/{federation}/own")
        await look(someone, "joined")
        await someone.do("press", name="Leave it", agree=True)
        assert "You have left, final" in await someone.do("text")


@pytest.mark.parametrize("keys", [False, True], ids=["mouse", "keys"])
async def test_a_validator_says_its_word_on_a_case_and_a_proposal(tmp_path: Path, keys: bool) -> None:
    async with at_the_pages(tmp_path, keys=keys) as (pages, someone, base):
        await accused(pages.api)
        await someone.do("open", url=f"{base}/dashboard")
        await someone.do("press", name="Network", role="link")
        await someone.do("press", name="Cases", role="link")
        await someone.do("press", name="Lift the case against")
        assert "Your word on the case, lift, is given" in await someone.do("text")
        await someone.do("press", name="Proposals", role="link")
        await someone.do("press", name="Yes to")
        assert "Your word, yes, is given" in await someone.do("text")
        await look(someone, "word-given")


# --- tables and logs --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("keys", [False, True], ids=["mouse", "keys"])
async def test_a_table_is_sorted_and_searched_and_so_is_a_log(tmp_path: Path, keys: bool) -> None:
    """A row is where its heading was pressed, and a part that is drawn anew keeps that; ids are copied by a button."""
    async with at_the_pages(tmp_path, keys=keys) as (pages, someone, base):
        await computed(pages.api)
        await someone.do("open", url=f"{base}/dashboard/runs")
        for names in (("cancelled", "done", "failed", "running"), ("running", "failed", "done", "cancelled")):
            await someone.do("tap", text="State")
            text = await someone.do("text")
            assert sorted(names, key=text.index) == list(names), text
        await someone.do("fill", label="Search: Runs of this node", value="FAIL train")
        text = await someone.do("text")
        assert "failed" in text and "cancelled" not in text
        await someone.do("fill", label="Search: Runs of this node", value="")
        assert "cancelled" in await someone.do("text")
        await someone.do("open", url=f"{base}/dashboard/runs/going")
        await someone.do("fill", label="Search: log", value="EPOCH")
        text = await someone.do("text")
        assert "epoch 2 of 40" in text and WIDE_ROW not in text
        await someone.do("fill", label="Search: log", value="nothing has this")
        assert "No line has it." in await someone.do("text")
