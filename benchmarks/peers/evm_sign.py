"""Signs transactions for an EVM chain in advance, in a process of its own: `python -m benchmarks.peers.evm_sign < WISH > ANSWER`.

A wish is JSON: `chain`, `secrets` (hex), `nonces` (of each account), `calls` (lists of [account, to, value, data in hex]); the
answer has the accounts' `addresses` and the `signed` transactions in the order of the calls. Needs pycryptodome for Keccak, which
hashlib lacks.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import coincurve

GAS = 1_500_000
GAS_OF_TRANSFER = 21_000
GAS_OF_DEPLOYMENT = 5_000_000
GAS_PRICE = 20_000_000_000


def digest(data: bytes) -> bytes:
    """Keccak-256. Only the peers' own packages have it, so it is imported here."""
    from Crypto.Hash import keccak  # type: ignore[import-not-found,unused-ignore]

    return bytes(keccak.new(digest_bits=256, data=data).digest())


def rlp(item: Any) -> bytes:
    """Recursive length prefix of byte strings, non-negative integers and lists of them."""
    if isinstance(item, int):
        item = item.to_bytes((item.bit_length() + 7) // 8, "big")
    if isinstance(item, bytes):
        return item if len(item) == 1 and item[0] < 0x80 else _head(0x80, len(item)) + item
    body = b"".join(map(rlp, item))
    return _head(0xC0, len(body)) + body


def _head(base: int, length: int) -> bytes:
    if length < 56:
        return bytes((base + length,))
    size = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((base + 55 + len(size),)) + size


def address(key: coincurve.PrivateKey) -> bytes:
    return digest(key.public_key.format(compressed=False)[1:])[12:]


def sign(key: coincurve.PrivateKey, chain: int, nonce: int, to: bytes, value: int, data: bytes) -> bytes:
    """A signed legacy transaction (EIP-155)."""
    gas = (GAS if to else GAS_OF_DEPLOYMENT) if data else GAS_OF_TRANSFER
    fields: list[Any] = [nonce, GAS_PRICE, gas, to, value, data]
    signature = key.sign_recoverable(digest(rlp([*fields, chain, 0, 0])), hasher=None)
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
    return rlp([*fields, signature[64] + 35 + 2 * chain, r, s])


def main() -> None:
    wish = json.load(sys.stdin)
    keys = [coincurve.PrivateKey(bytes.fromhex(secret)) for secret in wish["secrets"]]
    nonces = list(wish["nonces"])
    signed = []
    for account, to, value, data in wish["calls"]:
        signed.append(sign(keys[account], wish["chain"], nonces[account], bytes.fromhex(to), value, bytes.fromhex(data)).hex())
        nonces[account] += 1
    json.dump({"addresses": [address(key).hex() for key in keys], "signed": signed}, sys.stdout)


if __name__ == "__main__":
    main()
