"""What contracts declare is checked when a program starts, beside what the others declare (`chain.host.registry`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from enum import IntEnum
from typing import Any

import pytest

from learningchain.chain.codec import Wire
from learningchain.chain.contracts import CONTRACTS, credits, host_of
from learningchain.chain.contracts.job import CONTRACT as JOB
from learningchain.chain.contracts.membership.indexes import Pool
from learningchain.chain.errors import BrokenInvariant
from learningchain.chain.host import (
    ALL,
    STANDING,
    Contract,
    Datum,
    EscrowShape,
    Form,
    Host,
    InvalidContract,
    Listing,
    LiveIndex,
    MessageSpec,
    Registry,
)
from learningchain.chain.ledger.state import Overlay
from learningchain.chain.ledger.transition import chain_record, params_of
from tests.unit.ledger_kit import Chain, Nothing, id_of

NUMBER = 27


class Say(Wire, frozen=True, tag=32 * NUMBER):
    text: str


class SayAgain(Wire, frozen=True, tag=32 * NUMBER):
    text: str


class Foreign(Wire, frozen=True, tag=32 * NUMBER + 32):
    text: str


class Said(Wire, frozen=True):
    text: str


class SayCode(IntEnum):
    TOO_LOUD = 100 * NUMBER


class ForeignCode(IntEnum):
    TOO_LOUD = 100 * NUMBER - 1


def say(host: Host, sender: bytes, m: Any) -> None:
    host.emit("said", sender, m.text)


SPEC = MessageSpec(say)
TOY = Contract(
    "toy",
    NUMBER,
    {Say: SPEC},
    SayCode,
    {b"ts/": Said},
    listed={b"ts/": Listing(lambda said: bool(said.text), b"tl/")},
    events={"said": (Datum("text", Form.TEXT),)},
    escrows=(EscrowShape("deposit for speech", b"S"),),
)


def test_a_contract_stands_in_every_table() -> None:
    registry = Registry([*CONTRACTS, TOY])
    assert registry.by_number[NUMBER] is TOY
    assert registry.messages[Say] == (TOY, SPEC)
    assert registry.state[b"ts/"] is Said and registry.prefixes[Said] == (b"ts/",)
    assert registry.listed[b"ts/"].name == b"tl/"
    assert [c.number for c in registry.contracts] == [1, 2, 3, 4, 5, 6, 7, NUMBER]


CLAIMS: dict[str, tuple[Callable[[], Contract], str]] = {
    "a number twice": (lambda: replace(TOY, number=3, messages={}, codes=Nothing), "claims the number 3"),
    "a name twice": (lambda: replace(TOY, name="job"), "claims the name 'job'"),
    "a number that is no byte": (lambda: replace(TOY, number=256, messages={}, codes=Nothing), "1 to 255, not 256"),
    "a tag of another's range": (lambda: replace(TOY, messages={Foreign: SPEC}), "tag 896 is not among 864 to 895"),
    "a tag twice": (lambda: replace(TOY, messages={Say: SPEC, SayAgain: SPEC}), "two messages have the same tag"),
    "a code of another's range": (lambda: replace(TOY, codes=ForeignCode), "TOO_LOUD is 2699, not among 2700 to 2799"),
    "a prefix of the ledger": (lambda: replace(TOY, state={b"a/": Said}, listed={}), "claims the state prefix b'a/'"),
    "a prefix of another": (lambda: replace(TOY, state={b"jb/": Said}, listed={}), "which is that of contract job"),
    "a prefix without an end": (lambda: replace(TOY, state={b"ts": Said}, listed={}), "does not end with its only slash"),
    "a prefix within a prefix": (lambda: replace(TOY, state={b"t/s/": Said}, listed={}), "does not end with its only slash"),
    "a listing where nothing is kept": (lambda: replace(TOY, listed={b"tt/": ALL}), "lists b'tt/' and keeps no records there"),
    "a listing under a prefix of records": (
        lambda: replace(TOY, listed={b"ts/": Listing(bool, b"jb/")}),
        "claims the state prefix b'jb/'",
    ),
    "a listing under the name of another": (
        lambda: replace(TOY, listed={b"ts/": Listing(bool, b"v/")}),
        "claims the state prefix b'v/'",
    ),
    "an index of what is not listed": (lambda: replace(TOY, indexes=(Pool,)), "the index Pool is of b'm/', which is not listed"),
    "a topic of the ledger": (lambda: replace(TOY, events={"parked": ()}), "claims the topic 'parked'"),
    "a topic of another": (lambda: replace(TOY, events={"claim": ()}), "claims the topic 'claim'"),
    "a topic that no event can have": (lambda: replace(TOY, events={"x" * 33: ()}), "more than 32 characters"),
    "many before the last": (lambda: replace(TOY, events={"said": (Datum("a", many=True), Datum("b"))}), "only the last datum"),
    "a service twice": (
        lambda: replace(TOY, services={STANDING: lambda host: None}),
        "claims the service 'standing', which is that of contract membership",
    ),
    "work whose most is not stated": (
        lambda: replace(TOY, messages={Say: MessageSpec(say, work=lambda m: 5)}),
        "the work of Say is a function of it, and its most is not stated",
    ),
    "work that is none": (lambda: replace(TOY, messages={Say: MessageSpec(say, work=0)}), "the work of Say is not at least 1"),
    "admission by an event that it has not": (lambda: replace(TOY, admission=frozenset({"banned"})), "names events that it does"),
    "reports that another takes": (lambda: replace(TOY, reports=lambda evidence: evidence), "claims the reports of double signing"),
    "a life that is not listed": (lambda: replace(TOY, live=LiveIndex(b"tt/")), "what lives is not listed under b'tt/'"),
    "escrows that look like another's": (lambda: replace(TOY, escrows=JOB.escrows[:1]), "claims escrows that look like"),
}


@pytest.mark.parametrize("what", CLAIMS)
def test_a_contract_that_cannot_stand_beside_the_others_ends_the_program_at_its_start(what: str) -> None:
    make, why = CLAIMS[what]
    with pytest.raises(InvalidContract, match=why.replace("(", r"\(")):
        Registry([*CONTRACTS, make()])


def test_a_message_name_twice_would_be_ambiguous_in_every_api() -> None:
    transfer = type("Transfer", (Wire,), {"__annotations__": {}}, frozen=True, tag=32 * NUMBER)
    with pytest.raises(InvalidContract, match="claims the message name 'Transfer'"):
        Registry([*CONTRACTS, replace(TOY, messages={transfer: SPEC})])


def test_an_event_has_the_data_that_were_declared() -> None:
    host = _host(TOY)
    host.emit("said", b"ref", "hello")
    for data in ((), (1,), (b"x",), ("x", "y")):
        with pytest.raises(BrokenInvariant, match="contract toy declares no event 'said' with the data"):
            host.emit("said", b"ref", *data)
    assert len(host.events) == 1


def test_the_last_datum_may_be_many() -> None:
    host = _host(replace(TOY, events={"listed": (Datum("first"), Datum("rest", Form.ID, many=True))}))
    for data in ((1,), (1, b"x"), (1, b"x", b"y")):
        host.emit("listed", b"ref", *data)
    for data in ((), (1, 2), (1, b"x", 3)):
        with pytest.raises(BrokenInvariant, match="declares no event"):
            host.emit("listed", b"ref", *data)


def _host(contract: Contract) -> Host:
    chain = Chain()
    now = chain_record(chain.state)
    return host_of(Overlay(chain.state), params_of(chain.state), now, 1, 1, 1, bytes(32)).acting(contract)


@pytest.mark.parametrize(
    "use",
    [
        lambda host, who: host.ban(who, b""),
        lambda host, who: host.freeze(who, 1, b""),
        lambda host, who: host.unfreeze(who, b""),
        lambda host, who: host.mint(who, 1, "found", b""),
        lambda host, who: host.change_validators([]),
        lambda host, who: host.release(3, b"", give_back=True),
        lambda host, who: host.close_case(who, [], True),
    ],
)
def test_a_power_is_only_for_a_contract_that_declares_it(use: Callable[[Host, bytes], None]) -> None:
    for contract in (credits.CONTRACT, JOB, TOY):
        host = _host(contract)
        with pytest.raises(BrokenInvariant, match=f"contract {contract.name} has no power to"):
            use(host, id_of("v1"))
