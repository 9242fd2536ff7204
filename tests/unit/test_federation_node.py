"""The machines of federated training as a node drives them: runs, wishes, the journal, who is heard, what is served to whom, what a
message came to, and arithmetic in a process of its own."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace as replace_data

from learningchain.chain.codec import encode
from learningchain.chain.contracts.federation.records import FederationMember, FederationState, member_key
from learningchain.chain.errors import Malformed
from learningchain.chain.losses import LossTree, Measurement
from learningchain.client.contracts.federation import work
from learningchain.client.contracts.federation.arithmetic.places import published_digest
from learningchain.client.contracts.federation.desk import DiskDesk
from learningchain.client.contracts.federation.http.views import own_view, preview_view
from learningchain.client.contracts.federation.roles.aggregator import AggregatorMachine
from learningchain.client.contracts.federation.roles.awaited_runs import AwaitedRuns
from learningchain.client.contracts.federation.roles.channel import (
    FileAnswer,
    KeyAsk,
    KeyGive,
    UpdateAnswer,
    UpdateOffer,
    encode_fed,
)
from learningchain.client.contracts.federation.roles.hearing import hear
from learningchain.client.contracts.federation.roles.journal import JOURNAL, OwnJournal, PreviewNote
from learningchain.client.contracts.federation.roles.ledger_status import LEDGER_STATUSES
from learningchain.client.contracts.federation.roles.looking import FederationLook, look
from learningchain.client.contracts.federation.roles.making import LocalKept, MakerBook
from learningchain.client.contracts.federation.roles.member import MemberBook, MemberMachine
from learningchain.client.contracts.federation.roles.runs import run_name
from learningchain.client.contracts.federation.roles.sealing import open_key, seal_key
from learningchain.client.contracts.federation.tasks import MadeFile, MakeUpdate, OpenUpdate, SumMasks
from learningchain.client.contracts.federation.wishes import PreviewWish, StopWish, TrainedFederation, TrainWish, of_wish
from learningchain.client.daemon.service import NodeFiles
from learningchain.client.node.interface import PRIVATE
from learningchain.client.work import WorkConfig
from learningchain.client.work.artifacts import cid_of_file
from learningchain.client.work.computing import ComputingProcess, TaskRefused
from learningchain.client.work.events import (
    BringImage,
    Chain,
    Compute,
    Computed,
    ContentReady,
    DropFile,
    DropSecret,
    FetchContent,
    ImageFailed,
    ImageReady,
    KeepBook,
    Kept,
    Kill,
    Model,
    ReleaseImage,
    RunEnded,
    StartRun,
    StopServing,
    Unpin,
)
from learningchain.client.work.machine import LedgerStatus, Recalled
from learningchain.client.work.peers import BURST, PER_S, PeerChannels
from learningchain.client.work.served import ServedFiles
from learningchain.client.work.slots import MachineShare
from learningchain.p2p.content.dag import CHUNK
from learningchain.p2p.content.service import Content
from learningchain.p2p.content.store import ContentStore
from learningchain.p2p.wire import FED
from learningchain.sandbox import OwnData, RunSpec, RunStatus
from tests.federation_nodes import FedWorld, raw_cid
from tests.unit.job_kit import CHAIN_ID
from tests.unit.test_federation_machines import SMALL

IMAGE = "sha256:" + "ab" * 32
ROWS = OwnData(name="rows", digest=bytes(32), size=10, files=1)


def known(world: FedWorld, who: bytes, **more: Any) -> Recalled:
    return Recalled(who, CHAIN_ID, WorkConfig(), os.urandom, **more)


def says(world: FedWorld, data: OwnData) -> None:
    """The ledger has the word of the first owner on these data."""
    world.nodes[world.owners[0]].owned = data
    key, store = member_key(world.federation, world.owners[0]), world.ledger.store
    joined = store.get(key)
    if isinstance(joined, FederationMember):
        store.put(key, replace_data(joined, digest=published_digest(world.federation, data.digest)))


def member(world: FedWorld, **more: Any) -> MemberMachine:
    says(world, ROWS)
    recalled = known(world, world.owners[0], **more)
    (found,) = [one for one in work.PART.machines(recalled) if isinstance(one, MemberMachine)]
    return found


def of(effects: Any, kind: type) -> list[Any]:
    return [one for one in effects if isinstance(one, kind)]


def in_training(**more: Any) -> FedWorld:
    world = FedWorld(**SMALL, **more)
    world.run(lambda: world.state == FederationState.TRAIN)
    return world


# --- runs ------------------------------------------------------------------------------------------------------------------------


def test_a_local_run_waits_for_its_image_and_for_room_and_gets_the_own_data() -> None:
    world = in_training()
    part = member(world)
    wish = of_wish(TrainWish(world.federation, "rows", 2), bytes(16))
    said = part.handle(Kept(wish))
    assert [type(one) for one in said] == [KeepBook, DropSecret], "the wish goes once the book has it"
    assert part.runs, "it needs an engine whatever the settings say"
    (fetch,) = of(part.handle(world.chain()), FetchContent)
    assert fetch.holder == world.sponsor, "the initial model"
    part.handle(ContentReady(fetch.scope, fetch.tag, Path("/base")))
    (bring,) = of(part.handle(world.chain()), BringImage)
    assert bring.holder == world.sponsor
    assert (bring.ref, bring.urgent, bring.image.files) == (world.federation, True, ())
    assert not part.handle(ImageReady(world.federation, IMAGE))
    assert part.busy and not part.gives_up(world.federation)
    small = replace(world.chain(), room=MachineShare(10, 10))
    assert not of(part.handle(small), StartRun)
    (start,) = of(part.handle(world.chain()), StartRun)
    assert not of(part.handle(world.chain()), StartRun), "once"
    spec = start.spec({"rows": ROWS})
    assert isinstance(spec, RunSpec) and (spec.phase, spec.inputs["data"], spec.inputs["model"]) == ("local", ROWS, Path("/base"))
    assert "no own data 'rows'" in start.spec({})
    ended = RunEnded(start.run, RunStatus.OK, "", _measured(7), Model(Path("/m"), bytes(36), 9))
    said = part.handle(ended)
    assert of(said, KeepBook)[0].name == "federation.member" and b"/m" in of(said, KeepBook)[0].blob
    assert not part.busy


def running(part: MemberMachine, world: FedWorld, *, data: str = "rows") -> StartRun:
    """A wish until `local` runs."""
    part.handle(Kept(of_wish(TrainWish(world.federation, data, 2), os.urandom(16))))
    for fetch in of(part.handle(world.chain()), FetchContent):
        part.handle(ContentReady(fetch.scope, fetch.tag, Path("/base")))
    part.handle(world.chain())
    part.handle(ImageReady(world.federation, IMAGE))
    (start,) = of(part.handle(world.chain()), StartRun)
    found: StartRun = start
    return found


def test_who_stops_trains_no_more_and_keeps_nothing_of_it() -> None:
    """The run went on over the owner's data, and the model that it left lay on the disk for good."""
    world = in_training()
    part = member(world)
    start = running(part, world)
    said = part.handle(Kept(of_wish(StopWish(world.federation), bytes(16))))
    assert [one.run for one in of(said, Kill)] == [start.run] and not part.busy
    assert [one.reason for one in of(said, Unpin)] == [f"fed-base:{world.federation.hex()}"]
    start = running(part, world)
    part.handle(RunEnded(start.run, RunStatus.OK, "", _measured(7), Model(Path("/m"), bytes(36), 9)))
    said = part.handle(Kept(of_wish(StopWish(world.federation), b"x" * 16)))
    assert [one.path for one in of(said, DropFile)] == [Path("/m")]
    start = running(part, world)
    part.handle(RunEnded(start.run, RunStatus.OK, "", _measured(7), Model(Path("/m"), bytes(36), 9)))
    (task,) = of(part.handle(world.chain()), Compute)
    part.handle(Computed(task.scope, task.tag, MadeFile(Path("/update"), b"u" * 36, 9)))
    said = part.handle(Kept(of_wish(StopWish(world.federation), b"z" * 16)))
    assert [one.cid for one in of(said, StopServing)] == [b"u" * 36] and not part.book.updates.made
    start = running(part, world)
    part.handle(RunEnded(start.run, RunStatus.FAILED, "it broke off"))
    assert [one.topic for one in part.notices()] == ["fed.no-update"]
    part.handle(Kept(of_wish(StopWish(world.federation), b"y" * 16)))
    assert not part.notices(), "what is no matter any more is not told for ever"


