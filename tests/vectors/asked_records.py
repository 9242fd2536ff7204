"""One or more of every record and message of predictions, for the vectors of encodings."""

from __future__ import annotations

from typing import Any

from learningchain.chain.contracts.prediction import messages as m
from learningchain.chain.contracts.prediction import records as r
from learningchain.chain.contracts.prediction.params import PredictionParams
from learningchain.chain.contracts.prediction.tally import Answer, AnswerCode
from learningchain.chain.host.terms import Image

HASHES = [bytes([n]) * 32 for n in range(8)]
A, B = bytes([9]) * 20, bytes([10]) * 20
CID = b"\x01\x55\x12\x20" + HASHES[1]


def asked() -> list[tuple[str, Any]]:
    program = m.Program(Image(1, "models/digits@sha256:" + "0" * 64, b"", b"", 2**36), 2, "{}", CID, 2**34, 1_000, 512, 0, 255)
    shares = [m.Share(A, 1), m.Share(B, 2**32 - 1)]
    numbers = (2, 0, 10**15, 10**12, 1, 4, 256, 2**23, 60_000, 600)
    register = m.RegisterModel("digits", [], [HASHES[2]], [program], *numbers, CID, b"", b"", [], shares)
    request = m.RequestPrediction(HASHES[1], CID, 9, b'{"x": 1}\n', 256, 15, 2, 10**15, 2**63 - 1, 3_600_000, [HASHES[3]], [])
    policy = m.RegisterPolicy(HASHES[1], True, -(10**18), [m.PolicyRate(-(10**18), 0), m.PolicyRate(5, 1_000_000)], 3, 0)
    answer = Answer(AnswerCode.OK, [0, 65_535], [10**18, -(10**18)], -(2**63 - 1))
    drawn = r.PredictionRound(1, HASHES[4], 256, 1_700_000_000_000, [A, B])
    standing = r.ModelStanding(1, 30, 10, 31, 11, 99, 5, 15, 70_000, 300, 1_024, 64, 65_536, 2**39, [r.TallyEntry(A, True)])
    values = [r.ValueRecord(3, -(10**18), 15), r.ValueRecord(0, 0, 0)]
    changed, decided = [r.ChangedValue(255, 4, 5, 63)], [r.DecisionRecord(2, 70_000, True)]
    result = r.PredictionResult(1, 2, values, changed, 5, decided, [r.SeatResult(A, 3, 1, 1_000)])
    seats = r.PredictionSeat(HASHES[5], bytes(80), HASHES[6], 14, [answer], 2**63 - 1)
    return [
        ("PredictionParams", PredictionParams()),
        ("RegisterModel", register),
        ("RegisterModel", m.RegisterModel("", [HASHES[1]], [], [], *(0, 0, 0, 0, 0), *(0, 0, 0, 0, 0), b"", b"", b"", [], [])),
        ("SetPrice", m.SetPrice(HASHES[1], 30, 10, 31, 2**63 - 1)),
        ("RetireModel", m.RetireModel(HASHES[1])),
        ("ServeModel", m.ServeModel(HASHES[1], 10**6)),
        ("UnserveModel", m.UnserveModel(HASHES[1])),
        ("RequestPrediction", request),
        ("AddTip", m.AddTip(HASHES[1], 5)),
        ("CancelRequest", m.CancelRequest(HASHES[1])),
        ("GiveKeys", m.GiveKeys(HASHES[1], 3, [bytes(80), bytes([1]) * 80])),
        ("GiveKeys", m.GiveKeys(HASHES[1], 1, [])),
        ("CommitAnswer", m.CommitAnswer(HASHES[1], 2, HASHES[2])),
        ("OpenAnswer", m.OpenAnswer(HASHES[1], 1, answer, HASHES[3])),
        ("OpenAnswer", m.OpenAnswer(HASHES[1], 2, Answer(AnswerCode.ABSTAIN, [], [], 0), HASHES[3])),
        ("AppealAnswer", m.AppealAnswer(HASHES[1], [0, 255])),
        ("RegisterPolicy", policy),
        ("ModelRecord", r.ModelRecord(A, 7, 1_700_000_000_000, program, register)),
        ("ModelStanding", standing),
        ("ModelServers", r.ModelServers([B, A])),
        ("ServerRecord", r.ServerRecord(70_000, True, False, True, 3, 2**32 - 1, [r.ServedEntry(B, True, False)])),
        ("LeftServers", r.LeftServers([r.LeftServer(A, 70_000, 5, [r.ServedEntry(B, True, True)])])),
        ("OwnedModel", r.OwnedModel(7)),
        ("OwnerRecord", r.OwnerRecord(256)),
        ("NamedModel", r.NamedModel(HASHES[1])),
        ("ServedModel", r.ServedModel(1_700_000_000_000)),
        ("Queued", r.Queued(HASHES[1], 1_700_000_000_000, 2**48)),
        ("RequestTerms", r.RequestTerms(A, B, 1, 2, 1_700_000_000_000, 30, 10, 5, 4, 5, request)),
        ("RequestRecord", r.new_request(request, 1_700_000_060_000, 1_700_000_000_000, 70_000)),
        ("RequestRecord", r.RequestRecord(*_request(drawn))),
        ("PredictionSeat", seats),
        ("PredictionSeat", r.PredictionSeat(b"", b"", b"", 0, [], 0)),
        ("PredictionResult", result),
        ("AskedContent", r.AskedContent(300, 2)),
        ("AskedBy", r.AskedBy(3)),
        ("WaitingOf", r.WaitingOf(64)),
        ("NumberedRequest", r.NumberedRequest(HASHES[1])),
        ("EndedRequest", r.EndedRequest(HASHES[1], 1_700_000_000_000)),
        ("PolicyRecord", r.PolicyRecord(A, 1, 5, 2, 0, policy)),
        ("SubsidyEpoch", r.SubsidyEpoch(472_222, 10**8)),
        ("PredictionTotals", r.PredictionTotals(1, 300, 2, 299, 70_000, 3, 2)),
        ("LiveReference", r.LiveReference(2, 300)),
        ("OpenRequest", r.OpenRequest(300)),
    ]


def _request(drawn: r.PredictionRound) -> tuple[Any, ...]:
    first = (5, 3, 1_700_000_000_000, 70_000, 10**15, 1_700_000_060_000, 69_998, True, 5, [drawn])
    return (*first, 5, 4, 3, 1, 1_700_000_000_500, A, [0, 255], [0, 7, 255], 3, 0)
