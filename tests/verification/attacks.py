"""Attacks that the first edition fell to, and those that the second one leaves: each with its rule and its figure."""

from __future__ import annotations

from collections.abc import Iterator

from learningchain.chain.verification import windows

from .figures import Results
from .ranges import Rate, percent

Row = tuple[str, str, str]


def attacks(results: Results) -> Iterator[Row]:
    yield from _of_contractors(results)
    yield from _of_claimants(results)
    yield from _of_verifiers(results)
    yield from _of_validators(results)


def _rate(results: Results, key: str, *names: str) -> str:
    cell = results["cells"][key]
    return percent(Rate(round(sum(cell[name] for name in names)), round(cell["tries"])))


def _barred(results: Results, lies: str) -> str:
    cells = [results["cells"][f"campaigns/{many}/{lies}/1"] for many in (30, 100)]
    rate = Rate(round(sum(cell["barred"] for cell in cells)), round(sum(cell["tries"] for cell in cells)))
    return f"barred: {percent(rate)} in {sum(cell['jobs'] for cell in cells):,.0f} jobs"


def _of_contractors(results: Results) -> Iterator[Row]:
    cells = results["cells"]
    taken = cells["takings"]
    least = windows.least_fee(windows.judging_work(3_600, 64_000, 10**9, hidden=False), 10)
    yield (
        "A lying evaluator has an honest worker banned by the judges' default policy: 5,000 credits for 0.000013",
        "FALSE burns the stake, and as much of the contractor's bond G; a ban needs the judges' votes; by default a node "
        "confirms what "
        "its own sandbox measured as FALSE in jobs of two contractors of different roots",
        f"banned by one contractor: never by default policy; {taken['taken'] / 1e6:,.0f} credits taken, "
        f"{taken['burned'] / 1e6:,.0f} burned of the bonds",
    )
    yield (
        "Two contractors, or one with a puppet claimant, corroborate each other",
        "an OK in the same job counts for nothing; two different roots, and no OK in a third one's job, within 30 days; more "
        "than half "
        "of the judges",
        f"one contractor and a puppet: 0. Two roots: {_rate(results, 'framed/64/10/1', 'banned')} where all judges sit in both "
        f"committees, {_rate(results, 'framed/100/22/1', 'banned')} with 100 verifiers, 22 of them judges: residual",
    )
    yield (
        "One job with K finalists suspends most judges; the others cannot lift",
        "suspension takes no seat and no judge's word; a party to the case may lift, not confirm; cases last up to 4 APPEAL",
        "7,000 credits for 0.0001 before; now bans need confirmations of more than two thirds (half, if corroborated) of those "
        "who may confirm, and of more than a third of all judges",
    )
    yield (
        "An evaluator that answers NEAR takes stakes and strikes of seven rivals, without an appeal",
        "a refused stake burns as much of the bond; of one root only the last strike counts, three roots bar",
        "each loses B/10 once a job, the contractor as much for each; barred by one contractor: none",
    )
    yield (
        "A random or aimed evaluator has verifiers struck, by the side they take",
        "strikes count by root; nobody is struck where more than a third of a round is off",
        _barred(results, "FALSE"),
    )
    yield ("The same by a model that breaks for some", "the same", _barred(results, "INVALID"))
    yield ("The same by losses that differ at the probe", "the same; one of 16 leaves may be off", _barred(results, "LEAVES"))
    yield ("The same by a loss a little above the claim", "NEAR is never struck", _barred(results, "NEAR"))
    yield (
        "Jobs beyond what verifiers can run make them abstain until their flags are gone for good",
        "capacity is declared: who has less is not drawn; of one root one bad draw counts; a flag rests 30 days and comes back",
        _barred(results, "ABSTAIN"),
    )
    yield (
        "Three contractors of different roots do the same together",
        "none: three are what the rule asks for",
        f"up to {max(cells[f'campaigns/30/{lie}/3']['most'] for lie in ('FALSE', 'INVALID', 'LEAVES', 'MIXED')):.0f} of 30 barred, "
        "for 30 days, one chosen verifier in three jobs: residual",
    )
    yield (
        "Suspending a rival, so that it cannot reveal, takes the bounty of another job",
        "who is suspended reveals, votes, judges and claims as before, but in jobs of the case's contractors",
        "0",
    )
    yield (
        "Fees without a floor: 0.0001 credits lock 64 processors of 56 verifiers for hours",
        "u is at least the processor time at the genesis's rate, with what a verifier does beside its container",
        f"the same posting locks {windows.fees_locked(least, 8) / 1e6:,.0f} credits, and pays u = {least / 1e6:.2f} a vote",
    )
    yield (
        "Seats of round two get a sixth of the fee",
        "F covers both rounds, u for each vote of the winning side",
        "1 u a vote (0.18 before)",
    )
    yield (
        "A contractor cleans its record with jobs of a micro-credit to a puppet; refuses, and keeps the model for a tenth",
        "B is at least a credit; the record counts credits and different winners; a refusal burns as much of G",
        "a full worker's model still costs B/10 and the fees, a stakeless worker's the fees, where a friend of the contractor is "
        "among its seats: residual, in the record",
    )
    yield (
        "A contractor's puppet without a stake leads, so that a worker's model is judged beside it and seen for the fees (140 "
        "micro-credits of a bounty of 100)",
        "without hidden data finalists are judged one by one, in rank order, and the first that is OK is paid",
        "nothing: 70 micro-credits for the judgement of its own model. With hidden data all K finalists are judged, and a friend "
        "among the seats sees them for the fees: residual",
    )
    yield (
        "A contractor withholds the hidden key",
        "D = B burns; public columns decide; a suspended contractor may reveal it",
        "costs it 2 B with the bounty that it still pays",
    )
    yield (
        "A float64 job posted for a float32 evaluation",
        "`image check` says which kind fits; an evaluation that cannot be repeated strikes nobody",
        "strikes 0; the job may end UNDECIDED or REFUSED at a tenth for each side: residual",
    )


