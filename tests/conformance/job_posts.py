"""PostJob, CancelJob, ExtendJob, Claim, Reveal, RevealKey (LC-JOB-13, 15, 20 to 23, 42, 43, 50 to 52)."""

from __future__ import annotations

import re
from typing import Any

from tests.conformance import membership, texts
from tests.conformance.checks import Refused, check
from tests.conformance.job_claims import with_the_last_reveal_t1_is_now
from tests.conformance.job_ends import finish
from tests.conformance.job_rounds import to_draw
from tests.conformance.job_state import EMPTY, KEY, LARGEST_LOSS, NO_DATA, ON, OPEN, REVEAL, Claim, Contractor, Job, Terms, Work
from tests.conformance.judging import cd, least_fee
from tests.conformance.keys import sha, tagged
from tests.conformance.ledger import SUSPENDED, JobParams, State, lock, parked, schedule
from tests.conformance.wire import encode

# --- guards ---------------------------------------------------------------------------------------------------------------------


@check("LC-BLK-20", 6)
def the_job_is_not_parked(s: State, job: bytes) -> bool:
    return parked(s, 3, job) is None


@check("LC-JOB-22", 300)
def there_is_such_a_job(s: State, job: bytes) -> bool:
    return s.get(b"jb/" + job) is not None and s.get(b"jp/" + job) is not None


@check("LC-JOB-24", 309)
def the_state_that_takes_it_has_come(job: Job, state: int) -> bool:
    return job.state >= state


@check("LC-JOB-24", 310)
def the_state_that_takes_it_has_not_passed(job: Job, state: int) -> bool:
    return job.state <= state


@check("LC-JOB-24", 310)
def the_deadline_has_not_passed(s: State, job: Job) -> bool:
    return s.clock < job.deadline


def load(s: State, job: bytes) -> Work:
    the_job_is_not_parked(s, job)
    there_is_such_a_job(s, job)
    if s.get(b"jb/" + job) is None:
        raise membership.Disappeared(job)
    return Work(s, job)


def in_state(work: Work, state: int) -> None:
    the_state_that_takes_it_has_come(work.job, state)
    the_state_that_takes_it_has_not_passed(work.job, state)
    the_deadline_has_not_passed(work.s, work.job)


def _is_suspended(s: State, identity: bytes) -> bool:
    account = s.account(identity)
    return account is not None and account.status == SUSPENDED


# --- PostJob, CancelJob, ExtendJob ----------------------------------------------------------------------------------------------


@check("LC-JOB-20", 307)
def who_posts_is_not_suspended(s: State, sender: bytes) -> bool:
    return not _is_suspended(s, sender)


@check("LC-JOB-20", 308)
def who_posts_stands(s: State, sender: bytes) -> bool:
    return membership.stands(s, sender)


@check("LC-JOB-15", 301)
def the_expiry_is_not_too_near(away: int, p: JobParams) -> bool:
    return away >= p.min_open


@check("LC-JOB-15", 301)
def the_expiry_is_not_too_far(away: int, p: JobParams) -> bool:
    return away <= p.max_open


LIMITS = ((10, 1_024_000), (6, 4_194_304), (1, 2_592_000), (1, 86_400), (1, 2**34), (0, 4_194_304), (1, 4_096))


@check("LC-JOB-15", 302)
def a_limit_is_not_below_its_least(limits: list[int]) -> bool:
    return all(value >= low for value, (low, _) in zip(limits, LIMITS, strict=True))


@check("LC-JOB-15", 302)
def a_limit_is_not_above_its_most(limits: list[int]) -> bool:
    return all(value <= high for value, (_, high) in zip(limits, LIMITS, strict=True))


@check("LC-JOB-15", 303)
def an_image_has_a_possible_size(size: int) -> bool:
    return 1 <= size <= 2**36


def _is_reference(text: str) -> bool:
    try:
        texts.check_image(text)
    except Refused:
        return False
    return True


def is_cid(cid: bytes) -> bool:
    return len(cid) == 36 and cid[:4] in (b"\x01\x55\x12\x20", b"\x01\x70\x12\x20")


def is_named_by_its_content(image: list[Any]) -> bool:
    kind, reference, cid, image_id, _ = image
    if kind == 1:
        return _is_reference(reference) and not cid and len(image_id) in (0, 32)
    return kind == 2 and is_cid(cid) and not reference and len(image_id) == 32


@check("LC-JOB-15", 303)
def an_image_is_named_by_its_content(image: list[Any]) -> bool:
    return is_named_by_its_content(image)


@check("LC-JOB-15", 304)
def the_architecture_is_known(arch: int) -> bool:
    return arch in (1, 2)


@check("LC-JOB-15", 304)
def there_are_2_to_8_finalists(k: int) -> bool:
    return 2 <= k <= 8


