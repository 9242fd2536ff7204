"""Broken rules of the federation contract. All show where members train and cheat (`tests.sim.training.rough`), those of cells
where small models are trained (`tests.sim.training.celled`)."""

from __future__ import annotations

from tests.sim.mutants.patch import Mutant, mutant


def rule(name: str, module: str, old: str, new: str) -> Mutant:
    return mutant(name, f"contracts.federation.{module}", old, new, "federations")


def cells(name: str, module: str, old: str, new: str) -> Mutant:
    return mutant(name, f"contracts.federation.{module}", old, new, "cells")


MUTANTS = (
    # pay
    rule("what a pot leaves over is nobody's", "formulas", "    parts[0] += pot - sum(parts)\n", ""),
    rule(
        "half the way is worth the whole bounty", "formulas", "// (first - terms.target)", "// max(1, (first - terms.target) // 2)"
    ),
    rule("claimed samples count as claimed", "formulas", "    most = 4 * lower_median(counts)\n", "    most = max(counts)\n"),
    rule(
        "a model that is worse is trained on",
        "measuring",
        "change(base=now.best_model, streak=0)",
        "change(base=now.model, streak=0)",
    ),
    rule(
        "who is silent in a measurement is not struck",
        "measuring",
        'host.service(STANDING).strike(seat.account, federation.sponsor, "panel.silent", federation.id)',
        "pass",
    ),
    rule(
        "what a federation keeps costs nothing",
        "opening",
        'host.burn(records.fee_escrow(federation), price, "fed.kept", federation)',
        "pass",
    ),
    # refunds
    rule(
        "half of what is left stays locked",
        "ends",
        "host.pay(escrow, posting.sponsor, host.escrowed(escrow), reason, id_)",
        "host.pay(escrow, posting.sponsor, host.escrowed(escrow) // 2, reason, id_)",
    ),
    rule("a sponsor's federations count for ever", "ends", "    if own.live == 1:\n", "    if False:\n"),
    # screening
    rule(
        "who was turned away is summed",
        "screening",
        "zip(files, attempt.codes, strict=True) if code == FileCode.USED)",
        "zip(files, attempt.codes, strict=True) if code != FileCode.AWAY)",
    ),
    rule(
        "two sums on a base differ by one", "screening", "federation.accepted_on(record.base), terms.min_sum", "[], terms.min_sum"
    ),
    rule(
        "four bad files bench, not three",
        "screening",
        "elif member.bad + 1 == formulas.BENCH_AFTER",
        "elif member.bad == formulas.BENCH_AFTER",
    ),
    rule("a clip doubles", "formulas", "11 * CQ // 10)", "2 * CQ)"),
    # deadlines
    rule(
        "aggregators have a ms too long",
        "aggregating",
        "(FederationState.HAVE, federation.params.fed_base)",
        "(FederationState.HAVE, federation.params.fed_base + 1)",
    ),
    rule(
        "a draw waits two blocks",
        "store",
        "self.host.height + windows.draw_delay(len(self.host.validators()))",
        "self.host.height + 2",
    ),
    rule("starts are never used up", "ends", "    if now.starts == formulas.most_starts(terms.rounds):", "    if False:"),
    # aggregators
    rule(
        "two digests of one mask pass",
        "screening",
        "        if any(theirs[mask] != own[mask] for",
        "        if False and any(theirs[mask] != own[mask] for",
    ),
    rule(
        "who is silent has served",
        "ends",
        "record_draw(account, federation.sponsor, bad=True, silent=True)\n\n\ndef unready",
        "record_draw(account, federation.sponsor, bad=False, silent=False)\n\n\ndef unready",
    ),
    rule(
        "who lied is drawn again",
        "ends",
        "federation.host.put(records.excluded_key(federation.id, account), ExcludedAggregator(now.starts))",
        "pass",
    ),
    rule(
        "who denies the reference takes it from all",
        "aggregating",
        "some, shared = (informed or found)[0]",
        "some, shared = found[0]",
    ),
    # panel
    rule("a panel's quorum is one too small", "formulas", "    return 2 * seats // 3 + 1\n", "    return 2 * seats // 3\n"),
    rule(
        "silent seats stay",
        "measuring",
        "silent = [seat for seat in now.panel if seat.silent >= 2]",
        "silent = [seat for seat in now.panel if seat.silent > 9]",
    ),
    rule(
        "a key can be taken back",
        "measuring",
        "for seat in federation.record.panel if not seat.box]",
        "for seat in federation.record.panel]",
    ),
    rule(
        "who follows gets no key",
        "measuring",
        "    follows = federation.record.state == FederationState.MEASURE and bool(lacking)\n",
        "    follows = False\n",
    ),
    # bans
    rule(
        "a banned owner is in the roster",
        "starting",
        "for who, one in federation.active() if not host.is_banned(who)]",
        "for who, one in federation.active()]",
    ),
    # cells
    cells("who left has its place in a cell", "cells", "[] if over else [cell_of(cell.number, left)]", "[] if over else [cell]"),
    cells(
        "who ended a cell's attempt by silence is drawn again",
        "cells",
        "        ends.silence(federation, account)\n        ends.exclude(federation, [account])\n",
        "        ends.silence(federation, account)\n",
    ),
    cells(
        "a part of a cell is summed",
        "cells",
        "if not formulas.of_bitmap(cell.members) & ~indexes]",
        "if formulas.of_bitmap(cell.members) & indexes]",
    ),
    cells("what cells gain is paid for nothing", "cell_formulas", "half = pot // 2 if any(gains) else 0", "half = 0"),
)
