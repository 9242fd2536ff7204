"""What README and the guides show can be typed: every command exists with these options, every file that is named is there."""

from __future__ import annotations

import re
import tomllib

import pytest
from cyclopts import MissingArgumentError

from learningchain.client import contracts
from learningchain.client.cli import app
from learningchain.client.schema.explain import TEXTS
from tests.unit.readme_kit import NOT_TYPED, ROOT, STARTS, TYPED, blocks, commands, readme

STARTING = ["README.md", *STARTS]
DOCUMENTS = [
    *STARTING,
    "CONTRIBUTING.md",
    "SECURITY.md",
    *sorted({str(page.relative_to(ROOT)) for page in (ROOT / "docs").rglob("*.md")} - {*STARTING}),
]
OTHERS = {"pledge": "docs/contracts.md makes this command"}
SHOWN = [
    (name, words)
    for name in DOCUMENTS
    for block in blocks(name)
    if block.language in ("sh", "text")
    for words in commands(block.text)
    if words[0] not in OTHERS
]
INLINE = [
    (name, words)
    for name in DOCUMENTS
    for text in re.findall(r"`(learningchain [^`]+)`", (ROOT / name).read_text())
    for words in commands(text)
]


@pytest.mark.parametrize(("name", "words"), SHOWN, ids=lambda v: v if isinstance(v, str) else " ".join(v)[:60])
def test_every_command_in_a_block_is_accepted(name: str, words: list[str]) -> None:
    command, bound, _ = app.build().parse_args(words, exit_on_error=False, print_error=False)
    assert callable(command) and bound is not None, name
    assert words[:2] != ["model", "serve"] or "/" in words[2], "who serves it is not who owns it"


@pytest.mark.parametrize(("name", "words"), INLINE, ids=lambda v: v if isinstance(v, str) else " ".join(v)[:60])
def test_every_command_in_the_text_is_there(name: str, words: list[str]) -> None:
    """A sentence may leave out what a command needs; what it names must be right."""
    words = [word for word in words if word != "--help"]
    try:
        app.build().parse_args(words, exit_on_error=False, print_error=False)
    except MissingArgumentError as e:
        assert list(e.command_chain or ()) == words, name


def test_every_command_that_a_refusal_names_is_there() -> None:
    texts = [" ".join(told) for part in contracts.parts(TEXTS).values() for told in part.refusals.values()]
    named = {words for text in texts for words in re.findall(r"learningchain ([a-z-]+(?: [a-z-]+)?)", text)}
    assert named and [words for words in named if not app.build().parse_commands(words.split())[0]] == []


@pytest.mark.parametrize(
    "name",
    [*DOCUMENTS, "CHANGELOG.md"],
)
def test_every_file_that_is_named_is_there(name: str) -> None:
    text = (ROOT / name).read_text()
    linked = [target for target in re.findall(r"\]\(([^)#]+)\)", text) if not target.startswith("http")]
    named = re.findall(
        r"`((?:tests|docs|examples|protocol_spec|scripts|chain|client|sandbox|p2p|benchmarks)/[A-Za-z0-9_./]*)`", text
    )
    folder = (ROOT / name).parent
    of_nodes = {"sandbox/data/"}
    missing = [path for path in linked if not (folder / path).exists()]
    missing += [path for path in named if path not in of_nodes and not (ROOT / path).exists()]
    assert missing == []


def headings(text: str) -> set[str]:
    return {re.sub(r"[^a-z0-9 -]", "", h.lower()).replace(" ", "-") for h in re.findall(r"^#+ (.*)$", text, re.MULTILINE)}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_heading_that_is_linked_is_there(name: str) -> None:
    text = (ROOT / name).read_text()
    linked = re.findall(r"\]\(([^)#:]*)#([^)]+)\)", text)
    missing = [
        f"{page}#{heading}"
        for page, heading in linked
        if heading not in headings(((ROOT / name).parent / page).read_text() if page else text)
    ]
    assert missing == []


def test_every_block_of_readme_is_typed_by_a_test_or_says_why_not() -> None:
    text = (ROOT / "README.md").read_text()
    assert len(NOT_TYPED) <= 5 and all(shown in text for shown in NOT_TYPED)
    for block in blocks("README.md"):
        assert (block.text in NOT_TYPED) + sum(words in block.text for words in TYPED) == 1, block.text
    assert [path for path in TYPED.values() if not (ROOT / path).exists()] == []


def test_what_readme_has_owners_of_data_type_is_in_their_guide() -> None:
    """tests/processes/test_fed_typed.py types the guide."""
    guide = [words for block in blocks(STARTS[2]) for words in commands(block.text)]
    assert [words for words in commands(readme("fed join")) if words not in guide] == []


def test_readme_installs_the_wheel_of_this_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert f"dist/learningchain-{version}-py3-none-any.whl" in readme("make package")


def test_every_page_is_on_the_list_of_pages() -> None:
    listed = (ROOT / "docs/README.md").read_text()
    pages = [str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md")]
    assert [page for page in pages if page != "README.md" and f"({page})" not in listed] == []
