"""What an account carries from one judged work to the next: strikes, draws, and marks.

All of them are kept by *origin*, the root of the account whose work it was: one contractor, under however many names, can bar
nobody. They live for a month of chain clock (`life`, in milliseconds).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta

from learningchain.chain.codec import Wire
from learningchain.chain.types import AccountId, Uint

BARRED_BY = 3
"""Different origins among the live strikes with which an account neither posts, nor claims, nor is drawn."""
KEPT_STRIKES = 16
DRAWS_KEPT = 10
MAX_BAD_DRAWS = 5
"""More of the last ten, and the flag rests."""
VOTES_KEPT = 10
MARKED_BY = 2


class Strike(Wire, frozen=True):
    """The last strike for work of `origin`, and the chain clock at which it ends."""

    origin: AccountId
    end: Uint


class Draw(Wire, frozen=True):
    """A duty of one that was drawn, for work of `origin`. Each silence is an entry of its own; of the rest the last one counts."""

    origin: AccountId
    bad: bool
    silent: bool


class CountedVote(Wire, frozen=True):
    """A vote in work of one origin where a quorum decided, and whether it was off or lost."""

    time: Uint
    bad: bool


Strikes = Annotated[list[Strike], Meta(max_length=KEPT_STRIKES)]
"""By end, ascending."""
Draws = Annotated[list[Draw], Meta(max_length=DRAWS_KEPT)]
"""Oldest first."""
CountedVotes = Annotated[list[CountedVote], Meta(max_length=VOTES_KEPT)]
"""Oldest first."""


def add_strike(strikes: Sequence[Strike], origin: bytes, now: int, life: int) -> list[Strike]:
    """Of each origin the last one, of all those that end last. Three are what standing asks for: no bound hides one."""
    others = [strike for strike in strikes if strike.origin != origin and strike.end > now]
    return sorted([*others, Strike(origin, now + life)], key=lambda strike: strike.end)[-KEPT_STRIKES:]


def live_strikes(strikes: Sequence[Strike], now: int) -> int:
    """Different origins among those that have not ended."""
    return sum(strike.end > now for strike in strikes)


def stands(strikes: Sequence[Strike], now: int) -> bool:
    return live_strikes(strikes, now) < BARRED_BY


def add_draw(draws: Sequence[Draw], entry: Draw) -> list[Draw]:
    """The record with a new entry; empty where the flag is to rest from now on."""
    kept = [d for d in draws if d.silent or d.origin != entry.origin] if not entry.silent else list(draws)
    record = [*kept, entry][-DRAWS_KEPT:]
    return record if sum(draw.bad for draw in record) <= MAX_BAD_DRAWS else []


def add_vote(votes: Sequence[CountedVote], vote: CountedVote) -> list[CountedVote]:
    return [*votes, vote][-VOTES_KEPT:]


def is_marked(votes: Sequence[CountedVote], now: int, life: int) -> bool:
    """Two of the last ten votes in this origin's work were off or lost; for a month from the last of them."""
    bad = [vote.time for vote in votes if vote.bad]
    return len(bad) >= MARKED_BY and now < bad[-1] + life
