"""Targets: what an evaluation writes about its losses, and openings of trees over them."""

from __future__ import annotations

from functools import cache

from learningchain.chain.codec import decode, encode
from learningchain.chain.errors import Malformed
from learningchain.chain.losses import BadOpening, LossesOutOfRange, LossTree, Opening, Probe, check_opening, open_losses
from learningchain.sandbox.losses import BadLosses, LossReader, parse_losses
from tests.fuzz.targets import Target, check
from tests.unit.loss_kit import opened, some_losses

COUNTS = (1, 2, 3, 15, 16, 17, 31, 33, 360)
MAX_OPENING = 20_000


@cache
def _committed(count: int) -> tuple[LossTree, Probe, bytes]:
    """A tree, a probe, and the only opening that may pass."""
    tree, probe, opening = opened(some_losses(count), count)
    return tree, probe, encode(opening)


def loss_opening(data: bytes) -> None:
    """The first byte says how many losses were committed to."""
    if not data:
        return
    tree, probe, only = _committed(COUNTS[data[0] % len(COUNTS)])
    shown = check_opening(tree.measurement, probe, decode(Opening, data[1:], MAX_OPENING))
    check(data[1:] == only, "a second opening of the same losses")
    check(shown[: len(probe.positions)] == [tree.losses[at] for at in probe.positions], "other losses than those drawn")


def losses_file(data: bytes) -> None:
    """In one piece and in small ones: the same."""
    whole, pieces = _read([data]), _read([data[at : at + 7] for at in range(0, len(data), 7)])
    check(whole == pieces, "depends on how it arrives")
    losses = parse_losses(data)
    check(all(abs(loss) <= 10**18 for loss in losses), "out of bounds")
    tree, probe, opening = opened(list(losses))
    check(check_opening(tree.measurement, probe, opening), "what was read cannot be opened")
    check(opening == open_losses(LossTree(losses), probe), "opened in two ways")


def _read(pieces: list[bytes]) -> object:
    reader = LossReader()
    try:
        for piece in pieces:
            reader.take(piece)
        return list(reader.finish())
    except BadLosses as bad:
        check(str(bad).isascii() and str(bad).isprintable() and len(str(bad)) < 300, "an error that cannot be shown")
        return type(bad), bad.line, bad.why


EXAMPLES = {
    "loss-opening": lambda: [bytes([number]) + _committed(count)[2] for number, count in enumerate(COUNTS)],
    "losses-file": lambda: [
        b"0\n",
        b"0.5\n-12.25\n0.000000001\n123456789.123456789012345678\n",
        b"".join(b"0.%d\n" % n for n in range(40)),
    ],
}
TARGETS = {
    "loss-opening": Target(loss_opening, (Malformed, BadOpening)),
    "losses-file": Target(losses_file, (BadLosses, LossesOutOfRange), 65_536),
}
