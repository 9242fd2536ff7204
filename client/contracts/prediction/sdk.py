"""Calls about models, predictions and policies."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, cast

from learningchain.client.reading import unmarked
from learningchain.client.sdk.calls import SdkPart, call, stream
from learningchain.client.sdk.http import MAX_PAGE, given, path_id
from learningchain.client.sdk.node import NodeCalls
from learningchain.client.sdk.types import Json, UnavailableError, UnreachableError, UsageError

if TYPE_CHECKING:
    from learningchain.client.contracts.prediction.http.schema import (
        ModelPosted,
        ModelRequest,
        ModelTrial,
        PolicyPosted,
        PolicyRequest,
        PolicyView,
        PredictionKey,
        PredictionPosted,
        PredictionQuote,
        PredictionRequest,
        PredictionSteps,
        PredictionSummary,
        PredictionView,
        RegisteredModelSummary,
        RegisteredModelView,
        ServePosted,
        ValueView,
    )
    from learningchain.client.schema.bodies import EventView, TxAnswer

ANSWERED = ("AGREED", "WEAK", "FAILED", "FINAL")
"""States in which it is known what a request came to; an appeal may change what AGREED and WEAK say."""
MAX_INLINE_BODY = 96 * 1024
"""Larger inputs are uploaded as a file: a request of the API is short, and each quotation mark takes two bytes of it."""
POST_S = 30.0
"""How long `predict` waits until its request stands in a block; after that it waits for the answer all the same."""
WATCH_S = 30.0
"""How long one question to the node waits for a change."""
AT_ONCE = 4
"""Batches of `predict_many` that are under way at a time."""
BUSY_S = 0.2
"""Another call with the same key is being sent: how soon to ask again."""
MOST_FAILED = 10_000
_RUN = os.urandom(8).hex()
"""This run of the program."""
_failed: dict[str, int] = {}
"""Batches of this run without an answer, by their key, and how often: asked again they are new requests."""


PredictedRow = TypedDict("PredictedRow", {"class": int | None, "score": str | None, "support": int, "outcome": str, "request": str})
"""One row of `predict_many`, in the order of the rows: class and score are null where there is no agreed value; `outcome` says what
became of its request."""


class PredictionCalls(NodeCalls):
    # --- models ---------------------------------------------------------------------------------------------------------------

    @call
    async def models(
        self,
        *,
        owner: str | None = None,
        name: str | None = None,
        live: bool = False,
        beginning: str | None = None,
        before: int | None = None,
        limit: int = 50,
    ) -> list[RegisteredModelSummary]:
        """Models, the newest first; go on with `before` = the last one's `number`."""
        flag = "true" if live else None
        return await self.api.rows("/v1/models", owner=owner, name=name, live=flag, id=beginning, before=before, limit=limit)

    @call
    async def model(self, model: str) -> RegisteredModelView:
        """Everything about a model, by its id or as `lc1…/name`."""
        return cast("RegisteredModelView", await self.api.get(f"/v1/models/{_model_path(model)}"))

    @call
    async def register_model(self, model: ModelRequest | Json, *, wait: float = 0) -> ModelPosted:
        """Offer a model as the node's account; `model` in the answer is its id."""
        return cast("ModelPosted", await self.api.submit("/v1/models", model if isinstance(model, dict) else given(model), wait))

    @call
    async def set_price(
        self,
        model: str,
        *,
        price: str | None = None,
        floor: str | None = None,
        expected: tuple[str, str] | None = None,
        wait: float = 0,
    ) -> TxAnswer:
        """New prices of a model of the node's account; a higher floor holds an hour later. `expected`: price and floor that must be
        in force."""
        body = {"price": price, "floor": floor}
        if expected is not None:
            body |= {"expected_price": expected[0], "expected_floor": expected[1]}
        sent = {name: value for name, value in body.items() if value is not None}
        return await self.api.submit(f"/v1/models/{_model_path(model)}/price", sent, wait)

    @call
    async def retire_model(self, model: str, *, wait: float = 0) -> TxAnswer:
        """Take a model of the node's account out of service; what was drawn goes on."""
        return await self.api.submit(f"/v1/models/{_model_path(model)}/retire", None, wait)

    @call
    async def serve(
        self,
        model: str,
        *,
        stake: str | None = None,
        untried: bool = False,
        wait: float = 0,
        trial_s: float = 3_600.0,
        tell: Callable[[str], None] = lambda _: None,
    ) -> ServePosted:
        """Answer for a model with this node. `stake` is added to what it has staked on it; left out, what is needed. The node runs
        the model's sample twice first, unless `untried`: raises `UsageError` (TRIAL_FAILED) where the answers differ, and
        `UnavailableError` (TRIAL_RUNNING) where that takes longer than `trial_s` seconds; it goes on then, and the same call asks
        for it again. `tell` hears how far it is."""
        import asyncio

        loop = asyncio.get_running_loop()
        until, said = loop.time() + trial_s, ""
        body: Json = ({} if stake is None else {"stake": stake}) | ({"untried": True} if untried else {})
        while True:
            try:
                return cast("ServePosted", await self.api.submit(f"/v1/models/{_model_path(model)}/serve", body, wait))
            except UnavailableError as e:
                if e.name != "TRIAL_RUNNING" or loop.time() >= until:
                    raise
            step = (await self._trial(model))["step"]
            if step != said:
                tell(said := step)

    @call
    async def model_trial(self, model: str) -> ModelTrial:
        """How the node's last trial of a model goes, or what it came to. Raises `NotFoundError` where there was none."""
        return await self._trial(model)

    @call
    async def unserve(self, model: str, *, wait: float = 0) -> TxAnswer:
        """Answer for a model no more; the stake comes back with its last request."""
        return await self.api.submit(f"/v1/models/{_model_path(model)}/unserve", None, wait)

    # --- requests ---------------------------------------------------------------------------------------------------------------

    @call
    async def request_prediction(self, request: PredictionRequest | Json, *, wait: float = 0) -> PredictionPosted:
        """Post a request; `request` in the answer is its id. `predict` does this and waits for the values."""
        body = request if isinstance(request, dict) else given(request)
        return cast("PredictionPosted", await self.api.submit("/v1/predictions", body, wait))

    @call
    async def quote_prediction(self, request: PredictionRequest | Json) -> PredictionQuote:
        """What a request would lock, and why the ledger would refuse it. Nothing is sent."""
        body = request if isinstance(request, dict) else given(request)
        return cast("PredictionQuote", await self.api.call("POST", "/v1/predictions/quote", body=body))

    @call
    async def predict(
        self,
        model: str,
        rows: Sequence[Any] | str | bytes | Path,
        *,
        n: int = 5,
        agree: int | None = None,
        tip: str | None = None,
        max_charge: str | None = None,
        within_s: float = 30.0,
        policy: str | None = None,
        private: bool = False,
        callback: str | None = None,
        callback_secret: str | None = None,
        final: bool = False,
        timeout_s: float = 900.0,
    ) -> PredictionView:
        """Ask a model for at most 256 rows and wait for the answer: its `state` is AGREED or WEAK, with `values`, or FAILED, and
        `outcome` says why. `rows` are JSON values, or the rows' text, a line each, or a file with it. `final`: wait until no appeal
        can change the values. `private`: only those that are drawn read the rows, and only this node the values (`plain`).
        `callback`: a URL that is told what becomes of it, signed by `callback_secret`. Raises `UnavailableError` where it is not
        answered within `timeout_s` seconds, which names the request."""
        terms = _terms(model, n, agree, tip, max_charge, within_s, policy)
        told = {"callback": callback, "callback_secret": callback_secret}
        body = terms | await self._sent(rows, private) | {name: value for name, value in told.items() if value is not None}
        return await self._answered(await self._post(body), final=final, timeout_s=timeout_s)

    @call
    async def predict_many(
        self,
        model: str,
        rows: Iterable[Any],
        *,
        n: int = 5,
        agree: int | None = None,
        tip_per_row: str | None = None,
        max_charge: str | None = None,
        within_s: float = 30.0,
        policy: str | None = None,
        batch: int | None = None,
        at_once: int = AT_ONCE,
        once: str | None = None,
        anew: bool = False,
        timeout_s: float = 900.0,
    ) -> list[PredictedRow]:
        """Ask a model for any number of rows: requests of at most `max_rows` rows, `at_once` of them under way, values in the order
        of the rows. A request that failed leaves its rows without values; a refusal ends all and is raised. `max_charge` is of one
        request. Called again with the same rows and terms in one run of a program, the requests that exist are waited for and
        nothing is paid twice, but for those that failed: they are asked again; `anew` asks for all of them again. `once`: a word of
        your own for these rows, at most 100 characters: the same also after a crash of this program or the node."""
        import asyncio

        from learningchain.client.contracts.prediction.http.schema import MAX_ROWS

        known = await self._model_view(model)
        size = min(batch or MAX_ROWS, known["max_rows"])
        listed = list(rows)
        batches = [listed[start : start + size] for start in range(0, len(listed), size)]
        turn = asyncio.Semaphore(max(1, at_once))

        async def one(number: int, part: list[Any]) -> list[PredictedRow]:
            async with turn:
                tip = None if tip_per_row is None else _times(tip_per_row, len(part))
                terms = _terms(known["id"], n, agree, tip, max_charge, within_s, policy)
                body = terms | await self._sent(part)
                own = "" if once is not None or anew else _own_key(body, number)
                key = own if once is None else f"{once}:{number}"
                posted = await self._post_once(body, key, own=bool(own), timeout_s=timeout_s)
                view = await self._answered(posted, final=False, timeout_s=timeout_s)
                if own and view["state"] == "FAILED":
                    _note_failed(body, number)
                return _row_values(view, len(part))

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(one(number, part)) for number, part in enumerate(batches)]
        except BaseExceptionGroup as refused:
            raise refused.exceptions[0] from None
        return [value for task in tasks for value in task.result()]

    @call
    async def prediction(self, request: str, *, wait: float = 0, final: bool = False, changed: bool = False) -> PredictionView:
        """Everything about a request. With `wait` seconds it returns when the request is answered or failed, or with `final` when
        it is over, or with `changed` when anything of it changed; or else when they have passed."""
        query = {"wait": wait or None, "final": "true" if final else None, "changed": "true" if changed else None}
        found = await self.api.call("GET", f"/v1/predictions/{path_id(request)}", query=query, extra_s=wait)
        return cast("PredictionView", found)

    @call
    async def predictions(
        self,
        *,
        requester: str | None = None,
        model: str | None = None,
        live: bool = False,
        beginning: str | None = None,
        before: int | None = None,
        limit: int = 50,
    ) -> list[PredictionSummary]:
        """Requests, the newest first; go on with `before` = the last one's `number`."""
        flag = "true" if live else None
        query = {"requester": requester, "model": model, "live": flag, "id": beginning, "before": before, "limit": limit}
        return await self.api.rows("/v1/predictions", **query)

    @call
    async def prediction_events(self, request: str, *, before: int | None = None, limit: int = 50) -> list[EventView]:
        """What happened to a request, newest first, with block and time; go on with `before` = the last one's `cursor`."""
        return await self.api.rows(f"/v1/predictions/{path_id(request)}/events", before=before, limit=limit)

    @stream
    async def every_prediction(
        self, *, requester: str | None = None, model: str | None = None, page: int = MAX_PAGE
    ) -> AsyncIterator[PredictionSummary]:
        """Requests, the newest first, to the oldest that the node knows."""
        before: int | None = None
        while found := await self.api.rows("/v1/predictions", requester=requester, model=model, before=before, limit=page):
            for one in found:
                if before is not None and one["number"] >= before:
                    raise UnreachableError("The node lists the same requests again: its version does not fit this client's")
                before = one["number"]
                yield one
            if len(found) < page:
                return

    @call
    async def prediction_steps(self, request: str, *, tip: str | None = None) -> PredictionSteps:
        """What tipping (by `tip`), cancelling or appealing a request would cost now, or why it would be refused."""
        return cast("PredictionSteps", await self.api.get(f"/v1/predictions/{path_id(request)}/steps", tip=tip))

    @call
    async def add_tip(self, request: str, amount: str, *, wait: float = 0) -> TxAnswer:
        """Move a waiting request of the node's account forward in the queue."""
        return await self.api.submit(f"/v1/predictions/{path_id(request)}/tip", {"amount": amount}, wait)

    @call
    async def cancel_prediction(self, request: str, *, wait: float = 0) -> TxAnswer:
        """Take back a waiting request of the node's account; its fee burns."""
        return await self.api.submit(f"/v1/predictions/{path_id(request)}/cancel", None, wait)

    @call
    async def appeal_prediction(self, request: str, *, rows: Sequence[int] = (), wait: float = 0) -> TxAnswer:
        """Have verifiers who were not drawn answer at most 16 rows anew, those named among them. The bond comes back where more say
        another value than the old one, of them and the draw together; where too few are left for that it is refused."""
        return await self.api.submit(f"/v1/predictions/{path_id(request)}/appeal", {"rows": list(rows)}, wait)

    # --- policies ---------------------------------------------------------------------------------------------------------------

    @call
    async def create_policy(self, policy: PolicyRequest | Json, *, wait: float = 0) -> PolicyPosted:
        """Lay down how a model's values become decisions; `policy` in the answer is its id."""
        return cast(
            "PolicyPosted", await self.api.submit("/v1/policies", policy if isinstance(policy, dict) else given(policy), wait)
        )

    @call
    async def policies(self, *, model: str | None = None, limit: int = 100) -> list[PolicyView]:
        return await self.api.rows("/v1/policies", model=model, limit=limit)

    @call
    async def policy(self, policy: str) -> PolicyView:
        return cast("PolicyView", await self.api.get(f"/v1/policies/{path_id(policy)}"))

    # --- parts ------------------------------------------------------------------------------------------------------------------

    async def _trial(self, model: str) -> ModelTrial:
        return cast("ModelTrial", await self.api.get(f"/v1/models/{_model_path(model)}/trial"))

    async def _model_view(self, model: str) -> RegisteredModelView:
        return cast("RegisteredModelView", await self.api.get(f"/v1/models/{_model_path(model)}"))

    async def _post(self, body: Json) -> PredictionPosted:
        """Raises `RejectedError` where the ledger refuses it."""
        return cast("PredictionPosted", await self.api.submit("/v1/predictions", body, POST_S))

    async def _post_once(self, body: Json, key: str, *, own: bool, timeout_s: float) -> PredictionPosted:
        """Under a key, where there is one. `own`: it is this module's; a node that can keep no more of them is asked without."""
        import asyncio

        loop = asyncio.get_running_loop()
        until = loop.time() + timeout_s
        while True:
            try:
                return await self._post(body | ({"idempotency_key": key} if key else {}))
            except UnavailableError as e:
                if own and e.name == "TOO_MANY_KEYS":
                    return await self._post(body)
                if e.name != "KEY_BUSY" or loop.time() >= until:
                    raise
            await asyncio.sleep(BUSY_S)

    @call
    async def send_rows(self, rows: Sequence[Any] | str | bytes | Path, *, private: bool = False) -> Json:
        """Rows as a request names them, for `request_prediction` and `quote_prediction`: text in it, or a file that is uploaded,
        encrypted here where it is `private`."""
        return await self._sent(rows, private)

    @call
    async def prediction_key(self, request: str) -> PredictionKey:
        """The key of a private request of the node: who has it reads the rows and the values."""
        return cast("PredictionKey", await self.api.get(f"/v1/predictions/{path_id(request)}/key"))

    async def _sent(self, rows: Sequence[Any] | str | bytes | Path, private: bool = False) -> Json:
        """The rows as a request names them: in it, or as a file that was uploaded. What is uploaded lies in the open."""
        import asyncio
        import tempfile

        text = await asyncio.to_thread(rows_text, rows)
        if len(text) <= MAX_INLINE_BODY:
            return {"input": as_text(text), **({"private": True} if private else {})}
        if private:
            return await self._sent_encrypted(text)
        with tempfile.TemporaryDirectory(prefix="learningchain-") as folder:
            path = Path(folder) / "rows"
            await asyncio.to_thread(path.write_bytes, text)
            stored = await self.api.upload(path)
        return {"data": {"cid": stored["cid"], "size": stored["size"]}, "count": count_rows(text)}

    async def _sent_encrypted(self, text: bytes) -> Json:
        """Nothing of it lies on a disk, or in a peer's hands, in the open."""
        import asyncio
        import secrets
        import tempfile

        from learningchain.client.contracts.prediction.roles.private import encrypted, new_key

        key = new_key(secrets.token_bytes)
        with tempfile.TemporaryDirectory(prefix="learningchain-") as folder:
            path = Path(folder) / "rows"
            await asyncio.to_thread(lambda: path.write_bytes(encrypted(text, key, secrets.token_bytes)))
            stored = await self.api.upload(path)
        return {"data": {"cid": stored["cid"], "size": stored["size"]}, "count": count_rows(text), "key": key.hex()}

    async def _answered(self, posted: PredictionPosted, *, final: bool, timeout_s: float) -> PredictionView:
        """The request when it is answered."""
        import asyncio

        loop = asyncio.get_running_loop()
        until = loop.time() + timeout_s
        request, wanted = posted["request"], ("FAILED", "FINAL") if final else ANSWERED
        while (left := until - loop.time()) > 0:
            query = {"wait": min(WATCH_S, max(0.1, left)), "final": "true" if final else None}
            found = await self.api.call("GET", f"/v1/predictions/{path_id(request)}", query=query, extra_s=WATCH_S)
            if found.get("state") in wanted:
                return cast("PredictionView", found)
        raise UnavailableError(
            f"Request {request} is not answered after {timeout_s:g} s. It goes on: look at it later (GET /v1/predictions/{request})"
        )


