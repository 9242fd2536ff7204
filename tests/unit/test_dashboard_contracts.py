"""Pages of contracts before a real ledger: what each shows, what its forms do, and that a stranger's schema is text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from learningchain.chain.contracts.federation.messages import FileCode
from learningchain.chain.contracts.governance import ParamValue, Propose, SetParameters
from learningchain.chain.contracts.job.messages import job_id_of
from learningchain.chain.crypto import address
from learningchain.client.data.published import cid_of_manifest, describe
from learningchain.client.keys.names import FILE as NAMES
from tests.unit.api_kit import MODEL, MODEL_CID, sha
from tests.unit.dashboard_kit import Browser, browsing
from tests.unit.federation_play import OWNERS, helpers_serve
from tests.unit.test_api_federations import played
from tests.unit.test_api_ledger import FALSE
from tests.unit.test_api_predictions import answered, register, served, seven

JOB = {
    "cid": str(MODEL_CID),
    "image_id": "sha256:" + sha("image").hex(),
    "size": "1000",
    "bounty": "10",
    "expires_in_min": "60",
    "train_s": "20",
}


async def submitted(browser: Browser, path: str, action: str, **fields: Any) -> tuple[int, Any]:
    _, page = await browser.get(path)
    return await browser.send(page.form(action), None, **fields)


# --- jobs -----------------------------------------------------------------------------------------------------------------------


async def test_a_job_is_posted_after_its_price_and_only_then(tmp_path: Path) -> None:
    async with browsing(tmp_path) as browser:
        ledger = browser.api.node.ledger
        ledger.declare()
        height = ledger.height
        status, quote = await submitted(browser, "/dashboard/jobs/new", "/dashboard/jobs/new", **JOB)
        assert status == 200 and "credits are locked" in quote.text and "4 of 4 verifiers" in quote.text
        assert "2 of them that conspire can have a false claim paid" in quote.text
        assert ledger.height == height, "nothing was sent"
        sure = next(form for form in quote.forms if form.fields.get("step") == "post")
        status, job = await browser.send(sure)
        assert status == 200 and ledger.height == height + 1 and f"final in block {ledger.height}" in job.text
        assert "open" in job.text and "Nobody has claimed" in job.text
        job_id = job_id_of(ledger.blocks[-1][1][0].id, 0).hex()
        assert f"/dashboard/jobs/{job_id}" in (await browser.get("/dashboard/jobs"))[1].links
        cancel = job.form(f"/dashboard/jobs/{job_id}/cancel")
        status, _ = await browser.send(cancel)
        found = await browser.api.get(f"/v1/jobs/{job_id}")
        assert status == 200 and found["state"] != "OPEN"


@pytest.mark.parametrize(
    ("change", "said", "opened"),
    [
        ({"bounty": "a lot"}, "bounty", 0),
        ({"cid": ""}, "Which image?", 0),
        ({"train_s": "soon"}, "train_s is a number", 0),
        ({"params": "[" * 5_000}, "JSON object", 1),
        ({"floor": "low"}, "floor", 1),
        ({"bounty": "100000"}, "would be refused now", 0),
    ],
)
async def test_a_job_that_makes_no_sense_is_told_in_its_form_where_all_that_was_typed_is_seen(
    tmp_path: Path, change: dict[str, str], said: str, opened: int
) -> None:
    async with browsing(tmp_path) as browser:
        browser.api.node.ledger.declare()
        height = browser.api.node.ledger.height
        _, page = await submitted(browser, "/dashboard/jobs/new", "/dashboard/jobs/new", **JOB | change)
        assert said in page.text and page.opened == opened, "fields that are seldom used are folded away while they are empty"
        kept = [form.fields for form in page.forms if "bounty" in form.fields][-1]
        assert {name: kept[name] for name in JOB | change} == JOB | change and browser.api.node.ledger.height == height


async def test_a_published_set_of_this_node_can_be_chosen_for_a_job(tmp_path: Path) -> None:
    (tmp_path / "digits").mkdir()
    (tmp_path / "digits/a").write_bytes(b"some")
    found, _ = describe(tmp_path / "digits")
    cid = cid_of_manifest(found.manifest)
    async with browsing(tmp_path) as browser:
        ledger = browser.api.node.ledger
        ledger.declare()
        for content in (b"some", found.manifest):
            await browser.api.call("POST", f"/v1/files?set={cid}", data=content)
        chosen = JOB | {f"set-{cid}": "digits", f"use-{cid}": "train"}
        _, wrong = await submitted(browser, "/dashboard/jobs/new", "/dashboard/jobs/new", **chosen | {f"set-{cid}": "Digits"})
        assert "name 'Digits' of a data set" in wrong.text
        _, quote = await submitted(browser, "/dashboard/jobs/new", "/dashboard/jobs/new", **chosen)
        sure = next(form for form in quote.forms if form.fields.get("step") == "post")
        assert (await browser.send(sure))[0] == 200
        (job,) = await browser.api.get("/v1/jobs")
        (data,) = (await browser.api.get(f"/v1/jobs/{job['id']}"))["terms"]["data"]
        assert (data["name"], data["cid"], data["use"], data["files"]) == ("digits", cid, "train", 1)


async def test_a_job_shows_claims_votes_payment_and_its_model(tmp_path: Path) -> None:
    async with browsing(tmp_path) as browser:
        ledger = browser.api.node.ledger
        job = ledger.claimed_job().hex()
        _, page = await browser.get(f"/dashboard/jobs/{job}")
        assert "0.000005000" in page.text and "locked" in page.text and address(ledger.ids["n1"])[:9] in page.text
        paid = ledger.judged_job(FALSE, "n2").hex()
        _, page = await browser.get(f"/dashboard/jobs/{paid}")
        assert "false" in page.text and "Audit 0, round 1" in page.text and "receipt" in page.text
        _, page = await browser.get("/dashboard/jobs?which=all")
        assert {f"/dashboard/jobs/{job}", f"/dashboard/jobs/{paid}"} <= set(page.links)
        _, page = await browser.get(f"/dashboard/jobs?id={job[:8]}")
        assert f"/dashboard/jobs/{job}" in page.links and f"/dashboard/jobs/{paid}" not in page.links
        (browser.api.node.files.folder / str(MODEL_CID)).write_bytes(MODEL)
        response, _ = await browser.raw(f"/dashboard/jobs/{job}/model")
        assert response.status == 404, "nobody has won"


# --- credits --------------------------------------------------------------------------------------------------------------------


async def test_credits_are_sent_after_a_second_look(tmp_path: Path) -> None:
    async with browsing(tmp_path) as browser:
        ledger = browser.api.node.ledger
        to = address(ledger.ids["n1"])
        _, look = await submitted(browser, "/dashboard/send", "/dashboard/send", to=to, amount="2.5", memo="<b>lunch</b>")
        assert "Send this?" in look.text and to in look.text and ledger.height == 0
        sure = next(form for form in look.forms if form.fields.get("step") == "send")
        status, home = await browser.send(sure)
        assert status == 200 and "2.5 credits are sent, final in block 1" in home.text and "<b>lunch</b>" in home.text
        status, page = await submitted(browser, "/dashboard/send", "/dashboard/send", to="lc1nobody", amount="1")
        assert status in (400, 404) and "Send this?" not in page.text
        status, page = await submitted(browser, "/dashboard/send", "/dashboard/send", to=to, amount="99999", step="send")
        assert status == 409 and ledger.height == 1


async def test_an_address_that_only_looks_like_a_known_one_is_paid_nothing(tmp_path: Path) -> None:
    async with browsing(tmp_path) as browser:
        ledger = browser.api.node.ledger
        known = address(ledger.ids["n1"])
        (tmp_path / NAMES).write_text(json.dumps({"version": 1, "names": {known: "Anna"}}))
        (tmp_path / NAMES).chmod(0o600)
        _, look = await submitted(browser, "/dashboard/send", "/dashboard/send", to="Anna", amount="1")
        assert known in look.text and "Send this?" in look.text
        false = known[:10] + ("q" if known[10] != "q" else "p") + known[11:]
        status, page = await submitted(browser, "/dashboard/send", "/dashboard/send", to=false, amount="1", step="send")
        assert status == 400 and "begins and ends like Anna" in page.text and ledger.height == 0


# --- members, cases, proposals --------------------------------------------------------------------------------------------------


async def test_a_validator_judges_a_case_by_a_button(tmp_path: Path) -> None:
    async with browsing(tmp_path, own="n2") as browser:
        ledger = browser.api.node.ledger
        ledger.judged_job(FALSE)
        accused = address(ledger.ids["n1"])
        _, page = await browser.get("/dashboard/members")
        assert "suspended" in page.text and "validator" in page.text
        _, page = await browser.get("/dashboard/cases")
        assert "A ban, which burns everything" in page.text
        [ref] = (await browser.api.get(f"/v1/accounts/{accused}"))["case"]["refs"]
        assert f"/dashboard/find?what={ref['ref']}" in page.links
        response, _ = await browser.raw(f"/dashboard/find?what={ref['ref']}")
        assert response.url.path == f"/dashboard/jobs/{ref['ref']}"
        status, page = await browser.send(page.form(f"/dashboard/cases/{accused}/word"), None, word="lift")
        assert status == 200 and "lift, is given" in page.text
        assert (await browser.api.get(f"/v1/accounts/{accused}"))["case"]["lift"] == [address(ledger.ids["n2"])]
        status, _ = await browser.send(page.form(f"/dashboard/cases/{accused}/word"), None, word="burn")
        assert status == 400


# --- federations ----------------------------------------------------------------------------------------------------------------


async def test_a_sponsor_sees_rounds_and_files_and_governs(tmp_path: Path) -> None:
    async with browsing(tmp_path) as browser:
        helpers_serve(browser.api.node.ledger)
        play = await played(browser.api, (1_750_000_000, (FileCode.USED, FileCode.USED)))
        play.begin(2)
        play.train(*OWNERS)
        play.screen(FileCode.USED, FileCode.WRONG)
        path = f"/dashboard/federations/{play.id.hex()}"
        _, page = await browser.get("/dashboard/federations?which=sponsored")
        assert path in page.links
        _, page = await browser.get(path)
        assert "1.750000000" in page.text and "progress" in page.text and "You opened it" in page.text
        assert "refused, WRONG: it points away from" in page.text
        assert "came to nothing, split" in page.text and page.text.count("screened as good, and counted for nothing") == 1
        status, page = await browser.send(page.form(f"{path}/close"))
        assert status == 200 and "The federation is closed" in page.text
        assert "Train in it" not in page.text and "the sponsor closed it" in page.text
        assert f"{path}/model" in page.links, "its best model is what is left to do with it"
        assert (await browser.get(f"{path}/model"))[0] == 404, "nobody has its file here"
        _, page = await browser.get("/dashboard/federations?which=joined")
        assert path not in page.links


async def test_history_leads_to_what_credits_moved_for(tmp_path: Path) -> None:
    async with browsing(tmp_path) as browser:
        ledger = browser.api.node.ledger
        job = ledger.claimed_job().hex()
        response, _ = await browser.raw(f"/dashboard/find?what={job}")
        assert (response.status, response.url.path) == (200, f"/dashboard/jobs/{job}")
        response, _ = await browser.raw(f"/dashboard/find?what={'ab' * 32}")
        assert (response.status, response.url.path) == (404, f"/dashboard/tx/{'ab' * 32}"), "nothing has this id"
        _, page = await browser.get(f"/dashboard/accounts/{address(ledger.ids['n1'])}")
        assert f"/dashboard/find?what={job}" in page.links, "its stake is locked for this job"


async def test_what_others_set_and_own_names_are_text_on_pages_of_members_and_federations(tmp_path: Path) -> None:
    """Nobody writes words into a case, a proposal or a member; a federation has its program's settings, the owner has names."""
    async with browsing(tmp_path, own="n2") as browser:
        api, ledger = browser.api, browser.api.node.ledger
        name = "\"'><script>alert(1)"
        (tmp_path / NAMES).write_text(
            json.dumps({"version": 1, "names": {address(ledger.ids[who]): name + who for who in ("boss", "n1")}})
        )
        (tmp_path / NAMES).chmod(0o600)
        helpers_serve(ledger)
        ledger.own = "boss"
        play = await played(api, (1_750_000_000, (FileCode.USED, FileCode.USED)), params={EVIL: "{{ 777*777 }}"})
        assert ledger.block(n1=Propose(SetParameters(0, [ParamValue("max_step", 1_000)]), ledger.clock + 1_000_000)) == [0]
        ledger.own = "n2"
        ledger.judged_job(FALSE)
        federation = f"federations/{play.id.hex()}"
        for path in ("members", "cases", "proposals", "federations", federation, f"{federation}/own", f"{federation}/rounds/1"):
            status, page = await browser.get(f"/dashboard/{path}")
            assert status == 200 and name in page.text and str(777 * 777) not in page.text, path


