"""Suspension, cases and their deadlines, the judges' words, what a verifier's machine can do."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from learningchain.chain.contracts import membership
from learningchain.chain.contracts.job import Capacity
from learningchain.chain.contracts.job import records as jobs
from learningchain.chain.contracts.membership import (
    K_CASES,
    Case,
    CaseRef,
    Cases,
    JudgeCase,
    Judged,
    Member,
    PastVerdict,
    SetCapacity,
    SetTraining,
    Training,
    case_key,
    judged_key,
    member_key,
    training_key,
)
from learningchain.chain.host import (
    BANNED,
    K_PARAMS,
    SUSPENDED,
    Due,
    account_key,
    due_key,
)
from learningchain.chain.verification.standing import Strike
from tests.vectors.base_vectors import job_terms
from tests.vectors.executed import (
    ALICE,
    BOB,
    JOB,
    NAMES,
    NEXT,
    NOBODY,
    V1,
    V2,
    V3,
    V4,
    Maker,
    Records,
    account,
    clock,
    genesis_of_cases,
    pay_to,
    tx,
)
from tests.vectors.kit import id_of


def suspended(
    *,
    until: int,
    since: int = 0,
    confirm: list[bytes] | None = None,
    lift: list[bytes] | None = None,
    refs: list[CaseRef] | None = None,
    **held: int,
) -> Records:
    """Alice's case. Its references belong to contract 1, which asks for no word of how it ended. `held` are Alice's credits."""
    about = refs or [CaseRef(JOB, 1, BOB, BOB), CaseRef(b"second", 1, V1, V1), CaseRef(b"third", 1, BOB, BOB)]
    return {
        account_key(ALICE): account(
            "alice", status=SUSPENDED, balance=held.get("balance", 1_000_000), frozen=held.get("frozen", 4_000_000)
        ),
        case_key(ALICE): Case(7, since or until - 1, until, about, sorted(confirm or []), sorted(lift or [])),
        due_key(ALICE, until, 2, ALICE): Due(2, ALICE),
        K_CASES: Cases(7),
    }


def past(origin: bytes, verdict: int, ago: int = 0, *, case: int = 0, lifted: bool = False) -> PastVerdict:
    """A verdict from so long before the time of the cases' blocks."""
    return PastVerdict(origin, verdict, clock() + NEXT - ago, case, lifted)


def verdicts(*last: PastVerdict, older: int = 0) -> Records:
    return {judged_key(ALICE): Judged(list(last), older)}


LIFE = membership.MemberParams().standing_life
APPEAL = membership.MemberParams().appeal
OK_, FALSE_, REFUSED_ = 1, 2, 3


def member_record(name: str, **changed: Any) -> Records:
    """Its record, from that of genesis."""
    return {member_key(id_of(name)): replace(Member(id_of(name), name in NAMES, 0, 0, [], 0, [], []), **changed)}


