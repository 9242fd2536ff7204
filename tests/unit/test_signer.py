"""A signer on a real socket: it signs nothing that contradicts itself, whoever asks, and the node comes back after every loss."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
import stat
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography import x509

from learningchain.chain.codec import encode
from learningchain.chain.consensus.messages import SignProposal, SignVote
from learningchain.chain.contracts.credits import Transfer
from learningchain.chain.contracts.membership import join_digest
from learningchain.chain.crypto import SigningKey, account_id, verify
from learningchain.chain.errors import Malformed
from learningchain.chain.ledger.transition import beacon_secret
from learningchain.chain.storage.errors import StorageFailed
from learningchain.chain.storage.guard import Guard, Kind
from learningchain.chain.types import NO_ROUND, PRECOMMIT, PREVOTE, TxBody, net_of, tx_digest, vote_digest
from learningchain.client.contracts.membership.statements import JOIN, join_body
from learningchain.client.keys.keystore import Identity
from learningchain.client.keys.signing import LocalSigner, SignerUnavailable
from learningchain.client.keys.statements import Speaker, statement_digest
from learningchain.client.signer import certificate, pairing, reach, remote, server
from learningchain.client.signer import messages as m
from learningchain.client.signer.pairing import Pairing, PairingError
from learningchain.client.signer.reach import HeightReach
from learningchain.client.signer.remote import RemoteSigner, SignerRefused
from learningchain.client.signer.server import SignerServer
from learningchain.p2p.tls import binding_digest, issue_leaf, make_ca
from tests.slow import SLOW
from tests.unit.loops import in_its_own_time

CHAIN = bytes(range(32))
KEY = SigningKey(b"k" * 32)
OWN = Identity(KEY, account_id(KEY.public), b"b" * 32)
A, B = b"A" * 32, b"B" * 32


class Desk:
    """A signer that can be killed and come back with what its disk holds, and nodes that use it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.place = folder, f"unix:{folder}/s"
        self.secrets, self.pairing = pairing.make(self.place, self.place, OWN.address, KEY.public, time.time())
        self.server: SignerServer | None = None
        self.nodes: list[RemoteSigner] = []

    async def open(self, *, transactions: bool = True, after: int | None = None) -> SignerServer:
        path = str(self.folder / "guard")
        if not (self.folder / "guard").exists():
            Guard.create(path, chain_id=CHAIN, after_height=after or 0).close()
        self.guard = Guard.open(path, chain_id=CHAIN)
        self.server = SignerServer(OWN, self.guard, transactions=transactions)
        await self.server.start(pairing.parse_place(self.place), pairing.server_context(self.secrets))
        return self.server

    async def kill(self) -> None:
        if self.server is not None:
            await self.server.stop()
            self.guard.close()
            self.server = None

    async def node(self, *, found: Pairing | None = None) -> tuple[RemoteSigner, list[Any]]:
        signed: list[Any] = []
        made = RemoteSigner(found or self.pairing, CHAIN)
        made.serve(signed.append)
        self.nodes.append(made)
        await made.start(5.0)
        return made, signed

    @contextlib.asynccontextmanager
    async def raw(self) -> AsyncIterator[m.Frames]:
        reader, writer = await asyncio.open_unix_connection(
            self.place[5:], ssl=pairing.client_context(self.pairing), server_hostname="x", limit=m.MAX_FRAME
        )
        try:
            yield m.Frames(reader, writer)
        finally:
            writer.close()


