"""`invite`, `leave`, `join`: what is asked of the node, what people are told, and what a machine that joins leaves behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from learningchain.chain.crypto import SigningKey, address
from learningchain.client import config
from learningchain.client.contracts.membership.cli import entry
from learningchain.client.contracts.membership.http import joining
from learningchain.client.contracts.membership.http.token import JoinToken, to_text, token_digest
from learningchain.client.contracts.membership.statements import JOIN, join_body
from learningchain.client.daemon import start
from learningchain.client.keys.keystore import Keystore
from learningchain.client.keys.statements import Speaker, statement_digest
from learningchain.client.node import process
from learningchain.client.signer import pairing
from tests.unit.client_fake_api import OWN, Fake
from tests.unit.ledger_kit import id_of, key_of
from tests.unit.test_membership_joining import FILE, GENESIS, OTHER, TOKEN

pytest_plugins = ["tests.unit.client_cli_kit"]
WORD = "correct horse battery"
FINAL = {"tx": "ab" * 32, "status": "final", "height": 7, "index": 0, "code": 0, "code_name": "OK", "events": []}
PENDING = {"tx": "ab" * 32, "status": "pending"}
DAY = 24 * 3_600_000


def invitation(i: int, state: str = "open", **changed: Any) -> dict[str, Any]:
    return {
        "invitation": f"{i:02x}" * 32,
        "state": state,
        "until": 1_700_000_060_000,
        "credits": "2",
        "counts": True,
        **changed,
    }


# --- invite -------------------------------------------------------------------------------------------------------------------


def test_an_invitation_is_asked_for_as_typed_and_printed_as_one_line(api: Fake, run: Any) -> None:
    api.answers["POST /v1/invitations"] = FINAL | {"token": "lcjoin1" + "x" * 300, "invitation": "ab" * 32, "expires": 1}
    words = ("invite", "--credits", "2.5", "--expires", "2h", "--address", "a.example:7400", "--address", "b.example:7400")
    ran = run(*words)
    assert ran.code == 0 and ran.out == "lcjoin1" + "x" * 300 + "\n", "to be copied whole"
    assert api.bodies("POST", "/v1/invitations") == [
        {"credits": "2.5", "lasts_ms": 7_200_000, "addresses": ["a.example:7400", "b.example:7400"]}
    ]
    assert "learningchain join TOKEN" in ran.err and "2 h" in ran.err
    assert f"Take it back: learningchain invite revoke {'ab' * 8}\n" in ran.err
    assert run("invite", "--json").json["token"].startswith("lcjoin1")
    assert api.bodies("POST", "/v1/invitations")[1] == {"credits": "0", "lasts_ms": DAY, "addresses": []}


def test_an_invitation_is_taken_back_by_its_first_characters(api: Fake, run: Any) -> None:
    api.answers["GET /v1/invitations"] = [invitation(1), invitation(2), invitation(3, invitation="02" * 31 + "ff")]
    api.answers["POST /v1/revocations"] = FINAL
    for given, said in (("01" * 3, "too short"), ("0101010", "too short"), ("02" * 8, "2 of this node's"), ("ff" * 8, "no such")):
        ran = run("invite", "revoke", given)
        assert ran.code == 2 and said in ran.err
    assert api.bodies("POST", "/v1/revocations") == []
    ran = run("invite", "revoke", "01" * 4)
    assert ran.code == 0 and "is refused" in ran.out
    assert run("invite", "revoke", "02" * 31 + "ff", "--json").json == FINAL
    assert [one["invitation"] for one in api.bodies("POST", "/v1/revocations")] == ["01" * 32, "02" * 31 + "ff"]


# --- leave --------------------------------------------------------------------------------------------------------------------


def standing(api: Fake, *, validator: bool, **changed: Any) -> None:
    api.answers["GET /v1/status"] = api.answers["GET /v1/status"] | {"validator": validator}
    own = {"locked": "0", "frozen": "0", "verifier": False} | changed
    api.answers[f"GET /v1/accounts/{OWN}"] = api.answers[f"GET /v1/accounts/{OWN}"] | own
    api.answers["GET /v1/invitations"] = []


def test_leaving_says_what_is_open_and_sends_nothing_before_it_is_meant(api: Fake, run: Any) -> None:
    standing(api, validator=False, locked="3", frozen="1.5", verifier=True)
    api.answers["GET /v1/invitations"] = [invitation(1), invitation(2), invitation(3, "used")]
    ran = run("leave", "--json").json
    assert ran["left"] is False and len(ran["follows"]) == 3
    assert [text[:26] for text in ran["open"]] == [
        "3 credits are locked in st",
        "1.5 credits are frozen by ",
        "2 open invitations end, an",
        "It verifies: seats that it",
    ]
    shown = run("leave")
    assert "leave --yes" in shown.err and "3 credits are locked" in " ".join(shown.out.split())
    assert not any(method == "POST" for method, *_ in api.seen)


def test_leaving_is_said_when_it_is_final_and_not_before(api: Fake, run: Any) -> None:
    standing(api, validator=False)
    api.answers["POST /v1/leave"] = FINAL
    ran = run("leave", "--yes")
    assert ran.code == 0 and ran.out.startswith("Left.\n") and run("leave", "--yes", "--json").json["left"] is True
    api.answers["POST /v1/leave"] = PENDING
    assert run("leave", "--yes", "--wait", "0").out.startswith("Leaving.\n")
    assert run("leave", "--yes", "--wait", "0", "--json").json["left"] is False


# --- join ---------------------------------------------------------------------------------------------------------------------


def signed(**changed: Any) -> str:
    token = replace(TOKEN, **changed)
    return to_text(replace(token, signature=key_of("v1").sign(token_digest(token))))


class Graph:
    """What answers a newcomer."""

    def __init__(self) -> None:
        self.genesis = FILE
        self.fetched = 0
        self.entered: list[tuple[JoinToken, bytes, bytes]] = []
        self.ran: list[tuple[Path, str | None]] = []

    async def fetch(self, token: JoinToken) -> Any:
        self.fetched += 1
        return joining.genesis_in(self.genesis, token.chain_id), self.genesis

    async def enter(self, token: JoinToken, own: bytes, signature: bytes, *, within_s: float, told: Any, doubt: Any) -> int:
        told()
        self.entered.append((token, own, signature))
        return 41


@pytest.fixture
def graph(monkeypatch: pytest.MonkeyPatch, run: Any) -> Graph:
    made = Graph()
    monkeypatch.setattr(joining, "fetch_genesis", made.fetch)
    monkeypatch.setattr(joining, "enter", made.enter)
    monkeypatch.setattr(process, "guard", lambda *_: None)
    monkeypatch.setattr(entry, "_tell_when_synced", lambda *_: None)
    monkeypatch.setattr(start, "run", lambda data, word: (made.ran.append((data, word)), 0)[1])
    monkeypatch.setenv("LEARNINGCHAIN_PASSPHRASE", WORD)
    return made


def test_a_machine_that_has_nothing_joins_and_runs(run: Any, graph: Graph, tmp_path: Path) -> None:
    data = tmp_path / "deep" / "new"
    settings = ("--name", "lab", "--listen", "0.0.0.0:7401", "--advertise", "me.example:7401", "--work")
    ran = run("join", signed(), "--data", data, *settings)
    assert ran.code == 0, ran.err
    own = Keystore.open(data / "keystore.json", WORD)
    ((token, public, signature),) = graph.entered
    assert (token.chain_id, public) == (GENESIS.chain_id, own.key.public)
    body = join_body(GENESIS.chain_id, TOKEN.key.public, own.key.public)
    speaker = Speaker(GENESIS.chain_id, own.id, own.key.public)
    assert signature == own.key.sign(statement_digest(JOIN, body, speaker))
    made = config.load(data).config
    assert (made.name, made.network.listen, made.work.enabled) == ("lab", "0.0.0.0:7401", True)
    assert list(made.network.advertise) == ["me.example:7401"]
    assert list(made.network.peers) == [f"127.0.0.1:740{n}" for n in range(3)], "those of the token"
    assert made.sync.trusted == f"{TOKEN.height}-{TOKEN.block_id.hex()}"
    assert (data / "genesis.json").read_bytes() == FILE and data.stat().st_mode & 0o777 == 0o700
    assert graph.ran == [(data, WORD)]
    for told in ("Join sent: it waits for its block", f"Admitted: {own.address} (you) is a member as of block 41", "new: back up"):
        assert told in ran.err


def test_a_join_goes_on_where_it_failed(run: Any, graph: Graph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tmp_path / "new"
    with monkeypatch.context() as away:

        async def nobody(*_: Any, **__: Any) -> int:
            raise joining.Unanswered("nobody answered")

        away.setattr(joining, "enter", nobody)
        assert run("join", signed(), "--data", data).code != 0
    own = Keystore.open(data / "keystore.json", WORD)
    ran = run("join", signed(), "--data", data, "--no-run", "--json")
    assert ran.code == 0 and ran.json["address"] == own.address, "the same identity"
    assert graph.fetched == 1 and graph.ran == [] and ran.json["height"] == 41
    assert (ran.json["network"], ran.json["chain_id"]) == ("test", GENESIS.chain_id.hex())
    ran = run("join", signed(), "--data", data, "--no-run")
    assert "which is here already" in ran.err and "learningchain node" in ran.err


def test_a_folder_of_another_network_joins_none(run: Any, graph: Graph, tmp_path: Path) -> None:
    data = tmp_path / "new"
    data.mkdir()
    (data / "genesis.json").write_bytes(OTHER)
    ran = run("join", signed(), "--data", data)
    assert ran.code == 2 and "another network already" in ran.err and not graph.entered and not graph.ran
    assert (data / "genesis.json").read_bytes() == OTHER


def test_a_genesis_of_another_network_is_not_installed(run: Any, graph: Graph, tmp_path: Path) -> None:
    graph.genesis = OTHER
    assert run("join", signed(), "--data", tmp_path / "new").code != 0
    assert not (tmp_path / "new" / "genesis.json").exists() and graph.entered == []


@pytest.mark.parametrize("more", [["--listen", "nowhere"], ["--api-listen", "x"], ["--advertise", "no port"]])
def test_a_join_with_a_setting_that_cannot_be_makes_nothing(run: Any, graph: Graph, tmp_path: Path, more: list[str]) -> None:
    assert run("join", signed(), "--data", tmp_path / "new", *more).code == 2
    assert not (tmp_path / "new").exists() and graph.fetched == 0


def test_a_token_may_come_from_the_environment_and_one_that_is_none_is_told(
    run: Any, graph: Graph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = run("join", "--data", tmp_path / "new")
    assert ran.code == 2 and "set LEARNINGCHAIN_TOKEN" in ran.err
    ran = run("join", signed()[:-1], "--data", tmp_path / "new")
    assert ran.code == 2 and "This token cannot be used" in ran.err and not (tmp_path / "new").exists()
    monkeypatch.setenv("LEARNINGCHAIN_TOKEN", signed())
    assert run("join", "--data", tmp_path / "new", "--no-run").code == 0
    ran = run("join", signed(network="other"), "--data", tmp_path / "second", "--no-run")
    assert ran.code == 0 and "to the network other" in ran.err, "what is typed goes before"


def test_a_signer_s_folder_joins_with_the_signer_s_signature(
    run: Any, graph: Graph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, key = tmp_path / "new", SigningKey(b"\5" * 32)
    data.mkdir()
    found = pairing.make("unix:/s", "unix:/s", address(id_of("who")), key.public, 1_700_000_000.0)[1]
    (data / pairing.FILE).touch(0o600)
    (data / pairing.FILE).write_bytes(pairing.encoded(found))
    asked: list[tuple[str, bytes]] = []

    class Signer:
        def __init__(self, given: Any, chain_id: bytes) -> None:
            assert (given, chain_id) == (found, GENESIS.chain_id)

        async def start(self, patience_s: float) -> bool:
            return True

        async def statement(self, domain: str, body: bytes) -> bytes:
            asked.append((domain, body))
            return b"s" * 64

        async def stop(self) -> None:
            asked.append(("stopped", b""))

    monkeypatch.setattr("learningchain.client.signer.remote.RemoteSigner", Signer)
    ran = run("join", signed(), "--data", data, "--no-run")
    assert ran.code == 0 and "lies with the signer at unix:/s" in ran.err and not (data / "keystore.json").exists()
    assert asked == [(JOIN, join_body(GENESIS.chain_id, TOKEN.key.public, key.public)), ("stopped", b"")]
    assert [(own, signature) for _, own, signature in graph.entered] == [(key.public, b"s" * 64)]
    Keystore.create(data / "keystore.json", WORD)
    ran = run("join", signed(), "--data", data, "--no-run")
    assert ran.code == 2 and "Remove one of both" in ran.err


def test_a_signer_s_machine_gets_the_network_s_file_and_uses_no_token_up(run: Any, graph: Graph, tmp_path: Path) -> None:
    ran = run("genesis", "fetch", signed(), "--data", tmp_path / "none")
    assert ran.code == 2 and "There is no data folder" in ran.err
    (tmp_path / "new").mkdir()
    ran = run("genesis", "fetch", signed(), "--data", tmp_path / "new", "--json")
    assert ran.code == 0 and ran.json["chain_id"] == GENESIS.chain_id.hex()
    assert (tmp_path / "new" / "genesis.json").read_bytes() == FILE and graph.entered == []
