"""The requester: keeps the inputs of its requests where servers and judges find them, until nobody needs them. Pure.

    input      when                                          effect
    Changed    a request of this node, its input not inline  Pin
    Chain      the request has ended                         Forget
    Chain      a request or a model left the state           Forget

Those that have not ended are counted by their state, for the metrics.

What a request waits for from its requester beside that (the keys of a private one) is `private`.
"""

from __future__ import annotations

from collections import Counter

from learningchain.chain.contracts.prediction import duties, records
from learningchain.chain.contracts.prediction.records import ENDED, RequestRecord, RequestState, RequestTerms
from learningchain.chain.host import Reader
from learningchain.chain.types import cid_text
from learningchain.client.node.block_figures import Figure
from learningchain.client.work.events import Chain, Changed, Effect, Forget, Input, Pin, take
from learningchain.client.work.gone import GoneRefs
from learningchain.client.work.machine import Machine, Recalled

PINNED = "ask"
"""The first word of the reason for which an input is pinned."""


class Requester(Machine):
    """Follows the requests of this node; those of others cost a look each when they move."""

    name = "requester"

    def __init__(self, known: Recalled) -> None:
        self._me = known.me
        self._own: set[bytes] = set()
        """Requests of this node that have not ended and whose input is pinned."""
        self._states: dict[bytes, int] = {}
        """Of requests of this node that have not ended."""
        self._over: set[bytes] = set()
        """Those that have ended since the last look."""
        self._missing = GoneRefs()

    def handle(self, given: Input) -> list[Effect]:
        effects: list[Effect] = []
        match given:
            case Changed():
                for request in list(self._states) if given.anew else ():
                    take(effects, request, self._look(given.reader, request))
                for request in given.under(duties.REQUESTS):
                    take(effects, request, self._look(given.reader, request))
            case Chain():
                held = {ref for ref in given.held if self._ended(given.reader, ref)}
                gone = self._missing.look(given, [ref for ref in given.held if not duties.is_known(given.reader, ref)])
                effects += [Forget(ref) for ref in sorted(self._over | held | {*gone})]
                self._over.clear()
        return effects

    def figures(self) -> list[Figure]:
        now = Counter(self._states.values())
        values: dict[tuple[str, ...], float] = {(one.name.lower(),): now[one] for one in RequestState if one not in ENDED}
        return [Figure("lc_predictions_open", "Requests of this node that have not ended, by state", ("state",), values)]

    def _look(self, reader: Reader, request: bytes) -> list[Effect]:
        asked = reader.get(records.terms_key(request))
        if not isinstance(asked, RequestTerms) or asked.requester != self._me:
            self._states.pop(request, None)
            return []
        self._note(reader.get(records.request_key(request)), request)
        if self._ended(reader, request):
            if request in self._own:
                self._own.discard(request)
                self._over.add(request)
            return []
        if request in self._own or asked.terms.inline:
            return []
        self._own.add(request)
        return [Pin(request, cid_text(asked.terms.cid), PINNED)]

    def _note(self, record: object, request: bytes) -> None:
        if isinstance(record, RequestRecord) and record.state not in ENDED:
            self._states[request] = record.state
        else:
            self._states.pop(request, None)

    def _ended(self, reader: Reader, request: bytes) -> bool:
        """Of a request that is in the state; one that is not is none, or left it long after its end."""
        record = reader.get(records.request_key(request))
        return isinstance(record, RequestRecord) and record.state in ENDED
