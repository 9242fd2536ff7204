"""Signatures in the simulator: simulated ones are a hash of public key and digest, which costs a microsecond instead of seventy.

Nobody in the simulator makes one without the key, so they prove there what real ones prove. A sample of runs has real ones: once
with each signature verified once per process (`REMEMBERED`), once verified by every machine (`REAL`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from unittest import mock

from learningchain.chain import types
from learningchain.chain.crypto import SigningKey, verify

SIMULATED, REMEMBERED, REAL = "simulated", "remembered", "real"

_remembered = lru_cache(maxsize=65_536)(verify)
_MODULES = ("types", "ledger.tx", "node.checks", "contracts.keys.messages", "contracts.membership.invitations")
_VERIFIERS = tuple(f"learningchain.chain.{module}.verify" for module in _MODULES)


def _sign(key: SigningKey, digest: bytes) -> bytes:
    if len(digest) != 32:
        raise ValueError("a digest has 32 bytes")
    return hashlib.sha512(key.public + digest).digest()


def _verify(public: bytes, digest: bytes, signature: bytes) -> bool:
    return hashlib.sha512(public + digest).digest() == signature


def verified(public: bytes, digest: bytes, signature: bytes) -> bool:
    """As the run verifies: really, once in a process, or with simulated signatures."""
    return bool(types.verify(public, digest, signature))  # type: ignore[attr-defined]


def simulated() -> bool:
    return types.verify is _verify  # type: ignore[attr-defined]


@contextmanager
def signatures(kind: str) -> Iterator[None]:
    if kind == REAL:
        yield
        return
    check = _verify if kind == SIMULATED else _remembered
    with ExitStack() as stack:
        for name in _VERIFIERS:
            stack.enter_context(mock.patch(name, check))
        if kind == SIMULATED:
            stack.enter_context(mock.patch.object(SigningKey, "sign", _sign))
        yield


@contextmanager
def verified_once(active: bool = True) -> Iterator[None]:
    with signatures(REMEMBERED if active else REAL):
        yield
