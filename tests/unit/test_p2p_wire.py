"""Frames and queues: what goes in comes out, in order, within bounds; hostile bytes are refused."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learningchain.chain.crypto import sha256
from learningchain.chain.errors import Malformed
from learningchain.chain.params import PROTOCOL_VERSION
from learningchain.p2p.limits import Meter, PeerScores, TokenBucket
from learningchain.p2p.send_queues import QueueLimit, SendQueues
from learningchain.p2p.wire import (
    BATCH_BYTES,
    BATCH_MESSAGES,
    CHANNEL_LIMITS,
    CONTENT,
    MAX_FRAME,
    NODE,
    PEERS,
    PIECE_BYTES,
    QUEUE_CONTENT,
    QUEUE_REQUESTS,
    QUEUE_TRANSACTIONS,
    QUEUES,
    GetPeers,
    Hello,
    PeerAddresses,
    Peers,
    Ping,
    Reassembler,
    batch_frame,
    check_hello,
    message,
    parse_peers,
    part_frame,
    peers_message,
    printable,
    reason_bytes,
)


def drain(queues: SendQueues) -> list[bytes]:
    frames = []
    while (frame := queues.next_frame()) is not None:
        frames.append(frame)
    return frames


sizes = st.one_of(st.integers(0, 300), st.sampled_from([PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 200_000]))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, QUEUES - 1), sizes), max_size=40))
def test_whatever_is_queued_arrives_once_in_order_per_queue(pushed: list[tuple[int, int]]) -> None:
    queues, reader = SendQueues(), Reassembler()
    sent: dict[int, list[bytes]] = {queue: [] for queue in range(QUEUES)}
    for i, (queue, size) in enumerate(pushed):
        payload = bytes((queue,)) + i.to_bytes(2, "big") + bytes(size)
        assert queues.push(queue, message(NODE, payload))
        sent[queue].append(payload)
    frames = drain(queues)
    assert all(len(frame) <= MAX_FRAME for frame in frames)
    received = [payload for frame in frames for channel, payload in reader.feed(frame) if channel == NODE]
    assert {queue: [p for p in received if p[0] == queue] for queue in range(QUEUES)} == sent
    assert not queues and queues.size == queues.count == 0


def test_votes_go_first_and_the_other_lanes_take_turns() -> None:
    queues, reader = SendQueues(), Reassembler()
    for queue in (4, 3, 2, 1, 0):
        for _ in range(3):
            queues.push(queue, message(NODE, bytes((queue,)) + bytes(60_000)))
    order = [payload[0] for frame in drain(queues) for _, payload in reader.feed(frame)]
    assert order[:6] == [0, 0, 0, 1, 1, 1]
    assert set(order[6:12]) == {2, 3, 4}


def test_a_vote_is_sent_between_the_parts_of_a_block() -> None:
    queues, reader = SendQueues(), Reassembler()
    queues.push(1, message(NODE, bytes(1_000_000)))
    first = queues.next_frame()
    assert first is not None and reader.feed(first) == []
    queues.push(0, message(NODE, b"vote"))
    second = queues.next_frame()
    assert second is not None and reader.feed(second) == [(NODE, b"vote")]
    assert [p for frame in drain(queues) for _, p in reader.feed(frame)] == [bytes(1_000_000)]


def test_a_full_lane_drops_the_oldest_transaction_and_refuses_anything_else_that_is_new() -> None:
    queues = SendQueues(tuple(QueueLimit(2, 100) for _ in range(QUEUES)))
    for queue in (0, 3):
        results = [queues.push(queue, bytes((0, i))) for i in range(4)]
        assert results == ([True] * 4 if queue == 3 else [True, True, False, False])
        assert queues.dropped[queue] == 2
    assert drain(queues) == [batch_frame([b"\0\0", b"\0\1", b"\0\2", b"\0\3"])]
    assert queues.push(2, b"x") is not False and not queues.push(2, bytes(100))


def test_a_transaction_that_is_half_sent_is_never_dropped() -> None:
    queues, reader = SendQueues(tuple(QueueLimit(2, 1_000_000) for _ in range(QUEUES))), Reassembler()
    big = message(NODE, b"a" * 100_000)
    queues.push(3, big)
    frame = queues.next_frame()
    assert frame is not None and reader.feed(frame) == []
    for i in range(5):
        queues.push(3, message(NODE, b"%d" % i))
    assert [p for f in drain(queues) for _, p in reader.feed(f)] == [big[1:], b"4"]


SMALL = tuple(QueueLimit(3, 100) for _ in range(QUEUES))


@pytest.mark.parametrize("queue", range(QUEUES))
def test_a_queue_is_filled_to_its_last_byte_and_message_and_is_empty_when_all_went_out(queue: int) -> None:
    """Again and again: what a peer took costs nothing any more."""
    queues = SendQueues(SMALL)
    for _ in range(4):
        assert [queues.push(queue, bytes(50)) for _ in range(2)] == [True, True]
        assert (queues.waiting(queue), queues.size, queues.count) == (100, 100, 2)
        drain(queues)
        assert (queues.waiting(queue), queues.size, queues.count, bool(queues)) == (0, 0, 0, False)
        assert all(queues.push(queue, b"") for _ in range(3))
        drain(queues)
    assert queues.dropped == [0] * QUEUES
    assert queues.push(queue, bytes(1_000)), "one that is larger than the queue is taken where nothing waits"


def test_the_parts_of_a_large_message_count_until_the_last_one_went_out() -> None:
    queues, whole = SendQueues(), bytes(3 * PIECE_BYTES)
    queues.push(QUEUE_CONTENT, whole)
    queues.push(QUEUE_REQUESTS, bytes(2 * PIECE_BYTES))
    assert queues.size == 5 * PIECE_BYTES
    frames = 0
    while queues.next_frame() is not None:
        frames += 1
        assert queues.size in (5 * PIECE_BYTES, 3 * PIECE_BYTES, 2 * PIECE_BYTES, 0)
    assert frames >= 5 and queues.size == 0
    queues.push(QUEUE_CONTENT, whole)
    again = 0
    while queues.next_frame() is not None:
        again += 1
    assert again >= 3, "the next one begins with its first part"


def test_a_frame_holds_so_many_messages_and_bytes() -> None:
    queues = SendQueues()
    for _ in range(BATCH_MESSAGES + 1):
        queues.push(QUEUE_TRANSACTIONS, message(NODE, b"x"))
    assert [len(Reassembler().feed(frame)) for frame in drain(queues)] == [BATCH_MESSAGES, 1]
    for _ in range(40):
        queues.push(QUEUE_TRANSACTIONS, message(NODE, bytes(10_000)))
    assert all(len(frame) <= BATCH_BYTES + 10_100 for frame in drain(queues))


def test_only_existing_queues_and_channels_and_sizes_can_be_sent() -> None:
    for bad in (-1, QUEUES):
        with pytest.raises(ValueError, match="no queue"):
            SendQueues().push(bad, b"")
    for channel, payload in ((4, b""), (-1, b""), (PEERS, bytes(CHANNEL_LIMITS[PEERS] + 1)), (CONTENT, bytes(2_200_001))):
        with pytest.raises(ValueError):
            message(channel, payload)


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (b"", "empty frame"),
        (b"\x04hello", "no channel 4"),
        (b"\xfd", "no channel 253"),
        (b"\x01" + bytes(CHANNEL_LIMITS[PEERS] + 1), "at most"),
        (b"\xff", "empty batch"),
        (b"\xff\0\0", "do not fit"),
        (b"\xff\0\0\0\0", "do not fit"),
        (b"\xff\0\0\0\x05ab", "do not fit"),
        (b"\xff\xff\xff\xff\xffab", "do not fit"),
        (b"\xff\0\0\0\x01\xff", "no channel 255"),
        (b"\xff" + b"\0\0\0\1\0" * (BATCH_MESSAGES + 1), "more than"),
        (b"\xfe", "empty part"),
        (b"\xfe\x00", "empty part"),
        (b"\xfe\x05\x00" + bytes(PIECE_BYTES), "queue 5"),
        (b"\xfe\x00\x07" + bytes(PIECE_BYTES), "channel 7"),
        (b"\xfe\x00\xfe" + bytes(PIECE_BYTES), "channel 254"),
        (b"\xfe\x00\x00" + bytes(100), "too short"),
        (b"\xfe\x80\x01" + bytes(40_000), "longer than"),
    ],
)
def test_a_malformed_frame_is_refused_with_its_reason(frame: bytes, reason: str) -> None:
    with pytest.raises(Malformed, match=reason):
        Reassembler().feed(frame)


def test_parts_that_never_end_are_cut_off_at_the_channels_limit() -> None:
    reader = Reassembler()
    with pytest.raises(Malformed, match="longer than"):
        for _ in range(100):
            reader.feed(b"\xfe\x02\x00" + bytes(PIECE_BYTES))


def test_the_last_part_may_be_short_and_the_message_is_whole() -> None:
    whole, reader, at = message(CONTENT, bytes(range(256)) * 400), Reassembler(), 0
    got: list[tuple[int, bytes]] = []
    while at < len(whole):
        frame, at = part_frame(4, whole, at)
        got += reader.feed(frame)
    assert got == [(CONTENT, whole[1:])]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.binary(max_size=80), max_size=8))
def test_random_frames_never_raise_anything_but_malformed(frames: list[bytes]) -> None:
    reader = Reassembler()
    for frame in frames:
        try:
            for channel, payload in reader.feed(frame):
                assert len(payload) <= CHANNEL_LIMITS[channel]
                parse_peers(payload)
        except Malformed:
            continue


# --- PEERS messages -------------------------------------------------------------------------------------------------------------

CHAIN = sha256(b"net")
HELLO = Hello(PROTOCOL_VERSION, CHAIN, 7000, ["10.0.0.1:7000"], 12)


def test_a_hello_survives_the_wire() -> None:
    assert check_hello(peers_message(HELLO), CHAIN) == HELLO
    assert parse_peers(peers_message(GetPeers())[1:]) == GetPeers()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not a hello"),
        (peers_message(Ping(3)), "not a hello"),
        (message(NODE, peers_message(HELLO)[1:]), "not a hello"),
        (peers_message(Hello(PROTOCOL_VERSION + 1, CHAIN, 0, [], 0)), "protocol version"),
        (peers_message(Hello(PROTOCOL_VERSION - 1, CHAIN, 0, [], 0)), "protocol version"),
        (peers_message(Hello(PROTOCOL_VERSION, bytes(32), 0, [], 0)), "another network"),
        (peers_message(Hello(PROTOCOL_VERSION, CHAIN, 70_000, [], 0)), "65535"),
        (peers_message(Hello(PROTOCOL_VERSION, CHAIN, 1, ["10.0.0.1:1"] * 5, 0)), "length <= 4"),
        (peers_message(Hello(PROTOCOL_VERSION, CHAIN, 1, ["a" * 261], 0)), "length <= 260"),
        (peers_message(HELLO) + b"\0", "trailing"),
    ],
)
def test_a_wrong_hello_is_refused_with_its_reason(data: bytes, reason: str) -> None:
    with pytest.raises(Malformed, match=reason):
        check_hello(data, CHAIN)


def test_an_answer_with_too_many_peers_is_refused() -> None:
    entries = [PeerAddresses(bytes(20), ["10.0.0.1:1"])] * 65
    with pytest.raises(Malformed, match="length <= 64"):
        parse_peers(peers_message(Peers(entries))[1:])


def test_reasons_fit_a_close_frame_and_a_log_line() -> None:
    assert len(reason_bytes("ü" * 100)) == 120 and reason_bytes("ü" * 100).decode() == "ü" * 60
    assert printable("a\nb\x1b[31m") == "a?b?[31m" and len(printable("x" * 999)) == 200


# --- rates and standing -----------------------------------------------------------------------------------------------------------


def test_a_bucket_lets_bursts_pass_and_makes_debts_wait() -> None:
    bucket = TokenBucket(rate=100, burst=50, now=0)
    assert bucket.take(0, 50) == 0
    assert bucket.take(0, 10) == pytest.approx(0.1)
    assert bucket.take(0.1, 0) == pytest.approx(0)
    assert bucket.take(1_000, 50) == 0 and bucket.take(1_000, 1) > 0
    debt = bucket.take(1_000, 0)
    assert bucket.take(900, 0) == debt > 0  # a clock that runs backwards gives nothing away, and takes nothing


def test_what_a_bucket_refuses_to_spend_leaves_no_debt() -> None:
    bucket = TokenBucket(rate=5, burst=10, now=0)
    assert [bucket.spend(0, 1) for _ in range(11)] == [True] * 10 + [False]
    assert not any(bucket.spend(0, 1) for _ in range(10_000))
    assert [bucket.spend(1, 1) for _ in range(6)] == [True] * 5 + [False]


def test_scores_halve_with_time_and_repeated_blocks_last_longer() -> None:
    standing = PeerScores(limit=95, half_life=100, block=60, longest=200)
    assert not any(standing.penalize(b"p", 0, 10) for _ in range(9))
    assert standing.score(b"p", 100) == pytest.approx(45)
    assert standing.penalize(b"p", 0, 10) and standing.score(b"p", 0) == 0
    blocks = [standing.blocked_for(b"p", 0)]
    for _ in range(3):
        assert standing.penalize(b"p", 0, 1_000)
        blocks.append(standing.blocked_for(b"p", 0))
    assert blocks == [60, 120, 200, 200] and standing.blocked_for(b"p", 201) == 0 and standing.blocked_for(b"q", 0) == 0


def test_a_member_connects_so_often_at_once_and_once_in_a_second_then() -> None:
    meter = Meter(1e6, 1e3, 2, 5, 0.0)
    assert [meter.connects(0.0) for _ in range(6)] == [True] * 5 + [False]
    assert [meter.connects(1.0) for _ in range(2)] == [True, False]
    assert [meter.connects(3.0) for _ in range(3)] == [True, True, False]


def test_a_score_adds_up_and_begins_anew_after_a_block() -> None:
    standing = PeerScores(limit=100, half_life=100, block=60, longest=200)
    assert not standing.penalize(b"p", 0, 60)
    assert not standing.penalize(b"p", 100, 60) and standing.score(b"p", 100) == pytest.approx(90)
    assert standing.penalize(b"p", 100, 10), "the limit itself blocks"
    assert not standing.penalize(b"p", 100, 60)
    assert standing.blocked(100) == {b"p"} and standing.blocked(159.9) == {b"p"} and standing.blocked(160) == set()


def test_who_is_blocked_however_often_is_blocked_for_the_longest_time() -> None:
    """It doubles each time: a peer that goes on for weeks must not bring a number that no float holds."""
    standing, now = PeerScores(limit=10, half_life=100, block=60, longest=3_600), 0.0
    for _ in range(1_100):
        assert standing.penalize(b"p", now, 10)
        now += 3_600
    assert standing.penalize(b"p", now, 10) and standing.blocked_for(b"p", now) == 3_600


def test_who_misbehaved_lately_is_kept_and_who_did_longest_ago_forgotten() -> None:
    standing = PeerScores(limit=95, half_life=1e9, block=60, longest=200, capacity=2)
    for peer in (b"a", b"b", b"a", b"c"):
        standing.penalize(peer, 0, 10)
    assert [standing.score(peer, 0) > 0 for peer in (b"a", b"b", b"c")] == [True, False, True]


def test_a_clock_that_goes_back_costs_nobody_anything() -> None:
    bucket = TokenBucket(10, 20, 100.0)
    assert bucket.take(0.0, 20) == 0.0, "an hour back is no debt"
    assert bucket.take(0.0, 5) == 0.5


def test_the_second_large_message_of_a_lane_has_its_whole_size_again() -> None:
    frames, payload = Reassembler(), bytes(40_000) * 50
    for _ in range(3):
        whole, at, found = bytes((NODE,)) + payload, 0, []
        while at < len(whole):
            frame, at = part_frame(2, whole, at)
            found += frames.feed(frame)
        assert found == [(NODE, payload)]
