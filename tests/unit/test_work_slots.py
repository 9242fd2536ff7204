"""What trainings may take beside served models."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from learningchain.client.work.slots import MachineShare, training_room

shares = st.builds(MachineShare, st.integers(0, 64_000), st.integers(0, 1 << 20))


@given(shares, shares, st.lists(shares), shares)
def test_what_is_set_aside_stays_free_whatever_is_started(
    machine: MachineShare, aside: MachineShare, running: list[MachineShare], wanted: MachineShare
) -> None:
    room = training_room(machine, aside, running)
    assert room is not None
    if room.holds(wanted) and wanted.cpus_milli and wanted.mem_mb:
        assert sum(one.cpus_milli for one in running) + wanted.cpus_milli + aside.cpus_milli <= machine.cpus_milli
        assert sum(one.mem_mb for one in running) + wanted.mem_mb + aside.mem_mb <= machine.mem_mb
        left = room.less(wanted)
        assert left == training_room(machine, aside, [*running, wanted])


def test_a_machine_that_is_fuller_than_it_may_be_has_nothing_left_and_no_less() -> None:
    """So it is where a model began to be served while trainings ran; the text that tells of it names no negative processors."""
    room = training_room(MachineShare(4_000, 1_000), MachineShare(3_000, 900), [MachineShare(2_000, 500)])
    assert room == MachineShare(0, 0) and str(room) == "0 processors and 0 MiB"
    assert room.less(MachineShare(1, 1)) == room and not room.holds(MachineShare(1, 0)) and not room.holds(MachineShare(0, 1))
