"""Every decoder of `targets`: valid examples pass, near misses and nonsense are refused as documented, and nothing else happens."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args
from unittest import mock

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from learningchain.chain.errors import BrokenInvariant, SupplyBroken
from learningchain.chain.host import HeldDue, Host
from learningchain.client.machines import frames
from tests.fuzz import examples
from tests.fuzz.mutations import HOSTILE, near
from tests.fuzz.targets import Broken, attempt, load

TARGETS = load()
NEVER_ACCEPT = {"certificate"}
"""Nobody here can sign a certificate: their target checks that all are refused."""
TRIES = 60
DECISIONS = {"ledger-blocks"}
"""No parser reads these bytes: they decide what happens on a ledger, and each run of it takes long."""
MEMORY = 24 << 20
FOUND = [(name, path) for name in TARGETS for path in examples.found(name)]
QUIET = settings(
    report_multiple_bugs=False,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate, Phase.shrink],
)
EVERY = pytest.mark.parametrize("name", TARGETS)


@EVERY
def test_examples_are_accepted(name: str) -> None:
    given_ = examples.of(name)
    accepted = [attempt(TARGETS[name], data) for data in given_]
    assert any(accepted) == (name not in NEVER_ACCEPT)


@pytest.mark.parametrize(("name", "kinds"), [("machine-frames", frames.FromMachine), ("node-frames", frames.FromNode)])
def test_each_kind_of_frame_has_an_example(name: str, kinds: Any) -> None:
    tags = {kind.__struct_config__.tag for kind in get_args(kinds)}
    shown = {raw[i + 5] for raw in examples.of(name) for i in heads(raw)}
    assert shown == tags


def heads(raw: bytes) -> Iterator[int]:
    """Where each frame begins: its length, the head of a list, and its kind."""
    at = 0
    while at < len(raw):
        yield at
        at += 4 + int.from_bytes(raw[at : at + 4], "big")


@pytest.mark.parametrize(
    ("name", "path"), [(n, p) for n in TARGETS for p in examples.found(n)], ids=lambda v: getattr(v, "name", v)
)
def test_what_broke_something_once(name: str, path: Path) -> None:
    attempt(TARGETS[name], path.read_bytes())


@EVERY
def test_hostile_bytes_end_soon_and_cost_little_memory(name: str) -> None:
    target = TARGETS[name]
    given_ = examples.of(name)
    some = given_[:: -(-len(given_) // 4)]
    inputs = [*HOSTILE[:: 6 if name in DECISIONS else 1], *(data + b"\0" for data in some), *(data[:-1] for data in some)]
    attempt(target, inputs[0])
    tracemalloc.start()
    try:
        for data in inputs:
            attempt(target, data)
        assert tracemalloc.get_traced_memory()[1] < MEMORY
    finally:
        tracemalloc.stop()


def try_near(name: str) -> None:
    target = TARGETS[name]

    @seed(7)
    @settings(QUIET, max_examples=TRIES)
    @given(near(examples.of(name), target.max_bytes))
    def check(data: bytes) -> None:
        attempt(target, data)

    check()


@EVERY
def test_nearly_valid_bytes(name: str) -> None:
    try_near(name)


@EVERY
def test_nonsense(name: str) -> None:
    target = TARGETS[name]

    @seed(7)
    @settings(QUIET, max_examples=TRIES // 4)
    @given(st.binary(max_size=200))
    def check(data: bytes) -> None:
        attempt(target, data)

    check()


# --- the tries are worth something: broken decoders are found out ---------------------------------------------------------------


class _SameAsAll(bytes):
    def __ne__(self, _: object) -> bool:
        return False

    __hash__ = bytes.__hash__


@pytest.mark.parametrize("name", ["transaction", "peers-message", "certificate", "content-message"])
def test_a_decoder_that_takes_a_second_encoding_is_found(name: str) -> None:
    with mock.patch("learningchain.chain.codec.encode", lambda value: _SameAsAll()), pytest.raises(Broken):
        try_near(name)


@pytest.mark.parametrize(
    ("name", "where"), [("result", "learningchain.sandbox.results.BadResult"), ("tar", "learningchain.sandbox.targuard.BadTar")]
)
def test_an_error_of_another_kind_is_found(name: str, where: str) -> None:
    with mock.patch(where, KeyError), pytest.raises(KeyError):
        try_near(name)


def _unfenced(host: Host, contract: int, ref: bytes, action: Callable[[], None], held: list[HeldDue]) -> None:
    action()


def _halved(host: Host, escrow: bytes, identity: bytes, amount: int, reason: str, ref: bytes) -> None:
    host._escrow(escrow, host.escrowed(escrow) - amount)
    host._credit(identity, amount // 2, reason, escrow, ref)


@pytest.mark.parametrize(
    ("where", "broken", "fault"),
    [
        ("learningchain.chain.host.Host.fenced", _unfenced, BrokenInvariant),
        ("learningchain.chain.host.Host.pay", _halved, SupplyBroken),
    ],
)
def test_a_ledger_without_its_fence_is_found(where: str, broken: Callable[..., None], fault: type[Exception]) -> None:
    with mock.patch(where, broken), pytest.raises(fault):
        try_near("ledger-blocks")
