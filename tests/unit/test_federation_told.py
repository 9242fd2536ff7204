"""What people are told of a federation with cells before they agree: each sentence stands on the page before joining, its figure in
docs/federation.md, too."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from learningchain.chain.contracts.federation.messages import FederationTerms, PaySplit
from learningchain.client.contracts.federation.http.meaning import warnings
from learningchain.client.contracts.federation.small_words import TO_SPONSOR
from tests.unit.test_federation_cells import CELL_TERMS

PAGE = (Path(__file__).parents[2] / "docs" / "federation.md").read_text()
TOLD = [
    ("cosine 0.5 to 0.6 at the first model", "cosine 0.5 to 0.6 at the first model, 0.3 after three rounds, 0.2 after eight"),
    ("to an aggregator 0.6, 0.4, 0.25", "to one aggregator 0.6, 0.4, 0.25"),
    ("five sums on the first model point this node's way at cosine 0.6 to 0.7", "five sums on the first model 0.6 to 0.7"),
    ("two of the three aggregators together, or all others of the cell", "two of the three aggregators together, or all others of"),
    ("cosine 0.3 from two sums, 0.6 from ten", "0.3 from two, 0.6 from ten"),
    ("drawn each time 0.5 and 0.75", "drawn each time 0.5 and 0.75"),
    ("nobody can remove you from the cell but by closing", "It cannot remove a member of the cell, only close"),
    ("three of 16 attempts", "three of 16 attempts"),
    ("spoil four of sixteen attempts", "spoil four of sixteen attempts"),
    ("owners of more than half of an attempt's files who serve nobody", "owners of more than half of an attempt's files who serve"),
    ("one bad owner of five can halve", "| one bad owner of five | can halve"),
    ("cosine 0.5 to 0.7", "the sums of the two are compared: 0.5 to 0.7"),
    ("epsilon is above 100", "epsilon is above 100"),
]
SMALL = replace(CELL_TERMS, vetted=True, max_members=16)


@pytest.mark.parametrize(("says", "page"), TOLD, ids=[says for says, _ in TOLD])
def test_who_joins_a_cell_is_told_its_price(says: str, page: str) -> None:
    assert sum(says in text for text in warnings(SMALL, 5, 5)) == 1
    assert page in PAGE


@pytest.mark.parametrize(
    ("terms", "says"),
    [
        (replace(SMALL, split=PaySplit.HALF), "half of an equal share"),
        (replace(SMALL, max_members=17), "out by lot"),
        (replace(SMALL, reference=False, min_members=12), "there is no reference"),
        (replace(SMALL, vetted=False), "a sponsor may fill it"),
    ],
    ids=["half", "several cells", "no reference", "unvetted"],
)
def test_what_holds_of_some_terms_alone_is_told_there_alone(terms: FederationTerms, says: str) -> None:
    told = [sum(says in text for text in warnings(one, 12, 12)) for one in (terms, SMALL)]
    assert told == [1, 0]


@pytest.mark.parametrize(
    "says",
    ["72 to 96 %", "15 to 91 %", "Admit whom you know", "serve them to nobody", "is public", "cannot remove", "one that lies"],
)
def test_who_opens_such_a_federation_is_told_what_it_pays_for(says: str) -> None:
    assert says in TO_SPONSOR
