"""What an operator sets about jobs, in the section [work]: which ones are worked on, with how much, and how this node judges."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from msgspec import Meta, Struct

from learningchain.chain.crypto import parse_address
from learningchain.chain.types import parse_credits
from learningchain.client.schema.settings import SettingsPart

Text = Annotated[str, Meta(max_length=1_024)]


class JobWork(Struct, frozen=True, kw_only=True):
    paused: Annotated[bool, Meta(description="Start no new training; what is under way, claimed or judged goes on.")] = False
    hours: Annotated[
        str,
        Meta(
            max_length=64,
            description="Start trainings only within these times of this machine's day, such as 22:00-07:00, several by commas; "
            "empty: always.",
        ),
    ] = ""
    idle_min: Annotated[
        int,
        Meta(
            ge=0,
            le=1_440,
            description="Start trainings only when nobody has typed at this machine for so many minutes and other programs leave "
            "half of its processors; 0: always.",
        ),
    ] = 0
    min_bounty: Annotated[str, Meta(max_length=32, description="Smallest bounty to work for, in credits.")] = "0"
    min_time_left_s: Annotated[int, Meta(ge=0, le=2_592_000, description="Start no job that expires sooner, in seconds.")] = 10
    max_data_mb: Annotated[int, Meta(ge=0, le=1_048_576, description="Most bytes of a job's data sets to take on, in MiB.")] = 8_192
    data_mb: Annotated[
        int,
        Meta(
            ge=0,
            le=1_048_576,
            description="Disk space of the engine for copies of data sets and large models, in MiB; the longest unused makes room.",
        ),
    ] = 65_536
    max_hidden_mb: Annotated[int, Meta(ge=1, le=65_536, description="Largest hidden evaluation data to take on, in MiB.")] = 1_024
    allowed_contractors: Annotated[
        list[Text], Meta(max_length=1_024, description="Work only for these identities (lc1...); empty: for everybody.")
    ] = []
    denied_contractors: Annotated[list[Text], Meta(max_length=1_024, description="Never work for these identities (lc1...).")] = []
    check_record: Annotated[
        bool,
        Meta(
            description="Avoid posters that took back more than they paid after models were shown, or whose evaluations do not "
            "decide."
        ),
    ] = True
    stake: Annotated[
        bool,
        Meta(
            description="Lock a tenth of the bounty behind a first claim where it is free. Without it a claim can win, not decide."
        ),
    ] = True
    attempts: Annotated[int, Meta(ge=1, le=1_000, description="Attempts at one job, each with another seed.")] = 3
    reveal: Annotated[
        Literal["always", "must"],
        Meta(description="Show models after a job's expiry: always, or only where silence would cost the stake."),
    ] = "always"
    serve_won_days: Annotated[int, Meta(ge=1, le=3_650, description="Days for which a model that won stays available.")] = 30
    judge: Annotated[
        Literal["corroborated", "own-measurement", "never"],
        Meta(
            description="As a validator, confirm a ban by itself where its sandbox measured false claims for two posters; "
            "or for one (graphs of known posters); or never. It lifts nothing by itself."
        ),
    ] = "corroborated"


def _addresses(values: list[str]) -> None:
    for value in values:
        parse_address(value)


def parse_hours(text: str) -> list[tuple[int, int]]:
    """Minutes of the day from which and up to which trainings start; one that ends before it begins goes over midnight.

    Raises ValueError."""
    found = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        times = re.fullmatch(r"([01]?\d|2[0-3]):([0-5]\d)-([01]?\d|2[0-4]):([0-5]\d)", part, re.ASCII)
        if times is None or int(times[3]) * 60 + int(times[4]) > 24 * 60:
            raise ValueError(f"{part!r} is no time of day such as 22:00-07:00")
        found.append((int(times[1]) * 60 + int(times[2]), int(times[3]) * 60 + int(times[4])))
    return found


PART = SettingsPart(
    {"work": JobWork},
    checks={
        "work.min_bounty": parse_credits,
        "work.hours": parse_hours,
        "work.allowed_contractors": _addresses,
        "work.denied_contractors": _addresses,
    },
    changeable=[f"work.{name}" for name in JobWork.__struct_fields__],
)
