"""The keystore keeps an identity: it opens with its passphrase only, tells what is wrong with it, and is never overwritten."""

from __future__ import annotations

import errno
import hmac
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from learningchain.chain.crypto import account_id, address
from learningchain.chain.storage import private
from learningchain.client.keys import keystore
from learningchain.client.keys.keystore import Keystore, KeystoreError, WrongPassphrase, beacon_key

WORD = "correct horse battery"
SECRET = bytes(range(1, 33))


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lowest cost that is read; one test below uses the real one."""
    monkeypatch.setattr(keystore, "SCRYPT_N", 2**14)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keystore.json"


def change(path: Path, edit: Any) -> None:
    """Rewrite the file with a correct checksum, as somebody would who means harm."""
    document = json.loads(path.read_text())
    edit(document)
    raw = json.dumps(document)
    try:
        file = keystore.msgspec.json.decode(raw, type=keystore._File)
        document["checksum"] = file.sum()
    except keystore.msgspec.MsgspecError:
        pass
    path.write_text(json.dumps(document))


def test_what_was_created_opens_again(path: Path) -> None:
    made = Keystore.create(path, WORD)
    opened = Keystore.open(path, WORD)
    assert opened.key.secret == made.key.secret
    assert opened.id == made.id == account_id(made.key.public)
    assert opened.beacon_key == made.beacon_key
    assert Keystore.public(path).public_key == made.key.public
    assert Keystore.public(path).address == made.address == address(made.id)


def test_given_entropy_is_the_secret_and_stands_nowhere_in_clear(path: Path) -> None:
    made = Keystore.create(path, WORD, SECRET)
    assert made.key.secret == SECRET
    raw = path.read_bytes()
    assert SECRET.hex().encode() not in raw and SECRET not in raw and made.beacon_key.hex().encode() not in raw
    assert SECRET.hex() not in repr(made)


@pytest.mark.parametrize("entropy", [bytes(32), b"\xff" * 32, b"short"])
def test_entropy_that_is_no_secret_is_refused(path: Path, entropy: bytes) -> None:
    with pytest.raises(KeystoreError, match="no valid secp256k1 secret"):
        Keystore.create(path, WORD, entropy)
    assert not path.exists()


def test_beacon_key_is_fixed_by_the_secret_and_differs_from_it() -> None:
    # RFC 5869 written out: a node must find the same secrets again after any upgrade.
    extracted = hmac.digest(bytes(32), SECRET, "sha256")
    assert beacon_key(SECRET) == hmac.digest(extracted, b"lc/beacon-key" + b"\x01", "sha256")
    assert beacon_key(SECRET) != SECRET


def test_only_the_owner_may_read_it(path: Path) -> None:
    Keystore.create(path, WORD)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o640)
    for use in (lambda: Keystore.open(path, WORD), lambda: Keystore.public(path)):
        with pytest.raises(KeystoreError, match="chmod 600"):
            use()


def test_wrong_passphrase_is_said_to_be_one(path: Path) -> None:
    Keystore.create(path, WORD)
    with pytest.raises(WrongPassphrase, match="Wrong passphrase"):
        Keystore.open(path, WORD + "!")


@pytest.mark.parametrize(
    ("word", "text"), [("short", "at least 8"), ("", "1 to 1024"), ("x" * 1025, "1 to 1024"), ("a\udc80" * 8, "UTF-8")]
)
def test_unusable_passphrases_are_refused(path: Path, word: str, text: str) -> None:
    with pytest.raises(KeystoreError, match=text):
        Keystore.create(path, word)
    assert not path.exists()


def test_an_existing_keystore_is_never_overwritten(path: Path) -> None:
    Keystore.create(path, WORD)
    before = path.read_bytes()
    with pytest.raises(KeystoreError, match="never overwritten"):
        Keystore.create(path, WORD)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]  # no temporary file is left


def test_every_damaged_byte_is_noticed(path: Path) -> None:
    """A flipped bit anywhere is damage, never taken for a wrong passphrase, and never opens."""
    Keystore.create(path, WORD)
    whole = path.read_bytes()
    for at in range(0, len(whole), 7):
        path.write_bytes(whole[:at] + bytes((whole[at] ^ 1,)) + whole[at + 1 :])
        with pytest.raises(KeystoreError) as e:
            Keystore.public(path)
        assert not isinstance(e.value, WrongPassphrase)
    for cut in range(0, len(whole), 97):
        path.write_bytes(whole[:cut])
        with pytest.raises(KeystoreError, match="json is damaged: "):
            Keystore.open(path, WORD)


@pytest.mark.parametrize("raw", [b"", b"null", b"[]", b"{}", b"\xff\xfe", b"[" * 10_000, b'{"a":' * 3_000, b"x" * 20_000])
def test_a_file_that_is_no_keystore_is_damaged(path: Path, raw: bytes) -> None:
    path.write_bytes(raw)
    path.chmod(0o600)
    with pytest.raises(KeystoreError, match="json is damaged: "):
        Keystore.open(path, WORD)


@pytest.mark.parametrize(
    "kdf", [{"n": 2**21}, {"n": 2**13}, {"n": 2**14 + 2}, {"r": 1024}, {"p": 1_000_000}, {"salt": ""}, {"name": "md5"}]
)
def test_costs_out_of_bounds_are_refused_before_they_are_paid(path: Path, kdf: dict[str, Any]) -> None:
    Keystore.create(path, WORD)
    change(path, lambda d: d["kdf"].update(kdf))
    with pytest.raises(KeystoreError, match="json is damaged: "):
        Keystore.open(path, WORD)


def test_clear_text_is_bound_to_the_secret(tmp_path: Path, path: Path) -> None:
    """Another address in front of the same secret does not open, even with a correct checksum."""
    Keystore.create(path, WORD)
    other = Keystore.create(tmp_path / "other.json", WORD)
    change(path, lambda d: d.update(address=other.address))
    with pytest.raises(WrongPassphrase):
        Keystore.open(path, WORD)


# --- what stands in the file ---------------------------------------------------------------------------------------------------


def test_a_file_is_read_up_to_its_largest_size(path: Path) -> None:
    """Spaces behind it change nothing of its meaning: one that is as large as may be opens, a byte more is no keystore."""
    made = Keystore.create(path, WORD)
    whole = path.read_bytes()
    path.write_bytes(whole.ljust(keystore.MAX_FILE))
    assert Keystore.public(path).id == made.id
    path.write_bytes(whole.ljust(keystore.MAX_FILE + 1))
    with pytest.raises(KeystoreError, match="more than 16384 bytes"):
        Keystore.public(path)


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o602, 0o620, 0o601])
def test_nobody_else_may_do_anything_with_it(path: Path, mode: int) -> None:
    Keystore.create(path, WORD)
    path.chmod(mode)
    with pytest.raises(KeystoreError, match="chmod 600"):
        Keystore.public(path)


# --- machines without room -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "todo"), [(errno.ENOSPC, "Free some space"), (errno.EDQUOT, "Free some space"), (errno.EACCES, "its owner")]
)
def test_a_disk_that_refuses_is_named_and_leaves_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch, number: int, todo: str
) -> None:
    def refuse(fd: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(KeystoreError, match=todo):
        Keystore.create(path, WORD)
    assert list(path.parent.iterdir()) == []


def test_the_secret_is_on_disk_before_it_has_its_name(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that a power cut leaves without content would be an identity that is lost, and a keystore that is never replaced."""
    done: list[str] = []
    fsync, link = os.fsync, os.link

    def note(fd: int) -> None:
        done.append("folder" if stat.S_ISDIR(os.fstat(fd).st_mode) else "content")
        fsync(fd)

    monkeypatch.setattr(os, "fsync", note)
    monkeypatch.setattr(os, "link", lambda source, target: (done.append("name"), link(source, target))[1])
    Keystore.create(path, WORD)
    assert done == ["content", "name", "folder"]


