"""All contracts of a program side by side: what they declare, checked against each other and put into tables.

A mistake in a declaration, or two contracts that claim the same, ends the program at its start (`InvalidContract`): later it would
be found by a block.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from operator import or_
from typing import Any

import msgspec

from learningchain.chain.host.contract import CODES, TAGS, Contract, EscrowShape, MessageSpec
from learningchain.chain.host.listing import Listing
from learningchain.chain.host.records import BASE_EVENTS, BASE_LISTED, BASE_STATE, params_key
from learningchain.chain.params import Params
from learningchain.chain.types import Evidence

MAX_NUMBER = 255
"""One byte in the key of a deadline."""
MAX_TOPIC = 32


class InvalidContract(Exception):
    """A contract that cannot be registered beside the others; the text says which and why."""


class Registry:
    """Contracts in the order of their numbers, and their tables."""

    def __init__(self, contracts: Iterable[Contract]) -> None:
        self.contracts: tuple[Contract, ...] = tuple(sorted(contracts, key=lambda c: c.number))
        self.by_number: dict[int, Contract] = {}
        self.messages: dict[type, tuple[Contract, MessageSpec]] = {}
        self.state: dict[bytes, type] = dict(BASE_STATE)
        self.listed: dict[bytes, Listing] = dict(BASE_LISTED)
        self.archived: tuple[bytes, ...] = ()
        """The prefixes of records that nodes keep when they leave the state."""
        self._claimed: dict[tuple[str, Any], str] = {}
        for what, found in (
            ("the state prefix", [*BASE_STATE]),
            ("the topic", [*BASE_EVENTS]),
            ("the parameter", [*Params.__struct_fields__]),
        ):
            self._claim("the ledger", what, found)
        for contract in self.contracts:
            self._add(contract)
        self.prefixes: dict[type, tuple[bytes, ...]] = {
            t: tuple(p for p, u in self.state.items() if u is t) for t in self.state.values()
        }
        """The prefixes under which records of a type are kept."""
        self.any_message: Any = reduce(or_, self.messages)
        """The type of every message: what a decoder takes."""
        self.admission: frozenset[str] = frozenset(topic for c in self.contracts for topic in c.admission)

    def _add(self, c: Contract) -> None:
        if not 1 <= c.number <= MAX_NUMBER or not c.name:
            raise InvalidContract(
                f"contract {c.name!r}: a contract has a name, and a number from 1 to {MAX_NUMBER}, not {c.number}"
            )
        _check_messages(c)
        _check_state(c)
        _check_events(c)
        names = [listing.name for listing in c.listed.values() if listing.shows is not None]
        for what, found in (
            ("the number", [c.number]),
            ("the name", [c.name]),
            ("the message name", [kind.__name__ for kind in c.messages]),
            ("the state prefix", [*c.state, *names]),
            ("the topic", [*c.events]),
            ("the parameter", [f.name for f in msgspec.structs.fields(c.params)] if c.params is not None else []),
            ("the service", [service.name for service in c.services]),
            ("the reports of double signing", ["all"] if c.reports is not None else []),
            ("escrows that look like those of", [(shape.account, shape.suffix) for shape in c.escrows]),
        ):
            self._claim(f"contract {c.name}", what, found)
        self.by_number[c.number] = c
        self.messages |= {kind: (c, spec) for kind, spec in c.messages.items()}
        self.state |= c.state
        if c.params is not None:
            self.state[params_key(c.number)] = c.params
        self.listed |= c.listed
        if c.archive is not None:
            self.archived += (*c.archive.records, c.archive.numbers)

    def _claim(self, who: str, what: str, claims: Iterable[Any]) -> None:
        for claim in claims:
            other = self._claimed.setdefault((what, claim), who)
            if other is not who:
                raise InvalidContract(f"{who} claims {what} {claim!r}, which is that of {other}")

    def escrow(self, ref: bytes) -> EscrowShape | None:
        """What an escrow is by its reference."""
        return next((shape for c in self.contracts for shape in c.escrows if shape.fits(ref)), None)

    def report(self, evidence: Evidence) -> tuple[str, Any] | None:
        """The message that tells the ledger of a double signing, with its contract's name; None where no contract takes one."""
        return next(((c.name, c.reports(evidence)) for c in self.contracts if c.reports is not None), None)


def _check_messages(c: Contract) -> None:
    tags = [kind.__struct_config__.tag for kind in c.messages if issubclass(kind, msgspec.Struct)]
    for tag in tags:
        if not isinstance(tag, int) or tag // TAGS != c.number:
            raise InvalidContract(f"contract {c.name}: tag {tag!r} is not among {TAGS * c.number} to {TAGS * c.number + TAGS - 1}")
    for kind, spec in c.messages.items():
        if spec.heaviest < 1:
            why = "not at least 1" if isinstance(spec.work, int) else "a function of it, and its most is not stated"
            raise InvalidContract(f"contract {c.name}: the work of {kind.__name__} is {why}")
    if len(set(tags)) != len(tags):
        raise InvalidContract(f"contract {c.name}: two messages have the same tag")
    for code in c.codes:
        if int(code) // CODES != c.number:
            text = f"code {code.name} is {int(code)}, not among {CODES * c.number} to {CODES * c.number + CODES - 1}"
            raise InvalidContract(f"contract {c.name}: {text}")


def _check_state(c: Contract) -> None:
    names = [listing.name for listing in c.listed.values() if listing.shows is not None]
    for prefix in (*c.state, *names):
        if len(prefix) < 2 or prefix.find(b"/") != len(prefix) - 1:
            raise InvalidContract(f"contract {c.name}: the prefix {prefix!r} does not end with its only slash")
    if c.live is not None and c.live.prefix not in c.listed:
        raise InvalidContract(f"contract {c.name}: what lives is not listed under {c.live.prefix!r}")
    for prefix in c.listed:
        if prefix not in c.state:
            raise InvalidContract(f"contract {c.name} lists {prefix!r} and keeps no records there")
    for prefix in c.bound:
        if prefix not in c.listed or c.on_give_back is None:
            raise InvalidContract(f"contract {c.name}: what is bound under {prefix!r} is not listed, or it gives nothing back")
    for prefix in c.forgotten:
        if prefix not in c.state:
            raise InvalidContract(f"contract {c.name} forgets {prefix!r} and keeps no records there")
    for index in c.indexes:
        if index.prefix not in c.listed:
            raise InvalidContract(f"contract {c.name}: the index {index.__name__} is of {index.prefix!r}, which is not listed")
    for prefix in (*c.archive.records, c.archive.numbers) if c.archive is not None else ():
        if prefix not in c.state:
            raise InvalidContract(f"contract {c.name} archives {prefix!r} and keeps no records there")


def _check_events(c: Contract) -> None:
    for topic, data in c.events.items():
        if len(topic) > MAX_TOPIC:
            raise InvalidContract(f"contract {c.name}: the topic {topic!r} has more than {MAX_TOPIC} characters")
        if any(datum.many for datum in data[:-1]):
            raise InvalidContract(f"contract {c.name}: only the last datum of {topic!r} can be many")
    if unknown_topics := c.admission - c.events.keys():
        raise InvalidContract(f"contract {c.name}: admission names events that it does not declare: {sorted(unknown_topics)}")
