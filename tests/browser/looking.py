"""How a page is looked at in a browser, and where its picture goes. `LC_SHOTS=folder` keeps the pictures."""

from __future__ import annotations

import json
import os
from pathlib import Path

from tests.browser.person import Person


def shot(name: str) -> str:
    """Where a picture goes, without its ending; nowhere unless it is asked for."""
    return str(Path(os.environ["LC_SHOTS"]) / name) if "LC_SHOTS" in os.environ else ""


async def look(someone: Person, name: str) -> None:
    """Nothing is wrong with the page as it stands: by axe in the light and in the dark, on a phone's width, in the console."""
    found = await someone.do("look", shot=shot(name))
    assert not any(found.values()), f"{name}: {json.dumps(found, indent=1)}"


async def refused(someone: Person) -> None:
    """A browser's console names each page whose status says that a form was refused; there is nothing else in it."""
    [said] = await someone.do("complaints")
    assert "status of 4" in said, said