def test_data_that_were_swapped_since_the_owner_looked_and_joined_are_not_trained_on() -> None:
    """Others of the name, held against the schema, too: the ledger would say of their update that it is of the first ones."""
    world = in_training()
    part, others = member(world), replace_data(ROWS, digest=b"o" * 32)
    part.handle(Kept(of_wish(PreviewWish(world.federation, "rows", b"p" * 32), bytes(16))))
    (fetch,) = of(part.handle(world.chain()), FetchContent)
    part.handle(ContentReady(fetch.scope, fetch.tag, Path("/base")))
    part.handle(ImageReady(world.federation, IMAGE))
    (looked,) = of(part.handle(world.chain()), StartRun)
    assert isinstance(looked.spec({"rows": others}), RunSpec), "whoever looks first has said nothing yet"
    part.handle(RunEnded(looked.run, RunStatus.OK, "", _measured(5), Model(Path("/left"), bytes(36), 9)))
    start: Any = running(part, world)
    assert isinstance(start.spec({"rows": ROWS}), RunSpec)
    why = start.spec({"rows": others})
    assert "'rows' are others than those that this federation was joined with" in why and "learningchain fed join" in why
    part.handle(RunEnded(start.run, RunStatus.NOT_STARTED, why))
    part.handle(world.chain())
    assert "are others than" in part.why_not[world.federation], "the owner is told"
    assert not of(part.handle(world.chain()), StartRun)
    says(world, others)
    part.handle(world.chain())
    part.handle(world.chain())
    part.handle(ImageReady(world.federation, IMAGE))
    (again,) = of(part.handle(world.chain()), StartRun)
    assert isinstance(again.spec({"rows": others}), RunSpec), "the word on them came"
    assert "are others than" in again.spec({"rows": ROWS})


