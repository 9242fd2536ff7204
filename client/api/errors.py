"""The one shape of every refusal that the HTTP API answers with. Only this folder uses it."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from learningchain.chain.errors import InvalidTx, Reject, TxCode
from learningchain.client.schema.explain import explain
from learningchain.client.schema.render import code_name

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
        self.headers: dict[str, str] = {}
        """More than every answer has."""
        self.body = ErrorBody(kind, code, name, message, retry_after_s)


def usage(message: str, *, name: str = "BAD_REQUEST", status: int = 400) -> RequestError:
    return RequestError(status, "usage", name, message)


def not_found(message: str, *, name: str = "NOT_FOUND") -> RequestError:
    return RequestError(404, "not_found", name, message)


def not_kept(what: str, first: int) -> RequestError:
    """`first`: the first block that this node keeps."""
    return not_found(
        f"{what}: this node keeps the blocks from {first} on, for it began from a snapshot or drops old ones "
        "(storage.keep_blocks). Ask an archive node, which keeps all blocks and shows first_block 1 in its status",
        name="NOT_KEPT",
    )


def unavailable(message: str, *, name: str = "UNAVAILABLE") -> RequestError:
    return RequestError(503, "unavailable", name, message)


def unauthorized(message: str) -> RequestError:
    return RequestError(401, "unauthorized", "UNAUTHORIZED", message)


def forbidden(name: str, message: str) -> RequestError:
    """The token is good, and not for this."""
    return RequestError(403, "unauthorized", name, message)


def rejected(what: str, code: int, why: str | None = None) -> RequestError:
    """The rules refuse, as the ledger stands now: `why` is the handler's own text where it is known, else the code's."""
    reason, advice = explain(code)
    return RequestError(409, "rejected", code_name(code), f"{what}: {why or reason}. {advice}", code=code)


def foretold(e: Reject) -> dict[str, Any]:
    """A price's word of what the rules would refuse now, and what to do (`RefusalView`)."""
    return {"code": int(e.code), "name": code_name(e.code), "message": f"{e.text}. {explain(e.code)[1]}"}


def invalid(what: str, e: InvalidTx) -> RequestError:
    """The transaction can stand in no block: for what it is (422), or as things are now (409)."""
    _, advice = explain(e.code)
    status = 422 if e.code == TxCode.MALFORMED else 409
    text = f"{what}: {e.text}. {advice}"
    return RequestError(status, "invalid", e.code.name, text, code=int(e.code), retry_after_s=e.retry_after_s)
