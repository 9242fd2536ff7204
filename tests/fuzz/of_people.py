"""Targets: what goes from one person to another, or between machines of one of them: tokens, joins, signers, backups, offline
transactions.

What a signer is asked goes to one that has a guard: whatever is asked in whatever order, no place gets two signatures.
"""

from __future__ import annotations

import asyncio
import io
import os
import shutil
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar
from unittest import mock

import msgspec

from learningchain.chain.codec import encode
from learningchain.chain.contracts.credits import Transfer
from learningchain.chain.contracts.membership import Join, join_digest
from learningchain.chain.crypto import SigningKey, account_id, address
from learningchain.chain.errors import Malformed
from learningchain.chain.ledger.genesis import to_json
from learningchain.chain.storage.guard import Guard
from learningchain.chain.types import PRECOMMIT, PREVOTE, TxBody, net_of
from learningchain.client.contracts.membership.http.joining import admitted_in
from learningchain.client.contracts.membership.http.token import Contact, JoinToken, parse_token, to_text, token_digest
from learningchain.client.contracts.membership.outsiders import Ask, JoinDoor, Wish
from learningchain.client.keys.keystore import Identity
from learningchain.client.node import backup
from learningchain.client.node.backup import BackupError
from learningchain.client.receipts import offline
from learningchain.client.signer import messages as m
from learningchain.client.signer import pairing
from learningchain.client.signer.pairing import PairingError
from learningchain.client.signer.server import SignerServer
from learningchain.p2p.connection import Refused
from learningchain.p2p.outsiders import MAX_ANSWER, MAX_ASK, _answered
from tests.fuzz.targets import Target, check, scratch, text_of
from tests.unit.ledger_kit import Chain, genesis_of, id_of, key_of
from tests.unit.storage_disk import SimDisk

T = TypeVar("T")
_LOOP = asyncio.new_event_loop()
CHAIN = bytes(range(32))
KEY = SigningKey(b"\7" * 32)
OWN = Identity(KEY, account_id(KEY.public), b"b" * 32)
WORD = "correct horse battery"


def _read(data: bytes, how: Callable[[asyncio.StreamReader], Any]) -> Any:
    async def read() -> Any:
        reader = asyncio.StreamReader(limit=65_536)
        reader.feed_data(data)
        reader.feed_eof()
        return await how(reader)

    return _LOOP.run_until_complete(read())


# --- invitations --------------------------------------------------------------------------------------------------------------


def join_token(data: bytes) -> None:
    text = text_of(data)
    token = parse_token(text)
    check(to_text(token) == "".join(text.split()), "a second text of the same token")
    check(token.key.public, "no key")


def join_answer(data: bytes) -> None:
    height = admitted_in(data)
    check(height is None or 0 <= height <= 2**48, "no height")


def http_answer(data: bytes) -> None:
    status, body = _read(data, _answered)
    check(100 <= status <= 999 or status < 100, "no status")
    check(len(body) <= min(MAX_ANSWER, len(data)), "more than came")


class _Ledger:
    """One block high, with one open invitation of alice."""

    def __init__(self) -> None:
        from learningchain.chain.contracts.membership import Invite

        self.chain = Chain(genesis_of("alice"))
        invite = Invite(key_of("token").public, self.chain.clock + 100_000, 0)
        check(self.chain.codes(self.chain.tx("alice", invite)) == [0], "no invitation")
        self.chain_id, self.own_id, self.sent = self.chain.chain_id, id_of("v1"), 0

    state = property(lambda self: self.chain.state)
    clock = property(lambda self: self.chain.clock)
    height = property(lambda self: self.chain.height)

    async def submit(self, ops: list[Any]) -> bytes:
        self.sent += 1
        return bytes(32)


@cache
def _ledger() -> _Ledger:
    return _Ledger()


def join_question(data: bytes) -> None:
    """The key of the connection is that of the invitation. Refusals are answers."""
    ledger = _ledger()
    ledger.sent = 0
    with mock.patch("learningchain.client.contracts.membership.outsiders.try_out", lambda ledger, op: 0):
        door = JoinDoor(ledger, lambda: b"the genesis", lambda: 0)  # type: ignore[arg-type]
        status, body = _LOOP.run_until_complete(door.answer(key_of("token").public, data))
    check(body == b"the genesis" or msgspec.json.decode(body), "no answer")
    check(status == 200 or not ledger.sent, "refused and sent")
    if status == 400:
        raise Malformed("refused")


# --- a signer -----------------------------------------------------------------------------------------------------------------