def at_the_end() -> tuple[FedWorld, MemberMachine]:
    """A federation that ended, and the part of an owner that was to train in it."""
    world = in_training()
    part = member(world)
    part.handle(Kept(of_wish(TrainWish(world.federation, "rows", 2), bytes(16))))
    world.run()
    assert world.now.end and world.now.best_r
    return world, part


def test_an_image_stays_after_the_end_for_the_final_model_on_own_data_and_no_longer() -> None:
    world, part = at_the_end()
    said = part.handle(world.chain())
    (fetch,) = [one for one in of(said, FetchContent) if one.scope.startswith("fed-final:")]
    assert fetch.holder == world.sponsor
    assert not of(said, ReleaseImage), "the final model is still to be tried"
    assert of(part.handle(ContentReady(fetch.scope, fetch.tag, Path("/final"))), BringImage)
    part.handle(ImageReady(world.federation, IMAGE))
    (start,) = of(part.handle(world.chain()), StartRun)
    assert not of(part.handle(world.chain()), ReleaseImage)
    part.handle(RunEnded(start.run, RunStatus.OK, "", _measured(5), None))
    assert of(part.handle(world.chain()), ReleaseImage) == [ReleaseImage(world.federation)]


def test_other_data_are_trained_on_at_once() -> None:
    """The ledger had the new data's digest, and what left the node was made of those of before, for as long as the base stayed."""
    world = in_training()
    part = member(world)
    start = running(part, world)
    part.handle(RunEnded(start.run, RunStatus.OK, "", _measured(7), Model(Path("/m"), bytes(36), 9)))
    said = part.handle(Kept(of_wish(TrainWish(world.federation, "other", 2), bytes(16))))
    assert [one.path for one in of(said, DropFile)] == [Path("/m")]
    part.handle(world.chain())
    part.handle(ImageReady(world.federation, IMAGE))
    (again,) = of(part.handle(world.chain()), StartRun)
    spec = again.spec({"other": ROWS})
    assert isinstance(spec, RunSpec) and spec.inputs["data"] == ROWS


