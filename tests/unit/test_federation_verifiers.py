"""Of whom those are drawn who add up and measure: shown before joining where they are few, and an owner's least of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from learningchain.chain.contracts.federation.records import FederationState
from learningchain.chain.crypto import address
from learningchain.client import config_change
from learningchain.client.contracts.federation.http.views import drawn_of
from learningchain.client.contracts.federation.roles.looking import look
from learningchain.client.contracts.federation.roles.member import MemberMachine
from learningchain.client.contracts.federation.rule_warnings import screening_warnings
from learningchain.client.contracts.federation.settings import LEAST_VERIFIERS, MIN_VERIFIERS, FederationSettings
from learningchain.client.contracts.federation.tasks import MakeUpdate
from learningchain.client.contracts.federation.web.phrases import agreement
from tests.federation_nodes import FedWorld
from tests.unit.api_kit import Api, serving
from tests.unit.federation_play import helpers_serve
from tests.unit.test_api_federations import played, who
from tests.unit.test_client_cli_federations import own


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with serving(tmp_path) as api:
        helpers_serve(api.node.ledger)
        api.node.work.data["scans"] = own("scans")
        yield api


async def test_the_page_before_joining_shows_one_by_one_where_few_could_be_drawn(api: Api) -> None:
    """Of four that serve two train here, so all four add up and measure."""
    play = await played(api)
    api.node.ledger.own = "n3"
    found = await api.get(f"/v1/federations/{play.id.hex()}/joining")
    assert (found["aggregators"], found["panel"], found["min_verifiers"]) == (4, 4, LEAST_VERIFIERS)
    shown = {one["account"]: (one["inviter"], one["aggregates"], one["measures"], one["member"]) for one in found["verifiers"]}
    assert shown == {who(api, name): (None, True, True, name in ("n1", "n2")) for name in ("n1", "n2", "n3", "n4")}
    assert any("only 4 verifiers can be drawn" in text for text in found["warnings"])
    lines = dict(agreement(found, None, vault=False))["who adds up"]
    assert f"{who(api, 'n1')}: adds up and measures, invited by nobody, trains here, too" in lines


@pytest.mark.parametrize(("verifiers", "shown"), [(6, 6), (7, 0)])
def test_fewer_than_seven_are_shown_with_who_invited_them(verifiers: int, shown: int) -> None:
    world = FedWorld(verifiers=verifiers)
    inviter, guest = world.verifiers[:2]
    world.ledger.change_member(guest, inviter=inviter)
    at = look(world.ledger.store, world.federation)
    assert at is not None
    found = drawn_of(at, world.clock, 3)
    assert (found["aggregators"], len(found["verifiers"]), len(found["minds"])) == (verifiers, shown, bool(shown))
    invited = {one["account"]: one["inviter"] for one in found["verifiers"] if one["inviter"]}
    assert invited == ({address(guest): address(inviter)} if shown else {})


@pytest.mark.parametrize(("least", "joins"), [(3, True), (4, True), (5, False)])
async def test_an_owner_does_not_join_where_fewer_could_be_drawn_than_it_wants(
    api: Api, monkeypatch: pytest.MonkeyPatch, least: int, joins: bool
) -> None:
    play = await played(api)
    monkeypatch.setattr(api.node, "config", lambda: {MIN_VERIFIERS: {"value": least, "source": "file"}})
    api.node.ledger.own = "n3"
    found = await api.get(f"/v1/federations/{play.id.hex()}/joining")
    assert found["min_verifiers"] == least and any(MIN_VERIFIERS in text for text in found["warnings"]) is not joins
    body = {"data": "scans", "min_vetted": 0}
    if joins:
        await api.post(f"/v1/federations/{play.id.hex()}/join?wait=10", body)
        return
    refused = (await api.post(f"/v1/federations/{play.id.hex()}/join", body, 409))["error"]
    assert refused["name"] == "CANNOT_JOIN" and f"config set {MIN_VERIFIERS}" in refused["message"]
    assert not api.node.work.secrets.all, "nothing of it is kept for the node to do"


@pytest.mark.parametrize(("least", "trains"), [(LEAST_VERIFIERS, True), (4, True), (5, False)])
def test_a_node_trains_only_where_so_many_could_be_drawn_as_its_owner_wants(least: int, trains: bool) -> None:
    """Verifiers may have gone since it joined."""
    world = FedWorld()
    owner: Any = world.nodes[world.owners[0]]
    machine: MemberMachine = owner.machines["member"]
    machine._min_verifiers = least
    world.run(lambda: world.now.r == 1 and world.state == FederationState.TRAIN)
    world.block()
    assert any(isinstance(task, MakeUpdate) and one == owner.me for one, task in world.tasks) is trains
    assert bool(machine.why_not) is not trains
    assert all(MIN_VERIFIERS in why for why in machine.why_not.values())


def test_three_owners_that_add_up_for_each_other_are_enough_where_nothing_is_set() -> None:
    """As in a laboratory of four nodes, of which one is the sponsor's."""
    world = FedWorld(owners=3, verifiers=0)
    for one in world.owners:
        owner: Any = world.nodes[one]
        owner.machines["member"]._min_verifiers = FederationSettings().min_verifiers
    world.run()
    assert world.now.best_r and not world.ledger.topics("fed.void")


def test_the_least_is_changed_on_the_machine_alone() -> None:
    """Who steals a session does not lower it."""
    assert MIN_VERIFIERS not in config_change.CHANGEABLE


@pytest.mark.parametrize(
    ("owners", "reference", "krum", "says"),
    [
        (4, False, False, ["nobody can tell which"]),
        (10, False, False, ["86 %"]),
        (20, False, True, ["87 %", "rule krum"]),
        (21, False, False, []),
        (10, True, False, []),
    ],
)
def test_who_opens_or_joins_is_told_what_bad_owners_cost_so_many(owners: int, reference: bool, krum: bool, says: list[str]) -> None:
    found = screening_warnings(owners, reference=reference, krum=krum)
    assert len(found) == len(says) and all(word in text for word, text in zip(says, found, strict=True))
