"""What machines tell machines of other nodes, on channels of their contracts: who is heard, how often. One event loop.

    peer --channel--> rate of this peer --> the slice's `Hearing` --> PeerSaid to its machines
    SendPeer --> the network, once, as far as the account is connected

It is for what the ledger does not need: nothing is answered here, nothing is sent again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final

from learningchain.chain.errors import Malformed
from learningchain.chain.host import Reader
from learningchain.client.work.events import PeerSaid
from learningchain.client.work.machine import WorkPart
from learningchain.p2p.limits import TokenBucket

PER_S: Final = 4.0
BURST: Final = 64.0
"""Messages of one peer on one channel: so many at once after a rest, and `PER_S` in a second after that. More are not looked at."""
MOST_PEERS: Final = 4_096
"""Peers whose rates are remembered; the least recently heard go first."""

Send = Callable[[bytes, int, bytes], bool]
"""(account, channel, payload) -> whether it was queued."""
Penalize = Callable[[bytes, str], None]


class PeerChannels:
    """`now_s`: of a clock that never goes back. `tell` has what was heard, and the name of the slice."""

    def __init__(
        self,
        slices: Sequence[WorkPart],
        reader: Callable[[], Reader],
        me: bytes,
        *,
        tell: Callable[[str, PeerSaid], None],
        now_s: Callable[[], float],
        penalize: Penalize = lambda _, __: None,
    ) -> None:
        self._hearing = {part.hears.channel: (part.name, part.hears) for part in slices if part.hears is not None}
        self._reader, self._me, self._tell, self._now_s, self._penalize = reader, me, tell, now_s, penalize
        self._rates: OrderedDict[tuple[bytes, int], TokenBucket] = OrderedDict()

    def on_message(self, peer: bytes, channel: int, payload: bytes) -> None:
        """Never raises on what a peer sent."""
        if channel not in self._hearing or not self._within(peer, channel):
            return
        name, hearing = self._hearing[channel]
        try:
            message = hearing.take(self._reader(), self._me, peer, payload)
        except Malformed as bad:
            self._penalize(peer, f"channel {channel}: {bad}")
            return
        if message is not None:
            self._tell(name, PeerSaid(peer, message))

    def _within(self, peer: bytes, channel: int) -> bool:
        key, now = (peer, channel), self._now_s()
        bucket = self._rates.pop(key, None) or TokenBucket(PER_S, BURST, now)
        self._rates[key] = bucket
        while len(self._rates) > MOST_PEERS:
            self._rates.popitem(last=False)
        return bucket.spend(now, 1.0)
