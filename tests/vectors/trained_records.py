"""One or more of every record and message of federated training, for the vectors of encodings."""

from __future__ import annotations

from typing import Any

from learningchain.chain.contracts.federation import messages as m
from learningchain.chain.contracts.federation import records as r
from learningchain.chain.contracts.federation.params import FederationParams
from learningchain.chain.host.terms import HiddenSet, Image, Limits
from learningchain.chain.losses import LossNode, Measurement, Opening

HASHES = [bytes([n]) * 32 for n in range(8)]
A, B, C = bytes([9]) * 20, bytes([10]) * 20, bytes([11]) * 20
CID = b"\x01\x55\x12\x20" + HASHES[1]
OTHER = b"\x01\x55\x12\x20" + HASHES[2]
MAX, LARGEST = 2**63 - 1, 1_700_000_000_000


def trained() -> list[tuple[str, Any]]:
    terms, bare = _terms(), _bare()
    measured = m.ModelMeasure(1, [Measurement(HASHES[3], -(10**18), 2**20)])
    parts = [m.MaskDigest(1, HASHES[4]), m.MaskDigest(3, HASHES[5])]
    screen = m.ScreenUpdates(HASHES[1], 7, bytes([1, 2, 8]), bytes([16, 0, 0]), 2**23, HASHES[2])
    summed = m.SumUpdates(HASHES[1], 7, CID, OTHER)
    cells = m.SumCells(HASHES[1], 7, CID, [OTHER, b"", CID, OTHER])
    steps = m.StepsMeasure(1, [m.DirectionMeasure(2_000, measured.measured), m.DirectionMeasure(0, [])])
    celled = r.CellRecord(
        numbered=11,
        cells=[r.Cell(2, b"\x0b"), r.Cell(11, b"\0" * 15 + b"\xe0")],
        members=[r.CellMember(3, 2**16 - 1, 0), r.CellMember(127, 1, 2**63 - 1)],
        lacked=[A, C],
        inside=[r.Cell(2, b"\x0b")],
        models=[CID, b""],
        found=[r.FoundDirection(250, [-(10**18)]), r.FoundDirection(0, [])],
        chosen=12,
        opened=[r.OpenedSteps(A, steps)],
    )
    seats = [
        r.PanelSeat(A, HASHES[1], bytes(80), 2, HASHES[2], [measured], True),
        r.PanelSeat(B, b"", b"", 0, b"", [], False),
    ]
    return [
        ("FederationParams", FederationParams()),
        ("OpenFederation", m.OpenFederation(terms)),
        ("OpenFederation", m.OpenFederation(bare)),
        ("JoinFederation", m.JoinFederation(HASHES[1], HASHES[2], 2**31 - 1)),
        ("AdmitMember", m.AdmitMember(HASHES[1], A)),
        ("RemoveMember", m.RemoveMember(HASHES[1], A)),
        ("LeaveFederation", m.LeaveFederation(HASHES[1])),
        ("NewData", m.NewData(HASHES[1], HASHES[2], 0)),
        ("StartRound", m.StartRound(HASHES[1], 1_000)),
        ("SealKey", m.SealKey(HASHES[1], [bytes(80), bytes([1]) * 80])),
        ("SealKey", m.SealKey(HASHES[1], [])),
        ("ReadyKey", m.ReadyKey(HASHES[1], 2_002, HASHES[2])),
        ("CommitUpdate", m.CommitUpdate(HASHES[1], 7, CID, 4_296)),
        ("ReferUpdate", m.ReferUpdate(HASHES[1], 7, CID)),
        ("HaveUpdates", m.HaveUpdates(HASHES[1], 7, b"\x07", True)),
        ("PinParts", m.PinParts(HASHES[1], 7, 2, parts)),
        ("PinParts", m.PinParts(HASHES[1], 7, 1, [])),
        ("ScreenUpdates", screen),
        ("SumUpdates", summed),
        ("SumUpdates", m.SumUpdates(HASHES[1], 7, b"", b"")),
        ("CommitMeasure", m.CommitMeasure(HASHES[1], 3, 2, HASHES[2])),
        ("OpenMeasure", m.OpenMeasure(HASHES[1], 3, 2, measured, [_opening()], HASHES[4])),
        ("OpenMeasure", m.OpenMeasure(HASHES[1], 0, 0, m.ModelMeasure(5, []), [], HASHES[4])),
        ("CloseFederation", m.CloseFederation(HASHES[1])),
        ("ServeFederation", m.ServeFederation(True)),
        ("VaultModel", m.VaultModel(HASHES[1], CID)),
        ("SealParts", m.SealParts(HASHES[1], 7, 1, HASHES[2])),
        ("ServeCells", m.ServeCells(False)),
        ("PinSealed", m.PinSealed(HASHES[1], 7, 1, [m.MaskDigest(0, HASHES[3]), *parts], HASHES[4])),
        ("SumCells", cells),
        ("SumCells", m.SumCells(HASHES[1], 7, b"", [])),
        ("OpenSteps", m.OpenSteps(HASHES[1], 3, 2, steps, [_opening()], HASHES[4])),
        ("OpenSteps", m.OpenSteps(HASHES[1], 1, 0, m.StepsMeasure(2, []), [], HASHES[4])),
        ("CellServer", r.CellServer(LARGEST)),
        ("CellRecord", r.NEW_CELLS),
        ("CellRecord", celled),
        ("CellSeat", r.CellSeat([HASHES[1], HASHES[2]], [cells])),
        ("LiveFederation", r.LiveFederation(70_000)),
        ("FederationTotals", r.FederationTotals(3, 2, 1)),
        ("FederationsOf", r.FederationsOf(16)),
        ("NumberedFederation", r.NumberedFederation(HASHES[1])),
        ("FederationPosting", r.FederationPosting(A, B, 7, LARGEST, terms)),
        ("FederationRecord", _record(seats)),
        ("FederationMember", r.FederationMember(2, HASHES[1], 5, LARGEST, 128, 2, 2_007, 16, MAX, 4, 3, CID)),
        ("FederationMember", r.FederationMember(1, HASHES[1], 0, 0, 0, 0, 0, 0, 0, 0, 0, b"")),
        ("PanelSat", r.PanelSat(LARGEST)),
        ("ExcludedAggregator", r.ExcludedAggregator(2_002)),
        ("AcceptedSets", r.AcceptedSets(CID, [b"\x07", b"\x0f\x01"])),
        ("RoundRecord", r.RoundRecord(7, CID, OTHER, CID, 2**50, [A, B, C], b"\x07", False, -5, 10**15, 1, LARGEST)),
        ("AttemptRecord", r.new_attempt(1)),
        ("AttemptRecord", _attempt()),
        ("AttemptRoster", r.AttemptRoster([r.RosterEntry(A, 0, True), r.RosterEntry(B, 127, False)])),
        ("AggregatorSeat", r.NEW_AGGREGATOR),
        ("AggregatorSeat", r.AggregatorSeat(HASHES[1], True, b"\x07", True, parts, parts, [screen], [summed])),
        ("UpdateFile", r.UpdateFile(A, 127, CID)),
        ("FederationServer", r.FederationServer(LARGEST, 7)),
    ]


