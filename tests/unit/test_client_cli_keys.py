"""`key`, `guardians` and `recover`: what people and programs are told of keys, guardians and a recovery."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from learningchain.chain.contracts.keys import is_proven
from learningchain.chain.crypto import SigningKey, address, parse_address
from learningchain.client import config
from learningchain.client.contracts.keys.http.request import check_request, make_request, parse_request
from learningchain.client.keys.keyring import CURRENT, NEXT, Keyring, make_next
from learningchain.client.keys.keystore import Keystore
from tests.unit.client_fake_api import OTHER, OWN, Fake

pytest_plugins = ["tests.unit.client_cli_kit"]
WORD = "correct horse battery"
KEY, NEW = "02" + "ab" * 32, "03" + "cd" * 32
DAY = 24 * 3_600_000
TX = {"tx": "ab" * 32, "status": "final", "height": 7, "index": 0, "code": 0, "code_name": "OK", "events": []}


def shown(api: Fake, **changed: Any) -> dict[str, Any]:
    """What the node says of its own account."""
    known = api.answers.get(f"GET /v1/accounts/{OWN}", {})
    keys = {
        "id": OWN,
        "key": KEY,
        "key_changes": 2,
        "guardians": [OTHER],
        "guardian_threshold": 1,
        "guardian_delay": 3 * DAY,
        "guardians_coming": None,
        "recovery_barred_until": 0,
        "recovery": None,
    }
    found = {**known, **keys, **changed}
    api.answers[f"GET /v1/accounts/{OWN}"] = api.answers["GET /v1/account"] = found
    return found


def clock(api: Fake) -> int:
    now: int = api.answers["GET /v1/status"]["clock_now"]
    return now


def recovery(now: int, **changed: Any) -> dict[str, Any]:
    words = [{"guardian": OTHER, "key": NEW}]
    return {"since": now, "until": now + DAY, "key": None, "needed": 2, "objected": False, "words": words, **changed}


def test_naming_guardians_sends_what_was_typed_and_shows_who_is_in_force(api: Fake, run: Any) -> None:
    shown(api)
    api.answers["POST /v1/guardians"] = TX
    ran = run("guardians", "set", OTHER, "--threshold", "1", "--delay", "2d")
    assert api.bodies("POST", "/v1/guardians")[-1] == {"guardians": [OTHER], "threshold": 1, "delay": 2 * DAY}
    assert ran.code == 0 and "3 d to object" in ran.out, "those of now, until the others follow"
    assert run("guardians", "set", OTHER, "--json").json["guardian_delay"] == 3 * DAY
    assert run("guardians", "set").code == run("guardians", "set", OTHER, "--none").code == 2
    assert run("guardians", "set", OTHER, "--threshold", "2").code == 2
    run("guardians", "set", "--none")
    assert api.bodies("POST", "/v1/guardians")[-1] == {"guardians": [], "threshold": 0, "delay": 0}


def test_who_objects_is_told_what_it_takes_now(api: Fake, run: Any) -> None:
    shown(api, recovery=recovery(clock(api), objected=True))
    api.answers["POST /v1/objections"] = TX
    ran = run("recover", "object")
    assert ran.code == 0 and "have to" in ran.out and "Speak with your guardians" in ran.out
    assert run("recover", "object", "--json").json["recovery"]["objected"] is True


# --- recover start, on a machine that has nothing --------------------------------------------------------------------------------


@pytest.fixture
def network(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A network's file, and the passphrase of who starts a recovery."""
    monkeypatch.setenv("LEARNINGCHAIN_PASSPHRASE", WORD)
    file = tmp_path / "network.json"
    key = SigningKey(b"\3" * 32).public.hex()
    assert run("genesis", "new", "--name", "demo", "--validator", f"{key}=1", "--out", file).code == 0
    return file


def test_a_lost_key_is_asked_for_in_a_new_folder_that_can_run_the_node(run: Any, tmp_path: Path, network: Path) -> None:
    data = tmp_path / "deep" / "new"
    reached = ("--listen", "0.0.0.0:7401", "--peer", "a.example:7400")
    words = ("recover", "start", OTHER, "--genesis", network, "--data", data, *reached)
    ran = run(*words, "--json")
    assert ran.code == 0, ran.err
    chain_id = bytes.fromhex(run("genesis", "show", "--data", data, "--json").json["chain_id"])
    own = Keystore.open(data / CURRENT, WORD)
    assert (own.address, ran.json["account"], ran.json["key"]) == (OTHER, OTHER, own.key.public.hex())
    wanted = parse_request(ran.json["request"])
    check_request(wanted, chain_id)
    assert (address(wanted.account), wanted.key) == (OTHER, own.key.public)
    made = config.load(data).config
    assert (made.network.listen, list(made.network.peers)) == ("0.0.0.0:7401", ["a.example:7400"])
    assert data.stat().st_mode & 0o777 == 0o700

    again = run(*words[:7], "--listen", "0.0.0.0:9")
    assert again.code == 2 and "holds an identity already" in again.err
    assert Keystore.open(data / CURRENT, WORD).key.public == own.key.public and config.load(data).config == made, (
        "nothing is changed"
    )


