"""The last-signed guard: what keeps a validator from ever signing two different things in the same place.

For each kind of message (proposal, prevote, precommit) it keeps height, round, digest and signature of the last one signed. A new
signature leaves only after that is durable. `sign` answers

    the same request again                                   -> the same signature
    (height, round, kind) above everything signed before     -> a new signature
    anything else                                            -> None: silence

The file has four slots of one sector. A state is written into two of them with one sync, into the other two next time. A power cut
tears at most the pair being written, whose signature has not left; a single sector that rots later has its twin. The newest
readable slot therefore always is the last state whose signature may have left.

A missing or unreadable guard signs nothing: only `Guard.create`, the operator's explicit word, starts a new one. For the thread of
the node's driver alone.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from enum import IntEnum
from hashlib import sha256
from typing import NamedTuple

from learningchain.chain.storage.disk import SECTOR, Disk, File, OsDisk
from learningchain.chain.storage.errors import GuardMissing, StorageFailed, StorageMismatch, disk_errors


class Kind(IntEnum):
    """In the order in which a round's messages are signed. Prevote and precommit have the numbers of a vote's `type`."""

    PROPOSAL = 0
    PREVOTE = 1
    PRECOMMIT = 2


class SignState(NamedTuple):
    height: int
    round: int
    digest: bytes
    signature: bytes


_MAGIC = b"LCGUARD1"
_HEAD = struct.Struct(">8s32sQQ")
_ENTRY = struct.Struct(">BQQ32s64s")
_BODY = _HEAD.size + len(Kind) * _ENTRY.size
_SLOTS = 4
ALL_ROUNDS = 2**31 - 1
_PAIRS = ((0, 2), (1, 3))
_RISK = (
    "If this key has signed before, here or on another machine that still runs, signing now may contradict it, and contradicting "
    "signatures cost a validator its seat. Make sure that no second machine uses this key; then start the node once with "
    "--accept-new-guard"
)


class _State(NamedTuple):
    counter: int
    floor: int
    """Heights up to this one are never signed."""
    entries: tuple[SignState | None, ...]


class Guard:
    """An open guard."""

    def __init__(self, path: str, chain_id: bytes, file: File, state: _State) -> None:
        self.path, self.chain_id = path, chain_id
        self._file, self._state = file, state
        self._broken: StorageFailed | None = None

    @classmethod
    def create(cls, path: str, *, chain_id: bytes, after_height: int = 0, disk: Disk | None = None) -> Guard:
        """Start a new guard, on the operator's word or for a node that never signed. It signs nothing up to `after_height`.

        An unreadable guard is kept beside it as `<name>.old`. Raises `StorageFailed` when a readable one is there.
        """
        disk = disk or OsDisk()
        new = path + ".new"
        with disk_errors("create the last-signed guard", path):
            if disk.exists(path):
                if _newest(_read(path, disk), chain_id, path) is not None:
                    why = "it can be read, and giving it up could make this validator contradict itself"
                    raise StorageFailed(f"The last-signed guard {path} is not replaced", why, "Start without --accept-new-guard")
                disk.rename(path, path + ".old")
            state = _State(1, after_height, (None,) * len(Kind))
            file = disk.open(new, create=True)
            try:
                for slot in range(_SLOTS):
                    file.write(slot * SECTOR, _slot_bytes(chain_id, state).ljust(SECTOR, b"\0"))
                file.sync()
                disk.rename(new, path)
                disk.sync_folder(path)
            except BaseException:
                file.close()
                raise
        return cls(path, chain_id, file, state)

    @classmethod
    def open(cls, path: str, *, chain_id: bytes, disk: Disk | None = None) -> Guard:
        """Raises `GuardMissing` when there is none to trust, `StorageMismatch` when it is another network's, `StorageFailed`."""
        disk = disk or OsDisk()
        with disk_errors("open the last-signed guard", path):
            if not disk.exists(path):
                raise GuardMissing("This node signs nothing", f"its last-signed guard {path} is missing", _RISK)
            state = _newest(_read(path, disk), chain_id, path)
            if state is None:
                raise GuardMissing("This node signs nothing", f"its last-signed guard {path} cannot be read", _RISK)
            guard = cls(path, chain_id, disk.open(path), state)
            try:
                # Both pairs are written anew: what a crash tore is whole again, and what was read is durable.
                guard._store(state.floor, state.entries)
                guard._store(state.floor, state.entries)
            except BaseException:
                guard._file.close()
                raise
        return guard

    def sign(self, kind: Kind, height: int, round_: int, digest: bytes, sign: Callable[[bytes], bytes]) -> bytes | None:
        """The signature of `digest` (32 bytes) in this place, or None where it could contradict an earlier one.

        `sign` is called at most once. Raises `StorageFailed`: then no signature leaves, now or later from this object.
        """
        if self._broken is not None:
            raise self._broken
        known = self._state.entries[kind]
        if known is not None and (known.height, known.round, known.digest) == (height, round_, digest):
            return known.signature
        if height <= self._state.floor or (height, round_, kind) <= self._highest():
            return None
        entry = SignState(height, round_, digest, sign(digest))
        if len(entry.digest) != 32 or len(entry.signature) != 64:
            raise ValueError("a digest has 32 bytes and a signature 64")
        entries = list(self._state.entries)
        entries[kind] = entry
        self._store(self._state.floor, tuple(entries))
        return entry.signature

    @property
    def signed(self) -> tuple[int, int, int]:
        """The highest (height, round, kind) that was signed, or that is given up, as far as this guard knows.

        A guard on the operator's word that has signed nothing yet knows that another one was lost: height -1.
        """
        if self._state.floor > 0 and not any(self._state.entries):
            return -1, 0, Kind.PROPOSAL
        return max(self._highest(), (self._state.floor, ALL_ROUNDS, Kind.PRECOMMIT))

    def abstain(self, until: int) -> None:
        """Never sign anything up to this height from now on. Durable on return. Raises `StorageFailed`."""
        if self._broken is not None:
            raise self._broken
        if until > self._state.floor:
            self._store(until, self._state.entries)

    def last(self, kind: Kind) -> SignState | None:
        """The last one signed of this kind."""
        return self._state.entries[kind]

    def close(self) -> None:
        self._file.close()

    def _highest(self) -> tuple[int, int, int]:
        places = [(e.height, e.round, kind) for kind, e in enumerate(self._state.entries) if e is not None]
        return max(places, default=(0, -1, -1))

    def _store(self, floor: int, entries: tuple[SignState | None, ...]) -> None:
        state = _State(self._state.counter + 1, floor, entries)
        raw = _slot_bytes(self.chain_id, state)
        try:
            with disk_errors("write the last-signed guard", self.path):
                for slot in _PAIRS[state.counter % 2]:
                    self._file.write(slot * SECTOR, raw)
                self._file.sync()
        except StorageFailed as e:
            # Whether the new state is on disk is unknown: this object must not sign anything any more.
            self._broken = e
            raise
        self._state = state