def test_data_that_were_never_held_against_the_posted_schema_are_not_trained_on() -> None:
    """They may have taken the name of those that the owner joined with."""
    world = in_training(schema=raw_cid(b"a schema"))
    part = member(world)
    part.handle(Kept(of_wish(TrainWish(world.federation, "rows", 2), bytes(16))))
    (fetch,) = of(part.handle(world.chain()), FetchContent)
    part.handle(ContentReady(fetch.scope, fetch.tag, Path("/base")))
    part.handle(world.chain())
    part.handle(ImageReady(world.federation, IMAGE))
    (start,) = of(part.handle(world.chain()), StartRun)
    for notes in ({}, {"schema": sha256(b"another").hexdigest()}):
        assert "were not held against the schema" in start.spec({"rows": replace_data(ROWS, notes=notes)})
    fits = {"schema": sha256(b"a schema").hexdigest()}
    assert isinstance(start.spec({"rows": replace_data(ROWS, notes=fits)}), RunSpec)


def test_an_image_that_is_not_to_be_had_is_asked_for_again_and_a_bad_one_ends_the_run() -> None:
    world = in_training()
    part = member(world)
    part.handle(Kept(of_wish(TrainWish(world.federation, "rows", 2), bytes(16))))
    (fetch,) = of(part.handle(world.chain()), FetchContent)
    part.handle(ContentReady(fetch.scope, fetch.tag, Path("/base")))
    assert of(part.handle(world.chain()), BringImage)
    part.handle(ImageFailed(world.federation, "nobody has it", lasting=False))
    assert [one.topic for one in part.notices()] == ["fed.image"]
    assert not of(part.handle(world.chain()), BringImage)
    later = replace(world.chain(), clock=world.clock + 6_000)
    assert of(part.handle(later), BringImage)
    part.handle(ImageFailed(world.federation, "it breaks a rule", lasting=True))
    assert not part.busy
    assert any("it breaks a rule" in one.text for one in part.notices())


def awaited(world: FedWorld) -> tuple[AwaitedRuns, FederationLook]:
    at = look(world.ledger.store, world.federation)
    assert at is not None
    return AwaitedRuns(WorkConfig()), at


def test_what_a_scope_was_for_is_over_so_its_run_is_killed() -> None:
    runs, at = awaited(in_training())
    assert runs.evaluate("scope:1", at, Path("/m"), None).holder == at.posting.sponsor
    (start,) = runs.begin(ImageReady(at.id, IMAGE))
    assert (start.run, start.keep) == (run_name("scope:1"), True), "an evaluation waits for no room"
    assert not list(runs.end("scop")) and [one.run for one in runs.end("scope")] == [start.run]
    assert not runs and runs.over(start.run) is None


def test_candidates_are_measured_in_one_run() -> None:
    runs, at = awaited(in_training())
    runs.evaluate("scope:1", at, Path("/m"), Path("/hidden"), several=True)
    (start,) = runs.begin(ImageReady(at.id, IMAGE))
    assert isinstance(start.spec, RunSpec) and start.keep
    assert (start.spec.phase, start.spec.inputs) == ("evaluates", {"models": Path("/m"), "eval": Path("/hidden")})


# --- wishes and the journal ------------------------------------------------------------------------------------------------------


class Shelf:
    def __init__(self, **books: Any) -> None:
        self.books = {name.replace("_", "."): encode(book) for name, book in books.items()}


def test_a_preview_runs_once_sends_nothing_and_leaves_a_report() -> None:
    world = in_training()
    part, number = member(world), bytes(range(32))
    part.handle(Kept(of_wish(PreviewWish(world.federation, "rows", number), bytes(16))))
    (fetch,) = of(part.handle(world.chain()), FetchContent)
    assert of(part.handle(ContentReady(fetch.scope, fetch.tag, Path("/base"))), BringImage)
    part.handle(ImageReady(world.federation, IMAGE))
    (start,) = of(part.handle(world.chain()), StartRun)
    model = Model(Path("/left"), bytes(36), 1_234)
    said = part.handle(RunEnded(start.run, RunStatus.OK, "", _measured(5), model))
    assert of(said, DropFile)[0].path == Path("/left")
    shown = preview_view(Shelf(federation_journal=part.journal.book), number)
    assert shown is not None and (shown["state"], shown["model_bytes"], shown["data"]) == ("ok", 1_234, "rows")
    assert shown["loss"] == {"loss": "0.000000005", "examples": 3}
    assert not part.joined and not part.runs
    part.journal.preview(PreviewNote(bytes(32), world.federation, "rows", "", "", [], 0))
    again = member(world, books={JOURNAL: encode(part.journal.book)})
    (kept, *_) = of(again.handle(world.chain()), KeepBook)
    cut = preview_view(Shelf(federation_journal=again.journal.book), bytes(32))
    assert kept.name == JOURNAL and cut is not None and cut["state"] == "cancelled", "nobody runs it any more"
    assert preview_view(Shelf(federation_journal=again.journal.book), number) == shown


