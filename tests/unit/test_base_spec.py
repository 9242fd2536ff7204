"""Spec and code name the same statements, codes, constants, tags; the generated chapters are what the code makes.

`LC_WRITE_VECTORS=1` writes the generated chapters anew.
"""

from __future__ import annotations

import ast
import inspect
import json
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

import learningchain.chain.params as params
from learningchain.chain.contracts import CONTRACTS, MESSAGES
from learningchain.chain.errors import Code, TxCode
from learningchain.chain.host import BASE_STATE
from learningchain.chain.ledger import genesis
from learningchain.chain.ledger.tx import parse_tx
from learningchain.chain.params import Params
from learningchain.chain.types import decode_block
from tests.vectors import records
from tests.vectors.execution_vectors import executions

ROOT = Path(__file__).parents[2]
SPEC = {path.stem: path.read_text(encoding="utf-8") for path in sorted((ROOT / "protocol_spec").glob("*.md"))}
ELSEWHERE = {"LC-JOB"}
"""Chapters with a test of their own that says more."""
OWN_TABLES = ("job", "prediction", "federation")
"""Contracts whose chapters list their state and codes themselves."""
PLACES = {
    "LC-CON-1": "learningchain.chain.types:Proposal",
    "LC-CON-2": "learningchain.chain.consensus.height:HeightState.collect",
    "LC-CON-3": "learningchain.chain.types:quorum",
    "LC-CON-4": "learningchain.chain.consensus.height:HeightState.proposer",
    "LC-CON-5": "learningchain.chain.consensus.machine:Consensus._apply_rules",
    "LC-CON-6": "learningchain.chain.consensus.machine:Consensus._schedule",
    "LC-CON-7": "learningchain.chain.consensus.machine:Consensus._wake",
    "LC-CON-8": "learningchain.chain.consensus.machine:Consensus._sign_vote",
    "LC-CON-9": "learningchain.chain.consensus.resend:again",
    "LC-CON-10": "learningchain.chain.consensus.messages:RoundState",
    "LC-CON-11": "learningchain.chain.consensus.resend:answer",
    "LC-CON-12": "learningchain.chain.consensus.votes:HeightVoteSet",
    "LC-CON-13": "learningchain.chain.consensus.validation:MessageValidator.classify",
    "LC-CON-14": "learningchain.chain.consensus.machine:Consensus._accuse",
    "LC-CON-15": "learningchain.chain.consensus.machine:Consensus",
    "LC-CON-16": "learningchain.chain.node.candidates:is_timely",
    "LC-P2P-9": "learningchain.p2p.transport:Network._up",
    "LC-P2P-11": "learningchain.p2p.wire:Reassembler",
    "LC-P2P-18": "learningchain.p2p.wire:Reassembler",
    "LC-P2P-21": "learningchain.p2p.transport:Network._check_connections",
    "LC-P2P-22": "learningchain.p2p.limits:Meter",
    "LC-P2P-23": "learningchain.p2p.transport:Network.penalize",
    "LC-P2P-30": "learningchain.p2p.transport:Network._peers_message",
}
"""Where statements are carried out that the code does not name: the consensus follows the paper line by line."""
_NUMBERS = r"\d+(?:(?:, | and )\d+)*"


def named(text: str) -> set[str]:
    """Ids in a text: `LC-TX-4, 5` names two, `LC-TX-4 to LC-TX-6` three."""
    found = set()
    for prefix, low, high in re.findall(r"LC-([A-Z0-9]+)-(\d+) to LC-[A-Z0-9]+-(\d+)", text):
        found |= {f"LC-{prefix}-{n}" for n in range(int(low), int(high) + 1)}
    for prefix, numbers in re.findall(rf"LC-([A-Z0-9]+)-({_NUMBERS})", text):
        found |= {f"LC-{prefix}-{n}" for n in re.split(r", | and ", numbers)}
    return found


def sources() -> str:
    folders = ("chain", "p2p", "sandbox", "client", "tests/conformance", "tests/vectors", "tests/unit")
    files = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    return "\n".join(path.read_text(encoding="utf-8") for path in files)


