"""What the ledger's state says of a node's messages about federations, of who may speak, and of vaults that it keeps for others."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from learningchain.chain.contracts.federation import records
from learningchain.chain.contracts.federation.messages import (
    CommitMeasure,
    CommitUpdate,
    ReferUpdate,
    SealParts,
    ServeCells,
    ServeFederation,
    SumCells,
    VaultModel,
)
from learningchain.chain.contracts.federation.records import (
    CellSeat,
    CellServer,
    FederationMember,
    FederationServer,
    FederationState,
)
from learningchain.client.contracts.federation.roles import hearing, keeping, ledger_status
from learningchain.client.contracts.federation.roles.channel import ShareAsk, ShareGive
from learningchain.client.contracts.federation.roles.keeping import OthersVaults
from learningchain.client.contracts.federation.tasks import ReadHead
from learningchain.client.work.boxes import OwnBoxKeys
from learningchain.client.work.events import ContentMissing, EndScope, FetchContent, Unpin
from learningchain.client.work.machine import LedgerStatus

STANDS, OPEN, TOO_LATE, DISPLACED = LedgerStatus.STANDS, LedgerStatus.OPEN, LedgerStatus.TOO_LATE, LedgerStatus.DISPLACED
ME, OTHER, THIRD, FED = b"m" * 20, b"o" * 20, b"t" * 20, b"f" * 32
CID, ANOTHER = b"\1" * 36, b"\2" * 36


def member(vault: bytes = b"", vault_r: int = 0, index: int = 1) -> FederationMember:
    return FederationMember(1, bytes(32), 0, 0, index, 0, 0, 0, 0, 0, vault_r, vault)


def at(state: FederationState = FederationState.TRAIN, known: dict[bytes, Any] | None = None, **more: Any) -> Any:
    """A look at a federation: attempt 2 of round 1."""
    now = SimpleNamespace(r=1, starts=2, again=0, deadline=9_000, panel=[], **more.pop("now", {}))
    found = {"id": FED, "state": state, "now": now, "files": [], "attempt": SimpleNamespace(reference=b""), "reader": known or {}}
    return SimpleNamespace(**(found | more))


# --- what became of a message ----------------------------------------------------------------------------------------------------


def test_another_message_of_this_account_in_its_place_displaces_it() -> None:
    """As that of a second node of this account: what was sent here stands nowhere, and never will."""
    file = SimpleNamespace(account=ME, cid=CID)
    commit = ledger_status._commit
    assert commit(at(files=[file]), ME, CommitUpdate(FED, 2, CID, 1)) is STANDS
    assert commit(at(files=[file]), ME, CommitUpdate(FED, 2, ANOTHER, 1)) is DISPLACED
    assert commit(at(files=[file]), OTHER, CommitUpdate(FED, 2, CID, 1)) is OPEN, "it is another member's file"
    assert commit(at(files=[file]), ME, CommitUpdate(FED, 1, CID, 1)) is TOO_LATE
    assert commit(at(FederationState.HAVE), ME, CommitUpdate(FED, 2, CID, 1)) is TOO_LATE

    posted = at(attempt=SimpleNamespace(reference=CID))
    assert ledger_status._refer(posted, ME, ReferUpdate(FED, 2, CID)) is STANDS
    assert ledger_status._refer(posted, ME, ReferUpdate(FED, 2, ANOTHER)) is DISPLACED
    assert ledger_status._refer(at(), ME, ReferUpdate(FED, 2, CID)) is OPEN


def test_a_measure_is_of_its_round_and_of_its_try() -> None:
    def seated(commitment: bytes) -> Any:
        seat = SimpleNamespace(account=ME, commitment=commitment, opened=[])
        found = at(FederationState.MEASURE)
        found.now.panel = [seat]
        return found

    word, other = b"c" * 32, b"d" * 32
    says = ledger_status._measure
    assert says(seated(b""), ME, CommitMeasure(FED, 1, 0, word)) is OPEN
    assert says(seated(word), ME, CommitMeasure(FED, 1, 0, word)) is STANDS
    assert says(seated(other), ME, CommitMeasure(FED, 1, 0, word)) is DISPLACED
    assert says(seated(b""), ME, CommitMeasure(FED, 1, 1, word)) is TOO_LATE, "of another try of the same round"
    assert says(seated(b""), ME, CommitMeasure(FED, 2, 0, word)) is TOO_LATE
    assert says(seated(b""), OTHER, CommitMeasure(FED, 1, 0, word)) is TOO_LATE, "no seat of this account"


def test_a_vault_of_a_later_round_displaces_an_earlier_one() -> None:
    def of(vault: bytes, r: int) -> LedgerStatus:
        return ledger_status._vault(at(known={records.member_key(FED, ME): member(vault, r)}), ME, VaultModel(FED, CID))

    assert (of(b"", 0), of(CID, 2), of(ANOTHER, 1), of(ANOTHER, 2)) == (OPEN, STANDS, OPEN, DISPLACED)
    assert ledger_status._vault(at(), ME, VaultModel(FED, CID)) is TOO_LATE, "no member"


def test_serving_stands_as_it_was_said() -> None:
    serves: Any = {records.serving_key(ME): FederationServer(since=1, unready=0)}
    none: Any = {}
    for reader, on, status in ((serves, True, STANDS), (serves, False, OPEN), (none, False, STANDS), (none, True, OPEN)):
        assert ledger_status._serve(reader, ME, 0, ServeFederation(on)) == (status, None)
    cells: Any = {records.cell_serving_key(ME): CellServer(since=1)}
    assert ledger_status._serve(cells, ME, 0, ServeCells(True)) == (STANDS, None)
    assert ledger_status._serve(serves, ME, 0, ServeCells(True)) == (OPEN, None), "other federations are another word"


def test_of_two_nodes_of_an_account_one_has_sealed_and_summed() -> None:
    """Another seal in its place: this node's parts can never be pinned."""
    seat = CellSeat([b"s" * 32], [])
    found = at(FederationState.SCREEN, {records.cell_seat_key(FED, ME): seat}, seats=[ME], seat=lambda _: None)
    for seal, stage, status in ((b"s", 1, STANDS), (b"x", 1, DISPLACED), (b"s", 2, TOO_LATE)):
        assert ledger_status._seal(found, ME, SealParts(FED, 2, stage, seal * 32)) is status
    summing = at(FederationState.SUM, {records.cell_seat_key(FED, ME): seat}, seats=[ME], seat=lambda _: None)
    assert ledger_status._seal(summing, ME, SealParts(FED, 2, 2, b"s" * 32)) is OPEN
    said = SumCells(FED, 2, b"", [])
    assert ledger_status._summed_cells(summing, ME, said) is OPEN
    summing.reader[records.cell_seat_key(FED, ME)] = CellSeat([b"s" * 32] * 2, [said])
    assert ledger_status._summed_cells(summing, ME, said) is STANDS


