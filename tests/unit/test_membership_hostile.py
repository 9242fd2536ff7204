"""What a member with one credit tries: to keep what a ban burns, to have another one struck, to become many."""

from __future__ import annotations

import pytest

from learningchain.chain.contracts.governance import Admit, Ban
from learningchain.chain.contracts.membership import (
    Branch,
    Invite,
    Join,
    Leave,
    Member,
    MemberCode,
    branch_key,
    join_digest,
    member_key,
)
from learningchain.chain.contracts.membership.records import MAX_DEPTH
from learningchain.chain.host import BANNED, MEMBERS
from tests.unit.governance_kit import Council
from tests.unit.ledger_kit import id_of, key_of
from tests.unit.membership_kit import JOB, Court

HOUR = 3_600_000


def joining(chain_id: bytes, who: str, by: str) -> Join:
    """By the invitation whose one-time key is called `token`."""
    token, newcomer = key_of("token"), key_of(who)
    digest = join_digest(chain_id, token.public, newcomer.public)
    return Join(id_of(by), token.public, newcomer.public, newcomer.sign(digest), token.sign(digest))


def test_who_leaves_before_the_last_word_is_banned_all_the_same() -> None:
    """LC-MEM-30: leaving takes one message, a vote hours: it would keep the credits, and be back by a friend's invitation."""
    council = Council()
    proposal = council.open(Ban(id_of("bob")))
    assert council.codes(council.tx("bob", Leave())) == [0]
    council.vote(proposal, True, "v2", "v3")
    assert "banned" in council.topics() and "proposal.failed" not in council.topics()
    assert (council.account("bob").status, council.account("bob").balance) == (BANNED, 0)
    council.codes(council.tx("alice", Invite(key_of("token").public, council.clock + HOUR, 0)))
    assert council.codes(council.tx("alice", joining(council.chain_id, "bob", "alice"))) == [MemberCode.KNOWN_KEY]


def test_who_is_suspended_takes_no_new_inviter(monkeypatch: pytest.MonkeyPatch) -> None:
    """LC-MEM-22: who will be banned came back by the invitation of a rival, which was struck for what was done before."""
    court = Court(monkeypatch)
    chain = court.chain
    court.accuse()
    assert chain.codes(chain.tx("bob", Leave())) == [0]
    assert chain.codes(chain.tx("alice", Invite(key_of("token").public, chain.clock + HOUR, 0))) == [0]
    assert chain.codes(chain.tx("v1", joining(chain.chain_id, "bob", "alice"))) == [MemberCode.KNOWN_KEY]
    court.do(lambda host: host.service(MEMBERS).ban(id_of("bob"), JOB))
    alice = chain.state.get(member_key(id_of("alice")))
    assert isinstance(alice, Member) and alice.strikes == []


class Growth(Council):
    """A member invites, and its newcomers do, as often as they may: three in each rest."""

    def __init__(self, **params: int) -> None:
        super().__init__(**{"invite_rest": 50_000, "invite_longest": HOUR} | params)  # type: ignore[arg-type]
        self.family: list[str] = ["alice"]
        self.refused: list[int] = []

    def rest(self) -> None:
        """What one rest of them all brings."""
        for inviter in list(self.family):
            for _ in range(3):
                self._one(inviter, f"{inviter}.{len(self.family)}")
        self.block(step=50_000)

    def _one(self, inviter: str, name: str) -> None:
        token = key_of(f"token {name} {self.clock}")
        if self.codes(self.tx(inviter, Invite(token.public, self.clock + HOUR, 0))) != [0]:
            return
        digest = join_digest(self.chain_id, token.public, key_of(name).public)
        message = Join(id_of(inviter), token.public, key_of(name).public, key_of(name).sign(digest), token.sign(digest))
        code = self.codes(self.tx("v1", message))[0]
        self.refused += [code] if code else []
        self.family += [] if code else [name]


def test_one_member_does_not_become_as_many_as_it_likes() -> None:
    """LC-MEM-33: fourfold in each rest: without an end 65,536 after eight days, and more bytes to send than a block holds."""
    growth = Growth(invite_branch=20)
    sizes = []
    for _ in range(4):
        growth.rest()
        sizes.append(len(growth.family))
    assert sizes == [4, 16, 21, 21] and set(growth.refused) == {MemberCode.BRANCH_FULL}
    assert growth.state.get(branch_key(id_of("alice"))) == Branch(20, b"")


def test_no_invited_member_uses_up_the_invitations_of_its_root() -> None:
    """LC-MEM-33: five days of one of them were enough, for ever and for nothing. The root and the others it invited go on."""
    growth = Growth(invite_branch=20)
    for name in ("mallory", "nina"):
        growth._one("alice", name)
    growth.block(step=50_000)
    growth.family = ["mallory"]
    for _ in range(4):
        growth.rest()
    assert len(growth.family) == 10 and set(growth.refused) == {MemberCode.BRANCH_FULL}
    growth.refused = []
    for inviter in ("nina", "nina", "alice", "alice", "alice"):
        growth._one(inviter, f"{inviter} {growth.clock}")
    assert growth.refused == []


def test_a_long_line_of_inviters_ends_where_each_entry_would_count_for_too_many() -> None:
    """LC-MEM-33"""
    growth, inviter = Growth(), "alice"
    for depth in range(MAX_DEPTH + 1):
        growth._one(inviter, f"line {depth}")
        inviter = f"line {depth}"
        growth.block(step=50_000)
    assert len(growth.family) == MAX_DEPTH + 1 and growth.refused == [MemberCode.BRANCH_FULL]


def test_who_comes_back_by_one_that_it_invited_is_below_the_first_inviter() -> None:
    """LC-MEM-33: two would be above each other."""
    growth = Growth()
    growth._one("alice", "nina")
    growth.block(step=50_000)
    growth._one("nina", "otto")
    growth.block(step=50_000)
    assert growth.codes(growth.tx("nina", Leave())) == [0]
    growth._one("otto", "nina")
    growth._one("otto", "paul")
    assert growth.refused == [] and growth.family[-1] == "paul"
    sizes = [growth.state.get(branch_key(id_of(name))) for name in ("alice", "nina", "otto", "paul")]
    assert sizes == [
        Branch(3, b""),
        Branch(2, id_of("alice")),
        Branch(1, id_of("nina")),
        Branch(0, id_of("otto")),
    ]


def test_a_full_branch_holds_up_no_other_root_and_nobody_that_comes_back() -> None:
    """LC-MEM-33"""
    growth = Growth(invite_branch=1)
    growth._one("alice", "nina")
    growth._one("alice", "otto")
    assert growth.refused == [MemberCode.BRANCH_FULL]
    growth._one("bob", "paul")
    assert growth.family == ["alice", "nina", "paul"]
    assert growth.codes(growth.tx("nina", Leave())) == [0]
    growth._one("alice", "nina")
    assert growth.family == ["alice", "nina", "paul", "nina"]
    growth.decide(Admit(key_of("otto").public), "v1", "v2", "v3")
    assert growth.account("otto").status == 0
