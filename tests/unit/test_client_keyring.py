"""Two keys in one data folder: whatever moment the machine dies at, every key is in a file, and the ledger's one is found."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from learningchain.chain.crypto import SigningKey
from learningchain.chain.storage import private
from learningchain.client.keys import keyring, keystore
from learningchain.client.keys.keyring import CURRENT, NEXT, Keyring, before, make_next, open_keyring, seal, settle
from learningchain.client.keys.keystore import Identity, Keystore, KeystoreError, Public

WORD, OTHER = "a passphrase for tests", "another passphrase"


@pytest.fixture(autouse=True)
def _cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keystore, "SCRYPT_N", 2**14)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    Keystore.create(tmp_path / CURRENT, WORD)
    return tmp_path


def publics(folder: Path) -> dict[str, bytes]:
    return {path.name: Keystore.public(path).public_key for path in sorted(folder.glob("keystore*.json"))}


def test_the_next_key_is_of_the_same_identity_and_is_made_once(folder: Path) -> None:
    old, new = make_next(folder, WORD)
    assert old.id == new.id and old.key.public != new.key.public
    assert make_next(folder, WORD)[1].key.public == new.key.public, "perhaps it was sent"
    ring = open_keyring(folder, WORD)
    assert ring.newest.key.public == new.key.public and old.key.public in ring and new.key.public in ring


def test_the_files_move_when_the_ledger_has_the_key_and_not_before(folder: Path) -> None:
    old, new = make_next(folder, WORD)
    assert not settle(folder, old.key.public) and (folder / NEXT).exists()
    assert settle(folder, new.key.public) and not settle(folder, new.key.public)
    assert publics(folder) == {CURRENT: new.key.public, before(old.key.public): old.key.public}
    assert Keystore.open(folder / CURRENT, WORD).id == old.id


@pytest.mark.parametrize("step", ["link", "sync_folder", "replace", "after"])
def test_a_crash_while_the_files_move_loses_no_key(folder: Path, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = make_next(folder, WORD)

    class Dead(Exception):
        pass

    def die(*_: Any) -> None:
        raise Dead

    sync = "learningchain.client.keys.keyring.private.sync_folder"
    place = sync if step == "sync_folder" else f"learningchain.client.keys.keyring.os.{step}"
    with mock.patch(place, die) if step != "after" else mock.patch(sync, lambda _: None):
        if step == "after":
            settle(folder, new.key.public)
        else:
            with pytest.raises(Dead):
                settle(folder, new.key.public)
    assert {old.key.public, new.key.public} <= set(publics(folder).values())
    assert new.key.public in open_keyring(folder, WORD)
    settle(folder, new.key.public)
    assert publics(folder)[CURRENT] == new.key.public


def test_a_secret_is_handed_over_under_the_old_key_alone(folder: Path) -> None:
    old, new = make_next(folder, WORD)
    ring, sealed = Keyring(old), seal(old.key, new.key)
    assert new.key.secret not in sealed
    ring.take(new.key.public, sealed)
    found = ring.of(new.key.public)
    assert found is not None and found.key.secret == new.key.secret and found.id == old.id
    assert found.beacon_key == new.beacon_key
    stranger = Keyring(Keystore.create(folder / "other.json", WORD))
    for public, given in (
        (new.key.public, sealed[:-1]),
        (old.key.public, sealed),
        (new.key.public, b""),
        (new.key.public, bytes(60)),
    ):
        with pytest.raises(KeystoreError, match="not sealed"):
            Keyring(old).take(public, given)
    with pytest.raises(KeystoreError, match="not sealed"):
        stranger.take(new.key.public, sealed)


def test_a_secret_that_is_not_the_named_key_s_is_not_taken(folder: Path) -> None:
    """Sealed as it should be, and another one: the node would sign with a key that its ledger never has."""
    old, new = make_next(folder, WORD)
    other = SigningKey(b"o" * 32)

    class Lie:
        secret, public = other.secret, new.key.public

    with pytest.raises(KeystoreError, match="not sealed"):
        Keyring(old).take(new.key.public, seal(old.key, Lie()))  # type: ignore[arg-type]


@pytest.mark.parametrize("replaced", [0, 1])
def test_wherever_a_change_of_the_passphrase_stops_the_same_call_goes_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch, replaced: int
) -> None:
    """The machine stops when so many of the two files are replaced."""
    make_next(folder, WORD)
    change, done = Keystore.change_passphrase, list[Path]()

    def until_it_stops(path: Path, passphrase: str, new: str) -> Public:
        if len(done) == replaced:
            raise KeyboardInterrupt
        done.append(path)
        return change(path, passphrase, new)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Keystore, "change_passphrase", staticmethod(until_it_stops))
        keyring.change_passphrase(folder, WORD, OTHER)
    assert len(done) == replaced
    keyring.change_passphrase(folder, WORD, OTHER)
    assert len(open_keyring(folder, OTHER).all) == 2


def test_what_a_replaced_key_committed_to_is_revealed_after_a_restart(folder: Path) -> None:
    """LC-BLK-12: at whatever step of a rotation the machine stops, the secret of its last block is here again."""
    old, new = make_next(folder, WORD)

    def restarted(commits: Identity) -> list[bytes]:
        return open_keyring(folder, WORD).beacon_keys(lambda keys: commits.beacon_key in keys)

    assert restarted(old) == restarted(new) == [old.beacon_key, new.beacon_key], "asked for, not final"
    os.link(folder / CURRENT, folder / before(old.key.public))  # settling, until here
    assert restarted(old) == [old.beacon_key, new.beacon_key]
    assert settle(folder, new.key.public)
    assert restarted(old) == [old.beacon_key, new.beacon_key], "the block is final, the file in its place"
    assert restarted(new) == [new.beacon_key], "no need of the former one"
    _, newest = make_next(folder, WORD)
    assert settle(folder, newest.key.public)
    assert set(restarted(old)) == {old.beacon_key, new.beacon_key, newest.beacon_key}


def test_each_step_of_a_rotation_is_on_the_disk_before_the_next(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that was not synced forgets its last changes in a power cut, in any order."""
    _, new = make_next(folder, WORD)
    steps: list[str] = []

    def seen(name: str, real: Any) -> Any:
        return lambda *given: (steps.append(name), real(*given))[1]

    monkeypatch.setattr(os, "link", seen("old key linked", os.link))
    monkeypatch.setattr(os, "replace", seen("new key moved", os.replace))
    monkeypatch.setattr(private, "sync_folder", seen("synced", private.sync_folder))
    assert settle(folder, new.key.public)
    assert steps == ["old key linked", "synced", "new key moved", "synced"]


def test_former_keys_are_asked_for_once_and_their_passphrase_is_let_go(folder: Path) -> None:
    first = Keystore.open(folder / CURRENT, WORD)
    asked: list[int] = []

    def former() -> list[bytes]:
        asked.append(1)
        return [b"a former key's"]

    ring = Keyring(first, former=former)
    assert ring.beacon_keys(lambda _: True) == [first.beacon_key] == ring.beacon_keys(lambda _: False), "at the start alone"
    ring = Keyring(first, former=former)
    for _ in range(2):
        assert ring.beacon_keys(lambda _: False) == [b"a former key's", first.beacon_key]
    assert len(asked) == 1 and ring._former is None


def test_a_secret_is_sealed_under_a_key_for_this_use_alone(folder: Path) -> None:
    """What else is ever derived from the old key opens nothing here."""
    old, new = make_next(folder, WORD)
    sealed = seal(old.key, new.key)
    derived = HKDF(hashes.SHA256(), 32, salt=None, info=b"lc/key-handover").derive(old.key.secret)
    assert ChaCha20Poly1305(derived).decrypt(sealed[:12], sealed[12:], new.key.public) == new.key.secret
    assert seal(old.key, new.key)[:12] != sealed[:12], "no nonce is used twice"