# --- who may speak of vaults -----------------------------------------------------------------------------------------------------


def test_shares_are_asked_for_by_who_has_a_vault_and_given_to_those_alone() -> None:
    key = records.member_key
    found = at(known={key(FED, ME): member(CID), key(FED, OTHER): member(), key(FED, THIRD): member(CID)})
    ask, give = ShareAsk(FED, 5), ShareGive(FED, 5, 1, bytes(81))
    assert hearing._may(found, OTHER, ME, ask) and hearing._may(found, ME, OTHER, give)
    assert not hearing._may(found, ME, OTHER, ask), "who has no vault has no share to ask for"
    assert not hearing._may(found, OTHER, ME, give), "this node has no vault that a share would open"
    assert not hearing._may(found, b"x" * 20, ME, ask) and not hearing._may(found, ME, b"x" * 20, give), "members alone"


# --- vaults of others ------------------------------------------------------------------------------------------------------------


def others() -> OthersVaults:
    known: Any = SimpleNamespace(me=ME, rng=bytes)
    return OthersVaults(known, OwnBoxKeys([]))


def fetching(own: OthersVaults, *, share: bool, n: int = 1, named: int = 6) -> str:
    """One vault is on its way here: its scope."""
    looked = at(terms=SimpleNamespace(size=100))
    whose = n.to_bytes(20, "big")
    (effect,) = own._fetch(looked, whose, member(n.to_bytes(36, "big"), named, index=n), 9_000, share=share)
    assert isinstance(effect, FetchContent)
    return effect.scope


def read(own: OthersVaults, scope: str, r: int) -> list[Any]:
    head: Any = None
    return list(own._take(own._reading.pop(scope), ReadHead(r, head)))


def test_a_vault_is_of_a_round_before_the_one_in_which_the_ledger_got_it() -> None:
    """`named` is one more than that round."""
    own = others()
    read(own, fetching(own, share=False, n=1), 5)
    assert [one.index for one in own.book.held] == [1]
    read(own, fetching(own, share=False, n=2), 6)
    assert [one.index for one in own.book.held] == [1], "it says a round to come"
    assert not list(
        own._fetch(at(terms=SimpleNamespace(size=1)), (2).to_bytes(20, "big"), member((2).to_bytes(36, "big"), 6), 1, share=False)
    )


def test_no_more_vaults_are_kept_than_the_book_may_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "MOST_HELD", 2)
    own = others()
    for n in range(1, 5):
        read(own, fetching(own, share=False, n=n), 1)
    assert [one.index for one in own.book.held] == [1, 2]


def test_a_vault_that_was_not_to_be_had_is_asked_for_again_after_a_while_alone() -> None:
    own = others()
    scope = fetching(own, share=False)
    said = own.hear(ContentMissing(scope, "vault", False, "nobody has it"))
    assert [type(one) for one in said] == [EndScope, Unpin]
    again = {"owner": (1).to_bytes(20, "big"), "member": member((1).to_bytes(36, "big"), 6), "until": 1, "share": False}
    looked = at(terms=SimpleNamespace(size=1))
    assert not list(own._fetch(looked, **again))  # type: ignore[arg-type]
    own._clock = keeping.FETCH_MS
    assert list(own._fetch(looked, **again))  # type: ignore[arg-type]


def test_what_is_known_of_shares_has_a_bound_and_the_longest_unasked_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "MOST_SHARES", 2)
    own = others()
    for n in range(3):
        own._know((FED, bytes(20), bytes([n])), None)
    assert [vault[2] for vault in own._shares] == [b"\1", b"\2"]
