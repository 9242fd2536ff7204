"""What a user of this node wants of its federations, on its way to the machines: a record in the work database until the machine's
book has it, so that a node that is killed in between does not forget it. Pure.

    TrainWish      train in a federation that the account joins      --> the member
    StopWish       train there no more                               --> the member
    PreviewWish    run `local` once and send nothing                 --> the member
    VaultWish      keep a vault, or no more; open the one that     --> the member
                   a lost node of this account left
    SponsorWish    look after a federation that the account opened   --> the sponsor
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from learningchain.chain.codec import Wire, encode, read
from learningchain.chain.host.terms import Small
from learningchain.chain.types import AccountId, Hash
from learningchain.client.contracts.federation.arithmetic.vault import MOST_HOLDERS
from learningchain.client.work.events import Secret

WISH = "federation.wish."
PathText = Annotated[str, Meta(max_length=4_096)]
"""Of a file of this node."""
DataName = Annotated[str, Meta(max_length=256)]


class TrainedFederation(Wire, frozen=True):
    """Own data that this node trains on, and how many other members have to carry the flag for that. So it is in the book."""

    federation: Hash
    data: DataName
    min_vetted: Small


class TrainWish(TrainedFederation, frozen=True, tag=1):
    """Said again it counts from the next start on."""


class StopWish(Wire, frozen=True, tag=2):
    """No further update of its own; duties of its seats go on."""

    federation: Hash


class PreviewWish(Wire, frozen=True, tag=3):
    """`number`: which one, of those that a user asked for."""

    federation: Hash
    data: DataName
    number: Hash


class SponsoredFederation(Wire, frozen=True):
    """The initial model as a file of this node, the key of the hidden file (empty: none), reference data (empty: none), and whether
    rounds are started by the node. So it is in the book."""

    federation: Hash
    initial: PathText
    hidden_key: Annotated[bytes, Meta(max_length=32)]
    data: DataName
    auto: bool


class SponsorWish(SponsoredFederation, frozen=True, tag=4):
    """A federation that was opened here, or other settings for one."""


class VaultWish(Wire, frozen=True, tag=5):
    """A vault is kept from now on, and opened where one is on the ledger that this node has not; or no further one. `holders`: none
    or four to five accounts that get a share of each key."""

    federation: Hash
    on: bool
    holders: Annotated[list[AccountId], Meta(max_length=MOST_HOLDERS)]


Wish = TrainWish | StopWish | PreviewWish | SponsorWish | VaultWish


def of_wish(wish: Wish, number: bytes) -> Secret:
    """`number`: 16 fresh bytes, so that none takes the place of another."""
    part = "sponsor" if isinstance(wish, SponsorWish) else "member"
    return Secret(WISH + part, number, b"", encode(wish))


def wish_in(secret: Secret) -> Wish:
    return read(Wish, secret.blob)  # type: ignore[arg-type]
