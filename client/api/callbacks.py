"""Callbacks: where this node tells what happens to something, and how that goes.

A token sees its own, one that may do everything sees all. The secret is shown once, where the node made it, and never again.
"""

from __future__ import annotations

from typing import Final, Self

from learningchain.client.addresses import UrlRefused
from learningchain.client.api.errors import RequestError, not_found, unavailable, usage
from learningchain.client.api.route import Call, Route, parse_field, parse_hash
from learningchain.client.callbacks.database import CallbackTarget, TooManyTargets
from learningchain.client.callbacks.posting import Told
from learningchain.client.callbacks.service import CallbackService, shown
from learningchain.client.callbacks.signatures import new_secret, parse_secret, secret_text
from learningchain.client.keys.tokens import FULL, TokenScope
from learningchain.client.schema.bodies import (
    CallbackRemoved,
    CallbackRequest,
    CallbackRetried,
    CallbacksQuery,
    CallbackTested,
    CallbackTestRequest,
    CallbackView,
)
from learningchain.client.schema.render import Json


def service_of(call: Call) -> CallbackService:
    found = call.node.callbacks
    if found is None:
        raise unavailable("This node takes callbacks as soon as it has started. Try again in a moment")
    return found


def owner_of(call: Call) -> str:
    """Whose a new callback is: empty for the node's owner."""
    return "" if call.token is FULL else call.token.id


class WantedCallback:
    """A callback that is asked for with a message: checked before anything is signed, kept before the message leaves the node.

    wish = WantedCallback(call, "prediction", body.callback, body.callback_secret)
    async with wish:
        tx = await submit(call, what, op, before=lambda raw: wish.keep(request_id(tx_id(raw), 0)))
    """

    def __init__(self, call: Call, source: str, url: str, secret: str | None, *, own: bool = True) -> None:
        """`own`: the message that it goes with is this call's."""
        self._own = own
        self._call, self._source, self._url = call, source, url
        self._service = service_of(call)
        self._given = None if secret is None else parse_field("secret", parse_secret, secret)
        self._ref: bytes | None = None
        self.secret: str | None = None
        """The one that the node made, when it is kept."""
        try:
            self._service.check(source, url)
        except UrlRefused as e:
            raise usage(f"The callback is not taken: {e}", name="BAD_CALLBACK") from None
        except KeyError:
            known = ", ".join(self._service.sources) or "none"
            raise usage(f"Nothing of {source[:64]!r} is told by callbacks. What is: {known}", name="BAD_CALLBACK") from None

    async def keep(self, ref: bytes) -> None:
        """On the disk when this returns."""
        try:
            used = await self._service.add(self._source, ref, self._url, self._given, owner_of(self._call), own=self._own)
        except TooManyTargets as e:
            raise unavailable(f"The callback is not taken, and nothing was sent: {e}", name="TOO_MANY_CALLBACKS") from None
        if used is None:
            raise usage(f"{ref.hex()} has a callback already. Remove it first", name="CALLBACK_EXISTS", status=409)
        self._ref = ref
        self.secret = secret_text(used) if self._given is None else None

    @property
    def shown(self) -> dict[str, str]:
        """What an answer says of it, this once."""
        return {} if self.secret is None else {"callback_secret": self.secret}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, _: object, fault: BaseException | None, __: object) -> None:
        """Where the node refused, the message never left it."""
        if self._ref is not None and isinstance(fault, RequestError):
            await self._service.remove(self._ref)


class NoCallback:
    """None was asked for."""

    shown: Final[dict[str, str]] = {}

    async def keep(self, ref: bytes) -> None: ...

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None: ...


async def _found(call: Call) -> tuple[bytes, CallbackTarget, Json]:
    ref = parse_field("callback", parse_hash, call.path("callback"))
    found = await service_of(call).show(ref)
    if found is None or (call.token.scope < TokenScope.ALL and found[0].owner != call.token.id):
        raise not_found(f"There is no callback for {ref.hex()} here; GET /v1/callbacks lists them", name="NO_SUCH_CALLBACK")
    return ref, found[0], shown(*found)


async def get_callbacks(call: Call) -> list[Json]:
    query: CallbacksQuery = call.query
    service = service_of(call)
    owner = None if call.token.scope >= TokenScope.ALL else call.token.id
    made, _, ref = (query.before or "").partition("-")
    before = (int(made), bytes.fromhex(ref)) if made else None
    listed = await service.targets(owner, query.limit, before)
    return [shown(*found) for target in listed if (found := await service.show(target.ref)) is not None]


async def get_callback(call: Call) -> Json:
    return (await _found(call))[2]


async def post_callback(call: Call) -> Json:
    body: CallbackRequest = call.body
    ref = parse_field("ref", parse_hash, body.ref)
    wish = WantedCallback(call, body.source, body.url, body.secret, own=False)
    await wish.keep(ref)
    found = await service_of(call).show(ref)
    if found is None:
        raise unavailable("The callback was removed while it was made. Ask for it again")
    return shown(*found) | ({} if wish.secret is None else {"secret": wish.secret})


async def post_callback_test(call: Call) -> Json:
    body: CallbackTestRequest = call.body
    secret = new_secret() if body.secret is None else parse_field("secret", parse_secret, body.secret)
    try:
        with call.context.waits.take(call.token):
            outcome = await service_of(call).test(body.url, secret)
    except UrlRefused as e:
        raise usage(f"The callback is not taken: {e}", name="BAD_CALLBACK") from None
    told = {"taken": outcome.end is Told.TOLD, "status": outcome.status or None, "note": outcome.note}
    return told | ({"secret": secret_text(secret)} if body.secret is None else {})


async def post_callback_retry(call: Call) -> Json:
    ref, target, found = await _found(call)
    if not target.secret and any(one["state"] == "given_up" for one in found["events"]):
        why = f"Token {target.owner} asked for this callback and has ended, so nothing signs it any more: nothing is tried"
        raise usage(f"{why}. Remove it, and ask for it anew (learningchain callback add)", name="TOKEN_ENDED", status=409)
    return {"events": await service_of(call).retry(ref)}


async def delete_callback(call: Call) -> Json:
    ref, _, _ = await _found(call)
    await service_of(call).remove(ref)
    return {"removed": True}


_MAY = TokenScope.PREDICT
ROUTES = (
    Route("GET", "/v1/callbacks", "Callbacks, the newest first", get_callbacks, list[CallbackView], query=CallbacksQuery),
    Route(
        "GET",
        "/v1/callbacks/{callback}",
        "One callback: what was told, and what waits",
        get_callback,
        CallbackView,
        failures=(404,),
    ),
    Route(
        "POST",
        "/v1/callbacks",
        "Have what happens to something told to a URL, also what has happened",
        post_callback,
        CallbackView,
        CallbackRequest,
        failures=(409,),
        scope=_MAY,
    ),
    Route(
        "POST",
        "/v1/callbacks/test",
        "Post an event of the name test to a URL now",
        post_callback_test,
        CallbackTested,
        CallbackTestRequest,
        scope=_MAY,
    ),
    Route(
        "POST",
        "/v1/callbacks/{callback}/retry",
        "Try now what waits or was given up",
        post_callback_retry,
        CallbackRetried,
        failures=(404, 409),
        scope=_MAY,
    ),
    Route(
        "DELETE",
        "/v1/callbacks/{callback}",
        "Tell nothing more of it, and forget it",
        delete_callback,
        CallbackRemoved,
        failures=(404,),
        scope=_MAY,
    ),
)