def of_chapters(ids: set[str]) -> set[str]:
    return {i for i in ids if i.rsplit("-", 1)[0] not in ELSEWHERE}


STATED = {i for text in SPEC.values() for i in re.findall(r"\*\*(LC-[A-Z0-9]+-\d+)\*\*", text)}


def test_every_statement_is_named_in_code_or_tests() -> None:
    assert of_chapters(STATED) - named(sources()) == set()


def test_no_code_names_a_statement_that_the_spec_lacks() -> None:
    prefixes = {i.rsplit("-", 1)[0] for i in STATED}
    assert "LC-CON" in prefixes
    missing = {i for i in of_chapters(named(sources())) - STATED if i.rsplit("-", 1)[0] in prefixes}
    ranges = {i for i in missing if i in named("\n".join(SPEC.values()))}
    assert missing - ranges == set()


def test_no_chapter_refers_to_a_statement_that_does_not_exist() -> None:
    for name, text in SPEC.items():
        single = {f"LC-{p}-{n}" for p, n in re.findall(r"LC-([A-Z0-9]+)-(\d+)", text)}
        prefixes = {i.rsplit("-", 1)[0] for i in STATED}
        assert {i for i in single - STATED if i.rsplit("-", 1)[0] in prefixes} == set(), name


def test_no_statement_is_made_twice() -> None:
    every = [i for text in SPEC.values() for i in re.findall(r"\*\*(LC-[A-Z0-9]+-\d+)\*\*", text)]
    assert sorted(every) == sorted(set(every))


@pytest.mark.parametrize(("statement", "place"), PLACES.items())
def test_a_statement_is_carried_out_where_this_table_says(statement: str, place: str) -> None:
    assert statement in STATED
    module, _, path = place.partition(":")
    tree: Any = ast.parse((ROOT / f"{module.replace('.', '/')}.py").read_text())
    for name in path.split("."):
        inside = [node for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)]
        tree = next((node for node in inside if node.name == name), None)
        assert tree is not None, f"{module} has no {path}"


def test_the_index_lists_every_chapter() -> None:
    for name in SPEC:
        assert name == "README" or f"{name}.md" in SPEC["README"], name


# --- what chapters say in numbers ---------------------------------------------------------------------------------------------


def test_state_keys_are_those_of_the_code() -> None:
    """LC-MRK-7"""
    prefixes = {p.decode(): kind.__name__ for p, kind in BASE_STATE.items()}
    prefixes |= {f"gp{c.number}/": c.params.__name__ for c in CONTRACTS if c.params}
    prefixes |= {p.decode(): kind.__name__ for c in CONTRACTS if c.name not in OWN_TABLES for p, kind in c.state.items()}
    rows = re.findall(r"^  \| `([a-z]+[0-9]*/)`[^|]*\| (\w+) \|", SPEC["merkle"], re.MULTILINE)
    assert dict(rows) == prefixes


def tag_of(kind: Any) -> int:
    return int(kind.__struct_config__.tag)


@pytest.mark.parametrize("chapter", ("job", "predictions", "federation"))
def test_a_table_of_fields_names_fields_of_its_records(chapter: str) -> None:
    kinds = {kind.__name__: kind.__struct_fields__ for kind in _kinds(CONTRACTS)}
    record, named = "", 0
    for head, fields in re.findall(r"^\| (\w*) ?\| ([a-z_]+(?:, [a-z_]+)*) \| .* \|$", SPEC[chapter], re.MULTILINE):
        record = head or record
        if record in kinds:
            named += 1
            assert set(fields.split(", ")) <= set(kinds[record]), record
    assert named > 15


def _kinds(contracts: Iterable[Any]) -> Iterator[Any]:
    """Every record of a contract's state, and those within."""
    for contract in contracts:
        for kind in contract.state.values():
            yield kind
            for field in msgspec.structs.fields(kind):
                yield from (one for one in _inside(field.type) if hasattr(one, "__struct_fields__"))


def _inside(kind: Any) -> Iterator[Any]:
    yield kind
    for one in get_args(kind):
        yield from _inside(one)


