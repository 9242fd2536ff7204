"""Which own data were used in a federation of a small model: in a second one the sums of the two are compared, and tell of them.

The first one of a data set's contents is kept for ever, whatever the set is called later and whether it is removed. A changed byte
is another set.
"""

from __future__ import annotations

from typing import Final

from learningchain.client.api.whole_node import NodeService
from learningchain.client.work.events import Secret

USED: Final = "federation.used"


async def used_in(node: NodeService, digest: bytes, but: bytes) -> bytes | None:
    """Another federation of a small model in which data of this digest were used, the first one that there was."""
    found = [one.blob for one in await node.work.stores.secrets.of(USED, digest) if one.blob != but]
    return found[0] if found else None


async def note_used(node: NodeService, digest: bytes, federation: bytes) -> None:
    """On the disk when this returns. The first one stays."""
    await node.work.stores.secrets.keep(Secret(USED, digest, b"", federation))


def used_text(other: bytes) -> str:
    return (
        f"these data were used in federation {other.hex()[:12]}, of a small model, too: the sums of two are compared, and point at "
        "what only these data have, at cosine 0.5 to 0.6 from one's first round, 0.6 to 0.7 from eight (1 is the update itself). "
        'Join with other data; or again with these: --again (again=True, "again": true)'
    )
