"""Each bound of the table of messages (protocol_spec/p2p.md, LC-P2P-26) is reached exactly, and one above it: what then happens.

A case gives the last number that is let in and what becomes of one more. Bounds that need a graph, a disk or a socket are reached
in the tests that `ELSEWHERE` names.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache, reduce
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from learningchain.chain.codec import encode
from learningchain.chain.consensus.messages import CheckBlock
from learningchain.chain.contracts.federation.records import FederationMember
from learningchain.chain.contracts.federation.records import member_key as fed_member_key
from learningchain.chain.contracts.membership import Member, member_key
from learningchain.chain.errors import Malformed
from learningchain.chain.ledger.snapshot import ValidatorSetChange
from learningchain.chain.node import events as e
from learningchain.chain.node import messages as m
from learningchain.chain.node.answer_budget import ANSWERS, AnswerBudget, AnswerKind
from learningchain.chain.node.bodies import MAX_WANTED, Bodies
from learningchain.chain.node.candidates import MAX_CANDIDATES, Candidate, Candidates
from learningchain.chain.node.relay import MAX_ANNOUNCED, MAX_ANSWER, MAX_OF_PEER, Relay, batches
from learningchain.chain.node.service import (
    ALL_READS,
    BODIES,
    HEIGHTS,
    MAX_OPEN,
    MAX_READS,
    OFFERS,
    POOL,
    QUESTIONS,
    READS,
    AnswerLimit,
    PeerService,
)
from learningchain.chain.params import MAX_PEER_MESSAGE, MAX_TX_BYTES, MAX_VALIDATORS
from learningchain.chain.types import Certificate, Header, Validator
from learningchain.client.contracts.federation.roles.aggregator import AggregatorMachine
from learningchain.client.contracts.federation.roles.channel import KeyAsk, KeyGive, ShareAsk, ShareGive, UpdateAnswer, UpdateOffer
from learningchain.client.contracts.federation.roles.keeping import OthersVaults
from learningchain.client.contracts.federation.roles.member import MemberMachine
from learningchain.client.contracts.federation.roles.panel import PanelMachine
from learningchain.client.contracts.federation.roles.sponsor import SponsorMachine
from learningchain.client.contracts.federation.roles.vaulting import OwnVaults
from learningchain.client.node.driver import WAITING_BYTES
from learningchain.client.node.waiting import SHARE, WaitingLine
from learningchain.client.work.boxes import OwnBoxKeys
from learningchain.client.work.events import FetchContent, PeerSaid
from learningchain.p2p.address_book import MAX_RUMOURS, AddressBook
from learningchain.p2p.config import TransportConfig
from learningchain.p2p.content.cid import Cid, Codec
from learningchain.p2p.content.dag import CHUNK
from learningchain.p2p.content.events import Effect, MessageReceived, PeerConnected, PenalizePeer
from learningchain.p2p.content.exchange import Exchange
from learningchain.p2p.content.messages import MAX_FRAME, MAX_WANTS, ContentBlock, WantBlocks, WhoHas
from learningchain.p2p.content.messages import decode_message as decode_content
from learningchain.p2p.content.questions import MOST
from learningchain.p2p.content.serving import MAX_ACTIVE, MAX_PER_PEER, MAX_QUEUED, MAX_UNSENT, Serving
from learningchain.p2p.limits import Meter
from learningchain.p2p.wire import (
    BATCH_MESSAGES,
    CHANNEL_LIMITS,
    MAX_ADDRESSES,
    MAX_ENTRIES,
    GetPeers,
    Hello,
    PeerAddresses,
    Peers,
    PeersMessage,
    Reassembler,
    batch_frame,
    parse_peers,
)
from tests.unit.node_kit import fresh, of_kind, receive, transfer
from tests.unit.p2p_kit import CHAIN, id_of, key_of
from tests.unit.p2p_unplugged import Unplugged
from tests.unit.test_p2p_costs import MODULES, ROWS

OK, REJECTED, IGNORED, WAITS, DROPPED, PAUSED, VIOLATION, LESS = (
    "taken",
    "refused, and it costs the sender",
    "ignored",
    "waits",
    "another one goes",
    "no more is read from it for a while",
    "the connection ends with 4003",
    "answered with less",
)
Reach = Callable[[int], Any]
PEER, OTHER, SECOND = b"p" * 20, b"q" * 20, 1_000
HASH = bytes(32)
ROOT = Cid(Codec.RAW, HASH)


# --- what a message may hold ------------------------------------------------------------------------------------------------------


@cache
def _node() -> Any:
    return fresh(0)


def of_node(make: Callable[[int], m.Message]) -> Callable[[int], str]:
    """A node is sent the message that is made of the number."""
    return lambda n: REJECTED if of_kind(receive(_node(), 3, make(n)), e.Penalize) else OK


def of_peers(make: Callable[[int], PeersMessage]) -> Callable[[int], str]:
    def reach(n: int) -> str:
        try:
            parse_peers(encode(make(n)))
        except Malformed:
            return REJECTED
        return OK

    return reach


def of_content(make: Callable[[int], Any]) -> Callable[[int], str]:
    def reach(n: int) -> str:
        machine = Exchange(lambda *_: False)
        machine.handle(0, PeerConnected(PEER))
        told = machine.handle(0, MessageReceived(PEER, made if isinstance(made := make(n), bytes) else encode(made)))
        return REJECTED if any(isinstance(effect, PenalizePeer) for effect in told) else OK

    return reach


def of_frame(make: Callable[[int], bytes]) -> Callable[[int], str]:
    def reach(n: int) -> str:
        try:
            Reassembler().feed(make(n))
        except Malformed:
            return VIOLATION
        return OK

    return reach


def in_parts(channel: int) -> Callable[[int], str]:
    """A payload of so many bytes, in parts."""

    def reach(n: int) -> str:
        whole, frames = bytes((channel,)) + bytes(n), Reassembler()
        try:
            for start in range(0, len(whole), 65_536):
                piece = whole[start : start + 65_536]
                frames.feed(bytes((254, 0x80 if start + 65_536 >= len(whole) else 0)) + piece)
        except Malformed:
            return VIOLATION
        return OK

    return reach


def names(n: int, size: int = 20) -> list[bytes]:
    return [i.to_bytes(size, "big") for i in range(n)]


def node_bytes(n: int) -> str:
    """So many bytes on the channel NODE that are one message but for what is behind it."""
    try:
        m.decode_message(encode(m.GetSnapshot()) + bytes(n - 2))
    except Malformed as fault:
        return REJECTED if "at most" in str(fault) else OK
    raise AssertionError


def block_with(n: int) -> Any:
    return ContentBlock(ROOT.to_bytes(), ROOT.to_bytes(), bytes(n))


def content_bytes(n: int) -> str:
    try:
        decode_content(bytes(n))
    except Malformed as fault:
        return REJECTED if "at most" in str(fault) else OK
    raise AssertionError


def hello(n: int) -> Hello:
    return Hello(1, CHAIN, 0, [f"h{i}:1" for i in range(n)], 0)


def addresses(n: int) -> Peers:
    return Peers([PeerAddresses(id_of(1), [f"h{i}:1" for i in range(n)])])


# --- what one peer, and all of them, may have -------------------------------------------------------------------------------------


def all_of(what: list[bool], otherwise: str) -> str:
    """Only the last one may not have been let in."""
    assert all(what[:-1])
    return OK if what[-1] else otherwise


def answers(limit: AnswerLimit) -> Callable[[int], str]:
    def reach(n: int) -> str:
        service = PeerService()
        return all_of([service.allows(PEER, limit, 0) for _ in range(n)], IGNORED)

    return reach


def answers_later(limit: AnswerLimit) -> Callable[[int], str]:
    """In the second after all that may be had at once."""

    def reach(n: int) -> str:
        service = PeerService()
        assert all(service.allows(PEER, limit, 0) for _ in range(limit.rate.burst))
        return all_of([service.allows(PEER, limit, SECOND) for _ in range(n)], IGNORED)

    return reach


def queued(limit: AnswerLimit) -> Callable[[int], str]:
    """So many bytes stand in the queue with the answer's first one."""

    def reach(n: int) -> str:
        service = PeerService()
        service.queued = lambda peer, queue: n - 1 if queue == limit.queue else 0
        if limit is not READS:
            return OK if service.allows(PEER, limit, 0) else IGNORED
        service.ask(PEER, m.GetBlocks(1, 1))
        return OK if service.next(0) else WAITS

    return reach


