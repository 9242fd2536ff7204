"""`token`: tokens of the HTTP API that may do less than everything. They lie in the data folder; no running node is needed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Literal

from learningchain.client.cli.common import HERE, Common, WrongUsage, amount, listing, when
from learningchain.client.cli.options import Parameter
from learningchain.client.cli.paper import Console

if TYPE_CHECKING:
    from learningchain.client.keys.tokens import Token, Tokens


def new(
    *,
    can: Annotated[
        Literal["read", "predict", "post", "all"],
        Parameter(help="What it may do; each of these may do what those before it may."),
    ],
    max_: Annotated[str | None, Parameter(name="--max", help="Most credits that it may spend in all, such as 5 or 0.5.")] = None,
    days: Annotated[float | None, Parameter(help="Days until it ends. Default: never.")] = None,
    label: Annotated[str, Parameter(help="What it is for, for your own list.")] = "",
    common: Common = HERE,
) -> int:
    """Make a token with a scope, a spending limit and an end. It is shown once and kept nowhere."""
    from learningchain.chain.types import parse_credits
    from learningchain.client.keys.tokens import TokenScope, now_ms

    most = None if max_ is None else parse_credits(amount(max_, "--max"))
    with _tokens(common) as tokens:
        made, text = tokens.new(TokenScope[can.upper()], most=most, days=days, label=label, now=now_ms())
    common.out.show(_document(made) | {"token": text}, lambda console: console.print(text, soft_wrap=True))
    common.out.note(
        f"This is token {made.id}: {_words(made)}. It is not shown again; learningchain token revoke {made.id} ends it."
    )
    if most is None and made.scope > TokenScope.READ:
        common.out.note("It has no spending limit: whoever holds it can spend all credits of this node. --max sets one.")
    return 0


def list_tokens(*, common: Common = HERE) -> int:
    """The tokens: what each may do, what it spent, when it ends."""
    from learningchain.client.keys.tokens import now_ms

    with _tokens(common) as tokens:
        rows = tokens.rows()
    now = now_ms()

    def people(console: Console) -> None:
        if not rows:
            console.print("No tokens but the full one in api.token. Make one: learningchain token new --can read")
            return
        table = [[t.id, t.scope.word, *_spending(t), _end(t, now), t.label] for t in rows]
        console.print(listing(["token", "may", "spent", "of", "ends", "label"], table, right={"spent", "of"}))

    common.out.show([_document(token) | {"usable": token.why_not(now) is None} for token in rows], people)
    return 0


def revoke(
    token: Annotated[str, Parameter(name="TOKEN", help="Its short name, as token list shows it.")], /, *, common: Common = HERE
) -> int:
    """Take a token back, from the next request on."""
    from learningchain.client.keys.tokens import now_ms

    with _tokens(common) as tokens:
        gone = tokens.revoke(token.removeprefix("lct_")[:8], now_ms())
    common.out.show(_document(gone), lambda console: console.print(f"Token {gone.id} is good for nothing any more."))
    return 0


@contextmanager
def _tokens(common: Common) -> Iterator[Tokens]:
    from learningchain.client.keys.tokens import FILE, Tokens

    if not common.folder.is_dir():
        raise WrongUsage(f"There is no data folder {common.folder}, in which tokens are kept. Name one with --data")
    tokens = Tokens(common.folder / FILE)
    try:
        yield tokens
    finally:
        tokens.close()


def _spending(token: Token) -> tuple[str, str]:
    from learningchain.chain.types import format_credits

    return format_credits(token.spent), "no limit" if token.most is None else format_credits(token.most)


def _end(token: Token, now: int) -> str:
    why = token.why_not(now)
    return why.removeprefix("it ") if why else "never" if token.expires is None else when(token.expires)


def _words(token: Token) -> str:
    most = "without a limit" if token.most is None else f"at most {_spending(token)[1]} credits"
    return f"it may {token.scope.word}, {most}, " + ("without an end" if token.expires is None else f"until {when(token.expires)}")


def _document(token: Token) -> dict[str, Any]:
    spent, most = _spending(token)
    return {
        "id": token.id,
        "can": token.scope.word,
        "label": token.label,
        "max": None if token.most is None else most,
        "spent": spent,
        "created": token.created,
        "expires": token.expires,
        "revoked": token.revoked,
    }
