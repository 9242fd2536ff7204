"""A job at an MLflow server, as `job fetch --mlflow URI` writes it: a run with parameters and times, losses, and the model.

By the server's REST API (mlflow.org, REST API, 2.0) and the standard library: this machine needs nothing of MLflow, whose packages
take more room than all of the program. The model goes through the server (`mlflow-artifacts`), where that keeps files itself, as
`mlflow server` does unless it is told otherwise.
"""

from __future__ import annotations

import base64
import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode, urlsplit

from learningchain.client.cli.common import clean
from learningchain.client.reading import variable
from learningchain.client.sdk.types import UnreachableError, UsageError

if TYPE_CHECKING:
    from learningchain.client.contracts.job.http.schema import JobView

EXPERIMENT: Final = "learningchain"
TIMEOUT_S: Final = 30.0
UPLOAD_S: Final = 600.0
MAX_ANSWER: Final = 2**20
AT_ONCE: Final = 1_000
"""Metrics that the API takes in one request."""
MOST_POINTS: Final = 100_000
MAX_VALUE: Final = 500
"""Characters of a parameter that every version of the server takes."""
_TERMS: Final = ("arch", "params", "finalists", "float_kind", "tol", "floor", "stake")
Point = tuple[str, float, int, int]
"""Name of the curve, loss, time in ms, step."""


def log_job(uri: str, job: JobView, runs: list[Any], model: Path, *, name: str | None, experiment: str = EXPERIMENT) -> str:
    """Write a job that was paid, and return the id of its run. Raises `UsageError`, `UnreachableError`."""
    server = _TrackingServer(uri)
    began, ended = int(job["posted"]), int(job.get("ended") or time.time() * 1000)
    tags = {"mlflow.source.name": "learningchain", "learningchain.job": str(job["id"])}
    asked = {"experiment_id": server.experiment(experiment), "start_time": began, "run_name": clean(name or str(job["id"])[:12])}
    created = server.post("runs/create", asked | {"tags": [{"key": key, "value": value} for key, value in tags.items()]})
    run, place = (_text(created, "run", "info", field) for field in ("run_id", "artifact_uri"))
    try:
        server.post("runs/log-batch", {"run_id": run, "params": _params(job)})
        points = list(curves(job, runs))
        for at in range(0, len(points), AT_ONCE):
            part = [dict(zip(("key", "value", "timestamp", "step"), point, strict=True)) for point in points[at : at + AT_ONCE]]
            server.post("runs/log-batch", {"run_id": run, "metrics": part})
        server.put_file(place, model)
    except BaseException:
        server.post("runs/update", {"run_id": run, "status": "FAILED"})
        raise
    server.post("runs/update", {"run_id": run, "status": "FINISHED", "end_time": max(began, ended)})
    return run


def curves(job: JobView, runs: list[Any]) -> Iterator[Point]:
    """Losses as they were claimed, the best so far, and those of this node's own runs; at most MOST_POINTS."""
    claims = sorted((int(one["claimed"]), float(one["loss"])) for one in job["claims"])
    points: list[Point] = []
    best = float("inf")
    for step, (at, loss) in enumerate(claims, 1):
        best = min(best, loss)
        points += [("claimed_loss", loss, at, step), ("best_loss", best, at, step)]
    for run in runs:
        began, key = int(run.get("started") or job["posted"]), f"run_{_key(str(run.get('id')))}_loss"
        for one in run.get("progress") or []:
            step, loss = one.get("step"), one.get("loss")
            if type(step) is int and 0 <= step < 2**53 and isinstance(loss, int | float) and abs(loss) < float("inf"):
                points.append((key, float(loss), began, step))
    yield from points[:MOST_POINTS]


def _params(job: JobView) -> list[dict[str, str]]:
    """What the job was, in words of the ledger; a text that is too long for the server is cut."""
    whole: Mapping[str, Any] = job
    said: dict[str, Any] = {field: whole.get(field) for field in ("bounty", "poster", "state", "winner", "claimants")}
    said |= {field: whole["terms"].get(field) for field in _TERMS}
    said |= {f"limits.{field}": value for field, value in whole["limits"].items()}
    said |= {"image": whole["image"].get("cid"), "model": (whole["model"] or {}).get("cid")}
    return [{"key": key, "value": clean(value)[:MAX_VALUE]} for key, value in said.items() if value not in (None, "", [], {})]