@pytest.fixture
async def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Desk]:
    monkeypatch.setattr(remote, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(remote, "MAX_PAUSE_S", 0.02)
    monkeypatch.setattr(remote, "PING_S", 0.05)  # so soon a node notices that its signer has gone
    made = Desk(tmp_path)
    yield made
    for node in made.nodes:
        await node.stop()
    await made.kill()


async def until(what: Callable[[], Any]) -> None:
    async with asyncio.timeout(10 * SLOW):
        while not what():
            await asyncio.sleep(0.005)


HELLO = m.SignerHello(m.PROTOCOL, CHAIN, 0)


async def ask(frames: m.Frames, request: m.Request) -> m.Answer:
    await frames.write(request)
    return await frames.read_answer()


# --- what is signed ------------------------------------------------------------------------------------------------------------


async def test_votes_proposals_transactions_bindings_and_secrets(desk: Desk) -> None:
    await desk.open()
    node, signed = await desk.node()
    node.sign(SignProposal(5, 0, NO_ROUND, A))
    node.sign(SignVote(PREVOTE, 5, 0, A))
    node.sign(SignVote(PRECOMMIT, 5, 0, b""))
    await until(lambda: len(signed) == 3)
    assert [type(one).__name__ for one in signed] == ["Proposal", "Vote", "Vote"], "in their order"
    assert verify(KEY.public, vote_digest(CHAIN, PREVOTE, 5, 0, A), signed[1].signature)

    body = encode(TxBody(net_of(CHAIN), OWN.id, 0, 3, 9, [msgspec.Raw(encode(Transfer(bytes(20), 1, b"")))]))
    assert verify(KEY.public, tx_digest(CHAIN, body), await node.transaction(body))
    assert verify(KEY.public, binding_digest(CHAIN, b"spki"), await node.binding(b"spki"))
    assert node.secret(7) == bytes(32)
    await node.fetch_secrets(6, 4)
    assert node.secret(7) == beacon_secret(OWN.beacon_key, CHAIN, 7)


async def test_statements_about_this_identity_are_signed_and_nothing_else_is(desk: Desk) -> None:
    """LC-SIG-12: by the signer as by a key that is here; the node asks for none that is not its own."""
    invitation = SigningKey(b"i" * 32).public
    body, speaker = join_body(CHAIN, invitation, KEY.public), Speaker(CHAIN, OWN.id, KEY.public)
    await desk.open()
    node, _ = await desk.node()
    local = LocalSigner(KEY, desk.guard, CHAIN, OWN.id)
    digest = join_digest(CHAIN, invitation, KEY.public)
    for signer in (node, local):
        assert verify(KEY.public, digest, await signer.statement(JOIN, body))
        for bad in ((JOIN, join_body(CHAIN, invitation, invitation)), (JOIN, body[:-1]), ("lc/vote", A), ("lc/tx", body)):
            with pytest.raises(Malformed):
                await signer.statement(*bad)
    assert statement_digest(JOIN, body, speaker) == digest
    for long in (bytes(8_193), b""):
        with pytest.raises(Malformed):
            statement_digest(JOIN, long, speaker)


async def test_a_signer_for_blocks_alone_signs_no_statement(desk: Desk) -> None:
    await desk.open(transactions=False)
    node, _ = await desk.node()
    with pytest.raises(SignerRefused, match="no statements"):
        await node.statement(JOIN, join_body(CHAIN, KEY.public, KEY.public))


async def test_one_place_one_signature_over_lives_and_nodes(desk: Desk) -> None:
    """The same request has the same answer, another one for that place has none, whoever is killed in between."""
    await desk.open()
    node, signed = await desk.node()
    node.sign(SignVote(PREVOTE, 5, 1, A))
    await until(lambda: signed)
    await desk.kill()
    await desk.open()
    node.sign(SignVote(PREVOTE, 5, 1, A))
    await until(lambda: len(signed) == 2)
    assert signed[0] == signed[1]
    await node.stop()

    second, others = await desk.node()
    assert second.signed == (5, 1, 1)
    second.sign(SignVote(PREVOTE, 5, 1, B))
    second.sign(SignVote(PREVOTE, 4, 7, B))
    second.sign(SignProposal(5, 1, NO_ROUND, B))
    second.sign(SignVote(PRECOMMIT, 5, 1, B))
    await until(lambda: others)
    assert [(one.type, one.height, one.round) for one in others] == [(PRECOMMIT, 5, 1)]


async def test_nobody_else_on_the_machine_reaches_the_signer_s_socket(desk: Desk) -> None:
    before = os.umask(0o022)
    try:
        await desk.open()
        assert os.umask(0o022) == 0o022, "what the process makes later is as before"
    finally:
        os.umask(before)
    assert stat.S_IMODE((desk.folder / "s").stat().st_mode) == 0o600


async def test_a_second_node_at_once_gets_nothing(desk: Desk) -> None:
    await desk.open()
    first, signed = await desk.node()
    second = RemoteSigner(desk.pairing, CHAIN)
    others: list[Any] = []
    second.serve(others.append)
    desk.nodes.append(second)
    assert not await second.start(0.3 * SLOW)
    assert "another node is being served" in second.failing()[0]["why"]
    second.sign(SignVote(PREVOTE, 5, 0, B))
    with pytest.raises(SignerUnavailable):
        await second.transaction(b"x")
    first.sign(SignVote(PREVOTE, 5, 0, A))
    await until(lambda: signed)
    assert others == []
    await first.stop()
    await until(lambda: not second.failing())
    await second.binding(b"it is served now, and what it asked for before is settled")
    assert others == [], "the first one signed that place"


async def test_a_signer_that_goes_away_is_told_and_asked_again(desk: Desk) -> None:
    """Votes wait for it; other requests fail at once, with the reason."""
    await desk.open()
    node, signed = await desk.node()
    assert node.failing() == []
    await desk.kill()
    await until(lambda: node.failing())
    assert "signs nothing until it is back" in node.failing()[0]["why"]
    with pytest.raises(SignerUnavailable, match="out of reach"):
        await node.transaction(b"x")
    for round_ in range(12):
        node.sign(SignVote(PREVOTE, 5, round_, A))
    await desk.open()
    await until(lambda: len(signed) == remote.MAX_HELD)
    assert [one.round for one in signed] == list(range(4, 12)), "the newest wait, in their order"
    assert node.failing() == []


async def test_what_is_abstained_from_is_signed_by_nobody_any_more(desk: Desk) -> None:
    await desk.open()
    node, signed = await desk.node()
    await desk.kill()
    await until(lambda: node.failing())
    node.sign(SignVote(PREVOTE, 9, 0, A))
    node.abstain(9)
    node.sign(SignVote(PREVOTE, 10, 0, A))
    await desk.open()
    await until(lambda: signed)
    assert [one.height for one in signed] == [10]
    await node.stop()
    async with desk.raw() as frames:
        await ask(frames, HELLO)
        assert isinstance(await ask(frames, m.VoteWanted(PREVOTE, 9, 0, A)), m.Silence)


async def test_a_guard_that_forgot_waits_for_a_node_s_word(desk: Desk) -> None:
    await desk.open(after=1)
    async with desk.raw() as frames:
        welcome = await ask(frames, HELLO)
        assert isinstance(welcome, m.Welcome) and welcome.signed_height == -1
        refused = await ask(frames, m.VoteWanted(PREVOTE, 50, 0, A))
        assert isinstance(refused, m.SignerRefusal) and refused.code == m.FORGOTTEN
        assert isinstance(await ask(frames, m.AbstainWanted(60)), m.SignerDone)
        assert isinstance(await ask(frames, m.VoteWanted(PREVOTE, 60, 0, A)), m.Silence)
        assert isinstance(await ask(frames, m.VoteWanted(PREVOTE, 61, 0, A)), m.SignatureMade)


async def test_a_node_tells_its_owner_that_the_signer_refuses(desk: Desk) -> None:
    await desk.open(after=1)
    node, signed = await desk.node()
    node.sign(SignVote(PREVOTE, 5, 0, A))
    await until(node.failing)
    assert "refuses to vote" in node.failing()[0]["why"]
    node.abstain(9)
    node.sign(SignVote(PREVOTE, 10, 0, A))
    await until(lambda: signed)
    assert node.failing() == []


# --- what is refused -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (m.SignerPing(), m.BAD_REQUEST),
        (m.SignerHello(2, CHAIN, 0), m.UNKNOWN_PROTOCOL),
        (m.SignerHello(m.PROTOCOL, bytes(32), 0), m.FOREIGN),
    ],
)
async def test_a_wrong_hello_is_refused_and_ends_the_connection(desk: Desk, request_: m.Request, code: int) -> None:
    await desk.open()
    async with desk.raw() as frames:
        answer = await ask(frames, request_)
        assert isinstance(answer, m.SignerRefusal) and answer.code == code
        with pytest.raises((ConnectionError, OSError)):
            await frames.read_answer()


