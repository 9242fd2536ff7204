"""A data owner's page of a federation: what it says before joining, its forms, and what it tells of updates and pay afterwards."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from learningchain.chain.codec import encode
from learningchain.chain.contracts.federation.messages import FileCode
from learningchain.chain.losses import Measurement
from learningchain.client.contracts.federation.roles.journal import JOURNAL, AttemptNote, FederationNotes, JournalBook, PreviewNote
from learningchain.client.contracts.federation.roles.keeping import NOTHING_HELD
from learningchain.client.contracts.federation.roles.making import NO_UPDATES
from learningchain.client.contracts.federation.roles.member import VAULTS, MemberBook, MemberMachine, VaultBook
from learningchain.client.contracts.federation.roles.vaulting import OwnVaultBook, VaultStage, VaultWanted
from learningchain.client.contracts.federation.web.phrases import CODES, NO_VAULT, VAULT
from learningchain.client.contracts.federation.wishes import PreviewWish, StopWish, TrainedFederation, TrainWish, VaultWish, wish_in
from learningchain.p2p.content.cid import Codec, cid_of
from learningchain.sandbox import OwnData
from tests.unit.api_kit import sha
from tests.unit.dashboard_kit import HOSTILE, Browser, Form, Read, browsing
from tests.unit.federation_play import FederationPlay, helpers_serve
from tests.unit.test_api_federations import SECOND, opened, played, who

SCHEMA = cid_of(Codec.RAW, b'{"columns": []}')


def own(name: str, **notes: str) -> OwnData:
    return OwnData(name=name, digest=sha("files", name), size=2_048, files=3, notes=notes)


@asynccontextmanager
async def sponsored(folder: Path, *, by: str = "n3", play: bool = False, **terms: Any) -> AsyncIterator[tuple[Browser, str, str]]:
    """A federation that `boss` opened, seen at the node of `by`: the browser, its id, the path of the owner's page."""
    async with browsing(folder) as browser:
        ledger = browser.api.node.ledger
        helpers_serve(ledger)
        federation = (await played(browser.api, **terms)).id.hex() if play else await opened(browser.api, **terms)
        ledger.own = by
        browser.api.node.work.data["scans"] = own("scans")
        yield browser, federation, f"/dashboard/federations/{federation}/own"


def join_form(page: Read, step: str | None = None) -> Form:
    return next(form for form in page.forms if form.action.endswith("/join") and form.fields.get("step") == step)


# --- before joining -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("terms", "said", "unsaid"),
    [
        ({}, ("masked, to each of three", "sums of at least 2 members", "64 numbers made of its 1,024", "split equal"), "as it is"),
        ({"secrecy": "open"}, ("as it is, to each of three", "read your update as it is", "all 1,024 values"), "masked"),
        ({"split": "samples"}, ("how many examples you claim", "split samples", "Examples in these data"), "as it is"),
        ({"split": "aligned", "reference": True}, ("66 numbers made of its 1,024", "split aligned"), "Examples in these data"),
        ({"schema": str(SCHEMA)}, (str(SCHEMA), "not held against the schema"), "as it is"),
        ({"admit": "approve"}, ("whom the sponsor admits",), "everybody, at once"),
    ],
)
async def test_what_joining_means_is_said_as_the_command_says_it(
    tmp_path: Path, terms: dict[str, Any], said: tuple[str, ...], unsaid: str
) -> None:
    async with sponsored(tmp_path, **terms) as (browser, _, path):
        status, page = await browser.get(path)
        assert status == 200 and "Nothing left this machine" in page.text
        for one in (*said, VAULT, "a loss of 0 pays 100 more", "worst share 25", "no network", "no noise"):
            assert one in page.text, one
        assert unsaid not in page.text
        browser.api.node.work.data.clear()
        _, page = await browser.get(path)
        assert "learningchain data add" in page.text and not [form for form in page.forms if form.action.endswith("/join")]


async def test_a_target_out_of_reach_is_said_to_pay_less_before_joining(tmp_path: Path) -> None:
    async with sponsored(tmp_path, play=True, target="-8") as (browser, _, path):
        _, page = await browser.get(path)
        assert "a loss of 0 pays 20 more, for all together; the target is -8" in page.text


