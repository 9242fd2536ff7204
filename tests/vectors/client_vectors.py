"""The vectors of what the client writes: the encrypted evaluation file (LC-HIDDEN), boxes of private requests (LC-PRIV)."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from learningchain.client.contracts.prediction.roles.private import BoxPlace, box
from learningchain.client.keys import hidden


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


# --- private requests ----------------------------------------------------------------------------------------------------------


def _boxed(n: int) -> dict[str, Any]:
    key, private, ephemeral, request = (
        hashlib.sha256(b"%s %d" % (what, n)).digest() for what in (b"key", b"own", b"once", b"request")
    )
    account, round_ = hashlib.sha256(b"account %d" % n).digest()[:20], n % 3 + 1
    box_key = X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()
    fields = {"key": key, "request": request, "account": account, "private": private, "box_key": box_key, "ephemeral": ephemeral}
    fields |= {"key_hash": hashlib.sha256(key).digest(), "box": box(key, BoxPlace(request, round_, account), box_key, ephemeral)}
    return {"rule": "LC-PRIV-2", "round": round_} | {field: value.hex() for field, value in fields.items()}


def private_input() -> dict[str, Any]:
    boxes = [_boxed(n) for n in range(4)]
    good, other = boxes[0], boxes[1]
    raw = bytes.fromhex(good["box"])
    junk = hashlib.sha256(b"another").digest()
    place = BoxPlace(bytes.fromhex(good["request"]), good["round"], bytes.fromhex(good["account"]))
    cases: dict[str, dict[str, Any]] = {
        "another request": {"request": other["request"]},
        "another round": {"round": 2},
        "another account": {"account": other["account"]},
        "another one's box": {"box": other["box"]},
        "a bit of the point changed": {"box": (bytes([raw[0] ^ 1]) + raw[1:]).hex()},
        "a bit of the sealed key changed": {"box": (raw[:32] + bytes([raw[32] ^ 1]) + raw[33:]).hex()},
        "a bit of the tag changed": {"box": (raw[:-1] + bytes([raw[-1] ^ 1])).hex()},
        "another key than the request names": {
            "box": box(junk, place, bytes.fromhex(good["box_key"]), bytes.fromhex(good["ephemeral"])).hex()
        },
        "a point that gives zeros": {"box": (bytes(32) + raw[32:]).hex()},
        "a byte less": {"box": raw[:-1].hex()},
        "nothing": {"box": ""},
    }
    given = {name: good[name] for name in ("request", "round", "account", "private", "box_key", "key_hash", "box")}
    refused = [{"rule": "LC-PRIV-4", "why": why} | given | changed for why, changed in cases.items()]
    return {"boxes": boxes, "refused": refused}