def foreign_body() -> bytes:
    return encode(TxBody(net_of(CHAIN), bytes(20), 0, 3, 9, [msgspec.Raw(encode(Transfer(bytes(20), 1, b"")))]))


@pytest.mark.parametrize("body", [b"\x00", CHAIN, vote_digest(CHAIN, PREVOTE, 5, 0, A), foreign_body(), b"\xff" * 60_000])
async def test_what_is_no_own_transaction_is_not_signed(desk: Desk, body: bytes) -> None:
    """Among them a vote's digest: nothing is signed blind."""
    await desk.open()
    node, _ = await desk.node()
    with pytest.raises(SignerRefused) as refusal:
        await node.transaction(body)
    assert refusal.value.code == m.BAD_REQUEST
    await node.binding(b"the connection goes on")


async def test_a_signer_for_blocks_alone_moves_no_credits(desk: Desk) -> None:
    await desk.open(transactions=False)
    node, signed = await desk.node()
    with pytest.raises(SignerRefused) as refusal:
        await node.transaction(foreign_body())
    assert refusal.value.code == m.NOT_ALLOWED
    node.sign(SignVote(PREVOTE, 5, 0, A))
    await until(lambda: signed)


async def test_a_disk_that_fails_ends_the_signer(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    served = await desk.open()

    def fail(*_: Any) -> bytes:
        raise StorageFailed("no", "no", "no")

    monkeypatch.setattr(desk.guard, "sign", fail)
    async with desk.raw() as frames:
        await ask(frames, HELLO)
        answer = await ask(frames, m.VoteWanted(PREVOTE, 5, 0, A))
        assert isinstance(answer, m.SignerRefusal) and answer.code == m.BROKEN
    assert served.failed.done()


@pytest.mark.parametrize(
    "raw",
    [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\0\0\0\1\xc1", b"\0\0\0\2\x91\x63", b"\0\0\0\3\x92\x07\x00", b"GET / HTTP/1.1\r\n\r\n"],
)
async def test_bytes_that_are_no_request_end_their_connection_alone(desk: Desk, raw: bytes) -> None:
    await desk.open()
    async with desk.raw() as frames:
        await ask(frames, HELLO)
        frames._writer.write(raw)
        with pytest.raises((ConnectionError, OSError)):
            await frames.read_answer()
    node, _ = await desk.node()
    assert node.failing() == []


async def test_who_holds_no_pairing_gets_no_word(desk: Desk) -> None:
    """Another certificate than the paired one, and plain text."""
    await desk.open()
    _, other = pairing.make(desk.place, desk.place, OWN.address, KEY.public, time.time())
    stranger = msgspec.structs.replace(desk.pairing, node_cert=other.node_cert, node_key=other.node_key)
    with pytest.raises((ssl.SSLError, ConnectionError, OSError)):
        reader, writer = await asyncio.open_unix_connection(
            desk.place[5:], ssl=pairing.client_context(stranger), server_hostname="x"
        )
        frames = m.Frames(reader, writer)
        await ask(frames, HELLO)
    reader, writer = await asyncio.open_unix_connection(desk.place[5:])
    writer.write(b"\0\0\0\5hello")
    with contextlib.suppress(ConnectionError):
        assert (await reader.read())[7:] == b"", "an alert of TLS at most"
    writer.close()
    node, _ = await desk.node()
    assert node.failing() == []


async def test_a_false_signer_is_found_out(desk: Desk) -> None:
    """Another key than the pairing names; or another certificate."""
    await desk.open()
    stranger = SigningKey(b"x" * 32)
    wrong_key = msgspec.structs.replace(desk.pairing, public_key=stranger.public.hex())
    node = RemoteSigner(wrong_key, CHAIN)
    desk.nodes.append(node)
    assert not await node.start(0.3 * SLOW) and "another key" in node.failing()[0]["why"]
    _, other = pairing.make(desk.place, desk.place, OWN.address, KEY.public, time.time())
    node = RemoteSigner(msgspec.structs.replace(desk.pairing, signer_cert=other.signer_cert), CHAIN)
    desk.nodes.append(node)
    assert not await node.start(0.3 * SLOW)


async def test_what_is_asked_is_answered_and_no_more(desk: Desk) -> None:
    """LC-SIG-3, 5: an id of a block is whole or nil; so many secrets as were asked for."""
    await desk.open()
    async with desk.raw() as frames:
        await ask(frames, HELLO)
        refusal = await ask(frames, m.VoteWanted(PREVOTE, 5, 0, b"A" * 5))
        assert isinstance(refusal, m.SignerRefusal) and refusal.code == m.BAD_REQUEST
        made = await ask(frames, m.SecretsWanted(4, 3))
        assert isinstance(made, m.SecretsMade) and len(made.secrets) == 3
        assert made.secrets[2] == beacon_secret(OWN.beacon_key, CHAIN, 6)


async def test_a_signature_that_is_not_good_is_not_used(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """LC-SIG-9: whatever is wrong with the signer, no peer gets a message of this node that it would be blamed for."""
    served = await desk.open()
    node, signed = await desk.node()
    with monkeypatch.context() as patch:
        patch.setattr(served, "_guarded", lambda *_: m.SignatureMade(bytes(64)))
        node.sign(SignVote(PREVOTE, 5, 0, A))
        node.sign(SignProposal(5, 0, NO_ROUND, A))
        await until(lambda: not node._held)
    node.sign(SignVote(PREVOTE, 6, 0, A))
    await until(lambda: signed)
    assert [one.height for one in signed] == [6]


async def test_who_holds_the_pairing_ends_no_key_by_a_height_that_no_graph_reaches(desk: Desk) -> None:
    """LC-SIG-7: one vote or abstention at 2^48 was the validator's last."""
    clock = [0.0]
    guard = Guard.create(str(desk.folder / "other"), chain_id=CHAIN, after_height=0)
    one = SignerServer(OWN, guard, transactions=False, reach=HeightReach(500, 0, lambda: clock[0]))
    far = 500 + reach.AHEAD
    hello = m.SignerHello(m.PROTOCOL, CHAIN, far + 1)
    asked = (m.AbstainWanted(far + 1), m.VoteWanted(PREVOTE, 2**48, 0, A), m.ProposalWanted(2**48, 0, -1, A))
    for refused in (one.refused(hello), *(one.answer(wanted) for wanted in asked)):
        assert isinstance(refused, m.SignerRefusal) and refused.code == m.BAD_REQUEST and "--height" in refused.text
    assert isinstance(one.answer(m.VoteWanted(PREVOTE, 501, 0, A)), m.SignatureMade)
    clock[0] = 10.0
    assert one.refused(hello) is None and one.answer(m.AbstainWanted(far + 10 * reach.PACE)) == m.SignerDone()
    assert isinstance(one.answer(m.AbstainWanted(far + 10 * reach.PACE + 1)), m.SignerRefusal)
    guard.close()


def test_a_signer_that_knows_no_height_goes_by_the_age_of_the_network_until_it_signed() -> None:
    clock = [0.0]
    one = HeightReach(-1, 1_000.0, lambda: clock[0])
    assert one.most == reach.AHEAD + 1_000 * reach.PACE
    one.known(70)
    assert one.most == reach.AHEAD + 70
    one.known(50_000)
    clock[0] = 2.0
    assert one.most == reach.AHEAD + 70 + 2 * reach.PACE, "what is asked for moves nothing"


async def test_what_was_abstained_from_never_becomes_less(desk: Desk) -> None:
    """LC-SIG-10: up to the height itself; what waits for its signature goes, and the next hello says the highest."""
    node = RemoteSigner(desk.pairing, CHAIN)
    desk.nodes.append(node)
    for height in (8, 9, 10):
        node.sign(SignVote(PREVOTE, height, 0, A))
    node.abstain(9)
    node.abstain(3)
    assert [one.height for one in node._held] == [10]
    served = await desk.open()
    assert await node.start(5.0)
    assert served._told and desk.guard.sign(Kind.PREVOTE, 9, 0, b"d" * 32, lambda digest: bytes(64)) is None


async def test_votes_go_before_whatever_else_waits_and_no_queue_is_endless(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """LC-SIG-10: a height does not wait behind a hundred transactions of this node's owner."""
    node = RemoteSigner(desk.pairing, CHAIN)
    node._up.set()
    waiting = [asyncio.create_task(node.transaction(bytes([n]))) for n in range(3)]
    await until(lambda: len(node._queue) == 3)
    node.sign(SignVote(PREVOTE, 5, 0, A))
    await until(lambda: len(node._queue) == 4)
    assert isinstance(node._queue[0][0], m.VoteWanted)
    monkeypatch.setattr(remote, "MAX_QUEUED", 4)
    with pytest.raises(SignerUnavailable, match="4 requests wait"):
        await node.transaction(b"x")
    node._lost("gone")
    assert [type(found) for found in await asyncio.gather(*waiting, return_exceptions=True)] == [SignerUnavailable] * 3
    await node.stop()


async def test_of_the_beacon_s_secrets_the_last_ones_are_kept(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "MAX_SECRETS", 4)
    await desk.open()
    node, _ = await desk.node()
    await node.fetch_secrets(10, 3)
    await node.fetch_secrets(20, 3)
    known = [height for height in (10, 11, 12, 20, 21, 22) if node.secret(height) != bytes(32)]
    assert known == [12, 20, 21, 22]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"version": 2}, "another version"),
        ({"version": 0}, "another version"),
        ({"public_key": "07" * 33}, "its public key is none"),
        ({"public_key": "zz" * 33}, "is no pairing"),
        ({"place": "here"}, "is no place for a signer"),
        ({"account": "lc1nobody"}, "is no pairing"),
        ({"place": "unix:" + "/x" * 60}, "under 100 bytes"),
        ({"signer_cert": "x" * 16_385}, "is no pairing"),
    ],
    ids=str,
)
def test_a_pairing_that_leads_nowhere_is_refused_when_it_is_read(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    """LC-SIG-1"""
    good = pairing.make("unix:/s", "unix:/s", OWN.address, KEY.public, time.time())[1]
    path = tmp_path / "signer.pair"
    path.touch(0o600)
    path.write_bytes(pairing.encoded(good))
    assert pairing.read_pairing(path) == good
    path.write_bytes(pairing.encoded(msgspec.structs.replace(good, **change)))
    with pytest.raises(PairingError, match=said):
        pairing.read_pairing(path)
    path.write_bytes(pairing.encoded(good).ljust(pairing.MAX_FILE))
    assert pairing.read_pairing(path) == good
    path.write_bytes(pairing.encoded(good).ljust(pairing.MAX_FILE + 1))
    with pytest.raises(PairingError, match="more than 65536 bytes"):
        pairing.read_pairing(path)


async def test_a_kept_certificate_serves_its_own_identity_while_the_signer_is_away(desk: Desk) -> None:
    """Nobody else's: a folder in which another pairing was put since is no way to be taken for who was there before."""
    ca, now = make_ca(time.time()), time.time()
    await desk.open()
    node, _ = await desk.node()
    leaf = await certificate.certificate(desk.folder, node, CHAIN, ca, now)
    await desk.kill()
    await until(lambda: node.failing())
    assert await certificate.certificate(desk.folder, node, CHAIN, ca, now) == leaf
    with pytest.raises(SignerUnavailable):
        await certificate.certificate(desk.folder, node, bytes(32), ca, now)
    stranger = SigningKey(b"x" * 32)
    found = msgspec.structs.replace(
        desk.pairing, public_key=stranger.public.hex(), account=Identity(stranger, account_id(stranger.public), b"").address
    )
    other = RemoteSigner(found, CHAIN)
    desk.nodes.append(other)
    with pytest.raises(SignerUnavailable):
        await certificate.certificate(desk.folder, other, CHAIN, ca, now)
    (desk.folder / certificate.FILE).unlink()
    with pytest.raises(SignerUnavailable):
        await certificate.certificate(desk.folder, node, CHAIN, ca, now)


@pytest.mark.parametrize("damage", ["cut", "other key", "of another version", "expired"])
async def test_a_kept_certificate_that_is_good_for_nothing_is_none(desk: Desk, damage: str) -> None:
    ca, now = make_ca(time.time()), time.time()
    await desk.open()
    node, _ = await desk.node()
    await certificate.certificate(desk.folder, node, CHAIN, ca, now)
    await desk.kill()
    await until(lambda: node.failing())
    path = desk.folder / certificate.FILE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600, "whoever has it can pass for this node among its peers"
    kept = msgspec.json.decode(path.read_bytes())
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-9])
    elif damage == "other key":
        foreign = issue_leaf(SigningKey(b"x" * 32), OWN.id, CHAIN, ca, now)
        path.write_bytes(msgspec.json.encode(kept | {"cert": foreign.cert_pem.decode()}))
    elif damage == "of another version":
        path.write_bytes(msgspec.json.encode(kept | {"more": 1}))
    with pytest.raises(SignerUnavailable):
        await certificate.certificate(desk.folder, node, CHAIN, ca, now + (4_000 * 86_400 if damage == "expired" else 0))