def _of_claimants(results: Results) -> Iterator[Row]:
    yield (
        "A false claim before a committee a third of which colludes (0.48 %)",
        "seven seats; any dissent, NEAR and NOMODEL included, brings 64",
        _rate(results, "target/false", "OK"),
    )
    yield (
        "The same, the model served to friends only",
        "NOMODEL and BROKEN are dissent like any other",
        _rate(results, "target/friends", "OK"),
    )
    yield (
        "One colluder decides where others abstain (13 %)",
        "fewer judged votes than a third of the seats decide nothing",
        f"{_rate(results, 'abstain/50/5', 'OK')} with 5 % in collusion; {_rate(results, 'abstain/100/20', 'OK')} with 20 %: "
        "see the table",
    )
    yield (
        "Stakeless claims end a job, or fill the finalists",
        "at most half of the finalists without a full stake while full ones are left; behind one that is not OK the next is "
        "judged; only a full claim's FALSE can refund",
        "an honest full claim is a finalist wherever it is among the first K - K//2 full ones; a stakeless false claim costs "
        "the contractor up to u (C + 64), its "
        "author a strike",
    )
    yield (
        "False claims without a stake as lottery tickets",
        "at most K//2 places while full claims are left; a strike by this contractor's root each",
        f"expected gain B times the chance above: {_rate(results, 'target/false', 'OK')} of B at a third in collusion",
    )
    yield (
        "Copy a model that another job revealed",
        "a model is given to the seats that judge it alone, whatever else names it; without hidden data what loses the race is "
        "not judged, so a lost race gives none away",
        "none against a seat that passes it on, nor for a winner's model, which is everybody's: residual",
    )
    yield (
        "Absurd claims that nobody can beat, silent at the reveal",
        "ranking goes over what was revealed; the silent stake burns, with a strike",
        "nothing for others to lose",
    )
    yield (
        "A claim of 0 for a bad model: honest measurements lie further apart than tol(0), so that FALSE votes do not agree (0 "
        "of 60)",
        "t follows what was measured: max(tol(claim), base(lower median))",
        f"FALSE in {_rate_of(results, 'noise/100000000000', 'FALSE', 'jobs')}, "
        f"{_rate_of(results, 'noise/100000000000', 'paid', 'votes')} of the honest votes paid; struck: none",
    )
    yield (
        "A sender grinds transaction ids to stand first in a block",
        "order inside a block: by the beacon of the block that closes the claims",
        "nothing to grind: nobody knows that beacon before",
    )
    yield (
        "The worker's own evaluation can be told from a committee's",
        "container contract 2: no probe in the inputs, which are byte-identical",
        "what is left are clock and machine",
    )
    yield (
        "In a pool below three, rivals judge the leader down",
        "negative votes of finalists count only beside a neutral seat's, and where no neutral seat said OK",
        f"true claim not paid: {_rate(results, 'helpers/2/0.02/true/False', 'FALSE', 'REFUSED', 'UNDECIDED')} with two neutral "
        "seats, "
        "for silence alone",
    )
    yield (
        "In a pool below three, two claimants help a third one",
        "none: OK votes of finalists count always",
        f"false claim paid: {_rate(results, 'helpers/1/0.02/false/False', 'OK')} with one neutral seat, "
        f"{_rate(results, 'helpers/2/0.02/false/False', 'OK')} with two: hole",
    )


