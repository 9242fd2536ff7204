"""What contracts share beside the host: deadlines that can come early, and queues in the order of their keys."""

from __future__ import annotations

from typing import Any

from learningchain.chain.contracts import credits, host_of
from learningchain.chain.contracts.job.records import NUMBERS, Numbered
from learningchain.chain.host import Host
from learningchain.chain.host.deadlines import Deadline, is_open
from learningchain.chain.host.queues import Queue
from learningchain.chain.host.records import split_due
from learningchain.chain.ledger.state import Overlay
from learningchain.chain.ledger.transition import chain_record, params_of
from tests.unit.job_kit import World
from tests.unit.ledger_kit import Chain, id_of

REF = bytes(range(32))
K_DUE = b"d/"


def host() -> Host:
    chain = Chain()
    now = chain_record(chain.state)
    made = host_of(Overlay(chain.state), params_of(chain.state), now, now.height + 1, now.time + 1, now.clock + 5_000, now.beacon)
    return made.acting(credits.CONTRACT)


def set_for(host: Host) -> list[int]:
    """The times at which the reference has a deadline."""
    store: Any = host.store
    kept = [split_due(key) for key, raw in store.finish()[1] if raw is not None and key.startswith(K_DUE)]
    return [at for account, at, contract, ref in kept if (account, contract, ref) == (id_of("alice"), 1, REF)]


def test_a_reference_has_one_deadline_which_moves_and_goes() -> None:
    there = host()
    deadline = Deadline(there, 1, REF, id_of("alice"))
    first = deadline.set(0, there.clock + 50_000)
    assert set_for(there) == [first]
    early = deadline.window(first, 1_000)
    assert set_for(there) == [early] == [there.clock + 1_000], "all have answered: the next window begins now"
    assert deadline.clear(early) == 0 and set_for(there) == []
    assert deadline.clear(0) == 0


def test_a_window_takes_answers_until_its_deadline() -> None:
    there = host()
    assert is_open(there, there.clock + 1) and not is_open(there, there.clock)


def test_a_queue_is_in_the_order_of_its_keys_and_gives_a_number_once() -> None:
    there, queue = World([], []).host(), Queue(b"jn/", Numbered)
    store: Any = there.store
    count = 0
    for number in range(300):
        count = queue.append(there, count, Numbered(bytes(31) + bytes((number % 256,))))
    keys = [queue.key(number) for number in range(count)]
    assert count == 300 and keys == sorted(keys) and queue == NUMBERS
    assert [number for number, _ in queue.newest(store, count, 3)] == [299, 298, 297]
    assert [number for number, _ in queue.newest(store, 2, 10)] == [1, 0]
    there.delete(queue.key(298))
    assert [number for number, _ in queue.newest(store, count, 3)] == [299, 297, 296], "one that left is passed over"
    assert [*queue.newest(store, 0, 10)] == []
