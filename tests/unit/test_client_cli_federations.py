"""`learningchain fed` as typed, before a real API and real blocks: what a sponsor and a data owner see, what each refusal says."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
from rich.console import Console
from structlog.testing import capture_logs

from learningchain.chain.codec import encode
from learningchain.chain.contracts.federation.messages import FileCode, ServeCells
from learningchain.chain.losses import Measurement
from learningchain.client.cli.app import main
from learningchain.client.contracts.federation.cli import watch as watching
from learningchain.client.contracts.federation.cli.serving import drawn_from_now
from learningchain.client.contracts.federation.offer import said_of_secrecy, too_few
from learningchain.client.contracts.federation.roles.journal import JOURNAL, AttemptNote, FederationNotes, JournalBook, PreviewNote
from learningchain.client.contracts.federation.roles.making import NO_UPDATES
from learningchain.client.contracts.federation.roles.member import MemberBook, MemberMachine
from learningchain.client.contracts.federation.wishes import (
    PreviewWish,
    SponsorWish,
    StopWish,
    TrainedFederation,
    TrainWish,
    VaultWish,
    wish_in,
)
from learningchain.client.keys.tokens import Tokens, TokenScope, now_ms
from learningchain.client.sdk.types import UnreachableError
from learningchain.client.work.tries import Trial, TriedRun
from learningchain.p2p.content.cid import Codec, cid_of
from learningchain.sandbox import AnswerOutcome, OwnData, ParsedAnswer
from tests.unit.api_kit import TOKEN, Api, serving, sha
from tests.unit.federation_play import DIMS, HELPERS, FederationPlay, helpers_serve
from tests.unit.test_api_federations import SECOND, SMALL, opened, played, who

if TYPE_CHECKING:
    from learningchain.client.contracts.federation.http.schema import FederationQuote
    from learningchain.client.sdk.client import Client

Run = Callable[..., Awaitable[tuple[int, str, str]]]
SCHEMA = b'{"columns": [{"name": "age", "datatype": "INT64"}]}'


@pytest.fixture
async def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Api]:
    with capture_logs():  # else what the node logs of a request stands among what the command prints
        async with serving(tmp_path) as api:
            (tmp_path / "node").mkdir()
            (tmp_path / "node" / "api.token").write_text(TOKEN)
            monkeypatch.setenv("LEARNINGCHAIN_DATA", str(tmp_path / "node"))
            monkeypatch.setenv("LEARNINGCHAIN_API", api.url)
            helpers_serve(api.node.ledger)
            yield api


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    async def typed(*words: str | Path) -> tuple[int, str, str]:
        capsys.readouterr()
        code = await asyncio.to_thread(main, ["fed", *map(str, words)])
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return code, out, err

    return typed


@pytest.fixture
def shelf(api: Api) -> dict[str, OwnData]:
    """What this node keeps of its owner's data."""
    api.node.work.data["scans"] = own("scans")
    return api.node.work.data


def own(name: str, **notes: str) -> OwnData:
    return OwnData(name=name, digest=sha("files", name), size=2_048, files=3, notes=notes)