EVIL = "</textarea><script>alert(1)</script>"
SCHEMA = {
    "inputs": [
        {"name": "age", "datatype": "INT64", "min": 18, "max": 100, "about": EVIL},
        {"name": "kind", "datatype": "BYTES", "values": ["red", EVIL]},
        {"name": "fit", "datatype": "BOOL"},
    ],
    "classes": [f"class {at} {EVIL}" for at in range(10)],
}


async def test_a_model_is_asked_by_a_form_of_a_stranger_s_schema_whose_words_are_text(tmp_path: Path) -> None:
    async with browsing(tmp_path) as browser:
        api, ledger = browser.api, browser.api.node.ledger
        ledger.declare()
        raw = json.dumps(SCHEMA).encode()
        model = await served(api, schema={"cid": api.node.files.put(raw), "size": len(raw)})
        action = f"/dashboard/models/{model}/ask"
        _, page = await browser.get(f"/dashboard/models/{model}")
        assert page.text.count(EVIL) >= 2 and {"in.age", "in.kind", "in.fit"} <= set(page.form(action).fields)
        given, height = {"in.kind": EVIL, "in.fit": "true", "n": "3"}, ledger.height
        for age, said in ((EVIL, "age is a whole number from 18 to 100"), ("7", "18")):
            status, page = await browser.send(page.form(action), None, **given | {"in.age": age})
            assert status == 400 and said in page.text and page.form(action).fields["in.age"] == age, "what was typed is kept"
        status, page = await browser.send(page.form(action), None, **given | {"in.age": "30"})
        assert status == 200 and "credits are locked" in page.text and ledger.height == height
        status, page = await browser.send(next(form for form in page.forms if form.fields.get("step") == "ask"))
        assert status == 200 and ledger.height > height and "No answer yet" in page.text
        [asked] = await api.get("/v1/predictions")
        answered(api, asked["id"], seven(), seven(), seven())
        _, page = await browser.get(f"/dashboard/predictions/{asked['id']}")
        assert f"class 7 {EVIL}" in page.text and "2.500000000" in page.text


async def test_a_model_without_a_schema_is_asked_by_rows(tmp_path: Path) -> None:
    async with browsing(tmp_path) as browser:
        browser.api.node.ledger.declare()
        model = await served(browser.api)
        _, page = await browser.get(f"/dashboard/models/{model}")
        assert "no schema" in page.text
        form = page.form(f"/dashboard/models/{model}/ask")
        status, page = await browser.send(form, None, rows="[1,2,3]\r\n[4,5,6]", n="3")
        assert status == 200 and "credits are locked" in page.text
        raw = json.dumps(SCHEMA).encode()
        cid = browser.api.node.files.put(raw)
        gone = await register(browser.api, name="gone", schema={"cid": cid, "size": len(raw)})
        (browser.api.node.files.folder / cid).unlink()
        _, page = await browser.get(f"/dashboard/models/{gone}")
        assert "cannot be had" in page.text and "Nobody serves it" in page.text
        await browser.api.post(f"/v1/models/{gone}/retire?wait=10", None)
        _, page = await browser.get(f"/dashboard/models/{gone}")
        assert "retired" in page.text and not [form for form in page.forms if form.action.endswith("/ask")]
