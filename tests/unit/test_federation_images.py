"""Programs on own data: an owner may keep a list of those that it lets run, by digest. Nothing outside of it ever does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from learningchain.chain.host.terms import Image, ImageKind
from learningchain.client import config_change
from learningchain.client.config import ConfigError, WorkConfig, parse_value
from learningchain.client.contracts.federation.http import joining
from learningchain.client.contracts.federation.roles.images import LIST, check_digests, may_run, program_digest, why_not_run
from learningchain.client.contracts.federation.roles.member import MemberMachine
from learningchain.client.contracts.federation.settings import FederationSettings
from learningchain.client.contracts.federation.wishes import TrainWish, VaultWish, wish_in
from learningchain.client.work.boxes import OwnBoxKeys
from learningchain.sandbox import RunSpec
from tests.federation_driver import IMAGE
from tests.unit.api_kit import Api, serving, sha
from tests.unit.federation_play import OPENING, helpers_serve
from tests.unit.test_api_federations import DATA, SECOND, played
from tests.unit.test_client_cli_federations import own
from tests.unit.test_federation_node import ROWS, in_training, known, running, says

PROGRAM = f"sha256:{sha('image').hex()}"
"""Of `OPENING`."""
OTHER = f"sha256:{sha('another image').hex()}"
ARCHIVE = Image(ImageKind.ARCHIVE, "", b"\x01\x55\x12\x20" + sha("archive"), sha("image"), 1_000)
NOT_LISTED = f"config set {LIST} {OTHER},{PROGRAM}"
DRIVEN = program_digest(IMAGE)
"""Of the federations that the machines' tests run."""
REGISTRY = Image(ImageKind.REGISTRY, f"registry.example:5000/a/train@{OTHER}", b"", b"", 1_000)


@pytest.mark.parametrize(
    ("image", "allowed", "runs"),
    [
        (ARCHIVE, [], True),
        (ARCHIVE, [PROGRAM], True),
        (ARCHIVE, [OTHER, PROGRAM], True),
        (ARCHIVE, [OTHER], False),
        (ARCHIVE, [f"sha256:{sha('archive').hex()}"], False),  # the file that carried it says nothing of what runs
        (REGISTRY, [OTHER], True),
        (REGISTRY, [PROGRAM], False),
    ],
)
def test_what_may_run_is_named_by_what_pins_it(image: Image, allowed: list[str], runs: bool) -> None:
    assert may_run(image, allowed) == runs
    said = why_not_run(image, allowed)
    assert bool(said) != runs
    if said:
        assert f"learningchain config set {LIST} {','.join([*allowed, program_digest(image)])}" in said


@pytest.mark.parametrize("text", ["latest", "sha256:AB", PROGRAM + "00", PROGRAM.upper(), " " + PROGRAM])
def test_what_is_no_digest_is_refused_when_it_is_set(text: str) -> None:
    with pytest.raises(ValueError, match="is no digest"):
        check_digests([text])
    assert parse_value(LIST, f"{PROGRAM}, {OTHER}", "Nothing was written") == [PROGRAM, OTHER]
    with pytest.raises(ConfigError, match=r"federation\.images"):
        parse_value(LIST, "latest", "Nothing was written")


def test_the_list_is_changed_on_the_machine_alone() -> None:
    """Who steals a session gets no program to run on own data."""
    assert LIST not in config_change.CHANGEABLE


# --- joining -------------------------------------------------------------------------------------------------------------------


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with serving(tmp_path) as api:
        helpers_serve(api.node.ledger)
        api.node.work.data["scans"] = own("scans")
        yield api


def lists(api: Api, monkeypatch: pytest.MonkeyPatch, *digests: str) -> None:
    shown = {LIST: {"value": list(digests), "source": "file"}}
    monkeypatch.setattr(api.node, "config", lambda: shown)


