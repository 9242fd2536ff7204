"""The one shape of every refusal that the HTTP API answers with. Only this folder uses it."""

from __future__ import annotations

from typing import Literal

import msgspec

from chain.errors import InvalidTx
from client.api.explain import explain
from client.api.render import code_name

Kind = Literal["rejected", "invalid", "usage", "not_found", "unauthorized", "unavailable"]


class ErrorBody(msgspec.Struct, frozen=True):
    """`code` and `name` are the ledger's own where the rules refused; `message` says what, why and what to do.

    `retry_after_s`: seconds of the chain clock until the same transaction may be sent again, where that is known.
    """

    kind: Kind
    code: int | None
    name: str
    message: str
    retry_after_s: int | None = None


class ErrorResponse(msgspec.Struct, frozen=True):
    error: ErrorBody


class RequestError(Exception):
    """Raised by handlers; the server turns it into an answer."""

    def __init__(
        self, status: int, kind: Kind, name: str, message: str, *, code: int | None = None, retry_after_s: int | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body = ErrorBody(kind, code, name, message, retry_after_s)


def usage(message: str, *, name: str = "BAD_REQUEST", status: int = 400) -> RequestError:
    return RequestError(status, "usage", name, message)


def not_found(message: str, *, name: str = "NOT_FOUND") -> RequestError:
    return RequestError(404, "not_found", name, message)


def unavailable(message: str, *, name: str = "UNAVAILABLE") -> RequestError:
    return RequestError(503, "unavailable", name, message)


def unauthorized(message: str) -> RequestError:
    return RequestError(401, "unauthorized", "UNAUTHORIZED", message)


def rejected(what: str, code: int, why: str | None = None) -> RequestError:
    """The rules refuse: `why` is the handler's own text where it is known, else the code's."""
    reason, advice = explain(code)
    return RequestError(422, "rejected", code_name(code), f"{what}: {why or reason}. {advice}", code=code)


def invalid(what: str, e: InvalidTx) -> RequestError:
    """The transaction can stand in no block."""
    _, advice = explain(e.code)
    return RequestError(422, "invalid", e.code.name, f"{what}: {e.text}. {advice}", code=int(e.code), retry_after_s=e.retry_after_s)