def _terms() -> m.FederationTerms:
    limits = Limits(1_000, 512, 600, 10, 2**30, 64, 2)
    hidden = [HiddenSet(CID, HASHES[2], HASHES[3], 1_000)]
    image = Image(1, "models/digits@sha256:" + "0" * 64, b"", b"", 2**30)
    first: tuple[Any, ...] = (image, 2, '{"lr": 1}', limits, CID, 4_296, 1_024, hidden, OTHER)
    numbers = (10**15, 10**9, 1 - 10**18, 2, 10**18, 1_000, 600_000, 86_400_000, LARGEST, 3, 128, 2, True)
    return m.FederationTerms(*(*first, *numbers, 1, 2, 3, True, 2**50, 5, True, True, 8_000))


def _bare() -> m.FederationTerms:
    first: tuple[Any, ...] = (Image(0, "", b"", b"", 0), 0, "", Limits(*[0] * 7), b"", 0, 0, [], b"")
    return m.FederationTerms(*(*first, 0, 0, -(2**63), *[0] * 9, False, 0, 0, 0, False, 0, 0, False, False, 0))


def _record(seats: list[r.PanelSeat]) -> r.FederationRecord:
    first = (11, LARGEST, 70_000, 3, 8, 2**50, 5, CID, OTHER, 10**18, -(10**18), CID, 2, 10**15, 1, b"\x07", 2)
    return r.FederationRecord(*first, seats, HASHES[1], HASHES[2], [A, B], 9, 10, LARGEST, 17, b"\x1f")


def _attempt() -> r.AttemptRecord:
    seats, shared = [A, B, C], b"\x07"
    first = (7, HASHES[1], seats, seats, 3, 3, 3, shared, CID, [A, B], shared, True, HASHES[2])
    return r.AttemptRecord(*first, bytes([1, 1, 8]), bytes([16, 1, 0]), 2**23, b"\x03")


def _opening() -> Opening:
    return Opening([1], [2, 3], [LossNode(HASHES[1], 5, 4)])
