"""Opening a federation by the dashboard's form: files first, then what it locks, then as it was quoted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from learningchain.chain.contracts.federation.messages import ServeCells
from learningchain.client.api.errors import RequestError
from learningchain.client.contracts.federation.web.opening_pages import opening
from tests.unit.api_kit import sha
from tests.unit.dashboard_kit import Read, browsing
from tests.unit.federation_play import HELPERS, OPENING, helpers_serve
from tests.unit.test_dashboard_uploads import Sender, archive

NEW = "/dashboard/federations/new"
FIELDS = {
    "reference": "registry.example/nothing@sha256:" + sha("image").hex(),
    "model_cid": OPENING["model"]["cid"],
    "model_size": str(OPENING["model"]["size"]),
    "model_dims": str(OPENING["model"]["dims"]),
    "bounty": "100",
    "target": "1",
    "rounds": "3",
    "min_members": "2",
    "max_members": "5",
    "mem_mb": "256",
}


def safetensors(values: int) -> bytes:
    header = json.dumps({"w": {"dtype": "F32", "shape": [values], "data_offsets": [0, 4 * values]}}).encode()
    return len(header).to_bytes(8, "little") + header + bytes(4 * values)


async def test_a_federation_is_opened_after_its_cost_and_only_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_after: list[Any] = []

    async def look_after(_: Any, federation: bytes, __: Any, wanted: Any) -> None:
        looked_after.append((federation.hex(), wanted.auto))

    monkeypatch.setattr("learningchain.client.contracts.federation.http.sponsor_api._look_after", look_after)
    async with browsing(tmp_path) as browser:
        node = browser.api.node
        helpers_serve(node.ledger)
        model = safetensors(1_024)
        cid = node.files.put(model)
        height = node.ledger.height
        sent = FIELDS | {"model_cid": cid, "model_size": str(len(model))}
        _, page = await browser.get(NEW)
        status, quote = await browser.send(page.form(NEW), None, **sent)
        assert status == 200 and "locked for the members 100" in quote.text and "could measure it 4" in quote.text
        assert node.ledger.height == height, "nothing was sent"
        sure = next(form for form in quote.forms if form.fields.get("step") == "open")
        status, page = await browser.send(sure)
        [opened] = await browser.api.get("/v1/federations")
        assert status == 200 and "The federation is opened, final" in page.text and opened["id"] in page.text
        assert looked_after == [(opened["id"], True)]
        status, _ = await browser.send(sure)
        assert status == 409 and len(await browser.api.get("/v1/federations")) == 1


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({}, ["with fewer than 5 members and no reference nobody can tell"]),
        ({"min_members": "10", "max_members": "20", "rule": "krum"}, ["86 % right answers", "rule krum turns away the farthest"]),
        (
            {"min_members": "12", "max_members": "20", "model_dims": "21", "model_size": "284", "split": ""},
            ["four of sixteen 86 to 118 %", "owners who send noise", "could add up: of 6 and more"],
        ),
        ({"model_dims": "21", "model_size": "284", "secrecy": ""}, ["'open to aggregators' is taken"]),
    ],
    ids=["few", "krum", "cells", "small"],
)
async def test_who_opens_by_the_form_reads_what_the_command_says(tmp_path: Path, changes: dict[str, str], says: list[str]) -> None:
    """Before it is opened: what bad owners cost without a reference, and what a sponsor pays for."""
    async with browsing(tmp_path) as browser:
        ledger = browser.api.node.ledger
        helpers_serve(ledger)
        cells: dict[str, Any] = {name: ServeCells(True) for name in HELPERS}
        assert set(ledger.block(**cells)) == {0}
        _, page = await browser.get(NEW)
        status, quote = await browser.send(page.form(NEW), None, **FIELDS | changes)
        assert status == 200 and "It would be refused" not in quote.text
        assert [text for text in says if text not in quote.text] == []


async def test_image_and_model_are_uploaded_one_after_the_other_without_scripts(tmp_path: Path) -> None:
    image, image_id = archive()
    model = safetensors(7)
    async with browsing(tmp_path) as browser:
        sender = await Sender(browser).open()
        token = ("form_token", sender.token)
        status, _, text = await sender.send(token, ("file", image), path=f"{NEW}/image")
        page = Read(text)
        assert status == 200, page.text
        kept = [(name, text) for name, text in page.form(f"{NEW}/model").fields.items() if name.startswith("kept.")]
        status, _, text = await sender.send(token, *kept, ("file", model), path=f"{NEW}/model")
        page = Read(text)
        assert status == 200, page.text
        fields = page.form(NEW).fields
        assert fields["image_id"] == image_id and (fields["model_size"], fields["model_dims"]) == (str(len(model)), "7")
        for bad in (b"x" * 100, safetensors(3)[:-1]):
            status, _, text = await sender.send(token, ("file", bad), path=f"{NEW}/model")
            assert status == 400 and "no safetensors file" in text
        assert len(browser.api.node.files.unpinned) == 2


def test_the_form_becomes_the_body_of_the_operation() -> None:
    body = opening(
        FIELDS | {"ends_in_h": "2", "round_min": "5", "secrecy": "open", "rule": "median", "auto": "on", "unvetted": "on"}
    )
    assert body["model"] == OPENING["model"] and body["image"] == {"reference": FIELDS["reference"]}
    assert (body["ends_in_s"], body["round_s"], body["rounds"], body["min_members"]) == (7_200, 300, 3, 2)
    assert (body["secrecy"], body["rule"], body["vetted"], body["look_after"]) == ("open", "median", False, {"auto": True})
    assert body["limits"] == {"mem_mb": 256} and "fee" not in body and "min_sum" not in body
    for wrong in (
        {"rounds": "many"},
        {"model_cid": ""},
        {"reference": ""},
        {"mem_mb": "9" * 20},
        {"round_min": "-1"},
        {"rounds": "²"},
    ):
        with pytest.raises(RequestError):
            opening(FIELDS | wrong)
