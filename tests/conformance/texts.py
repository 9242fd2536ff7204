"""What is written as text: losses and credits (`encoding.md`), names of images (`job.md`), CIDs (`content.md`)."""

from __future__ import annotations

from tests.conformance.checks import check

DIGITS = frozenset("0123456789")
LOWER = frozenset("abcdefghijklmnopqrstuvwxyz") | DIGITS
MAX_INT = 2**63 - 1


def _parts(text: str) -> tuple[str, str, str, str]:
    """Sign, whole part, point, fraction."""
    sign = "-" if text.startswith("-") else ""
    whole, point, fraction = text[len(sign) :].partition(".")
    return sign, whole, point, fraction


@check("LC-ENC-7")
def a_loss_has_at_most_40_characters(text: str) -> bool:
    return len(text) <= 40


@check("LC-ENC-7")
def the_whole_part_of_a_loss_has_1_to_9_digits(whole: str) -> bool:
    return 1 <= len(whole) <= 9 and set(whole) <= DIGITS


@check("LC-ENC-7")
def the_whole_part_of_a_loss_has_no_zero_before_it(whole: str) -> bool:
    return whole == "0" or not whole.startswith("0")


@check("LC-ENC-7")
def a_loss_has_1_to_18_digits_behind_a_point(point: str, fraction: str) -> bool:
    return not point or (1 <= len(fraction) <= 18 and set(fraction) <= DIGITS)


def parse_loss(text: str) -> int:
    """In units of 1e-9, rounded towards plus infinity."""
    a_loss_has_at_most_40_characters(text)
    sign, whole, point, fraction = _parts(text)
    the_whole_part_of_a_loss_has_1_to_9_digits(whole)
    the_whole_part_of_a_loss_has_no_zero_before_it(whole)
    a_loss_has_1_to_18_digits_behind_a_point(point, fraction)
    value = int(whole or "0") * 10**18 + int((fraction + "0" * 18)[:18])
    return -(value // 10**9) if sign else -(-value // 10**9)


def write_loss(value: int) -> str:
    whole, fraction = divmod(abs(value), 10**9)
    return f"{'-' if value < 0 else ''}{whole}.{fraction:09}"


@check("LC-ENC-8")
def credits_have_1_to_13_digits_before_the_point(whole: str) -> bool:
    return 1 <= len(whole) <= 13 and set(whole) <= DIGITS


@check("LC-ENC-8")
def credits_have_no_sign(sign: str) -> bool:
    return sign == ""


@check("LC-ENC-8")
def the_whole_part_of_credits_has_no_zero_before_it(whole: str) -> bool:
    return whole == "0" or not whole.startswith("0")


@check("LC-ENC-8")
def credits_have_1_to_6_digits_behind_a_point(point: str, fraction: str) -> bool:
    return not point or (1 <= len(fraction) <= 6 and set(fraction) <= DIGITS)


@check("LC-ENC-8")
def credits_are_at_most_2_63_less_1(value: int) -> bool:
    return value <= MAX_INT


def parse_credits(text: str) -> int:
    """In micro-credits."""
    sign, whole, point, fraction = _parts(text)
    credits_have_no_sign(sign)
    credits_have_1_to_13_digits_before_the_point(whole)
    the_whole_part_of_credits_has_no_zero_before_it(whole)
    credits_have_1_to_6_digits_behind_a_point(point, fraction)
    value = int(whole or "0") * 10**6 + int((fraction + "000000")[:6])
    credits_are_at_most_2_63_less_1(value)
    return value


def write_credits(value: int) -> str:
    whole, fraction = divmod(value, 10**6)
    return f"{whole}.{fraction:06}".rstrip("0").rstrip(".")


# --- images and files ---------------------------------------------------------------------------------------------------------


@check("LC-JOB-42")
def an_image_reference_has_at_most_512_characters(text: str) -> bool:
    return len(text) <= 512


@check("LC-JOB-42")
def an_image_reference_ends_with_a_digest(digest: str) -> bool:
    return len(digest) == 64 and set(digest) <= DIGITS | frozenset("abcdef")


@check("LC-JOB-42")
def the_name_of_an_image_has_only_its_characters(name: str) -> bool:
    return set(name) <= LOWER | frozenset("._:/-")


@check("LC-JOB-42")
def the_name_of_an_image_begins_with_a_letter_or_digit(name: str) -> bool:
    return name[:1] in LOWER


@check("LC-JOB-42")
def the_name_of_an_image_ends_with_a_letter_or_digit(name: str) -> bool:
    return name[-1:] in LOWER


@check("LC-JOB-42")
def the_digest_of_an_image_is_marked_as_sha256(mark: str) -> bool:
    return mark == "@sha256:"


def check_image(text: str) -> None:
    an_image_reference_has_at_most_512_characters(text)
    name, _, rest = text.partition("@")
    the_digest_of_an_image_is_marked_as_sha256(f"@{rest[:7]}")
    an_image_reference_ends_with_a_digest(rest[7:])
    the_name_of_an_image_has_only_its_characters(name)
    the_name_of_an_image_begins_with_a_letter_or_digit(name)
    the_name_of_an_image_ends_with_a_letter_or_digit(name)


@check("LC-CONTENT-1")
def a_cid_has_36_bytes(cid: bytes) -> bool:
    return len(cid) == 36


@check("LC-CONTENT-1")
def a_cid_has_version_1(cid: bytes) -> bool:
    return cid[:1] == b"\x01"


@check("LC-CONTENT-1")
def a_cid_has_the_codec_raw_or_dag_pb(cid: bytes) -> bool:
    return cid[1:2] in (b"\x55", b"\x70")


@check("LC-CONTENT-1")
def a_cid_has_a_sha2_256_digest(cid: bytes) -> bool:
    return cid[2:4] == b"\x12\x20"


def check_cid(cid: bytes) -> None:
    a_cid_has_36_bytes(cid)
    a_cid_has_version_1(cid)
    a_cid_has_the_codec_raw_or_dag_pb(cid)
    a_cid_has_a_sha2_256_digest(cid)
