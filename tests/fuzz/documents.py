"""Valid documents of owners, users, jobs and containers: the rest of `examples`."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from functools import cache
from typing import Any

from learningchain.chain.codec import encode
from learningchain.chain.crypto import address
from learningchain.client import config
from tests.fuzz.of_client import HIDDEN_KEY, HIDDEN_ROWS, REQUESTS

SOMEBODY = address(bytes(range(20)))


def tar(files: dict[str, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()[: -8 * 512]  # the end's padding to 10,240 bytes teaches nobody anything


def _tars() -> list[bytes]:
    long = "folder/" * 30 + "file"
    made = [tar({"a": b"1", "b/c": b"22"}), tar({long: b"x"}), tar({long: b"x"}, tarfile.GNU_FORMAT)]
    return [raw + bytes(1_024) for raw in made]


def _config(layers: list[bytes]) -> bytes:
    digests = [f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in layers]
    return json.dumps(
        {"architecture": "amd64", "os": "linux", "config": {"Env": []}, "rootfs": {"type": "layers", "diff_ids": digests}}
    ).encode()


def _archives() -> list[bytes]:
    layer = tar({"lc/job": b"#!/bin/sh\n"}) + bytes(1_024)
    made = []
    for stored in (layer, gzip.compress(layer, mtime=0)):
        manifest = json.dumps([{"Config": "c.json", "RepoTags": ["x:1"], "Layers": ["0/layer.tar"]}]).encode()
        made.append(tar({"manifest.json": manifest, "c.json": _config([layer]), "0/layer.tar": stored}) + bytes(1_024))
    return made


def _frame(stream: int, text: bytes) -> bytes:
    return bytes([stream, 0, 0, 0]) + len(text).to_bytes(4, "big") + text


def _bodies() -> list[bytes]:
    job: Any = {
        "image": {"cid": "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy", "image_id": "0" * 64, "size": 5},
        "bounty": "20", "expires_in_s": 600.0, "fee": "0.01", "tol": "0.001", "floor": "-1", "float_kind": "f64", "finalists": 3,
        "on_cheat": "refund", "params": {"epochs": 5, "name": "x"}, "limits": {"cpus": 2.0, "mem_mb": 64, "train_s": 60},
    }  # fmt: skip
    other: Any = {"image": {"reference": "job@sha256:" + "f" * 64}, "bounty": "1", "expiry": 1_800_000_000_000}
    bodies: list[list[Any]] = [
        [job, other],
        [{"to": SOMEBODY, "amount": "1.5", "memo": "rent"}],
        [{"raw": "00ff"}],
        [{"raws": ["00", "ff"]}],
        [{"account": SOMEBODY, "confirm": True}],
    ]
    assert len(bodies) == len(REQUESTS)
    return [bytes([i]) + json.dumps(body).encode() for i, kind in enumerate(bodies) for body in kind]


def _queries() -> list[bytes]:
    texts = [
        "",
        "wait=1.5",
        "after=lc1&limit=5",
        "before=7&limit=1000",
        "live=true&before=3",
        "max_size=5&timeout_s=9",
        "timeout_s=1",
    ]
    return [bytes([i]) + text.encode() for i, text in enumerate([*texts, "kinds=block,note"])]


def _answers() -> list[bytes]:
    error = {"error": {"kind": "rejected", "code": 5, "name": "NOT_ALLOWED", "message": "no"}}
    return [b"\0" + b'{"height":7,"jobs":[]}', b"\2" + json.dumps(error).encode()]


def _config_files() -> list[bytes]:
    values = {name: setting.default for name, setting in config.SETTINGS.items()}
    return [config.render({}).encode(), config.render(values).encode(), b'[network]\nlisten = "0.0.0.0:7400"\npeers = ["a:1"]\n']


def _config_values() -> list[bytes]:
    made = []
    for i, name in enumerate(sorted(config.SETTINGS)):
        default = config.SETTINGS[name].default
        made.append(bytes([i]) + (",".join(map(str, default)) if isinstance(default, list) else str(default)).encode())
    return made


@cache
def _keystores() -> list[bytes]:
    """A keystore whose secret nobody will find; its checksum fits."""
    from learningchain.chain.crypto import SigningKey, account_id, address
    from learningchain.client.keys.keystore import _Box, _File, _Kdf

    key = SigningKey(b"\3" * 32)
    kdf, box = _Kdf("scrypt", 2**14, 8, 1, "00" * 32), _Box("chacha20-poly1305", "11" * 12, "22" * 48)
    file = _File(1, address(account_id(key.public)), key.public.hex(), kdf, box)
    document = {
        "version": 1, "address": file.address, "public_key": file.public_key,
        "kdf": {"name": kdf.name, "n": kdf.n, "r": kdf.r, "p": kdf.p, "salt": kdf.salt},
        "cipher": {"name": box.name, "nonce": box.nonce, "text": box.text}, "checksum": file.sum(),
    }  # fmt: skip
    return [json.dumps(document).encode()]


def _hidden_files() -> list[bytes]:
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

    return [bytes(12) + ChaCha20Poly1305(HIDDEN_KEY).encrypt(bytes(12), HIDDEN_ROWS, None)]


def _private_boxes() -> list[bytes]:
    from learningchain.client.contracts.prediction.roles.private import box
    from learningchain.client.keys.hidden import seal
    from tests.fuzz.of_client import BOX_PLACE, BOX_PUBLIC

    return [box(HIDDEN_KEY, BOX_PLACE, BOX_PUBLIC, bytes(range(2, 34))) + seal(HIDDEN_ROWS, HIDDEN_KEY, bytes(12))]


DOCUMENTS: dict[str, Callable[[], list[bytes]]] = {
    "result": lambda: [b"0.123456789\n0.12\n", b"-1\n", b"0\nnan\n", b"999999999.999999999\n" * 10],
    "progress": lambda: [b'LC {"step":1,"of":9,"loss":0.3}', b'LC {"step":5}'],
    "container-output": lambda: [_frame(1, b'LC {"step":1,"of":9}\nhello\n') + _frame(2, b"oops\r\n") + _frame(1, b"x" * 600)],
    "tar": _tars,
    "sidecar-answer": lambda: [
        _frame(1, b"ok 7\nweights"),
        _frame(1, b"ok 7\n") + _frame(1, b"weights"),
        _frame(1, b"no is a folder\n"),
    ],
    "image-archive": _archives,
    "image-config": lambda: [_config([b"layer"])],
    "job-params": lambda: [b"{}", b'{"epochs":5,"list":[1,2.5,null],"text":"\\u00e9"}'],
    "engine-info": lambda: [
        b'{"OSType":"linux","SecurityOptions":["name=seccomp"],"Architecture":"x86_64","NCPU":2,"MemTotal":1073741824,'
        b'"DriverStatus":[["driver-type","x"]],"Runtimes":{"runc":{}},"PidsLimit":true,"ServerVersion":"24.0"}'
    ],
    "engine-error": lambda: [b"no such image: x"],
    "api-body": _bodies,
    "api-query": _queries,
    "api-path": lambda: [b"0f" * 32],
    "sdk-answer": _answers,
    "sdk-events": lambda: [b': hello\n\nevent: block\ndata: {"height":7}\n\n'],
    "config-file": _config_files,
    "config-value": _config_values,
    "keystore-file": _keystores,
    "job-parameters": lambda: [b'{"epochs": 5}'],
    "hidden-file": _hidden_files,
    "private-box": _private_boxes,
    "callback-url": lambda: [b"https://hooks.example.org:8443/in?a=1", b"https://[2606:4700::1111]/", b"https://8.8.8.8/"],
    "callback-secret": lambda: [b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
    "stored-ballots": lambda: [encode([])],
    "consensus-log": lambda: [b"\0", b"\0\x00\x00\x10\xff", b"\x20"],
    "guard-file": lambda: [b"\0", b"\0\x00\x10\x10\xff", b"\x20"],
}