@check("LC-JOB-15", 304)
def float_kind_and_choice_are_known(kind: int, on_cheat: int) -> bool:
    return kind in (1, 2) and on_cheat in (0, 1)


@check("LC-JOB-15", 304)
def tolerance_and_floor_are_losses(tol: int, floor: int) -> bool:
    return tol <= LARGEST_LOSS and abs(floor) <= LARGEST_LOSS


@check("LC-JOB-15", 331)
def the_bounty_is_large_enough(bounty: int, least: int) -> bool:
    return bounty >= least


@check("LC-JOB-15", 332)
def the_fee_covers_the_evaluation(fee: int, least: int) -> bool:
    return fee >= max(1, least)


@check("LC-JOB-15", 305)
def hidden_data_has_a_cid_and_a_possible_size(hidden: list[list[Any]]) -> bool:
    return all(is_cid(cid) and 1 <= size <= 2**34 for cid, _, _, size in hidden)


@check("LC-JOB-15", 306)
def params_have_at_most_8_192_bytes(params: str) -> bool:
    return len(params.encode()) <= 8_192


@check("LC-JOB-15", 337)
def data_sets_are_named(data: list[list[Any]]) -> bool:
    names = [name for _, _, _, name, _ in data]
    return all(re.fullmatch("[a-z0-9_-]{1,32}", name) for name in names) and len(set(names)) == len(names)


@check("LC-JOB-15", 337)
def data_sets_have_a_manifest_and_possible_sizes(data: list[list[Any]]) -> bool:
    possible = all(is_cid(cid) and size >= 1 and 1 <= files <= 10_000 for cid, size, files, _, _ in data)
    return possible and sum(size for _, size, _, _, _ in data) <= 2**40


@check("LC-JOB-15", 337)
def data_sets_are_for_something(data: list[list[Any]]) -> bool:
    return all(use in (1, 2, 3) for _, _, _, _, use in data)


@check("LC-JOB-15", 338)
def devices_are_possible(devices: list[list[int]]) -> bool:
    return all(kind in (1, 2) and 1 <= count <= 8 and mem_mb <= 2**20 for kind, count, mem_mb in devices)


@check("LC-JOB-15", 339)
def an_earlier_model_is_possible(earlier: list[list[Any]], floor: int) -> bool:
    return all(is_cid(cid) and 1 <= size <= 2**34 and floor <= loss <= LARGEST_LOSS for _, cid, size, loss in earlier)


@check("LC-JOB-52", 333)
def enough_can_judge(flagged: int, able: int) -> bool:
    return able >= max(1, cd(flagged, 3), min(3, flagged))


@check("LC-JOB-43", 330)
def a_contractor_has_not_too_many_live_jobs(live: int, most: int) -> bool:
    return live < most


@check("LC-JOB-43", 330)
def live_postings_have_not_too_many_bytes(size: int, most: int) -> bool:
    return size <= most


@check("LC-JOB-20", 1)
def what_a_posting_locks_is_free(free: int, needed: int) -> bool:
    return free >= needed


def _check_expiry(s: State, expiry: int) -> None:
    p = JobParams(*s.get(b"gp3/"))
    the_expiry_is_not_too_near(expiry - s.clock, p)
    the_expiry_is_not_too_far(expiry - s.clock, p)


def _check_terms(s: State, m: Terms) -> None:
    """LC-JOB-15"""
    p = JobParams(*s.get(b"gp3/"))
    _check_expiry(s, m.expiry)
    a_limit_is_not_below_its_least(m.limits)
    a_limit_is_not_above_its_most(m.limits)
    an_image_has_a_possible_size(m.image[4])
    an_image_is_named_by_its_content(m.image)
    the_architecture_is_known(m.arch)
    there_are_2_to_8_finalists(m.finalists)
    float_kind_and_choice_are_known(m.float_kind, m.on_cheat)
    tolerance_and_floor_are_losses(m.tol, m.floor)
    the_bounty_is_large_enough(m.bounty, p.min_bounty)
    the_fee_covers_the_evaluation(m.fee, least_fee(m.e * m.limits[0], 1 + bool(m.hidden), m.limits[4], p.rate, m.evaluated))
    hidden_data_has_a_cid_and_a_possible_size(m.hidden)
    params_have_at_most_8_192_bytes(m.params)
    data_sets_are_named(m.data)
    data_sets_have_a_manifest_and_possible_sizes(m.data)
    data_sets_are_for_something(m.data)
    devices_are_possible(m.devices)
    an_earlier_model_is_possible(m.earlier, m.floor)