async def test_a_program_outside_the_list_is_joined_tried_and_taken_back_by_nobody(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    play = await played(api, admit="open")
    path = f"/v1/federations/{play.id.hex()}"
    lists(api, monkeypatch, OTHER)
    opening = OPENING | {"reference": True, "look_after": {"reference": "scans"}}
    for where, body, name in (
        (f"{path}/join", {"data": "scans", "min_vetted": 0}, "CANNOT_JOIN"),
        (f"{path}/preview", {"data": "scans"}, "CANNOT_JOIN"),
        ("/v1/federations", opening, "CANNOT_LOOK_AFTER"),
    ):
        api.node.ledger.own = "boss" if where == "/v1/federations" else "n3"
        refused = (await api.post(where, body, 409))["error"]
        assert refused["name"] == name and f"config set {LIST} {OTHER},{PROGRAM}" in refused["message"], where
    assert not api.node.work.secrets.all, "nothing of it is kept for the node to do"
    api.node.ledger.own = "n3"
    with pytest.raises(joining.CannotJoin, match="not on this node's list"):
        await joining.agree_to_join(api.node, play.id, "scans", joining.JoinTerms())
    await api.post(f"{path}/join?wait=10", {"digest": DATA})  # what trains elsewhere is no matter of this node's list


@pytest.mark.parametrize(("digests", "allowed"), [((), None), ((PROGRAM,), True), ((OTHER,), False)])
async def test_the_page_before_joining_names_the_program_and_says_whether_it_may_run(
    api: Api, monkeypatch: pytest.MonkeyPatch, digests: tuple[str, ...], allowed: bool | None
) -> None:
    play = await played(api, admit="open")
    lists(api, monkeypatch, *digests)
    api.node.ledger.own = "n3"
    found: dict[str, Any] = await api.get(f"/v1/federations/{play.id.hex()}/joining")
    assert (found["program"], found["allowed"]) == (PROGRAM, allowed)
    if allowed is not False:
        await api.post(f"/v1/federations/{play.id.hex()}/join?wait=10", {"data": "scans", "min_vetted": 0})


# --- coming back -----------------------------------------------------------------------------------------------------------------

COMING_BACK = {
    # the federation has ended, own data that it is given, the list, what it is refused with
    "no list": (False, "scans", (), ""),
    "listed": (False, "scans", (PROGRAM,), ""),
    "among others": (False, "scans", (OTHER, PROGRAM), ""),
    "not listed": (False, "scans", (OTHER,), NOT_LISTED),
    "listed, and no data": (False, None, (PROGRAM,), "name the data"),
    "listed, and data that are not here": (False, "rows", (PROGRAM,), "no data 'rows'"),
    "ended, without data, no list": (True, None, (), ""),
    "ended, without data, not listed": (True, None, (OTHER,), ""),
    "ended, listed": (True, "scans", (PROGRAM,), ""),
    "ended, not listed": (True, "scans", (OTHER,), NOT_LISTED),
    "ended, data that are not here": (True, "rows", (PROGRAM,), "no data 'rows'"),
}


@pytest.mark.parametrize("name", COMING_BACK)
async def test_who_comes_back_after_a_machine_was_lost_runs_no_program_outside_the_list(
    api: Api, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Its vault is opened all the same where no program would have the data: of a federation that has ended the sponsor's program
    would measure the final model on them."""
    over, data, digests, refusal = COMING_BACK[name]
    play = await played(api, *([(SECOND, ())] if over else []), admit="open")
    assert (play.state == "END") == over
    lists(api, monkeypatch, *digests)
    api.node.ledger.own = "n1"
    body = {"min_vetted": 1} | ({} if data is None else {"data": data})
    if refusal:
        refused = (await api.post(f"/v1/federations/{play.id.hex()}/recover", body, 409))["error"]
        assert refused["name"] == "CANNOT_JOIN" and refusal in refused["message"]
        assert not api.node.work.secrets.all and not api.node.ledger.pool, "nothing is kept for the node to do, nothing is sent"
        return
    done = await api.post(f"/v1/federations/{play.id.hex()}/recover", body)
    wishes = [wish_in(secret) for secret in api.node.work.secrets.all]
    assert wishes == [VaultWish(play.id, True, []), TrainWish(play.id, data or "", 1)]
    assert (done["tx"] is None) == over, "while it runs, the ledger is told that the data are others"


@pytest.mark.parametrize("digests", [[DRIVEN], [OTHER]], ids=["listed", "not listed"])
def test_the_final_model_meets_own_data_only_by_a_program_on_the_list(digests: list[str]) -> None:
    """A node that came back before the list was made, and was started again with it."""
    world = in_training()
    world.run()
    says(world, ROWS)
    config = WorkConfig(federation=FederationSettings(images=digests))
    part = MemberMachine(replace(known(world, world.owners[0]), config=config), OwnBoxKeys([]))
    made: Any = running(part, world).spec
    assert isinstance(made({"rows": ROWS}), RunSpec) == (digests == [DRIVEN])


# --- training ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("digests", "runs"), [([], True), ([OTHER, DRIVEN], True), ([OTHER], False)])
def test_a_list_that_was_made_after_joining_holds_for_the_next_training(digests: list[str], runs: bool) -> None:
    """The node of a member that trains already was restarted with it."""
    world = in_training()
    says(world, ROWS)
    config = WorkConfig(federation=FederationSettings(images=digests))
    part = MemberMachine(replace(known(world, world.owners[0]), config=config), OwnBoxKeys([]))
    made: Any = running(part, world).spec
    spec = made({"rows": ROWS})
    assert isinstance(spec, RunSpec) == runs
    if not runs:
        assert DRIVEN in spec and "not on this node's list" in spec
