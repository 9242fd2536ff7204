"""Who can be drawn is found without looking at every member, and is what looking at every member finds: LC-MEM-2, LC-MEM-17."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from learningchain.chain.contracts.membership import (
    Member,
    Training,
    VotesFor,
    able,
    flagged,
    marked,
    member_key,
    training,
    training_key,
    votes_key,
)
from learningchain.chain.contracts.membership.indexes import Pool
from learningchain.chain.host.terms import Capacity
from learningchain.chain.ledger.state import Overlay, State
from learningchain.chain.verification.standing import CountedVote, Strike, is_marked, stands
from tests.unit.ledger_kit import Chain, genesis_of

WHO = [bytes([n]) * 20 for n in range(1, 7)]
LIFE = 10
CAPACITIES = [Capacity(arch, cpus, 10, 10, 10, 10) for arch in (1, 2) for cpus in (10, 20)]

MEMBERS = st.builds(
    lambda flag, since, rests, capacity, capacity_since, ends: Member(
        WHO[0],
        flag,
        since,
        rests,
        capacity,
        capacity_since if capacity else 0,
        [Strike(who, end) for who, end in zip(WHO, sorted(ends), strict=False)],
        [],
    ),
    st.sampled_from([True, True, False]),
    st.integers(0, 9),
    st.sampled_from([0, 0, 5, 12]),
    st.lists(st.sampled_from(CAPACITIES), max_size=1),
    st.integers(0, 9),
    st.lists(st.integers(1, 15), max_size=5),
)
VOTES = st.lists(st.builds(CountedVote, st.integers(0, 9), st.booleans()), min_size=1, max_size=10)
RECORDS = st.one_of(
    st.tuples(st.sampled_from([member_key(who) for who in WHO]), st.one_of(MEMBERS, st.none())),
    st.tuples(
        st.sampled_from([votes_key(who, origin) for who in WHO for origin in WHO[:2]]),
        st.one_of(st.builds(VotesFor, VOTES), st.none()),
    ),
)
TRAININGS = st.tuples(
    st.sampled_from([training_key(who) for who in WHO]),
    st.one_of(st.builds(Training, st.integers(1, 2), st.integers(0, 4), st.integers(0, 9)), st.none()),
)
STEPS = st.lists(st.one_of(RECORDS, TRAININGS, st.sampled_from(["begin", "keep", "drop", "look"])), max_size=30)
ASKED = st.tuples(st.integers(0, 20), st.sampled_from(WHO), st.sampled_from(CAPACITIES), st.integers(0, 10))


def write(overlay: Overlay, steps: list[Any], asked: Any) -> None:
    """Messages, some of which are refused; `look` asks between them, as a message does."""
    depth = 0
    for step in steps:
        if step == "begin":
            overlay.begin()
            depth += 1
        elif step in ("keep", "drop"):
            if depth:
                getattr(overlay, step)()
                depth -= 1
        elif step == "look":
            compare(overlay, asked)
        elif step[1] is None:
            overlay.delete(step[0])
        else:
            overlay.put(*step)
    for _ in range(depth):
        overlay.keep()


def compare(overlay: Overlay, asked: Any) -> None:
    clock, owner, needed, before = asked
    members = {key[2:]: record for key, record in overlay.scan(b"m/", 100)}
    ready = {who: m for who, m in members.items() if m.verifier and clock >= m.rests_until and stands(m.strikes, clock)}
    can = {who: m for who, m in ready.items() if m.capacity and m.capacity[0].covers(needed)}
    assert flagged(overlay, clock, owner, needed) == (len(ready.keys() - {owner}), len(can.keys() - {owner}))
    wanted = sorted(who for who, m in can.items() if m.verifier_since < before and m.capacity_since < before)
    assert able(overlay, clock, needed, before) == wanted
    train = {key[3:] for key, one in overlay.scan(b"mw/", 100) if one.arch == needed.arch and one.train_s >= 1 + before % 4}
    assert training(overlay, owner, needed.arch, 1 + before % 4) == len(train - {owner})
    for origin in WHO[:2]:
        bearing = {key[23:] for key, record in overlay.scan(b"mv/" + origin, 100) if is_marked(record.votes, clock, LIFE)}
        assert marked(overlay, clock, LIFE, WHO[:4], origin) == bearing & set(WHO[:4])


@given(st.lists(STEPS, max_size=4), ASKED, st.booleans())
@settings(max_examples=300, deadline=None)
def test_the_indexes_are_what_all_records_say_after_any_blocks(blocks: list[list[Any]], asked: Any, early: bool) -> None:
    """Within a block, also through messages that were undone, and after blocks were decided. `early`: the state knows the index
    before it has any member."""
    state = State()
    if early:
        state.index(Pool)
    for steps in blocks:
        overlay = Overlay(state)
        write(overlay, steps, asked)
        compare(overlay, asked)
        changes, _, tree = overlay.finish()
        state.commit(changes, tree)
    compare(Overlay(state), asked)
    compare(Overlay(State.load(state.items())), asked)


def test_two_blocks_on_one_state_do_not_see_each_other() -> None:
    """A node builds one while it checks another."""
    chain = Chain(genesis_of())
    needed = CAPACITIES[0]
    one, two = Overlay(chain.state), Overlay(chain.state)
    for overlay in (one, two):
        assert flagged(overlay, 0, WHO[0], needed) == (4, 0)
    one.put(member_key(WHO[1]), Member(WHO[1], True, 0, 0, [needed], 0, [], []))
    assert flagged(one, 0, WHO[0], needed) == (5, 1) and flagged(two, 0, WHO[0], needed) == (4, 0)
    assert flagged(chain.state, 0, WHO[0], needed) == (4, 0)


def test_a_question_looks_at_no_member_once_the_index_is_there() -> None:
    state = State()
    overlay = Overlay(state)
    for n in range(500):
        who = n.to_bytes(20, "big")
        overlay.put(member_key(who), Member(who, True, 0, 0, [CAPACITIES[n % 4]], 0, [], []))
    changes, _, tree = overlay.finish()
    state.commit(changes, tree)
    state.index(Pool)
    looked: list[bytes] = []
    read = state.get
    state.get = lambda key: (looked.append(key), read(key))[1]  # type: ignore[method-assign, func-returns-value]
    block = Overlay(state)
    assert flagged(block, 0, bytes(20), CAPACITIES[0]) == (499, 249)
    assert len(able(block, 0, CAPACITIES[1], 1)) == 125
    block.put(member_key(bytes(20)), Member(bytes(20), False, 0, 0, [], 0, [], []))
    looked.clear()
    assert flagged(block, 0, WHO[0], CAPACITIES[0]) == (499, 249)
    assert len(looked) <= 1
