"""The spec chapter and the code name the same statements, codes, messages, records, events and vectors."""

from __future__ import annotations

import json
import re
from pathlib import Path

import msgspec

import learningchain.chain.contracts.job as job
import learningchain.chain.verification as verification
from learningchain.chain.codec import encode
from learningchain.chain.contracts.job import messages, records
from learningchain.chain.contracts.job.messages import Ballot, Claim, JobCode
from learningchain.chain.host import Datum
from learningchain.chain.losses import Measurement
from learningchain.chain.verification import committee, ranking
from learningchain.chain.verification.votes import BallotCode

SPEC = (Path(__file__).parents[2] / "protocol_spec" / "job.md").read_text()
HOST = Path(__file__).parents[2] / "chain" / "host" / "terms.py"
ROOMS = [path for room in (job, verification) for path in sorted(Path(str(room.__file__)).parent.glob("*.py"))]
CODE = "".join(path.read_text() for path in (*ROOMS, HOST))


def section(title: str) -> str:
    return SPEC[SPEC.index(f"## {title}\n") :].partition("\n## ")[0]


def test_every_code_is_given_to_a_message_of_the_vectors() -> None:
    vector = json.loads((Path(__file__).parents[2] / "protocol_spec" / "vectors" / "jobs.json").read_text(encoding="utf-8"))
    given = {code for play in vector["plays"] for block in play["blocks"] for code in block["codes"]}
    assert {int(code) for code in JobCode} - given == set()


def test_codes_are_the_spec_s() -> None:
    table = {int(number): name for number, name in re.findall(r"\| (3\d\d) \| ([A-Z_]+) ", SPEC)}
    assert table == {int(code): code.name for code in JobCode}


def test_messages_and_their_fields_are_the_spec_s() -> None:
    rows = re.findall(r"^\| (9\d|10\d) \| (\w+) \| (.*) \|$", SPEC, re.MULTILINE)
    kinds = {kind.__struct_config__.tag: kind for kind in job.CONTRACT.messages}
    assert {int(tag): name for tag, name, _ in rows} == {tag: kind.__name__ for tag, kind in kinds.items()}
    for tag, _, fields in rows:
        flat = re.sub(r"\([^()]*\)|\[\[.*?\], …\]|\[.*?\]", "", re.sub(r"\([^()]*\)", "", fields))
        named = [field.strip() for field in flat.split(",") if field.strip()]
        assert named == [f.name for f in msgspec.structs.fields(kinds[int(tag)])]


def test_state_keys_and_told_fields_are_those_of_the_code() -> None:
    text = section("State")
    rows = dict(re.findall(r"^\| `(j[a-z]*/)`[^|]*\| (\w+) \|", text, re.MULTILINE))
    assert rows == {prefix.decode(): kind.__name__ for prefix, kind in records.STATE.items()}
    owner, fields_of = "", text.partition("| record | field |")[2].partition("| escrow |")[0]
    for name, fields in re.findall(r"^\| (\w*) ?\| ([a-z_, ]+) \|", fields_of, re.MULTILINE):
        owner = name or owner
        kind = getattr(records, owner)
        known = {f.name for f in msgspec.structs.fields(kind)}
        assert set(fields.split(", ")) <= known, (owner, fields)


def test_escrows_are_the_spec_s() -> None:
    suffixes = {shape.suffix.decode() for shape in records.ESCROWS if not shape.account}
    assert set(re.findall(r"job ‖ `([A-Z])`", section("State"))) == suffixes


def _told(data: tuple[Datum, ...]) -> list[str]:
    return [datum.name for datum in data]


def test_events_and_their_data_are_the_spec_s() -> None:
    stated: dict[str, list[str]] = {}
    for topics, data in re.findall(r"^\| ((?:`[a-z.]+`(?:, )?)+) \| (.*?) ?\|$", section("Events"), re.MULTILINE):
        if "escrow" not in data:
            names = [name.strip() for name in re.sub(r"\([^()]*\)", "", data).split(",") if name.strip()]
            stated |= dict.fromkeys(re.findall(r"`([a-z.]+)`", topics), names)
    assert stated == {topic: _told(data) for topic, data in job.CONTRACT.events.items()}


def test_reasons_for_which_credits_move_are_the_spec_s() -> None:
    text = section("Events").partition("| reason |")[2]
    stated = set(re.findall(r"`([a-z.]+)`", text))
    made = set(re.findall(r'"([a-z]+\.(?:locked|returned|burned))"', CODE))
    parts = {f"{what}.{how}" for what in ("bounty", "fees", "bond", "deposit") for how in ("locked", "returned")}
    assert stated == made | parts | {"bounty", "fee", "stake"}


def test_vectors() -> None:
    chain_id, job_id, model, salt, beacon = (bytes([n]) * 32 for n in (1, 2, 3, 4, 5))
    who, public = bytes([6]) * 20, Measurement(bytes([7]) * 32, 1234567, 10)
    ballots = [Ballot(BallotCode.OK, [public], [], True), Ballot(BallotCode.INVALID, [], [], False)]
    values = [
        messages.job_id_of(beacon, 7).hex(),
        messages.claim_commitment(chain_id, job_id, who, model, salt).hex(),
        encode(ballots).hex(),
        messages.vote_commitment(chain_id, job_id, 1, 2, who, ballots, salt).hex(),
        ranking.position(258, beacon, salt, 7).hex(),
        committee.ticket(beacon, job_id, 1, 2, who).hex(),
        encode(Claim(job_id, 123456789, salt, True)).hex(),
    ]
    assert re.findall(r"^\| [^|]+ \| ([0-9a-f]{10,}) \|$", SPEC, re.MULTILINE) == values
