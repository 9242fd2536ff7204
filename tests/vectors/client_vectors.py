"""The vectors of what the client writes: the encrypted evaluation file (LC-HIDDEN)."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from typing import Any

from client.work import hidden


def _sealed(plain: bytes, key: bytes, nonce: bytes) -> dict[str, str]:
    with tempfile.TemporaryDirectory() as name:
        source, target = Path(name, "plain"), Path(name, "sealed")
        source.write_bytes(plain)
        plain_hash = hidden.encrypt(source, target, key, nonce)
        fields = {"plain": plain, "key": key, "nonce": nonce, "plain_hash": plain_hash, "key_hash": hashlib.sha256(key).digest()}
        fields["file"] = target.read_bytes()
    return {"rule": "LC-HIDDEN-1"} | {field: value.hex() for field, value in fields.items()}


def hidden_file() -> dict[str, Any]:
    plains = (b"", b"x,y\n1,2\n", bytes(range(200)))
    files = [_sealed(plain, hashlib.sha256(b"key %d" % n).digest(), bytes([n]) * 12) for n, plain in enumerate(plains)]
    return {"files": files, "refused": _refused(files[1])}


def _refused(good: dict[str, str]) -> list[dict[str, str]]:
    """What makes the key a bad one (LC-HIDDEN-3)."""
    file = bytes.fromhex(good["file"])
    cases = {
        "another key": {"key": "00" * 32},
        "another plaintext than was committed to": {"plain_hash": "00" * 32},
        "a bit of the nonce changed": {"file": (bytes([file[0] ^ 1]) + file[1:]).hex()},
        "a bit of the ciphertext changed": {"file": (file[:12] + bytes([file[12] ^ 1]) + file[13:]).hex()},
        "a bit of the tag changed": {"file": (file[:-1] + bytes([file[-1] ^ 1])).hex()},
        "a byte less": {"file": file[:-1].hex()},
        "a byte more": {"file": (file + b"\x00").hex()},
        "27 bytes": {"file": file[:27].hex()},
        "nothing": {"file": ""},
    }
    given = {name: good[name] for name in ("key", "plain_hash", "file")}
    return [{"rule": "LC-HIDDEN-3", "why": why} | given | changed for why, changed in cases.items()]
