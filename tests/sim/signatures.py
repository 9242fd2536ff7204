"""Signatures are real, but each one is verified once per process and not once per machine: that is most of a run's time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from unittest import mock

from chain.crypto import verify

_remembered = lru_cache(maxsize=65_536)(verify)


@contextmanager
def verified_once(active: bool = True) -> Iterator[None]:
    if not active:
        yield
        return
    with mock.patch("chain.types.verify", _remembered), mock.patch("chain.ledger.tx.verify", _remembered):
        yield