# --- the format ---------------------------------------------------------------------------------------------------------------


def _slot_bytes(chain_id: bytes, state: _State) -> bytes:
    body = _HEAD.pack(_MAGIC, chain_id, state.counter, state.floor)
    for e in state.entries:
        body += _ENTRY.pack(1, e.height, e.round, e.digest, e.signature) if e else bytes(_ENTRY.size)
    return body + sha256(body).digest()


def _read(path: str, disk: Disk) -> list[bytes]:
    file = disk.open(path)
    try:
        return [file.read(slot * SECTOR, _BODY + 32) for slot in range(_SLOTS)]
    finally:
        file.close()


def _newest(slots: list[bytes], chain_id: bytes, path: str) -> _State | None:
    """The newest readable state, or None. Raises `StorageMismatch` when all that is readable is another network's."""
    states: list[tuple[bytes, _State]] = []
    for raw in slots:
        body = raw[:_BODY]
        if len(raw) != _BODY + 32 or sha256(body).digest() != raw[_BODY:] or not body.startswith(_MAGIC):
            continue
        _, owner, counter, floor = _HEAD.unpack_from(body)
        entries = (_ENTRY.unpack_from(body, _HEAD.size + i * _ENTRY.size) for i in range(len(Kind)))
        states.append((owner, _State(counter, floor, tuple(SignState(*e[1:]) if e[0] else None for e in entries))))
    if not states:
        return None
    owner, state = max(states, key=lambda s: s[1].counter)
    if owner != chain_id:
        why = f"it belongs to the network {owner.hex()[:16]}, not to {chain_id.hex()[:16]}"
        raise StorageMismatch(f"The last-signed guard {path} is another network's", why, "Give each network its own data folder")
    return state