@pytest.mark.parametrize(
    ("terms", "fields", "vault", "n", "said"),
    [
        ({}, {}, True, 0, "You have joined, final"),
        ({}, {"vault": None, "min_vetted": "1"}, False, 0, "You have joined, final"),
        ({"split": "samples"}, {"examples": "41"}, True, 41, "You have joined, final"),
        ({"secrecy": "open", "admit": "approve"}, {"vault": None}, False, 0, "the sponsor admits members, final"),
        ({"schema": str(SCHEMA)}, {"data": "fits"}, True, 0, "You have joined, final"),
    ],
)
async def test_an_owner_joins_with_what_was_shown_and_leaves(
    tmp_path: Path, terms: dict[str, Any], fields: dict[str, Any], vault: bool, n: int, said: str
) -> None:
    async with sponsored(tmp_path, **terms) as (browser, federation, path):
        node = browser.api.node
        node.work.data["fits"] = own("fits", schema=SCHEMA.digest.hex())
        height, name = node.ledger.height, fields.get("data", "scans")
        _, page = await browser.get(path)
        form = join_form(page)
        assert "vault" in form.fields, "ticked, as with the command"
        form.fields = {key: value for key, value in (form.fields | {"data": name} | fields).items() if value is not None}
        status, page = await browser.send(form)
        assert status == 200 and f"{name}: 3 files, 2.0 KiB" in page.text and "Join like this?" in page.text
        assert ((VAULT if vault else NO_VAULT) in page.text) and (node.ledger.height, node.work.secrets.all) == (height, [])
        sure = join_form(page, "join")
        status, page = await browser.send(sure)
        assert status == 200 and said in page.text, page.text
        wishes = [wish_in(secret) for secret in node.work.secrets.all]
        least = int(fields.get("min_vetted", 2))
        assert wishes == [
            TrainWish(bytes.fromhex(federation), name, least),
            VaultWish(bytes.fromhex(federation), vault, []),
        ]
        [member] = await browser.api.get(f"/v1/federations/{federation}/members")
        assert (member["account"], member["n"]) == (who(browser.api, "n3"), n)
        status, page = await browser.send(sure)
        assert status == 409 and len(node.work.secrets.all) == 2, "the same form counts once"
        node.work.books[MemberMachine.name] = encode(
            MemberBook([TrainedFederation(bytes.fromhex(federation), name, 3)], NO_UPDATES)
        )
        _, page = await browser.get(path)
        assert not [form for form in page.forms if form.action.endswith("/join")] and "could not join" not in page.text
        status, page = await browser.send(page.form(path.replace("/own", "/leave")))
        assert status == 200 and "You have left, final" in page.text
        assert wish_in(node.work.secrets.all[-1]) == StopWish(bytes.fromhex(federation))


@pytest.mark.parametrize(
    ("terms", "fields", "said"),
    [
        ({"split": "samples"}, {}, "say how many examples"),
        ({"split": "samples"}, {"examples": "many"}, "The number of examples is a whole number"),
        ({}, {"min_vetted": "-1"}, "whole number"),
        ({}, {"data": HOSTILE}, "Which data?"),
        ({"schema": str(SCHEMA)}, {}, "were not held against the schema"),
    ],
)
async def test_what_the_ledger_could_not_say_is_said_before_anything_is_sent(
    tmp_path: Path, terms: dict[str, Any], fields: dict[str, str], said: str
) -> None:
    async with sponsored(tmp_path, **terms) as (browser, _, path):
        height = browser.api.node.ledger.height
        _, page = await browser.get(path)
        for step in ({}, {"step": "join"}):
            status, page = await browser.send(join_form(page), None, **{"data": "scans"} | fields | step)
            assert status == 400 and said in page.text
        assert (browser.api.node.ledger.height, browser.api.node.work.secrets.all) == (height, [])


