"""The private keys to which others seal what this node alone reads (X25519), as they lie in the work database. Who makes them keeps
them there under a kind of its own; whoever opens boxes is told of that kind (`Slice.reads`)."""

from __future__ import annotations

from learningchain.chain.codec import Wire, read
from learningchain.chain.types import Hash, PublicKey, Uint
from learningchain.client.work.events import Secret


class BoxSecret(Wire, frozen=True):
    """`private` opens what is sealed to the key under which this is kept. `account_key`: the account's own key then; `made`: the
    chain clock, later than that of each one before."""

    private: Hash
    account_key: PublicKey
    made: Uint


def box_in(secret: Secret) -> BoxSecret:
    return read(BoxSecret, secret.blob)