def _key(text: str) -> str:
    return "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "_" for c in text)[:64]


class _TrackingServer:
    """An MLflow server's REST API. User and password, or a token, come from the variables that MLflow's own client reads."""

    def __init__(self, uri: str) -> None:
        self._uri = uri.rstrip("/")
        parts = urlsplit(self._uri)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
            raise UsageError(
                f"--mlflow is the URL of an MLflow server such as http://127.0.0.1:5000, not {uri[:80]!r}. User and password come "
                "from MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
            )
        self._headers = _credentials()

    def experiment(self, name: str) -> str:
        """The id of an experiment, which is made where there is none."""
        found = self._ask("GET", f"experiments/get-by-name?{urlencode({'experiment_name': name})}", missing=True)
        if found is not None:
            return _text(found, "experiment", "experiment_id")
        return _text(self.post("experiments/create", {"name": name}), "experiment_id")

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        return self._ask("POST", path, json.dumps(body).encode())

    def put_file(self, place: str, file: Path) -> None:
        """Put the model beside the run."""
        parts = urlsplit(place)
        if parts.scheme != "mlflow-artifacts":
            raise UsageError(
                f"{self._uri} keeps files at {clean(place)[:200]}, where its clients put them themselves. Start it with "
                "--serve-artifacts, or log the model that was saved by MLflow's own client"
            )
        path = quote(f"{parts.path.strip('/')}/model/{file.name}")
        with file.open("rb") as data:
            size = {"Content-Length": str(file.stat().st_size), "Content-Type": "application/octet-stream"}
            self._send("PUT", f"{self._uri}/api/2.0/mlflow-artifacts/artifacts/{path}", data, size, UPLOAD_S)

    def _ask(self, method: str, path: str, body: bytes | None = None, *, missing: bool = False) -> Any:
        """`missing`: None where there is none."""
        url = f"{self._uri}/api/2.0/mlflow/{path}"
        raw = self._send(method, url, body, {"Content-Type": "application/json"}, TIMEOUT_S, missing=missing)
        try:
            return None if raw is None else json.loads(raw or b"{}")
        except (ValueError, RecursionError):
            raise UnreachableError(f"{self._uri} answered with something else than JSON: is this an MLflow server?") from None

    def _send(
        self, method: str, url: str, body: Any, headers: Mapping[str, str], timeout_s: float, *, missing: bool = False
    ) -> bytes | None:
        asked = urllib.request.Request(url, data=body, headers={**headers, **self._headers}, method=method)
        try:
            with urllib.request.urlopen(asked, timeout=timeout_s) as answer:
                raw: bytes = answer.read(MAX_ANSWER + 1)
        except urllib.error.HTTPError as e:
            if missing and e.code == 404:
                return None
            why = clean(e.read(2_000).decode("utf-8", "replace"))[:300]
            raise UsageError(f"The MLflow server {self._uri} refused {method} {urlsplit(url).path} ({e.code}): {why}") from None
        except OSError as e:
            why = str(getattr(e, "reason", e))
            raise UnreachableError(f"Cannot reach the MLflow server {self._uri}: {why}. Is it running, is this its URL?") from None
        if len(raw) > MAX_ANSWER:
            raise UnreachableError(f"The MLflow server {self._uri} sent more than {MAX_ANSWER >> 20} MiB")
        return raw


def _credentials() -> dict[str, str]:
    if token := variable("MLFLOW_TRACKING_TOKEN"):
        return {"Authorization": f"Bearer {token}"}
    user, word = variable("MLFLOW_TRACKING_USERNAME"), variable("MLFLOW_TRACKING_PASSWORD")
    pair = base64.b64encode(f"{user}:{word or ''}".encode()).decode()
    return {"Authorization": f"Basic {pair}"} if user else {}


def _text(found: Any, *path: str) -> str:
    """A text in an answer. Raises `UnreachableError` where there is none."""
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    if not isinstance(found, str) or not found:
        raise UnreachableError(f"The MLflow server's answer has no {'.'.join(path)}: is its version one of 2 or 3?")
    return found
