"""A federation on the ledger of the API's tests: what members, aggregators and seats send by hand, a block at a time.

`boss` is the sponsor, as whose node the API answers; n1 to n4 carry the flag and serve federations. Two of them are members: with
fewer than three others in the pool members aggregate, too.
"""

from __future__ import annotations

import hashlib
from typing import Any

from learningchain.chain.contracts.federation import messages as m
from learningchain.chain.contracts.federation import records
from learningchain.chain.contracts.federation.formulas import update_size
from learningchain.chain.contracts.federation.records import AttemptRecord, FederationPosting, FederationRecord, FederationState
from learningchain.chain.contracts.membership import SetBoxKey
from learningchain.chain.losses import LossTree, draw_probe, open_losses
from tests.unit.api_kit import MODEL_CID, FakeLedger, sha

OWNERS, HELPERS = ("n1", "n2"), ("n1", "n2", "n3", "n4")
SALT = bytes(32)
DIMS = 1_024
OPENING: dict[str, Any] = {
    "image": {"cid": str(MODEL_CID), "image_id": "sha256:" + sha("image").hex(), "size": 1_000},
    "model": {"cid": str(MODEL_CID), "size": 4 * DIMS + 200, "dims": DIMS},
    "bounty": "100",
    "target": "1",
    "rounds": 3,
    "ends_in_s": 86_400,
    "round_s": 60,
    "pace_s": 3_600,
    "limits": {"cpus": 0.5, "mem_mb": 256, "train_s": 60, "eval_s": 10},
    "min_members": 2,
    "max_members": 4,
    "admit": "open",
    "tol": "0",
}
"""As a sponsor writes it. The initial model has a loss of 2, so that each hundredth of it is worth a credit."""


def cid(name: str) -> bytes:
    return b"\x01\x55\x12\x20" + hashlib.sha256(name.encode()).digest()


def key_of(name: str) -> bytes:
    return hashlib.sha256(b"x25519 " + name.encode()).digest()


class FederationPlay:
    def __init__(self, ledger: FakeLedger, federation: str) -> None:
        self.ledger, self.id = ledger, bytes.fromhex(federation)
        self._trees: dict[bytes, LossTree] = {}

    def read(self) -> FederationRecord:
        found = self.ledger.state.get(records.federation_key(self.id))
        assert isinstance(found, FederationRecord)
        return found

    @property
    def state(self) -> str:
        return FederationState(self.read().state).name

    def attempt(self) -> AttemptRecord:
        found = self.ledger.state.get(records.attempt_key(self.id))
        assert isinstance(found, AttemptRecord)
        return found

    def names(self, accounts: list[bytes]) -> list[str]:
        by_id = {account: name for name, account in self.ledger.ids.items()}
        return [by_id[account] for account in accounts]

    def all(self, given: dict[str, Any], step: int = 1_000) -> None:
        codes = self.ledger.block(step, **given)
        assert not any(codes), codes

    def pass_deadline(self) -> None:
        self.ledger.block(max(1_000, self.read().deadline - self.ledger.clock))

    # what each does

    def join(self, *names: str, n: int = 0) -> None:
        self.all({name: m.JoinFederation(self.id, sha("data", name), n) for name in names})

    def begin(self, r: int) -> None:
        """A start, and the draw."""
        self.all({"boss": m.StartRound(self.id, r)})
        while self.state == "DRAW":
            self.ledger.block()

    def train(self, *owners: str) -> None:
        """All aggregators are ready; these owners commit files."""
        attempt = self.attempt()
        self.all({name: m.ReadyKey(self.id, attempt.number, key_of(name)) for name in self.names(attempt.seats)})
        posting = self.ledger.state.get(records.posting_key(self.id))
        assert isinstance(posting, FederationPosting)
        size = update_size(posting.terms)
        self.all({name: m.CommitUpdate(self.id, attempt.number, cid(f"{name} {attempt.number}"), size) for name in owners})
        if self.state == "TRAIN":
            self.pass_deadline()

    def screen(self, *codes: m.FileCode) -> None:
        """From HAVE on: all have all files, and say these codes of them."""
        attempt = self.attempt()
        seats, every = self.names(attempt.seats), ((1 << attempt.files) - 1).to_bytes(1, "little")
        self.all({name: m.HaveUpdates(self.id, attempt.number, every, False) for name in seats})
        while self.state == "ROWS":
            self.ledger.block()
        self._pin(1)
        said = m.ScreenUpdates(self.id, attempt.number, bytes(codes), b"", m.CQ, sha("rows"))
        self.all(dict.fromkeys(seats, said))

    def sum(self, model: str) -> None:
        self._pin(2)
        said = m.SumUpdates(self.id, self.attempt().number, cid(model), cid("delta of " + model))
        self.all(dict.fromkeys(self.names(self.attempt().deciding), said))

    def _pin(self, stage: int) -> None:
        attempt = self.attempt()
        parts = {
            name: [m.MaskDigest(mask, sha("part", stage, mask)) for mask in (1, 2, 3) if mask != place]
            for place, name in enumerate(self.names(attempt.seats), 1)
            if self.ledger.ids[name] in attempt.deciding
        }
        self.all({name: m.PinParts(self.id, attempt.number, stage, each) for name, each in parts.items()})

    def measure(self, loss: int) -> None:
        """All seats of the panel find this loss."""
        tree = LossTree([loss] * 20)
        word = m.ModelMeasure(m.MeasureCode.OK, [tree.measurement])
        now = self.read()
        seats = self.names([seat.account for seat in now.panel])
        chain, ids = self.ledger.chain_id, self.ledger.ids
        sealed = {name: m.measure_commitment(chain, self.id, now.r, now.again, ids[name], word, SALT) for name in seats}
        self.all({name: m.CommitMeasure(self.id, now.r, now.again, sealed[name]) for name in seats})
        shown = open_losses(tree, draw_probe(self.read().probe, self.id, 0, now.again, 20))
        self.all({name: m.OpenMeasure(self.id, now.r, now.again, word, [shown], SALT) for name in seats})

    def round(self, r: int, loss: int, *codes: m.FileCode) -> None:
        """A whole one: the owners' files get these codes, the model this loss."""
        self.begin(r)
        self.train(*OWNERS)
        self.screen(*(codes or (m.FileCode.USED,) * len(OWNERS)))
        self.sum(f"model {r}")
        self.measure(loss)


def helpers_serve(ledger: FakeLedger) -> None:
    """Each verifier declares its machine, has a box key, and serves federations."""
    ledger.declare()
    for made in (lambda name: SetBoxKey(key_of("box " + name)), lambda _: m.ServeFederation(True)):
        ops: dict[str, Any] = {name: made(name) for name in HELPERS}
        assert set(ledger.block(**ops)) == {0}
