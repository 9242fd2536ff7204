"""Members: whose root they have, their strikes, their duties as verifiers, and what their machines take."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from learningchain.chain.contracts.membership.messages import MemberCode, SetCapacity, SetTraining
from learningchain.chain.contracts.membership.params import MemberParams
from learningchain.chain.contracts.membership.records import Member, Training, VotesFor, member_key, training_key, votes_key
from learningchain.chain.crypto import account_id, address
from learningchain.chain.errors import Reject
from learningchain.chain.host import GenesisAccount, Host, KVStore, Reader
from learningchain.chain.host.terms import LIMITS, MAX_IMAGE_BYTES, Arch, Capacity
from learningchain.chain.verification import standing
from learningchain.chain.verification.standing import CountedVote, Draw


def first_members(store: KVStore, accounts: Iterable[GenesisAccount]) -> None:
    """LC-MEM-15: a member of genesis is its own root."""
    for a in accounts:
        identity = account_id(a.key)
        store.put(member_key(identity), Member(identity, a.verifier, 0, 0, [], 0, [], []))


def member_in(reader: Reader, identity: bytes) -> Member:
    """LC-MEM-1: an account without a record is its own root, and nothing is known of it."""
    member = reader.get(member_key(identity))
    return member if isinstance(member, Member) else Member(identity, False, 0, 0, [], 0, [], [])


def root_of(reader: Reader, identity: bytes) -> bytes:
    """LC-MEM-15"""
    return member_in(reader, identity).root


def _life(host: Host) -> int:
    return host.params_of(MemberParams).standing_life


# --- strikes ------------------------------------------------------------------------------------------------------------------


def strike(host: Host, identity: bytes, owner: bytes, origin: bytes, reason: str, ref: bytes) -> None:
    """LC-MEM-1: for work of `owner`, whose root is `origin`."""
    if host.is_banned(identity):
        return
    member = member_in(host.store, identity)
    strikes = standing.add_strike(member.strikes, origin, host.clock, _life(host))
    host.put(member_key(identity), replace(member, strikes=strikes))
    host.emit("strike", identity, reason, ref, owner)


def live_strikes(host: Host, identity: bytes) -> int:
    return standing.live_strikes(member_in(host.store, identity).strikes, host.clock)


def stands(host: Host, identity: bytes) -> bool:
    return standing.stands(member_in(host.store, identity).strikes, host.clock)


# --- duties of verifiers ------------------------------------------------------------------------------------------------------


def is_verifier(reader: Reader, identity: bytes) -> bool:
    """LC-MEM-2: silence in a committee would be struck, an abstention is not: such a node has to answer."""
    return member_in(reader, identity).verifier


def record_draw(host: Host, identity: bytes, owner: bytes, *, bad: bool, silent: bool) -> None:
    """LC-MEM-3, 18: too many bad ones, and the flag rests. Nothing is recorded of one that rests, nor of a banned one."""
    member = member_in(host.store, identity)
    if host.clock < member.rests_until or host.is_banned(identity):
        return
    draws = standing.add_draw(member.draws, Draw(root_of(host.store, owner), bad, silent))
    if draws:
        host.put(member_key(identity), replace(member, draws=draws))
        return
    until = host.clock + _life(host)
    host.put(member_key(identity), replace(member, draws=[], rests_until=until))
    host.emit("verifier.rests", identity, until)


def count_vote(host: Host, identity: bytes, owner: bytes, *, bad: bool) -> None:
    """LC-MEM-17: for the marks. Good votes before the first bad one can never count: who has no bad one needs no record."""
    if host.is_banned(identity):
        return
    key = votes_key(identity, root_of(host.store, owner))
    known = host.get(key, VotesFor)
    votes = standing.add_vote(known.votes if known else [], CountedVote(host.clock, bad))
    first = next((i for i, vote in enumerate(votes) if vote.bad), None)
    if first is not None:
        host.put(key, VotesFor(votes[first:]))
    elif known is not None:
        host.delete(key)


# --- capacity -----------------------------------------------------------------------------------------------------------------


def set_capacity(host: Host, sender: bytes, m: SetCapacity) -> None:
    """LC-MEM-16: who is suspended may. The same once more is refused: it would change nothing."""
    member = host.get(member_key(sender), Member)
    if member is None:
        raise Reject(MemberCode.NOT_A_MEMBER, "only members verify, and so declare what their machines take")
    fault = capacity_fault(m.capacity)
    if fault:
        raise Reject(MemberCode.BAD_CAPACITY, fault)
    if member.capacity == [m.capacity]:
        raise Reject(MemberCode.SAME_CAPACITY, f"{address(sender)} declared this already")
    host.put(member_key(sender), replace(member, capacity=[m.capacity], capacity_since=host.clock))
    host.emit("capacity", sender, *(getattr(m.capacity, name) for name in Capacity.__struct_fields__))


def capacity_fault(capacity: Capacity) -> str:
    """Why no machine has this capacity; empty where one can."""
    if fault := arch_fault(capacity.arch):
        return fault
    bounds = {name: LIMITS[name] for name in ("cpus_milli", "mem_mb", "model_cap", "eval_s")} | {"image": (1, MAX_IMAGE_BYTES)}
    for name, (low, high) in bounds.items():
        value = getattr(capacity, name)
        if not low <= value <= high:
            return f"capacity {name} is {value}; no machine offers that: use {low} to {high}"
    return ""


def arch_fault(arch: int) -> str:
    """Why no machine is of it; empty where it is known."""
    known = ", ".join(f"{a.value} is {a.name.lower()}" for a in Arch)
    return "" if arch in [*Arch] else f"unknown architecture {arch}: {known}"


# --- trainings ----------------------------------------------------------------------------------------------------------------


def set_training(host: Host, sender: bytes, m: SetTraining) -> None:
    """LC-MEM-34: any member may, for who trains needs no flag. No rule reads it: who posts a job sees how many would take it on."""
    if host.get(member_key(sender), Member) is None:
        raise Reject(MemberCode.NOT_A_MEMBER, "only members claim, and so declare how long they train")
    fault, longest = arch_fault(m.arch), LIMITS["train_s"][1]
    if fault or m.train_s > longest:
        raise Reject(MemberCode.BAD_CAPACITY, fault or f"train_s is {m.train_s}; no job may ask for more than {longest}")
    known = host.get(training_key(sender), Training) or Training(m.arch, 0, 0)
    if (known.arch, known.train_s) == (m.arch, m.train_s):
        raise Reject(MemberCode.SAME_CAPACITY, f"this stands for {address(sender)} already")
    host.put(training_key(sender), Training(m.arch, m.train_s, host.clock))
    host.emit("training", sender, m.arch, m.train_s)


def end_training(host: Host, identity: bytes) -> None:
    """LC-MEM-34: who left or is banned trains for nobody."""
    known = host.get(training_key(identity), Training)
    if known is not None and known.train_s:
        host.put(training_key(identity), replace(known, train_s=0, since=host.clock))
