"""Broken rules of blocks, transactions and credits."""

from __future__ import annotations

from tests.sim.mutants.patch import Mutant, mutant

ARRIVES = "self.overlay.put(key, Account(account.key, account.status, account.balance, account.frozen, sequences, "
MUTANTS: tuple[Mutant, ...] = (
    mutant(
        "a cut page has the hash of its first half",
        "ledger.snapshot",
        'made = above(level.get(2 * up, b""), level.get(2 * up + 1, b""))',
        'made = above(level.get(2 * up, b""), b"")',
        "lying snapshots",
    ),
    mutant("sequence unchecked", "ledger.tx", "    if body.sequence < expected:\n", "    if False:\n", "illegal transactions"),
    mutant(
        "gap of sequences accepted", "ledger.tx", "    if body.sequence > expected:\n", "    if False:\n", "illegal transactions"
    ),
    mutant("replay window open", "ledger.tx", "    if body.valid_until < height:\n", "    if False:\n", "illegal transactions"),
    mutant(
        "signature of a transaction unchecked",
        "ledger.tx",
        "body_bytes(tx.raw)), tx.signature):",
        "body_bytes(tx.raw)), tx.signature) and False:",
        "illegal transactions",
    ),
    mutant(
        "transaction of another network accepted",
        "ledger.tx",
        "if body.net != net_of(chain_id):",
        "if False:",
        "illegal transactions",
    ),
    mutant("banned account acts", "ledger.tx", "    if account.status == BANNED:\n", "    if False:\n", "outcasts"),
    mutant("sequence not used up", "ledger.transition", "sequences[body.lane] += 1", "sequences[body.lane] += 0", "rough market"),
    mutant("work of a block unchecked", "ledger.transition", "if self.work > self.params.block_work:", "if False:", "bad proposer"),
    mutant(
        "refused message leaves its changes",
        "ledger.transition",
        "        except Reject as e:\n            self.overlay.drop()\n            return Receipt",
        "        except Reject as e:\n            self.overlay.keep()\n            return Receipt",
        "rough market",
    ),
    mutant(
        "receipts say everything went well",
        "ledger.transition",
        "return Receipt(tx.id, e.code, [])",
        "return Receipt(tx.id, Code.OK, [])",
        "rough market",
    ),
    mutant("deadline handled one ms late", "ledger.due", "if entry[:8] > now:", "if entry[:8] >= now:", "rough market"),
    mutant(
        "deadlines without limit in a block",
        "ledger.transition",
        "DeadlineBudget(self.params.max_due, self.params.max_due_work)",
        "DeadlineBudget(999, self.params.max_due_work)",
        "rough market",
    ),
    mutant(
        "deadlines of any work in a block",
        "ledger.transition",
        "DeadlineBudget(self.params.max_due, self.params.max_due_work)",
        "DeadlineBudget(self.params.max_due, 10**9)",
        "rough market",
    ),
    mutant(
        "allowance spent again and again",
        "contracts.credits.handlers",
        "host.put(key, Allowance(present - m.amount))",
        "host.put(key, Allowance(present))",
        "rough market",
    ),
    mutant(
        "allowance changed without a look", "contracts.credits.handlers", "if present != m.expected:", "if False:", "rough market"
    ),
    mutant("transfer to oneself", "contracts.credits.handlers", "    if m.target == sender:\n", "    if False:\n", "rough market"),
    mutant(
        "a transfer mints",
        "host.credits",
        "        self._credit(target, amount, reason, source, ref)\n\n    def mint",
        "        self._credit(target, amount, reason, source, ref)\n        self.mint(target, 1, reason, ref)\n\n    def mint",
        "rough market",
    ),
    mutant(
        "frozen credits can be lost",
        "host.powers",
        "self._hold(identity, account, ACTIVE, account.balance + account.frozen, 0)",
        "self._hold(identity, account, ACTIVE, account.balance, 0)",
        "rough market",
    ),
    mutant(
        "beacon secret unchecked",
        "ledger.transition",
        "if beacon_commitment(reveal) != promised.commitment:",
        "if False:",
        "illegal transactions",
    ),
    mutant(
        "evidence applied twice",
        "contracts.membership.evidence",
        "if host.get(ejection_key(offender, a.height), Ejection) is not None:",
        "if False:",
        "two votes",
    ),
    mutant(
        "double signer keeps its seat for one height more",
        "ledger.transition",
        "        if following is not None:\n",
        "        if following is not None and following.since <= self.block.height:\n",
        "two votes",
    ),
    # bandwidth
    mutant(
        "bytes are not charged",
        "ledger.transition",
        "arrival = account.arrival if tx.once else charged",
        "arrival = account.arrival",
        "filler",
    ),
    mutant(
        "a refused transaction costs no bytes",
        "ledger.transition",
        f"            if tx.once:  # LC-TX-14\n                {ARRIVES}charged))",
        f"            if True:\n                {ARRIVES}account.arrival))",
        "filler",
    ),
    mutant(
        "credits that arrive bring bytes to spend",
        "bandwidth",
        "return now + max(0, window - (window - max(0, arrival - now)) * old // new)",
        "return now if new > old else now + max(0, window - (window - max(0, arrival - now)) * old // new)",
        "filler",
    ),
    # the fence
    mutant(
        "what a failed deadline did stays",
        "host.host",
        "        except Exception as fault:\n            self.store.drop()",
        "        except Exception as fault:\n            self.store.keep()",
        "broken contract",
    ),
    mutant(
        "what a failed deadline told stays told",
        "host.host",
        "            del self.events[before:]\n",
        "            del self.events[:0]\n",
        "broken contract",
    ),
    mutant(
        "no fence around a deadline",
        "host.host",
        "        except Exception as fault:",
        "        except MemoryError as fault:",
        "broken contract",
    ),
    mutant(
        "messages about what is parked run",
        "contracts",
        "        if parked is not None:\n",
        "        if parked is None and parked is not None:\n",
        "broken contract",
    ),
    mutant(
        "a parked deadline is forgotten",
        "host.host",
        "self.fenced(contract, ref, lambda: self._ring(contract, ref, at), [held])",
        "self.fenced(contract, ref, lambda: self._ring(contract, ref, at), [])",
        "broken contract",
    ),
    mutant(
        "one validator releases",
        "contracts.membership.releases",
        "if len(said) >= quorum(len(validators)):",
        "if said:",
        "broken contract",
    ),
    mutant(
        "what is released comes late",
        "host.host",
        "self.schedule(held.time, contract, ref, held.account)",
        "self.schedule(held.time + 1, contract, ref, held.account)",
        "broken contract",
    ),
)
