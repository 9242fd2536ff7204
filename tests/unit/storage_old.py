"""Makes of a database what a program of schema 2 would have written, so that the tests can open it again."""

from __future__ import annotations

import sqlalchemy as sa

from chain.codec import decode, encode
from chain.crypto import sha256
from chain.node.history import AccountEvent, concerned
from chain.pages import number_of
from chain.storage import outcomes, schema
from chain.storage.blockstore import BlockStore
from chain.storage.index import places_in
from chain.storage.schema import at, seal
from chain.types import Receipt


def make_old(store: BlockStore) -> None:
    """The store is to be opened anew afterwards."""
    head = store.head()
    heights = range(1, head.height + 1 if head else 1)
    events = {height: _events(store.receipts(height)) for height in heights}
    journal = {height: _hits(store, height) for height in heights}
    parts = store.parts()
    with store.engine.begin() as c:
        b, j = schema.blocks.c, schema.journal.c
        for height, (lines, picks) in events.items():
            row = {"events": seal(at(height, "events"), encode(lines)), "picks": seal(at(height, "picks"), encode(picks))}
            c.execute(sa.update(schema.blocks).where(b.height == height).values(row))
        for height, hits in journal.items():
            old = seal(at(height, "journal"), encode(hits))
            c.execute(sa.update(schema.journal).where(j.height == height).values(hits=old))
        schema.old_txs.create(c)
        for part, bucket, sealed in c.execute(sa.select(schema.tx_pages)).all():
            for prefix, place in places_in(part, store.places(part, bucket, sealed)):
                number = int.from_bytes(prefix, "big", signed=True)
                c.execute(sa.insert(schema.old_txs).values((part, number, *place)))
        schema.tx_pages.drop(c)
        for part, account in c.execute(sa.select(schema.history.c.part, schema.history.c.account)).all():
            begin = max((p for p in parts if p < part), default=-1) + 1
            told = [(h, dict(events[h][1])[account]) for h in range(max(begin, 1), part + 1) if account in dict(events[h][1])]
            h = schema.history.c
            blob = seal(at(part, "history") + account, encode(told))
            c.execute(sa.update(schema.history).where(h.part == part, h.account == account).values(picks=blob))
        c.execute(sa.update(schema.meta).where(schema.meta.c.name == "schema").values(value=b"2"))
    store.close()


def _events(receipts: list[bytes]) -> tuple[list[bytes], list[tuple[bytes, list[int]]]]:
    """The events that concern an account, and for each account their numbers among these."""
    lines: list[bytes] = []
    picks: dict[bytes, list[int]] = {}
    for raw in receipts:
        receipt = decode(Receipt, raw, 10_000)
        for event in receipt.events:
            for account in concerned(event):
                picks.setdefault(account, []).append(len(lines))
            lines += [encode(AccountEvent(receipt.tx, event))] if concerned(event) else []
    return lines, list(picks.items())


def _hits(store: BlockStore, height: int) -> list[tuple[int, bytes, list[tuple[bytes, bytes | None]]]]:
    changes = outcomes.changes_at(store, height)
    with store.read("make it old") as c:
        sealed = c.execute(sa.select(schema.journal.c.hits).where(schema.journal.c.height == height)).scalar()
    assert changes is not None and sealed is not None
    all_changes = [*((record.key, record.value) for record in changes.put), *((key, None) for key in changes.gone)]
    numbers, heads = decode(tuple[list[int], list[bytes]], bytes(sealed)[4:], 10**9)
    return [
        (number, head, [(key, raw) for key, raw in all_changes if number_of(sha256(key)) == number])
        for number, head in zip(numbers, heads, strict=True)
    ]