# --- in time -------------------------------------------------------------------------------------------------------------------


def dead_end() -> RemoteSigner:
    """A node whose signer is nowhere."""
    made = pairing.make("unix:/nowhere/s", "unix:/nowhere/s", OWN.address, KEY.public, time.time())[1]
    return RemoteSigner(made, CHAIN)


@in_its_own_time
async def test_a_signer_that_is_away_is_tried_at_first_soon_and_then_every_two_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """LC-SIG-9"""
    tried: list[float] = []
    node = dead_end()

    async def live() -> None:
        tried.append(asyncio.get_running_loop().time())
        if len(tried) == 9:
            node._up.set()  # it was there, and went again
        raise OSError("nobody")

    monkeypatch.setattr(node, "_live", live)
    assert not await node.start(5.0)
    await asyncio.sleep(10)
    await node.stop()
    pauses = [round(after - before, 6) for before, after in pairwise(tried)]
    assert pauses[:8] == [0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0, 2.0]
    assert pauses[8:11] == [0.1, 0.2, 0.4], "soon again, once it was there"
    before = len(tried)
    await asyncio.sleep(60)
    assert len(tried) == before


class _Quiet:
    """A signer's frames: each request is noted with its time; answered where it may."""

    def __init__(self) -> None:
        self.asked: list[tuple[float, m.Request]] = []
        self.answers = True
        self.closed = False

    async def write(self, request: m.Request) -> None:
        self.asked.append((asyncio.get_running_loop().time(), request))

    async def read_answer(self) -> m.Answer:
        if not self.answers:
            await asyncio.Event().wait()
        asked = self.asked[-1][1]
        if isinstance(asked, m.SignerHello):
            return m.Welcome(m.PROTOCOL, OWN.id, KEY.public, 7, 1, 2)
        return m.SignerDone()

    def close(self) -> None:
        self.closed = True


