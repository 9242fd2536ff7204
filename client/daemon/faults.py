"""Why a node does not start, or ends, and the exit code that says so."""

from __future__ import annotations

from learningchain.chain.storage.errors import ServerUnreachable

AGAIN = 75
"""EX_TEMPFAIL: what ended the node may pass by itself, so a service manager starts it again; 1 would be the same once more."""


def exit_code(fault: BaseException | None) -> int:
    return AGAIN if isinstance(fault, ServerUnreachable) else 1


class StartError(Exception):
    """The node cannot start. The text says what, why and what to do."""


class OfAnotherVersion(StartError):
    """The data folder is of a network whose rules this version does not know."""


class UnknownProtocol(Exception):
    """The next block is of a protocol that only a newer program knows. The text says what to install."""
