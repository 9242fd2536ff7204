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
    return {field: value.hex() for field, value in fields.items()}


def hidden_file() -> dict[str, Any]:
    plains = (b"", b"x,y\n1,2\n", bytes(range(200)))
    return {"files": [_sealed(plain, hashlib.sha256(b"key %d" % n).digest(), bytes([n]) * 12) for n, plain in enumerate(plains)]}