class _Writer:
    def close(self) -> None:
        pass


async def _requests(reader: asyncio.StreamReader) -> None:
    disk = SimDisk()
    server = SignerServer(OWN, Guard.create("guard", chain_id=CHAIN, disk=disk), transactions=True)
    frames = m.Frames(reader, _Writer())  # type: ignore[arg-type]
    signed: dict[tuple[int, ...], bytes] = {}
    while True:
        request = await frames.read_request()
        if isinstance(request, m.SignerHello):
            server.refused(request)
        answer = server.answer(request)
        check(len(encode(answer)) <= m.MAX_FRAME, "an answer that fits into no frame")
        if isinstance(answer, m.SignatureMade) and isinstance(request, m.VoteWanted | m.ProposalWanted):
            kind = request.vote if isinstance(request, m.VoteWanted) else 0
            place = kind, request.height, request.round
            check(signed.setdefault(place, answer.signature) == answer.signature, "two signatures for one place")


def signer_requests(data: bytes) -> None:
    try:
        _read(data, _requests)
    except ConnectionError:
        return  # the end of what came


def signer_answer(data: bytes) -> None:
    answer = _read(data, lambda reader: m.Frames(reader, _Writer()).read_answer())  # type: ignore[arg-type]
    raw = encode(answer)
    check(data.startswith(len(raw).to_bytes(4, "big") + raw), "not canonical")


def pairing_file(data: bytes) -> None:
    path = scratch() / "signer.pair"
    path.write_bytes(data)
    os.chmod(path, 0o600)
    found = pairing.read_pairing(path)
    pairing.client_context(found)
    check(len(found.id) == 20, "no id")


# --- a backup -----------------------------------------------------------------------------------------------------------------


class _Cheap:
    """In the place of scrypt, which takes a tenth of a second."""

    def __init__(self, **_: Any) -> None:
        pass

    def derive(self, word: bytes) -> bytes:
        return bytes(32)


def _restore(sealed: bytes) -> None:
    folder = scratch() / "restored"
    try:
        with mock.patch.object(backup, "Scrypt", _Cheap):
            backup.restore(io.BytesIO(sealed), folder, WORD, never_signed=False, progress=lambda line: None)
        names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
        known = {*backup._SINGLE, backup._WORK, "guard"}
        check(all(name in known or backup._NAME.fullmatch(name) for name in names), f"strange files: {names - known}")
        check(names & {"keystore.json", "signer.pair"}, "no identity")
        check("genesis.json" not in names or names & {"guard", "signer.pair"}, "a node that forgot what it signed does not know it")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        check(sorted(path.name for path in scratch().iterdir() if path.name.startswith(".restored")) == [], "something is left")


def backup_file(data: bytes) -> None:
    _restore(data)


def backup_content(data: bytes) -> None:
    """The tar in it, as one would make it who knows the passphrase."""
    _restore(_sealed(data))


def _sealed(content: bytes) -> bytes:
    out = io.BytesIO()
    with mock.patch.object(backup, "Scrypt", _Cheap):
        sealing = backup._Sealing(out, WORD.encode())
        sealing.write(content)
        sealing.finish()
    return out.getvalue()


# --- a transaction on its way -------------------------------------------------------------------------------------------------


def offline_transaction(data: bytes) -> None:
    path = scratch() / "tx.json"
    path.write_bytes(data)
    file = offline.read(path)
    check(msgspec.json.encode(offline.described(file)), "cannot be shown")
    path.write_bytes(offline.write(file))
    check(offline.read(path) == file, "written, it says something else")


TARGETS = {
    "join-token": Target(join_token, (Malformed,), 4_200),
    "join-answer": Target(join_answer, (Malformed,)),
    "join-question": Target(join_question, (Malformed,), MAX_ASK),
    "http-answer": Target(http_answer, (Refused, EOFError, ValueError, asyncio.LimitOverrunError)),
    "signer-requests": Target(signer_requests, (Malformed,), 8_192),
    "signer-answer": Target(signer_answer, (Malformed, ConnectionError)),
    "pairing-file": Target(pairing_file, (PairingError,), 16_384),
    "backup-file": Target(backup_file, (BackupError, OSError), 65_536),
    "backup-content": Target(backup_content, (BackupError, OSError), 32_768),
    "offline-transaction": Target(offline_transaction, (offline.OfflineError,), 16_384),
}


# --- examples -----------------------------------------------------------------------------------------------------------------


