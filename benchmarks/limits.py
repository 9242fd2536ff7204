"""What this machine can verify at most, measured as `chain.crypto.verify` does it: the yardstick for everything else."""

from __future__ import annotations

import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from chain.crypto import SigningKey, sha256, verify

_KEYS = 64


def _work(seconds: float) -> float:
    """Verifications per second of one thread with parsed keys."""
    keys = [SigningKey(bytes([1]) * 31 + bytes([i])) for i in range(1, _KEYS + 1)]
    digests = [sha256(bytes([i])) for i in range(_KEYS)]
    cases = [(k.public, d, k.sign(d)) for k, d in zip(keys, digests, strict=True)]
    done, began = 0, time.perf_counter()
    while (spent := time.perf_counter() - began) < seconds:
        if not all(verify(*case) for case in cases):
            raise RuntimeError("a good signature was refused")
        done += len(cases)
    return done / spent


def verify_rate(processes: int, seconds: float) -> float:
    """Verifications per second of so many processes at the same time."""
    if processes == 1:
        return _work(seconds)
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        list(pool.map(_work, [0.05] * processes))
        return sum(pool.map(_work, [seconds] * processes))
