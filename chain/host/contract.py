"""What a contract declares about itself: all that others know of it, they read here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import TYPE_CHECKING, Any

from learningchain.chain.host.events import Data, Form, OneOf
from learningchain.chain.host.listing import Listing
from learningchain.chain.host.records import GenesisAccount
from learningchain.chain.host.services import Service
from learningchain.chain.host.store import KVStore, StateIndex
from learningchain.chain.params import ContractParams
from learningchain.chain.types import Evidence

if TYPE_CHECKING:
    from learningchain.chain.host.host import Host
    from learningchain.chain.host.store import DueReader, Reader

TAGS, CODES = 32, 100
"""Message tags and receipt codes of one contract."""


@dataclass(frozen=True)
class MessageSpec:
    """What the ledger knows of a message.

    `urgent` ones have a deadline: half of each block is reserved for them. `work`: what executing one takes, in transfers of a
    batch; a function of the message where that varies, with the most that it ever gives as `work_most` (LC-BLK-25). `subject`: the
    reference that it is about, where there is one: while that is parked, it is refused. `once`: its contract accepts it once from
    each seat, or once for each column of one, so that accepting it needs no bandwidth (LC-TX-14). `members`: refused to accounts
    that left (LC-MEM-27). `allows`: where the state of its block decides what it takes, the most credits that it lets leave its
    account: whoever counts what a caller may spend counts these, for the signature allows them. `for_good`: after it the account
    may be somebody else's, or out of the network, and nobody can take it back.
    """

    handler: Callable[[Host, bytes, Any], None]
    urgent: bool = False
    work: int | Callable[[Any], int] = 1
    subject: Callable[[Any], bytes] | None = None
    once: bool = False
    work_most: int = 0
    members: bool = False
    allows: Callable[[Any], int] | None = None
    for_good: bool = False

    def weigh(self, message: Any) -> int:
        """Its work, by LC-BLK-25."""
        return self.work if isinstance(self.work, int) else min(self.work(message), self.work_most)

    @property
    def heaviest(self) -> int:
        """The most work that one is."""
        return self.work if isinstance(self.work, int) else self.work_most


@dataclass(frozen=True)
class EscrowShape:
    """An escrow's reference: 32 bytes (a job, a model), with `account` 20 more of whose it is, and the suffix that tells it.

    `owner`: whose it is where its reference does not say it, by the 32 bytes; None: nobody's, its credits count for no account.
    """

    name: str
    suffix: bytes = b""
    account: bool = False
    owner: Callable[[Reader, bytes], bytes | None] | None = None

    @property
    def size(self) -> int:
        return 32 + 20 * self.account + len(self.suffix)

    def fits(self, escrow: bytes) -> bool:
        return len(escrow) == self.size and escrow.endswith(self.suffix)

    def owner_of(self, reader: Reader, escrow: bytes) -> bytes | None:
        """Whose credits it holds."""
        if self.account:
            return escrow[32:52]
        return self.owner(reader, escrow[:32]) if self.owner is not None else None


@dataclass(frozen=True)
class LiveIndex:
    """What of a contract is not over: its escrows are what accounts have locked. Under `prefix`, which is listed, there is a record
    for each reference of 32 bytes as long as it lives. `accounts(reader, ref, start, count)`: those that may have escrows of their
    own there (`EscrowShape.account`), a page of them."""

    prefix: bytes
    accounts: Callable[[Reader, bytes, int, int], Sequence[bytes]] = lambda reader, ref, start, count: ()


@dataclass(frozen=True)
class Archive:
    """Records that a node keeps beside its blocks when they leave the state: what has ended is told from them.

    No rule reads them, and a node that began from a snapshot has those alone that left later.
    """

    records: tuple[bytes, ...]
    """Prefixes of keys that go on with a reference of 32 bytes."""
    numbers: bytes
    """The prefix of keys that go on with a number of 8 bytes; the record's first field is the reference."""


class Power(Enum):
    """What a contract may do only where it declares it."""

    MINT = "mint"
    STANDING = "freeze, unfreeze and ban accounts"
    VALIDATORS = "change the validator set"
    RELEASE = "release what is parked"
    KEYS = "give an account another key"
    ACCOUNTS = "open accounts"
    PARAMS = "change parameters, and the version of the protocol"


@dataclass(frozen=True)
class Contract:
    """A contract: its number gives the message tags [32*number, 32*number+31] and receipt codes [100*number, 100*number+99]."""

    name: str
    number: int
    messages: Mapping[type, MessageSpec]
    codes: type[IntEnum]
    state: Mapping[bytes, type]
    on_due: Callable[[Host, bytes, int], None] | None = None
    """Called with the reference and the time for which the deadline was set."""
    on_case_closed: Callable[[Host, bytes, bytes, bool], None] | None = None
    """Called when a suspension ends: (host, reference given to `suspend`, account, whether it became a ban)."""
    on_banned: Callable[[Host, bytes], None] | None = None
    """Called when an account is banned: (host, account). What follows of it is for deadlines: this only notes it."""
    on_give_back: Callable[[Host, bytes], None] | None = None
    """Ends a reference that was parked: every escrow goes back to whom it came from."""
    bound: tuple[bytes, ...] = ()
    """LC-BLK-38: listed prefixes of `state`. The references behind them end by `on_give_back` when a network restarts: what their
    parties signed or sealed names the id of the chain that ends."""
    forgotten: tuple[bytes, ...] = ()
    """LC-BLK-38: prefixes of `state` whose records mean nothing beside the blocks of another chain: no restart carries them."""
    due_work: Callable[[DueReader, bytes], int] | None = None
    """LC-BLK-31: how many records besides its own a deadline of a reference may go through."""
    flags: bytes | None = None
    """The prefix of `state`, listed where they have it, of those who have the flag of verifiers (LC-BLK-31)."""
    party: Callable[[Reader, bytes, bytes], bool] | None = None
    """LC-MEM-20: whether an account has a part in a reference, and so no word against others of it. None: nobody has."""
    listed: Mapping[bytes, Listing] = field(default_factory=dict)
    """Prefixes of `state` that can be scanned."""
    indexes: tuple[type[StateIndex], ...] = ()
    """What it computes from what is listed. A node makes them at its start, and not in a block."""
    archive: Archive | None = None
    events: Mapping[str, Data] = field(default_factory=dict)
    """What it notes, by topic."""
    forms: Mapping[str, Form | OneOf] = field(default_factory=dict)
    """How the fields of its messages are shown, where their type does not say it: by `field`, or by `Type.field`."""
    escrows: tuple[EscrowShape, ...] = ()
    live: LiveIndex | None = None
    powers: frozenset[Power] = frozenset()
    services: Mapping[Service[Any], Callable[[Host], Any]] = field(default_factory=dict)
    """What it does for other contracts: made for each use, with a host that acts for this contract."""
    admission: frozenset[str] = frozenset()
    """Those of its events after which other accounts are peers or validators: nodes then look at their connections again."""
    drawn: Callable[[Reader, bytes], bool] | None = None
    """Whether an account may be called to a duty without having asked for it: its node answers even where it wants no work."""
    gone: Callable[[Reader, bytes], bool] | None = None
    """LC-MEM-27: whether an account is no member any more: nodes keep no connection with it, some messages are refused to it."""
    reports: Callable[[Evidence], Any] | None = None
    """The message that tells the ledger of a double signing (LC-CON-17)."""
    params: type[ContractParams] | None = None
    """Its parameters, from genesis on; kept in the state under a key of its own (`params_key`)."""
    genesis: Callable[[KVStore, Iterable[GenesisAccount]], None] | None = None
    """Its records before the first block."""