def _own_key(body: Json, number: int) -> str:
    """The same for the same batch of the same request in one run of a program. What it may cost at most is no part of it."""
    import hashlib
    import json

    asked = {name: value for name, value in body.items() if name != "max_charge"}
    text = json.dumps([asked, number], sort_keys=True)
    key = f"run:{_RUN}:{hashlib.sha256(text.encode()).hexdigest()[:32]}"
    return f"{key}:{_failed[key]}" if key in _failed else key


def _note_failed(body: Json, number: int) -> None:
    base = ":".join(_own_key(body, number).split(":")[:3])
    _failed[base] = _failed.pop(base, 0) + 1
    while len(_failed) > MOST_FAILED:
        del _failed[next(iter(_failed))]


def as_text(rows: bytes) -> str:
    """Raises `UsageError`."""
    try:
        return rows.decode()
    except UnicodeDecodeError:
        raise UsageError("The rows are no text in UTF-8: upload them as a file and name that (request_prediction, data)") from None


def rows_text(rows: Sequence[Any] | str | bytes | Path) -> bytes:
    """The input of a request: a line for each row. Raises `UsageError`."""
    import json

    if isinstance(rows, Path):
        try:
            return unmarked(rows.read_bytes())
        except OSError as e:
            raise UsageError(f"The rows in {rows} cannot be read: {e.strerror}") from None
    if isinstance(rows, bytes):
        return rows
    if isinstance(rows, str):
        return rows.encode("utf-8", "surrogateescape")
    try:
        lines = [json.dumps(row, separators=(",", ":"), ensure_ascii=False, allow_nan=False) for row in rows]
        return "".join(f"{line}\n" for line in lines).encode()
    except (TypeError, ValueError) as e:
        raise UsageError(f"A row is no JSON value: {e}. Give lists, dictionaries, numbers and texts") from None


