"""Nodes broken on purpose: each must be caught by a checker within a few seeds. That tests the tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any
from unittest import mock

from chain.consensus import resend
from chain.consensus.height import HeightState
from chain.consensus.machine import Consensus
from chain.contracts.base import Host
from chain.node.node import Node
from chain.node.recovery import Recovered, read_log
from chain.storage.guard import Guard
from chain.storage.wal import Wal
from chain.types import NIL, NO_ROUND
from tests.sim.profile import Profile

_PATCH = "chain.consensus.votes.quorum", "chain.types.quorum"


def _fewer(n: int) -> int:
    return max(1, 2 * n // 3)


def _without_decisions(log: list[bytes]) -> Recovered:
    found = read_log(log)
    found.certificates.clear()
    return found


_enter, _apply, _move = HeightState.enter, Node._apply, Host.move


def _enter_free(self: HeightState, round_: int) -> None:
    self.locked_round, self.locked_id, self.valid_round, self.valid_id = NO_ROUND, NIL, NO_ROUND, NIL
    _enter(self, round_)


def _apply_and_empty(self: Node, *args: Any, durable: bool, truncate: bool = True) -> None:
    _apply(self, *args, durable=durable, truncate=True)


def _sign_all(self: Guard, kind: Any, height: int, round_: int, digest: bytes, sign: Callable[[bytes], bytes]) -> bytes:
    return sign(digest)


def _move_and_mint(self: Host, source: bytes, target: bytes, amount: int, *rest: Any) -> None:
    _move(self, source, target, amount, *rest)
    account = self.known_account(target)
    self.put(b"a/" + target, type(account)(account.key, account.status, account.balance + 1, account.frozen, account.sequences))


def _nothing(*_: Any, **__: Any) -> None:
    return None


def _only_state(s: HeightState, _turn: int) -> tuple[list[Any], int]:
    return [s.round_state()], 0


_unsynced = mock.patch.object(Wal, "sync", _nothing)

MUTANTS: dict[str, tuple[Any, ...]] = {
    "quorum off by one": tuple(mock.patch(where, _fewer) for where in _PATCH),
    "lock dropped": (mock.patch.object(HeightState, "enter", _enter_free),),
    "log not replayed": (mock.patch.object(Consensus, "replay", lambda self, records: []),),
    "log not synced": (_unsynced,),
    "log not synced, no guard": (_unsynced, mock.patch.object(Guard, "sign", _sign_all)),
    "decisions in the log ignored": (mock.patch("chain.node.node.read_log", _without_decisions),),
    "log emptied while it is redone": (mock.patch.object(Node, "_apply", _apply_and_empty),),
    "certificates of synced blocks unchecked": (mock.patch("chain.node.decided.check_certificate", _nothing),),
    "time of a block unchecked": (mock.patch("chain.node.candidates.is_timely", lambda candidate, round_, params: True),),
    "a transfer mints": (
        mock.patch("chain.ledger.transition._check_balance", _nothing),
        mock.patch.object(Host, "move", _move_and_mint),
    ),
    "nothing sent again": (
        mock.patch.object(resend, "again", _only_state),
        mock.patch.object(resend, "answer", lambda s, last, peer: []),
    ),
}


def _named(name: str) -> Callable[[], Any]:
    @contextmanager
    def applied() -> Iterator[None]:
        with ExitStack() as stack:
            for patch in MUTANTS[name]:
                stack.enter_context(patch)
            yield

    return applied


BY_NAME: dict[str, Callable[[], Any]] = {name: _named(name) for name in MUTANTS}


def _cuts(end: int) -> tuple[tuple[int, int], ...]:
    return tuple((at, -1) for at in range(150, end, 90))


_CUTS = Profile(heal_at=4_000, crashes=_cuts(4_000), transfers=10, delay=2)
"""The whole graph loses its power again and again."""
_STORM = Profile(heal_at=3_000, loss=0.15, crashes=tuple((at, at // 97 % 4) for at in range(100, 3_000, 97)), delay=30, skew=())
_DEAF = Profile(heal_at=6_000, loss=0.5, transfers=10, delay=100)
"""Half of everything is lost: some lock, and the others never hear of it."""
PROFILES: dict[str, Profile] = {
    "lock dropped": _DEAF,
    "log not replayed": _STORM,
    "log not synced": _STORM,
    "log not synced, no guard": _STORM,
    "decisions in the log ignored": _CUTS,
    "log emptied while it is redone": replace(
        _CUTS, validators=7, heal_at=6_000, writer=(300,), transfers=30, crashes=_cuts(6_000)
    ),
    "certificates of synced blocks unchecked": Profile(attacks=("liar",), loss=0.2, crashes=((400, 0), (900, 1), (1_500, 2))),
    "time of a block unchecked": Profile(attacks=("bad proposer",)),
}
"""Where the drawn profiles would need many seeds."""
