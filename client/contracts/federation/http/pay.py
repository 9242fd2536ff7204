"""What one round paid, to whom, by which measurement, and why not. Pure: records and events in, a view out.

    fed.code …, fed.screened      what became of each owner's file       RoundTold
    fed.vote …, fed.measured      what the panel measured
    fed.settled                   the block that paid
    transfers of that block       what each owner got                    shares_in

The ledger's records say what a round paid in all. What each owner got of it stands in the block that settled the round alone, as
why a file was not used in events alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from learningchain.chain.contracts.federation.messages import FileCode
from learningchain.chain.contracts.federation.records import FederationMember, RoundOutcome
from learningchain.chain.crypto import address
from learningchain.chain.types import TransferEvent, format_credits
from learningchain.client.contracts.federation.http.happened import AttemptsTold, MeasurementsTold
from learningchain.client.schema.render import Json

SETTLED, SHARE = "fed.settled", "fed.share"


class RoundTold:
    """Finds one round among a federation's events, the newest first."""

    def __init__(self, r: int, attempt: int) -> None:
        self._r, self._number = r, attempt
        self._attempts, self._measurements = AttemptsTold(), MeasurementsTold()
        self.height: int | None = None
        """Of the block that settled it."""
        self.begins: int | None = None
        """The cursor of the newest event of it that was seen."""

    def take(self, event: Json) -> None:
        if event["topic"] == SETTLED and event["data"]["r"] == self._r:
            self.height = event["height"]
        if self.begins is None and event["data"].get("r") == self._r:
            self.begins = event["cursor"]
        self._attempts.take(event)
        self._measurements.take(event)
        self._attempts.whole = [one for one in self._attempts.whole if one["attempt"] == self._number]
        self._measurements.whole = [one for one in self._measurements.whole if one["round"] == self._r]

    def end(self) -> None:
        self._attempts.end()
        self._measurements.end()
        self._attempts.whole = [one for one in self._attempts.whole if one["attempt"] == self._number]

    @property
    def attempt(self) -> Json | None:
        """Once nothing older comes of it."""
        return next(iter(self._attempts.whole), None)

    @property
    def measurement(self) -> Json | None:
        """The one that counted."""
        return next((one for one in self._measurements.whole if one["counted"]), None)


def shares_in(events: Iterable[object], federation: bytes) -> dict[bytes, int]:
    """Micro-credits by account: what a block paid of a federation's bounty. Shares of banned accounts are burned, and nobody's."""
    found: dict[bytes, int] = {}
    for event in events:
        if isinstance(event, TransferEvent) and event.reason == SHARE and event.ref == federation and event.target:
            found[event.target] = found.get(event.target, 0) + event.amount
    return found


def describe_pay(
    round_: Json,
    earlier: Sequence[Json],
    members: Sequence[tuple[bytes, FederationMember]],
    told: RoundTold,
    shares: Mapping[bytes, int],
) -> Json:
    """`round_`, `earlier`: as `describe_rounds` has them, the earlier ones the newest first."""
    files = {one["member"]: one for one in (told.attempt or {"files": []})["files"]}
    known = sorted((one.index, account, one) for account, one in members if one.index)
    owners = [_owner(round_, told, account, one, files.get(address(account)), shares.get(account, 0)) for _, account, one in known]
    return {
        **round_,
        "counts": _counts(round_, earlier),
        "measurement": told.measurement,
        "owners": owners,
        "shared": format_credits(sum(shares.values())),
    }


def _counts(round_: Json, earlier: Sequence[Json]) -> list[int]:
    """Rounds whose points the pot is split by: those since the last one that paid, or that was taken back."""
    found = [round_["round"]]
    for one in earlier:
        if one["outcome"] != RoundOutcome.NO_PROGRESS.name or one["round"] != found[-1] - 1:
            break
        found.append(one["round"])
    return sorted(found)


def _owner(round_: Json, told: RoundTold, account: bytes, member: FederationMember, file: Json | None, share: int) -> Json:
    return {
        "member": address(account),
        "paid": format_credits(share),
        "code": file["code"] if file is not None else None,
        "points": file["points"] if file is not None else 0,
        "accepted": file is not None and file["accepted"],
        "why": _why(round_, told, member, file, share),
    }


def _why(round_: Json, told: RoundTold, member: FederationMember, file: Json | None, share: int) -> str:
    if share:
        return "PAID"
    if told.attempt is not None and file is None:
        return "NOT_IN" if member.since > told.attempt["time"] else "NO_FILE"
    if file is not None and file["code"] != FileCode.USED.name:
        return "REFUSED"
    if file is not None and not file["accepted"]:
        return "NOT_ADDED"
    if round_["outcome"] is None:
        return "NOT_MEASURED"
    return "NO_POINTS" if round_["outcome"] == RoundOutcome.PROGRESS.name else str(round_["outcome"])
