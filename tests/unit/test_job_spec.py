"""The spec chapter and the code name the same statements, codes, messages and vectors."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

import chain.contracts.job as job
import chain.verification as verification
from chain.codec import encode
from chain.contracts.job import messages, rules
from chain.contracts.job.messages import Ballot, Claim, JobCode
from chain.contracts.job.rules import HiddenVote, VoteCode

SPEC = (Path(__file__).parents[2] / "protocol_spec" / "job.md").read_text()
CODE = "".join(path.read_text() for room in (job, verification) for path in sorted(Path(str(room.__file__)).parent.glob("*.py")))


def ids(text: str) -> set[str]:
    """`LC-JOB-11, 12` names two."""
    found = set()
    for numbers in re.findall(r"LC-JOB-(\d+(?:, \d+)*)", text):
        found |= set(numbers.split(", "))
    return found


def test_every_statement_is_carried_out_somewhere_and_no_code_names_a_missing_one() -> None:
    stated = set(re.findall(r"\*\*LC-JOB-(\d+)\*\*", SPEC))
    assert stated == ids(CODE)
    assert stated == ids(SPEC)


def test_codes_are_the_spec_s() -> None:
    table = {int(number): name for number, name in re.findall(r"\| (3\d\d) \| ([A-Z_]+) ", SPEC)}
    assert table == {int(code): code.name for code in JobCode}


def test_messages_and_their_fields_are_the_spec_s() -> None:
    rows = re.findall(r"^\| (9\d|10\d) \| (\w+) \| (.*) \|$", SPEC, re.MULTILINE)
    kinds = {kind.__struct_config__.tag: kind for kind in job.CONTRACT.messages}
    assert {int(tag): name for tag, name, _ in rows} == {tag: kind.__name__ for tag, kind in kinds.items()}
    for tag, _, fields in rows:
        flat = re.sub(r"\([^()]*\)|\[.*?\](?:, …\])?", "", fields)
        named = [field.strip() for field in flat.split(",") if field.strip()]
        assert named == [f.name for f in msgspec.structs.fields(kinds[int(tag)])]


def test_topics_and_reasons_are_the_spec_s() -> None:
    events = SPEC[SPEC.index("## Events") : SPEC.index("## Where the rule")]
    stated = set(re.findall(r"`([a-z.]+)`", events))
    topics = set(re.findall(r'emit\(\s*"([a-z.]+)"', CODE))
    reasons = set(re.findall(r'"([a-z]+\.(?:locked|returned|burned))"', CODE))
    assert topics | reasons | {"bounty", "fee", "stake"} == stated


def test_vectors() -> None:
    chain_id, job_id, model, salt, beacon = (bytes([n]) * 32 for n in (1, 2, 3, 4, 5))
    who = bytes([6]) * 20
    ballots = [Ballot(VoteCode.OK, 123456789, 120000000, 0, 0), Ballot(VoteCode.INVALID, 0, 0, HiddenVote.BADKEY, 0)]
    values = [
        messages.job_id_of(beacon, 7).hex(),
        messages.claim_commitment(chain_id, job_id, who, model, salt).hex(),
        encode(ballots).hex(),
        messages.vote_commitment(chain_id, job_id, 1, 2, who, ballots, salt).hex(),
        rules.ticket(beacon, job_id, 1, 2, who).hex(),
        str(rules.probe_of(beacon, job_id, 1, 2)),
        encode(Claim(job_id, 123456789, salt)).hex(),
    ]
    assert re.findall(r"^\| [^|]+ \| ([0-9a-f]{10,}) \|$", SPEC, re.MULTILINE) == values