def _tokens() -> list[bytes]:
    contacts = [Contact(id_of("alice"), "127.0.0.1:7400")]
    secret, alice = key_of("token").secret, key_of("alice")
    draft = JoinToken(1, "test", CHAIN, contacts, secret, b"c" * 32, 10**13, 5, b"b" * 32, id_of("alice"), alice.public, bytes(64))
    return [to_text(msgspec.structs.replace(draft, signature=alice.sign(token_digest(draft)))).encode()]


def _questions() -> list[bytes]:
    ledger, token, own = _ledger(), key_of("token"), SigningKey(b"\x09" * 32)
    digest = join_digest(ledger.chain_id, token.public, own.public)
    made = Join(id_of("alice"), token.public, own.public, own.sign(digest), token.sign(digest))
    asked = [(Wish.GENESIS, []), (Wish.JOIN, [made]), (Wish.JOIN, [])]
    return [encode(Ask(ledger.chain_id, id_of("alice"), wish, op)) for wish, op in asked]


def _framed(*messages: Any) -> bytes:
    raws = [encode(message) for message in messages]
    return b"".join(len(raw).to_bytes(4, "big") + raw for raw in raws)


def _signer_requests() -> list[bytes]:
    hello, block = m.SignerHello(m.PROTOCOL, CHAIN, 0), b"A" * 32
    body = TxBody(net_of(CHAIN), OWN.id, 2, 0, 99, [msgspec.Raw(encode(Transfer(OWN.id, 5, b"")))])
    votes = [m.VoteWanted(PREVOTE, 3, 0, block), m.VoteWanted(PREVOTE, 3, 0, b""), m.VoteWanted(PRECOMMIT, 3, 0, block)]
    others = [m.TxWanted(encode(body)), m.BindingWanted(b"s" * 91), m.SecretsWanted(4, 3), m.AbstainWanted(9), m.SignerPing()]
    return [_framed(hello, *votes), _framed(hello, m.ProposalWanted(2, 1, -1, block), *others)]


def _signer_answers() -> list[bytes]:
    made = [
        m.Welcome(m.PROTOCOL, OWN.id, KEY.public, 7, 1, 2),
        m.SignatureMade(bytes(64)),
        m.Silence(),
        m.SecretsMade([bytes(32)]),
        m.SignerDone(),
        m.SignerRefusal(m.BUSY, "another node"),
    ]
    return [_framed(one) for one in made]


def _pairings() -> list[bytes]:
    return [pairing.encoded(pairing.make("unix:/s", "unix:/s", address(OWN.id), KEY.public, 1_700_000_000)[1])]


def _contents() -> list[bytes]:
    import sqlite3
    import tarfile

    def packed(*entries: tuple[str, bytes]) -> bytes:
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT) as tar:
            for name, raw in entries:
                backup._add_bytes(tar, name, raw)
        return out.getvalue()

    genesis = genesis_of("alice")
    manifest = backup.Manifest(1, 5, address(OWN.id), genesis.chain_id.hex(), 7, "5a" * 32, "/old", {"job.claim": 1})
    path = scratch() / "work.db"
    path.unlink(missing_ok=True)
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE secrets (kind TEXT, key BLOB, path TEXT)")
    db.execute("INSERT INTO secrets VALUES ('job.claim', x'01', '/old/work/models/ab/model')")
    db.commit()
    db.close()
    said = (backup.MANIFEST, msgspec.json.encode(manifest))
    own = ("keystore.json", b"{}")
    return [
        packed(said, own),
        packed(said, own, ("genesis.json", to_json(genesis)), ("work/models/ab/model", b"weights")),
        packed(said, ("signer.pair", b"{}"), ("work/work.db", path.read_bytes())),
    ]


def _offline() -> list[bytes]:
    op = Transfer(OWN.id, 5, b"")
    return [offline.write(offline.unsigned("test", CHAIN, OWN.id, [0, 0, 0, 0], 99, op))]


EXAMPLES: dict[str, Callable[[], list[bytes]]] = {
    "join-token": _tokens,
    "join-answer": lambda: [b'{"state":"admitted","height":7}', b'{"state":"waiting","height":7}'],
    "join-question": _questions,
    "http-answer": lambda: [b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nServer: x\r\n\r\nabc", b"HTTP/1.1 409 Conflict\r\n\r\n"],
    "signer-requests": _signer_requests,
    "signer-answer": _signer_answers,
    "pairing-file": _pairings,
    "backup-file": lambda: [_sealed(content) for content in _contents()],
    "backup-content": _contents,
    "offline-transaction": _offline,
}
