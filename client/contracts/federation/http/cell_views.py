"""What the ledger has of a federation's cells: who is in which, and what the panel said of the directions of the last sum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

from learningchain.chain.contracts.federation import formulas, records
from learningchain.chain.contracts.federation.records import CellRecord, FederationMember, FoundDirection
from learningchain.chain.crypto import address
from learningchain.chain.host import Reader
from learningchain.chain.types import format_loss
from learningchain.client.contracts.federation.directions import names_of
from learningchain.client.contracts.federation.http.schema import FederationCellView, FederationDirectionView


class CellsTold(TypedDict):
    cells: list[FederationCellView]
    directions: list[FederationDirectionView]


def describe_cells(reader: Reader, federation: bytes, members: Sequence[tuple[bytes, FederationMember]]) -> CellsTold:
    """Both are empty where there are none, and before the first sum."""
    found = reader.get(records.cell_key(federation))
    if not isinstance(found, CellRecord):
        return {"cells": [], "directions": []}
    by_index = {one.index - 1: address(who) for who, one in members if one.index}
    names = names_of(len(found.found), [f"cell {cell.number}" for cell in found.inside])
    return {
        "cells": [
            {"number": cell.number, "members": [by_index[n] for n in formulas.indexes_of(formulas.of_bitmap(cell.members))]}
            for cell in found.cells
        ],
        "directions": [
            {"of": name, "step_milli": one.step, "loss": _loss(one), "chosen": place == found.chosen}
            for place, (name, one) in enumerate(zip(names, found.found, strict=True))
        ],
    }


def _loss(one: FoundDirection) -> str | None:
    return format_loss(one.loss[0]) if one.loss else None