async def test_an_owner_trains_once_and_sends_nothing_before_it_joins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with sponsored(tmp_path, play=True) as (browser, federation, path):
        node, height = browser.api.node, browser.api.node.ledger.height
        found = Measurement(sha("root"), 20 * SECOND // 2, 20)

        async def kept(secret: Any) -> None:
            """The node's work runs it at once; the one before had failed, in a stranger's words."""
            wish = wish_in(secret)
            assert isinstance(wish, PreviewWish) and wish.data == "scans"
            before = PreviewNote(bytes(32), wish.federation, "scans", "failed", HOSTILE, [], 0)
            ended = PreviewNote(wish.number, wish.federation, "scans", "ok", "", [found], 4_296)
            node.work.books[JOURNAL] = encode(JournalBook([], [before, ended]))

        monkeypatch.setattr(node.work.secrets, "keep", kept)
        _, page = await browser.get(path)
        status, page = await browser.send(join_form(page), None, data="scans")
        status, page = await browser.send(page.form(path.replace("/own", "/preview")))
        assert status == 200 and "It trained once, and nothing was sent" in page.text
        assert "0.500000000 over 20" in page.text and "4.2 KiB" in page.text and "<script>" in page.text
        assert (node.ledger.height, len(await browser.api.get(f"/v1/federations/{federation}/members"))) == (height, 2)


# --- afterwards -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("secrecy", "vault", "said", "unsaid"),
    [
        ("sum", False, "only the masked update leaves", "as it is"),
        ("sum", True, "sealed local model leaves, too", "as it is"),
        ("open", False, "Its update leaves as it is: the three aggregators", "masked"),
    ],
)
async def test_an_owner_reads_what_left_what_became_of_it_and_what_it_was_paid(
    tmp_path: Path, secrecy: str, vault: bool, said: str, unsaid: str
) -> None:
    async with browsing(tmp_path, own="boss") as browser:
        node = browser.api.node
        helpers_serve(node.ledger)
        play = await played(browser.api, (2 * SECOND - SECOND // 4, (FileCode.USED, FileCode.USED)), secrecy=secrecy)
        loss = Measurement(sha("root"), 20 * SECOND // 4, 20)
        codes = list(FileCode)
        notes = [AttemptNote(2 + at, 1, True, 4_596, 3, 4_296, code, 0, [loss], "") for at, code in enumerate(codes)]
        notes.append(AttemptNote(20, 2, False, 0, 0, 4_296, 0, 0, [], HOSTILE))
        node.work.books[JOURNAL] = encode(JournalBook([FederationNotes(play.id, notes, [])], []))
        node.work.books[MemberMachine.name] = encode(MemberBook([TrainedFederation(play.id, "scans", 2)], NO_UPDATES))
        wanted = [VaultWanted(play.id, [], VaultStage.NONE, "")] if vault else []
        node.work.books[VAULTS] = encode(VaultBook(OwnVaultBook(wanted, [], []), NOTHING_HELD))
        round_page = f"/dashboard/federations/{play.id.hex()}/rounds/1"
        play.join("n3")
        for name, told in (("n1", "12.5 paid"), ("n3", "0 not paid: it joined later")):
            node.ledger.own = name
            _, page = await browser.get(f"/dashboard/federations/{play.id.hex()}/own")
            assert said in page.text and unsaid not in page.text and "0.250000000" in page.text
            for words in (*(CODES[code.name] for code in codes), told, "<script>", "2 others carry the verifier flag"):
                assert words in page.text, words
            assert round_page in page.links
            _, page = await browser.get(round_page)
            assert told in page.text and "(you)" in page.text and "better, and paid" in page.text
        status, _ = await browser.get(round_page[:-1] + "3")
        assert status == 404
        status, _ = await browser.get(round_page[:-1] + HOSTILE.replace("/", "").replace("?", "").replace("#", ""))
        assert status in (400, 404)


# --- the sponsor ----------------------------------------------------------------------------------------------------------------


async def test_a_sponsor_starts_a_round_by_a_button(tmp_path: Path) -> None:
    async with sponsored(tmp_path, by="boss") as (browser, federation, path):
        play, start = FederationPlay(browser.api.node.ledger, federation), path.replace("/own", "/start")
        _, page = await browser.get(path.removesuffix("/own"))
        status, page = await browser.send(page.form(start))
        assert status == 200 and "Round 0 is started, final" in page.text
        while play.state == "DRAW":
            browser.api.node.ledger.block()
        play.measure(2 * SECOND)
        _, page = await browser.get(path.removesuffix("/own"))
        status, page = await browser.send(page.form(start))
        assert status == 409 and "2 are needed" in page.text