def _numbers(text: str) -> set[int]:
    """Message tags that a text gives, one by one or as `A to B`."""
    spans = re.findall(r"\b(\d{3}) to (\d{3})\b", text)
    alone = {int(tag) for tag in re.findall(r"\b\d{3}\b", text)}
    return alone | {tag for first, last in spans for tag in range(int(first), int(last) + 1)}


def test_urgent_and_once_are_the_messages_that_are() -> None:
    for statement, what in (("LC-TX-7", "urgent"), ("LC-TX-14", "once")):
        text = re.search(rf"\*\*{statement}\*\*.*?\n- ", SPEC["transactions"] + "\n- ", re.DOTALL)[0]  # type: ignore[index]
        for contract in CONTRACTS:
            tags = {tag_of(kind) for kind, spec in contract.messages.items() if getattr(spec, what)}
            if contract.name in ("prediction", "federation"):
                theirs = range(32 * contract.number, 32 * contract.number + 32)
                assert tags == _numbers(text) & set(theirs), contract.name


def test_the_sections_and_spans_of_a_genesis_are_those_of_the_code() -> None:
    text = re.search(r"\*\*LC-BLK-32\*\*.*?\n- \*\*", SPEC["blocks"], re.DOTALL)[0]  # type: ignore[index]
    assert {int(number): name for number, name in re.findall(r"\b(\d) ([a-z]+)\b", text.split("no other:")[1].split(".")[0])} == {
        contract.number: contract.name for contract in CONTRACTS
    }
    named = text.split("The spans are")[1].split("\n")[0]
    for number, fields in genesis.OF_CONTRACTS.items():
        spans = {name for name, field in fields.items() if genesis.span_unit(field)}
        assert number == 7 or spans == set(re.findall(r"[a-z0-9_]+", named)) & set(fields)


def test_message_tags_are_those_of_the_code() -> None:
    """LC-TX-1"""
    table = SPEC["transactions"][SPEC["transactions"].index("| tag |") : SPEC["transactions"].index("**LC-TX-2**")]
    rows = {int(tag): (name, chapter) for tag, name, chapter in re.findall(r"(\d+) \| (\w+) \| (\w+) \|", table)}
    tags = {tag_of(kind): (kind.__name__, c.name) for c in CONTRACTS for kind in c.messages}
    assert rows == tags
    for contract in CONTRACTS:
        assert all(32 * contract.number <= tag_of(kind) < 32 * contract.number + 32 for kind in contract.messages)
        assert all(100 * contract.number <= code < 100 * contract.number + 100 for code in contract.codes)


def test_topics_and_reasons_of_credits_and_membership_are_stated() -> None:
    for contract in (c for c in CONTRACTS if c.name in ("credits", "membership")):
        assert not [topic for topic in contract.events if f"`{topic}`" not in SPEC[contract.name]]
    for reason in ("transfer", "transfer-from"):
        assert f"`{reason}`" in SPEC["credits"]


def test_events_of_membership_have_the_data_that_the_chapter_says() -> None:
    found: dict[str, list[str]] = {}
    for topics, data in re.findall(r"^\| ((?:`[a-z.]+`(?:, )?)+) \| [^|]+ \| ([^|]*?) ?\|$", SPEC["membership"], re.MULTILINE):
        names = [name.strip() for name in re.sub(r"\([^()]*\)", "", data).split(",") if name.strip()]
        found |= dict.fromkeys(re.findall(r"`([a-z.]+)`", topics), names)
    said = {topic: [datum.name for datum in data] for c in CONTRACTS if c.name == "membership" for topic, data in c.events.items()}
    # A contract's reference is a job to people, who know of no other.
    assert found == {topic: ["reference" if name == "job" else name for name in names] for topic, names in said.items()}


# --- generated chapters -------------------------------------------------------------------------------------------------------


