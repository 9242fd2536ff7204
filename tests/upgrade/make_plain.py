"""Makes the data folder of a version that is older than what `make.py` needs: a validator alone, with one payment. Run once, in a
checkout of that version, where its nodes may listen:

    cd CHECKOUT && PYTHONPATH=. python THIS_FILE rules-VERSION.tar.xz
"""

from __future__ import annotations

import asyncio
import sys
import tarfile
import tempfile
from pathlib import Path

from tests.processes.harness import Graph, Person, Role

ANA = Person("ana", "100")
LIMIT_S = 120.0


async def main(target: Path) -> None:
    with tempfile.TemporaryDirectory() as place:
        async with Graph(Path(place), [Role("old", validator=True)], people=[ANA]) as graph:
            node = await graph["old"].start(within=LIMIT_S)
            await node.api.transfer(ANA.address, "2.5", memo="for lunch", wait=LIMIT_S)
            assert await node.stop() == 0
            with tarfile.open(target, "w:xz") as tar:
                tar.add(node.data, "folder", filter=lambda file: None if file.name == "folder/lock" else file)


asyncio.run(main(Path(sys.argv[1]).resolve()))