def _rate_of(results: Results, key: str, hits: str, tries: str) -> str:
    cell = results["cells"][key]
    return percent(Rate(round(cell[hits]), round(cell[tries])))


def _of_verifiers(results: Results) -> Iterator[Row]:
    eighth = "lazy/LogisticRegression/F32/False/0.125/at random"
    hard = "lazy/MLPClassifier/F32/True/0.125/where another model erred most"
    zero = "lazy/KNeighborsClassifier/F32/False/0.125/where another model erred most"
    yield (
        "Run only the probed eighth (129 % of an honest profit)",
        "the ballot binds every loss before the probe is drawn; eight random places and the greatest of eight subtrees, 15 of "
        "16 right",
        f"fees: {_rate(results, eighth, 'paid')} (digits, logistic regression)",
    )
    yield (
        "Run the eighth that was hardest for another model, call the rest 0",
        "the same, and the contractor's tolerance",
        f"fees: {_rate(results, hard, 'paid')} (small network, largest tolerance), {_rate(results, zero, 'paid')} where 95 % "
        "of the "
        "losses are 0: residual",
    )
    yield (
        "Be told the losses by the claimant, or copy a friend's ballot",
        "every loss has to be true; a wrong list is struck",
        "saves the run as long as claimants are honest: residual",
    )
    yield (
        "Invent the hidden loss",
        "the hidden column is committed, opened and compared like the public one; off by more than 2 t: no fee, and a strike",
        "fee 0 (full before)",
    )
    yield (
        "Dissent in every job of a contractor, so that it always pays round two",
        "dissent that loses twice marks: not drawn for this contractor for 30 days",
        f"{results['cells']['dissent/10/True']['seats'] / results['cells']['dissent/10/True']['tries']:.1f} seats a job "
        f"({results['cells']['dissent/10/False']['seats'] / results['cells']['dissent/10/False']['tries']:.1f} without marks; "
        "10 of 100 "
        "dissent)",
    )
    yield (
        "Stay silent where the vote would lose",
        "a silent seat brings round two; silence is struck, and each one is a bad draw",
        f"{_rate(results, 'paid/3/33/2', 'OK')} with one of three, {_rate(results, 'paid/7/30/2', 'OK')} with two of seven: in "
        "the tables",
    )


def _of_validators(results: Results) -> Iterator[Row]:
    yield (
        "Hold the last message until the draw suits (17.7 %)",
        "the draw comes d blocks later: of d + 1 proposers in a row one is honest",
        _rate(results, "draw/100/100/held", "OK"),
    )
    yield (
        "Leave beacon secrets out until the draw suits",
        "a missing secret costs the block reward and stands in the header; nothing else",
        f"{_rate(results, 'draw/100/22/withheld', 'OK')} with 22 validators, {_rate(results, 'draw/100/100/withheld', 'OK')} "
        "with 100",
    )
    yield (
        "The same with keys whose ids lie side by side, or with slots that time out",
        "none: turns go by id",
        f"{_rate(results, 'draw/100/22/adjacent', 'OK')} with 22 validators side by side, "
        f"{_rate(results, 'draw/100/100/adjacent', 'OK')} with 100; {_rate(results, 'draw/100/22/timed out', 'OK')} with slots "
        "that time "
        "out: hole",
    )
    yield (
        "One accused of two lies has a second identity judge it OK, or fills its 64 verdicts with its own jobs",
        "verdicts in work of its own root are not kept",
        "nothing: it takes an OK in the job of a third root",
    )
    yield (
        "A further FALSE a millisecond before a case ends corroborates it",
        "it moves the end to now + APPEAL, at most 4 APPEAL after the start",
        "at least APPEAL to answer, but for cases at their longest",
    )
    yield (
        "All judges are silent",
        "nobody is banned by silence: the case lapses",
        "one strike for each contractor of the case, frozen credits come back",
    )
