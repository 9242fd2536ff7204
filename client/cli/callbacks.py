"""`callback`: where the running node tells what happens to something of this account's, and how that goes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from learningchain.client import reading
from learningchain.client.cli.common import HERE, Common, WrongUsage, clean, facts, show_list, when
from learningchain.client.cli.options import Parameter
from learningchain.client.cli.paper import Console

if TYPE_CHECKING:
    from learningchain.client.schema.bodies import CallbackEventView, CallbackView
    from learningchain.client.sdk.client import Client

MAX_SECRET_FILE = 1_024
PAGE, PAGE_MOST = 100, 1_000
MOST_TARGETS = 10_000
"""That a node keeps (`client.callbacks.database`)."""
_HEX = re.compile(r"[0-9a-f]{6,64}", re.ASCII)

Ref = Annotated[str, Parameter(name="REF", help="What it is about, such as a request: its id, or its first digits.")]
Url = Annotated[str, Parameter(name="URL", help="https://...; http:// only to addresses that callback.allow names.")]
SecretFile = Annotated[
    Path | None, Parameter(help="File with the secret that signs (whsec_...). Without it the node makes one and shows it once.")
]


def secret_in(file: Path | None) -> str | None:
    """What a file says, checked here: a secret is no good as an argument, which every process of the machine can read."""
    from learningchain.client.callbacks.signatures import parse_secret

    if file is None:
        return None
    try:
        text = reading.one_line(reading.file(file, MAX_SECRET_FILE).decode().strip())
        parse_secret(text)
    except (OSError, UnicodeDecodeError, ValueError) as e:
        raise WrongUsage(f"{file} holds no secret of a callback: {e}. Make one: whsec_ and base64 of 32 random bytes") from None
    return text


def list_callbacks(
    *,
    limit: Annotated[int | None, Parameter(help=f"Most that are listed. Default: {PAGE}, with --json all that there are.")] = None,
    common: Common = HERE,
) -> int:
    """What is told where, the newest first. Those that a token asked for are `revoked` as soon as it has ended."""
    if limit is not None and not 1 <= limit <= MOST_TARGETS:
        raise WrongUsage(f"--limit is a number from 1 to {MOST_TARGETS}, not {limit}")
    most = limit or (MOST_TARGETS if common.json else PAGE)
    found = common.ask(lambda node: _newest(node, most + 1))
    more, found = len(found) > most, found[:most]

    show_list(
        common,
        found,
        "No callbacks. predict --callback URL asks for one, and so does: learningchain callback add",
        ["about", "of", "state", "told", "URL"],
        lambda one: [one["ref"][:16], one["source"], one["state"], _summary(one), clean(one["url"])],
    )
    if more:
        common.out.note(f"There are older ones than these {most}: learningchain callback list --limit {MOST_TARGETS}{common.again}")
    return 0


def show(ref: Ref, /, *, common: Common = HERE) -> int:
    """What was told of one thing, what waits, and what the last answers were."""
    found = common.ask(lambda node: _whole(node, ref))
    common.out.show(found, lambda console: console.print(facts(found["ref"], rows_of(found))))
    if any(event["state"] == "given_up" for event in found["events"]):
        common.out.note(f"To try again what was given up: learningchain callback retry {found['ref'][:16]}{common.again}")
    return 0


def add(
    source: Annotated[str, Parameter(name="SOURCE", help="The contract that it is of, such as prediction.")],
    ref: Annotated[str, Parameter(name="REF", help="What it is about, such as the id of a request: 64 hex digits.")],
    url: Url,
    /,
    *,
    secret_file: SecretFile = None,
    common: Common = HERE,
) -> int:
    """Have what happens to something told to a URL, also what has happened: at least once, in order, signed by a secret."""
    secret = secret_in(secret_file)
    made = common.ask(lambda node: node.add_callback(source, ref, url, secret=secret))
    common.out.show(made, lambda console: console.print(facts(made["ref"], rows_of(made))))
    say_secret(common, made.get("secret"))
    return 0


def test(url: Url, /, *, secret_file: SecretFile = None, common: Common = HERE) -> int:
    """Post an event of the name test to a URL now, on the way that real ones take. Exit code 1: it was not taken."""
    secret = secret_in(secret_file)
    common.out.note("The node posts an event of the name test. It waits 15 s for an answer.")
    done = common.ask(lambda node: node.test_callback(url, secret=secret))

    def people(console: Console) -> None:
        said = f"Taken: the answer was {done['status']}." if done["taken"] else f"Not taken: {done['note']}"
        console.print(clean(said), soft_wrap=True)

    common.out.show(done, people)
    if secret is None:
        common.out.note(f"It was signed with {done.get('secret')}, which nothing else is. --secret-file names yours.")
    return 0 if done["taken"] else 1


def retry(ref: Ref, /, *, common: Common = HERE) -> int:
    """Try now what waits or was given up, and for three more days."""

    async def again(node: Client) -> tuple[CallbackView, int]:
        whole = await _whole(node, ref)
        return whole, (await node.retry_callback(whole["ref"]))["events"]

    whole, count = common.ask(again)

    def people(console: Console) -> None:
        what = f"{count} event{'' if count == 1 else 's'} tried now" if count else "everything was told, nothing is tried"
        console.print(f"{whole['ref'][:16]}: {what}.")

    common.out.show({"ref": whole["ref"], "events": count}, people)
    return 0


def remove(ref: Ref, /, *, common: Common = HERE) -> int:
    """Tell nothing more of it, and forget URL and secret."""

    async def gone(node: Client) -> str:
        whole = await _whole(node, ref)
        await node.remove_callback(whole["ref"])
        return whole["ref"]

    whole = common.ask(gone)
    common.out.show({"ref": whole, "removed": True}, lambda console: console.print(f"Nothing more is told of {whole}."))
    return 0


# --- parts -----------------------------------------------------------------------------------------------------------------------


async def _newest(node: Client, most: int) -> list[CallbackView]:
    """A page after the other."""
    found: list[CallbackView] = []
    while len(found) < most:
        asked = min(PAGE_MOST, most - len(found))
        page = await node.callbacks(limit=asked, before=found[-1] if found else None)
        found += page
        if len(page) < asked:
            break
    return found


async def _whole(node: Client, ref: str) -> CallbackView:
    """The callback whose reference begins so."""
    if not _HEX.fullmatch(ref):
        raise WrongUsage(f"{ref[:80]!r} is no reference: give its hex digits, at least six. learningchain callback list shows them")
    if len(ref) == 64:
        return await node.callback(ref)
    found = [one for one in await _newest(node, MOST_TARGETS) if one["ref"].startswith(ref)]
    if len(found) != 1:
        what = f"{len(found)} callbacks begin" if found else "No callback begins"
        raise WrongUsage(f"{what} with {ref}. learningchain callback list shows them")
    return found[0]


def say_secret(common: Common, secret: str | None) -> None:
    """Once: the node does not show it again."""
    if secret is not None:
        common.out.note(f"Events are signed with {secret} . Keep it where they are received: it is not shown again.")


def rows_of(found: CallbackView) -> list[tuple[str, Any]]:
    """For people, of one callback."""
    whose = f", asked for by token {found['token']}" if found["token"] else ""
    ended = ": that token was revoked or has expired" if found["state"] == "revoked" else ""
    state = f"{found['state']}{whose}{ended}"
    rows: list[tuple[str, Any]] = [("about", found["source"]), ("told to", clean(found["url"])), ("state", state)]
    return [*rows, *((event["event"], clean(event_words(event))) for event in found["events"])]


def event_words(event: CallbackEventView) -> str:
    tries = f"{event['attempts']} attempt{'' if event['attempts'] == 1 else 's'}"
    if event["state"] == "delivered":
        return f"delivered {when(event['changed'])}, {tries}"
    why = f": {event['note']}" if event["note"] else ""
    if event["state"] == "given_up" or event["due"] is None:
        return f"given up after {tries}{why}"
    return f"waits, {tries}, next {when(event['due'])}{why}" if event["attempts"] else "waits for its first attempt"


def _summary(found: CallbackView) -> str:
    told = sum(event["state"] == "delivered" for event in found["events"])
    return f"{told} of {len(found['events'])}"
