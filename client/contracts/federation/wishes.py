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

from pathlib import Path
from typing import Annotated

from msgspec import Meta

from learningchain.chain.codec import Wire, encode, read
from learningchain.chain.host.terms import Small
from learningchain.chain.types import AccountId, Hash
from learningchain.client.contracts.federation.arithmetic.vault import MOST_HOLDERS
from learningchain.client.contracts.federation.roles.making import PathText
from learningchain.client.contracts.federation.steps import KeepNoVault, KeepVault, SponsorWith, TrainWith
from learningchain.client.work.events import Secret

WISH = "federation.wish."
DataName = Annotated[str, Meta(max_length=256)]


class TrainWish(Wire, frozen=True, tag=1):
    federation: Hash
    data: DataName
    min_vetted: Small


class StopWish(Wire, frozen=True, tag=2):
    federation: Hash


class PreviewWish(Wire, frozen=True, tag=3):
    """`number`: which one, of those that a user asked for."""

    federation: Hash
    data: DataName
    number: Hash


class SponsorWish(Wire, frozen=True, tag=4):
    federation: Hash
    initial: PathText
    hidden_key: Annotated[bytes, Meta(max_length=32)]
    data: DataName
    auto: bool


class VaultWish(Wire, frozen=True, tag=5):
    """`holders`: none or four to five accounts that get a share of each key."""

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


def train_with(wish: TrainWish) -> TrainWith:
    return TrainWith(wish.federation, wish.data, wish.min_vetted)


def vault_with(wish: VaultWish) -> KeepVault | KeepNoVault:
    return KeepVault(wish.federation, tuple(wish.holders)) if wish.on else KeepNoVault(wish.federation)


def sponsor_with(wish: SponsorWish) -> SponsorWith:
    return SponsorWith(wish.federation, Path(wish.initial), wish.hidden_key, wish.data, wish.auto)