def count_rows(text: bytes) -> int:
    """Lines of an input; the last one's line feed may be missing."""
    return text.count(b"\n") + (0 if text.endswith(b"\n") or not text else 1)


def _terms(
    model: str, n: int, agree: int | None, tip: str | None, max_charge: str | None, within_s: float, policy: str | None
) -> Json:
    named = {"agree": agree, "tip": tip, "max_charge": max_charge, "policy": policy}
    said = {name: value for name, value in named.items() if value is not None}
    return {"model": model, "n": n, "within_s": within_s, **said}


def _times(amount: str, count: int) -> str:
    from learningchain.chain.types import format_credits, parse_credits

    return format_credits(parse_credits(amount) * count)


def _row_values(view: PredictionView, rows: int) -> list[PredictedRow]:
    outcome = view["outcome"] or view["state"]
    by_row: dict[int, ValueView] = {value["row"]: value for value in view["values"]}

    def of(row: int) -> PredictedRow:
        found = by_row.get(row)
        if found is None:
            return {"class": None, "score": None, "support": 0, "outcome": outcome, "request": view["id"]}
        return {
            "class": found["class"],
            "score": found["score"],
            "support": found["support"],
            "outcome": outcome,
            "request": view["id"],
        }

    return [of(row) for row in range(rows)]


def _model_path(model: str) -> str:
    """A model in a path: its id, or its owner and name as one part. Raises `UsageError`."""
    owner, slash, name = model.partition("/")
    if not slash:
        return path_id(model)
    if not name or len(name) > 64 or any(c not in "abcdefghijklmnopqrstuvwxyz0123456789._-" for c in name):
        raise UsageError(f"{model[:120]!r} names no model: write its id, or lc1.../name")
    return f"{path_id(owner)}~{name}"


PART = SdkPart(PredictionCalls)
