"""A node's own keys, and how it shows them to peers. The ledger may name another one of them with any block: the node goes on with
that."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import structlog

from learningchain.chain.crypto import SigningKey
from learningchain.chain.host import Account, account_key
from learningchain.chain.ledger.genesis import Genesis
from learningchain.chain.ledger.state import State
from learningchain.chain.node.node import Node
from learningchain.client.daemon.faults import StartError
from learningchain.client.keys import keyring
from learningchain.client.keys.keyring import Keyring
from learningchain.client.keys.keystore import Identity, KeystoreError, derived
from learningchain.client.keys.signing import LocalSigner, Signer, SignerUnavailable
from learningchain.client.node.driver import Driver
from learningchain.client.signer.certificate import certificate
from learningchain.client.signer.pairing import Pairing
from learningchain.client.signer.remote import RemoteSigner
from learningchain.p2p.tls import CA, Leaf
from learningchain.p2p.transport import Network

log: Any = structlog.get_logger("daemon")

ALONE_S = 5.0
"""Without a peer for so long, a node with two keys shows the other one."""


def present(keys: Keyring, state: State) -> Identity:
    """Return the identity with the key that the ledger names; where that is not here, with the newest one: it may come."""
    account = state.get(account_key(keys.id))
    found = keys.of(account.key) if isinstance(account, Account) else None
    return found or keys.newest


def use_key(signer: Signer, keys: Keyring, state: State) -> None:
    """A validator signs with the key that its set has, and with no other."""
    account = state.get(account_key(keys.id))
    here = not isinstance(account, Account) or account.key in keys
    if isinstance(signer, LocalSigner):
        signer.use_key(present(keys, state).key, votes=here)


async def peer_key(identity: Identity | Pairing, remote: RemoteSigner | None, genesis: Genesis, data: Path) -> SigningKey | Leaf:
    """Return what proves to peers who this node is."""
    if isinstance(identity, Identity):
        return identity.key
    if remote is None:
        raise StartError("a pairing stands for a key, and its signer was not opened")
    ca = CA(genesis.ca_cert, genesis.ca_key)
    try:
        return await certificate(data, remote, genesis.chain_id, ca, time.time())
    except SignerUnavailable as why:
        raise StartError(
            f"{why}. The first start of a node needs its signer once, so that peers know who it is. Start that "
            "(learningchain signer run), then this node again"
        ) from None


class OwnKeys:
    """Keys that are on this machine, and the parts of the node that go on with another one. `data`: the folder of their files."""

    def __init__(
        self,
        data: Path,
        keys: Keyring,
        identity: Identity,
        signer: Signer,
        node: Node,
        network: Network,
        driver: Driver,
        spawn: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        self._data, self._keys, self.identity, self._signer = data, keys, identity, signer
        self._node, self._network, self._driver, self._spawn = node, network, driver, spawn

    def start(self) -> None:
        self._spawn(self.find())
        self._spawn(self.settle(present(self._keys, self._node.state).key.public))

    def sign(self, digest: bytes) -> bytes:
        """By the account's present key. Digests of machines have tags of their own, which no vote, transaction or statement has."""
        return self.identity.key.sign(digest)

    def derive(self, salt: bytes, info: bytes) -> list[bytes]:
        """HKDF-SHA256 of this account's secrets, the present key's first: no machine is told a secret."""
        first = present(self._keys, self._node.state)
        others = [one for one in self._keys.all if one.key.public != first.key.public]
        return [derived(one.key.secret, salt, info) for one in (first, *others)]

    def look(self) -> None:
        """LC-KEY-3: the ledger may name another key for this node since the last block."""
        now = present(self._keys, self._node.state)
        if now.key.public != self.identity.key.public:
            self.identity = now
            self._node.use_beacon_key(now.beacon_key)
            self._network.use_key(now.key)
            self._spawn(self.settle(now.key.public))
            log.info("this node has another key", key=now.key.public.hex(), height=self._node.height)
        use_key(self._signer, self._keys, self._node.state)

    async def settle(self, public: bytes) -> None:
        """What the ledger names takes its place on the disk, once the block is there."""
        await self._driver.settled()
        try:
            await asyncio.to_thread(keyring.settle, self._data, public)
        except (OSError, KeystoreError) as fault:
            log.error("the new key's file could not be put in its place; it is tried again at the next start", why=str(fault))

    async def find(self) -> None:
        """A node that was away does not know which of its keys the others know: where nobody talks to it, it shows another one."""
        while True:
            await asyncio.sleep(ALONE_S)
            keys = [identity.key for identity in self._keys.all]
            if len(keys) > 1 and not self._network.peers():
                shown = next((at for at, key in enumerate(keys) if key.public == self._network.shown_key), 0)
                self._network.use_key(keys[(shown + 1) % len(keys)])
