"""The prediction contract's part of a node's work: which machines it has, and what they are told."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from learningchain.chain.contracts.prediction import duties, records
from learningchain.chain.contracts.prediction.messages import GiveKeys
from learningchain.chain.contracts.prediction.records import ModelRecord, ModelStanding, ModelState
from learningchain.chain.host import Reader
from learningchain.client.config import WorkConfig
from learningchain.client.contracts.prediction.roles import sealed
from learningchain.client.contracts.prediction.roles.giving import KeyGiver, given_status
from learningchain.client.contracts.prediction.roles.ledger_status import LEDGER_STATUSES
from learningchain.client.contracts.prediction.roles.requester import PINNED, Requester
from learningchain.client.contracts.prediction.roles.server import INPUT_PIN, SERVE_PIN, PredictionServer
from learningchain.client.work.boxes import BOX_KEYS
from learningchain.client.work.machine import Machine, Recalled, Watch, WorkPart

_REQUEST, _SERVED = records.request_key(b""), records.served_key(b"", b"")


def _machines(known: Recalled) -> Sequence[Machine]:
    return PredictionServer(known), Requester(known), KeyGiver(known)


def _images(reader: Reader) -> Iterator[tuple[bytes, str]]:
    """Of the models in the state: only what this node has loaded is kept of them."""
    for key in list(reader.keys(records.LIVE)):  # type: ignore[attr-defined]
        model = key[len(records.LIVE) :]
        found, standing = reader.get(records.model_key(model)), reader.get(records.standing_key(model))
        live = isinstance(standing, ModelStanding) and standing.state == ModelState.LIVE
        if live and isinstance(found, ModelRecord) and found.program.image.image_id:
            yield model, f"sha256:{found.program.image.image_id.hex()}"


def _runs(config: WorkConfig, drawn: bool) -> bool:
    """A verifier may be called to an appeal, and nobody else may serve."""
    return config.verify and drawn


PART = WorkPart(
    name=sealed.KIND,
    knows=duties.is_known,
    machines=_machines,
    ledger_statuses=LEDGER_STATUSES | {GiveKeys: given_status},
    watch=Watch((_REQUEST, _SERVED), records.LIVE, _REQUEST),
    runs=_runs,
    images=_images,
    keeps={PINNED: "rows that this node asks about", INPUT_PIN: "rows to answer", SERVE_PIN: "model that is served"},
    reads=frozenset({BOX_KEYS}),
)
