"""The membership contract's part of an account in words: its inviter, what it verifies with, its strikes, the case against it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from learningchain.client.cli.common import counted, relative, size_text, when
from learningchain.client.schema.people import PeoplePart

if TYPE_CHECKING:
    from learningchain.client.contracts.membership.http.schema import MemberAccount


def role(found: MemberAccount) -> str | None:
    if found.get("left"):
        return "left"
    return "verifier" if found.get("verifier") else None


def rows(found: MemberAccount, clock: int) -> list[tuple[str, Any]]:
    """A case in words: what bans, what happens otherwise, until when."""
    told: list[tuple[str, Any]] = [
        ("invited by", found.get("inviter") or "nobody: it was there first, or the validators admitted it")
    ]
    told.append(("member since", when(found["since"]) if found.get("since") else "the network's beginning"))
    if left := found.get("left"):
        told.append(("left", relative(left, clock)))
    if strikes := [strike for strike in found.get("strikes") or [] if strike["end"] > clock]:
        last = relative(max(strike["end"] for strike in strikes), clock)
        told.append(("strikes", f"of {len(strikes)} posters, the last ends {last}; with 3 it neither claims nor is drawn"))
    if found.get("verifier"):
        told.append(("verifier", _verifies(found, clock)))
    told.append(("box key", found.get("box_key") or "none: nobody can seal anything for it"))
    if case := found.get("case"):
        told.append(("suspension", f"decided {relative(case['until'], clock)}"))
        told += [("", sentence) for sentence in case["words"]]
    return told


def _verifies(found: MemberAccount, clock: int) -> str:
    if found["rests_until"] > clock:
        return f"rests until {relative(found['rests_until'], clock)}: too many of its last duties were bad"
    if (own := found.get("capacity")) is None:
        return "never drawn: it declared no capacity"
    sizes = f"image {size_text(own['image'])}, model {size_text(own['model_cap'])}"
    return f"{own['arch']}, {counted(own['cpus_milli'] / 1_000, 'processor')}, {own['mem_mb']} MiB, {sizes}, {own['eval_s']} s"


PART = PeoplePart(rows, role)
