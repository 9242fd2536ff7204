"""What the SDK says of a node, in a program in which `weather` is installed: `python -m tests.toy.look FOLDER`, told as JSON."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from learningchain.client.sdk.client import Client, SyncClient
from learningchain.client.sdk.types import RejectedError


async def awaited(folder: Path) -> dict[str, Any]:
    async with Client.of_folder(folder) as node:
        weather: Any = node.weather  # type: ignore[attr-defined]
        found: dict[str, Any] = {"forecasts": await weather.forecasts()}
        try:
            await weather.forecast("Bonn", rain=True, wait=30)
        except RejectedError as e:
            found["refused"] = [e.code, e.name, e.message]
    return found


def main(folder: Path) -> None:
    with SyncClient.of_folder(folder) as node:
        blocking = node.weather.forecasts()  # type: ignore[attr-defined]
    json.dump(asyncio.run(awaited(folder)) | {"blocking": blocking}, sys.stdout)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
