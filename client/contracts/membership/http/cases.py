"""Open cases as people see them: what each needs to become a ban, what happens if nobody speaks, until when. Only reads."""

from __future__ import annotations

from datetime import UTC, datetime

from learningchain.chain.contracts import BY_NUMBER
from learningchain.chain.contracts.membership import Case, Judged, MemberParams, confirmations_needed, judged_key
from learningchain.chain.contracts.membership.duties import judges, open_case
from learningchain.chain.contracts.membership.records import NUMBER
from learningchain.chain.crypto import address
from learningchain.chain.host import SUSPENDED, Account, Reader, account_key, read_params
from learningchain.chain.host.terms import Arch
from learningchain.chain.verification.votes import Judgement
from learningchain.client.schema.render import Json


def why_not_confirm(reader: Reader, judge: bytes, case: Case) -> str | None:
    """LC-MEM-20: why a judge may lift the case, not confirm it; None where it may do both."""
    if _status(reader, judge) == SUSPENDED:
        return "suspended itself, it may not confirm"
    for entry in case.refs:
        contract = BY_NUMBER.get(entry.contract)
        if contract is not None and contract.party is not None and contract.party(reader, entry.ref, judge):
            return "with a part in a job of the case, it may not confirm"
    return None


def corroborated(reader: Reader, account: bytes, at: int) -> bool:
    """LC-MEM-5, as it would be at a time of the chain clock if nothing more came."""
    known, life = reader.get(judged_key(account)), read_params(reader, NUMBER, MemberParams).standing_life
    recent = [entry for entry in known.last if at - entry.time < life] if isinstance(known, Judged) else []
    accusers = {entry.origin for entry in recent if entry.verdict == Judgement.FALSE and not entry.lifted}
    vouchers = {entry.origin for entry in recent if entry.verdict == Judgement.OK}
    return len(accusers) > 1 and vouchers <= accusers


def view(reader: Reader, account: bytes) -> Json | None:
    """The case against an account, with its standing in words; None where there is none."""
    case = open_case(reader, account)
    if case is None:
        return None
    sitting, doubled = judges(reader, account), corroborated(reader, account, case.until)
    counted = {judge for judge in sitting if judge in case.confirm or why_not_confirm(reader, judge, case) is None}
    needed = confirmations_needed(len(sitting), len(counted), corroborated=doubled)
    shown: Json = {
        "number": case.number,
        "since": case.since,
        "until": case.until,
        "refs": [{"ref": r.ref.hex(), "owner": address(r.owner), "origin": address(r.origin)} for r in case.refs],
        "corroborated": doubled,
        "judges": len(sitting),
        "counted": len(counted),
        "confirm": [address(v) for v in case.confirm],
        "lift": [address(v) for v in case.lift],
        "to_ban": needed,
        "to_lift": len(sitting) // 2 + 1,
    }
    return shown | {"words": _words(case, sitting, len(counted), needed, doubled)}


def waiting(reader: Reader, account: bytes, me: bytes) -> Json | None:
    """A case as one of its judges looks at it, whose word it may wait for."""
    case, shown = open_case(reader, account), view(reader, account)
    if case is None or shown is None:
        return None
    said = "confirm" if me in case.confirm else "lift" if me in case.lift else None
    may = [] if me not in judges(reader, account) else ["lift"] if why_not_confirm(reader, me, case) else ["confirm", "lift"]
    return {"account": address(account), "case": shown, "own_word": said, "may": may}


def _words(case: Case, sitting: set[bytes], counted: int, needed: int | None, doubled: bool) -> list[str]:
    """What the case is, what bans, what happens otherwise: a sentence each."""
    confirms, lifts = len(sitting & {*case.confirm}), len(sitting & {*case.lift})
    origins, claims = len({ref.origin for ref in case.refs}), len(case.refs)
    why = "false claims were measured for two posters and no third one vouches" if doubled else "not corroborated"
    end = clock_text(case.until)
    strikes = "without a strike" if lifts > confirms else f"with a strike for {'each poster' if origins > 1 else 'the poster'}"
    return [
        f"{claims} false claim{'s' * (claims > 1)} in jobs of {origins} poster{'s' * (origins > 1)}; {why}.",
        f"{_ban_words(len(sitting), counted, needed, doubled)} by {end}: {confirms} confirm, {lifts} lift.",
        f"If nobody says more it lapses then: what is frozen comes back, {strikes}."
        if needed is None or confirms < needed
        else "As it stands it bans.",
        f"{len(sitting) // 2 + 1} lifting judges end it at once.",
    ]


def _ban_words(judges: int, counted: int, needed: int | None, doubled: bool) -> str:
    """LC-MEM-7: whose words it takes. Who is suspended, or posted or claimed in a job of the case, counts among none."""
    if needed is None:
        return f"Only {counted} of {judges} judges may confirm: too few to ban, which a proposal may (`learningchain propose ban`)"
    share = "more than two thirds"
    if doubled:
        share = "more than half" if counted // 2 >= judges // 3 else "more than a third of all"
    among = f"{counted} judges" if counted == judges else f"the {counted} of {judges} judges that may confirm"
    return f"A ban, which burns everything that the account holds, needs {needed} of {among} ({share})"


def clock_text(clock: int) -> str:
    """A time of the chain clock, which follows the time of day and may lag behind it."""
    return f"{datetime.fromtimestamp(clock / 1_000, UTC):%Y-%m-%d %H:%M} UTC (chain clock)"


def arch_text(arch: int) -> str:
    return Arch(arch).name.lower() if arch in set(Arch) else str(arch)


def _status(reader: Reader, identity: bytes) -> int | None:
    account = reader.get(account_key(identity))
    return account.status if isinstance(account, Account) else None