def post_job(s: State, sender: bytes, *fields: Any) -> None:
    """LC-JOB-20"""
    m = Terms(*fields)
    who_posts_is_not_suspended(s, sender)
    who_posts_stands(s, sender)
    _check_terms(s, m)
    enough_can_judge(*membership.flagged(s, sender, m.needed))
    p = JobParams(*s.get(b"gp3/"))
    old = Contractor(*(s.get(b"ja/" + sender) or [0, 0, 0, 0, 0, 0, 0, [], 0]))
    size = old.live_bytes + len(encode(m.raw))
    a_contractor_has_not_too_many_live_jobs(old.live, p.max_live)
    live_postings_have_not_too_many_bytes(size, p.max_live_bytes)
    account = s.account(sender)
    assert account is not None
    what_a_posting_locks_is_free(account.balance, m.bounty + m.fees + m.bond + m.deposit)
    job = tagged("lc/job", s.tx, bytes([s.op]))
    lock(s, sender, job + b"B", m.bounty, "bounty.locked", job)
    lock(s, sender, job + b"F", m.fees, "fees.locked", job)
    lock(s, sender, job + b"G", m.bond, "bond.locked", job)
    lock(s, sender, job + b"D", m.deposit, "deposit.locked", job)
    number = (s.get(b"jt/") or [0])[0]
    s.put(b"jt/", [number + 1])
    s.put(b"jn/" + number.to_bytes(8, "big"), [job])
    s.put(b"j/" + job, [number, m.expiry])
    s.put(b"jp/" + job, [sender, number, s.clock, m.raw])
    hidden = ON if m.hidden else NO_DATA
    s.put(
        b"jb/" + job,
        Job(OPEN, m.expiry, 0, 0, 0, b"", [], [], hidden, b"", 0, 0, [], 0, 0, [], [], 0, 0, 0, 0, 0, 0),
    )
    s.put(b"ja/" + sender, old._replace(posted=old.posted + 1, live=old.live + 1, live_bytes=size))
    schedule(s, sender, m.expiry, 3, job)
    s.noted("job.posted", job, sender, m.bounty, m.fee, m.expiry)


@check("LC-JOB-23", 321)
def the_sender_is_the_poster(work: Work, sender: bytes) -> bool:
    return sender == work.poster


@check("LC-JOB-50", 336)
def nobody_has_claimed(job: Job) -> bool:
    return job.claimants == 0


def _unclaimed(s: State, sender: bytes, job: bytes) -> Work:
    work = load(s, job)
    the_sender_is_the_poster(work, sender)
    in_state(work, OPEN)
    nobody_has_claimed(work.job)
    return work


def cancel_job(s: State, sender: bytes, job: bytes) -> None:
    """LC-JOB-50"""
    work = _unclaimed(s, sender, job)
    work.noted("cancelled", sender)
    finish(work, EMPTY, None)


@check("LC-JOB-51", 307)
def who_extends_is_not_suspended(s: State, sender: bytes) -> bool:
    return not _is_suspended(s, sender)


@check("LC-JOB-51", 308)
def who_extends_stands(s: State, sender: bytes) -> bool:
    return membership.stands(s, sender)


@check("LC-JOB-51", 301)
def the_new_expiry_is_later(new: int, old: int) -> bool:
    return new > old


def extend_job(s: State, sender: bytes, job: bytes, expiry: int) -> None:
    """LC-JOB-51"""
    work = _unclaimed(s, sender, job)
    who_extends_is_not_suspended(s, sender)
    who_extends_stands(s, sender)
    the_new_expiry_is_later(expiry, work.terms.expiry)
    _check_expiry(s, expiry)
    terms = work.terms._replace(expiry=expiry)
    record = work.contractor()
    size = record.live_bytes + len(encode(terms.raw)) - len(encode(work.terms.raw))
    work.set_contractor(record._replace(live_bytes=size))
    s.put(b"jp/" + job, [work.poster, work.number, work.posted, terms.raw])
    s.put(b"j/" + job, [work.number, expiry])
    work.enter(OPEN, expiry - s.clock)
    work.noted("extended", sender, expiry)


# --- Claim, Reveal, RevealKey ---------------------------------------------------------------------------------------------------


@check("LC-JOB-21", 307)
def who_claims_is_not_barred(work: Work, sender: bytes) -> bool:
    return not membership.barred_from(work.s, sender, work.poster)


@check("LC-JOB-21", 308)
def who_claims_stands(s: State, sender: bytes) -> bool:
    return membership.stands(s, sender)


@check("LC-JOB-21", 311)
def who_claims_is_not_the_poster(work: Work, sender: bytes) -> bool:
    return sender != work.poster


@check("LC-JOB-21", 312)
def a_claim_is_not_below_the_floor(loss: int, floor: int) -> bool:
    return loss >= floor


@check("LC-JOB-21", 312)
def a_claim_is_not_above_10_18(loss: int) -> bool:
    return loss <= LARGEST_LOSS