def _measured(mean: int) -> Measurement:
    return LossTree([mean] * 3).measurement


def test_the_journal_has_every_attempt_with_its_code() -> None:
    world = FedWorld(**SMALL)
    journal = OwnJournal(world.owners[0])
    while world.state != FederationState.END:
        world.block()
        at = look(world.ledger.store, world.federation)
        assert at is not None
        journal.look(at, "")
    journal.trained(world.federation, 2, _measured(8))
    journal.ended(world.federation, _measured(4))
    shown = own_view(Shelf(federation_journal=journal.book), world.federation)
    assert [one["round"] for one in shown["attempts"]] == list(range(1, world.now.r + 1))
    assert {one["code"] for one in shown["attempts"]} == {"USED"} and all(one["sent"] for one in shown["attempts"])
    assert shown["bytes_out"] == 3 * (500 + 4 * 96) * world.now.r and shown["bytes_in"] == world.terms.size * world.now.r
    assert shown["final"] == {"loss": "0.000000004", "examples": 3}
    assert [one["loss"] for one in shown["attempts"]].count(None) == world.now.r - 1
    assert own_view(Shelf(), bytes(32))["attempts"] == []


# --- what a message came to ------------------------------------------------------------------------------------------------------


def test_the_ledger_says_of_each_message_that_it_is_open_and_then_that_it_stands() -> None:
    world = FedWorld(reference=True, **SMALL)
    seen: set[str] = set()
    while world.state != FederationState.END:
        waiting = [(node.me, one.op) for node in world.nodes.values() for one in node.outbox if one.kind == "federation"]
        before = [LEDGER_STATUSES[type(op)](world.ledger.store, me, world.clock, op)[0] for me, op in waiting]
        world.block()
        for (me, op), then in zip(waiting, before, strict=True):
            now, _ = LEDGER_STATUSES[type(op)](world.ledger.store, me, world.clock, op)
            assert then is LedgerStatus.OPEN, op
            if not world.now.end:
                assert now in (LedgerStatus.STANDS, LedgerStatus.TOO_LATE), op
                seen |= {type(op).__name__} if now is LedgerStatus.STANDS else set()
    assert seen >= {"StartRound", "ReadyKey", "CommitUpdate", "ReferUpdate", "HaveUpdates", "PinParts", "ScreenUpdates"}


# --- the channel -----------------------------------------------------------------------------------------------------------------


def test_only_those_are_heard_whom_the_ledger_lets_speak() -> None:
    world = in_training()
    at = look(world.ledger.store, world.federation)
    assert at is not None
    owner, seat, stranger = world.owners[0], at.seats[0], bytes(20)
    offer = encode_fed(UpdateOffer(world.federation, 1, bytes(36)))
    answer = encode_fed(UpdateAnswer(world.federation, 1, bytes(36), FileAnswer.FETCHED, bytes(64)))
    ask, give = encode_fed(KeyAsk(world.federation)), encode_fed(KeyGive(world.federation, bytes(80)))
    panel, other = (seat.account for seat in at.now.panel[:2])
    reader = world.ledger.store
    for payload, fine, wrong in (
        (offer, (seat, owner), (seat, stranger)),
        (answer, (owner, seat), (owner, stranger)),
        (ask, (world.sponsor, panel), (world.sponsor, owner)),
        (give, (panel, world.sponsor), (panel, owner)),
        (ask, (other, panel), (owner, panel)),
        (give, (panel, other), (owner, other)),
    ):
        assert hear(reader, *fine, payload) is not None
        assert hear(reader, *wrong, payload) is None
    assert hear(reader, stranger, owner, offer) is None, "it is no aggregator of this attempt"
    assert hear(reader, seat, owner, encode_fed(UpdateOffer(bytes(32), 1, bytes(36)))) is None
    with pytest.raises(Malformed):
        hear(reader, seat, owner, b"junk")


