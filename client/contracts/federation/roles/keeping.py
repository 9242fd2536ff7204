"""Other members' vaults (LC-FILE-40, 43): kept for two members before this one, and shares given to whom they belong. Pure.

    the ledger names a vault, this node is one of its two keepers   FetchContent --ReadVault--> kept, served to its owner alone
    ShareAsk of a member whose node was lost                        FetchContent --ReadVault--> own share --> ShareGive, once here

Nothing is served before its head says whose vault it is: else a member that names another file of this node would get it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

from msgspec import Meta
from msgspec.structs import replace

from learningchain.chain.codec import Wire
from learningchain.chain.contracts.federation import records
from learningchain.chain.contracts.federation.records import FederationMember
from learningchain.chain.contracts.membership import Member
from learningchain.chain.contracts.membership import member_key as membership_key
from learningchain.chain.host.terms import Small
from learningchain.chain.types import AccountId, Hash, Uint, cid_text
from learningchain.client.contracts.federation.arithmetic.vault import BadVault, VaultPlace, give_share, own_share
from learningchain.client.contracts.federation.roles.channel import ShareAsk, ShareGive, tell
from learningchain.client.contracts.federation.roles.looking import FederationLook
from learningchain.client.contracts.federation.roles.ring import RING_MS, keepers_of, kept_by, most_bytes
from learningchain.client.contracts.federation.tasks import ReadHead, ReadVault
from learningchain.client.contracts.federation.wishes import PathText
from learningchain.client.node.interface import PRIVATE
from learningchain.client.work.boxes import OwnBoxKeys
from learningchain.client.work.events import (
    Compute,
    Computed,
    ComputeFailed,
    ContentMissing,
    ContentReady,
    Effect,
    EndScope,
    FetchContent,
    Input,
    PeerSaid,
    ServeFile,
    StopServing,
    Unpin,
)
from learningchain.client.work.machine import Recalled
from learningchain.p2p.content.cid import CidBytes

FETCH_MS: Final = 600_000
ASKED_MS: Final = 120_000
"""How long the file of a vault is waited for whose share was asked for."""
REPLY_MS: Final = 5_000
"""Chain clock in which one member is answered once."""
MOST_ASKS: Final = 64
"""Asks that wait for the next look at the ledger."""
MOST_READING: Final = 8
"""Vaults that are fetched for a share at one time."""
MOST_SHARES: Final = 256
"""Vaults of which it is known whether they hold a share for this node; the longest unasked go first."""
MOST_HELD: Final = 4_096


class VaultHeld(Wire, frozen=True):
    """A vault that this node keeps. `index` of its owner, and `named`: one more than the r in which the ledger got it."""

    federation: Hash
    owner: AccountId
    index: Small
    named: Uint
    cid: CidBytes
    path: PathText


class HeldBook(Wire, frozen=True):
    held: Annotated[list[VaultHeld], Meta(max_length=MOST_HELD)]


NOTHING_HELD: Final = HeldBook([])


@dataclass(frozen=True)
class _Read:
    """What is fetched and read: to be kept, or for a share that its owner asked for."""

    held: VaultHeld
    share: bool

    @property
    def pin(self) -> str:
        what = "share" if self.share else "kept"
        return f"{PRIVATE}fed-{what}-{self.held.index}-{self.held.named}"

    @property
    def scope(self) -> str:
        return f"{self.pin}:{self.held.federation.hex()}"


def _read_of(at: FederationLook, owner: bytes, member: FederationMember, *, share: bool) -> _Read:
    return _Read(VaultHeld(at.id, owner, member.index, member.vault_r, member.vault, ""), share)


_Vault = tuple[bytes, bytes, bytes]
"""Federation, owner, name."""


class OthersVaults:
    """`book` is replaced, never changed."""

    def __init__(self, known: Recalled, keys: OwnBoxKeys, book: HeldBook = NOTHING_HELD) -> None:
        self._known, self._keys, self.book = known, keys, book
        self._reading: dict[str, _Read] = {}
        self._bad: dict[tuple[bytes, bytes], tuple[bytes, int | None]] = {}
        """By federation and owner: the last file that is no vault of theirs, or until when one that was not to be had is left."""
        self._clock = 0
        self._served: dict[bytes, tuple[bytes, ...]] = {}
        self._ring_at: dict[bytes, int] = {}
        self._asks: dict[tuple[bytes, bytes], int] = {}
        """By federation and who asks: for the r of which vault."""
        self._shares: OrderedDict[_Vault, tuple[VaultPlace, bytes] | None] = OrderedDict()
        self._replied: dict[tuple[bytes, bytes], int] = {}

    # --- inputs ------------------------------------------------------------------------------------------------------------------

    def hear(self, given: Input) -> list[Effect]:
        match given:
            case PeerSaid(message=ShareAsk() as ask) if len(self._asks) < MOST_ASKS:
                self._asks[ask.federation, given.sender] = ask.r
            case ContentReady() if given.scope in self._reading:
                one = self._reading[given.scope]
                self._reading[given.scope] = _Read(replace(one.held, path=str(given.path)), one.share)
                task = ReadVault(one.held.federation, one.held.owner, given.path)
                return [Compute(given.scope, "read", one.held.federation, task)]
            case ContentMissing() if given.scope in self._reading:
                one = self._reading.pop(given.scope)
                if not one.share:
                    self._bad[one.held.federation, one.held.owner] = one.held.cid, self._clock + FETCH_MS
                return list(self._release(one))
            case ComputeFailed() if given.scope in self._reading:
                return list(self._refuse(self._reading.pop(given.scope)))
            case Computed(result=ReadHead() as read) if given.scope in self._reading:
                return list(self._take(self._reading.pop(given.scope), read))
        return []

    def _refuse(self, one: _Read) -> Iterator[Effect]:
        held = one.held
        if one.share:
            self._know((held.federation, held.owner, held.cid), None)
        else:
            self._bad[held.federation, held.owner] = held.cid, None
        yield from self._release(one)

    def _take(self, one: _Read, read: ReadHead) -> Iterator[Effect]:
        held = one.held
        if read.r >= held.named:
            yield from self._refuse(one)
        elif one.share:
            place = VaultPlace(held.federation, held.owner, read.r)
            share = self._own_share(read, place)
            self._know((held.federation, held.owner, held.cid), None if share is None else (place, share))
            yield from self._release(one)
        else:
            others = [old for old in self.book.held if (old.federation, old.owner) != (held.federation, held.owner)]
            for old in self.book.held:
                if (old.federation, old.owner) == (held.federation, held.owner):
                    yield from self._drop(old)
            if len(others) < MOST_HELD:
                self.book = HeldBook([*others, held])
                self._ring_at.pop(held.federation, None)

    def _own_share(self, read: ReadHead, place: VaultPlace) -> bytes | None:
        for private in self._keys.privates():
            try:
                return own_share(read.head, place, self._known.me, private)
            except BadVault:
                continue
        return None

    def _know(self, vault: _Vault, share: tuple[VaultPlace, bytes] | None) -> None:
        self._shares[vault] = share
        self._shares.move_to_end(vault)
        while len(self._shares) > MOST_SHARES:
            self._shares.popitem(last=False)

    def _release(self, one: _Read) -> Iterator[Effect]:
        yield EndScope(one.scope)
        yield Unpin(one.held.federation, one.scope)

    def _drop(self, held: VaultHeld) -> Iterator[Effect]:
        self._served.pop(held.cid, None)
        yield StopServing(held.federation, held.cid)
        yield Unpin(held.federation, _Read(held, False).scope)

    # --- what the ledger says ----------------------------------------------------------------------------------------------------

    def look(self, at: FederationLook, clock: int) -> Iterator[Effect]:
        self._clock = clock
        for (federation, owner), r in list(self._asks.items()):
            if federation == at.id:
                del self._asks[federation, owner]
                yield from self._answer(at, owner, r, clock)
        if clock >= self._ring_at.get(at.id, -RING_MS) + RING_MS:
            self._ring_at[at.id] = clock
            yield from self._keep(at, clock)

    def _keep(self, at: FederationLook, clock: int) -> Iterator[Effect]:
        """What is kept for others: fetched where it is not here, and served to its owner; what is not owed any more goes."""
        wanted = dict(kept_by(at, self._known.me))
        for old in [one for one in self.book.held if one.federation == at.id and one.owner not in wanted]:
            self.book = HeldBook([one for one in self.book.held if one is not old])
            yield from self._drop(old)
        for owner, member in wanted.items():
            held = next((one for one in self.book.held if (one.federation, one.owner) == (at.id, owner)), None)
            if held is not None:
                yield from self._serve(at, held)
            if held is None or held.cid != member.vault:
                yield from self._fetch(at, owner, member, clock + FETCH_MS, share=False)

    def _serve(self, at: FederationLook, held: VaultHeld) -> Iterator[Effect]:
        """To its owner, and to whom else is to keep it now."""
        peers = (held.owner, *(one for one in keepers_of(at, held.owner) if one != self._known.me))
        if self._served.get(held.cid) != peers:
            self._served[held.cid] = peers
            yield ServeFile(at.id, held.cid, Path(held.path), peers)

    def _fetch(self, at: FederationLook, owner: bytes, member: FederationMember, until: int, *, share: bool) -> Iterator[Effect]:
        one = _read_of(at, owner, member, share=share)
        bad, until_then = self._bad.get((at.id, owner), (b"", 0))
        left = not share and bad == member.vault and (until_then is None or self._clock < until_then)
        if one.scope not in self._reading and not left:
            self._reading[one.scope] = one
            cid, pin = cid_text(member.vault), one.pin
            yield FetchContent(one.scope, "vault", at.id, cid, most_bytes(at.terms), until, pin=pin, holder=owner)

    # --- shares ------------------------------------------------------------------------------------------------------------------

    def _answer(self, at: FederationLook, owner: bytes, r: int, clock: int) -> Iterator[Effect]:
        """The share of the member that asks, of the vault that the ledger names: no message can ask for another's."""
        member, account = at.reader.get(records.member_key(at.id, owner)), at.reader.get(membership_key(owner))
        if not isinstance(member, FederationMember) or not member.vault or not isinstance(account, Member) or not account.box_key:
            return
        vault = at.id, owner, member.vault
        if vault not in self._shares:
            begun = _read_of(at, owner, member, share=True).scope in self._reading
            if begun or sum(one.share for one in self._reading.values()) < MOST_READING:
                yield from self._fetch(at, owner, member, clock + ASKED_MS, share=True)
                self._asks[at.id, owner] = r
            return
        found, last = self._shares[vault], self._replied.get((at.id, owner), -REPLY_MS)
        if found is not None and found[0].r == r and clock >= last + REPLY_MS:
            self._replied[at.id, owner] = clock
            place, share = found
            box = give_share(share, place, self._known.me, account.box_key, self._known.rng)
            yield tell(owner, ShareGive(at.id, r, share[0], box))

    def stop(self, federation: bytes) -> Iterator[Effect]:
        """It left the state, or this node trains there no more: others keep what this node kept."""
        for held in [one for one in self.book.held if one.federation == federation]:
            yield from self._drop(held)
        for one in [one for one in self._reading.values() if one.held.federation == federation]:
            yield from self._release(one)
        self.book = HeldBook([one for one in self.book.held if one.federation != federation])
        self._ring_at.pop(federation, None)
        self._reading = {key: one for key, one in self._reading.items() if one.held.federation != federation}
        self._asks = {key: r for key, r in self._asks.items() if key[0] != federation}
        self._bad = {key: cid for key, cid in self._bad.items() if key[0] != federation}
        self._replied = {key: at for key, at in self._replied.items() if key[0] != federation}
        self._shares = OrderedDict((key, one) for key, one in self._shares.items() if key[0] != federation)
