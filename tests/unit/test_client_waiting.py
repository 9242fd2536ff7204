"""The line of messages that may wait (LC-P2P-25): in order of arrival, and nobody takes the room or the turn of the others."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from learningchain.client.node.waiting import SHARE, WaitingLine

MOST = 64 * SHARE
A, B, C = b"a", b"b", b"c"


def drained(line: WaitingLine[str]) -> list[str]:
    found = []
    while line:
        found.append(line.pop())
    return found


def test_messages_leave_in_order_of_arrival_whoever_sent_them() -> None:
    line = WaitingLine[str](MOST)
    for peer, item in ((A, "a1"), (B, "b1"), (A, "a2"), (C, "c1"), (B, "b2")):
        line.put(peer, item, 100)
    assert drained(line) == ["a1", "b1", "a2", "c1", "b2"]
    assert not line and line.size == 0


def test_a_message_waits_for_one_share_of_each_other_peer_however_much_that_sends() -> None:
    line = WaitingLine[str](MOST)
    for number in range(200):
        line.put(A, f"a{number}", SHARE // 4)
    line.put(B, "b", SHARE)
    order = drained(line)
    assert order.index("b") == 4
    assert [item for item in order if item != "b"] == [f"a{number}" for number in range(200)], "each one's own order stays"


def test_one_peer_cannot_fill_the_line_for_the_others() -> None:
    line = WaitingLine[str](4 * SHARE)
    for number in range(100):
        line.put(A, f"a{number}", SHARE // 2)
    full = line.size
    for number in range(2):
        line.put(B, f"b{number}", SHARE // 2)
    assert line.size <= full == 4 * SHARE
    assert [item for item in drained(line) if item[0] == "b"] == ["b0", "b1"]


def test_room_is_made_by_whoever_holds_most_and_by_its_newest() -> None:
    line = WaitingLine[str](8 * SHARE)
    for number in range(8):
        line.put(A, f"a{number}", SHARE)
    for number in range(8):
        line.put(B, f"b{number}", SHARE)
    assert line.dropped == 8
    assert sorted(drained(line)) == [f"{peer}{number}" for peer in "ab" for number in range(4)]


def test_a_third_of_the_peers_cannot_make_a_crowd() -> None:
    line = WaitingLine[str](MOST)
    sizes = {b"%d" % number: 1_000 for number in range(4)} | {b"junk 1": SHARE, b"junk 2": 2 * SHARE}
    for peer, size in sizes.items():
        line.put(peer, "x", size)
    assert line.crowd == 4_000
    drained(line)
    assert line.crowd == 0
    line.put(A, "alone", SHARE)
    assert line.crowd == 0


@given(st.lists(st.tuples(st.sampled_from([A, B, C]), st.integers(0, 2 * SHARE)) | st.none(), max_size=60))
def test_sizes_add_up_and_nothing_is_lost_or_doubled(steps: list[tuple[bytes, int] | None]) -> None:
    line, came, left = WaitingLine[tuple[bytes, int, int]](3 * SHARE), 0, list[tuple[bytes, int, int]]()
    for number, step in enumerate(steps):
        if step is None:
            if line:
                left.append(line.pop())
        else:
            came += 1
            line.put(step[0], (step[0], number, step[1]), step[1])
        assert line.size <= 3 * SHARE + 3 * 2 * SHARE
    while line:
        left.append(line.pop())
    assert line.size == 0 and len(left) + line.dropped == came
    for peer in (A, B, C):
        own = [number for who, number, _ in left if who == peer]
        assert own == sorted(own)
