"""Broken agreement: quorums, locks, rounds, signatures, the log, the guard, recovery."""

from __future__ import annotations

from tests.sim.mutants.patch import Edit, Mutant, mutant

_FORGET = "self.locked_round, self.locked_id, self.valid_round, self.valid_id = NO_ROUND, NIL, NO_ROUND, NIL"
_LOG_SYNC = Edit("learningchain.chain.storage.wal", "        self._sync()\n        self._synced =", "        self._synced =")
_GUARD = Edit(
    "learningchain.chain.storage.guard",
    "if height <= self._state.floor or (height, round_, kind) <= self._highest():\n            return None",
    "if height <= self._state.floor:\n            return None",
)

MUTANTS = (
    mutant("quorum off by one", "types", "return 2 * n // 3 + 1", "return max(1, 2 * n // 3)"),
    mutant("lock dropped at a new round", "consensus.height", "self.timed.clear()", f"self.timed.clear(); {_FORGET}", "deaf"),
    mutant(
        "lock ignored for a fresh proposal",
        "consensus.machine",
        "if s.locked_round != NO_ROUND and s.locked_id != p.block_id:",
        "if False:",
        "deaf",
    ),
    mutant(
        "lock never taken",
        "consensus.machine",
        "        if locks:\n            s.locked_round, s.locked_id = s.round, block_id\n",
        "",
        "deaf",
    ),
    mutant(
        "own proposal ignores the valid value",
        "consensus.machine",
        "            if s.valid_id != NIL:\n",
        "            if False:\n",
        "deaf",
    ),
    mutant(
        "signatures of votes unchecked",
        "consensus.validation",
        "if not self._verify(message, validator):",
        "if False:",
        "false names",
    ),
    mutant(
        "certificates from peers unchecked",
        "consensus.validation",
        "            self._check_certificate(cert, s.validators)\n",
        "            pass\n",
        "forged certificates",
    ),
    mutant(
        "proposer does not rotate", "consensus.height", "(self.height + round_) % len", "self.height % len", "one that never speaks"
    ),
    mutant("timeouts do not grow", "consensus.machine", "params.timeout_step * round_", "0", "slow"),
    mutant("evidence told again and again", "consensus.machine", "if index not in s.accused:", "if index >= 0:", "two votes"),
    mutant("votes of old rounds never forgotten", "consensus.votes", "if r >= low or r in self._kept", "if r >= 0", "slow"),
    mutant(
        "votes of far rounds all counted",
        "consensus.votes",
        "self.saw_round(index, vote.round)\n        if vote.round > self.round + 1:",
        "self.saw_round(index, vote.round)\n        if False:",
        "flood",
    ),
    mutant("log not replayed", "consensus.machine", "if record.height == s.height:", "if False:", "stormy"),
    mutant("vote not logged before it is signed", "consensus.machine", "        if not logged:\n", "        if False:\n", "stormy"),
    Mutant("log not synced", (_LOG_SYNC,), "stormy"),
    mutant(
        "guard not synced",
        "storage.guard",
        "                self._file.sync()\n        except StorageFailed",
        "        except StorageFailed",
        "stormy",
    ),
    Mutant("guard removed", (_GUARD,), "old logs"),
    mutant(
        "decisions in the log ignored",
        "node.recovery",
        "found.certificates[certificate.height] = certificate",
        "pass",
        "power cuts",
    ),
    mutant(
        "log emptied while it is redone",
        "node.node",
        "        self._apply(block, certificate, executed, None, durable=True)\n",
        "        self._apply(block, certificate, executed, None, durable=True)\n        self._out.append(e.TruncateLog())\n",
        "restarts",
    ),
    mutant(
        "decision not logged",
        "node.node",
        "        self._out.append(e.Log(DECIDED + encode(certificate), False))\n",
        "",
        "power cuts",
    ),
)
