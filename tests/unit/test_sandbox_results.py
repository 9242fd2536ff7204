"""result.json and progress lines: what a stranger's program may say, and nothing else."""

from __future__ import annotations

import pytest

from sandbox.docker.attached import FramedOutput
from sandbox.output import TAIL_CAP
from sandbox.results import BadResult, Progress, parse_progress, parse_result


def test_a_result_in_the_contracts_form_is_read() -> None:
    result = parse_result(b'{"v":1,"loss":"0.123456789","n":360,"probe_loss":"0.120000000"}', need_probe=True)
    assert (result.loss, result.n, result.probe_loss) == (123456789, 360, 120000000)


def test_a_loss_is_rounded_up_and_may_be_negative() -> None:
    assert parse_result(b'{"v":1,"loss":"-0.0000000019","n":1}', need_probe=False).loss == -1
    assert parse_result(b'{"v":1,"loss":"0.0000000001","n":1}', need_probe=False).loss == 1


def test_probe_loss_may_be_missing_only_in_training() -> None:
    assert parse_result(b'{"v":1,"loss":"1","n":1}', need_probe=False).probe_loss is None
    with pytest.raises(BadResult, match="no probe_loss"):
        parse_result(b'{"v":1,"loss":"1","n":1}', need_probe=True)


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"", "not JSON"),
        (b"[1]", "nested"),
        (b"1", "not a JSON object"),
        (b'{"v":1,"loss":"1","n":1', "not JSON"),
        (b'{"v":1,"loss":"1","n":1}x', "not JSON"),
        (b'{"v":1,"loss":"1","loss":"0","n":1}', "twice"),
        (b'{"v":1,"loss":{"a":"1"},"n":1}', "nested"),
        (b'{"v":1,"loss":["1"],"n":1}', "nested"),
        (b"[" * 4000, "nested"),
        (b'{"v":1,"loss":NaN,"n":1}', "NaN"),
        (b'{"v":1,"loss":"NaN","n":1}', "no loss"),
        (b'{"v":1,"loss":"1e3","n":1}', "no loss"),
        (b'{"v":1,"loss":"1\\n","n":1}', "no loss"),
        (b'{"v":1,"loss":0.5,"n":1}', "in quotes"),
        (b'{"v":1,"loss":"1234567890","n":1}', "no loss"),
        (b'{"v":1,"n":1}', "no loss"),
        (b'{"v":2,"loss":"1","n":1}', '"v":1'),
        (b'{"v":true,"loss":"1","n":1}', '"v":1'),
        (b'{"v":1,"loss":"1","n":0}', "positive"),
        (b'{"v":1,"loss":"1","n":true}', "positive"),
        (b'{"v":1,"loss":"1","n":1.0}', "positive"),
        (b'{"v":1,"loss":"1","n":' + b"9" * 3000 + b"}", "positive"),
        (b'{"v":1,"loss":"1","n":1,"extra":"1"}', "does not know"),
        (b'{"v":1,"loss":"1","n":1}' + b" " * 4096, "more than 4096"),
        (b'{"v":1,"loss":"\xff","n":1}', "UTF-8"),
    ],
)
def test_every_other_form_is_refused_and_named(raw: bytes, why: str) -> None:
    with pytest.raises(BadResult, match=why):
        parse_result(raw, need_probe=False)


def test_progress_lines() -> None:
    assert parse_progress(b'LC {"step":1,"of":9,"loss":0.3}') == Progress(1, 9, 0.3)
    assert parse_progress(b'LC {"step":1}') == Progress(1, None, None)
    for line in (b"LC", b"step 1", b'LC {"step":-1}', b'LC {"step":true}', b'LC {"of":1}', b'LC {"step":1,"loss":NaN}'):
        assert parse_progress(line) is None
    assert parse_progress(b'LC {"step":1,"loss":1e400}') == Progress(1, None, None)
    assert parse_progress(b'LC {"step":1,"pad":"' + b"x" * 500 + b'"}') is None


def frame(stream: int, data: bytes) -> bytes:
    return bytes([stream, 0, 0, 0]) + len(data).to_bytes(4, "big") + data


def test_output_arriving_byte_by_byte_gives_the_same_progress() -> None:
    data = frame(1, b'hello\nLC {"step":3,') + frame(2, b"a warning\n") + frame(1, b'"of":4}\nbye')
    reader = FramedOutput()
    seen = [progress for byte in data if (progress := reader.feed(bytes([byte])))]
    assert seen == [Progress(3, 4, None)]
    assert reader.tail() == 'hello\nLC {"step":3,a warning\n"of":4}\nbye'
    assert reader.total == len(reader.tail())


def test_a_line_that_never_ends_costs_no_memory_and_hides_no_progress() -> None:
    reader = FramedOutput()
    for _ in range(300):
        assert reader.feed(frame(1, b"x" * 65536)) is None
    assert reader.feed(frame(1, b'LC {"step":1}\n')) is None
    assert reader.feed(frame(1, b'LC {"step":2}\n')) == Progress(2)
    assert len(reader.tail()) <= TAIL_CAP
    assert reader.total > 300 * 65536


def test_control_characters_do_not_reach_the_terminal() -> None:
    reader = FramedOutput()
    reader.feed(frame(2, b"\x1b[2J\x07ok\n"))
    assert reader.tail() == "\N{REPLACEMENT CHARACTER}[2J\N{REPLACEMENT CHARACTER}ok\n"