# --- another passphrase ---------------------------------------------------------------------------------------------

NEW = "another passphrase"


def test_a_changed_passphrase_keeps_the_identity_and_the_old_one_opens_nothing(path: Path) -> None:
    made = Keystore.create(path, WORD, SECRET)
    changed = Keystore.change_passphrase(path, WORD, NEW)
    assert changed.id == made.id and Keystore.open(path, NEW).key.secret == SECRET
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(WrongPassphrase):
        Keystore.open(path, WORD)


@pytest.mark.parametrize(("word", "new"), [("wrong", NEW), (WORD, "short"), (WORD, "")])
def test_a_change_that_is_refused_changes_nothing(path: Path, word: str, new: str) -> None:
    Keystore.create(path, WORD, SECRET)
    before = path.read_bytes()
    with pytest.raises(KeystoreError):
        Keystore.change_passphrase(path, word, new)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("step", ["fsync", "replace", "unlink"])
def test_a_crash_at_any_step_of_a_change_leaves_one_keystore_that_opens(
    path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Power goes before, in and after the rename."""
    Keystore.create(path, WORD, SECRET)

    class Crash(BaseException):
        pass

    def crash(*_: Any) -> None:
        raise Crash

    with monkeypatch.context() as patched:
        patched.setattr(keystore.os, step, crash)
        if step != "unlink":
            patched.setattr(keystore.os, "unlink", lambda *_: None)  # nothing is tidied up after a crash
        with pytest.raises(Crash):
            Keystore.change_passphrase(path, WORD, NEW)
    opened = [word for word in (WORD, NEW) if _opens(path, word)]
    assert opened == [NEW if step == "unlink" else WORD]


def _opens(path: Path, word: str) -> bool:
    try:
        return Keystore.open(path, word).key.secret == SECRET
    except WrongPassphrase:
        return False


def test_a_disk_without_hard_links_and_modes_carries_an_identity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: Any, **__: Any) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    made = Keystore.create(tmp_path / "k.json", "a passphrase")
    usb = tmp_path / "usb.json"
    Keystore.export(tmp_path / "k.json", "a passphrase", usb, "another one")
    for _ in range(2):
        with pytest.raises(KeystoreError, match="never overwritten"):
            Keystore.export(tmp_path / "k.json", "a passphrase", usb, "another one")
    usb.chmod(0o755)
    with pytest.raises(KeystoreError, match="chmod 600"):
        Keystore.open(usb, "another one")
    assert Keystore.open(usb, "another one", carried=True).id == made.id
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
    private.keep_under(usb, tmp_path / "kept.json")
    assert (tmp_path / "kept.json").read_bytes() == usb.read_bytes()