@pytest.mark.parametrize("more", [["--listen", "nowhere"], ["--peer", "no port"], ["--genesis", "/nonexistent"]])
def test_a_recovery_that_cannot_start_leaves_no_folder(run: Any, tmp_path: Path, network: Path, more: list[str]) -> None:
    ran = run("recover", "start", OTHER, "--genesis", network, "--data", tmp_path / "new", *more)
    assert ran.code == 2 and not (tmp_path / "new").exists()


def test_a_guardian_says_its_word_on_the_line_that_it_was_given(api: Fake, run: Any) -> None:
    api.answers["POST /v1/recoveries"] = TX
    line = make_request(SigningKey(b"\7" * 32), parse_address(OTHER), b"\5" * 32)
    open_ = recovery(clock(api))
    api.answers[f"GET /v1/accounts/{OTHER}"] = shown(api, recovery=open_) | {"id": OTHER}
    ran = run("recover", "approve", f" {line} ")
    assert ran.code == 0 and f"Your word on {OTHER}" in ran.out and "1 agree, 2 of 1 guardians have to" in ran.out
    assert api.bodies("POST", "/v1/recoveries") == [{"request": line}]
    told = run("recover", "approve", line, "--json").json
    assert (told["account"], told["recovery"], told["height"]) == (OTHER, open_, 7)
    assert run("recover", "approve", line[:-1]).code == 2
    assert len(api.bodies("POST", "/v1/recoveries")) == 2


# --- key rotate ------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def owned(api: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data folder of the node that answers."""
    monkeypatch.setenv("LEARNINGCHAIN_PASSPHRASE", WORD)
    folder = tmp_path / "node"
    own = Keystore.create(folder / CURRENT, WORD)
    api.answers["GET /v1/status"] = api.answers["GET /v1/status"] | {"id": own.address}
    return folder


def test_a_rotation_is_on_the_disk_before_it_is_sent_and_both_keys_sign(api: Fake, run: Any, owned: Path) -> None:
    api.answers["POST /v1/key"] = TX
    ran = run("key", "rotate", "--json")
    assert ran.code == 0, ran.err
    old, new = make_next(owned, WORD)
    (sent,) = api.bodies("POST", "/v1/key")
    assert sent["key"] == ran.json["key"] == new.key.public.hex() and old.key.public != new.key.public
    chain_id = bytes.fromhex(api.answers["GET /v1/status"]["chain_id"])
    assert is_proven(chain_id, old.id, new.key.public, bytes.fromhex(sent["signature"]))
    ring = Keyring(old)
    ring.take(new.key.public, bytes.fromhex(sent["sealed"]))
    assert ring.newest.key.secret == new.key.secret, "the running node can open it, and nobody else"
    assert run("key", "rotate", "--json").json["key"] == new.key.public.hex(), "one that was made is sent again"
    ran = run("key", "rotate")
    assert f"has the key {new.key.public.hex()} since block 7" in ran.out and "Make a new backup" in ran.err


def test_a_rotation_that_is_not_final_yet_asks_for_no_backup(api: Fake, run: Any, owned: Path) -> None:
    api.answers["POST /v1/key"] = {"tx": "ab" * 32, "status": "pending"}
    ran = run("key", "rotate", "--wait", "0")
    assert "Make a new backup" not in ran.err and "since block" not in ran.out


def test_a_key_is_rotated_at_its_own_node_alone(api: Fake, run: Any, owned: Path) -> None:
    api.answers["GET /v1/status"] = api.answers["GET /v1/status"] | {"id": OTHER}
    ran = run("key", "rotate")
    assert ran.code == 2 and f"The node that answers is {OTHER}" in ran.err
    assert not api.bodies("POST", "/v1/key") and not (owned / NEXT).exists(), "and no key is made for it"


def test_a_key_that_lies_with_a_signer_is_not_rotated_here(api: Fake, run: Any, owned: Path) -> None:
    (owned / "signer.pair").write_text("{}")
    (owned / CURRENT).unlink()
    ran = run("key", "rotate")
    assert ran.code == 2 and "lies with a remote signer" in ran.err and not (owned / NEXT).exists()


def test_it_is_replaced_and_a_new_backup_asked_for(api: Fake, run: Any) -> None:
    api.answers["POST /v1/box-key"] = (200, {"tx": "cd" * 32, "status": "final", "height": 7, "code": 0, "key": NEW})
    ran = run("key", "box", "--renew")
    assert (ran.code, ran.out) == (0, f"Others seal under {NEW} from now on.\n") and "learningchain backup" in ran.err
    assert run("key", "box", "--renew", "--json").json["key"] == NEW
