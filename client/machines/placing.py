"""Where a training runs. Pure.

    a training without GPUs                  ->  the ready machine that has room and is least full then  ->  else the own engine
    an evaluation, with or without hidden    ->  the same of the machines that the owner trusts, without those that brought a
    data, but without data sets                  model of this job  ->  else the own engine
    a training with GPUs of a cluster        ->  a lease, and nowhere else
    everything else                          ->  the own engine

A machine has room where what it has, without `ASIDE_MB` for its engine and program, holds the run beside those that it has from
this node. Its fullness is the larger of its two parts, processors or memory; of two that are as full the first by name takes it.
One whose engine is of another architecture than the own one takes nothing: the image is for that.
Machines come first, because the node's own engine has duties with deadlines: a committee waits for no training. `work.concurrent`
bounds the trainings of both together. Answers, the node's own GPUs and the owner's own data stay on the node. What an evaluation
measured is this node's word, and its stake: a machine's owner says which of them may give it.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from learningchain.client.config import OF_CLUSTER
from learningchain.sandbox import DataSet, RunSpec

ASIDE_MB: Final = 256


class RoomShare(NamedTuple):
    """A part of a machine: thousandths of processors, and MiB of memory."""

    cpus_milli: int
    mem_mb: int


class MachinePlace(msgspec.Struct, frozen=True):
    """A machine: what it has, and what each of its runs may take. `usable`: whether it is there and takes runs."""

    name: str
    has: RoomShare
    runs: tuple[RoomShare, ...] = ()
    usable: bool = True


def may_leave(spec: RunSpec) -> bool:
    """Whether a run may be made on another machine at all."""
    files = all(isinstance(given, Path | DataSet) for given in spec.inputs.values())
    return spec.phase in ("train", "evaluate") and not spec.devices and files and not (needs_trust(spec) and has_sets(spec))


def on_cluster(spec: RunSpec) -> bool:
    """Whether its devices are a cluster's."""
    return any(device.startswith(OF_CLUSTER) for device in spec.devices)


def has_sets(spec: RunSpec) -> bool:
    return any(isinstance(given, DataSet) for given in spec.inputs.values())


def needs_trust(spec: RunSpec) -> bool:
    """Whether it may only go to machines that the owner trusts as the node itself."""
    return spec.phase != "train"


def share_of(spec: RunSpec) -> RoomShare:
    return RoomShare(int(1_000 * spec.limits.cpus), spec.limits.mem_mb)


def choose(wanted: RoomShare, places: Iterable[MachinePlace]) -> str | None:
    """The name of the machine that takes it; None where none does."""
    full = [(_fullness(place, wanted), place.name) for place in places if place.usable]
    return min(((share, name) for share, name in full if share <= 1), default=(0.0, None))[1]


def _fullness(place: MachinePlace, wanted: RoomShare) -> float:
    """Once it has taken the run; above 1 it cannot."""
    runs, mem_mb = (*place.runs, wanted), place.has.mem_mb - ASIDE_MB
    if place.has.cpus_milli <= 0 or mem_mb <= 0:
        return 2.0
    return max(sum(run.cpus_milli for run in runs) / place.has.cpus_milli, sum(run.mem_mb for run in runs) / mem_mb)