def initial(path: Path, dims: int = DIMS) -> Path:
    """A safetensors file of so many values."""
    header = json.dumps({"w": {"dtype": "F32", "shape": [dims], "data_offsets": [0, 4 * dims]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(4 * dims))
    return path


def words(tmp_path: Path, **changes: str) -> list[str]:
    given = {
        "--image": "registry.example/train@sha256:" + "ab" * 32,
        "--model": str(initial(tmp_path / "init.safetensors")),
        "--bounty": "100",
        "--target": "1",
        "--rounds": "3",
        "--ends": "1d",
        "--min-members": "2",
        "--cpus": "0.5",
        "--mem-mb": "256",
        "--eval-time": "10s",
    } | {f"--{name.replace('_', '-')}": value for name, value in changes.items()}
    return ["open", *(word for pair in given.items() for word in pair)]


# --- a sponsor ------------------------------------------------------------------------------------------------------------------


async def test_a_sponsor_sees_the_price_opens_starts_and_closes(api: Api, run: Run, tmp_path: Path) -> None:
    code, out, _ = await run(*words(tmp_path), "--dry-run")
    assert code == 0
    assert "bounty" in out and "could measure" in out
    code, out, err = await run(*words(tmp_path), "--json")
    assert code == 0, err
    federation = json.loads(out)["federation"]
    view = await api.get(f"/v1/federations/{federation}")
    assert (view["terms"]["model"]["dims"], view["terms"]["min_sum"], view["terms"]["secrecy"]) == (DIMS, 2, "sum")
    assert [path.name for path, _ in api.node.files.added] != [], "the model was uploaded"
    (wish,) = [wish_in(secret) for secret in api.node.work.secrets.all]
    assert isinstance(wish, SponsorWish)
    assert (wish.federation.hex(), wish.auto, wish.data, wish.hidden_key) == (federation, True, "", b"")
    assert Path(wish.initial).read_bytes() == (tmp_path / "init.safetensors").read_bytes()
    code, out, err = await run("start", "latest")
    assert (code, "initial model is measured" in out) == (0, True), err
    play = FederationPlay(api.node.ledger, federation)
    while play.state == "DRAW":
        api.node.ledger.block()
    play.measure(2 * SECOND)
    code, out, err = await run("start", federation[:10])
    assert code == 1 and "0 members are in, 2 are needed" in err
    code, _, err = await run("close", "latest")
    assert code == 0, err
    code, out, _ = await run("show", "latest")
    assert "CLOSED" in out and "the sponsor closed it" in out
    code, out, _ = await run("list", "--live", "--json")
    assert json.loads(out) == []


async def test_a_sponsor_admits_and_removes_by_name(api: Api, run: Run) -> None:
    federation = await opened(api, admit="approve")
    FederationPlay(api.node.ledger, federation).join("n1")
    assert (await run("admit", "latest", who(api, "n1")))[0] == 0
    code, out, _ = await run("members", "latest")
    assert code == 0 and who(api, "n1") in out and "is in" in out
    assert (await run("remove", "latest", who(api, "n1")))[0] == 0
    code, _, err = await run("remove", "latest", who(api, "n1"), "--json")
    assert (code, json.loads(err)["error"]["name"]) == (1, "NOT_A_MEMBER")
    code, _, err = await run("admit", "latest", "nobody")
    assert code == 2 and "neither an address" in err


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"ends": "soon"}, "--ends is a length of time"),
        ({"bounty": "none"}, "--bounty cannot be"),
        ({"image": "train:latest"}, "is not pinned"),
        ({"model": "nowhere"}, "there is no file"),
        ({"schema": "nowhere"}, "schema: there is no file"),
        ({"params": "[1]"}, "--params is a JSON object"),
        ({"params": '{"a": NaN}'}, "no JSON"),
        ({"params": '{"a": "' + "x" * 9000 + '"}'}, "8192"),
        ({"dp": "9"}, "--dp is noise"),
        ({"dp": "8", "min_members": "2"}, "times what it should find"),
        ({"dp": "0.2", "min_members": "3"}, "12 times what it should find"),
    ],
)
async def test_words_that_make_no_sense_are_said_before_anything_is_sent(
    api: Api, run: Run, tmp_path: Path, change: dict[str, str], said: str
) -> None:
    code, _, err = await run(*words(tmp_path, **change))
    assert (code, said in err) == (2, True), err
    assert api.node.files.added == []
    assert await api.get("/v1/federations") == []


@pytest.mark.parametrize(
    ("change", "name", "said"),
    [
        ({"rounds": "0"}, "BAD_TERMS", "rounds is 0"),
        ({"min_sum": "9"}, "BAD_TERMS", "min_sum"),
        ({"split": "aligned"}, "BAD_TERMS", "reference"),
        ({"rule": "median"}, "BAD_TERMS", "no rule"),
        ({"bounty": "1000000"}, "INSUFFICIENT_CREDITS", "free"),
    ],
)
async def test_what_the_rules_refuse_is_said_with_its_code_before_anything_is_uploaded(
    api: Api, run: Run, tmp_path: Path, change: dict[str, str], name: str, said: str
) -> None:
    code, _, err = await run(*words(tmp_path, **change), "--json")
    error = json.loads(err)["error"]
    assert (code, error["name"], said in error["message"]) == (1, name, True), error
    assert api.node.files.added == []


