"""A node that takes a snapshot lives twice: what the operator said at its start was for the first life."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any, cast

import pytest

from learningchain.chain.crypto import SigningKey
from learningchain.chain.node.double_sign_check import UNKNOWN
from learningchain.chain.storage.blockstore import Head
from learningchain.chain.storage.datadir import DataDir
from learningchain.chain.storage.errors import DiskFull, ServerUnreachable, StorageDamaged
from learningchain.chain.storage.guard import ALL_ROUNDS, Guard, Kind
from learningchain.chain.storage.wal import Wal
from learningchain.client.daemon.faults import exit_code
from learningchain.client.daemon.opening import open_guard, take_at_word
from learningchain.client.daemon.running import Daemon
from learningchain.client.keys.signing import LocalSigner
from learningchain.client.node import process

CHAIN = b"c" * 32
SIGNED = (7, 0, b"d" * 32)


class Twice(Daemon):
    """Its first life signs something and makes room for the second, which tells what its guard knows."""

    lives = 0
    known: Any = None

    async def _live(self, folder: DataDir, accept_new_guard: bool) -> int | None:
        self.lives += 1
        wal = Wal.open(folder.wal, chain_id=CHAIN, create=True)
        try:
            guard = open_guard(folder, wal, Head(5, CHAIN, None), [], accept_new=accept_new_guard)
        finally:
            wal.close()
        try:
            if self.lives == 1:
                assert guard.sign(Kind.PREVOTE, *SIGNED, lambda digest: b"s" * 64) is not None
                return None
            self.known = guard.last(Kind.PREVOTE)
            return 0
        finally:
            guard.close()


async def test_the_word_for_a_new_guard_counts_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The life after a snapshot opens the guard of the one before: a readable one is not replaced, so the start would fail."""
    monkeypatch.setattr(process, "raise_file_limit", lambda: 1_024)
    nothing = cast(Any, None)
    folder = DataDir.open(str(tmp_path / "node"), create=True)
    try:
        node = Twice(tmp_path / "node", nothing, nothing, nothing, work=False)
        assert await node.run(folder, accept_new_guard=True) == 0
    finally:
        folder.close()
    assert node.lives == 2
    assert (node.known.height, node.known.round, node.known.digest) == SIGNED


def test_the_operator_s_word_up_to_where_the_key_signed_ends_the_doubt_and_is_kept(tmp_path: Path) -> None:
    """A guard that knows that it forgot, as `restore` makes it: nothing up to there is signed, by this process or a later one."""
    with contextlib.closing(Guard.create(str(tmp_path / "guard"), chain_id=CHAIN, after_height=1)) as guard:
        assert guard.signed == UNKNOWN
        assert take_at_word(signer_of(guard), guard.signed, 70) == (70, ALL_ROUNDS, Kind.PRECOMMIT)
    with contextlib.closing(Guard.open(str(tmp_path / "guard"), chain_id=CHAIN)) as guard:
        assert guard.sign(Kind.PREVOTE, 70, 9, bytes(32), lambda digest: bytes(64)) is None
        assert guard.sign(Kind.PREVOTE, 71, 0, bytes(32), lambda digest: bytes(64)) is not None
        assert take_at_word(signer_of(guard), guard.signed, 7) == (71, 0, Kind.PREVOTE), "what the guard knows stays"


def signer_of(guard: Guard) -> LocalSigner:
    return LocalSigner(SigningKey(b"\x01" * 32), guard, CHAIN, b"i" * 20)


def test_a_unit_starts_again_what_ended_with_the_database_s_server_and_nothing_else() -> None:
    unit = (Path(__file__).parents[2] / "packaging/learningchain.service").read_text()
    never = unit.partition("RestartPreventExitStatus=")[2].split("\n")[0].split()
    assert str(exit_code(ServerUnreachable("a", "b", "c"))) not in never
    for fault in (DiskFull("a", "b", "c"), StorageDamaged("a", "b", "c"), RuntimeError(), None):
        assert str(exit_code(fault)) in never
