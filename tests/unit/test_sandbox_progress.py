"""Progress lines and what is kept of a job's output: what a stranger's program may say, and nothing else."""

from __future__ import annotations

import tracemalloc

import pytest

from learningchain.sandbox.docker.attached import FramedOutput
from learningchain.sandbox.output import TAIL_CAP
from learningchain.sandbox.progress import Progress, parse_progress


def test_progress_lines() -> None:
    assert parse_progress(b'LC {"step":1,"of":9,"loss":0.3}') == Progress(1, 9, 0.3)
    assert parse_progress(b'LC {"step":1}') == Progress(1, None, None)
    for line in (b"LC", b"step 1", b'LC {"step":-1}', b'LC {"step":true}', b'LC {"of":1}', b'LC {"step":1,"loss":NaN}'):
        assert parse_progress(line) is None
    for line in (b'LC {"step":1,"step":2}', b'LC {"step":1,"of":[1]}', b'LC {"step":{}}', b'LC {"step":1}x', b'LC {"step":"\xff"}'):
        assert parse_progress(line) is None
    assert parse_progress(b'LC {"step":1,"loss":1e400}') == Progress(1, None, None)
    assert parse_progress(b'LC {"step":1,"pad":"' + b"x" * 500 + b'"}') is None


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (b"step=3 loss=0.25", Progress(3, None, 0.25)),
        (b"Epoch 3/10, val_loss: 2.5e-3, acc: 0.9", Progress(3, 10, 0.0025)),
        (b"[2026-03-01] INFO iteration: 40 training loss = 1", Progress(40, None, 1.0)),
        (b'{"epoch": 2, "train_loss": 0.125, "lr": 0.1}', Progress(2, None, 0.125)),
        (b"{'loss': 0.5, 'grad_norm': 1.2, 'epoch': 1.0}", Progress(1, None, 0.5)),
        (b"global_step 7 loss: -.5", Progress(7, None, -0.5)),
        (b"step 3", None),
        (b"loss=0.25", None),
        (b"footstep=3 gloss=0.25", None),
        (b"step=3 loss=nan", None),
        (b"step=3 loss=1e300", None),
        (b"step=3 loss=0.2.5", None),
        (b"step=3 loss=" + b"1" * 100, None),
        (b"step=9999999999999999 loss=1", Progress(999999999999999, None, 1.0)),
        (b"step=3 loss=0.25" + b" " * 500, None),
    ],
)
def test_what_trainers_commonly_print_is_progress_too(line: bytes, found: Progress | None) -> None:
    assert parse_progress(line) == found


def test_lines_that_nearly_are_progress_cost_no_more_than_others() -> None:
    for part in (b"step ", b"loss=1", b"[", b"train_", b"1/1/"):
        for _ in range(2_000):
            parse_progress((b"loss " + part * 200)[:511])


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
    reader, piece = FramedOutput(), frame(1, b"x" * 65536)
    tracemalloc.start()
    try:
        for _ in range(300):
            assert reader.feed(piece) is None
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 2**20, "of twenty megabytes"
    assert reader.feed(frame(1, b'LC {"step":1}\n')) is None
    assert reader.feed(frame(1, b'LC {"step":2}\n')) == Progress(2)
    assert len(reader.tail()) <= TAIL_CAP
    assert reader.total > 300 * 65536


def test_control_characters_do_not_reach_the_terminal() -> None:
    reader = FramedOutput()
    reader.feed(frame(2, b"\x1b[2J\x07ok\n"))
    assert reader.tail() == "\N{REPLACEMENT CHARACTER}[2J\N{REPLACEMENT CHARACTER}ok\n"
