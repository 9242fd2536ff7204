"""Attempts and measurements as the ledger's events tell of them. Pure: rendered events, the newest first, in; views out.

    fed.code …, fed.screened | fed.void  of one attempt       -->  AttemptView
    fed.vote …, fed.unopened …, fed.measured | fed.again      -->  MeasurementView

What the aggregators said of single files stands in no record once the attempt is over: events alone say which rule a file met.
"""

from __future__ import annotations

from learningchain.client.schema.render import Json

SCREENED, VOID, CODE, STARTED = "fed.screened", "fed.void", "fed.code", "fed.started"
MEASURED, VOTE, UNOPENED, MEASURE = "fed.measured", "fed.vote", "fed.unopened", "fed.measure"


class ToldSteps:
    """Takes events, the newest first; `whole` are those steps of which no older event can come."""

    def __init__(self) -> None:
        self.whole: list[Json] = []
        self._open: Json | None = None

    def take(self, event: Json) -> None:
        raise NotImplementedError

    def end(self) -> None:
        """Nothing older comes of the one that is open."""
        if self._open is not None:
            self.whole.append(self._open)
            self._open = None

    def _opened(self, event: Json, of: Json, more: Json) -> Json:
        """The step `of` which this event tells: an older one than the last event's closes that, and begins with `more`."""
        if self._open is not None and any(self._open[name] != value for name, value in of.items()):
            self.end()
        if self._open is None:
            self._open = {"cursor": "", **of, "height": event["height"], "time": event["time"], **more}
        self._open["cursor"] = event["cursor"]
        return self._open


class AttemptsTold(ToldSteps):
    """Attempts that were screened or came to nothing."""

    def take(self, event: Json) -> None:
        topic, data = event["topic"], event["data"]
        if topic == VOID:
            self._begin(event)["void"] = data["why"]
        elif topic == SCREENED:
            self._begin(event).update(used=data["used"], accepted=data["accepted"], norm=data["norm"])
        elif topic == CODE:
            one = self._begin(event)
            told = {"member": data["member"], "code": data["code"], "points": data["points"], "accepted": bool(data["accepted"])}
            one["files"].insert(0, told)
        elif topic == STARTED:
            self.end()

    def _begin(self, event: Json) -> Json:
        data = event["data"]
        more = {"files": [], "used": 0, "accepted": 0, "norm": None, "void": None}
        return self._opened(event, {"round": data["r"], "attempt": data["attempt"]}, more)


class MeasurementsTold(ToldSteps):
    """Measurements, also those that came to nothing."""

    def take(self, event: Json) -> None:
        topic, data = event["topic"], event["data"]
        if topic == MEASURED:
            one = self._begin(event, data["again"])
            one.update(invalid=bool(data["invalid"]), counted=data["by"])
            one["loss"] = None if data["invalid"] else data["loss"]
        elif topic == VOTE:
            known = data["code"] == "OK"
            vote = {
                "seat": data["seat"],
                "code": data["code"],
                "loss": data["loss"] if known else None,
                "holds": bool(data["holds"]),
            }
            self._begin(event, data["again"])["votes"].insert(0, vote)
        elif topic == UNOPENED:
            self._begin(event, data["again"])["silent"].insert(0, data["seat"])
        elif topic == MEASURE:
            self.end()

    def _begin(self, event: Json, again: int) -> Json:
        more = {"votes": [], "silent": [], "invalid": False, "loss": None, "counted": []}
        return self._opened(event, {"round": event["data"]["r"], "again": again}, more)
