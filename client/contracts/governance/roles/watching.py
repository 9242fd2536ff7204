"""Tells the operator of proposals that wait for this validator's word, and of a protocol that this program does not know. Pure."""

from __future__ import annotations

from learningchain.chain.contracts.governance import proposal, proposal_key
from learningchain.chain.contracts.governance.duties import waits_for
from learningchain.chain.host import K_PROTOCOL, Protocol, Reader
from learningchain.chain.params import PROTOCOL_VERSION
from learningchain.client.contracts.governance.http.views import describe
from learningchain.client.work.events import Chain, Changed, Effect, Input, Notice
from learningchain.client.work.machine import Machine, Recalled

_PROPOSAL = proposal_key(b"")
WAITS, NEWER = "proposal.waits", "protocol.newer"
MOST = 64
"""Proposals that are told of one by one."""


class ProposalWatch(Machine):
    """Follows the open proposals; validators alone make them, a few each."""

    name = "proposal watch"

    def __init__(self, known: Recalled) -> None:
        self._me = known.me
        self._open: set[bytes] = set()
        self._notices: list[Notice] = []

    def handle(self, given: Input) -> list[Effect]:
        match given:
            case Changed():
                for ref in {*given.under(_PROPOSAL), *(self._open if given.anew else ())}:
                    (self._open.discard if proposal(given.reader, ref) is None else self._open.add)(ref)
            case Chain():
                waiting = (self._say(given.reader, ref) for ref in sorted(self._open))
                self._notices = [said for said in (*_upgrade(given.reader), *waiting) if said is not None][:MOST]
        return []

    def notices(self) -> list[Notice]:
        return self._notices

    def _say(self, reader: Reader, ref: bytes) -> Notice | None:
        record = proposal(reader, ref)
        if record is None or not waits_for(reader, self._me, record):
            return None
        asked = f"Say it with: learningchain vote {ref.hex()[:12]} yes, or no."
        return Notice(WAITS, ref, f"A proposal to {describe(record.action)} waits for this validator's word. {asked}")


def _upgrade(reader: Reader) -> list[Notice]:
    found = reader.get(K_PROTOCOL)
    following = found.following if isinstance(found, Protocol) else []
    return [
        Notice(
            NEWER,
            b"",
            f"Block {one.height} begins version {one.version} of the protocol, which this program does not know: the node stops "
            "before it. Install a LearningChain that knows it until then.",
        )
        for one in following
        if one.version > PROTOCOL_VERSION
    ]
