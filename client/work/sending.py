"""From the machines' wishes to messages in the outbox: salts are drawn here, and on the disk before their commitment leaves."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from concurrent.futures import Executor

import structlog

from chain.codec import encode
from chain.contracts.job import messages
from chain.contracts.job.messages import Claim, CommitVote, OpenVote
from chain.contracts.job.views import cid_text
from chain.contracts.membership import JudgeCase
from client.core import Files, Ledger
from client.work.book import Book, BookError, StoredClaim, StoredVote
from client.work.events import (
    ClaimStored,
    CommitBallots,
    Judge,
    OpenBallots,
    Publish,
    PublishFailed,
    Reveal,
    RevealKey,
    SubmitClaim,
)
from client.work.material import Pins, durably, in_thread
from client.work.outbox import Outbox

log = structlog.get_logger(__name__)

SALT = 32


class Sending:
    """Every message that this node's work sends."""

    def __init__(
        self,
        book: Book,
        outbox: Outbox,
        ledger: Ledger,
        executor: Executor,
        now: Callable[[], int],
        rng: Callable[[int], bytes],
    ) -> None:
        self._book, self._outbox, self._ledger, self._executor = book, outbox, ledger, executor
        self._now, self._rng = now, rng

    async def claim(self, effect: SubmitClaim) -> ClaimStored | None:
        """None when it could not be stored: then it is not made."""
        salt, digest = self._rng(SALT), messages.model_id(effect.model.cid)
        commitment = messages.claim_commitment(self._ledger.chain_id, effect.job, self._ledger.own_id, digest, salt)
        claim = StoredClaim(commitment, effect.job, effect.loss, effect.model, salt)
        op = encode(Claim(effect.job, effect.loss, commitment))
        try:
            key = await in_thread(self._executor, lambda: self._book.save_claim(claim, op, self._now()))
        except (sqlite3.Error, BookError) as problem:
            log.error("a claim could not be stored and is not made", job=effect.job.hex(), why=str(problem))
            return None
        await self._deliver(key)
        return ClaimStored(effect.job, commitment)

    async def reveal(self, effect: Reveal) -> None:
        claim = await durably(self._executor, lambda: self._book.claim(effect.commitment))
        if claim is None or not claim.model.path.is_file():
            log.error("a claim cannot be revealed: its model is gone from this disk", job=effect.job.hex())
            return
        m = claim.model
        op = messages.Reveal(effect.job, effect.claim, m.cid, m.size, claim.salt)
        await self._outbox.put(f"reveal:{effect.job.hex()}", effect.job, op)

    async def publish(self, effect: Publish, files: Files, pins: Pins) -> PublishFailed | None:
        claim = await durably(self._executor, lambda: self._book.claim(effect.commitment))
        if claim is None:
            log.error("a model under audit is gone from this disk", job=effect.job.hex())
            return None
        reason = f"job:{effect.job.hex()}"
        try:
            await pins.pin(cid_text(claim.model.cid), reason, effect.job)
            cid, _ = await files.add(claim.model.path, pin=reason)
        except Exception as problem:  # a full disk, a store that is closing: its time is not over yet
            log.error("a model under audit cannot be served; trying again", job=effect.job.hex(), why=str(problem))
            return PublishFailed(effect.job)
        if cid != cid_text(claim.model.cid):
            log.error("the model on this disk is not the one that was claimed", job=effect.job.hex(), cid=cid)
        return None

    async def commit(self, effect: CommitBallots) -> StoredVote | None:
        """The ballots that count: the given ones, or those that were stored for this seat before. None: not stored."""
        (job, audit, round_), me, salt = effect.seat, self._ledger.own_id, self._rng(SALT)
        sealed = messages.vote_commitment(self._ledger.chain_id, job, audit, round_, me, list(effect.ballots), salt)
        vote = StoredVote(effect.seat, sealed, salt, effect.ballots, effect.claimants)
        op = encode(CommitVote(job, audit, round_, sealed))
        try:
            stored = await in_thread(self._executor, lambda: self._book.save_vote(vote, op, self._now()))
        except (sqlite3.Error, BookError) as problem:
            log.error("ballots could not be stored and are not committed yet", job=job.hex(), why=str(problem))
            return None
        await self._deliver(f"commit:{job.hex()}:{audit}:{round_}")
        return stored

    async def open(self, effect: OpenBallots) -> None:
        vote = await durably(self._executor, lambda: self._book.vote(effect.seat))
        if vote is None or vote.commitment != effect.commitment:
            log.error("ballots cannot be opened: they are not in this node's work book", job=effect.seat[0].hex())
            return
        job, audit, round_ = effect.seat
        op = OpenVote(job, audit, round_, list(vote.ballots), vote.salt)
        await self._outbox.put(f"open:{job.hex()}:{audit}:{round_}", job, op)

    async def reveal_key(self, effect: RevealKey) -> None:
        key = await durably(self._executor, lambda: self._book.key(effect.key_hash))
        if key is not None:
            await self._outbox.put(f"key:{effect.job.hex()}", effect.job, messages.RevealKey(effect.job, key))

    async def judge(self, effect: Judge) -> None:
        op = JudgeCase(effect.account, True)
        await self._outbox.put(f"judge:{effect.account.hex()}:{effect.job.hex()}", effect.job, op)

    async def _deliver(self, key: str) -> None:
        intent = await durably(self._executor, lambda: self._book.intent(key))
        if intent is not None:
            self._outbox.deliver(intent)
