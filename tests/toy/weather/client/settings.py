"""What a node's owner sets about the weather, in the section [work]."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from learningchain.client.schema.settings import SettingsPart


class StationWork(Struct, frozen=True, kw_only=True):
    measure: Annotated[bool, Meta(description="Measure what others forecast, as a weather station.")] = True


PART = SettingsPart({"work": StationWork})