def test_a_peer_is_heard_so_often_and_one_that_sends_junk_is_told_of() -> None:
    world, now, heard, bad = in_training(), [0.0], list[Any](), list[bytes]()
    at = look(world.ledger.store, world.federation)
    assert at is not None
    channels = PeerChannels(
        [work.PART],
        lambda: world.ledger.store,
        at.seats[0],
        tell=lambda name, given: heard.append((name, given)),
        now_s=lambda: now[0],
        penalize=lambda peer, _: bad.append(peer),
    )
    offer = encode_fed(UpdateOffer(world.federation, 1, bytes(36)))
    for _ in range(200):
        channels.on_message(world.owners[0], FED, offer)
    assert len(heard) == BURST and {name for name, _ in heard} == {"federation"}
    channels.on_message(world.owners[1], FED, offer)
    assert len(heard) == BURST + 1, "each has a rate of its own"
    now[0] = 1.0
    for _ in range(200):
        channels.on_message(world.owners[0], FED, offer)
    assert len(heard) == BURST + 1 + PER_S
    channels.on_message(world.owners[1], FED, b"junk")
    channels.on_message(world.owners[1], 77, offer)
    assert bad == [world.owners[1]] and len(heard) == BURST + 1 + PER_S


# --- files -----------------------------------------------------------------------------------------------------------------------


def test_equal_bytes_of_two_federations_have_an_allowance_and_a_file_each(tmp_path: Path) -> None:
    """Parts of open federations are zeros for two masks of three, whichever federation it is."""
    allowed: dict[str, set[bytes]] = {}
    served = ServedFiles(lambda cid, peers: allowed.update({cid: set(peers)}))
    one, two, cid = b"1" * 32, b"2" * 32, "bafy"
    served.begin(cid, one, (b"a", b"b"), tmp_path / "1")
    served.begin(cid, two, (b"b", b"c"), tmp_path / "2")
    assert allowed[cid] == {b"a", b"b", b"c"}
    assert served.end(cid, one) == tmp_path / "1" and allowed[cid] == {b"b", b"c"}
    assert served.end(cid, one) is None and allowed[cid] == {b"b", b"c"}, "said twice it ends nothing of the other one"
    served.begin(cid, two, (b"d",), tmp_path / "3")
    assert allowed[cid] == {b"d"}, "the next attempt of a federation has other aggregators"
    served.begin("other", two, (b"d",), tmp_path / "4")
    assert sorted(served.forget(two)) == [tmp_path / "3", tmp_path / "4"]
    assert not allowed[cid] and not allowed["other"]