def read(peers: list[bytes], at_once: int) -> Callable[[int], str]:
    """Of one peer, or of several; after `at_once` ones in the second that follows."""

    def reach(n: int) -> str:
        service, done = PeerService(), []
        for number in range(at_once + n):
            service.ask(peer := peers[number % len(peers)], m.GetBlocks(1, 1))
            done.append(service.next(SECOND if number >= at_once else 0) is not None)
            service.done(peer)
        return all_of(done, WAITS)

    return reach


def open_questions(n: int) -> str:
    service = PeerService()
    return all_of([service.ask(PEER, m.GetBlocks(1, 1)) for _ in range(n)], IGNORED)


def reading(n: int) -> str:
    service = PeerService()
    for peer in names(n):
        service.ask(peer, m.GetBlocks(1, 1))
    return all_of([service.next(0) is not None for _ in range(n)], WAITS)


def hears(at_once: int) -> Callable[[int], str]:
    def reach(n: int) -> str:
        service = PeerService()
        assert all(service.hears(PEER, 0) for _ in range(at_once))
        return all_of([service.hears(PEER, SECOND if at_once else 0) for _ in range(n)], IGNORED)

    return reach


def refused_txs(at_once: int) -> Callable[[int], str]:
    """The last of so many transactions that are refused is looked at."""

    def reach(n: int) -> str:
        service = PeerService()
        if at_once:
            service.refused(PEER, at_once, 0)
        now = SECOND if at_once else 0
        service.offers(PEER, now)
        service.refused(PEER, n - 1, now)
        return OK if service.offers(PEER, now) else IGNORED

    return reach