def documented(path: str, owner: str | None) -> dict[str, str]:
    """The text below each assignment of a module or class: its documentation."""
    tree: ast.Module | ast.ClassDef = ast.parse((ROOT / path).read_text())
    if owner is not None:
        tree = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == owner)
    found = {}
    for node, after in zip(tree.body, tree.body[1:], strict=False):
        target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0] if isinstance(node, ast.Assign) else None
        if isinstance(target, ast.Name) and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            found[target.id] = " ".join(str(after.value.value).split())
    return found


CODES_HEAD = """# Codes

Generated from the code, from the blocks of `vectors/executions.json`, `jobs.json` and `predictions.json`, and from the statements
of the contracts of jobs and predictions. 1 to 7 and from 100 on stand in receipts (LC-TX-6): the transaction stands in a block,
its sequence is used, its messages did nothing. 10 to 23 tell a submitter why a transaction cannot stand in a block (LC-TX-4, 9);
no receipt has them.

Which code wins:

1. Of a transaction that cannot stand in a block: the first of LC-TX-4, in the order of its table. 20 to 22 are a node's own and
   come after those.
2. Of several messages: that of the first message that is refused (LC-TX-6).
3. Of one message: 7 where it is for members and its sender left (LC-MEM-27); 6 where what it is about is parked (LC-BLK-20);
   then its tests in the order of its statement (LC-CRD-5, LC-MEM-6, LC-MEM-10, LC-MEM-13, LC-MEM-16, LC-MEM-21 to LC-MEM-29,
   LC-GOV-2 to LC-GOV-10, LC-KEY-1 to LC-KEY-7, and the statements of the contracts of jobs and predictions). Vectors:
   `executions`, for those of jobs `jobs`, of predictions `predictions`.

| code | name | of | given to | rules |
|---|---|---|---|---|
"""
NOT_IN_BLOCKS = {
    4: ("no message", {"LC-CRD-1"}),
    20: ("any, by one node", {"LC-NODE-15"}),
    21: ("any, by one node", {"LC-TX-9"}),
    22: ("any, by one node", {"LC-NODE-60"}),
    214: ("a vote", {"LC-MEM-24"}),
    230: ("a vote", {"LC-MEM-31"}),
}
"""Codes that no block of contracts 1 and 2 can cause."""


NOT_OF_A_CODE = {"LC-TX-5", "LC-TX-6", "LC-TX-12", "LC-TX-13", "LC-TX-14", "LC-BLK-25"}
"""Rules of vectors in which a code is not what matters."""
JOBS = 300
"""The hundred from here on is that of the job contract, whose chapter has a test of its own."""
CHAPTERS = {"job": "job", "prediction": "predictions", "federation": "federation"}
PLAYS = {"job": "jobs", "prediction": "predictions"}
"""Contracts whose codes are given in whole plays, and the file of these. Their statements name the codes; a code whose statements
are those of no message (bounds, openings) is given to the messages that the plays say."""


def given_codes() -> dict[int, tuple[set[str], set[str]]]:
    """For each code: the messages that got it, and the rules, in the vectors of executions."""
    found: dict[int, tuple[set[str], set[str]]] = {}
    for case in executions()["cases"]:
        if case.get("refused"):
            if case["code"] is not None:
                found.setdefault(case["code"], ({"any"}, set()))[1].add(case["rule"])
            continue
        txs = decode_block(records.unpacked(case["block"])).txs
        for code, raw in zip(case["codes"], txs, strict=True):
            ops = parse_tx(raw).ops
            if len(ops) == 1:
                messages, rules = found.setdefault(code, (set(), set()))
                messages.add(type(ops[0]).__name__)
                rules |= {case["rule"]} - NOT_OF_A_CODE
    return found


def played_codes(file: str) -> dict[int, set[str]]:
    """For each code: the messages that got it in a file of plays, each alone in its transaction."""
    found: dict[int, set[str]] = {}
    for play in json.loads((ROOT / "protocol_spec" / "vectors" / f"{file}.json").read_text(encoding="utf-8"))["plays"]:
        for block in play["blocks"]:
            txs = decode_block(records.unpacked(block["block"])).txs if any(block["codes"]) else []
            for code, raw in zip(block["codes"], txs, strict=False):
                ops = parse_tx(raw).ops if code else []
                if len(ops) == 1:
                    found.setdefault(code, set()).add(type(ops[0]).__name__)
    return found


