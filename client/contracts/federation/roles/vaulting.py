"""A node's own vaults (LC-FILE-40 to 43): made, named on the ledger, and opened again where a node of this account was lost. Pure.

    every fifth round, END    local model --MakeVault--> file (in the book) --> VaultModel; served to the two that keep it alone
    the ledger names a vault that is not here: a node of this account was lost
        FetchContent --ReadVault--> head --> own secret, or ShareAsk to the holders --> key --OpenVault--> the local model

What is opened is the local model of a round: where its base stays or comes back, the same one is sent again (LC-FILE-8).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Annotated, Final

from msgspec import Meta
from msgspec.structs import replace

from learningchain.chain.codec import Wire
from learningchain.chain.contracts.federation import records
from learningchain.chain.contracts.federation.messages import VaultModel
from learningchain.chain.contracts.federation.records import FederationMember, FederationState, RoundRecord
from learningchain.chain.contracts.membership import Member
from learningchain.chain.contracts.membership import member_key as membership_key
from learningchain.chain.host.terms import Small
from learningchain.chain.types import AccountId, Hash, Uint, cid_text
from learningchain.client.contracts.federation.arithmetic.vault import (
    LEAST_HOLDERS,
    MOST_HOLDERS,
    BadVault,
    VaultHead,
    VaultPlace,
    given_share,
    keys_of,
    make_head,
    own_key,
)
from learningchain.client.contracts.federation.roles.channel import ShareAsk, ShareGive, tell
from learningchain.client.contracts.federation.roles.looking import FederationLook
from learningchain.client.contracts.federation.roles.making import LocalKept
from learningchain.client.contracts.federation.roles.ring import RING_MS, keepers_of, most_bytes
from learningchain.client.contracts.federation.roles.role import KIND
from learningchain.client.contracts.federation.tasks import MadeFile, MakeVault, OpenVault, ReadHead, ReadVault
from learningchain.client.contracts.federation.wishes import PathText, VaultWish
from learningchain.client.node.interface import PRIVATE
from learningchain.client.work.boxes import OwnBoxKeys
from learningchain.client.work.events import (
    Compute,
    Computed,
    ComputeFailed,
    ContentMissing,
    ContentReady,
    DropFile,
    Effect,
    EndScope,
    FetchContent,
    Input,
    Notice,
    PeerSaid,
    ServeFile,
    StopServing,
    Submit,
    Unpin,
)
from learningchain.client.work.machine import Recalled
from learningchain.p2p.content.cid import CidBytes

EVERY: Final = 5
"""LC-FILE-40: rounds from one vault to the next."""
REACH: Final = 8
"""Rounds before the last one that are looked through at END for the one that the last local model is of."""
FETCH_MS: Final = 3_600_000
ASK_MS: Final = 10_000
"""Chain clock after which a holder that did not answer is asked again."""
MOST_HEARD: Final = 64
"""Shares that wait for the next look at the ledger."""
MOST_WANTED: Final = 1_024
OWN_PIN: Final = PRIVATE + "fed-own-vault"
_MAKING = (FederationState.MEASURE, FederationState.OPEN, FederationState.IDLE, FederationState.END)


class VaultStage(IntEnum):
    """How far it is with a vault that a lost node of this account left."""

    NONE = 0
    """There is none that is not here."""
    FETCHING = 1
    ASKING = 2
    """No secret of this machine opens it: its holders are asked for their shares."""
    OPENING = 3
    OPENED = 4
    FAILED = 5


class VaultWanted(Wire, frozen=True):
    """`why`: what keeps a vault from being made, or opened."""

    federation: Hash
    holders: Annotated[list[AccountId], Meta(max_length=MOST_HOLDERS)]
    stage: Small
    why: Annotated[str, Meta(max_length=500)]


class VaultMade(Wire, frozen=True):
    """A vault of this account whose file is here: made, or fetched again. `shares`: how many hold one of its key."""

    federation: Hash
    r: Uint
    cid: CidBytes
    path: PathText
    shares: Small


class VaultOpened(Wire, frozen=True):
    """A local model that came back."""

    federation: Hash
    r: Uint
    path: PathText


class OwnVaultBook(Wire, frozen=True):
    wanted: Annotated[list[VaultWanted], Meta(max_length=MOST_WANTED)]
    made: Annotated[list[VaultMade], Meta(max_length=4 * MOST_WANTED)]
    opened: Annotated[list[VaultOpened], Meta(max_length=MOST_WANTED)]


NO_OWN_VAULTS: Final = OwnVaultBook([], [], [])


@dataclass
class _Lost:
    """A vault on the ledger that is not here, on its way back."""

    scope: str
    cid: bytes
    until: int
    path: Path | None = None
    read: ReadHead | None = None
    place: VaultPlace | None = None
    done: set[str] = field(default_factory=set)
    asked_at: int = -ASK_MS
    shares: dict[int, bytes] = field(default_factory=dict)
    keys: list[bytes] = field(default_factory=list)
    """To be tried on the file."""
    trying: bool = False
    over: bool = False

    @property
    def head(self) -> VaultHead | None:
        return self.read.head if self.read is not None else None


class OwnVaults:
    """`book` is replaced, never changed."""

    def __init__(self, known: Recalled, keys: OwnBoxKeys, book: OwnVaultBook = NO_OWN_VAULTS) -> None:
        self._known, self._keys, self.book = known, keys, book
        self._making: dict[str, VaultMade] = {}
        """By scope, without what the task makes."""
        self._tried: set[tuple[bytes, int]] = set()
        self._lost: dict[bytes, _Lost] = {}
        self._served: dict[bytes, tuple[bytes, ...]] = {}
        """To whom, by name."""
        self._ring_at: dict[bytes, int] = {}
        self._heard: list[tuple[bytes, ShareGive]] = []

    # --- what the member's machine asks ------------------------------------------------------------------------------------------

    def recovered(self, at: FederationLook) -> LocalKept | None:
        """The local model on the present base that came back."""
        found = next((one for one in self.book.opened if one.federation == at.id), None)
        fits = found is not None and _base_of(at, found.r) == at.now.base
        return LocalKept(at.id, at.now.base, found.path) if found is not None and fits else None

    def awaits(self, federation: bytes) -> bool:
        """A vault is on its way back."""
        return federation in self._lost and not self._lost[federation].over

    def needs(self, at: FederationLook, local: LocalKept | None) -> bool:
        """A vault is still to be made of this local model."""
        r = self._due(at, local)
        return self._wanted(at.id) is not None and bool(r) and not self._has_made(at.id, r) and (at.id, r) not in self._tried

    # --- inputs ------------------------------------------------------------------------------------------------------------------

    def wished(self, wish: VaultWish) -> Iterator[Effect]:
        if wish.on:
            self._want(wish)
        else:
            yield from self.stop(wish.federation)

    def hear(self, given: Input) -> None:
        match given:
            case PeerSaid(message=ShareGive() as give) if self.awaits(give.federation) and len(self._heard) < MOST_HEARD:
                self._heard.append((given.sender, give))
            case Computed() if given.scope in self._making:
                made = self._making.pop(given.scope)
                if isinstance(given.result, MadeFile) and self._wanted(made.federation) is not None:
                    self._put_made(replace(made, cid=given.result.cid, path=str(given.result.path)))
            case ComputeFailed() if given.scope in self._making:
                made = self._making.pop(given.scope)
                self._say(made.federation, why=f"the vault of round {made.r} could not be made: {given.reason}")
            case ContentReady() | ContentMissing() | Computed() | ComputeFailed():
                for federation, lost in self._lost.items():
                    if lost.scope == given.scope:
                        self._hear_of(federation, lost, given)

    def _want(self, given: VaultWish) -> None:
        """Said again, with a vault that did not come back, it is tried once more."""
        if self._wanted(given.federation) is None and len(self.book.wanted) >= MOST_WANTED:
            return
        self._lost.pop(given.federation, None)
        others = [one for one in self.book.wanted if one.federation != given.federation]
        mine = VaultWanted(given.federation, list(given.holders), VaultStage.NONE, "")
        self.book = replace(self.book, wanted=[*others, mine])

    def stop(self, federation: bytes) -> Iterator[Effect]:
        """Nothing more is made; what others keep they keep until the federation has left the state."""
        if federation in self._lost or self._made(federation):
            yield Unpin(federation, f"{OWN_PIN}:{federation.hex()}")
        yield from self._give_up(federation)
        yield from (StopServing(federation, one.cid) for one in self._made(federation))
        yield from (DropFile(Path(one.path)) for one in self.book.opened if one.federation == federation)
        self._making = {scope: one for scope, one in self._making.items() if one.federation != federation}
        self._tried = {one for one in self._tried if one[0] != federation}
        self._ring_at.pop(federation, None)
        self.book = OwnVaultBook(
            [one for one in self.book.wanted if one.federation != federation],
            [one for one in self.book.made if one.federation != federation],
            [one for one in self.book.opened if one.federation != federation],
        )

    # --- what the ledger says ----------------------------------------------------------------------------------------------------

    def look(self, at: FederationLook, local: LocalKept | None, clock: int) -> Iterator[Effect]:
        member, wanted = at.reader.get(records.member_key(at.id, self._known.me)), self._wanted(at.id)
        if wanted is None or not isinstance(member, FederationMember) or not member.index:
            return
        if member.vault and all(one.cid != member.vault for one in self._made(at.id)):
            yield from self._come_back(at, member, clock)
        elif at.id in self._lost:
            yield from self._give_up(at.id)
        yield from self._drop_old(at.id, member.vault)
        yield from self._make(at, wanted, local)
        if not self.awaits(at.id):
            yield from self._name(at, member)
        yield from self._serve(at, clock)

    def _due(self, at: FederationLook, local: LocalKept | None) -> int:
        """The round that a vault is to be made of, which is the one that the local model was trained in; 0: none now."""
        if local is None or at.state not in _MAKING:
            return 0
        last = at.now.r if _base_of(at, at.now.r) else at.now.r - 1
        ended = at.state == FederationState.END
        for r in range(last, max(0, last - REACH) if ended else last - 1, -1):
            if _base_of(at, r) == local.base:
                return r if ended or r % EVERY == 0 else 0
        return 0

    def _make(self, at: FederationLook, wanted: VaultWanted, local: LocalKept | None) -> Iterator[Effect]:
        r = self._due(at, local)
        if local is None or not r or self._has_made(at.id, r) or (at.id, r) in self._tried:
            return
        self._tried.add((at.id, r))
        holders = self._box_keys(at, wanted)
        if self._known.derive is None and not holders:
            self._say(at.id, why=WITHOUT_SECRET)
            return
        key, place = self._known.rng(32), VaultPlace(at.id, self._known.me, r)
        head = make_head(place, key, self._known.derive, holders, self._known.rng)
        scope = f"fed-vault:{at.id.hex()}:{r}"
        self._making[scope] = VaultMade(at.id, r, bytes(36), "", len(holders))
        few = f"{len(holders)} of the holders that were named are vetted members, {LEAST_HOLDERS} are needed: there are no shares"
        self._say(at.id, why=few if wanted.holders and not holders else "")
        task = MakeVault(head, key, self._known.rng(12), Path(local.path), at.terms.dims, at.terms.size)
        yield Compute(scope, "make", at.id, task)

    def _box_keys(self, at: FederationLook, wanted: VaultWanted) -> dict[bytes, bytes]:
        """LC-FILE-43: of the named holders, those that are members with the verifier flag; nobody where they are too few."""
        found = {}
        for holder in wanted.holders:
            there, known = at.reader.get(records.member_key(at.id, holder)), at.reader.get(membership_key(holder))
            if not isinstance(known, Member) or not known.verifier or not known.box_key:
                continue
            if isinstance(there, FederationMember) and there.state == records.MemberState.ACTIVE:
                found[holder] = known.box_key
        return found if len(found) >= LEAST_HOLDERS else {}

    def _name(self, at: FederationLook, member: FederationMember) -> Iterator[Effect]:
        made = self._made(at.id)
        if made and made[-1].cid != member.vault and member.vault_r <= at.now.r:
            cid = made[-1].cid
            yield Submit(KIND, f"vault:{at.id.hex()}:{cid.hex()}", at.id, VaultModel(at.id, cid))

    def _drop_old(self, federation: bytes, named: bytes) -> Iterator[Effect]:
        """What stood before the vault that the ledger names now."""
        made = self._made(federation)
        if not made or made[-1].cid != named or len(made) == 1:
            return
        for one in made[:-1]:
            self._served.pop(one.cid, None)
            yield StopServing(federation, one.cid)
        yield Unpin(federation, f"{OWN_PIN}:{federation.hex()}")
        yield from (DropFile(Path(one.path)) for one in self.book.opened if one.federation == federation)
        others = [one for one in self.book.made if one.federation != federation]
        opened = [one for one in self.book.opened if one.federation != federation]
        self.book = replace(self.book, made=[*others, made[-1]], opened=opened)

    def _serve(self, at: FederationLook, clock: int) -> Iterator[Effect]:
        """To the two that keep it alone: they look for it when the ledger names it."""
        if clock < self._ring_at.get(at.id, -RING_MS) + RING_MS and all(one.cid in self._served for one in self._made(at.id)):
            return
        self._ring_at[at.id] = clock
        peers = tuple(keepers_of(at, self._known.me))
        for one in self._made(at.id):
            if peers and self._served.get(one.cid) != peers:
                self._served[one.cid] = peers
                yield ServeFile(at.id, one.cid, Path(one.path), peers)

    # --- coming back -------------------------------------------------------------------------------------------------------------

    def _come_back(self, at: FederationLook, member: FederationMember, clock: int) -> Iterator[Effect]:
        lost = self._lost.get(at.id)
        if lost is None or lost.cid != member.vault:
            yield from self._give_up(at.id)
            lost = self._lost[at.id] = _Lost(f"fed-lost:{at.id.hex()}:{member.vault_r}", member.vault, clock + FETCH_MS)
            self._say(at.id, VaultStage.FETCHING)
            size = most_bytes(at.terms)
            yield FetchContent(lost.scope, "vault", at.id, cid_text(lost.cid), size, lost.until, pin=OWN_PIN)
        if lost.over or lost.path is None:
            return
        if lost.read is None:
            if "read" not in lost.done:
                lost.done.add("read")
                yield Compute(lost.scope, "read", at.id, ReadVault(at.id, self._known.me, lost.path))
            return
        if lost.place is None:
            self._begin_opening(at, member, lost)
        self._take_shares(at.id, lost)
        if lost.keys and not lost.trying:
            keys, lost.keys, lost.trying = tuple(lost.keys), [], True
            self._say(at.id, VaultStage.OPENING)
            task = OpenVault(lost.path, lost.read.head.size, keys, at.terms.dims, at.terms.size)
            yield Compute(lost.scope, "open", at.id, task)
        elif not lost.trying and not lost.over:
            yield from self._ask(at, lost, clock)

    def _begin_opening(self, at: FederationLook, member: FederationMember, lost: _Lost) -> None:
        if lost.read is None:
            return
        r, head = lost.read.r, lost.read.head
        lost.place = VaultPlace(at.id, self._known.me, r)
        if r >= member.vault_r:
            self._fail(at.id, lost, f"the vault says that it is of round {r}, which was not yet")
            return
        try:
            if self._known.derive is None:
                raise BadVault("the account's key is at a signer, so no secret is here")
            lost.keys = [own_key(head, lost.place, self._known.derive)]
        except BadVault as why:
            if not head.shares:
                self._fail(at.id, lost, f"{why}, and it has no shares: what it held is lost")

    def _ask(self, at: FederationLook, lost: _Lost, clock: int) -> Iterator[Effect]:
        """A holder reads its share in the file itself, which it gets from here."""
        if lost.read is None or lost.path is None or clock < lost.asked_at + ASK_MS:
            return
        if clock >= lost.until:
            given, needed = len(lost.shares), lost.read.head.needed
            self._fail(at.id, lost, f"{given} of its holders gave their shares in an hour, {needed} are needed")
            return
        lost.asked_at, head = clock, lost.read.head
        self._say(at.id, VaultStage.ASKING)
        holders = tuple(head.shares)
        if self._served.get(lost.cid) != holders:
            self._served[lost.cid] = holders
            yield ServeFile(at.id, lost.cid, lost.path, holders)
        for number, holder in enumerate(holders, 1):
            if number not in lost.shares:
                yield tell(holder, ShareAsk(at.id, lost.read.r))

    def _take_shares(self, federation: bytes, lost: _Lost) -> None:
        """The first share of each holder counts: whoever gave a wrong one has nothing more to say."""
        heard = [one for one in self._heard if one[1].federation == federation]
        self._heard = [one for one in self._heard if one[1].federation != federation]
        for sender, give in heard:
            if lost.read is not None and lost.place is not None and give.r == lost.read.r:
                self._take_share(lost, lost.read.head, lost.place, sender, give.box)

    def _take_share(self, lost: _Lost, head: VaultHead, place: VaultPlace, sender: bytes, box: bytes) -> None:
        for private in self._keys.privates():
            try:
                share = given_share(box, head, place, sender, private)
            except BadVault:
                continue
            if share[0] not in lost.shares:
                lost.shares[share[0]] = share
                lost.keys += keys_of(lost.shares, head.needed, share[0])
            return

    def _hear_of(self, federation: bytes, lost: _Lost, given: ContentReady | ContentMissing | Computed | ComputeFailed) -> None:
        match given:
            case ContentReady():
                lost.path = given.path
            case ContentMissing():
                self._fail(federation, lost, f"it is not to be had from the two members that keep it: {given.reason}")
            case ComputeFailed():
                self._fail(federation, lost, given.reason)
            case Computed(result=ReadHead() as read):
                lost.read = read
            case Computed(result=MadeFile() as model):
                self._opened(federation, lost, model)
            case Computed():
                lost.trying = False
                if lost.head is not None and not lost.head.shares:
                    self._fail(federation, lost, "the key in its head does not open it")
                elif lost.head is not None and len(lost.shares) == len(lost.head.shares):
                    self._fail(federation, lost, "all holders gave a share, and no key that these make opens it")

    def _opened(self, federation: bytes, lost: _Lost, model: MadeFile) -> None:
        if lost.read is None or lost.path is None:
            return
        lost.over = True
        r, shares = lost.read.r, len(lost.read.head.shares)
        self._put_made(VaultMade(federation, r, lost.cid, str(lost.path), shares), first=True)
        others = [one for one in self.book.opened if one.federation != federation]
        self.book = replace(self.book, opened=[*others, VaultOpened(federation, r, str(model.path))])
        self._say(federation, VaultStage.OPENED)
        wanted = self._wanted(federation)
        if wanted is not None and not wanted.holders:  # who is back knows no more whom it had named: its vault does
            mine = replace(wanted, holders=list(lost.read.head.shares))
            self.book = replace(self.book, wanted=[mine if one is wanted else one for one in self.book.wanted])

    def _fail(self, federation: bytes, lost: _Lost, why: str) -> None:
        lost.over = True
        self._say(federation, VaultStage.FAILED, why)

    def _give_up(self, federation: bytes) -> Iterator[Effect]:
        lost = self._lost.pop(federation, None)
        if lost is not None:
            self._served.pop(lost.cid, None)
            yield EndScope(lost.scope)

    # --- the book ----------------------------------------------------------------------------------------------------------------

    def _wanted(self, federation: bytes) -> VaultWanted | None:
        return next((one for one in self.book.wanted if one.federation == federation), None)

    def _made(self, federation: bytes) -> list[VaultMade]:
        """The newest last."""
        return [one for one in self.book.made if one.federation == federation]

    def _has_made(self, federation: bytes, r: int) -> bool:
        return any(one.r >= r for one in self._made(federation))

    def _put_made(self, made: VaultMade, *, first: bool = False) -> None:
        """`first`: one that came back is older than any that was made meanwhile."""
        others = [one for one in self.book.made if one.cid != made.cid]
        self.book = replace(self.book, made=[made, *others] if first else [*others, made])

    def _say(self, federation: bytes, stage: VaultStage | None = None, why: str = "") -> None:
        found = self._wanted(federation)
        if found is not None:
            said = replace(found, stage=found.stage if stage is None else int(stage), why=why[:500])
            self.book = replace(self.book, wanted=[said if one is found else one for one in self.book.wanted])

    def notices(self) -> list[Notice]:
        text = "the vault of federation {}: {}"
        wanted = (one for one in self.book.wanted if one.why)
        return [Notice("fed.vault", one.federation, text.format(one.federation.hex()[:12], one.why)) for one in wanted]


WITHOUT_SECRET: Final = (
    "this account's key is at a signer, and no secret of it is on this machine: a vault opens by shares alone. Name four or five "
    "vetted members that hold them (learningchain fed vault FED --holder ACCOUNT), or go without one"
)


def _base_of(at: FederationLook, r: int) -> bytes:
    """What was trained on in a round that was summed; nothing where there was none."""
    found = at.reader.get(records.round_key(at.id, r)) if r > 0 else None
    return found.base if isinstance(found, RoundRecord) else b""
