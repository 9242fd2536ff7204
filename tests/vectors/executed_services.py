"""What contracts ask of membership, on a state without a block: the call, its result, its events and changes."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from learningchain.chain.codec import encode
from learningchain.chain.contracts import host_of, membership
from learningchain.chain.contracts.job import Capacity
from learningchain.chain.contracts.membership import (
    CaseRef,
    MemberParams,
    VotesFor,
    votes_key,
)
from learningchain.chain.errors import Reject
from learningchain.chain.host import (
    BANNED,
    MEMBERS,
    STANDING,
    SUSPENDED,
    SUSPENSIONS,
    VERIFIERS,
    account_key,
    params_key,
)
from learningchain.chain.ledger.state import Overlay, State
from learningchain.chain.ledger.state_diff import changes_of
from learningchain.chain.ledger.transition import (
    chain_record,
    params_of,
)
from learningchain.chain.verification.standing import CountedVote, Draw, Strike
from learningchain.chain.verification.votes import Judgement
from tests.vectors.executed import ALICE, BOB, JOB, NAMES, NOBODY, V1, V2, V4, Records, account, clock, start
from tests.vectors.executed_members import APPEAL, REFUSED_, member_record, past, suspended, verdicts
from tests.vectors.kit import id_of, plain, shown

SERVICES: dict[str, Any] = {
    "strike": STANDING,
    "judged": STANDING,
    "accuse": SUSPENSIONS,
    "barred_from": SUSPENSIONS,
    "flagged": VERIFIERS,
    "able": VERIFIERS,
    "marked": VERIFIERS,
    "record_draw": VERIFIERS,
    "count_vote": VERIFIERS,
    **dict.fromkeys(("admit", "remove", "set_verifier", "exists", "ban", "lift_ban"), MEMBERS),
}


def service_case(
    name: str, rule: str, call: str, given: list[Any], records: Records | None = None, **named: bool
) -> dict[str, Any]:
    """`named` are the last of what is given."""
    _, base = start()
    changed = {key: None if record is None else encode(record) for key, record in sorted((records or {}).items())}
    state = State.load(list({key: raw for key, raw in {**base, **changed}.items() if raw is not None}.items()))
    overlay, record = Overlay(state), chain_record(state)
    host = host_of(overlay, params_of(state), record, record.height, record.time, record.clock, record.beacon)
    service: Any = host.acting(membership.CONTRACT).service(SERVICES[call])
    vector = {
        "name": name,
        "rule": rule,
        "with": {key.hex(): None if raw is None else raw.hex() for key, raw in changed.items()},
        "call": call,
        "given": shown([plain(one) if isinstance(one, Capacity) else one for one in given] + list(named.values())),
    }
    try:
        found = getattr(service, call)(*given, **named)
    except Reject as refusal:
        return vector | {"refused": refusal.code}
    _, encoded, _ = overlay.finish()
    return vector | {
        "result": shown(sorted(found) if isinstance(found, set) else list(found) if isinstance(found, tuple) else found),
        "events": encode(host.events).hex(),
        "changes": encode(changes_of(encoded)).hex(),
    }


NEEDED = Capacity(1, 1_000, 512, 10**6, 10**6, 60)


def services() -> list[dict[str, Any]]:
    here = clock()
    later = here + 10**6
    case = suspended(until=later, since=here - 5)
    refs = [CaseRef(b"%d" % n, 1, BOB, BOB) for n in range(64)]
    banned = {account_key(ALICE): account("alice", status=BANNED, balance=0)}
    able = [member_record(name, capacity=[NEEDED], capacity_since=5) for name in NAMES]
    all_able = able[0] | able[1] | able[2] | able[3]
    of = [id_of(str(n)) for n in range(20)]

    def drawn(*draws: tuple[bytes, bool, bool], **changed: Any) -> Records:
        return member_record("alice", draws=[Draw(*one) for one in draws], **changed)

    def first(**changed: Any) -> Records:
        return all_able | member_record("v1", **({"capacity": [NEEDED], "capacity_since": 5} | changed))

    def struck(*ends: int) -> Records:
        return first(strikes=[Strike(of[n], end) for n, end in enumerate(ends)])

    def voted(*votes: tuple[int, bool]) -> Records:
        return {votes_key(ALICE, BOB): VotesFor([CountedVote(*vote) for vote in votes])}

    bads = [(of[n], True, False) for n in range(5)]
    goods = [(of[5 + n], False, False) for n in range(5)]
    away = {account_key(V1): account("v1", status=SUSPENDED)}
    gone = {account_key(V1): account("v1", status=BANNED)} | first(verifier=False)
    many = [past(of[n % 20], REFUSED_, 99 - n) for n in range(64)]
    marks = voted((here - 5, True), (here - 4, True)) | {votes_key(V1, BOB): VotesFor([CountedVote(here - 5, True)])}

    def who(name: str, rule: str, records: Records, owner: bytes = ALICE, before: int = later) -> list[dict[str, Any]]:
        return [
            service_case(f"{name}: how many", rule, "flagged", [owner, NEEDED], records),
            service_case(f"{name}: who", rule, "able", [NEEDED, before], records),
        ]

    return [
        service_case("a first strike", "LC-MEM-1", "strike", [ALICE, BOB, "reason", JOB]),
        service_case("a strike for who has no member record", "LC-MEM-1", "strike", [NOBODY, BOB, "reason", b""]),
        service_case("a strike ends at its time", "LC-MEM-1", "strike", [V1, BOB, "reason", JOB], struck(here - 1, here, here + 1)),
        service_case("a strike of who is banned", "LC-MEM-1", "strike", [ALICE, BOB, "reason", JOB], banned),
        service_case(
            "a strike by the root of the owner", "LC-MEM-15", "strike", [ALICE, BOB, "reason", JOB], member_record("bob", root=V2)
        ),
        *who("all four declared it", "LC-MEM-2", all_able),
        *who("nobody declared anything", "LC-MEM-2", {}),
        *who("the owner is left out where it is counted", "LC-MEM-2", all_able, V1),
        *who("one declared less", "LC-MEM-2", first(capacity=[replace(NEEDED, mem_mb=511)])),
        *who("one declared another architecture", "LC-MEM-2", first(capacity=[replace(NEEDED, arch=2)])),
        *who("one declared more", "LC-MEM-2", first(capacity=[replace(NEEDED, eval_s=61)])),
        *who("a flag set at that time does not count", "LC-MEM-2", first(verifier_since=500), before=500),
        *who("a flag set before it counts", "LC-MEM-2", first(verifier_since=500), before=501),
        *who("a capacity declared at that time does not count", "LC-MEM-2", first(capacity_since=500), before=500),
        *who("two live strikes", "LC-MEM-2", struck(here, here + 1, here + 2)),
        *who("three live strikes", "LC-MEM-2", struck(here + 1, here + 2, here + 3)),
        *who("a rest", "LC-MEM-18", first(rests_until=here + 1)),
        *who("the end of a rest", "LC-MEM-18", first(rests_until=here)),
        *who("a suspended verifier", "LC-MEM-2", all_able | away),
        *who("a banned verifier", "LC-MEM-2", all_able | gone),
        service_case("a good draw", "LC-MEM-3", "record_draw", [ALICE, BOB], drawn(), bad=False, silent=False),
        service_case("a draw of who has no member record", "LC-MEM-3", "record_draw", [NOBODY, BOB], bad=True, silent=False),
        service_case("a draw of who is banned", "LC-MEM-3", "record_draw", [ALICE, BOB], banned, bad=True, silent=False),
        service_case("the fifth failure", "LC-MEM-3", "record_draw", [ALICE, BOB], drawn(*bads[:4]), bad=True, silent=False),
        service_case("the sixth failure", "LC-MEM-18", "record_draw", [ALICE, BOB], drawn(*bads), bad=True, silent=False),
        service_case(
            "during a rest", "LC-MEM-18", "record_draw", [ALICE, BOB], drawn(rests_until=here + 1), bad=True, silent=False
        ),
        service_case("after a rest", "LC-MEM-18", "record_draw", [ALICE, BOB], drawn(rests_until=here), bad=True, silent=False),
        service_case(
            "another entry of an origin takes the place of its last one",
            "LC-MEM-3",
            "record_draw",
            [ALICE, of[1]],
            drawn(*bads, *goods[:3]),
            bad=True,
            silent=False,
        ),
        service_case(
            "a silence is an entry of its own", "LC-MEM-3", "record_draw", [ALICE, of[1]], drawn(*bads[:3]), bad=True, silent=True
        ),
        service_case(
            "a silence stays beside another entry",
            "LC-MEM-3",
            "record_draw",
            [ALICE, BOB],
            drawn((BOB, True, True), (BOB, True, False)),
            bad=False,
            silent=False,
        ),
        service_case("the eleventh draw", "LC-MEM-3", "record_draw", [ALICE, BOB], drawn(*bads, *goods), bad=False, silent=False),
        service_case(
            "a sixth failure as the first of ten is forgotten",
            "LC-MEM-3",
            "record_draw",
            [ALICE, BOB],
            drawn(*bads, *goods),
            bad=True,
            silent=False,
        ),
        service_case("a first vote that was good", "LC-MEM-17", "count_vote", [ALICE, BOB], bad=False),
        service_case("a first vote that was bad", "LC-MEM-17", "count_vote", [ALICE, BOB], bad=True),
        service_case("a vote of who is banned", "LC-MEM-17", "count_vote", [ALICE, BOB], banned, bad=True),
        service_case("a good vote behind a bad one", "LC-MEM-17", "count_vote", [ALICE, BOB], voted((5, True)), bad=False),
        service_case(
            "the only bad one of ten votes is forgotten",
            "LC-MEM-17",
            "count_vote",
            [ALICE, BOB],
            voted((5, True), *((6, False) for _ in range(9))),
            bad=False,
        ),
        service_case(
            "what stands before the next bad one goes with it",
            "LC-MEM-17",
            "count_vote",
            [ALICE, BOB],
            voted((5, True), (6, False), (7, True), *((8, False) for _ in range(7))),
            bad=False,
        ),
        service_case("who is marked", "LC-MEM-17", "marked", [[ALICE, BOB, V1], BOB], marks),
        service_case("who is marked by another", "LC-MEM-17", "marked", [[ALICE, BOB, V1], V2], marks),
        service_case("an accusation", "LC-MEM-4", "accuse", [ALICE, BOB, 4_500_000, JOB, 3]),
        service_case("an accusation of more than is free", "LC-MEM-4", "accuse", [ALICE, BOB, 5_000_001, JOB, 3]),
        service_case("an accusation of nothing", "LC-MEM-4", "accuse", [ALICE, BOB, 0, JOB, 3]),
        service_case("a second accusation", "LC-MEM-4", "accuse", [ALICE, V4, 300_000, b"fourth", 3], case),
        service_case(
            "an accusation that extends a case to its longest",
            "LC-MEM-4",
            "accuse",
            [ALICE, BOB, 3, b"fourth", 3],
            suspended(until=later, since=here - 3 * APPEAL - 7),
        ),
        service_case(
            "a reference beyond the sixty-fourth",
            "LC-MEM-4",
            "accuse",
            [ALICE, V4, 7, b"last", 3],
            suspended(until=later, refs=refs),
        ),
        service_case(
            "a new origin in a full case takes the place of the last that repeats one",
            "LC-MEM-4",
            "accuse",
            [ALICE, V4, 7, b"last", 3],
            suspended(
                until=later, refs=[*refs[:2], *(CaseRef(b"same %d" % n, 1, V1, V1) for n in range(61)), CaseRef(JOB, 1, V2, V2)]
            ),
        ),
        service_case(
            "an origin that a full case has already changes nothing",
            "LC-MEM-4",
            "accuse",
            [ALICE, V1, 7, b"last", 3],
            suspended(until=later, refs=[CaseRef(b"same %d" % n, 1, V1, V1) for n in range(64)]),
        ),
        service_case(
            "a second accusation after votes made appeals shorter",
            "LC-MEM-4",
            "accuse",
            [ALICE, V4, 300_000, b"fourth", 3],
            case | {params_key(2): replace(MemberParams(), appeal=60_000)},
        ),
        service_case("an accusation of who is banned", "LC-MEM-4", "accuse", [ALICE, BOB, 7, JOB, 3], banned),
        service_case("an accusation of nobody", "LC-MEM-4", "accuse", [NOBODY, BOB, 7, JOB, 3]),
        service_case("barred from whom it lied to", "LC-JOB-21", "barred_from", [ALICE, BOB], case),
        service_case("not barred from others", "LC-JOB-21", "barred_from", [ALICE, V2], case),
        service_case(
            "barred from another identity of that root",
            "LC-JOB-21",
            "barred_from",
            [ALICE, V2],
            case | member_record("v2", root=BOB),
        ),
        service_case("not barred without a case", "LC-JOB-21", "barred_from", [ALICE, BOB]),
        service_case("a first verdict", "LC-MEM-19", "judged", [ALICE, BOB, Judgement.OK, JOB]),
        service_case("a FALSE with its case", "LC-MEM-19", "judged", [ALICE, BOB, Judgement.FALSE, JOB], case),
        service_case("another verdict during a case", "LC-MEM-19", "judged", [ALICE, BOB, Judgement.REFUSED, JOB], case),
        service_case("a FALSE without a case", "LC-MEM-19", "judged", [ALICE, BOB, Judgement.FALSE, JOB]),
        service_case("the sixty-fifth verdict", "LC-MEM-19", "judged", [ALICE, BOB, Judgement.OK, JOB], verdicts(*many, older=3)),
    ]