async def test_a_small_models_updates_are_open_where_nothing_is_said_and_the_command_says_it(
    api: Api, run: Run, tmp_path: Path
) -> None:
    for said, dims, secrecy in (("", DIMS, "sum"), ("open", DIMS, "open"), ("", 31, "open")):
        model = str(initial(tmp_path / f"{dims}.safetensors", dims))
        typed = words(tmp_path, model=model, **({"secrecy": said} if said else {}))
        code, out, err = await run(*typed, "--json")
        assert code == 0, err
        _, _, err = await run(*typed, "--dry-run")
        found = await api.get(f"/v1/federations/{json.loads(out)['federation']}")
        assert found["terms"]["secrecy"] == secrecy
        assert ("31 values, and --secrecy open is taken" in err) is (dims == 31)


@pytest.mark.parametrize(
    ("aggregators", "rows", "said"),
    [(6, 1_050, ()), (5, 1_050, ("5 nodes could add up",)), (3, 1_049, ("3 nodes could add up", "1,049 lines")), (6, None, ())],
)
def test_who_opens_for_a_small_model_is_told_what_is_too_little(
    tmp_path: Path, aggregators: int, rows: int | None, said: tuple[str, ...]
) -> None:
    """Of 21 values 1,050 hidden rows, and six that could aggregate."""
    path = tmp_path / "hidden{0}.csv"
    path.write_bytes(b"1,2\n" * (rows or 0))
    quote = cast("FederationQuote", {"secrecy": "sum", "aggregators": aggregators})
    told = said_of_secrecy(21, None, quote, None if rows is None else path, "--secrecy open")
    assert [text for text in ("nodes could add up", "lines") if text in told] == [text.split(" ", 1)[1] for text in said]
    assert all(text in told for text in said)


async def test_latest_is_an_own_one_and_for_who_joins_the_newest_that_lives(api: Api, run: Run, shelf: dict[str, OwnData]) -> None:
    code, _, err = await run("join", "latest", "scans", "--dry-run")
    assert code == 2 and "no federation that lives" in err
    play = await played(api)
    api.node.ledger.own = "n3"
    for words_ in (("join", "latest", "scans", "--dry-run"), ("show", "latest")):
        code, out, err = await run(*words_, "--json")
        assert code == 0 and play.id.hex() in out, err


async def test_a_federation_that_few_could_serve_is_refused_and_one_that_two_could_wants_to_be_forced(
    api: Api, run: Run, tmp_path: Path
) -> None:
    for force in ((), ("--force",)):
        code, _, err = await run(*words(tmp_path, cpus="900"), *force)
        assert code == 1 and "FEW_VERIFIERS" in err and "learningchain fed serve on" in err
    two: Any = {"refusal": None, "panel": 2, "aggregators": 2}
    assert "easily lied to" in too_few(two) and not too_few(two | {"panel": 3, "aggregators": 3})


# --- a data owner ---------------------------------------------------------------------------------------------------------------


