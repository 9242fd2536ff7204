"""The keys of this node's identity: the one that it has on the ledger, and one that it is to get. On the disk and in memory.

    keystore.json            the key that was the ledger's when somebody looked last
    keystore-next.json       a key that the ledger was, or is about to be, asked for
    keystore-of-HEX.json     a key of before; HEX begins its public key

A rotation writes the next key before anything is sent, and moves it to its place after the block that makes it the ledger's is
final. Whenever the machine stops in between, every key is still in a file, and the node signs with the one that its ledger names.

The running node has no passphrase: whoever rotates hands it the new secret sealed under the old one (`seal`), which both know.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable
from functools import partial
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from learningchain.chain.crypto import SigningKey
from learningchain.chain.storage import private
from learningchain.client.keys.keystore import Identity, Keystore, KeystoreError, Public, WrongPassphrase, beacon_key

CURRENT, NEXT = "keystore.json", "keystore-next.json"
NONCE = 12
FORMER = 2
"""Keys of before that are opened at a start."""


def before(public: bytes) -> str:
    """The file of a key that was replaced."""
    return f"keystore-of-{public.hex()[:16]}.json"


class Keyring:
    """An identity's keys, the oldest first: the last one is the one that it wants to have."""

    def __init__(self, first: Identity, *others: Identity, former: Callable[[], list[bytes]] | None = None) -> None:
        self.id = first.id
        self._former, self._former_keys = former, list[bytes]()
        self._keys = {identity.key.public: identity for identity in (first, *others)}

    def __contains__(self, public: object) -> bool:
        return public in self._keys

    @property
    def newest(self) -> Identity:
        return list(self._keys.values())[-1]

    @property
    def all(self) -> list[Identity]:
        return list(self._keys.values())

    def beacon_keys(self, reveal: Callable[[list[bytes]], bool]) -> list[bytes]:
        """Of these keys; and of those before them, where these cannot `reveal` what was committed to. Looked for once: it is about
        the last block of before this start, and the passphrase is forgotten."""
        own = [identity.beacon_key for identity in self.all]
        if self._former is not None and not reveal(own):
            self._former_keys = self._former()
        self._former = None
        return [*self._former_keys, *own]

    def of(self, public: bytes) -> Identity | None:
        return self._keys.get(public)

    def add(self, key: SigningKey) -> None:
        """The one that it wants to have from now on."""
        self._keys.pop(key.public, None)
        self._keys[key.public] = Identity(key, self.id, beacon_key(key.secret))

    def take(self, public: bytes, sealed: bytes) -> None:
        """A secret that was sealed under one of these keys. Raises `KeystoreError`."""
        for identity in self.all:
            key = _unseal(identity.key, public, sealed)
            if key is not None:
                self.add(key)
                return
        raise KeystoreError("The new key is not sealed under a key of this node: rotate it in the node's own data folder")


def open_keyring(folder: Path, passphrase: str) -> Keyring:
    """What is in a data folder. Raises `KeystoreError`."""
    first = Keystore.open(folder / CURRENT, passphrase)
    former = partial(former_beacon_keys, folder, passphrase)
    path = folder / NEXT
    if not os.path.lexists(path):
        return Keyring(first, former=former)
    try:
        following = Keystore.open(path, passphrase)
    except WrongPassphrase:
        raise WrongPassphrase(
            f"{path}, the key that this identity was about to get, opens with another passphrase than {CURRENT}. Give both the "
            "same one, or remove it if no rotation was sent: learningchain key show says which key the ledger has"
        ) from None
    if following.id != first.id:
        raise KeystoreError(f"{path} is of another identity than {CURRENT}: move it away")
    return Keyring(first, following, former=former)


def former_beacon_keys(folder: Path, passphrase: str) -> list[bytes]:
    """Of keys that were replaced, the last `FORMER` of them: a validator's last block under such a key committed to a secret that
    its next one has to reveal (LC-BLK-12). One that has another passphrase, or is damaged, is passed over: it costs one reward."""
    found = sorted(folder.glob("keystore-of-*.json"), key=lambda path: path.stat().st_mtime_ns)
    opened = []
    for path in found[-FORMER:]:
        with contextlib.suppress(OSError, KeystoreError):
            opened.append(Keystore.open(path, passphrase).beacon_key)
    return opened


def make_next(folder: Path, passphrase: str) -> tuple[Identity, Identity]:
    """(this identity, the same with the key that it is to get). One that was made before is used again: perhaps it was sent.

    Raises `KeystoreError`.
    """
    if not os.path.lexists(folder / NEXT):
        own = Keystore.open(folder / CURRENT, passphrase)
        Keystore.create_for(folder / NEXT, own.id, passphrase)
    ring = open_keyring(folder, passphrase)
    return ring.all[0], ring.newest


def change_passphrase(folder: Path, passphrase: str, new: str) -> Public:
    """Of a data folder's keystore, and of the key that it is about to get: first of that one. After a crash in between the same
    call goes on. Raises `KeystoreError`."""
    Keystore.open(folder / CURRENT, passphrase)
    if os.path.lexists(folder / NEXT):
        with contextlib.suppress(WrongPassphrase):  # it was changed before the crash
            Keystore.change_passphrase(folder / NEXT, passphrase, new)
    return Keystore.change_passphrase(folder / CURRENT, passphrase, new)


def settle(folder: Path, public: bytes) -> bool:
    """The ledger's key is `public`: where that is the next one, its file takes its place. Whether it did.

    A crash leaves the old key under both names, or the new one in its place: no key is ever without a file.
    """
    path, current = folder / NEXT, folder / CURRENT
    if not os.path.lexists(path) or Keystore.public(path).public_key != public:
        return False
    kept = folder / before(Keystore.public(current).public_key)
    if not os.path.lexists(kept):
        private.keep_under(current, kept)
        private.sync_folder(folder)
    os.replace(path, current)
    private.sync_folder(folder)
    return True


# --- handing a secret to the running node -------------------------------------------------------------------------------------


def _sealing_key(old: SigningKey) -> ChaCha20Poly1305:
    return ChaCha20Poly1305(HKDF(hashes.SHA256(), 32, salt=None, info=b"lc/key-handover").derive(old.secret))


def seal(old: SigningKey, new: SigningKey) -> bytes:
    """The new secret for whoever has the old one, and nobody else."""
    nonce = secrets.token_bytes(NONCE)
    return nonce + _sealing_key(old).encrypt(nonce, new.secret, new.public)


def _unseal(old: SigningKey, public: bytes, sealed: bytes) -> SigningKey | None:
    try:
        key = SigningKey(_sealing_key(old).decrypt(sealed[:NONCE], sealed[NONCE:], public))
    except (InvalidTag, ValueError):
        return None
    return key if key.public == public else None
