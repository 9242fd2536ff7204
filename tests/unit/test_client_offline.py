"""Three machines: one asks a node and writes a transaction, one without network signs it, one submits it. Nobody can change it."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import msgspec
import pytest

from learningchain.chain.contracts import MESSAGES
from learningchain.chain.contracts.credits import Transfer
from learningchain.chain.crypto import verify
from learningchain.chain.ledger.tx import parse_tx
from learningchain.chain.types import body_bytes, tx_digest
from learningchain.client.keys.keystore import Keystore
from learningchain.client.receipts.offline import OfflineError, TxFile, content, described, read, signed, unsigned, write
from learningchain.client.receipts.typed_messages import message_of
from tests.unit.client_fake_api import CHAIN, OTHER, OWN, TX, Fake

pytest_plugins = ["tests.unit.client_cli_kit"]

WORD = "correct horse battery"
CHAIN_ID = bytes.fromhex(CHAIN)


@pytest.fixture
def cold(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with a keystore and nothing else; from its first use on, no socket can be made."""
    monkeypatch.setenv("LEARNINGCHAIN_PASSPHRASE", WORD)
    (tmp_path / "cold").mkdir()
    Keystore.create(tmp_path / "cold" / "keystore.json", WORD)
    return tmp_path / "cold"


def a_file(cold: Path, op: Any = None, until: int = 5_007) -> TxFile:
    own = Keystore.public(cold / "keystore.json").id
    return unsigned("test", CHAIN_ID, own, [4, 0, 0, 0], until, op or Transfer(bytes(20), 2_500_000, b"for lunch"))