def _stated(chapter: str, code: int, form: str = "") -> tuple[set[str], set[str]]:
    """The messages that the statements of a chapter which name a code begin with, and these statements.

    `form`: how the code stands there; a small number may stand for something else.
    """
    parts = re.split(r"\*\*(LC-[A-Z]+-\d+)\*\*", SPEC[chapter])
    statements = zip(parts[1::2], (text.partition("\n#")[0] for text in parts[2::2]), strict=True)
    found = {name: text for name, text in statements if re.search(form or rf"(?<!\d){code}(?!\d)", text)}
    # A statement of jobs begins with its message, one of predictions may have several.
    said = r"\A \*(\w+)\*" if chapter == "job" else r"\*(\w+)\*"
    messages = {name for text in found.values() for name in re.findall(said, text)}
    return messages & {kind.__name__ for kind in MESSAGES}, set(found)


def _in_order(rules: set[str]) -> str:
    return ", ".join(sorted(rules, key=lambda rule: (rule.rsplit("-", 1)[0], int(rule.rsplit("-", 1)[1]))))


def codes_chapter() -> str:
    given, played = given_codes(), {contract: played_codes(file) for contract, file in PLAYS.items()}
    rows = [(int(c), c.name, "all contracts") for c in Code] + [(int(c), c.name, "transactions") for c in TxCode]
    rows += [(int(c), c.name, contract.name) for contract in CONTRACTS for c in contract.codes]
    lines = []
    for number, name, of in sorted(rows):
        if number == Code.OK:
            to, rules = "every message", {"LC-TX-6"}
        elif number in NOT_IN_BLOCKS:
            to, rules = NOT_IN_BLOCKS[number]
        elif of in CHAPTERS:
            messages, rules = _stated(CHAPTERS[of], number)
            to = ", ".join(sorted(messages | played.get(of, {}).get(number, set())))
        else:
            messages, rules = given[number]
            if number == Code.PARKED:
                messages = {kind.__name__ for kind, (_, spec) in MESSAGES.items() if spec.subject is not None}
            elif of == "all contracts":
                more, stated = _stated("job", number, rf"\({number}\)")
                messages, rules = messages | more, rules | stated
            to = ", ".join(sorted(messages))
        lines.append(f"| {number} | {name} | {of} | {to} | {_in_order(rules)} |")
    return CODES_HEAD + "\n".join(lines) + "\n"


def test_every_code_that_a_block_can_cause_is_in_a_vector() -> None:
    """LC-TX-9: those of transactions, credits, membership and keys."""
    every = {int(c) for c in (*Code, *TxCode)} | {
        int(c) for contract in CONTRACTS if contract.name not in OWN_TABLES for c in contract.codes
    }
    assert every - set(NOT_IN_BLOCKS) == {
        code for code in given_codes() if code // 100 not in (JOBS // 100, JOBS // 100 + 1, JOBS // 100 + 2)
    }


@pytest.mark.parametrize("contract", PLAYS)
def test_every_code_of_a_contract_with_plays_is_in_one(contract: str) -> None:
    """LC-TX-9"""
    codes = next(c.codes for c in CONTRACTS if c.name == contract)
    assert {int(code) for code in codes} - set(played_codes(PLAYS[contract])) == set()


