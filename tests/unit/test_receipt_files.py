"""Receipt files: the product and `verify.py` take what the vectors say and nothing else, and a flipped bit proves nothing.

LC-LIGHT-1 to LC-LIGHT-7.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from learningchain.chain.codec import encode, read
from learningchain.chain.errors import Malformed
from learningchain.chain.ledger.genesis import from_json
from learningchain.chain.ledger.receipt_file import (
    MAX_HANDOVERS,
    MAX_RECEIPT,
    MAX_RECEIPT_FILE,
    MAX_RECORDS,
    ReceiptFile,
    Way,
    check_receipt_file,
    make_receipt_file,
)
from learningchain.client.receipts import files as receipts
from learningchain.client.receipts.files import check_receipt
from tests.unit.test_api_receipts import VERIFIER

VECTOR: dict[str, Any] = json.loads((Path(__file__).parents[2] / "protocol_spec/vectors/receipts.json").read_text(encoding="utf-8"))
GENESIS_FILE = VECTOR["genesis"]["file"].encode()
GENESIS = from_json(GENESIS_FILE)
OTHER_FILE = VECTOR["other_genesis"]["file"].encode()
CASES = {case["why"]: case for case in VECTOR["cases"]}
GOOD = [why for why, case in CASES.items() if case["good"]]


def raw_of(why: str) -> tuple[bytes, bytes]:
    case = CASES[why]
    return bytes.fromhex(case["file"]), bytes.fromhex(case["trusted"])


def by_product(raw: bytes, trusted: bytes) -> object:
    return check_receipt_file(raw, trusted or GENESIS)


def by_stranger(raw: bytes, trusted: bytes) -> object:
    return VERIFIER.check(raw, b"" if trusted else GENESIS_FILE, trusted)


BOTH = pytest.mark.parametrize("check", [by_product, by_stranger], ids=["product", "verify.py"])
Check = Callable[[bytes, bytes], object]


def refused(check: Check, raw: bytes, trusted: bytes) -> bool:
    try:
        check(raw, trusted)
    except Malformed:
        return True
    except Exception:
        return check is by_stranger  # whatever it raises, it proves nothing; the product names what it refuses
    return False


@BOTH
@pytest.mark.parametrize("why", CASES)
def test_a_vector(why: str, check: Check) -> None:
    assert refused(check, *raw_of(why)) is not CASES[why]["good"]


@BOTH
def test_every_flipped_byte_is_refused(check: Check) -> None:
    raw, trusted = raw_of("a transfer")
    for at in range(0, len(raw), 1 if check is by_product else 3):
        masks = [1 << bit for bit in range(8)] if check is by_product else [1 << at % 8]
        for mask in masks:
            changed = raw[:at] + bytes([raw[at] ^ mask]) + raw[at + 1 :]
            assert refused(check, changed, trusted), f"byte {at} of {len(raw)} with bit {mask:#x} changed"


@pytest.mark.parametrize("why", ["over two handovers", "from a trusted block", "the block's own receipt"])
def test_every_flipped_byte_of_a_longer_way_is_refused(why: str) -> None:
    raw, trusted = raw_of(why)
    for at in range(len(raw)):
        changed = raw[:at] + bytes([raw[at] ^ 1 << at % 8]) + raw[at + 1 :]
        assert refused(by_product, changed, trusted), f"byte {at} of {len(raw)}"


def test_of_records_only_the_key_of_an_absent_one_can_be_another_question() -> None:
    """LC-LIGHT-7: and whoever is shown it sees that it is another key."""
    raw, trusted = raw_of("records, and that there is none")
    absent = next(record.key for record in read(ReceiptFile, raw).records if not record.record)
    begin = raw.index(absent)
    for at in range(len(raw)):
        changed = raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]
        if begin <= at < begin + len(absent) and not refused(by_product, changed, trusted):
            shown = read(ReceiptFile, changed)
            assert all(record.key != absent for record in shown.records)
            continue
        assert refused(by_product, changed, trusted), at


@BOTH
@pytest.mark.parametrize("why", GOOD)
def test_cut_and_lengthened_files_are_refused(why: str, check: Check) -> None:
    raw, trusted = raw_of(why)
    for size in [*range(0, len(raw), 1 if check is by_product else 17), len(raw) - 1]:
        assert refused(check, raw[:size], trusted), size
    for more in (b"\x00", b"\xc0", raw):
        assert refused(check, raw + more, trusted)


@pytest.mark.parametrize("why", [why for why in GOOD if not CASES[why]["trusted"]])
def test_another_genesis_makes_another_chain(why: str) -> None:
    raw, _ = raw_of(why)
    with pytest.raises(Malformed, match="the file is of chain"):
        check_receipt_file(raw, from_json(OTHER_FILE))
    with pytest.raises(ValueError, match="this genesis makes chain"):
        VERIFIER.check(raw, OTHER_FILE)


def test_what_fits_into_no_file_is_said() -> None:
    file = read(ReceiptFile, raw_of("over two handovers")[0])
    head = file.header, file.certificate
    with pytest.raises(Malformed, match="name a trusted block"):
        make_receipt_file(Way(None, file.handovers * MAX_HANDOVERS), *head)
    shown = file.receipts[0]
    with pytest.raises(Malformed, match="at most 1000000"):
        make_receipt_file(Way(None, []), *head, type(shown)(bytes(MAX_RECEIPT + 1), [], b"", []))
    record = read(ReceiptFile, raw_of("records, and that there is none")[0]).records[0]
    with pytest.raises(Malformed, match="at most 16"):
        make_receipt_file(Way(None, []), *head, None, [record] * (MAX_RECORDS + 1))
    with pytest.raises(Malformed):
        check_receipt_file(bytes(MAX_RECEIPT_FILE + 1), GENESIS)


def test_the_genesis_of_verify_is_that_of_the_program() -> None:
    """Also where the file leaves parameters and contracts to their defaults."""
    document = json.loads(GENESIS_FILE)
    least = document | {"params": {"block_reward": 7}}
    del least["contracts"]
    for shown in (document, least):
        raw = json.dumps(shown).encode()
        made = from_json(raw)
        chain_id, validators, name = VERIFIER.read_genesis(raw)
        assert (chain_id, name) == (made.chain_id, made.name)
        assert encode(validators) == encode(made.validators)
    wrongs: list[dict[str, Any]] = [
        {"params": {"unheard_of": 1}},
        {"contracts": {"unheard": {}}},
        {"contracts": {"job": {"quota": 1}}},
    ]
    for wrong in wrongs:
        with pytest.raises(ValueError, match="does not know"):
            VERIFIER.read_genesis(json.dumps(document | wrong).encode())


# --- the words beside what is proven ---------------------------------------------------------------------------------------------


def test_one_thing_is_trusted_and_no_more() -> None:
    """Else which of the two a receipt was held against would stand nowhere."""
    with pytest.raises(ValueError, match="say what is trusted"):
        check_receipt(b"")
    with pytest.raises(ValueError, match="say what is trusted"):
        check_receipt(b"", Path("genesis.json"), trusted="ab" * 32)
    for text in ("ab" * 31, "ab" * 33):
        with pytest.raises(ValueError, match="64 hex digits"):
            check_receipt(b"", trusted=text)


def test_a_file_of_the_bound_itself_is_read_and_one_byte_more_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receipts, "MAX_RECEIPT_FILE", 10)
    file = tmp_path / "one.lcr"
    file.write_bytes(bytes(10))
    assert receipts.read_receipt_file(file) == bytes(10)
    file.write_bytes(bytes(11))
    with pytest.raises(Malformed, match="more than 10 bytes"):
        receipts.read_receipt_file(file)
