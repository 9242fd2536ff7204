"""Broken rules of the job contract and of the membership contract. All show in the rough market."""

from __future__ import annotations

from tests.sim.mutants.patch import Mutant, mutant

_JOB = "contracts.job"


def rule(name: str, module: str, old: str, new: str) -> Mutant:
    return mutant(name, module, old, new, "rough market")


def going(name: str, module: str, old: str, new: str) -> Mutant:
    return mutant(name, f"contracts.membership.{module}", old, new, "comings and goings")


MUTANTS = (
    mutant(
        "quorum of the wrong set",
        "contracts.governance.proposals",
        "    if len(record.yes) >= quorum(n):",
        "    if len(record.yes) >= quorum(len(host.validators_at(1) or [])):",
        "council",
    ),
    mutant(
        "words of who left the set are counted",
        "contracts.governance.proposals",
        "{True: {*record.yes} & now, False: {*record.no} & now}",
        "{True: {*record.yes}, False: {*record.no}}",
        "council",
    ),
    mutant(
        "late votes counted",
        "contracts.governance.proposals",
        "    if all(v.id != sender for v in host.validators()):",
        "    if False:",
        "council",
    ),
    mutant(
        "parameter out of bounds applied",
        "host.parameters",
        "        if bounds is not None and not bounds.low <= value <= bounds.high:",
        "        if False:",
        "council",
    ),
    # postings
    rule("claim window ends one ms late", f"{_JOB}.posting", ".set(0, m.expiry)", ".set(0, m.expiry + 1)"),
    rule("fees are not charged", f"{_JOB}.posting", '("fees", records.fee_escrow(job_id), messages.fees_locked(m)),', ""),
    rule("no bond is locked", f"{_JOB}.posting", '("bond", records.bond_escrow(job_id), messages.bond(m)),', ""),
    rule("a fee below the work is taken", f"{_JOB}.posting", "if m.fee < least:", "if False:"),
    rule("a bounty below the least is taken", f"{_JOB}.posting", "if m.bounty < p.job_min_bounty:", "if False:"),
    rule("jobs that few can judge are taken", f"{_JOB}.posting", "if able < needed:", "if False:"),
    rule("a job with claims can be cancelled", f"{_JOB}.posting", "if work.job.claimants:", "if False:"),
    rule(
        "an ended job counts as standing",
        f"{_JOB}.ends",
        "live_bytes=old.live_bytes - messages.size_of(work.terms)",
        "live_bytes=old.live_bytes",
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
    # claims
    rule("expired job still takes claims", "host.deadlines", "return host.clock < at", "return host.clock <= at"),
    rule("a worse claim replaces a better one", f"{_JOB}.claiming", "if m.loss > needed:", "if False:"),
    rule("contractor may claim its own bounty", f"{_JOB}.claiming", "if sender == work.posting.poster:", "if False:"),
    rule("claims without limit", f"{_JOB}.claiming", "if index >= work.params.job_max_claimants:", "if False:"),
    rule("three strikes do not bar", "verification.standing", "live_strikes(strikes, now) < BARRED_BY", "True"),
    rule(
        "no stake is locked",
        f"{_JOB}.claiming",
        'host.lock(sender, records.stake_escrow(m.job, sender), stake, "stake.locked", m.job)',
        "pass",
    ),
    rule("a stake is locked unasked", f"{_JOB}.claiming", "full = m.stake and host", "full = host"),
    rule("a poor claim counts as full", f"{_JOB}.claiming", "full = m.stake and host.free(sender) >= stake", "full = True"),
    rule(
        "suspended ones claim on the accuser's jobs",
        f"{_JOB}.claiming",
        "if host.service(SUSPENSIONS).barred_from(sender, work.posting.poster):",
        "if False:",
    ),
    rule(
        "claim commitment not bound to its claimant",
        f"{_JOB}.messages",
        "chain_id, job, claimant, model, salt)",
        "chain_id, job, model, salt)",
    ),
    rule(
        "the order of claims is known when they are made",
        f"{_JOB}.claims",
        "work.change(closing=work.host.beacon)",
        "work.change(closing=bytes(32))",
    ),
    # reveals
    rule("reveal not compared with the commitment", f"{_JOB}.claiming", "if opened != record.commitment:", "if False:"),
    rule("an old claim can be revealed", f"{_JOB}.claiming", "if m.claim != record.count:", "if False:"),
    rule(
        "reveal window one ms short",
        f"{_JOB}.claims",
        "work.move_to(JobState.REVEAL, work.params.job_reveal,",
        "work.move_to(JobState.REVEAL, work.params.job_reveal - 1,",
    ),
    rule("silence costs nothing", f"{_JOB}.claims", "        if not work.claim(index).model:\n", "        if False:\n"),
    rule("the last reveal does not end the window", f"{_JOB}.claiming", "if work.job.revealed == work.job.claimants:", "if False:"),
    rule(
        "a window that ends early ends one ms late",
        "host.deadlines",
        "return self.set(old, self.host.clock)",
        "return self.set(old, self.host.clock + 1)",
    ),
    rule(
        "shills fill the final",
        "verification.ranking",
        "kept = others[: max(most // 2, most - len(places))]",
        "kept = others[:most]",
    ),
    rule(
        "deposit of a withheld key returned",
        f"{_JOB}.claims",
        '    work.host.emit("key.missing", work.id)\n    turn_hidden_off(work)\n',
        '    work.host.emit("key.missing", work.id)\n',
    ),
    rule(
        "key not compared with the posted hash",
        f"{_JOB}.claiming",
        "if sha256(m.key) != work.terms.hidden[0].key_hash:",
        "if False:",
    ),
    # draws
    rule(
        "first draw without delay",
        f"{_JOB}.claims",
        "        work.to_draw(0, 1)\n",
        "        work.to_draw(0, 1)\n"
        "        __import__('learningchain.chain.contracts.job.draws', fromlist=['draws']).draw(work)\n",
    ),
    rule("draws one block late", "verification.windows", "return max(1, (validators - 1) // 3)", "return 2"),
    rule(
        "candidates judge themselves",
        "verification.committee",
        "pool = [identity for identity in drawn if identity not in among]",
        "pool = list(drawn)",
    ),
    rule(
        "committee known in advance",
        "verification.committee",
        "return _SEAT.hash(beacon, job,",
        "return _SEAT.hash(bytes(32), job,",
    ),
    rule(
        "marks ignored",
        "verification.committee",
        "chosen = (without_marked(pool, marked) if round_ == 1 else pool)[:most]",
        "chosen = pool[:most]",
    ),
    rule(
        "capacity ignored",
        "contracts.membership.indexes",
        "if c >= cpus and m >= mem and i >= image and o >= model and s >= seconds and a == arch",
        "if a == arch",
    ),
    rule(
        "claims are judged beside those that rank before them",
        f"{_JOB}.draws",
        "return unjudged if job.hidden == Hidden.ON else unjudged[:1]",
        "return unjudged",
    ),
    # votes
    rule("tolerance two-sided", "verification.votes", "if measured <= claimed + tol:", "if abs(measured - claimed) <= tol:"),
    rule(
        "tolerance off by one",
        "verification.scale",
        "return 10 + ceil_div(abs(loss), 10**6)",
        "return 11 + ceil_div(abs(loss), 10**6)",
    ),
    rule("vote window one ms long", "verification.windows", "return least + 2 * e", "return 1 + least + 2 * e"),
    rule("vote counted twice", f"{_JOB}.voting", "if seat.commitment:\n", "if False:\n"),
    rule("ballots can be changed column by column", f"{_JOB}.voting", "        if m.ballots or m.salt:\n", "        if False:\n"),
    rule(
        "opened vote not compared with the commitment",
        f"{_JOB}.voting",
        "if len(m.salt) != SALT_BYTES or seat.commitment != ",
        "if False and seat.commitment != ",
    ),
    rule(
        "votes of another round counted",
        f"{_JOB}.guards",
        "if (audit, round_) != (work.job.audit, work.job.round):",
        "if audit != work.job.audit:",
    ),
    rule(
        "vote not bound to its voter",
        f"{_JOB}.messages",
        "bytes((audit, round_)), voter, salt, encode(ballots))",
        "bytes((audit, round_)), salt, encode(ballots))",
    ),
    rule("a column is opened twice", f"{_JOB}.voting", "or (candidate, hidden) in open_already:", "or False:"),
    rule(
        "a seat counts before all of it is open",
        f"{_JOB}.voting",
        "complete=len(seat.shown) == len(measured_columns(seat.ballots))",
        "complete=True",
    ),
    rule("probe not checked", "losses", "    if root.hash != measurement.root:\n", "    if False:\n"),
    rule(
        "probe known before the commitment",
        f"{_JOB}.verdicts",
        "counted = msgspec.structs.replace(record, probe=host.beacon)",
        "counted = msgspec.structs.replace(record, probe=record.beacon)",
    ),
    rule("committee quorum off by one", "verification.votes", "quorum(seats)\n    ok", "(2 * seats + 2) // 3\n    ok"),
    rule("tie refuses", "verification.votes", "if ok >= negative else", "if ok > negative else"),
    rule("honest banned on a tie", "verification.votes", "agreeing(false, scale) >= max(2, needed)", "len(false) >= max(1, ok)"),
    rule("dissent is not looked at again", "verification.votes", "settled = negative == 0 and", "settled = True and"),
    rule(
        "finalists' negative votes counted",
        "verification.votes",
        "return [vote for vote in votes if vote.neutral or vote.code not in NEGATIVE]",
        "return list(votes)",
    ),
    rule(
        "too few judge all the same",
        "verification.votes",
        "if ok + negative < max(1, ceil_div(seats, 3)):",
        "if ok + negative < 1:",
    ),
    # fees, strikes, records
    rule(
        "losses that differ are paid",
        "verification.merits",
        "return self.winning and not self.leaves_off and",
        "return self.winning and",
    ),
    rule("silent voter not struck", f"{_JOB}.rewards", "        if not seat.complete:\n", "        if False:\n"),
    rule(
        "losing side paid",
        "verification.merits",
        "return NEGATIVE if verdict in (Judgement.FALSE, Judgement.REFUSED) else ()",
        "return (BallotCode.OK,) if verdict != Judgement.UNDECIDED else ()",
    ),
    rule(
        "UNDECIDED pays",
        f"{_JOB}.rewards",
        '        work.host.burn(records.fee_escrow(work.id), amount, "fees.burned", work.id)\n',
        '        work.host.pay(records.fee_escrow(work.id), work.posting.poster, amount, "fee", work.id)\n',
    ),
    rule("an unrepeatable evaluation strikes", f"{_JOB}.rewards", "if not spared and (reason", "if (reason"),
    rule(
        "record counts each poster entry twice",
        "verification.standing",
        "kept = [d for d in draws if d.silent or d.origin != entry.origin] if not entry.silent else list(draws)",
        "kept = list(draws)",
    ),
    rule(
        "strikes by account instead of root",
        "contracts.membership.services",
        "members.strike(self._host, identity, owner, self.root_of(owner), reason, ref)",
        "members.strike(self._host, identity, owner, owner, reason, ref)",
    ),
    # verdicts and money
    rule(
        "wrong winner: the first instead of the lowest loss",
        "verification.ranking",
        "if start < len(losses) and min(losses[start:]) <= needed[leaders[-1]]:",
        "if False:",
    ),
    rule(
        "small improvement takes the lead",
        "verification.ranking",
        "[entry.loss - 2 * tol(entry.loss) for entry in left]",
        "[entry.loss - 1 for entry in left]",
    ),
    rule(
        "loser banned instead of the cheater",
        f"{_JOB}.verdicts",
        "_accuse(work, claim.claimant, max(0",
        "_accuse(work, work.claim(work.job.finalists[-1]).claimant, max(0",
    ),
    rule(
        "stake of a refused claim returned",
        f"{_JOB}.verdicts",
        "    if judgement == Judgement.UNDECIDED:\n",
        "    if judgement in (Judgement.UNDECIDED, Judgement.REFUSED):\n",
    ),
    rule(
        "bond not burned",
        f"{_JOB}.ends",
        "burned = min(work.job.burned, host.escrowed(escrow))",
        "burned = 0",
    ),
    rule(
        "bounty paid twice",
        f"{_JOB}.ends",
        '        host.emit("paid", work.id,',
        '        host.mint(claim.claimant, work.terms.bounty, "bounty", work.id)\n        host.emit("paid", work.id,',
    ),
    rule(
        "refund paid twice",
        f"{_JOB}.ends",
        "        host.emit(NAMES[state], work.id,",
        '        host.mint(poster, terms.bounty, "bounty.returned", work.id)\n        host.emit(NAMES[state], work.id,',
    ),
    rule(
        "stakes not released",
        f"{_JOB}.ends",
        "for index in range(work.job.released, end):",
        "for index in range(work.job.released + 1, end):",
    ),
    rule("fees left in escrow", f"{_JOB}.ends", '        ("fees", records.fee_escrow(work.id)),\n', ""),
    rule(
        "burn not counted",
        "host.credits",
        "        self._escrow(escrow, self.escrowed(escrow) - amount)\n        self._count(burned=amount)\n",
        "        self._escrow(escrow, self.escrowed(escrow) - amount)\n",
    ),
    # membership
    rule(
        "freeze all instead of B-stake",
        "host.powers",
        "taken = min(account.balance, amount)",
        "taken = account.balance",
    ),
    rule(
        "ban by silence",
        "contracts.membership.cases",
        "if needed is not None and len(judges & confirm) >= needed:",
        "if not len(judges & {*case.lift}):",
    ),
    rule("parties judge", "contracts.membership.cases", "if m.confirm and is_party(host, sender, case):", "if False:"),
    rule("anybody judges a case", "contracts.membership.cases", "if sender not in judges:", "if False:"),
    rule(
        "the flag never rests",
        "verification.standing",
        "return record if sum(draw.bad for draw in record) <= MAX_BAD_DRAWS else []",
        "return record",
    ),
    rule("the same capacity begins anew", "contracts.membership.members", "if member.capacity == [m.capacity]:", "if False:"),
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
    # coming and going
    going("a token is used twice", "invitations", "    host.delete(invitation_key(invitation))\n", "    pass\n"),
    going(
        "the token's signature of a join is unchecked",
        "invitations",
        " or not verify(m.invitation, digest, m.token):",
        ":",
    ),
    going("four invitations of a member count", "invitations", ">= MAX_INVITATIONS:", "> MAX_INVITATIONS:"),
    going("a newcomer is its own root", "admission", "root = root_of(host.store, record.inviter)", "root = None"),
    going(
        "a branch has no end",
        "admission",
        "    if sum(branch.below for _, branch in path) >= most:\n",
        "    if False:\n",
    ),
    going("a newcomer is in no branch", "admission", "replace(branch, below=branch.below + 1)", "branch"),
    going("who left goes on", "admission", "return isinstance(found, Member) and found.left > 0", "return False"),
)