def constants_chapter() -> str:
    texts, fields = documented("chain/params.py", None), documented("chain/params.py", "Params")
    names = ["PROTOCOL_VERSION", "CREDIT", "LANES", *sorted(n for n in dir(params) if n.startswith("MAX_"))]
    lines = [
        "# Constants and parameters",
        "",
        "Generated from the code.",
        "",
        "## Constants",
        "",
        "| name | value | |",
        "|---|---|---|",
    ]
    lines += [f"| {name} | {getattr(params, name):,} | {texts.get(name, '')} |" for name in names]
    own = {"MAX_ACCOUNTS": genesis.MAX_ACCOUNTS, "MAX_GENESIS_BYTES": genesis.MAX_GENESIS_BYTES, "MAX_TIME": genesis.MAX_TIME}
    lines += [f"| {name} | {value:,} | genesis (LC-BLK-9, 16) |" for name, value in own.items()]
    lines += [
        "",
        "## Parameters",
        "",
        "Genesis fixes them, as integers from 1, block_reward from 0. Those of the ledger stand in this order in Params, those of",
        "each contract below in a record of its own. *By vote*: the values between which the validators may change one (LC-GOV-8).",
        "",
        "| name | default | by vote | |",
        "|---|---|---|---|",
    ]
    lines += [param_row(f, fields.get(f.name, "")) for f in msgspec.structs.fields(Params)]
    for contract in CONTRACTS:
        lines += ["", f"### Contract {contract.number}, {contract.name}", ""]
        if contract.params is None:
            lines += ["None."]
            continue
        file = Path(inspect.getfile(contract.params)).relative_to(ROOT)
        texts = documented(str(file), contract.params.__name__)
        lines += [f"In this order in the record {contract.params.__name__}.", ""]
        lines += ["| name | default | by vote | |", "|---|---|---|---|"]
        lines += [param_row(f, texts.get(f.name, "")) for f in msgspec.structs.fields(contract.params)]
    return "\n".join(lines) + "\n"


def param_row(f: msgspec.structs.FieldInfo, text: str) -> str:
    bounds = params.votable(f)
    return f"| {f.name} | {f.default:,} | {f'{bounds.low:,} to {bounds.high:,}' if bounds else 'never'} | {text} |"


RECORDS_HEAD = """# Records

Generated from the code: every record that is hashed, signed, stored or sent, with its tag where it has one, and its fields in
order (LC-ENC-4, 5, 10). What a field means stands in its chapter.

- **LC-ENC-9** A decoder takes at most so many bytes of a value that travels or is stored by itself. What stands inside another
  value is bounded by that one's limit.

  | type | bytes |
  |---|---|
{limits}

- **LC-ENC-10** How types are written: *uint*, *height*, *round*, *id*, *hash*, *key* and *signature* as in LC-ENC-6. `a..b` is
  an integer from a to b, `integer` any that the encoding can hold. `bytes a..b` and `text a..b` have that length, and any length
  where no bounds stand. `[x; a..b]` is a list of a to b items. `{{…}}` is a record without a name of its own. `scalar` is an
  integer, boolean, text or bytes. `message` is any record of *Messages of contracts*.
"""


def records_chapter() -> str:
    limits = "\n".join(f"  | {name} | {limit:,} |" for name, limit in records.LIMITS.items())
    lines = [RECORDS_HEAD.format(limits=limits)]
    for title, kinds in records.CHAPTERS.items():
        lines += [f"## {title}", "", "| record | tag | fields |", "|---|---|---|"]
        for kind in kinds:
            fields = "; ".join(f"{name} `{records.notation(of)}`" for name, of in records.fields_of(kind))
            tag = records.tag_of(kind)
            lines.append(f"| {records.name_of(kind)} | {'' if tag is None else tag} | {fields} |")
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


@pytest.mark.parametrize(
    ("name", "make"), [("codes", codes_chapter), ("constants", constants_chapter), ("records", records_chapter)]
)
def test_the_generated_chapter_is_what_the_code_makes(name: str, make: Any) -> None:
    path = ROOT / "protocol_spec" / f"{name}.md"
    if os.environ.get("LC_WRITE_VECTORS") == "1":
        path.write_text(make(), encoding="utf-8")
    assert path.exists() and path.read_text(encoding="utf-8") == make()


def test_codes_are_unique_and_named_in_their_chapters() -> None:
    """LC-TX-9"""
    every = [*Code, *TxCode, *(c for contract in CONTRACTS for c in contract.codes)]
    assert len({int(c) for c in every}) == len(every)
    for contract in CONTRACTS:
        if contract.name not in OWN_TABLES:
            for code in contract.codes:
                assert f"({int(code)})" in SPEC[contract.name], code