@in_its_own_time
async def test_a_signer_that_is_not_asked_is_pinged_and_one_that_is_silent_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """LC-SIG-9: a ping after two seconds without a request; no answer within five is no signer."""
    node, frames = dead_end(), _Quiet()

    async def connect() -> Any:
        return frames

    monkeypatch.setattr(node, "_connect", connect)
    assert await node.start(1.0) and node.signed == (7, 1, 2)
    await asyncio.sleep(5)
    pings = [at for at, request in frames.asked if isinstance(request, m.SignerPing)]
    assert pings == pytest.approx([2, 4])
    frames.answers = False
    asked = asyncio.create_task(node.transaction(b"x"))
    began = asyncio.get_running_loop().time()
    with pytest.raises(SignerUnavailable, match="went away"):
        await asked
    assert asyncio.get_running_loop().time() - began == pytest.approx(5)
    assert frames.closed and "signs nothing until it is back" in node.failing()[0]["why"]
    with pytest.raises(SignerUnavailable, match="out of reach"):
        await node.transaction(b"x")
    await node.stop()


@in_its_own_time
async def test_the_secrets_of_blocks_to_come_are_fetched_before_they_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """LC-SIG-11: sixteen heights at a time, when half of them are used up; and that of the last own block, after a start."""
    node, asked = dead_end(), list[tuple[int, int]]()

    async def ask(request: Any, *, first: bool = False) -> Any:
        asked.append((request.height, request.count))
        return m.SecretsMade([bytes((height % 256,)) * 32 for height in range(request.height, request.height + request.count)])

    monkeypatch.setattr(node, "_ask", ask)
    node.prepare(100, None)
    await asyncio.sleep(1)
    assert asked == [], "nobody is there"
    node._up.set()
    for height in range(100, 112):
        node.prepare(height, 50)
        await asyncio.sleep(1)
    assert asked == [(50, 1), (101, 16), (109 + 1, 16)]
    assert node.secret(50) == bytes((50,)) * 32 and node.secret(125) == bytes((125,)) * 32
    assert node.secret(51) == node.secret(126) == bytes(32)
    node.prepare(500, 50)
    await asyncio.sleep(1)
    assert asked[3:] == [(501, 16)], "a node that was far behind"


