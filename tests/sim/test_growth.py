"""What a node sends does not grow with the members: the real nodes in small graphs. `python -m tests.sim.growth`: large ones."""

from __future__ import annotations

import pytest

from tests.sim.growth.measure import Growth, allowed, measure

VALIDATORS, FEW, MANY = 7, 150, 500


@pytest.fixture(scope="module")
def grown() -> tuple[Growth, Growth]:
    few, many = (measure(VALIDATORS, members, bursts=2, burst=8) for members in (FEW, MANY))
    return few, many


def test_votes_and_proposals_are_in_proportion_to_validators_and_no_member_gets_one(grown: tuple[Growth, Growth]) -> None:
    for found in grown:
        assert found.votes_to_members == 0
        assert found.votes_per_height < 3, "two votes of each validator to each other one, a proposal, and little again"


def test_what_a_node_sends_grows_no_faster_than_the_logarithm_of_the_members(grown: tuple[Growth, Growth]) -> None:
    few, many = grown
    most = allowed(FEW, MANY)
    pairs = (
        (few.member.messages, many.member.messages),
        (few.member.bytes, many.member.bytes),
        (few.validator.messages, many.validator.messages),
    )  # validators' bytes are blocks for up to eight members each: few are not enough to ask for so many
    for before, after in pairs:
        assert after.mean / many.heights <= most * before.mean / few.heights
    assert many.joining.mean <= most * few.joining.mean
    assert many.joining_bytes.mean <= most * few.joining_bytes.mean


def test_everybody_s_connections_are_bounded_and_every_block_gets_everywhere(grown: tuple[Growth, Growth]) -> None:
    for found in grown:
        assert found.connections.most <= 128
        assert found.heights >= 2 and found.transfers == 16
