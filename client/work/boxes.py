"""The private keys to which others seal what this node alone reads (X25519), as they lie in the work database. Who makes them keeps
them there under a kind of its own; whoever opens boxes is told of that kind (`WorkPart.reads`)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from learningchain.chain.codec import Wire, read
from learningchain.chain.types import Hash, PublicKey, Uint
from learningchain.client.work.events import Input, Kept, Secret, SecretStored

BOX_KEYS: Final = "membership.box"
"""The kind of the secrets that open boxes."""


class BoxSecret(Wire, frozen=True):
    """`private` opens what is sealed to the key under which this is kept. `account_key`: the account's own key then; `made`: the
    chain clock, later than that of each one before."""

    private: Hash
    account_key: PublicKey
    made: Uint


def box_in(secret: Secret) -> BoxSecret:
    return read(BoxSecret, secret.blob)


class OwnBoxKeys:
    """The private keys of this node's box keys, present and replaced ones, as the node's secrets say."""

    def __init__(self, secrets: Iterable[Secret]) -> None:
        self._by_public: dict[bytes, tuple[int, bytes]] = {}
        for secret in secrets:
            self.learn(secret)

    def learn(self, secret: Secret) -> None:
        if secret.kind == BOX_KEYS:
            found = box_in(secret)
            self._by_public[secret.key] = (found.made, found.private)

    def hear(self, given: Input) -> None:
        if isinstance(given, Kept | SecretStored):
            self.learn(given.secret)

    def privates(self) -> list[bytes]:
        """The newest first."""
        return [own for _, own in sorted(self._by_public.values(), reverse=True)]
