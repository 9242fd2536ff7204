"""What the SDK raises, and what it gives back that is not a document of the HTTP API.

Documents are typed dictionaries as the API sends them, described once, where its routes are (`client.api.schema`,
`client.contracts.<name>.schema`). A newer node may send more fields; nothing here refuses them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

Json = dict[str, Any]


# --- errors --------------------------------------------------------------------------------------------------------------------


class ApiError(Exception):
    """Base of all errors of the SDK. `kind` is the API's word for it, `code` a stable number where there is one.

    `retry_after_s`: seconds until the same may be sent again, where the node knows them: the account's bandwidth is used up.
    """

    kind = "error"

    def __init__(self, message: str, *, code: int | None = None, name: str | None = None, retry_after_s: int | None = None) -> None:
        super().__init__(message)
        self.message, self.code, self.name, self.retry_after_s = message, code, name, retry_after_s

    def as_json(self) -> Json:
        said = {"kind": self.kind, "code": self.code, "name": self.name, "message": self.message}
        return {"error": said | {"retry_after_s": self.retry_after_s}}


class Rejected(ApiError):
    """The ledger's rules refused the transaction: it stands in a block and changed nothing. `code` is the receipt's."""

    kind = "rejected"


class Invalid(ApiError):
    """The transaction can stand in no block (`code` is a `TxCode`): wrong signature, unknown or suspended sender, too late…"""

    kind = "invalid"


class Usage(ApiError):
    """The request makes no sense as it is: the text says what to change."""

    kind = "usage"


class NotFound(ApiError):
    """There is no such account, block, transaction, job, file or run."""

    kind = "not_found"


class Unauthorized(ApiError):
    """The node does not know this token."""

    kind = "unauthorized"


class Unreachable(ApiError):
    """Nobody answered, or the connection broke. Whether a submission arrived is then unknown: look before sending it again."""

    kind = "unreachable"


class Unavailable(ApiError):
    """The node answered, but cannot do this now: it is syncing, overloaded, or the graph did not decide in time."""

    kind = "unavailable"


class BadContent(ApiError):
    """The bytes received are not those that the CID names. Nothing was kept."""

    kind = "bad_content"


KINDS: dict[str, type[ApiError]] = {
    e.kind: e for e in (Rejected, Invalid, Usage, NotFound, Unauthorized, Unreachable, Unavailable, BadContent)
}


# --- what is more than a document ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Event:
    """Something that happened on the node: `kind` is "block", "note", "move", "run", "notice", or "gap" where events are missing.
    `id` says where in the stream, for who comes back."""

    kind: str
    data: Json
    id: str | None = None


@dataclass(frozen=True)
class Fetched:
    """A file whose bytes are what `cid` names; `sha256` is of the whole file."""

    path: Path
    cid: str
    size: int
    sha256: str