@check("LC-JOB-21", 315)
def there_is_room_for_a_claimant(job: Job, p: JobParams) -> bool:
    return job.claimants < p.max_claimants


@check("LC-JOB-21", 314)
def fewer_than_16_claims_came_before(claim: Claim) -> bool:
    return claim.made < 16


@check("LC-JOB-21", 313)
def a_claim_is_better_than_the_sender_s_last(terms: Terms, new: int, old: int) -> bool:
    return new + 2 * terms.tolerance(old) <= old


@check("LC-JOB-21", 313)
def a_first_claim_is_better_than_the_earlier_model(terms: Terms, loss: int) -> bool:
    return all(loss + 2 * terms.tolerance(old) <= old for _, _, _, old in terms.earlier)


def claim_loss(s: State, sender: bytes, job: bytes, loss: int, commitment: bytes, stake: bool) -> None:
    """LC-JOB-21"""
    work = load(s, job)
    in_state(work, OPEN)
    who_claims_is_not_barred(work, sender)
    who_claims_stands(s, sender)
    who_claims_is_not_the_poster(work, sender)
    a_claim_is_not_below_the_floor(loss, work.terms.floor)
    a_claim_is_not_above_10_18(loss)
    known = s.get(b"jm/" + job + sender)
    if known is None:
        index = work.job.claimants
        a_first_claim_is_better_than_the_earlier_model(work.terms, loss)
        there_is_room_for_a_claimant(work.job, work.p)
        account = s.account(sender)
        assert account is not None
        full = stake and account.balance >= work.terms.stake
        locked = work.terms.stake if full else 0
        lock(s, sender, job + sender, locked, "stake.locked", job)
        s.put(b"jm/" + job + sender, [index])
        work.set(claimants=index + 1)
        claim = Claim(sender, 1, loss, s.height, s.tx, s.op, commitment, s.clock, full, locked, b"", 0, 0, 0, [])
    else:
        index, old = known[0], work.claim(known[0])
        fewer_than_16_claims_came_before(old)
        a_claim_is_better_than_the_sender_s_last(work.terms, loss, old.loss)
        claim = old._replace(made=old.made + 1, loss=loss, commitment=commitment)
        claim = claim._replace(height=s.height, tx=s.tx, op=s.op, claimed=s.clock)
    work.put_claim(index, claim)
    work.noted("claim", sender, loss, claim.made)


@check("LC-JOB-22", 316)
def who_reveals_has_a_claim(known: Any) -> bool:
    return known is not None


@check("LC-JOB-22", 318)
def the_claim_is_not_revealed_yet(claim: Claim) -> bool:
    return not claim.model


@check("LC-JOB-22", 317)
def the_claim_that_stands_is_revealed(claim: Claim, number: int) -> bool:
    return number == claim.made


@check("LC-JOB-22", 320)
def a_model_has_a_cid(model: bytes) -> bool:
    return is_cid(model)


@check("LC-JOB-22", 320)
def a_model_has_a_possible_size(size: int, most: int) -> bool:
    return 1 <= size <= most


@check("LC-JOB-22", 319)
def the_reveal_opens_the_commitment(claim: Claim, opened: bytes) -> bool:
    return opened == claim.commitment


def reveal(s: State, sender: bytes, job: bytes, number: int, model: bytes, size: int, salt: bytes) -> None:
    """LC-JOB-22"""
    work = load(s, job)
    in_state(work, REVEAL)
    known = s.get(b"jm/" + job + sender)
    who_reveals_has_a_claim(known)
    if known is None:
        raise membership.Disappeared(sender)
    claim = work.claim(known[0])
    the_claim_is_not_revealed_yet(claim)
    the_claim_that_stands_is_revealed(claim, number)
    a_model_has_a_cid(model)
    a_model_has_a_possible_size(size, work.terms.limits[4])
    the_reveal_opens_the_commitment(claim, tagged("lc/claim", s.chain_id, job, sender, model[4:], salt))
    work.set_claim(known[0], model=model, size=size)
    work.set(revealed=work.job.revealed + 1)
    work.noted("reveal", sender, claim.loss, model, size)
    if work.job.revealed == work.job.claimants:
        with_the_last_reveal_t1_is_now(work)


@check("LC-JOB-23", 322)
def the_key_has_the_posted_hash(work: Work, key: bytes) -> bool:
    return sha(key) == work.terms.hidden[0][2]


def reveal_key(s: State, sender: bytes, job: bytes, key: bytes) -> None:
    """LC-JOB-23"""
    work = load(s, job)
    the_sender_is_the_poster(work, sender)
    in_state(work, KEY)
    the_key_has_the_posted_hash(work, key)
    work.set(key=key)
    work.noted("key", key)
    to_draw(work, 0, 1)
