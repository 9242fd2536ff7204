"""What the SDK raises, and what it gives back that is not a document of the HTTP API.

Documents are typed dictionaries as the API sends them, described once, where its routes are (`client.schema.bodies`,
`client.contracts.<name>.schema`). A newer node may send more fields; nothing here refuses them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

Json = dict[str, Any]


# --- errors --------------------------------------------------------------------------------------------------------------------


class ApiError(Exception):
    """Base of all errors of the SDK. `kind` is the API's word for it, `code` a stable number where there is one.

    `retry_after_s`: seconds until the same may be sent again, where the node knows them: the account's bandwidth is used up.
    """

    kind = "error"
    helps = "Read the message; the node's log says more"
    """What to do about such an error whose message does not say it."""

    def __init__(self, message: str, *, code: int | None = None, name: str | None = None, retry_after_s: int | None = None) -> None:
        super().__init__(message)
        self.message, self.code, self.name, self.retry_after_s = message, code, name, retry_after_s

    @property
    def remedy(self) -> str:
        """What to do about it: the last sentence of the message, where it has more than one."""
        *_, last = self.message.rsplit(". ", 1)
        return self.helps if last == self.message else last

    def as_json(self) -> Json:
        said = {"kind": self.kind, "code": self.code, "name": self.name, "message": self.message}
        return {"error": said | {"retry_after_s": self.retry_after_s}}


class RejectedError(ApiError):
    """The ledger's rules refused the transaction: it stands in a block and changed nothing. `code` is the receipt's."""

    kind = "rejected"
    helps = "Change what the rules refuse, then send it again"


class InvalidError(ApiError):
    """The transaction can stand in no block (`code` is a `TxCode`): wrong signature, unknown or suspended sender, too late…"""

    kind = "invalid"
    helps = "Look at account, key and node (node.status()), then sign and send it again"


class UsageError(ApiError):
    """The request makes no sense as it is: the text says what to change."""

    kind = "usage"
    helps = "Change the call as the message says"


class NotFoundError(ApiError):
    """There is no such account, block, transaction, job, file or run."""

    kind = "not_found"
    helps = "List what there is, such as node.jobs.list(), and take an id from there"


class UnauthorizedError(ApiError):
    """The node does not know this token."""

    kind = "unauthorized"
    helps = "Take the token from the file api.token in the node's data folder, or ask the node's owner for one"


class UnreachableError(ApiError):
    """Nobody answered, or the connection broke. Whether a submission arrived is then unknown: look before sending it again."""

    kind = "unreachable"
    helps = "Start the node (learningchain node), or name its folder or URL"


class UnavailableError(ApiError):
    """The node answered, but cannot do this now: it is syncing, overloaded, or the graph did not decide in time."""

    kind = "unavailable"
    helps = "Wait a moment, then call again"


class BadContentError(ApiError):
    """The bytes received are not those that the CID names. Nothing was kept."""

    kind = "bad_content"
    helps = "Fetch it again"


KINDS: dict[str, type[ApiError]] = {
    e.kind: e
    for e in (
        RejectedError,
        InvalidError,
        UsageError,
        NotFoundError,
        UnauthorizedError,
        UnreachableError,
        UnavailableError,
        BadContentError,
    )
}


# --- what is more than a document ------------------------------------------------------------------------------------------------


class Event(NamedTuple):
    """Something that happened on the node: `kind` is "block", "note", "move", "run", "notice", or "gap" where events are missing.
    `id` says where in the stream, for who comes back."""

    kind: str
    data: Json
    id: str | None = None


class Fetched(NamedTuple):
    """A file whose bytes are what `cid` names; `sha256` is of the whole file."""

    path: Path
    cid: str
    size: int
    sha256: str