async def test_an_owner_sees_what_leaves_and_agrees(
    api: Api, run: Run, shelf: dict[str, OwnData], monkeypatch: pytest.MonkeyPatch
) -> None:
    play = await played(api)
    api.node.ledger.own = "n3"
    code, out, err = await run("join", play.id.hex(), "scans", "--dry-run")
    assert code == 0, err
    for said in (
        "one file of 4.5 KiB, masked",
        "sums of at least 2 members",
        "64 numbers made of its 1,024",
        "scans: 3 files, 2.0 KiB",
        "2 of 4, 2 carry the verifier flag",
        "100 more",
        "no network",
        "three drawn of 4 verifiers each round",
        "Mind: only 4 verifiers can be drawn to add up",
        "Mind: a sum may be of two members",
        "Mind: there is no noise",
        "trains where 2 other members carry the verifier flag",
        "Mind: a round begins with 2 members, you among them, and this node waits until 2 others carry the verifier flag",
    ):
        assert said in " ".join(out.split()), said
    _, out, _ = await run("join", play.id.hex(), "scans", "--dry-run", "--min-vetted", "1")
    assert "a round begins with" not in out, "what is demanded can be had"
    code, _, err = await run("join", play.id.hex(), "scans")
    assert code == 2 and "There is no terminal to ask on" in err
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda _: "no")
    code, _, err = await run("join", play.id.hex(), "scans")
    assert code == 2 and "Nothing was sent" in err
    assert len(await api.get(f"/v1/federations/{play.id.hex()}/members")) == 2
    monkeypatch.setattr("builtins.input", lambda _: "yes")
    code, out, err = await run("join", play.id.hex(), "scans")
    assert code == 0 and "You are a member" in out and "leaves each round" in err
    members = await api.get(f"/v1/federations/{play.id.hex()}/members")
    assert members[2]["account"] == who(api, "n3")
    assert members[2]["digest"] != shelf["scans"].digest.hex()
    wish, vault = [wish_in(secret) for secret in api.node.work.secrets.all]
    assert wish == TrainWish(play.id, "scans", 2), "the node trains on them by itself from then on"
    assert vault == VaultWish(play.id, True, []) and "--no-vault" in out + err, "and it was told where its local model goes"
    code, _, err = await run("join", "latest", "scans", "--yes", "--json")
    assert (code, json.loads(err)["error"]["name"]) == (1, "ALREADY_MEMBER")
    shelf["later"] = own("later")
    assert (await run("data", "latest", "later"))[0] == 0
    assert (await run("leave", "latest"))[0] == 0
    assert wish_in(api.node.work.secrets.all[-1]) == StopWish(play.id)
    code, _, err = await run("leave", "latest", "--json")
    assert (code, json.loads(err)["error"]["name"]) == (1, "NOT_A_MEMBER")


async def test_data_are_held_against_the_posted_schema_first(api: Api, run: Run, shelf: dict[str, OwnData], tmp_path: Path) -> None:
    name = cid_of(Codec.RAW, SCHEMA)
    federation = await opened(api, schema=str(name))
    api.node.ledger.own = "n1"
    code, _, err = await run("join", federation, "scans", "--yes")
    assert code == 2 and f"fed schema {federation[:12]}" in err and "data add scans FOLDER --schema" in err
    api.node.files.put(SCHEMA)
    code, _, err = await run("schema", federation, "--out", tmp_path / "schema.json")
    assert code == 0, err
    assert (tmp_path / "schema.json").read_bytes() == SCHEMA
    shelf["scans"] = own("scans", schema="00" * 32)
    assert (await run("join", federation, "scans", "--yes"))[0] == 2
    shelf["scans"] = own("scans", schema=name.digest.hex())
    assert (await run("join", federation, "scans", "--yes"))[0] == 0


