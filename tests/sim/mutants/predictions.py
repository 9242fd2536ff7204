"""Broken rules of the prediction contract. They show where members ask and cheat (`tests.sim.asking`)."""

from __future__ import annotations

from tests.sim.mutants.patch import Mutant, mutant


def rule(name: str, module: str, old: str, new: str, scene: str = "predictions") -> Mutant:
    return mutant(name, f"contracts.prediction.{module}", old, new, scene)


MUTANTS = (
    # who may answer
    rule("the requester answers itself", "pool", " and one.account != asked.requester:", ":"),
    rule("parties judge an appeal", "pool", "if one not in parties and (", "if ("),
    rule(
        "judges are drawn a block too early",
        "store",
        "height = self.host.height + draw_delay(self.host)",
        "height = self.host.height",
    ),
    rule("slots do not matter", "formulas", "return max(c, slots * pool * 2 // 3)", "return max(c, slots * pool * 2)"),
    # what answers come to
    rule("the earliest set is the value, not the largest", "tally", "        if count > most:", "        if not most:"),
    rule("checks are not compared", "tally", "tol * rows)\n    if len(valid)", "10**18)\n    if len(valid)"),
    rule("who is off in every row is paid", "tally", "<= rows // ROWS_OFF)", "<= rows)"),
    rule("few that agree are AGREED", "tally", "AGREED if agree >= m else", "AGREED if agree else"),
    rule(
        "another's answer is opened",
        "answers",
        "if messages.answer_commitment(host.chain_id, request.id, m.round, sender, m.answer, m.salt) != seat.commitment:",
        "if False:",
    ),
    # money
    rule("payees are fined", "payouts", "if place not in found.side and vote.code in wrong)", "if vote.code in wrong)"),
    rule("a subsidy above what burns", "formulas", "amounts.burned // (2 * amounts.n)", "amounts.burned"),
    rule("who evicted another gets all back", "payouts", "if evictor or outcome ==", "if outcome =="),
    rule(
        "silence is free",
        "rounds",
        "    for account in silent:\n        settling.silence(request, number, account)\n",
        "",
    ),
    rule("a lost appeal costs nothing", "verdicts", "side, money.fee, back=False)", "side, money.fee, back=True)"),
    rule(
        "whoever is left over judges",
        "verdicts",
        "return len(new.support) + before > len(old.support) + still",
        "return True",
        "left over judges",
    ),
    rule("a stake leaves before its seats", "retiring", "if known is None or known.unfinal or not", "if known is None or not"),
    rule("what is kept costs nothing", "formulas", "PART), self.kept)", "PART), 0)"),
    rule("bytes that a request carries cost nothing", "formulas", " + ceil_div(self.inline, ROW_BYTES))", ")"),
    rule("anybody appeals at once", "formulas", "return answered + window // 2", "return answered"),
    # places and ends
    rule(
        "seats stay open for ever",
        "ends",
        "open_seats=model.standing.open_seats - len(request.first_seats)",
        "open_seats=model.standing.open_seats",
    ),
    rule("a tip moves further than a minute", "formulas", "RANK_SPAN - min(RANK_SPAN, RANK_STEP", "RANK_SPAN - max(0, RANK_STEP"),
    rule("decisions below a quorum", "decisions", "needed = max(quorum(c), rule.least)", "needed = 1"),
)