def _deadlines() -> list[Maker]:
    at = clock() + NEXT
    due = suspended
    both = due(until=at) | {
        account_key(BOB): account("bob", status=SUSPENDED, balance=0, frozen=1),
        case_key(BOB): Case(8, at - 9, at - 5, [CaseRef(JOB, 1, V2, V2)], [], []),
        due_key(BOB, at - 5, 2, BOB): Due(2, BOB),
    }

    def case(name: str, rule: str, records: Records, *txs: bytes) -> Maker:
        return Maker(name, rule, list(txs), records)

    old = [Strike(id_of(str(n)), end) for n, end in enumerate((clock() - 5, at, at + 1, *(at + 9_000 + n for n in range(12))))]
    full = [Strike(id_of(str(n)), at + 9_000 + n) for n in range(16)]
    half = due(until=at, confirm=[V1, V2])
    more = due(until=at, confirm=[V1, V2, V3])
    two = [past(BOB, FALSE_, 5, case=7), past(V1, FALSE_, 4, case=7)]
    away = {account_key(V4): account("v4", status=BANNED, balance=0)}
    quiet = {account_key(V4): account("v4", status=SUSPENDED)}
    own = {
        account_key(V1): account("v1", status=SUSPENDED),
        case_key(V1): Case(7, at - 9, at, [CaseRef(JOB, 1, BOB, BOB)], [V1, V2, V3], []),
        due_key(V1, at, 2, V1): Due(2, V1),
    }
    three = [V1, V2, V4]
    return [
        case("a case that nobody judged", "LC-MEM-7", due(until=at)),
        case("a case that is not due yet", "LC-BLK-14", due(until=at + 1)),
        case("a case confirmed by more than two thirds", "LC-MEM-7", more),
        case("a case confirmed by half", "LC-MEM-7", half),
        case("two thirds are not more than two thirds", "LC-MEM-7", due(until=at, confirm=[V1, V2]) | away),
        case("words of who is no validator do not count", "LC-MEM-7", due(until=at, confirm=[V1, V2, BOB])),
        case("words of who was banned do not count", "LC-MEM-20", due(until=at, confirm=three) | away),
        case("words of who was suspended count", "LC-MEM-20", due(until=at, confirm=three) | quiet),
        case("the accused does not judge itself", "LC-MEM-20", own),
        case("two posters do not count, both others confirm", "LC-MEM-7", _posted(due(until=at, confirm=[V3, V4]), V1, V2)),
        case("two posters do not count, one of the others confirms", "LC-MEM-7", _posted(due(until=at, confirm=[V4]), V1, V2)),
        case("one other confirms, corroborated", "LC-MEM-7", _posted(due(until=at, confirm=[V4]), V1, V2) | verdicts(*two)),
        case("one poster does not count, two of three confirm", "LC-MEM-7", _posted(due(until=at, confirm=[V3, V4]), V1)),
        case("the same, corroborated", "LC-MEM-7", _posted(due(until=at, confirm=[V3, V4]), V1) | verdicts(*two)),
        case("three posters: fewer than half count", "LC-MEM-7", _posted(due(until=at, confirm=[V4]), V1, V2, V3)),
        case("who confirmed before it was a party counts", "LC-MEM-7", _posted(due(until=at, confirm=three), V1, V2, V3)),
        case("corroborated, and confirmed by half", "LC-MEM-7", half | verdicts(*two)),
        case("corroborated, and confirmed by more than half", "LC-MEM-7", due(until=at, confirm=[V1, V2]) | away | verdicts(*two)),
        case("corroborated, and nobody judged", "LC-MEM-7", due(until=at) | verdicts(*two)),
        *(
            case(name, "LC-MEM-5", due(until=at, confirm=[V1, V2]) | away | verdicts(*found))
            for name, found in (
                ("FALSE for one origin twice", [past(BOB, FALSE_, 5), past(BOB, FALSE_, 4)]),
                ("FALSE, and OK for a third origin", [*two, past(V2, OK_, 3)]),
                ("FALSE, and OK for one of the two", [*two, past(V1, OK_, 3)]),
                ("FALSE, and OK for a third one long ago", [*two, past(V2, OK_, LIFE)]),
                ("FALSE, and OK for a third one within a month", [*two, past(V2, OK_, LIFE - 1)]),
                ("FALSE of a case that was lifted", [two[0], past(V1, FALSE_, 4, case=6, lifted=True)]),
                ("FALSE a month ago", [past(BOB, FALSE_, LIFE), two[1]]),
                ("FALSE within a month", [past(BOB, FALSE_, LIFE - 1), two[1]]),
                ("FALSE and REFUSED", [two[0], past(V1, REFUSED_, 4)]),
            )
        ),
        case("a ban of free and frozen credits", "LC-MEM-8", due(until=at, confirm=[V1, V2, V3], balance=4, frozen=3)),
        case("a ban of nothing", "LC-MEM-8", due(until=at, confirm=[V1, V2, V3], balance=0, frozen=0)),
        case("a ban ends the flag", "LC-MEM-8", more | member_record("alice", verifier=True, strikes=full)),
        case("a return of nothing", "LC-MEM-8", due(until=at, frozen=0)),
        case("as many lifts as confirmations", "LC-MEM-8", due(until=at, confirm=[V1], lift=[V2])),
        case("more lifts than confirmations", "LC-MEM-8", due(until=at, confirm=[V1], lift=[V2, V3])),
        case("lifts of who is no validator do not count", "LC-MEM-8", due(until=at, lift=[BOB])),
        case("a deadline whose case is gone", "LC-MEM-7", {due_key(ALICE, at, 2, ALICE): Due(2, ALICE)}),
        case("a deadline before the time in the case", "LC-MEM-7", due(until=at + 9) | {due_key(BOB, at, 2, ALICE): Due(2, ALICE)}),
        case("strikes that have ended are forgotten", "LC-MEM-1", due(until=at) | member_record("alice", strikes=old)),
        case("the sixteen strikes that end last are kept", "LC-MEM-1", due(until=at) | member_record("alice", strikes=full)),
        case("a strike for whom nothing is known of", "LC-MEM-1", due(until=at) | {member_key(ALICE): None}),
        case(
            "a strike takes the place of the last one for that origin",
            "LC-MEM-1",
            due(until=at) | member_record("alice", strikes=[Strike(BOB, at + 5), Strike(V4, at + 6)]),
        ),
        case(
            "the root of an owner is its origin",
            "LC-MEM-15",
            due(until=at, refs=[CaseRef(JOB, 1, BOB, V2), CaseRef(b"x", 1, V2, V2)]) | member_record("bob", root=V2),
        ),
        case("two cases, in the order of their times", "LC-BLK-14", both),
        case("a deadline too many for one block", "LC-BLK-14", both | {K_PARAMS: replace(genesis_of_cases().params, max_due=1)}),
        case("deadlines come before the transactions", "LC-BLK-13", due(until=at), tx("alice", pay_to(BOB))),
        case("a ban comes before the transactions", "LC-BLK-13", due(until=at, confirm=[V1, V2, V3]), tx("bob", pay_to(ALICE))),
    ]


