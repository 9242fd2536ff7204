"""Reading and changing records of models and requests: what messages, deadlines and views share. Nothing here decides anything.

A context holds ids alone. What it gives is what the state has at that moment: many parts of one event change the same model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

from msgspec.structs import replace

from learningchain.chain.contracts.prediction import records
from learningchain.chain.contracts.prediction.formulas import Amounts
from learningchain.chain.contracts.prediction.messages import RequestPrediction
from learningchain.chain.contracts.prediction.params import PredictionParams
from learningchain.chain.contracts.prediction.records import (
    K_TOTALS,
    NUMBER,
    LeftServer,
    LeftServers,
    LiveKind,
    LiveReference,
    ModelRecord,
    ModelServers,
    ModelStanding,
    ModelState,
    PredictionResult,
    PredictionRound,
    PredictionSeat,
    PredictionTotals,
    RequestRecord,
    RequestState,
    RequestTerms,
    ServerRecord,
)
from learningchain.chain.errors import BrokenInvariant
from learningchain.chain.host import Host
from learningchain.chain.host.deadlines import Deadline
from learningchain.chain.verification import windows

T = TypeVar("T")


def must(record: T | None, what: str, ref: bytes) -> T:
    """What has to be there: without it the state contradicts itself."""
    if record is None:
        raise BrokenInvariant(f"{ref.hex()} has no {what}")
    return record


def draw_delay(host: Host) -> int:
    """d, in blocks (LC-PRE-1)."""
    return windows.draw_delay(len(host.validators()))


# --- models --------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ModelContext:
    host: Host
    id: bytes

    @property
    def record(self) -> ModelRecord:
        return must(self.host.get(records.model_key(self.id), ModelRecord), "registration", self.id)

    @property
    def owner(self) -> bytes:
        return self.record.owner

    @property
    def standing(self) -> ModelStanding:
        return must(self.host.get(records.standing_key(self.id), ModelStanding), "standing", self.id)

    def change(self, **changes: Any) -> None:
        self.host.put(records.standing_key(self.id), replace(self.standing, **changes))

    @property
    def is_live(self) -> bool:
        return self.standing.state == ModelState.LIVE

    @property
    def price(self) -> tuple[int, int]:
        """Royalty and floor in force."""
        return price_at(self.standing, self.host.clock)

    @property
    def price_set(self) -> tuple[int, int]:
        """Royalty and floor as last set, in force or not."""
        now = self.standing
        return (now.coming_royalty, now.coming_floor) if now.coming_at else (now.royalty, now.floor)

    @property
    def deposit(self) -> int:
        return self.host.escrowed(records.deposit_escrow(self.id))

    # servers

    @property
    def servers(self) -> list[bytes]:
        found = self.host.get(records.servers_key(self.id), ModelServers)
        return found.servers if found else []

    def put_servers(self, servers: list[bytes]) -> None:
        if servers:
            self.host.put(records.servers_key(self.id), ModelServers(servers))
        else:
            self.host.delete(records.servers_key(self.id))

    @property
    def left(self) -> list[LeftServer]:
        found = self.host.get(records.left_key(self.id), LeftServers)
        return found.servers if found else []

    def put_left(self, servers: list[LeftServer]) -> None:
        if servers:
            self.host.put(records.left_key(self.id), LeftServers(servers))
        else:
            self.host.delete(records.left_key(self.id))

    def server(self, account: bytes) -> ServerRecord | None:
        return self.host.get(records.server_key(self.id, account), ServerRecord)

    def change_server(self, account: bytes, **changes: Any) -> ServerRecord:
        known = must(self.server(account), "server of this account", self.id)
        changed: ServerRecord = replace(known, **changes)
        self.host.put(records.server_key(self.id, account), changed)
        return changed

    def is_leaving(self, account: bytes, server: ServerRecord) -> bool:
        """LC-PRE-10, 11, 13: it said so, or the model is retired, or it is banned."""
        return server.leaving or not self.is_live or self.host.is_banned(account)

    def stake(self, account: bytes) -> int:
        return self.host.escrowed(records.stake_escrow(self.id, account))

    # the pump

    def wake(self) -> None:
        """LC-PRE-20: the pump runs in the next block at the latest, where anything waits for it."""
        now = self.standing
        royalty = self.host.escrowed(records.royalty_escrow(self.id))
        idle = now.state == ModelState.LIVE and not now.waiting and not royalty
        if now.pump or idle:
            return
        at = Deadline(self.host, NUMBER, self.id, self.owner).window(0, 1)
        self.change(pump=at)


def load_model(host: Host, model: bytes) -> ModelContext | None:
    return ModelContext(host, model) if host.get(records.model_key(model), ModelRecord) is not None else None


def price_at(standing: ModelStanding, clock: int) -> tuple[int, int]:
    """LC-PRE-8: royalty and floor at a time of the chain clock."""
    if standing.coming_at and clock >= standing.coming_at:
        return standing.coming_royalty, standing.coming_floor
    return standing.royalty, standing.floor


# --- requests ------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RequestContext:
    host: Host
    id: bytes

    @property
    def posting(self) -> RequestTerms:
        return must(self.host.get(records.terms_key(self.id), RequestTerms), "terms", self.id)

    @property
    def terms(self) -> RequestPrediction:
        return self.posting.terms

    @property
    def requester(self) -> bytes:
        return self.posting.requester

    @property
    def record(self) -> RequestRecord:
        return must(self.host.get(records.request_key(self.id), RequestRecord), "record", self.id)

    def change(self, **changes: Any) -> None:
        self.host.put(records.request_key(self.id), replace(self.record, **changes))

    @property
    def model(self) -> ModelContext:
        return ModelContext(self.host, self.terms.model)

    @property
    def params(self) -> PredictionParams:
        """Those of its posting: a vote that changes them shortens no window of a request that stands (LC-BLK-35)."""
        return self.host.params_at(PredictionParams, self.posting.posted)

    @property
    def amounts(self) -> Amounts:
        return records.amounts_of(self.posting, self.record.tip)

    @property
    def is_private(self) -> bool:
        return bool(self.terms.key_hash)

    # deadlines

    @property
    def _deadline(self) -> Deadline:
        return Deadline(self.host, NUMBER, self.id, self.requester)

    def move_to(self, state: RequestState, length: int) -> None:
        """Enter a state that ends after so long at the latest."""
        at = self._deadline.window(self.record.deadline, length)
        self.change(state=state, deadline=at)

    def come(self) -> None:
        """The window ends early: in the next block."""
        self.change(deadline=self._deadline.come(self.record.deadline))

    def stop(self) -> None:
        """No deadline any more; a draw that was asked for does not come either."""
        now = self.record
        if now.state in (RequestState.REDRAW, RequestState.APPEAL):
            self.host.cancel_at_height(now.draw_height, now.deadline, NUMBER, self.id, self.requester)
            self.change(deadline=0)
        else:
            self.change(deadline=self._deadline.clear(now.deadline))

    def ask_draw(self, state: RequestState) -> None:
        """LC-PRE-23, 36: seats are drawn by the beacon of the block that comes d blocks later."""
        self.stop()
        height = self.host.height + draw_delay(self.host)
        at = self.host.schedule_at_height(height, NUMBER, self.id, self.requester)
        self.change(state=state, deadline=at, draw_height=height)

    # rounds and seats

    def round(self, number: int) -> PredictionRound | None:
        return next((one for one in self.record.rounds if one.round == number), None)

    def seats(self, number: int) -> list[bytes]:
        found = self.round(number)
        return found.seats if found else []

    @property
    def first_seats(self) -> list[tuple[int, bytes]]:
        """Round and account of the seats of rounds 1 and 2."""
        return [(one.round, account) for one in self.record.rounds if one.round != 3 for account in one.seats]

    @property
    def judges(self) -> list[tuple[int, bytes]]:
        return [(3, account) for account in self.seats(3)]

    @property
    def tallied(self) -> list[tuple[int, bytes]]:
        """Those whose answers are counted together in this round."""
        return self.judges if self.record.round == 3 else self.first_seats

    def seat(self, number: int, account: bytes) -> PredictionSeat:
        return must(self.host.get(records.seat_key(self.id, number, account), PredictionSeat), "seat of this account", self.id)

    def change_seat(self, number: int, account: bytes, **changes: Any) -> None:
        key = records.seat_key(self.id, number, account)
        self.host.put(key, replace(self.seat(number, account), **changes))

    @property
    def result(self) -> PredictionResult | None:
        return self.host.get(records.result_key(self.id), PredictionResult)


def load_request(host: Host, request: bytes) -> RequestContext | None:
    return RequestContext(host, request) if host.get(records.request_key(request), RequestRecord) is not None else None


# --- counters ------------------------------------------------------------------------------------------------------------------


def totals(host: Host) -> PredictionTotals:
    return host.get(K_TOTALS, PredictionTotals) or PredictionTotals(0, 0, 0, 0, 0, 0, 0)


def count(host: Host, **changes: int) -> None:
    host.put(K_TOTALS, replace(totals(host), **changes))


def put_live(host: Host, ref: bytes, kind: LiveKind, number: int) -> None:
    host.put(records.live_key(ref), LiveReference(kind, number))