def test_made_at_a_node_signed_without_network_submitted_at_a_node(
    api: Fake, run: Any, cold: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = Keystore.public(cold / "keystore.json").address
    api.answers[f"GET /v1/accounts/{own}"] = dict(api.answers[f"GET /v1/accounts/{OWN}"], id=own)
    path, out = tmp_path / "pay.json", tmp_path / "pay.signed.json"
    made = run("tx", "make", path, "Transfer", f"target={OTHER}", "amount=2.5", "memo=for lunch", "--from", own, "--json")
    assert made.code == 0, made.err
    assert made.json["messages"] == [{"type": "Transfer", "target": OTHER, "amount": "2.5", "memo": "for lunch"}]
    assert (made.json["sender"], made.json["sequence"], made.json["valid_until"]) == (own, 0, 7 + 50_000)

    assert made.json["lane"] == 2, "where the account's own node takes no sequence"
    words = ["Transfer", f"target={OTHER}", "amount=1", "memo=", "--from", own]
    assert run("tx", "make", tmp_path / "second.json", *words, "--ahead", "1", "--json").json["sequence"] == 1
    for ahead in ("1000", "-1"):
        refused = run("tx", "make", tmp_path / "third.json", *words, "--ahead", ahead)
        assert refused.code == 2 and "--ahead" in refused.err and not (tmp_path / "third.json").exists()

    bare = run("tx", "make", tmp_path / "bare.json", "Transfer", f"target={OTHER}", "amount=1", "--from", own, "--json")
    assert bare.json["messages"][0]["memo"] == "", "what is for the parties alone need not be said"
    ran = run("tx", "make", tmp_path / "bare.json", *words)
    assert ran.code == 2 and "exists already" in ran.err and "--force" not in ran.err, "there is no such option here"

    with monkeypatch.context() as offline:
        offline.setattr(socket, "socket", _no_network)
        offline.delenv("LEARNINGCHAIN_API")
        shown = run("tx", "sign", path, "--data", cold, "--yes")
    assert shown.code == 0, shown.err
    assert all(word in shown.out for word in (OTHER, "amount=2.5", "memo=for lunch", "block 50007", own))

    done = run("tx", "submit", out, "--json", "--wait", "0")
    assert done.code == 0 and done.json["tx"] == TX
    (sent,) = api.bodies("POST", "/v1/tx")
    tx = parse_tx(bytes.fromhex(sent["raw"]))
    key = Keystore.public(cold / "keystore.json").public_key
    assert verify(key, tx_digest(CHAIN_ID, body_bytes(tx.raw)), tx.signature)
    assert tx.ops[0].amount == 2_500_000


def _no_network(*_: Any, **__: Any) -> Any:
    raise AssertionError("signing opened a socket")


def test_nothing_is_signed_before_somebody_said_yes(run: Any, cold: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pay.json").write_bytes(write(a_file(cold)))
    ran = run("tx", "sign", tmp_path / "pay.json", "--data", cold)
    assert ran.code == 2 and "--yes" in ran.err
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    asked: list[str] = []
    monkeypatch.setattr("builtins.input", lambda text: (asked.append(text), "no")[1])
    ran = run("tx", "sign", tmp_path / "pay.json", "--data", cold)
    assert ran.code == 2 and "Nothing was signed" in ran.err and len(asked) == 1
    assert "amount=2.5" in ran.out, "what it says comes before the question"
    assert not (tmp_path / "pay.signed.json").exists()


@pytest.mark.parametrize("said", ["", " ", "y", "ye", "yess", "yes please", "nein"])
def test_only_the_word_yes_signs(run: Any, cold: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    """Who only presses Enter, or begins a word, has agreed to nothing."""
    (tmp_path / "pay.json").write_bytes(write(a_file(cold)))
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda _: said)
    ran = run("tx", "sign", tmp_path / "pay.json", "--data", cold)
    assert ran.code == 2 and "Nothing was signed" in ran.err
    assert not (tmp_path / "pay.signed.json").exists()


def test_what_is_shown_is_what_is_signed(cold: Path) -> None:
    """Nothing beside the bytes counts, and the bytes say one thing."""
    file = a_file(cold)
    done = signed(file, Keystore.open(cold / "keystore.json", WORD))
    before, after = described(file), described(done)
    assert before == after
    assert content(done).body == content(file).body


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda f: msgspec.structs.replace(f, chain_id="cd" * 32), "another network"),
        (lambda f: msgspec.structs.replace(f, raw=f.raw[:-2]), "no transaction"),
        (lambda f: msgspec.structs.replace(f, raw=""), "no transaction"),
        (lambda f: msgspec.structs.replace(f, version=2), "version 2"),
    ],
)
def test_a_changed_file_is_refused(cold: Path, tmp_path: Path, edit: Any, said: str) -> None:
    (tmp_path / "pay.json").write_bytes(write(edit(a_file(cold))))
    with pytest.raises(OfflineError, match=said):
        read(tmp_path / "pay.json")