async def test_a_preview_trains_once_and_sends_nothing(
    api: Api, run: Run, shelf: dict[str, OwnData], monkeypatch: pytest.MonkeyPatch
) -> None:
    play = await played(api)
    api.node.ledger.own = "n3"
    height = api.node.ledger.height
    found = Measurement(sha("root"), 20 * SECOND // 2, 20)

    async def kept(secret: Any) -> None:
        """The node's work runs it at once."""
        api.node.work.secrets.all.append(secret)
        wish = wish_in(secret)
        assert isinstance(wish, PreviewWish)
        note = PreviewNote(wish.number, play.id, "scans", "" if slow else "ok", "", [] if slow else [found], 4_296)
        api.node.work.books[JOURNAL] = encode(JournalBook([], [note]))

    monkeypatch.setattr(api.node.work.secrets, "keep", kept)
    slow = False
    code, out, err = await run("join", play.id.hex(), "scans", "--preview")
    assert code == 0, err
    assert "nothing was sent" in out and "0.500000000 of 20 examples" in out and "4.5 KiB" in out
    assert (api.node.ledger.height, len(await api.get(f"/v1/federations/{play.id.hex()}/members"))) == (height, 2)
    slow = True
    monkeypatch.setattr("learningchain.client.contracts.federation.http.member_api.HOLD_S", 0.05)
    begun = await api.post(f"/v1/federations/{play.id.hex()}/preview", {"data": "scans"})
    assert begun["state"] == "running"
    again = await api.post(f"/v1/federations/{play.id.hex()}/preview", {"number": begun["number"]})
    assert again == begun
    failed = PreviewNote(bytes.fromhex(begun["number"]), play.id, "scans", "failed", "it ended with 64", [], 0)
    api.node.work.books[JOURNAL] = encode(JournalBook([], [failed]))
    over = await api.post(f"/v1/federations/{play.id.hex()}/preview", {"number": begun["number"]})
    assert (over["state"], over["reason"]) == ("failed", "it ended with 64")
    unknown = (await api.post(f"/v1/federations/{play.id.hex()}/preview", {"number": "ab" * 32}, 404))["error"]
    assert unknown["name"] == "NO_PREVIEW"
    both = (await api.post(f"/v1/federations/{play.id.hex()}/preview", {}, 400))["error"]
    assert "exactly one of data and number" in both["message"]


async def test_an_owner_reads_its_own_part_and_nobody_elses_token_does(api: Api, run: Run, tmp_path: Path) -> None:
    play = await played(api)
    loss = Measurement(sha("root"), 20 * SECOND // 4, 20)
    notes = [
        AttemptNote(2, 1, True, 4_596, 3, 4_296, FileCode.USED, 0, [loss], ""),
        AttemptNote(3, 1, False, 0, 0, 4_296, 0, 0, [], "local failed: it ended with 75"),
        AttemptNote(4, 1, True, 4_596, 3, 4_296, FileCode.WRONG, 0, [], ""),
    ]
    api.node.work.books[JOURNAL] = encode(JournalBook([FederationNotes(play.id, notes, [])], []))
    api.node.work.books[MemberMachine.name] = encode(MemberBook([TrainedFederation(play.id, "scans", 2)], NO_UPDATES))
    code, out, err = await run("mine", play.id.hex())
    assert code == 0, err
    for said in ("trains on scans", "2 others carry", "26.9 KiB", "used", "refused, WRONG", "local failed", "0.250000000 of 20"):
        assert said in out, said
    with closing(Tokens(tmp_path / "tokens.db")) as tokens:
        _, posts = tokens.new(TokenScope.POST, most=None, days=None, label="posts", now=now_ms())
    status, _ = await api.call("GET", f"/v1/federations/{play.id.hex()}/own", token=posts)
    assert status == 403, "losses on own data are the owner's"


async def test_an_owner_of_a_small_model_is_told_that_it_waits(api: Api, run: Run) -> None:
    cells: dict[str, Any] = {name: ServeCells(True) for name in HELPERS}
    assert set(api.node.ledger.block(**cells)) == {0}
    play = FederationPlay(api.node.ledger, await opened(api, **SMALL, admit="open"))
    api.node.ledger.own = "n3"
    play.join("n3")
    api.node.work.books[MemberMachine.name] = encode(MemberBook([TrainedFederation(play.id, "scans", 2)], NO_UPDATES))
    code, out, err = await run("mine", play.id.hex())
    assert code == 0, err
    assert "waits the first round takes 3 members, 3 of them with the verifier flag, now 1," in " ".join(
        out.replace("  ", " ").split()
    )


async def test_a_program_outside_the_owners_list_is_named_before_anybody_is_asked(
    api: Api, run: Run, shelf: dict[str, OwnData], monkeypatch: pytest.MonkeyPatch
) -> None:
    play = await played(api, admit="open")
    api.node.ledger.own = "n3"
    listed = {"federation.images": {"value": ["sha256:" + "00" * 32], "source": "file"}}
    monkeypatch.setattr(api.node, "config", lambda: listed)
    code, out, _ = await run("join", play.id.hex(), "scans", "--dry-run")
    assert code == 0 and "NOT on this node's list" in " ".join(out.split())
    code, _, err = await run("join", play.id.hex(), "scans", "--yes")
    assert code == 2 and "Nothing was sent: the program sha256:" in err and not api.node.work.secrets.all


async def test_a_node_says_that_it_serves(api: Api, run: Run) -> None:
    code, _, err = await run("serve", "on", "--json")
    assert (code, json.loads(err)["error"]["name"]) == (1, "BAD_BOXES")
    api.node.ledger.own = "n1"
    assert "serves federations" in (await run("serve"))[1]
    account = cast("dict[str, Any]", await api.get(f"/v1/accounts/{who(api, 'n1')}"))
    assert drawn_from_now(account) == "This node may be drawn from now on."
    assert "sandbox is ready" in drawn_from_now(account | {"capacity": None})
    assert "propose verifier ACCOUNT on" in drawn_from_now(account | {"verifier": False})
    assert (await run("serve", "off"))[0] == 0
    assert "no federations" in (await run("serve", "show"))[1]


async def test_the_best_model_is_offered_and_its_owners_share_the_royalty(api: Api, run: Run) -> None:
    play = await played(api, (2 * SECOND - SECOND // 4, ()))
    path = f"/v1/federations/{play.id.hex()}"
    offer = {"name": "risk", "kind": "number", "price": "0.001", "row_ms": 20, "max_rows": 16}
    assert (await api.post(f"{path}/deploy", offer, 409))["error"]["name"] == "NOT_ENDED"
    await api.post(f"{path}/close?wait=10", None)
    api.node.ledger.own = "n1"
    assert (await api.post(f"{path}/deploy", offer, 409))["error"]["name"] == "NOT_SPONSOR"
    api.node.ledger.own = "boss"
    useless = offer | {"schema": {"cid": api.node.files.put(b"{}"), "size": 2}}
    assert (await api.post(f"{path}/deploy", useless, 400))["error"]["name"] == "BAD_SCHEMA"
    line = ["--name", "risk", "--kind", "number", "--price", "0.001", "--row-time", "20ms", "--max-rows", "16"]
    code, out, err = await run("deploy", "latest", *line)
    assert code == 0, err
    assert out.count("50.00 %") == 2 and who(api, "n1") in out
    (model,) = await api.get("/v1/models")
    found = await api.get(f"/v1/models/{model['id']}")
    best = (await api.get(path))["best_model"]
    assert (found["model"], found["name"], found["price"]) == (best, "risk", "0.001")
    assert found["source"] == play.id.hex(), "the ledger took the program from the federation"
    assert {one["account"] for one in found["shares"]} == {who(api, "n1"), who(api, "n2")}
    assert len({one["weight"] for one in found["shares"]}) == 1


POSTED = b'{"columns": [{"name": "age", "datatype": "INT64"}, {"name": "truth", "datatype": "FP64"}]}'
LINE = ["deploy", "latest", "--name", "risk", "--kind", "number"]


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The models whose sample was put to a sandbox of this machine, which is none here: it answers 1.5."""
    asked: list[dict[str, Any]] = []
    answer = ParsedAnswer(classes=(), scores=(1_500_000_000,), check=1_500_000_000)
    one = TriedRun(outcome=AnswerOutcome.OK, reason="", answer=answer, ready_s=1, answer_s=1, log_tail="")

    async def trial_of(_node: Any, _common: Any, model: dict[str, Any], _rows: bytes) -> Trial:
        asked.append(model)
        return Trial(runs=(one, one))

    monkeypatch.setattr("learningchain.client.contracts.prediction.cli.samples.trial_of", trial_of)
    return asked


async def test_what_is_offered_has_the_posted_columns_a_sample_that_was_tried_and_an_older_model(
    api: Api, run: Run, tmp_path: Path, tried: list[dict[str, Any]]
) -> None:
    play = await played(api, (2 * SECOND - SECOND // 4, ()), schema=api.node.files.put(POSTED))
    (tmp_path / "rows.jsonl").write_text("[40]\n")
    sample = ["--sample", tmp_path / "rows.jsonl"]
    path = f"/v1/federations/{play.id.hex()}"
    for own, said in (("boss", "has not ended"), ("n1", "Its sponsor offers the model")):
        api.node.ledger.own = own
        code, _, err = await run(LINE[0], play.id.hex(), *LINE[2:], *sample)
        assert code == 2 and said in err and not tried and not api.node.files.added, "nothing is run or uploaded for who may not"
        api.node.ledger.own = "boss"
        if own == "boss":
            await api.post(f"{path}/close?wait=10", None)
    code, _, err = await run(*LINE)
    assert code == 0 and "--label COLUMN takes the others" in err
    (first,) = await api.get("/v1/models")
    code, _, err = await run(*LINE, *sample, "--label", "truth", "--previous", "risk")
    assert code == 0, err
    newest = (await api.get("/v1/models"))[0]
    found = await api.get(f"/v1/models/{newest['id']}")
    assert found["previous"] == first["id"]
    files = {name: (api.node.files.folder / found[name]).read_bytes() for name in ("schema", "sample", "sample_answers")}
    assert files.pop("schema") == b'{"inputs":[{"name":"age","datatype":"INT64"}]}'
    assert files == {"sample": b"[40]\n", "sample_answers": b"1.500000000\ncheck 1.500000000\n"}
    (model,) = tried
    for name in ("image", "model", "params", "cpus_milli", "mem_mb", "tmp_mb", "threads"):
        assert model[name] == found[name], name


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--label", "age"], "--label: this federation posted no schema"),
        (["--label", "age", "--schema", "FILE"], "give one of them"),
        (["--schema", "nowhere"], "--schema: there is no file"),
        (["--sample-answers", "FILE"], "give both"),
        (["--schema", "FILE"], "the schema is not valid: Object missing required field `inputs`"),
    ],
)
async def test_an_offer_that_nobody_could_ask_is_refused_before_it_is_sent(
    api: Api, run: Run, tmp_path: Path, words: list[str], said: str
) -> None:
    play = await played(api, (2 * SECOND - SECOND // 4, ()))
    await api.post(f"/v1/federations/{play.id.hex()}/close?wait=10", None)
    (tmp_path / "file").write_text("{}")
    code, _, err = await run(*LINE, *(tmp_path / "file" if word == "FILE" else word for word in words))
    assert (code, said in err) == (2, True), err
    assert await api.get("/v1/models") == []


@pytest.mark.parametrize("away", [False, True])
async def test_who_watches_sees_what_is_fetched_for_the_federation(away: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    ref, other, asked = "ab" * 32, "cd" * 32, asyncio.Event()

    def transfer(of: str) -> Any:
        why = {"what": "file of a round", "of": None, "ref": of, "until": None}
        return {"cid": f"cid-{of[:2]}", "done": 10 * 2**20, "size": 40 * 2**20, "rate": 2**20, "left_s": 30, "kept_for": [why]}

    class Node:
        fails = away

        async def transfers(self) -> list[Any]:
            if self.fails:
                self.fails = False
                raise UnreachableError("away for a while")
            asked.set()
            return [transfer(other), transfer(ref)]

    monkeypatch.setattr(watching, "COMING_S", 0.0)
    story = watching.Story("own", verbose=False)
    assert "being fetched" not in rendered(watching.display(story))
    with watching.transfers_in(cast("Client", Node()), ref, story):
        await asyncio.wait_for(asked.wait(), 30)
        while not story.coming:
            await asyncio.sleep(0)
    shown = rendered(watching.display(story))
    assert all(word in shown for word in ("being fetched", "file of a round", "cid-ab", "10.0 MiB of 40.0 MiB", "1.0 MiB/s"))
    assert "cid-cd" not in shown


def test_who_watches_reads_accounts_and_no_program_s_list() -> None:
    event = cast("Any", {"topic": "fed.cell", "data": {"cell": 1, "members": ["lc1a", "lc1b (you)"]}})
    line = watching.Story("own", verbose=False).take(event).line
    assert line is not None and line.startswith("cell 1 is drawn: lc1a, lc1b (you); ")


def rendered(parts: list[Any]) -> str:
    console = Console(width=200, file=StringIO())
    console.print(*parts)
    return cast("StringIO", console.file).getvalue()
