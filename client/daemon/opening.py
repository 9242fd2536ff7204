"""What a node begins with: its genesis, token, database, state and guard. Whatever does not fit stops the start with what is wrong,
why, and what to do."""

from __future__ import annotations

import contextlib
import errno
import functools
import importlib.metadata
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import structlog

from learningchain.chain.errors import Malformed
from learningchain.chain.host import BeaconCommitment
from learningchain.chain.ledger.genesis import Genesis, OtherRules, first_state, from_json
from learningchain.chain.ledger.state import State
from learningchain.chain.node.double_sign_check import Place
from learningchain.chain.node.recovery import read_log
from learningchain.chain.params import PROTOCOL_VERSION
from learningchain.chain.storage import private, staging
from learningchain.chain.storage.blockstore import BlockStore, CommitBatch, Head
from learningchain.chain.storage.datadir import DataDir
from learningchain.chain.storage.errors import StorageDamaged
from learningchain.chain.storage.guard import ALL_ROUNDS, Guard, Kind
from learningchain.chain.storage.wal import Wal
from learningchain.chain.types import Checkpoint, Validator, block_id, parse_checkpoint, quorum
from learningchain.client import reading
from learningchain.client.api.server import MIN_TOKEN
from learningchain.client.daemon.faults import OfAnotherVersion, StartError
from learningchain.client.keys.signing import Signer

log: Any = structlog.get_logger("daemon")

MAX_TOKEN = 1_024
_TODO_STATE = "Move the file `db` of the data folder away and start again: the node fetches the chain from its peers"


@functools.cache
def version() -> str:
    try:
        return importlib.metadata.version("learningchain")
    except importlib.metadata.PackageNotFoundError:
        return "0.0.0"


def load_genesis(data: Path) -> Genesis:
    path = data / "genesis.json"
    try:
        with private.reading(path) as file:
            return from_json(file.read())
    except FileNotFoundError:
        raise StartError(
            f"There is no network in {data}: genesis.json is missing. Get the file from whoever runs the network, then: "
            "learningchain genesis install FILE"
        ) from None
    except OSError as fault:
        raise StartError(f"{path} cannot be read: {fault.strerror}. Check its owner and mode") from None
    except OtherRules as fault:
        raise OfAnotherVersion(
            f"{path} is of a network with other rules: {fault}. Another version of LearningChain made it, and nothing of the "
            "folder was changed. Go on with that version, or join a network of this one with a new folder: the keystore and its "
            "passphrase are good for both (docs/operating.md, Another version)"
        ) from None
    except Malformed as fault:
        raise StartError(f"{path} cannot be used: {fault}. Get the file again, then: learningchain genesis install FILE") from None


def api_token(data: Path) -> str:
    """The token that protects the HTTP API; made at the first start, readable by the owner only."""
    path = data / "api.token"
    try:
        token = reading.file(path, MAX_TOKEN, own=True).decode("ascii", "replace").strip()
    except FileNotFoundError:
        token = secrets.token_urlsafe(32)
        private.replace(path, token.encode() + b"\n")
    except OSError as fault:
        raise StartError(f"{path} cannot be read: {fault.strerror}. Remove it, and the node makes a new one") from None
    if len(token) < MIN_TOKEN:
        raise StartError(f"{path} holds no token: it has {len(token)} characters. Remove the file, and the node makes a new one")
    return token


def open_store(where: str, chain_id: bytes, *, keep: bool = True) -> BlockStore:
    """The node's database. Where a snapshot is ready to be used, it is the state from here on; a part of one goes, unless it is to
    be kept. Raises `StorageError`."""
    store = BlockStore.open(where, chain_id=chain_id, create=True)
    try:
        height = staging.switch(store, keep=keep)
    except BaseException:
        store.close()
        raise
    if height is None:
        return store
    store.close()
    log.info("began from a snapshot", height=height)
    return BlockStore.open(where, chain_id=chain_id, create=False, hold=True)


def open_state(store: BlockStore, genesis: Genesis) -> tuple[State, Head]:
    """The state after the stored head; on an empty store, genesis. Raises `StorageDamaged` where it is not what was decided."""
    head = store.head()
    if head is None:
        store.commit(CommitBatch(0, genesis.chain_id, b"", b"", [], [], [], first_state(genesis)[1]))
        return store.open_state(), Head(0, genesis.chain_id, None)
    store.check(False)
    state = store.open_state()
    expected = head.header.state_root if head.header else first_state(genesis)[0].root
    if state.root != expected:
        why = f"its root is {state.root.hex()[:16]}, block {head.height} says {expected.hex()[:16]}"
        raise StorageDamaged(f"The state in {store.where} is not the one that was decided", why, _TODO_STATE)
    return state, head


def newer_protocol(height: int, version_: int) -> str:
    """What to do where the validators decided on a protocol that this program does not know."""
    return (
        f"Block {height} begins version {version_} of the protocol, and this program ({version()}) knows the versions 1 to "
        f"{PROTOCOL_VERSION}. The node has stopped before it, and nothing is lost. Install a LearningChain that knows version "
        f"{version_}, then start the node again"
    )


def open_guard(folder: DataDir, wal: Wal, head: Head, validators: list[Validator], *, accept_new: bool) -> Guard:
    """The guard of a chain that has begun must be there; a new one takes the operator's word.

    A new guard leaves the height that may be half signed to the others. Where they cannot decide without this node (a quorum is
    everybody), that would end the chain: there the operator's word, that nothing else uses this key, has to do.
    """
    chain_id = wal.chain_id
    if accept_new:
        last = max([head.height, *read_log(wal.records()).certificates])
        spare = quorum(len(validators)) < len(validators)
        return Guard.create(folder.guard, chain_id=chain_id, after_height=last + 1 if spare else last)
    if head.height == 0 and not wal.records() and not os.path.exists(folder.guard):
        return Guard.create(folder.guard, chain_id=chain_id)
    return Guard.open(folder.guard, chain_id=chain_id)


def take_at_word(signer: Signer, signed: Place, height: int) -> Place:
    """The operator says that the key signed nothing above `height`: nothing up to there is signed, and nothing else is doubted."""
    signer.abstain(height)
    return max(signed, (height, ALL_ROUNDS, Kind.PRECOMMIT))


@contextlib.contextmanager
def listening(setting: str, where: str) -> Iterator[None]:
    """An address that cannot be had stops the start with the setting that names it."""
    try:
        yield
    except OSError as fault:
        why = "it is in use by another program" if fault.errno == errno.EADDRINUSE else fault.strerror or str(fault)
        raise StartError(
            f"The node cannot listen on {where}: {why}. Stop that program, or choose another address: "
            f"learningchain config set {setting} HOST:PORT"
        ) from None


def last_own_block(state: State, own: bytes) -> int | None:
    """The height of the block that this identity made last."""
    found = state.get(b"gb/" + own)
    return found.height if isinstance(found, BeaconCommitment) else None


def trusted_block(store: BlockStore, setting: str) -> Checkpoint | None:
    """What `sync.trusted` says. Raises `StartError` where this node has another block there."""
    wanted = parse_checkpoint(setting)
    header = store.header(wanted.height) if wanted else None
    if wanted and header is not None and block_id(header) != wanted.block_id:
        raise StartError(
            f"block {wanted.height} of this node is {block_id(header).hex()}, and sync.trusted names {wanted.block_id.hex()}. One "
            "of both is another history, which former validators can make. Ask a member you know for a block of now "
            "(learningchain status) and set sync.trusted to it; where this stays, begin again in a new data folder"
        )
    return wanted
