"""What must hold, looked at after every step, at every decision, at every signature and after every restart."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from learningchain.chain.codec import decode
from learningchain.chain.consensus import votes
from learningchain.chain.errors import InvalidTx, TxCode
from learningchain.chain.host import ACTIVE, K_SUPPLY, Account, Supply, account_key
from learningchain.chain.ledger.transition import validators_of
from learningchain.chain.node import events as e
from learningchain.chain.node import mempool, relay, service, space
from learningchain.chain.node.batches import MAX_BATCHES
from learningchain.chain.node.bodies import MAX_WANTED
from learningchain.chain.node.candidates import MAX_CANDIDATES
from learningchain.chain.node.mempool import Mempool
from learningchain.chain.node.recovery import DECIDED
from learningchain.chain.types import PRECOMMIT, PREVOTE, Block, Certificate, Evidence, Validator, Vote, decode_block, vote_digest
from learningchain.chain.types import block_id as id_of
from tests.sim.checks_chain import ChainCheck
from tests.sim.checks_disk import DiskCheck
from tests.sim.signatures import verified

EPOCH = 1_700_000_000_000
"""The wall clock at virtual time zero."""

if TYPE_CHECKING:
    from learningchain.chain.consensus.messages import SignProposal, SignVote
    from learningchain.chain.consensus.votes import HeightVoteSet
    from learningchain.chain.storage.guard import Kind
    from tests.sim.machine import Machine
    from tests.sim.world import World


AT_ONCE = 64
"""Bytes of heights that a node tells a peer for one input."""


class Violation(AssertionError):
    """Something that must always hold did not."""


def pool_bounds(pool: Mempool) -> list[tuple[str, int, int]]:
    """LC-NODE-61, counted anew from what the pool holds: (name, how much, at most)."""
    sizes, gaps = [0] * len(space.LIMITS), Counter[bytes]()
    for held in pool._all.values():
        body = held.tx.body
        lane = pool._lanes[body.sender][body.lane]
        ready = all(at in lane.txs for at in range(lane.next, body.sequence))
        size = max(len(held.tx.raw), space.MIN_CHARGE)
        kind = space.GAP if not ready else space.LOCAL if held.local else space.URGENT if held.tx.urgent else space.COMMON
        sizes[kind] += size
        gaps[body.sender] += 0 if ready else size
    named = ((f"bytes of room, {name}", sum(sizes[: kind + 1]), space.LIMITS[kind]) for kind, name in enumerate(space.NAMES))
    return [("bytes of one account that are not ready", max(gaps.values(), default=0), space.GAP_SHARE), *named]


class Checks:
    def __init__(self, world: World) -> None:
        self.world = world
        self.roomy = True
        """Whether mempools hold more than all honest clients send: then what they send finds room."""
        self.chosen: dict[int, bytes] = {}
        self.roots: dict[int, bytes] = {}
        self.sets: dict[int, list[Validator]] = {1: validators_of(world.genesis_state)}
        """The validators of each height whose predecessor is decided."""
        self._signed: dict[tuple[int, int, int, int], tuple[Any, ...]] = {}
        self._locked: dict[int, tuple[int, int, bytes]] = {}
        """(height, round, block) of each machine's last signed precommit for a block."""
        self._safe: dict[int, int] = {}
        """The height to which a machine must come back: on disk, in the log or in the store."""
        self._logged: dict[int, int] = {}
        """The last decision that a machine wrote to its log, perhaps not on disk."""
        self._told: dict[int, int] = {}
        """The last decision of its present life that a machine told its users."""
        self._before: dict[int, int] = {}
        """The height at which a killed machine must come back."""
        self._fresh: set[int] = set()
        """Machines that decided something in this step."""
        self._steps = 0
        self._last: tuple[bytes, Block, bytes] | None = None
        """The block that was committed last, opened."""
        self._first: dict[int, e.Commit] = {}
        """What the first machine made of each height."""
        self.chain = ChainCheck(world.chain_id, world.genesis_items)
        self.disk = DiskCheck()
        self._reads: dict[tuple[int, int, bytes], tuple[int, int]] = {}
        """By machine, life and peer (empty: over all): since when, and how often the disk was read for it."""
        self._answers: dict[tuple[int, int, bytes], int] = {}
        """The size of the last answer."""
        self._accused: set[tuple[int, int, bytes, int]] = set()
        """(machine, its life, offender, height) of each evidence."""

    def _fail(self, machine: Machine, what: str) -> None:
        raise Violation(f"n{machine.index} at {self.world.now} ms: {what}")

    # --- decisions --------------------------------------------------------------------------------------------------------------

    def decided(self, machine: Machine, d: e.Decided) -> None:
        if not machine.honest:
            return
        if self.chosen.setdefault(d.height, d.block_id) != d.block_id:
            self._fail(machine, f"agreement: height {d.height} was decided differently elsewhere")
        self.sets.setdefault(d.height + 1, d.validators)
        self.roots[d.height] = d.header.state_root
        self._fresh.add(machine.index)
        self._told[machine.index] = max(d.height, self._told.get(machine.index, 0))
        self.chain.receipts(d.height, d.receipts)

    def _state(self, machine: Machine) -> None:
        """After the effects of a decision: several heights may have come at once."""
        state, height = machine.node.state, machine.node.height
        if self.roots[height] != state.root:
            self._fail(machine, f"the state after height {height} has another root")
        supply: Any = state.get(K_SUPPLY)
        if not isinstance(supply, Supply) or state.total() != supply.minted - supply.burned:
            self._fail(machine, f"supply: the accounts hold {state.total()} at height {height}")

    def committed(self, machine: Machine, c: e.Commit) -> None:
        (block, block_id), certificate = self._open(c.block), decode(Certificate, c.certificate, 65_536)
        if machine.honest:
            self.chain.committed(c, block)
            first = self._first.setdefault(c.height, c)
            if not c.executed and (first.receipts, first.state, first.tx_ids) != (c.receipts, c.state, c.tx_ids):
                self._fail(machine, f"took over another outcome of block {c.height} than it had elsewhere")
        if block_id != c.block_id or certificate.block_id != c.block_id or certificate.height != c.height:
            self._fail(machine, "a commit whose block, certificate and id do not belong together")
        latest = EPOCH + self.world.now + 2 * self.world.params.drift
        if block.header.time > latest:
            self._fail(machine, f"block {c.height} has a time that lies {block.header.time - latest} ms ahead")
        self._certificate(machine, certificate, self.sets[c.height])
        if c.durable:
            self._safe[machine.index] = c.height

    def _open(self, raw: bytes) -> tuple[Block, bytes]:
        """A block and its id; every machine commits the same bytes."""
        if self._last is None or self._last[0] != raw:
            block = decode_block(raw)
            self._last = (raw, block, id_of(block.header))
        return self._last[1:]

    def _certificate(self, machine: Machine, c: Certificate, validators: list[Validator]) -> None:
        """LC-BLK-6"""
        n = len(validators)
        if 3 * len(set(c.signers)) <= 2 * n or max(c.signers) >= n or len(c.signers) != len(c.signatures):
            self._fail(machine, f"a certificate with {len(c.signers)} of {n} signatures")
        digest = vote_digest(self.world.chain_id, PRECOMMIT, c.height, c.round, c.block_id)
        for index, signature in zip(c.signers, c.signatures, strict=True):
            if not verified(validators[index].key, digest, signature):
                self._fail(machine, f"a certificate that validator {index} did not sign")

    def settled(self, machine: Machine) -> None:
        self._safe[machine.index] = max(self._safe.get(machine.index, 0), machine.store.height)

    def client_refused(self, machine: Machine, fault: InvalidTx) -> None:
        """LC-NODE-61, 62: the few messages of an honest account find room, whatever others sent."""
        if fault.code is TxCode.MEMPOOL_FULL and self.roomy:
            self._fail(machine, f"an honest client's message found no room: {fault.text}")

    def dropped(self, machine: Machine, dropped: e.TxDropped) -> None:
        """LC-NODE-62: nor do they have to leave for others."""
        if dropped.error.code is not TxCode.MEMPOOL_FULL or not self.roomy:
            return
        if machine.honest and dropped.tx in self.world.market.honest_offers():
            self._fail(machine, f"an honest client's message had to leave: {dropped.error.text}")

    # --- signatures -------------------------------------------------------------------------------------------------------------

    def signed(self, machine: Machine, kind: Kind, r: SignVote | SignProposal) -> None:
        """A signature leaves."""
        if not machine.honest:
            return
        place = (machine.index, int(kind), r.height, r.round)
        if fault := self.disk.signed(machine, kind, r):
            self._fail(machine, fault)
        said = (r.block_id, getattr(r, "pol_round", None))
        if self._signed.setdefault(place, said) != said:
            self._fail(machine, f"double signing: {kind.name} at height {r.height}, round {r.round}")
        height, round_, block = self._locked.get(machine.index, (0, 0, b""))
        if kind == PREVOTE and r.block_id and r.height == height and r.block_id != block:
            book = self._book(machine)
            if all(book.tally(PREVOTE, at).majority != r.block_id for at in range(round_ + 1, r.round)):
                self._fail(machine, f"a prevote in round {r.round} against its lock of round {round_}, without a proof")
        if kind == PRECOMMIT and r.block_id:
            self._locked[machine.index] = (r.height, r.round, r.block_id)

    @staticmethod
    def _book(machine: Machine) -> HeightVoteSet:
        state = machine.node.consensus._state
        if state is None:
            raise Violation("a signature before the first height")
        return state.votes

    def logged(self, machine: Machine, record: bytes, sync: bool) -> None:
        i = machine.index
        if machine.honest and (fault := self.disk.logged(machine, record, sync)):
            self._fail(machine, fault)
        if record[:1] == DECIDED:
            self._logged[i] = decode(Certificate, record[1:], 65_536).height
        if sync and i in self._logged:
            self._safe[i] = max(self._safe.get(i, 0), self._logged[i])

    # --- crashes ----------------------------------------------------------------------------------------------------------------

    def crashed(self, machine: Machine, kill: bool) -> None:
        i = machine.index
        self._fresh.discard(i)
        self.disk.crashed(machine)
        told = self._told.pop(i, 0)
        if kill:
            self._before[i] = max(self._logged.get(i, 0), told, self._before.get(i, 0))
        elif not kill:
            self._logged.pop(i, None)  # what was not synced may be gone
            self._before.pop(i, None)

    def restarted(self, machine: Machine) -> None:
        if not machine.honest:
            return
        i, node = machine.index, machine.node
        needed = max(self._safe.get(i, 0), self._before.pop(i, 0))
        if node.height < needed:
            self._fail(machine, f"came back at height {node.height}, it had decided {needed} durably")
        if self.roots.get(node.height, node.state.root) != node.state.root:
            self._fail(machine, f"came back at height {node.height} with another state than was decided")
        self._logged.pop(i, None)
        height, round_, block = self._locked.get(i, (0, 0, b""))
        if height == node.height + 1:
            state = node.consensus.round_state()
            if state.locked_round < round_ or (state.locked_round == round_ and state.locked_id != block):
                self._fail(machine, f"forgot its lock of height {height}, round {round_}")

    def forget(self, machine: Machine) -> None:
        """What it had on disk was taken from it. What it signed still counts."""
        for kept in (self._safe, self._logged, self._before, self._locked, self._told):
            kept.pop(machine.index, None)
        self.disk.forget(machine)

    # --- questions --------------------------------------------------------------------------------------------------------------

    def read(self, machine: Machine, peer: bytes, size: int) -> None:
        """The disk was read for a peer: no more often than the rates allow, and not while what it was sent before waits."""
        if not machine.honest:
            return
        now, life = machine.node._monotonic_ms, (machine.index, machine.life)
        for who, rate in ((peer, service.READS.rate), (b"", service.ALL_READS)):
            first, count = self._reads.get((*life, who), (now, 0))
            if count >= rate.burst + rate.per_s * (now - first) // 1_000 + 1:
                self._fail(machine, f"read {count + 1} answers for {who.hex() or 'all'} within {now - first} ms")
            self._reads[(*life, who)] = (first, count + 1)
        before = self._answers.get((*life, peer), 0)
        waits = machine.queued(peer, service.READS.queue)
        if waits >= service.READS.max_queued + before + AT_ONCE:
            self._fail(machine, f"read an answer for {peer.hex()} while {waits} bytes wait for it")
        self._answers[(*life, peer)] = size
        self.world.faults["read for a peer"] += 1

    # --- always -----------------------------------------------------------------------------------------------------------------

    def evidenced(self, machine: Machine, evidence: Evidence) -> None:
        """LC-CON-14: once for a validator and height; after a restart once more. Nobody honest is accused."""
        a = evidence.a
        offender = a.validator if isinstance(a, Vote) else a.proposer
        what = (machine.index, machine.life, offender, a.height)
        if machine.honest and what in self._accused:
            self._fail(machine, f"told of one validator's double signing at height {a.height} again")
        self._accused.add(what)

    def penalized(self, machine: Machine, peer: int, reason: str) -> None:
        if machine.honest and self.world.machines[peer].honest:
            self._fail(machine, f"penalized the honest n{peer}: {reason}")
        self.world.faults["penalty"] += 1

    def stepped(self, machine: Machine) -> None:
        if machine.index in self._fresh:
            self._fresh.discard(machine.index)
            self._state(machine)
        self._steps += 1
        if self._steps % 64 or not machine.up or not machine.honest:
            return
        node = machine.node
        n = len(validators_of(node.state))
        asking = (*node.service._waiting, *node.service._reading)
        bounds = (
            ("mempool", len(node.pool), space.LIMITS[-1] // space.MIN_CHARGE),
            ("candidates", len(node._bodies.blocks), MAX_CANDIDATES),
            ("wanted blocks", len(node._bodies.wanted), MAX_WANTED),
            ("votes", node.consensus.votes_held, 4 * n * 20),
            ("rounds with votes", self._rounds(machine), votes.KEEP_ROUNDS + 5),
            ("announced", node._relay.waiting, relay.MAX_ANNOUNCED),
            ("announced by one peer", max(map(len, node._relay._of_peer.values()), default=0), relay.MAX_OF_PEER),
            ("transactions that left", len(node.pool._gone), mempool.MAX_GONE),
            ("bytes in the mempool", node.pool.size, space.LIMITS[-1]),
            ("transactions that found no room", max(map(len, node.pool._left)), mempool.MAX_LEFT),
            *pool_bounds(node.pool),
            ("waiting inputs", len(node._inputs), 0),
            ("batches of decided blocks", len(node._batches), MAX_BATCHES),
            (
                "questions of one peer",
                max(map(node.service.open, asking), default=0),
                service.MAX_OPEN,
            ),
            ("questions that are being read", node.service.reading, service.MAX_READS),
        )
        for name, size, most in bounds:
            if size > most:
                self._fail(machine, f"{size} {name}, at most {most} allowed")
        if node.faults:
            self._fail(machine, f"a fault of its own: {node.faults[-1]}")

    @staticmethod
    def _rounds(machine: Machine) -> int:
        state = machine.node.consensus._state
        return len(state.votes._rounds) if state is not None else 0

    def final(self) -> None:
        """Everybody has the same chain, and nobody honest lost anything."""
        for machine in self.world.honest:
            node = machine.node
            present = {v.id for v in validators_of(node.state)}
            for other in self.world.honest:
                if other.index < self.world.profile.validators and other.id not in present | self.world.voted_out:
                    self._fail(machine, f"the honest validator n{other.index} was ejected")
                account: Any = node.state.get(account_key(other.id))
                if not isinstance(account, Account) or account.status != ACTIVE:
                    self._fail(machine, f"the honest n{other.index} is not active any more")