async def test_strangers_that_say_nothing_are_so_many_and_no_more(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """LC-SIG-7"""
    monkeypatch.setattr(server, "MAX_WAITING", 2)
    served = await desk.open()
    async with desk.raw(), desk.raw():
        await until(lambda: served._waiting == 2)
        async with desk.raw() as third:
            with pytest.raises((ConnectionError, OSError)):
                await ask(third, HELLO)
        assert served._waiting == 2


async def test_a_node_that_falls_silent_loses_its_place(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "IDLE_S", 0.05 * SLOW)
    await desk.open()
    async with desk.raw() as frames:
        await ask(frames, HELLO)
        with pytest.raises((ConnectionError, OSError)):
            await frames.read_answer()
    monkeypatch.setattr(server, "IDLE_S", 10.0)
    node, _ = await desk.node()
    assert node.failing() == []


async def test_connections_that_say_nothing_take_no_place(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "HELLO_S", 0.2 * SLOW)
    await desk.open()
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(server.MAX_WAITING + 4):
            await stack.enter_async_context(desk.raw())
        node, signed = await desk.node()
        node.sign(SignVote(PREVOTE, 5, 0, A))
        await until(lambda: signed)


# --- pairing -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("unix:/run/signer.sock", ("unix", "/run/signer.sock")),
        ("unix:/" + "a" * 98, ("unix", "/" + "a" * 98)),
        ("tcp:127.0.0.1:7", ("tcp", ("127.0.0.1", 7))),
        ("tcp:[::1]:7", ("tcp", ("::1", 7))),
        ("unix:/" + "\u00e4" * 49, ("unix", "/" + "\u00e4" * 49)),
        ("unix:/" + "a" * 99, None),
        ("unix:/" + "\u00e4" * 50, None),
        ("unix:run/signer.sock", None),
        ("unix:", None),
        ("/run/signer.sock", None),
        ("tcp:127.0.0.1", None),
        ("", None),
        ("tcp:h:99999", None),
        ("udp:127.0.0.1:7", None),
    ],
)
def test_a_place_is_a_socket_of_this_machine_or_an_address(text: str, place: Any) -> None:
    if place is None:
        with pytest.raises(pairing.PairingError):
            pairing.parse_place(text)
        for both in ((text, "unix:/s"), ("unix:/s", text)):
            with pytest.raises(pairing.PairingError):
                pairing.make(*both, "lc1", b"", 1.7e9)
    else:
        assert pairing.parse_place(text) == place


