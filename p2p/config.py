"""Settings of the transport, and what it tells about connections."""

from __future__ import annotations

from dataclasses import dataclass

from learningchain.p2p.half_open import MAX_HALF_OPEN


@dataclass(frozen=True)
class TransportConfig:
    """Settings of the transport; times in seconds. The defaults suit a node on a server."""

    other_peers: int = 16
    """Connections to keep up beyond those to all validators."""
    max_peers: int = 128
    """Connections to admit; validators are always admitted."""
    half_open: int = MAX_HALF_OPEN
    """Accepted connections that have not said hello yet."""
    max_dials: int = 8
    dial_timeout: float = 5.0
    hello_timeout: float = 5.0
    drain_timeout: float = 10.0
    silence_timeout: float = 30.0
    ping_interval: float = 5.0
    close_timeout: float = 1.0
    cross_window: float = 5.0
    """Two connections to one member that come up within this time have crossed."""
    trial: float = 30.0
    """A member whose key is another one than on this ledger shows within this time that the ledger is old (LC-P2P-42)."""
    settled_after: float = 10.0
    """A connection that lasted this long clears the failures of its address; a shorter one adds one."""
    tick: float = 0.5
    ask_often: float = 2.0
    """Between questions for peers; grows to `ask_rarely` while the answers bring nothing new."""
    ask_rarely: float = 60.0
    answer_interval: float = 1.0
    """At most one list of peers and one pong to one peer in this time."""
    save_interval: float = 30.0
    bytes_per_s: float = 100e6
    messages_per_s: float = 2_500.0
    """A vote costs 50 us: a peer that sends what it may takes an eighth of a processor, and no turn of the others."""
    burst_s: float = 2.0
    connections: float = 20.0
    """Connections of one member that are accepted at once after a rest; then one in a second."""
    penalty: float = 10.0
    """What one refused message costs; at `score_limit` the peer is blocked."""
    score_limit: float = 95.0
    score_half_life: float = 300.0
    block: float = 60.0
    longest_block: float = 3_600.0


@dataclass(frozen=True)
class PeerInfo:
    """One connection as the API shows it. Times in seconds, `since` on the injected monotonic clock."""

    id: bytes
    address: str
    direction: str
    rtt: float | None
    bytes_in: int
    bytes_out: int
    messages_in: int
    queued: int
    queued_bytes: int
    dropped: int
    score: float
    height: int
    """What the peer said in its hello."""
    since: float


@dataclass(frozen=True)
class PeerEvent:
    """Why a connection came, went or was refused; the last few are kept for the operator."""

    time: float
    event: str
    address: str
    peer: bytes | None
    reason: str
