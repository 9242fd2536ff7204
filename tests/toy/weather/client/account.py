"""The weather's part of an account: where it expects rain, of the first hundred such places."""

from __future__ import annotations

from typing import TypedDict

from learningchain.chain.host import Reader
from learningchain.client.api.route import AccountPart
from learningchain.client.schema.render import Json


class ForecasterView(TypedDict):
    rain: list[str]


def of(reader: Reader, account: bytes) -> Json:
    return {"rain": [one.place for _, one in reader.scan(b"wf/", 100) if one.by == account]}


PART = AccountPart(ForecasterView, of)