def answered_bytes(n: int) -> str:
    budget = AnswerBudget()
    budget.spent(PEER, AnswerKind.MEMORY, n - 1)
    return OK if budget.allows(OTHER, AnswerKind.MEMORY, 0) else IGNORED


def answered_bytes_later(n: int) -> str:
    budget = AnswerBudget()
    budget.spent(PEER, AnswerKind.MEMORY, ANSWERS.burst)
    assert not budget.allows(OTHER, AnswerKind.MEMORY, 0) and budget.allows(OTHER, AnswerKind.MEMORY, SECOND)
    budget.spent(PEER, AnswerKind.MEMORY, n - 1)
    return OK if budget.allows(OTHER, AnswerKind.MEMORY, SECOND) else IGNORED


# --- what is kept -----------------------------------------------------------------------------------------------------------------


def announced(each: int) -> Callable[[int], str]:
    """So many ids of peers that announce `each` of them."""

    def reach(n: int) -> str:
        relay, pool = Relay(), _node().pool
        for number, short in enumerate(names(n, m.SHORT)):
            relay.heard([short], (number // each).to_bytes(20, "big"), pool, 0)
        return OK if relay.waiting == n else IGNORED

    return reach


def told_txs(n: int) -> str:
    """A question for what fills so many messages."""
    raws = [i.to_bytes(4, "big") + bytes(MAX_TX_BYTES - 4) for i in range(n * (1_000_000 // MAX_TX_BYTES))]
    assert len(batches(raws)) == n
    pool: Any = SimpleNamespace(by_short=lambda short: SimpleNamespace(raw=raws[int.from_bytes(short, "big")]))
    told = Relay().answer(names(len(raws), m.SHORT), PEER, pool)
    return OK if len(told) == n else LESS


def kept_blocks(n: int) -> str:
    kept, header = Candidates(), SimpleNamespace(height=1)
    for key in names(n, 32):
        kept.put(key, Candidate(header, [], 0, None), frozenset())  # type: ignore[arg-type]
    return OK if kept.get(names(1, 32)[0]) is not None else DROPPED


def wanted_blocks(n: int) -> str:
    bodies = Bodies()
    for key in names(n, 32):
        bodies.want(CheckBlock(1, 0, key, True), frozenset())
    return OK if names(1, 32)[0] in bodies.wanted else DROPPED


def in_line(n: int) -> str:
    """The last byte of so many of one peer, before or behind what another one sent after the others."""
    line = WaitingLine[str](WAITING_BYTES)
    line.put(PEER, "first", n - 1)
    line.put(PEER, "last", 1)
    line.put(OTHER, "another's", 1)
    assert line.pop() == "first"
    return OK if line.pop() == "last" else WAITS


def in_all_lines(n: int) -> str:
    line = WaitingLine[str](WAITING_BYTES)
    line.put(PEER, "first", n - 1)
    line.put(PEER, "last", 1)
    return DROPPED if line.dropped else OK


# --- connections ------------------------------------------------------------------------------------------------------------------

CONFIG = TransportConfig()


def meter() -> Meter:
    return Meter(CONFIG.bytes_per_s, CONFIG.messages_per_s, CONFIG.burst_s, CONFIG.connections, 0.0)


def connects(n: int) -> str:
    one = meter()
    return all_of([one.connects(0.0) for _ in range(n)], "refused with 403")


def messages(n: int) -> str:
    """Within two seconds, the burst used up before."""
    one = meter()
    assert one.messages.take(0.0, CONFIG.messages_per_s * CONFIG.burst_s) == 0
    return OK if one.messages.take(1.0, n) == 0 else PAUSED


def frame_bytes(n: int) -> str:
    one = meter()
    assert one.bytes.take(0.0, CONFIG.bytes_per_s * CONFIG.burst_s) == 0
    return OK if one.bytes.take(1.0, n) == 0 else PAUSED


async def answered_later(n: int) -> str:
    """The second question comes so many thousandths of a second before the interval is over, less one."""
    spoken = Unplugged()
    assert spoken.hear(GetPeers())
    spoken.now += CONFIG.answer_interval - (n - 1) / 1_000
    return OK if spoken.hear(GetPeers()) else IGNORED


async def asked_answers(n: int) -> str:
    """One answer to one question."""
    spoken = Unplugged()
    spoken.connection().asked_peers = True
    for number in range(n):
        spoken.hear(Peers([PeerAddresses(id_of(2), [f"127.0.0.1:{7_000 + number}"])]))
    return OK if len(spoken.book.places(id_of(2))) == n else IGNORED


async def hellos(n: int) -> str:
    """Beside the one that opened the connection."""
    spoken = Unplugged()
    for _ in range(n):
        spoken.hear(hello(0))
    return REJECTED if spoken.net._standing.score(id_of(1), spoken.now) else OK


def rumours(n: int) -> str:
    book = AddressBook(None)
    for number in range(n):
        book.learn(id_of(number), ["10.0.0.1:1"], PEER, 0.0)
    return OK if len(book.members()) == n else IGNORED


# --- files ------------------------------------------------------------------------------------------------------------------------


def served(peers: int, most: int) -> Callable[[int], str]:
    """So many blocks are asked for by `peers` together."""

    def reach(n: int) -> str:
        serving = Serving(lambda *_: True, lambda peer: 0)
        begun = sum(len(serving.want(i.to_bytes(20, "big"), ROOT, [ROOT] * (most + 1))) for i in range(peers))
        assert begun == most
        return OK if begun >= n else WAITS

    return reach


def wants(n: int) -> str:
    serving = Serving(lambda *_: True, lambda peer: 0, lambda: False)
    for _ in range(n):
        serving.want(PEER, ROOT, [ROOT])
    return OK if len(serving._queues[PEER]) == n else IGNORED


def unsent(n: int) -> str:
    """So many bytes wait for the peer with the block's first one."""
    serving = Serving(lambda *_: True, lambda peer: n - 1)
    return OK if serving.want(PEER, ROOT, [ROOT]) else WAITS


def asked_in_vain(n: int) -> str:
    """The first of so many questions is answered when it may be."""
    allowed: list[bool] = []
    machine = Exchange(lambda *_: bool(allowed))
    machine.handle(0, PeerConnected(PEER))
    for digest in names(n, 32):
        machine.handle(0, MessageReceived(PEER, encode(WhoHas(Cid(Codec.RAW, digest).to_bytes()))))
    assert sum(len(asked) for asked in machine._questions._asked.values()) <= MOST
    return OK if machine._questions.who(Cid(Codec.RAW, names(1, 32)[0])) else DROPPED


def unasked_blocks(n: int) -> str:
    """Blocks of who owes none: not one."""
    machine = Exchange(lambda *_: False)
    machine.handle(0, PeerConnected(PEER))
    told: list[Effect] = []
    for _ in range(n):
        told += machine.handle(0, MessageReceived(PEER, encode(block_with(5))))
    return REJECTED if any(isinstance(effect, PenalizePeer) for effect in told) else OK


# --- federations ------------------------------------------------------------------------------------------------------------------


def heard(machine: type, book: str, kind: type) -> Reach:
    """So many messages before the machine looks at the ledger."""

    def reach(n: int) -> str:
        one: Any = object.__new__(machine)
        parts: Any = SimpleNamespace(hear=lambda given: [])
        one._own = one._others = one._maker = one._quiet = parts
        setattr(one, book, [])
        if machine is OwnVaults:
            one.awaits = lambda federation: True
        for _ in range(n):
            message = kind(*[HASH] * len(msgspec.structs.fields(kind)))
            list((one.hear if machine is OwnVaults else one.respond)(PeerSaid(PEER, message)) or ())
        return OK if len(getattr(one, book)) == n else IGNORED

    return reach


def vaults_read(n: int) -> str:
    """So many members ask for their shares: of how many the vault is fetched. Whoever's is goes on waiting for it, look by look."""
    known: dict[bytes, Any] = {}
    vaults = OthersVaults(SimpleNamespace(me=PEER), OwnBoxKeys([]))  # type: ignore[arg-type]
    for index, owner in enumerate(names(n)):
        known[fed_member_key(HASH, owner)] = FederationMember(1, HASH, 0, 0, index, 0, 0, 0, 0, 0, 6, owner + bytes(16))
        known[member_key(owner)] = Member(owner, False, 0, 0, [], 0, [], [], box_key=HASH)
        vaults.hear(PeerSaid(owner, ShareAsk(HASH, 5)))
    at: Any = SimpleNamespace(id=HASH, reader=known, terms=SimpleNamespace(size=100))
    vaults._ring_at[HASH] = 0
    fetched = [one for now in (0, SECOND) for one in vaults.look(at, now)]
    assert all(isinstance(one, FetchContent) for one in fetched) and len(vaults._asks) == len(fetched)
    return OK if len(fetched) == n else IGNORED


# --- the table --------------------------------------------------------------------------------------------------------------------

Case = tuple[str, str, Reach, int, str]
RAW, CID = transfer(0, 0), ROOT.to_bytes()
_CERTIFICATE = Certificate(1, 0, HASH, [0], [bytes(64)])
_HEADER = Header(1, HASH, 1, 0, PEER, 1, HASH, HASH, HASH, HASH, HASH, HASH, HASH, HASH)
_CHANGE = ValidatorSetChange(_HEADER, _CERTIFICATE, [Validator(PEER, key_of(1).public)])

HELD: list[Case] = [
    ("messages.MAX_BATCH", "Txs", of_node(lambda n: m.Txs([RAW] * n)), 512, REJECTED),
    ("messages.MAX_BATCH", "TxIds", of_node(lambda n: m.TxIds(names(n, m.SHORT))), 512, REJECTED),
    ("messages.MAX_BATCH", "GetTxs", of_node(lambda n: m.GetTxs(names(n, m.SHORT))), 512, REJECTED),
    ("messages.MAX_SYNC_BLOCKS", "GetBlocks", of_node(lambda n: m.GetBlocks(1, n)), 64, REJECTED),
    ("messages.MAX_SYNC_BLOCKS", "GetExecutedBlocks", of_node(lambda n: m.GetExecutedBlocks(1, n)), 64, REJECTED),
    ("messages.MAX_SYNC_BLOCKS", "Blocks", of_node(lambda n: m.Blocks([m.SyncBlock(b"", _CERTIFICATE)] * n)), 64, REJECTED),
    (
        "messages.MAX_VALIDATOR_CHANGES",
        "ValidatorChanges",
        of_node(lambda n: m.ValidatorChanges([_CHANGE] * n)),
        m.MAX_VALIDATOR_CHANGES,
        REJECTED,
    ),
    ("messages.MAX_BUCKETS", "GetBuckets", of_node(lambda n: m.GetBuckets(1, list(range(n)))), 256, REJECTED),
    ("messages.MAX_HEADERS", "GetHeaders", of_node(lambda n: m.GetHeaders(1, n)), 512, REJECTED),
    ("messages.MAX_HEADERS", "Headers", of_node(lambda n: m.Headers([_HEADER] * n)), 512, REJECTED),
    ("messages.MAX_BUCKETS", "Buckets", of_node(lambda n: m.Buckets(1, list(range(n)), [b""] * n)), 256, REJECTED),
    ("params.MAX_VALIDATORS", "Links", of_node(lambda n: m.Links(names(n))), MAX_VALIDATORS, REJECTED),
    ("params.MAX_PEER_MESSAGE", "any of NODE", node_bytes, MAX_PEER_MESSAGE, REJECTED),
    ("wire.MAX_ADDRESSES", "Hello", of_peers(hello), MAX_ADDRESSES, REJECTED),
    ("wire.MAX_ADDRESSES", "Peers", of_peers(addresses), MAX_ADDRESSES, REJECTED),
    ("wire.MAX_ENTRIES", "Peers", of_peers(lambda n: Peers([PeerAddresses(id_of(1), ["h:1"])] * n)), MAX_ENTRIES, REJECTED),
    ("content_messages.MAX_WANTS", "WantBlocks", of_content(lambda n: WantBlocks(CID, [CID] * n)), MAX_WANTS, REJECTED),
    ("dag.CHUNK", "ContentBlock", lambda n: of_content(block_with)(n) if n > CHUNK else OK, CHUNK, REJECTED),
    ("content_messages.MAX_FRAME", "any of CONTENT", content_bytes, MAX_FRAME, REJECTED),
    ("exchange.MAX_OWED", "ContentBlock of who owes none", unasked_blocks, 0, REJECTED),
    *(("wire.CHANNEL_LIMITS", f"any of channel {c}", in_parts(c), most, VIOLATION) for c, most in enumerate(CHANNEL_LIMITS)),
    ("wire.BATCH_MESSAGES", "a batch", of_frame(lambda n: batch_frame([b"\0x"] * n)), BATCH_MESSAGES, VIOLATION),
]
RATES: list[Case] = [
    *(
        (f"service.{name}.rate.burst", message, answers(limit), limit.rate.burst, IGNORED)
        for name, message, limit in (("POOL", "GetTxs", POOL), ("BODIES", "GetBlock", BODIES), ("HEIGHTS", "Status", HEIGHTS))
    ),
    *(
        (f"service.{name}.rate.per_s", message, answers_later(limit), limit.rate.per_s, IGNORED)
        for name, message, limit in (("POOL", "GetTxs", POOL), ("BODIES", "GetBlock", BODIES), ("HEIGHTS", "Status", HEIGHTS))
    ),
    ("service.POOL.max_queued", "GetTxs", queued(POOL), POOL.max_queued, IGNORED),
    ("service.BODIES.max_queued", "GetBlock", queued(BODIES), BODIES.max_queued, IGNORED),
    ("service.READS.max_queued", "GetBlocks", queued(READS), READS.max_queued, WAITS),
    ("service.READS.rate.burst", "GetBlocks", read([PEER], 0), READS.rate.burst, WAITS),
    ("service.READS.rate.per_s", "GetBlocks", read([PEER], READS.rate.burst), READS.rate.per_s, WAITS),
    ("service.ALL_READS.burst", "GetBlocks of many", read(names(20), 0), ALL_READS.burst, WAITS),
    ("service.ALL_READS.per_s", "GetBlocks of many", read(names(20), ALL_READS.burst), ALL_READS.per_s, WAITS),
    ("service.MAX_OPEN", "GetBlocks", open_questions, MAX_OPEN, IGNORED),
    ("service.MAX_READS", "GetBlocks of many", reading, MAX_READS, WAITS),
    ("service.QUESTIONS.rate.burst", "GetBlock", hears(0), QUESTIONS.rate.burst, IGNORED),
    ("service.QUESTIONS.rate.per_s", "GetBlock", hears(QUESTIONS.rate.burst), QUESTIONS.rate.per_s, IGNORED),
    ("service.OFFERS.rate.burst", "Txs", refused_txs(0), OFFERS.rate.burst, IGNORED),
    ("service.OFFERS.rate.per_s", "Txs", refused_txs(OFFERS.rate.burst), OFFERS.rate.per_s, IGNORED),
    ("answer_budget.ANSWERS.burst", "GetBlock of many", answered_bytes, ANSWERS.burst, IGNORED),
    ("answer_budget.ANSWERS.per_s", "GetBlock of many", answered_bytes_later, ANSWERS.per_s, IGNORED),
    ("config.TransportConfig.messages_per_s", "any", messages, 2_500, PAUSED),
    ("config.TransportConfig.bytes_per_s", "any", frame_bytes, 100_000_000, PAUSED),
    ("config.TransportConfig.connections", "Hello", connects, 20, "refused with 403"),
    ("config.TransportConfig.answer_interval", "GetPeers", answered_later, 1, IGNORED),
    ("transport.asked_peers", "Peers", asked_answers, 1, IGNORED),
    ("transport.hello", "Hello", hellos, 0, REJECTED),
]
KEPT: list[Case] = [
    ("relay.MAX_OF_PEER", "TxIds", announced(MAX_ANNOUNCED), MAX_OF_PEER, IGNORED),
    ("relay.MAX_ANNOUNCED", "TxIds of many", announced(MAX_OF_PEER // 4), MAX_ANNOUNCED, IGNORED),
    ("relay.MAX_ANSWER", "GetTxs", told_txs, MAX_ANSWER, LESS),
    ("candidates.MAX_CANDIDATES", "CompactProposal", kept_blocks, MAX_CANDIDATES, DROPPED),
    ("bodies.MAX_WANTED", "VoteMessage of blocks that are not here", wanted_blocks, MAX_WANTED, DROPPED),
    ("waiting.SHARE", "Txs", in_line, SHARE, WAITS),
    ("driver.WAITING_BYTES", "Txs", in_all_lines, WAITING_BYTES, DROPPED),
    ("address_book.MAX_RUMOURS", "Peers", rumours, MAX_RUMOURS, IGNORED),
    ("serving.MAX_QUEUED", "WantBlocks", wants, MAX_QUEUED, IGNORED),
    ("serving.MAX_PER_PEER", "WantBlocks", served(1, MAX_PER_PEER), MAX_PER_PEER, WAITS),
    ("serving.MAX_ACTIVE", "WantBlocks of many", served(MAX_ACTIVE, MAX_ACTIVE), MAX_ACTIVE, WAITS),
    ("serving.MAX_UNSENT", "WantBlocks", unsent, MAX_UNSENT, WAITS),
    ("questions.MOST", "WhoHas", asked_in_vain, MOST, DROPPED),
    ("aggregator.MOST_OFFERS", "UpdateOffer", heard(AggregatorMachine, "_offers", UpdateOffer), 256, IGNORED),
    ("member.MOST_HEARD", "UpdateAnswer", heard(MemberMachine, "_heard", UpdateAnswer), 64, IGNORED),
    ("sponsor.MOST_HEARD", "KeyAsk", heard(SponsorMachine, "_heard", KeyAsk), 64, IGNORED),
    ("panel.MOST_HEARD", "KeyGive", heard(PanelMachine, "_heard", KeyGive), 64, IGNORED),
    ("keeping.MOST_READING", "ShareAsk", vaults_read, 8, IGNORED),
    ("vaulting.MOST_HEARD", "ShareGive", heard(OwnVaults, "_heard", ShareGive), 64, IGNORED),
]
CASES = [*HELD, *RATES, *KEPT]


@pytest.mark.parametrize(
    ("bound", "message", "reach", "most", "beyond"), CASES, ids=[f"{bound} {what}" for bound, what, *_ in CASES]
)
async def test_the_bound_is_let_in_and_one_more_is_not(bound: str, message: str, reach: Reach, most: int, beyond: str) -> None:
    found = [reach(most), reach(most + 1)]
    assert [await one if hasattr(one, "__await__") else one for one in found] == [OK, beyond], message


@pytest.mark.parametrize(("bound", "most"), sorted({(bound, most) for bound, _, _, most, _ in CASES}))
def test_the_number_is_that_of_the_code(bound: str, most: int) -> None:
    """Where the bound is a number of a module that the table of messages names."""
    module, _, name = bound.partition(".")
    if module in MODULES and module != "exchange" and hasattr(MODULES[module], name.split(".")[0]):
        value: Any = reduce(getattr, name.split("."), MODULES[module])
        assert most in value if isinstance(value, tuple) else value == most


ELSEWHERE = {
    "ancestry.SEGMENT": "test_node_ancestry: test_of_a_long_way_few_ids_are_kept",
    "votes.KEEP_ROUNDS": "test_consensus_parts: test_votes_of_past_rounds_count_as_far_as_the_window_and_a_proof_of_lock_reach",
    "resend.MAX_ANSWER": "test_consensus_parts: test_an_answer_is_bounded",
    "node.STATE_EVERY": "test_node_service: test_round_states_of_a_peer_are_answered_once_in_a_while",
    "batches.MAX_BATCHES": "test_node_sync: test_only_so_many_answers_wait_to_be_executed",
    "snapshot.MAX_SOURCES": "test_node_snapshot: test_no_more_than_a_few_peers_are_asked_for_a_snapshot_at_a_time",
    "snapshot.MAX_FOLLOWED": "test_node_snapshot: test_nobody_makes_it_follow_changes_without_end",
    "snapshot.MAX_ASKED": "test_node_snapshot: test_few_questions_are_out_to_one_peer_and_few_to_all",
    "snapshot.MAX_CHECKING": "test_node_snapshot: test_few_questions_are_out_to_one_peer_and_few_to_all",
    "snapshots.STALE": "test_storage_snapshot: test_a_snapshot_that_is_just_recent_enough_is_served_as_it_is",
    "snapshots.REST_S": "test_storage_snapshot: test_it_rests_ten_times_as_long_as_making_took",
    "content.MAX_WAITING": "test_content_service: test_a_peer_whose_link_is_full_has_few_frames_wait_and_holds_up_nobody",
    "exchange.MAX_SESSIONS": "test_content_exchange: test_too_many_downloads_are_refused_with_a_reason",
    "exchange.MAX_UNDER_WAY": "test_content_exchange: test_what_waits_for_the_disk_counts_among_what_is_under_way",
    "exchange.MAX_UNWRITTEN": "test_content_exchange: "
    "test_while_the_disk_is_behind_nobody_is_asked_for_more_whatever_the_number_of_downloads",
    "moves.MAX_MOVES": "test_content_moves: test_a_fetch_a_peer_and_all_have_few_connections",
    "moves.MAX_OF_FETCH": "test_content_moves: test_a_fetch_a_peer_and_all_have_few_connections",
    "moves.MAX_OF_PEER": "test_content_moves: test_a_fetch_a_peer_and_all_have_few_connections",
    "moves.MAX_FAULTS": "test_content_moves: test_a_peer_whose_connections_fail_gives_the_rest_by_messages",
    "mover.MAX_NEW_OF_PEER": "test_mover_attacked: test_whoever_asks_for_tickets_without_end_takes_nobody_elses",
    "sending.MAX_TICKETS": "test_mover: test_of_all_tickets_the_oldest_makes_room",
    "sending.MAX_TICKETS_OF_PEER": "test_mover: test_of_a_peers_tickets_the_oldest_makes_room",
    "discovery.LAN_DIALS": "test_p2p_moves: test_few_dials_at_once_go_where_only_the_local_network_said",
    "lan.PACKETS": "test_p2p_lan: test_the_kernel_keeps_what_does_not_fit_into_a_second",
    "lan.READ_RATE": "test_p2p_lan: test_of_one_host_and_of_all_so_many_packets_are_read",
    "lan.HOST_RATE": "test_p2p_lan: test_of_one_host_and_of_all_so_many_packets_are_read",
    "lan.ADDRESS_BURST": "test_p2p_lan: test_of_one_host_four_addresses_are_taken_and_one_more_in_a_minute",
    "lan.ANSWER_S": "test_p2p_lan: test_an_answer_comes_after_a_moment_and_at_most_once_in_a_second",
    "work_peers.BURST": "test_federation_node: test_a_peer_is_heard_so_often_and_one_that_sends_junk_is_told_of",
    "work_peers.PER_S": "test_federation_node: test_a_peer_is_heard_so_often_and_one_that_sends_junk_is_told_of",
    "keeping.MOST_ASKS": "test_federation_recovery: test_asks_that_wait_have_a_bound",
    "keeping.MOST_SHARES": "test_federation_status: test_what_is_known_of_shares_has_a_bound_and_the_longest_unasked_go",
    "config.TransportConfig.hello_timeout": "test_p2p_misbehaviour: test_a_silent_dialler_is_cut_off",
}
"""Bounds that need a graph, a disk, a clock or a socket, and the test that reaches them."""


def test_every_bound_of_the_table_is_reached() -> None:
    named = {f"{module}.{name}" for row in ROWS for module, name, _ in re.findall(r"`([a-z_]+)\.([A-Za-z_.]+)` = (\d+)", row[4])}
    reached = {bound for bound, *_ in CASES}
    assert named <= reached | ELSEWHERE.keys()
    assert not reached & ELSEWHERE.keys()


@pytest.mark.parametrize("test", sorted(set(ELSEWHERE.values())))
def test_what_is_reached_elsewhere_is_there(test: str) -> None:
    file, name = test.split(": ")
    assert re.search(rf"^(?:async )?def {name}\(", (Path(__file__).parent / f"{file}.py").read_text(encoding="utf-8"), re.MULTILINE)