def _posted(records: Records, *posters: bytes) -> Records:
    """Alice's case is about jobs of these."""
    known, refs = records[case_key(ALICE)], [CaseRef(JOB[:-1] + bytes([n]), 3, poster, poster) for n, poster in enumerate(posters)]
    of = {jobs.posting_key(ref.ref): jobs.Posting(ref.owner, 0, 5, job_terms()[0]) for ref in refs}
    return records | of | {case_key(ALICE): replace(known, refs=refs)}


def _judging() -> list[Maker]:
    later = clock() + 10**6

    def say(name: str, who: str, target: bytes, confirm: bool, records: Records, rule: str = "LC-MEM-6") -> Maker:
        return Maker(name, rule, [tx(who, JudgeCase(target, confirm))], records)

    case = suspended
    job = [CaseRef(JOB, 3, BOB, BOB)]
    posting = jobs.Posting(V1, 0, 5, job_terms()[0])
    posted = case(until=later, refs=job) | {jobs.posting_key(JOB): posting}
    claimed = case(until=later, refs=job) | {jobs.claimant_key(JOB, V1): jobs.ClaimantIndex(0)}
    asleep = case(until=later) | {account_key(V1): account("v1", status=SUSPENDED)}
    gone = case(until=later) | {account_key(V4): account("v4", status=BANNED, balance=0)}
    rows: list[Any] = [
        ("a word for the ban", "v1", ALICE, True, case(until=later)),
        ("a word against it", "v1", ALICE, False, case(until=later)),
        ("who is no validator", "bob", ALICE, True, case(until=later)),
        ("no case", "v1", BOB, True, case(until=later)),
        ("no case and no validator: the sender is tested first", "alice", BOB, True, {}),
        ("a validator against itself", "v1", V1, False, {}),
        ("the same word again, for the ban", "v1", ALICE, True, case(until=later, confirm=[V1, V2])),
        ("the same word again, against it", "v1", ALICE, False, case(until=later, lift=[V1])),
        ("a changed mind, for the ban", "v1", ALICE, True, case(until=later, lift=[V1, V2], confirm=[V3])),
        ("a changed mind, against it", "v1", ALICE, False, case(until=later, confirm=[V1, V2, V3])),
        ("an account that does not exist", "v1", NOBODY, True, {}),
        ("a suspended validator confirms", "v1", ALICE, True, asleep),
        ("a suspended validator lifts", "v1", ALICE, False, asleep),
        ("a contractor confirms a case of its job", "v1", ALICE, True, posted, "LC-MEM-20"),
        ("a contractor lifts a case of its job", "v1", ALICE, False, posted, "LC-MEM-20"),
        ("another contractor confirms", "v2", ALICE, True, posted, "LC-MEM-20"),
        ("a claimant confirms a case of that job", "v1", ALICE, True, claimed, "LC-MEM-20"),
        ("a claimant lifts a case of that job", "v1", ALICE, False, claimed, "LC-MEM-20"),
        ("a party says the same again: its part is tested first", "v1", ALICE, True, posted | _with_words(posted, confirm=[V1])),
        ("half of the judges lift", "v1", ALICE, False, case(until=later, lift=[V2])),
        ("more than half of the judges lift", "v1", ALICE, False, case(until=later, lift=[V2, V3])),
        ("more than half without who was banned", "v1", ALICE, False, gone | _with_words(gone, lift=[V2])),
        ("lifts of who was banned do not count", "v1", ALICE, False, gone | _with_words(gone, lift=[V4])),
        (
            "a lift takes back what its verdicts say",
            "v1",
            ALICE,
            False,
            case(until=later, lift=[V2, V3])
            | verdicts(past(BOB, FALSE_, 9, case=7), past(V1, FALSE_, 8, case=6), past(V1, OK_, 7)),
            "LC-MEM-8",
        ),
    ]
    found = [say(*row) for row in rows]
    words = [tx(name, JudgeCase(ALICE, True)) for name in ("v3", "v1", "v4", "v2")]
    found.append(Maker("words are kept in the order of ids, not of arrival", "LC-MEM-6", words, case(until=later)))
    return found


