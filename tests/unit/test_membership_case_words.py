"""What people are told of a case is what the ledger will do with it. LC-MEM-5, LC-MEM-6."""

from __future__ import annotations

from typing import Any

import pytest

from learningchain.chain.contracts.membership import Case, CaseRef, Judged, MemberParams, case_key, duties, judged_key
from learningchain.chain.contracts.membership.records import NUMBER, PastVerdict
from learningchain.chain.host import ACTIVE, BANNED, K_VALIDATORS, SUSPENDED, Account, Validators, account_key, params_key
from learningchain.chain.types import Validator
from learningchain.chain.verification.votes import Judgement
from learningchain.client.contracts.membership.http import cases
from tests.unit.ledger_kit import id_of, key_of

ACCUSED, UNTIL = id_of("accused"), 10**12
JUDGES = [f"v{n}" for n in range(1, 10)]


def court(
    judges: int, *, confirm: int = 0, lift: int = 0, refs: int = 1, doubled: bool = False, status: dict[str, int] | None = None
) -> Any:
    """A state with so many validators, of whom the first confirm and the last lift."""
    names = JUDGES[:judges]
    standing = dict.fromkeys(names, ACTIVE) | (status or {})
    about = [CaseRef(bytes((n,)) * 32, 3, id_of(f"boss {n}"), id_of(f"root {n}")) for n in range(refs)]
    state: Any = {
        params_key(NUMBER): MemberParams(),
        K_VALIDATORS: Validators(1, [Validator(id_of(name), key_of(name).public) for name in names]),
        case_key(ACCUSED): Case(
            7, 1_000, UNTIL, about, [id_of(name) for name in names[:confirm]], [id_of(name) for name in names[len(names) - lift :]]
        ),
    }
    for name, now in standing.items():
        state[account_key(id_of(name))] = Account(key_of(name).public, now, 0, 0, [0] * 4, 0)
    if doubled:
        false = [PastVerdict(id_of(f"root {n}"), int(Judgement.FALSE), UNTIL - 5, 7, False) for n in range(2)]
        state[judged_key(ACCUSED)] = Judged(false, 0)
    return state


def shown(state: Any) -> Any:
    found = cases.view(state, ACCUSED)
    assert found is not None
    return found


@pytest.mark.parametrize("judges", range(1, 10))
def test_so_many_judges_as_the_rules_ask_for(judges: int) -> None:
    """More than two thirds ban, more than half where verdicts corroborate each other; more than half lift."""
    for doubled in (False, True):
        found = shown(court(judges, doubled=doubled))
        ban, lift = found["to_ban"], found["to_lift"]
        parts = (2, 1) if doubled else (3, 2)
        assert parts[0] * ban > parts[1] * judges >= parts[0] * (ban - 1)
        assert 2 * lift > judges >= 2 * (lift - 1)
        assert found["judges"] == judges and found["corroborated"] is doubled
        assert f"needs {ban} of {judges} judges ({'more than half' if doubled else 'more than two thirds'})" in found["words"][1]
        assert found["words"][3] == f"{lift} lifting judges end it at once."


@pytest.mark.parametrize(
    ("parties", "doubled", "said"),
    [
        (2, False, "needs 2 of the 2 of 4 judges that may confirm (more than two thirds)"),
        (2, True, "needs 2 of the 2 of 4 judges that may confirm (more than half)"),
        (3, True, "Only 1 of 4 judges may confirm: too few to ban, which a proposal may (`learningchain propose ban`)"),
    ],
)
def test_parties_do_not_count_and_where_too_few_are_left_a_proposal_is_named(parties: int, doubled: bool, said: str) -> None:
    found = shown(court(4, doubled=doubled, status=dict.fromkeys(JUDGES[:parties], SUSPENDED)))
    assert (found["judges"], found["counted"], found["to_ban"]) == (4, 4 - parties, 2 if parties == 2 else None)
    assert said in found["words"][1] and found["words"][2].startswith("If nobody says more it lapses then")


def test_who_judges_and_what_each_may_say() -> None:
    """The accused and the banned are no judges, a suspended one may lift alone, and nobody else is asked."""
    state = court(5, confirm=1, lift=1, status={"v3": BANNED, "v4": SUSPENDED})
    state[K_VALIDATORS] = Validators(1, [*state[K_VALIDATORS].members, Validator(ACCUSED, key_of("accused").public)])
    assert duties.judges(state, ACCUSED) == {id_of(name) for name in ("v1", "v2", "v4", "v5")}
    words = {name: cases.waiting(state, ACCUSED, id_of(name)) for name in ("v1", "v2", "v3", "v4", "v5", "alice")}
    assert {name: (one["own_word"], one["may"]) for name, one in words.items() if one} == {
        "v1": ("confirm", ["confirm", "lift"]),
        "v2": (None, ["confirm", "lift"]),
        "v3": (None, []),
        "v4": (None, ["lift"]),
        "v5": ("lift", ["confirm", "lift"]),
        "alice": (None, []),
    }
    assert cases.waiting(state, id_of("nobody"), id_of("v1")) is None is cases.view(state, id_of("nobody"))
