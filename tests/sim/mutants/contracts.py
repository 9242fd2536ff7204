"""Broken rules of the job contract and of the membership contract. All show in the rough market."""

from __future__ import annotations

from tests.sim.mutants.patch import Mutant, mutant

_JOB = "contracts.job"


def rule(name: str, module: str, old: str, new: str) -> Mutant:
    return mutant(name, module, old, new, "rough market")


MUTANTS = (
    # claims
    rule(
        "claim window ends one ms late",
        f"{_JOB}.handlers",
        ".set(0, m.expiry)",
        ".set(0, m.expiry + 1)",
    ),
    rule(
        "expired job still takes claims",
        "host.deadlines",
        "return host.clock < at",
        "return host.clock <= at",
    ),
    rule("a worse claim replaces a better one", f"{_JOB}.handlers", "if m.loss > needed:", "if False:"),
    rule("contractor may claim its own bounty", f"{_JOB}.handlers", "if sender == work.posting.poster:", "if False:"),
    rule(
        "an ended job counts as standing",
        f"{_JOB}.settle",
        "size = old.live_bytes - messages.size_of(work.terms)",
        "size = old.live_bytes",
    ),
    rule(
        "a job leaves a tenth too early",
        f"{_JOB}.leaving",
        "work.params.job_keep - work.host.clock",
        "work.params.job_keep * 9 // 10 - work.host.clock",
    ),
    rule(
        "a seat stays when its round leaves",
        f"{_JOB}.leaving",
        "host.delete(records.seat_key(job_id, audit, round_, voter))",
        "pass",
    ),
    rule("claims without limit", f"{_JOB}.handlers", "if index >= work.params.job_max_claimants:", "if False:"),
    rule("three strikes do not bar", f"{_JOB}.handlers", "if strikes >= rules.STRIKE_LIMIT:", "if strikes > rules.STRIKE_LIMIT:"),
    rule(
        "no stake is locked",
        f"{_JOB}.handlers",
        'host.lock(sender, records.stake_escrow(m.job, sender), stake, "stake.locked", m.job)',
        "pass",
    ),
    rule(
        "fees are not charged",
        f"{_JOB}.handlers",
        'host.lock(sender, records.fee_escrow(job_id), fees, "fees.locked", job_id)',
        "pass",
    ),
    rule(
        "claim commitment not bound to its claimant",
        f"{_JOB}.messages",
        "chain_id, job, claimant, model, salt)",
        "chain_id, job, model, salt)",
    ),
    rule(
        "position in a block is the proposer's choice",
        "host.access",
        "drawn = sha256(self.parent_beacon + self.tx_id)",
        "drawn = sha256(self.tx_id)",
    ),
    # reveals
    rule("reveal not compared with the commitment", f"{_JOB}.handlers", "if opened != record.commitment:", "if False:"),
    rule("an old claim can be revealed", f"{_JOB}.handlers", "if m.claim != record.count:", "if False:"),
    rule(
        "reveal window one ms short",
        f"{_JOB}.settle",
        "work.move_to(JobState.REVEAL, work.params.job_reveal,",
        "work.move_to(JobState.REVEAL, work.params.job_reveal - 1,",
    ),
    rule(
        "silence costs nothing",
        f"{_JOB}.settle",
        "        if not work.claim(index).model:\n            _punish_silence(work, index)",
        "        pass",
    ),
    rule(
        "deposit of a withheld key returned",
        f"{_JOB}.settle",
        "    _turn_hidden_off(work)\n    start_audit(work, 0, 1, work.job.finalists)",
        "    start_audit(work, 0, 1, work.job.finalists)",
    ),
    rule(
        "key not compared with the posted hash",
        f"{_JOB}.handlers",
        "if sha256(m.key) != work.terms.hidden[0].key_hash:",
        "if False:",
    ),
    # votes
    rule("tolerance two-sided", f"{_JOB}.rules", "if measured <= claimed + tol:", "if abs(measured - claimed) <= tol:"),
    rule(
        "tolerance off by one",
        "verification.scale",
        "return 10 + ceil_div(abs(loss), 10**6)",
        "return 11 + ceil_div(abs(loss), 10**6)",
    ),
    rule("vote window one ms long", f"{_JOB}.rules", "return vote_base + 2 * eval_s", "return 1 + vote_base + 2 * eval_s"),
    rule("vote counted twice", f"{_JOB}.handlers", "if seat.commitment:\n", "if False:\n"),
    rule("opened vote can be changed", f"{_JOB}.handlers", "if seat.ballots:\n", "if False:\n"),
    rule(
        "opened vote not compared with the commitment", f"{_JOB}.handlers", "!= seat.commitment:", "!= seat.commitment and False:"
    ),
    rule(
        "votes of another round counted",
        f"{_JOB}.handlers",
        "if (audit, round_) != (work.job.audit, work.job.round):",
        "if audit != work.job.audit:",
    ),
    rule(
        "vote not bound to its voter",
        f"{_JOB}.messages",
        "bytes((audit, round_)), voter, salt, encode(ballots))",
        "bytes((audit, round_)), salt, encode(ballots))",
    ),
    rule(
        "candidates judge themselves",
        f"{_JOB}.settle",
        "pool = [i for i in eligible if i not in finalists]",
        "pool = list(eligible)",
    ),
    rule(
        "committee known in advance",
        f"{_JOB}.rules",
        "return sha256(beacon + job + bytes((audit, round_)) + identity)",
        "return sha256(job + bytes((audit, round_)) + identity)",
    ),
    rule("committee quorum off by one", f"{_JOB}.rules", "needed = quorum(t.seats)", "needed = (2 * t.seats + 2) // 3"),
    rule("tie refuses", f"{_JOB}.rules", "if t.ok >= t.negative else", "if t.ok > t.negative else"),
    rule("honest banned on a tie", f"{_JOB}.rules", "if t.agree >= max(2, needed):", "if t.agree and t.agree >= t.ok:"),
    rule(
        "probe unchecked", f"{_JOB}.rules", "return [code not in MEASURED or abs(probe - middle) <= 2 * tol for", "return [True for"
    ),
    rule("silent voter not struck", f"{_JOB}.settle", "        if not seat.ballots:\n", "        if False:\n"),
    rule(
        "losing side paid",
        f"{_JOB}.rules",
        "return NEGATIVE if result in (Result.FALSE, Result.REFUSED) else ()",
        "return (VoteCode.OK,) if result != Result.UNDECIDED else ()",
    ),
    # verdicts and money
    rule(
        "wrong winner: the first instead of the lowest loss",
        "verification.ranking",
        "if improves(entry.loss, best.loss, tol):",
        "if False:",
    ),
    rule(
        "small improvement takes the lead",
        "verification.ranking",
        "if improves(entry.loss, best.loss, tol):",
        "if entry.loss < best.loss:",
    ),
    rule(
        "loser banned instead of the cheater",
        f"{_JOB}.settle",
        "        _burn_stake(work, claimant)\n        _accuse(work, claimant)",
        "        _burn_stake(work, claimant)\n        _accuse(work, work.claim(work.job.finalists[-1]).claimant)",
    ),
    rule(
        "stake of a refused claim returned",
        f"{_JOB}.settle",
        "    elif result == Result.REFUSED:\n        _burn_stake(work, claimant)",
        "    elif result == Result.REFUSED:\n        _release_stake(work, claimant)",
    ),
    rule(
        "bounty paid twice",
        f"{_JOB}.settle",
        '        host.emit("paid", work.id,',
        '        host.mint(claim.claimant, work.terms.bounty, "bounty", work.id)\n        host.emit("paid", work.id,',
    ),
    rule(
        "refund paid twice",
        f"{_JOB}.settle",
        '        host.emit("refunded", work.id,',
        '        host.mint(poster, work.terms.bounty - tenth, "bounty.returned", work.id)\n        host.emit("refunded", work.id,',
    ),
    rule(
        "stakes not released",
        f"{_JOB}.settle",
        "for index in range(work.job.released, end):",
        "for index in range(work.job.released + 1, end):",
    ),
    rule("fees left in escrow", f"{_JOB}.settle", '((records.fee_escrow(work.id), "fees.returned"), (records', "((records"),
    rule("tenth returned without a ban", f"{_JOB}.settle", "if CaseState.BANNED in states:", "if CaseState.PENDING not in states:"),
    rule(
        "burn not counted",
        "host.credits",
        "        self._escrow(escrow, self.escrowed(escrow) - amount)\n        self._count(burned=amount)\n",
        "        self._escrow(escrow, self.escrowed(escrow) - amount)\n",
    ),
    # membership
    rule(
        "a verdict alone bans",
        "contracts.membership.cases",
        "banned = confirmed or (case.corroborated and not lifted)",
        "banned = not lifted",
    ),
    rule("anybody judges a case", "contracts.membership.cases", "if all(v.id != sender for v in host.validators()):", "if False:"),
    rule(
        "evidence without signatures accepted",
        "contracts.membership.evidence",
        "all(vote_is_signed(chain_id, x, key) for x in (v, w))",
        "True",
    ),
    mutant(
        "proposals of two heights are evidence",
        "contracts.membership.evidence",
        "same = (p.height, p.round, p.proposer) == (q.height, q.round, q.proposer)",
        "same = p.proposer == q.proposer",
        "false evidence",
    ),
    rule(
        "one vote twice is evidence",
        "contracts.membership.evidence",
        "return same and v.block_id != w.block_id and",
        "return same and",
    ),
    rule(
        "strikes live for ever",
        "contracts.membership.members",
        "live = [end for end in m.strikes if end > host.clock]",
        "live = list(m.strikes)",
    ),
)