def test_both_sides_show_a_certificate_speak_nothing_older_and_leave_no_key_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LC-SIG-1"""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    secrets, found = pairing.make("unix:/s", "unix:/s", OWN.address, KEY.public, time.time())
    for context in (pairing.server_context(secrets), pairing.client_context(found)):
        assert context.verify_mode is ssl.CERT_REQUIRED and context.minimum_version is ssl.TLSVersion.TLSv1_3
        assert context.options & ssl.OP_NO_TICKET and len(context.get_ca_certs()) == 1, "one certificate is trusted"
    assert list(tmp_path.iterdir()) == []
    for broken in ({"node_cert": found.node_cert[:200]}, {"node_key": "none"}, {"signer_cert": "none"}):
        with pytest.raises(PairingError, match="Make it anew"):
            pairing.client_context(msgspec.structs.replace(found, **broken))
    assert list(tmp_path.iterdir()) == []


def test_a_pairing_holds_from_a_day_before_it_was_made_for_ten_years() -> None:
    now = 1_800_000_000.0
    _, found = pairing.make("unix:/s", "tcp:signer:7411", OWN.address, KEY.public, now)
    made = x509.load_pem_x509_certificate(found.node_cert.encode())
    assert made.not_valid_before_utc.timestamp() == now - 86_400
    assert (made.not_valid_after_utc - made.not_valid_before_utc).days == 3_650
    assert (found.place, found.id, found.key) == ("tcp:signer:7411", OWN.id, KEY.public), "where the node reaches it"
    with pytest.raises(PairingError):
        pairing.make("unix:relative", "unix:/s", OWN.address, KEY.public, now)
    with pytest.raises(PairingError):
        pairing.make("unix:/s", "unix:relative", OWN.address, KEY.public, now)


@pytest.mark.parametrize("raw", [b"", b"{}", b"[" * 50_000, b'{"version":1}', b"x" * 70_000, b"\xff"])
def test_a_file_that_is_no_pairing_is_refused(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "p").write_bytes(raw)
    with pytest.raises(PairingError):
        pairing.read_pairing(tmp_path / "p")