def _with_words(records: Records, *, confirm: list[bytes] | None = None, lift: list[bytes] | None = None) -> Records:
    """Alice's case with these words."""
    return {case_key(ALICE): replace(records[case_key(ALICE)], confirm=confirm or [], lift=lift or [])}


def _capacities() -> list[Maker]:
    good = Capacity(1, 4_000, 2_048, 10**9, 10**8, 600)

    def say(name: str, who: str, capacity: Capacity, records: Records | None = None) -> Maker:
        return Maker(name, "LC-MEM-16", [tx(who, SetCapacity(capacity))], dict(records or {}))

    least, most = (1, 10, 6, 1, 1, 1), (2, 1_024_000, 4_194_304, 2**36, 2**34, 86_400)
    names = ("arch", "cpus_milli", "mem_mb", "image", "model_cap", "eval_s")
    found = [say("the least capacity", "v1", Capacity(*least)), say("the largest capacity", "v1", Capacity(*most))]
    for name, low, high in zip(names, least, most, strict=True):
        found.append(say(f"{name} below its least", "v1", replace(good, **{name: low - 1})))
        found.append(say(f"{name} above its most", "v1", replace(good, **{name: high + 1})))
    known = member_record("v1", capacity=[good], capacity_since=5)
    return [
        *found,
        say("a capacity of who is no verifier", "alice", good),
        say("another capacity", "v1", replace(good, mem_mb=2_049), known),
        say("the same capacity again", "v1", good, known),
        say("no member", "alice", good, {member_key(ALICE): None}),
        say(
            "no member, and no machine has it: the member is tested first",
            "alice",
            Capacity(0, 0, 0, 0, 0, 0),
            {member_key(ALICE): None},
        ),
        say("a suspended one declares", "v1", good, {account_key(V1): account("v1", status=SUSPENDED)}),
    ]


def _trainings() -> list[Maker]:
    longest = 30 * 86_400
    known: Records = {training_key(ALICE): Training(1, 60, 5)}

    def say(name: str, arch: int, train_s: int, records: Records | None = None) -> Maker:
        return Maker(name, "LC-MEM-34", [tx("alice", SetTraining(arch, train_s))], dict(records or {}))

    return [
        say("the shortest training", 1, 1),
        say("the longest training, on another machine", 2, longest, known),
        say("a longer training than any job may ask for", 1, longest + 1),
        say("a training on a machine of no known kind", 3, 60),
        say("the same training again", 1, 60, known),
        say("no training any more", 1, 0, known),
        say("no training, of who declared none", 1, 0),
        say("no training, of who declared none any more, on another machine", 2, 0, {training_key(ALICE): Training(1, 0, 5)}),
        say("a training of no member", 1, 60, {member_key(ALICE): None}),
        say("no member, and no machine of that kind: the member is tested first", 0, longest + 1, {member_key(ALICE): None}),
        say("a suspended one trains", 1, 60, {account_key(ALICE): account("alice", status=SUSPENDED)}),
    ]


def cases() -> list[Maker]:
    return [*_deadlines(), *_judging(), *_capacities(), *_trainings()]
