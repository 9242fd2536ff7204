"""What the host makes of the losses that an evaluation leaves: a measurement, or whose fault it is that there is none."""

from __future__ import annotations

import pytest

from learningchain.chain.losses import MAX_EXAMPLES, MAX_LOSS, LossTree
from learningchain.sandbox import Outcome, RunStatus
from learningchain.sandbox.losses import MAX_LOSSES_BYTES
from learningchain.sandbox.results import BadResult, EvaluatedModels, EvaluationReader, EvaluationsReader, InvalidModel


def read(*pieces: bytes) -> object:
    reader = EvaluationReader()
    for piece in pieces:
        reader.take(piece)
    return reader.finish()


def test_losses_become_a_measurement_however_they_arrive() -> None:
    raw = b"0.5\n-0.25\n0.0000000001\n"
    for pieces in ([raw], [raw[at : at + 1] for at in range(len(raw))]):
        found = read(*pieces)
        assert (list(found.losses), found.measurement) == (  # type: ignore[attr-defined]
            [500_000_000, -250_000_000, 1],
            LossTree([500_000_000, -250_000_000, 1]).measurement,
        )
    assert found.measurement.mean == -(-250_000_001 // 3)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"0.5\nnan\n", "losses, line 2: 'nan' is no number"),
        (b"-Infinity\n", "losses, line 1: '-Infinity' is no number"),
        (b"1e-9\n", "losses, line 1: '1e-9' has an exponent"),
        (b"1234567890\n", "losses, line 1: '1234567890' has an exponent or too many digits"),
        (b"1000000000.0\n", "losses, line 1: '1000000000.0' has an exponent or too many digits"),
    ],
)
def test_a_number_that_no_vote_can_say_is_the_models(raw: bytes, why: str) -> None:
    with pytest.raises(InvalidModel) as told:
        read(raw)
    assert str(told.value).startswith(why)


def test_losses_that_add_up_to_too_much_are_the_models() -> None:
    with pytest.raises(InvalidModel, match="add up to more than 63 bits hold"):
        read(b"999999999.999999999\n" * 10)
    assert 10 * MAX_LOSS > 2**63 - 1


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"", "losses, line 1: the file is empty"),
        (b"0.5", "losses, line 1: it has no newline"),
        (b"0.5\n\n", "losses, line 2: it is empty"),
        (b"loss\n", "losses, line 1: 'loss' is no loss"),
        (b"x" * (MAX_LOSSES_BYTES + 1), "losses, line 1: the file has more than 25,165,824 bytes"),
    ],
)
def test_what_is_no_list_of_losses_is_the_containers(raw: bytes, why: str) -> None:
    with pytest.raises(BadResult) as told:
        read(raw)
    assert not isinstance(told.value, InvalidModel)
    assert str(told.value).startswith(why)


def read_all(raw: bytes) -> EvaluatedModels:
    reader = EvaluationsReader()
    for at in range(0, len(raw), 1 << 20):
        reader.take(raw[at : at + (1 << 20)])
    return reader.finish()


def test_losses_of_several_models_are_told_apart_by_empty_lines() -> None:
    """One that cannot be evaluated takes nothing from the others."""
    found = read_all(b"0.5\n0.25\n\nnan\n\n-1\n0\n" + b"\n999999999.999999999\n" + b"999999999.999999999\n" * 9)
    assert [None if one is None else list(one.losses) for one in found.each] == [
        [500_000_000, 250_000_000],
        None,
        [-1_000_000_000, 0],
        None,
    ]
    assert found.each[0] is not None and found.each[0].measurement == LossTree([500_000_000, 250_000_000]).measurement


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"", "losses of model 1, line 1: the file is empty"),
        (b"1\n\n", "losses of model 2, line 1: the file is empty"),
        (b"1\n\n\n2\n", "losses of model 2, line 1: it is empty"),
        (b"1\n\n2", "losses of model 2, line 1: it has no newline"),
        (b"1\n\n" * 52 + b"1\n", "losses: more than 52 models"),
        (b"0\n" * MAX_EXAMPLES + b"\n0\n", "losses: all models together have at most 1,048,576"),
        (b"x" * (MAX_LOSSES_BYTES + 1), "losses: the file has more than 25,165,824 bytes"),
    ],
)
def test_what_is_no_list_of_lists_is_the_containers(raw: bytes, why: str) -> None:
    with pytest.raises(BadResult) as told:
        read_all(raw)
    assert not isinstance(told.value, InvalidModel) and str(told.value).startswith(why)


def test_every_end_of_an_evaluation_says_one_thing_of_the_model() -> None:
    """The page: exit 65 is INVALID, every other end of the container BROKEN, the verifier's own trouble neither."""
    said = {
        Outcome.MEASURED: {"ok"},
        Outcome.INVALID: {"model-invalid"},
        Outcome.BROKEN: {"unsupported", "out-of-resources", "failed", "bad-result", "timeout", "input-refused"},
        Outcome.TROUBLE: {"cancelled", "engine-error", "not-started"},
    }
    assert {status.value: status.outcome for status in RunStatus} == {name: what for what, names in said.items() for name in names}
