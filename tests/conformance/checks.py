"""The one list of what this implementation checks and does, by the rule that demands it.

A check is a function that says whether something may be; a step changes the state. Each can be taken out by its name: it is then
as if the implementer had forgotten it. The vectors are good if they notice that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec

P = ParamSpec("P")


class Refused(Exception):
    """Bytes, keys, proofs, transactions or blocks that the protocol refuses; `code` where the rule has one."""

    def __init__(self, why: str, code: int | None = None) -> None:
        super().__init__(why)
        self.code = code


CHECKS: set[str] = set()
_out: set[str] = set()
_touched: set[str] = set()
_decisive: set[str] = set()
_watched = [False]
"""Whether somebody asks which checks were come to, or has taken one out: otherwise what holds need not be told."""


def watched() -> bool:
    return _watched[0]


@contextmanager
def _watching() -> Iterator[None]:
    before, _watched[0] = _watched[0], True
    try:
        yield
    finally:
        _watched[0] = before


def register(name: str) -> str:
    if name in CHECKS:
        raise ValueError(f"two checks are named {name}")
    CHECKS.add(name)
    return name


def need(name: str, condition: bool, code: int | None = None) -> None:
    """Refuse unless a registered check holds, or is taken out."""
    _touched.add(name)
    if not condition:
        _refuse(name, code)


def _refuse(name: str, code: int | None) -> None:
    _decisive.add(name)
    if name not in _out:
        raise Refused(name, code)


def part(name: str) -> bool:
    """Whether a registered part of a formula is in."""
    if name not in CHECKS:
        raise KeyError(name)
    _touched.add(name)
    _decisive.add(name)
    return name not in _out


def check(rule: str, code: int | None = None) -> Callable[[Callable[P, bool]], Callable[P, None]]:
    """Register a function that tells whether the rule holds; the function made of it raises `Refused` where it does not."""

    def wrap(holds: Callable[P, bool]) -> Callable[P, None]:
        name = register(f"{rule}: {holds.__name__}")

        def checked(*given: P.args, **named: P.kwargs) -> None:
            _touched.add(name)
            if name not in _out and not holds(*given, **named):
                _refuse(name, code)

        return checked

    return wrap


def step(rule: str) -> Callable[[Callable[P, None]], Callable[P, None]]:
    """Register a function that does what the rule says."""

    def wrap(does: Callable[P, None]) -> Callable[P, None]:
        name = register(f"{rule}: {does.__name__}")

        def done(*given: P.args, **named: P.kwargs) -> None:
            _touched.add(name)
            _decisive.add(name)
            if name not in _out:
                does(*given, **named)

        return done

    return wrap


@contextmanager
def without(name: str) -> Iterator[None]:
    """As if this check had been forgotten."""
    if name not in CHECKS:
        raise KeyError(name)
    _out.add(name)
    try:
        with _watching():
            yield
    finally:
        _out.discard(name)


@contextmanager
def touched() -> Iterator[tuple[set[str], set[str]]]:
    """The checks that were asked in between, and those of them without which it might have ended otherwise: whoever only agreed
    all the time might as well not have been asked."""
    _touched.clear()
    _decisive.clear()
    with _watching():
        yield _touched, _decisive