def test_another_identity_does_not_sign_and_nothing_is_signed_twice(cold: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = Keystore.create(tmp_path / "other" / "keystore.json", WORD)
    with pytest.raises(OfflineError, match="this keystore is"):
        signed(a_file(cold), other)
    own = Keystore.open(cold / "keystore.json", WORD)
    with pytest.raises(OfflineError, match="signed already"):
        signed(signed(a_file(cold), own), own)


def test_what_is_not_signed_or_of_another_network_is_not_submitted(api: Fake, run: Any, cold: Path, tmp_path: Path) -> None:
    (tmp_path / "pay.json").write_bytes(write(a_file(cold)))
    ran = run("tx", "submit", tmp_path / "pay.json")
    assert ran.code == 2 and "is not signed" in ran.err
    foreign = unsigned("other", bytes(32), Keystore.public(cold / "keystore.json").id, [0] * 4, 10, Transfer(bytes(20), 1, b""))
    done = signed(foreign, Keystore.open(cold / "keystore.json", WORD))
    (tmp_path / "foreign.json").write_bytes(write(done))
    ran = run("tx", "submit", tmp_path / "foreign.json")
    assert ran.code == 2 and "this node is on" in ran.err


# --- what is typed ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "fields", "said"),
    [
        ("Transfr", {}, 'did you mean "Transfer"'),
        ("Transfer", {"target": OTHER}, "lacks amount"),
        ("Transfer", {"target": OTHER, "amount": "1", "memo": "", "fee": "1"}, "no field fee"),
        ("Transfer", {"target": "nobody", "amount": "1", "memo": ""}, "target: "),
        ("Transfer", {"target": OTHER[:-1] + "q", "amount": "1", "memo": ""}, "target: .*typing mistake"),
        ("Transfer", {"target": OTHER, "amount": "-1", "memo": ""}, "amount: "),
        ("Transfer", {"target": OTHER, "amount": "1", "memo": "x" * 65}, "cannot be like this"),
        ("Claim", {"job": "zz"}, "lacks"),
    ],
)
def test_what_makes_no_message_is_refused_by_its_field(name: str, fields: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        message_of(name, fields)


def test_every_message_of_every_contract_names_what_it_lacks() -> None:
    """Whatever a contract brings can be tried: it answers with its own fields."""
    for kind in MESSAGES:
        if any(field.required for field in msgspec.structs.fields(kind)):
            with pytest.raises(ValueError, match="lacks"):
                message_of(kind.__name__, {})


# --- the keystore's commands ---------------------------------------------------------------------------------------


def test_an_identity_goes_to_another_machine_and_gets_another_passphrase(
    run: Any, cold: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEARNINGCHAIN_NEW_PASSPHRASE", "for the journey")
    copy, there = tmp_path / "alice.key", tmp_path / "there"
    ran = run("keystore", "export", copy, "--data", cold, "--json")
    assert ran.code == 0, ran.err
    assert copy.stat().st_mode & 0o777 == 0o600
    own = Keystore.open(cold / "keystore.json", WORD)
    assert Keystore.open(copy, "for the journey").key.secret == own.key.secret
    assert run("keystore", "export", copy, "--data", cold).code == 2, "nothing is overwritten"

    monkeypatch.setenv("LEARNINGCHAIN_PASSPHRASE", "for the journey")
    monkeypatch.setenv("LEARNINGCHAIN_NEW_PASSPHRASE", "the new machine's")
    ran = run("keystore", "import", copy, "--data", there, "--json")
    assert ran.code == 0, ran.err
    assert ran.json["address"] == own.address
    assert Keystore.open(there / "keystore.json", "the new machine's").id == own.id
    ran = run("keystore", "import", copy, "--data", there)
    assert ran.code == 2 and "already" in ran.err
    assert run("keystore", "import", copy, "--data", cold).code == 2

    monkeypatch.setenv("LEARNINGCHAIN_PASSPHRASE", "the new machine's")
    monkeypatch.setenv("LEARNINGCHAIN_NEW_PASSPHRASE", "changed since then")
    assert run("keystore", "passphrase", "--data", there).code == 0
    assert Keystore.open(there / "keystore.json", "changed since then").id == own.id
    ran = run("keystore", "passphrase", "--data", there)
    assert ran.code == 2 and "Wrong passphrase" in ran.err


# --- which network, and what is typed ------------------------------------------------------------------------------------------


def test_a_folder_of_one_network_signs_for_no_other(run: Any, cold: Path, tmp_path: Path) -> None:
    key = Keystore.public(cold / "keystore.json").public_key.hex()
    path, own = tmp_path / "pay.json", Keystore.public(cold / "keystore.json").id
    path.write_bytes(write(a_file(cold)))
    assert "compare the chain id" in run("tx", "sign", path, "--data", cold, "--yes").err, "nothing here says which one it is"
    (tmp_path / "pay.signed.json").unlink()
    assert run("genesis", "new", "--name", "demo", "--validator", f"{key}=1", "--out", cold / "genesis.json").code == 0
    ran = run("tx", "sign", path, "--data", cold, "--yes")
    assert ran.code == 2 and "Do not sign it" in ran.err and not (tmp_path / "pay.signed.json").exists()
    here = bytes.fromhex(run("genesis", "show", "--data", cold, "--json").json["chain_id"])
    path.write_bytes(write(unsigned("demo", here, own, [0] * 4, 9, Transfer(bytes(20), 1, b""))))
    ran = run("tx", "sign", path, "--data", cold, "--yes")
    assert ran.code == 0 and "compare the chain id" not in ran.err
