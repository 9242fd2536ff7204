"""Who may have strangers' programs run on the owner's own data: a token that may everything, as its owner agreed to what leaves."""

from __future__ import annotations

from learningchain.client.api.errors import forbidden
from learningchain.client.api.route import Call
from learningchain.client.keys.tokens import TokenScope


def lends(call: Call, what: str) -> None:
    """Raises RequestError."""
    if call.token.scope < TokenScope.ALL:
        raise forbidden(
            "TOKEN_SCOPE",
            f"{what} was not sent: it has a stranger's program run on this node's own data, and the token {call.token.id} may "
            f"{call.token.scope.word}. Ask the node's owner for one that may all (learningchain token new --can all)",
        )
