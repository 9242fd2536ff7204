# ruff: noqa: T201
"""What customers write, sorted by what it is about: `python -m learningchain.examples.sentences.data FOLDER` writes the folder that
`learningchain data publish FOLDER` takes."""

from __future__ import annotations

import csv
import io
import sys
from pathlib import Path

CLASSES = ("bill", "delivery", "account", "praise")
SENTENCES = {
    "bill": (
        "I was charged twice for the same order.|The amount on my invoice is wrong.|Why did the price go up this month?|"
        "Please send me a copy of the receipt.|My credit card was declined although it is valid.|I would like a refund.|"
        "The discount code was not applied.|There is a fee on my statement that I do not understand.|"
        "When will the money be back in my bank account?|Can I pay by bank transfer instead?|You took the payment too early.|"
        "The tax on this bill cannot be right.|I cancelled, and you still billed me.|How much do I owe you?|"
        "My subscription costs more than was advertised.|The invoice has the wrong company name."
    ),
    "delivery": (
        "My parcel has not arrived yet.|The box was damaged when it came.|Where is my order?|"
        "The courier left the package with a neighbour.|Can you ship to Norway?|The tracking number does not work.|"
        "Half of the items are missing from the shipment.|I received somebody else's order.|How long does shipping take?|"
        "The driver never rang the bell.|Please deliver it to another address.|It was supposed to be here on Monday.|"
        "The shipment is stuck at customs.|Could you leave it at the back door?|They sent the wrong size.|"
        "The glass was broken inside of the parcel."
    ),
    "account": (
        "I forgot my password.|I cannot log in any more.|How do I change my email address?|Please delete my profile.|"
        "The confirmation email never came.|Somebody else is using my login.|My username is not accepted.|"
        "The code for signing in does not arrive on my phone.|I want to turn off the newsletter.|"
        "How do I add a second user?|The site says that my session has expired.|My account is locked.|"
        "Where can I change my profile picture?|Two factor authentication does not work.|I registered twice by mistake.|"
        "The page for my settings is empty."
    ),
    "praise": (
        "Thank you, that was fast.|Great service, as always!|I love the new design.|Your support team was very kind.|"
        "Best shop I have ever used.|Everything was perfect.|I will recommend you to my friends.|What a lovely surprise!|"
        "The quality is better than I expected.|You made my day.|Keep up the good work.|My daughter is delighted with it.|"
        "I am really happy with this.|Five stars from me.|Well done, everybody.|It works wonderfully."
    ),
}


def split_sentences() -> tuple[bytes, bytes]:
    """Three quarters to learn from, every fourth to be judged by: a sentence and the number of its class on each line."""
    parts: tuple[list[tuple[str, int]], ...] = ([], [])
    for number, name in enumerate(CLASSES):
        for at, sentence in enumerate("".join(SENTENCES[name]).split("|")):
            parts[at % 4 == 3].append((sentence, number))
    return _table(parts[0]), _table(parts[1])


def _table(rows: list[tuple[str, int]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def write_folder(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in zip(("train.csv", "eval.csv"), split_sentences(), strict=True):
        (folder / name).write_bytes(table)


def main(argv: list[str]) -> int:
    if len(argv) != 1 or argv[0].startswith("-"):
        print("usage: python -m learningchain.examples.sentences.data FOLDER", file=sys.stderr)
        return 2
    write_folder(Path(argv[0]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