async def test_what_is_pinned_privately_is_served_to_those_that_were_named(tmp_path: Path) -> None:
    store = ContentStore(tmp_path / "store", quota=10**7)
    content = Content(store, lambda _peer, _payload: True, lambda: 0)
    files = NodeFiles(content)
    (tmp_path / "file").write_bytes(b"an update")
    cid, _ = await files.add(tmp_path / "file", pin=f"{PRIVATE}fed-file:1")
    root = await content.add(tmp_path / "file")
    friend, other = b"f" * 20, b"o" * 20
    assert not content.allow(friend, root) and not content.allow(other, root)
    files.allow(cid, (friend,))
    assert content.allow(friend, root) and not content.allow(other, root)
    files.pin(cid, "fed-model:2")
    assert not content.allow(other, root), "a stranger posted a federation whose model has this name, and this node measures it"
    files.unpin(cid, "fed-model:2")
    await files.add(tmp_path / "file", pin="fed-file:2")
    assert content.allow(other, root), "this node itself gives it to everybody"
    files.unpin(cid, "fed-file:2")
    files.allow(cid, ())
    assert not content.allow(friend, root)
    await content.close()
    store.close()


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 7])
def test_what_is_made_has_the_name_that_the_content_store_gives_it(tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    pieces = [content[at : at + 100_003] for at in range(0, size, 100_003)]
    made = DiskDesk(tmp_path).write(pieces)
    cid, found = cid_of_file(made.path)
    assert (made.cid, made.size) == (cid.to_bytes(), found) and bytes(DiskDesk(tmp_path).read(made.path)) == content
    again = DiskDesk(tmp_path).write(pieces)
    assert again.cid == made.cid and again.path != made.path, "each task has a file of its own, also of equal bytes"
    assert {path.name.partition("-")[0] for path in tmp_path.iterdir()} == {made.cid.hex()}
    assert made.path.read_bytes() == content


# --- a process of its own --------------------------------------------------------------------------------------------------------


async def test_tasks_are_done_in_another_process_which_may_die(tmp_path: Path) -> None:
    world = in_training()
    at = look(world.ledger.store, world.federation)
    assert at is not None
    computing, place = ComputingProcess(tmp_path / "made"), at.place(CHAIN_ID)
    try:
        task = SumMasks(place, 96, ((1, (bytes(32),)),), 0)
        (made,) = await computing.perform(work.PART.tasks, task)
        assert made.path.stat().st_size == 4 * 96
        child = computing._child
        os.kill(child.pid, signal.SIGKILL)
        (again,) = await computing.perform(work.PART.tasks, task)
        assert again.cid == made.cid and again.path != made.path, "a new one does it"
        missing = OpenUpdate(place, bytes(20), tmp_path / "none", 96, 1, bytes(32), False, 3)
        with pytest.raises(OSError, match="FileNotFoundError"):
            await computing.perform(work.PART.tasks, missing)
        (tmp_path / "model").write_bytes(b"no model")
        bad = MakeUpdate(place, bytes(20), tmp_path / "model", tmp_path / "model", 96, 8, (), 1, False)
        with pytest.raises(TaskRefused):
            await computing.perform(work.PART.tasks, bad)
    finally:
        computing.close()
        await asyncio.to_thread(computing._thread.shutdown)


def test_the_key_of_an_attempt_opens_for_its_account_alone() -> None:
    world = in_training()
    node = world.nodes[world.verifiers[0]]
    own = known(world, node.me, sign=node.key.sign)
    other = known(world, node.me, sign=world.nodes[world.sponsor].key.sign)
    sealed = seal_key(own, world.federation, 3, b"k" * 32)
    assert len(sealed) == 48 and b"k" * 8 not in sealed
    assert open_key(own, world.federation, 3, sealed) == b"k" * 32
    assert open_key(own, world.federation, 4, sealed) == open_key(other, world.federation, 3, sealed) == b""
    assert seal_key(replace(own, sign=None), world.federation, 3, b"k" * 32) == b""


def test_a_local_model_whose_file_is_gone_is_trained_anew(tmp_path: Path) -> None:
    world = in_training()
    (tmp_path / "here").write_bytes(b"x")
    kept = [LocalKept(world.federation, bytes(35) + n, str(tmp_path / name)) for n, name in ((b"1", "here"), (b"2", "gone"))]
    book = MemberBook([TrainedFederation(world.federation, "rows", 2)], MakerBook(kept, [], []))
    machines = work.PART.machines(known(world, world.owners[0], books={MemberMachine.name: encode(book)}))
    (part,) = [one for one in machines if isinstance(one, MemberMachine)]
    assert part.book.updates.locals == kept[:1] and part.runs
    assert work.PART.files({MemberMachine.name: encode(book)}) == {tmp_path / "here", tmp_path / "gone"}
    broken = work.PART.machines(known(world, world.owners[0], books={MemberMachine.name: b"junk"}))
    assert len(broken) == len(machines), "a book that cannot be read is begun anew"


def test_a_node_without_numpy_says_so_and_has_no_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    world = in_training()
    recalled = known(world, world.owners[0], books={AggregatorMachine.name: b""})
    assert [type(one).__name__ for one in work.PART.machines(known(world, world.owners[0]))][-1] == "ServingAnnouncer"
    missing = "numpy is not here (pip install 'learningchain[federation]')"
    monkeypatch.setattr(work, "numpy_missing", lambda: missing)
    (only,) = work.PART.machines(recalled)
    assert only.notices()[0].text == missing
    assert not only.handle(Chain(world.ledger.store, world.clock))
    assert JOURNAL.startswith("federation.")
