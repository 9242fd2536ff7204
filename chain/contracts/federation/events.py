"""The data of each event, and how the fields of messages are shown."""

from __future__ import annotations

from learningchain.chain.contracts.federation.messages import (
    AggregationRule,
    FileCode,
    MeasureCode,
    PartStage,
    PaySplit,
    Secrecy,
)
from learningchain.chain.contracts.federation.records import EndReason, RoundOutcome, VoidReason
from learningchain.chain.host import Data, Datum, Form, OneOf
from learningchain.chain.host.terms import Arch, ImageKind
from learningchain.chain.verification.scale import FloatKind

_SPONSOR, _MEMBER, _AGGREGATOR, _SEAT = (Datum(name, Form.ID) for name in ("sponsor", "member", "aggregator", "seat"))
_R, _ATTEMPT, _AGAIN, _STAGE = Datum("r"), Datum("attempt"), Datum("again"), Datum("stage", OneOf(PartStage, upper=True))
_DEADLINE, _HEIGHT, _FILE = Datum("deadline", Form.TIME), Datum("height"), Datum("file", Form.ID)
_BOUNTY, _FEE, _POT, _PAID = (Datum(name, Form.CREDITS) for name in ("bounty", "fee", "pot", "paid"))
_LOSS, _BEST, _TARGET = Datum("loss", Form.LOSS), Datum("best", Form.LOSS), Datum("target", Form.LOSS)
_SEATS, _BY = Datum("seats", Form.ID, many=True), Datum("by", Form.ID, many=True)
_MODEL, _DELTA = Datum("model", Form.ID), Datum("delta", Form.ID)
EVENTS: dict[str, Data] = {
    "fed.opened": (_SPONSOR, _BOUNTY, _FEE, _TARGET, Datum("rounds"), Datum("ends", Form.TIME)),
    "fed.asked": (_MEMBER,),
    "fed.joined": (_MEMBER, Datum("index")),
    "fed.left": (_MEMBER,),
    "fed.removed": (_MEMBER,),
    "fed.lapsed": (_MEMBER,),
    "fed.forgotten": (_MEMBER,),
    "fed.data": (_MEMBER,),
    "fed.vault": (_MEMBER, _FILE),
    "fed.serving": (Datum("on"),),
    "fed.serving.cells": (Datum("on"),),
    "fed.cell": (Datum("cell"), Datum("members", Form.ID, many=True)),
    "fed.missed": (_ATTEMPT, _MEMBER, Datum("why")),
    "fed.gone.cell": (_MEMBER,),
    "fed.cell.over": (Datum("cell"),),
    "fed.sealed.parts": (_ATTEMPT, _STAGE, _AGGREGATOR),
    "fed.cells.summed": (_R, _ATTEMPT, Datum("sums", Form.ID), Datum("cells"), _BY),
    "fed.directions": (_R, Datum("chosen"), Datum("found", many=True)),
    "fed.started": (_R, _ATTEMPT, _HEIGHT),
    "fed.unstarted": (_R,),
    "fed.panel": (_R, _SEATS),
    "fed.key": (_DEADLINE,),
    "fed.sealed": (),
    "fed.drawn": (_R, _ATTEMPT, _DEADLINE, _SEATS),
    "fed.ready": (_ATTEMPT, _AGGREGATOR),
    "fed.train": (_R, _ATTEMPT, _DEADLINE, _SEATS),
    "fed.file": (_ATTEMPT, _MEMBER, _FILE),
    "fed.reference": (_ATTEMPT, _FILE),
    "fed.collect": (_ATTEMPT, _DEADLINE, Datum("files")),
    "fed.have": (_ATTEMPT, _AGGREGATOR, Datum("files")),
    "fed.rows": (_ATTEMPT, _HEIGHT, Datum("files"), _SEATS),
    "fed.screen": (_ATTEMPT, _DEADLINE),
    "fed.pinned": (_ATTEMPT, _STAGE, _AGGREGATOR),
    "fed.said": (_ATTEMPT, _STAGE, _AGGREGATOR),
    "fed.disputed": (_ATTEMPT, _STAGE, _BY),
    "fed.silent": (_R, _ATTEMPT, _AGGREGATOR),
    "fed.differs": (_R, _ATTEMPT, _AGGREGATOR),
    "fed.excluded": (_AGGREGATOR,),
    "fed.code": (_R, _ATTEMPT, _MEMBER, Datum("code", OneOf(FileCode, upper=True)), Datum("points"), Datum("accepted")),
    "fed.benched": (_MEMBER, Datum("until")),
    "fed.screened": (_R, _ATTEMPT, Datum("used"), Datum("accepted"), Datum("norm"), _DEADLINE),
    "fed.summed": (_R, _ATTEMPT, _MODEL, _DELTA, Datum("clip"), _BY),
    "fed.void": (_R, _ATTEMPT, Datum("why", OneOf(VoidReason, upper=True))),
    "fed.measure": (_R, _AGAIN, _DEADLINE, _SEATS),
    "fed.committed": (_R, _AGAIN, _SEAT),
    "fed.open": (_R, _AGAIN, _DEADLINE),
    "fed.vote": (_R, _AGAIN, _SEAT, Datum("code", OneOf(MeasureCode, upper=True)), _LOSS, Datum("holds")),
    "fed.unopened": (_R, _AGAIN, _SEAT),
    "fed.measured": (_R, _AGAIN, Datum("invalid"), _LOSS, _BY),
    "fed.again": (_R, _AGAIN),
    "fed.settled": (_R, Datum("outcome", OneOf(RoundOutcome, upper=True)), _LOSS, _BEST, _POT),
    "fed.idle": (_R, Datum("starts"), _DEADLINE),
    "fed.ended": (Datum("why", OneOf(EndReason, upper=True)), _BEST, _PAID),
    "fed.gone": (_SPONSOR,),
}
FORMS: dict[str, Form | OneOf] = {
    "bounty": Form.CREDITS,
    "fee": Form.CREDITS,
    "federation": Form.HASH,
    "digest": Form.HASH,
    "commitment": Form.HASH,
    "arch": OneOf(Arch),
    "float_kind": OneOf(FloatKind),
    "Image.kind": OneOf(ImageKind),
    "FederationTerms.target": Form.LOSS,
    "FederationTerms.tol": Form.LOSS,
    "FederationTerms.clip": Form.LOSS,
    "FederationTerms.secrecy": OneOf(Secrecy),
    "FederationTerms.rule": OneOf(AggregationRule),
    "FederationTerms.split": OneOf(PaySplit),
    "ModelMeasure.code": OneOf(MeasureCode, upper=True),
    "PinParts.stage": OneOf(PartStage, upper=True),
    "SealParts.stage": OneOf(PartStage, upper=True),
    "PinSealed.stage": OneOf(PartStage, upper=True),
    "StepsMeasure.code": OneOf(MeasureCode, upper=True),
    "seal": Form.HASH,
    "HaveUpdates.files": Form.HASH,
    "ScreenUpdates.codes": Form.HASH,
    "ScreenUpdates.points": Form.HASH,
    "total": Form.LOSS,
    "root": Form.HASH,
}
