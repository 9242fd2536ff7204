"""What a job would cost, line by line: `job submit --dry-run`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from learningchain.client.cli.common import cell, facts, listing, span
from learningchain.client.cli.paper import Console, Text

if TYPE_CHECKING:
    from learningchain.client.contracts.job.http.schema import JobQuote

FULL_COMMITTEE = 7
"""With fewer that can judge, committees are smaller and cheaper to outvote: the command says so, and asks."""
_ENDS = {
    "PAID": "a winner is paid",
    "REFUNDED": "no claim holds",
    "EMPTY": "nobody shows a model",
}


def show_quote(console: Console, quote: JobQuote) -> None:
    """What is locked and why, what comes back in which end, who can judge, what others paid."""
    locks: list[list[Any]] = [
        ["bounty", quote["bounty"], "the winner gets it; otherwise it comes back"],
        ["fees", quote["fees"], f"{quote['fee']} a vote x 71 votes x {quote['finalists']} finalists; what is not paid comes back"],
        ["bond", quote["bond"], "of it burns what verdicts burn of workers' stakes; the rest comes back"],
    ]
    if quote["deposit"] != "0":
        locks.append(["deposit", quote["deposit"], "comes back, unless no key, or a wrong one, is revealed for the hidden data"])
    locks.append([Text("locked", style="bold"), Text(quote["total"], style="bold"), f"of {quote['free']} that are free"])
    console.print(listing(["", "credits", "what for"], locks, {"credits"}))
    console.print()
    ends = [[_ENDS.get(end["state"], end["state"]), end["usual"], end["most"]] for end in quote["ends"]]
    console.print(listing(["where the job ends so", "you paid about", "at most"], ends, {"you paid about", "at most"}))
    console.print()
    rows: list[tuple[str, Any]] = [
        ("can judge", judges_text(quote)),
        ("train so long", trainers_text(quote["trainers"], quote["train_s"])),
        ("least fee", f"{quote['least_fee']} a vote; you offer {quote['fee']}"),
        ("a worker stakes", f"{quote['stake']}, or nothing: then its claim can win, but end nothing"),
        ("comparable jobs", comparable_text(quote)),
        *([("", cell(f"compared: {quote['comparable']['how']}", "dim"))] if quote["comparable"]["jobs"] else []),
    ]
    console.print(facts("Who and what", rows))
    if refusal := quote["refusal"]:
        told = f"It would be refused now: {refusal['message']} ({refusal['name']} {refusal['code']})"
        console.print(cell(told, "red"), soft_wrap=True)


def judges_text(quote: JobQuote) -> Text:
    text = f"{quote['judges']} of {quote['verifiers']} verifiers declared machines that cover these limits"
    return cell(text, "" if quote["judges"] >= FULL_COMMITTEE else "red")


def trainers_text(trainers: int, train_s: int) -> Text:
    """How many nodes of others take on a training that is so long."""
    nodes = "node takes" if trainers == 1 else "nodes take"
    text = f"{trainers or 'no'} {nodes} on a training of {span(train_s)}"
    return cell(
        text if trainers else f"{text}: ask for less (--train-time), or owners to raise work.max_run_s", "" if trainers else "red"
    )


def comparable_text(quote: JobQuote) -> str:
    found = quote["comparable"]
    if not found["jobs"]:
        return "none that this node knows"
    without = f"{found['without_winner']} of {found['jobs']} paid nobody"
    if not found["paid"]:
        return f"{found['jobs']} ended, and none paid"
    bounties = f"{found['bounty_lowest']} to {found['bounty_highest']}, half of them at most {found['bounty_median']}"
    return f"{found['paid']} paid {bounties}; {without}; half of them had at most {found['claimants']} claimants"


def small_committee(quote: JobQuote) -> str:
    """What a posting risks that fewer than a whole committee can judge, and what helps: asking for less does only where that keeps
    verifiers away. Empty where enough can judge."""
    judges, verifiers = quote["judges"], quote["verifiers"]
    if quote["conspirators"] is None:
        return ""
    everybody = judges == verifiers
    who = f"{judges} {'verifier' if judges == 1 else 'verifiers'} beside you" if everybody else f"{judges} of {verifiers} verifiers"
    few = f"Only {who} can judge this job; a whole committee has {FULL_COMMITTEE}"
    risk = f"{few}. {quote['conspirators']} of them that conspire can have a false claim paid"
    if everybody:
        return f"{risk}: post it so among people you know, or wait until there are more"
    return (
        f"{risk}. Ask for less (--cpus, --mem-mb, --eval-time, --model-mb, a smaller image; learningchain image check says what is "
        "enough), or post it so among people you know"
    )


def priced(quote: JobQuote, yes: bool) -> str:
    """What a dry run ends with: what the same words without --dry-run would come to."""
    if quote["refusal"] is not None:
        return "Nothing was sent. Without --dry-run it is refused."
    if (risk := small_committee(quote)) and not yes:
        return f"Nothing was sent. {risk}. Without --dry-run you are asked whether to post it so; --yes says it beforehand."
    return "Nothing was sent. Without --dry-run the job is posted."
