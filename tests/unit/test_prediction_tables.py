"""A table is checked before anything is spent, asked about in batches, and gone on with after any stop: no row is paid twice."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from learningchain.chain.types import format_credits
from learningchain.client.contracts.prediction.http.model_schema import ModelSchema, parse_schema
from learningchain.client.contracts.prediction.roles import table as tables
from learningchain.client.contracts.prediction.roles.asking import (
    DAY_S,
    BadJournal,
    BudgetSpent,
    TableProgress,
    TableRun,
    TableTerms,
    describe,
)
from learningchain.client.contracts.prediction.roles.table import (
    ANSWERS,
    DECISIONS,
    SHOWN,
    BadTable,
    TableReader,
    answers_head,
    answers_text,
    plain_label,
)
from learningchain.client.node.ledger import VALID_FOR
from learningchain.client.sdk.types import NotFoundError, RejectedError, UnavailableError, UnreachableError

SCHEMA = parse_schema(
    b'{"inputs":[{"name":"age","datatype":"INT64","min":0,"max":200},{"name":"job","datatype":"BYTES"}],"classes":["no","yes"]}'
)
TERMS = TableTerms(model="m", own="lc1me", request={"n": 3}, max_rows=3, max_bytes=1000)
CHARGE = 1_000_000
OLD = 5


def table(path: Path, rows: int = 10) -> Path:
    lines = [f'{number},"job, {number}",{number * 7 % 90}' for number in range(rows)]
    path.write_text("\ufeffid,job,age\n" + "\n".join(lines) + "\n", encoding="utf-8")
    return path


class Stopped(Exception):
    """The process ends here."""


class Graph:
    """A node that answers each request with its rows' first values, and counts what is paid."""

    def __init__(self) -> None:
        self.requests: dict[str, dict[str, Any]] = {}
        self.number = OLD
        self.keys: dict[str, str] = {}
        self.stop_at: dict[str, int] = {}
        """After so many calls of a kind the process ends: before it, or behind it."""
        self.calls: dict[str, int] = {}
        self.outcome = "AGREED"
        self.refuse = False
        self.height = 100
        self.hidden: set[str] = set()

    def _call(self, name: str) -> None:
        self.calls[name] = self.calls.get(name, 0) + 1
        if self.calls[name] == self.stop_at.get(name):
            raise Stopped(name)

    async def send_rows(self, rows: bytes) -> Any:
        return {"input": rows.decode()}

    async def status(self) -> Any:
        return {"height": self.height}

    async def quote_prediction(self, request: Any) -> Any:
        self._call("quote")
        return {"charge": format_credits(CHARGE)}

    async def request_prediction(self, request: Any, *, wait: float = 0) -> Any:
        self._call("before")
        assert request["max_charge"] == format_credits(CHARGE)
        assert request["n"] == 3
        if (known := self.keys.get(request["idempotency_key"])) is not None:
            return {"request": known, "tx": f"t{known[1:]}", "charge": format_credits(CHARGE)}
        self.number += 1
        one = f"r{self.number}"
        self.keys[request["idempotency_key"]] = one
        rows = [json.loads(line) for line in request["input"].splitlines()]
        self.requests[one] = {"number": self.number, "rows": rows, "model": request["model"], "policy": request.get("policy")}
        if self.refuse:
            self.hidden.add(one)
        self._call("behind")
        return {"request": one, "tx": f"t{self.number}", "charge": format_credits(CHARGE)}

    async def prediction(self, request: str, *, wait: float = 0) -> Any:
        self._call("asked")
        await asyncio.sleep(0)
        if request in self.hidden:
            raise NotFoundError("no such request")
        return self._view(request)

    def _view(self, request: str) -> dict[str, Any]:
        one = self.requests[request]
        agreed = self.outcome in ("AGREED", "WEAK")
        values = [{"row": n, "class": 1, "score": f"0.{row[0]:02}", "support": 3} for n, row in enumerate(one["rows"])]
        return {
            "id": request,
            "number": one["number"],
            "model": one["model"],
            "state": self.outcome if agreed else "FAILED",
            "outcome": self.outcome,
            "values": values if agreed else [],
            "decisions": [
                {"row": n, "decision": "REFER" if n else "ACCEPT", "rate_ppm": 1_000 * n, "borderline": bool(n)}
                for n in range(len(values) if agreed and one["policy"] else 0)
            ],
            "cost": format_credits(CHARGE // 2),
            "locked": "0",
        }

    async def tx(self, tx: str) -> Any:
        if self.refuse:
            return {"code": 419, "code_name": "CHARGE_TOO_HIGH", "height": 9}
        raise NotFoundError("no such transaction")

    @property
    def asked(self) -> list[Any]:
        return [row for one in self.requests.values() for row in one["rows"]]


class Here:
    """One person's folder, in which the command is run again and again."""

    def __init__(self, tmp_path: Path, rows: int = 10) -> None:
        self.graph, self.clock = Graph(), 1_000.0
        self.table, self.out = table(tmp_path / "in.csv", rows), tmp_path / "out.csv"
        self.told: list[TableProgress] = []

    def now(self) -> float:
        self.clock += 0.001
        return self.clock

    def run(self, terms: TableTerms = TERMS, schema: ModelSchema = SCHEMA) -> TableProgress:
        reader = TableReader(self.table, schema)
        rows = reader.check()

        async def go() -> TableProgress:
            run = TableRun(
                self.graph, reader, self.out, schema, terms, rows=rows, progress=self.told.append, now=self.now, look_s=0.01
            )
            try:
                return await run.run()
            finally:
                run.close()

        return asyncio.run(go())

    def answers(self) -> list[dict[str, str]]:
        return list(csv.DictReader(io.StringIO(self.out.read_text())))


@pytest.fixture
def here(tmp_path: Path) -> Here:
    return Here(tmp_path)


def test_a_table_is_asked_about_in_batches_and_answered_in_its_order(here: Here) -> None:
    done = here.run()
    assert done == TableProgress(rows=10, done=10, failed=0, weak=0, cost=4 * CHARGE // 2)
    assert describe(done) == "10 of 10 rows, 2 credits"
    found = here.answers()
    assert [line["id"] for line in found] == [str(number) for number in range(10)]
    assert list(found[0]) == ["id", "job", "age", *ANSWERS]
    assert found[2]["job"] == "job, 2"
    assert (found[2]["answer_class"], found[2]["answer_label"], found[2]["answer_score"]) == ("1", "yes", "0.14")
    assert [line["answer_request"] for line in found[2:4]] == ["r6", "r7"]
    assert [progress.done for progress in here.told] == [3, 6, 9, 10]
    assert here.graph.asked == [[number * 7 % 90, f"job, {number}"] for number in range(10)]
    assert here.run() == done
    assert len(here.graph.requests) == 4


def test_a_policy_s_decision_and_rate_stand_beside_each_row(here: Here) -> None:
    terms = msgspec.structs.replace(TERMS, request={**TERMS.request, "policy": "c0" * 32})
    here.run(terms)
    found = here.answers()
    assert list(found[0]) == ["id", "job", "age", *ANSWERS, *DECISIONS]
    assert [line["answer_decision"] for line in found[:3]] == ["ACCEPT", "REFER", "REFER"]
    assert (found[1]["answer_rate_ppm"], found[1]["answer_borderline"]) == ("1000", "True")


@pytest.mark.parametrize("where", ["quote", "before", "behind", "asked"])
@pytest.mark.parametrize("call", [1, 2, 3, 4])
def test_after_any_stop_no_row_is_paid_twice_and_none_is_left_out(here: Here, where: str, call: int) -> None:
    here.graph.stop_at = {where: call}
    with pytest.raises(Stopped):
        here.run()
    here.graph.stop_at = {}
    here.run()
    assert sorted(here.graph.asked) == sorted([number * 7 % 90, f"job, {number}"] for number in range(10))
    assert [line["id"] for line in here.answers()] == [str(number) for number in range(10)]


@pytest.mark.parametrize("cut", range(0, 40, 3))
def test_a_journal_and_answers_that_were_cut_short_are_gone_on_with(here: Here, cut: int) -> None:
    """A power cut leaves half a line in each: what the journal does not know was not written."""
    here.run()
    journal = Path(f"{here.out}.asked")
    whole = journal.read_bytes()
    journal.write_bytes(whole[: len(whole) - cut] if cut < 30 else whole[: whole.rindex(b"\n", 0, -1) + 1])
    with here.out.open("ab") as file:
        file.write(b"half a li")
    here.run()
    assert len(here.graph.requests) == 4
    assert [line["id"] for line in here.answers()] == [str(number) for number in range(10)]


def test_what_the_day_may_take_ends_the_run_and_says_when_it_goes_on(here: Here) -> None:
    terms = TableTerms(model="m", own="lc1me", request={"n": 3}, max_rows=3, max_bytes=1000, daily_budget=2 * CHARGE)
    with pytest.raises(BudgetSpent, match="of 2 credits, and the next batch may take 1") as spent:
        here.run(terms)
    before = len(here.graph.requests)
    assert 2 <= before < 4
    assert [line["id"] for line in here.answers()] == [str(number) for number in range(3 * before)]
    here.clock = spent.value.again + 1
    assert here.run(terms).done == 10
    assert len(here.graph.requests) == 4


def test_a_request_that_the_ledger_refuses_is_sent_anew_by_the_next_run(here: Here) -> None:
    here.graph.refuse = True
    with pytest.raises(RejectedError, match="batch 1 was refused in block 9"):
        here.run()
    here.graph.refuse = False
    here.graph.requests.clear()
    assert here.run().done == 10
    assert len(here.graph.asked) == 10


def test_a_request_that_came_into_no_block_is_sent_anew_when_it_cannot_come_any_more(here: Here) -> None:
    here.graph.stop_at = {"asked": 1}
    with pytest.raises(Stopped):
        here.run()
    here.graph.stop_at, here.graph.height = {}, 20_000
    here.graph.hidden = set(here.graph.requests)
    with pytest.raises(RejectedError, match="into no block"):
        here.run()


def test_other_terms_another_table_and_files_that_are_there_are_refused(here: Here, tmp_path: Path) -> None:
    here.run()
    with pytest.raises(BadJournal, match=r"\(terms\)"):
        here.run(TableTerms(model="m", own="lc1me", request={"n": 5}, max_rows=3, max_bytes=1000))
    table(here.table, 11)
    with pytest.raises(BadJournal, match=r"\(table\)"):
        here.run()
    here.out.write_bytes(b"")
    table(here.table)
    with pytest.raises(BadJournal, match="shorter than it was"):
        here.run()
    Path(f"{here.out}.asked").write_text('{"v": 1}\n')
    with pytest.raises(BadJournal, match="belongs to another"):
        here.run()
    Path(f"{here.out}.asked").write_text("{\n")
    with pytest.raises(BadJournal, match="damaged"):
        here.run()
    other = Here(tmp_path)
    other.out = tmp_path / "mine.csv"
    other.out.write_text("something of mine")
    with pytest.raises(BadJournal, match="exists already"):
        other.run()
    assert other.out.read_text() == "something of mine"
    assert not other.graph.requests


def test_one_process_at_a_time_asks(here: Here) -> None:
    reader = TableReader(here.table, SCHEMA)

    def run() -> TableRun:
        return TableRun(here.graph, reader, here.out, SCHEMA, TERMS, rows=10, progress=here.told.append)

    first = run()
    with pytest.raises(BadJournal, match="another process"):
        run()
    first.close()
    run().close()


def test_a_node_that_goes_away_ends_the_run_and_nothing_is_lost(here: Here) -> None:
    good = here.graph.prediction

    async def gone(request: str, *, wait: float = 0) -> Any:
        raise UnreachableError("the node is gone")

    here.graph.prediction = gone  # type: ignore[method-assign]
    with pytest.raises(UnreachableError):
        here.run()
    here.graph.prediction = good  # type: ignore[method-assign]
    assert here.run().done == 10
    assert len(here.graph.asked) == 10


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is empty"),
        ("age\n1\n", "lacks columns that the model needs: job"),
        ("age,job,age\n1,x,2\n", "two columns of the same name"),
        ("age,job,answer_class\n1,x,2\n", "has the column answer_class"),
        ("age,job\n", "no rows below its first line"),
        ("age,job\n1,x\n2\n", "line 3: it has 1 cells, and the first line 2"),
        ("age,job\n1,x\n\n201,x\n", "line 4, age: '201' is not a whole number from 0 to 200"),
        ('age,job\n1,"two\nlines"\nx,y\n', "line 4, age: 'x' is not"),
        ('age,job\n1,"open\n', "no CSV in UTF-8"),
        ('age,job\n1,"x"y\n', "no CSV in UTF-8"),
        ("age,job\n" + "-1,x\n" * 30, "and perhaps more"),
    ],
)
def test_a_table_that_does_not_fit_is_refused_by_its_lines(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "in.csv").write_text(text)
    with pytest.raises(BadTable, match=why):
        TableReader(tmp_path / "in.csv", SCHEMA).check()


def test_bytes_that_are_no_text_and_lines_that_are_too_long(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    for raw in (b"age,job\n1,\xff\n", b"age,job\n1," + b"x" * 200_000 + b"\n", b"age,job\n1,\0\n" + b"x" * 9_000_000):
        path.write_bytes(raw)
        with pytest.raises(BadTable):
            TableReader(path, SCHEMA).check()
    for raw, why in ((b"PK\3\4\x14\0", "a workbook"), ("age,job\n1,x\n".encode("utf-16"), "UTF-16"), (b"PAR1\x15", "Parquet")):
        path.write_bytes(raw)
        with pytest.raises(BadTable, match=f"{why}.* save it as CSV"):
            TableReader(path, SCHEMA).check()
    with pytest.raises(BadTable, match="cannot be read"):
        TableReader(tmp_path / "none.csv", SCHEMA)


@pytest.mark.parametrize("name", ["=cmd|'/c calc'!A1", "+1+HYPERLINK(0)", "-x", "@SUM(A1)"])
def test_a_strangers_class_is_no_formula_in_a_spreadsheet(name: str) -> None:
    assert plain_label(name) == "'" + name
    assert [plain_label(one) for one in ("-1", "+2.5", "good", "a=b")] == ["-1", "+2.5", "good", "a=b"]


# --- bounds of a table ---------------------------------------------------------------------------------------------------------


def read(path: Path, text: str) -> TableReader:
    path.write_text(text)
    return TableReader(path, SCHEMA)


@pytest.mark.parametrize(
    ("text", "separator", "first"),
    [
        ("age,job\n40,a\n", ",", 2),
        ("age;job;x\n40;a;1,5\n", ";", 2),
        ("job\tage\r\na\t40\r\n", "\t", 2),
        ("sep=;\r\nage;job\r\n40;a\r\n", ";", 3),
        ('"sep=,"\nage,job\n40,a\n', ",", 3),
        ('age, job, "x, y"\n40, a, 1\n', ",", 2),
        ("\ufeffSEP=\t\nage\tjob\n40\ta\n", "\t", 3),
    ],
)
def test_a_table_is_read_as_spreadsheets_write_it_and_answered_alike(tmp_path: Path, text: str, separator: str, first: int) -> None:
    table = read(tmp_path / "in.csv", text)
    assert table.check() == 1
    (line,) = table.lines()
    assert (line.row, line.number) == ([40, "a"], first)
    assert (
        answers_head(table, decided=False)
        .decode()
        .startswith(separator.join(f'"{n}"' if separator in n else n for n in table.names))
    )


PRICED = parse_schema(
    b'{"inputs":[{"name":"pay","datatype":"FP64"},{"name":"rate","datatype":"FP32","shape":[2]},{"name":"note","datatype":"BYTES"}]}'
)


@pytest.mark.parametrize(
    ("text", "row"),
    [
        ("pay;rate[0];rate[1];note\n3,14;1;-0,5e2;a,b\n", [3.14, [1, -50], "a,b"]),
        ("note\tpay\trate[0]\trate[1]\n1,5\t,5\t1,234\t2\n", [0.5, [1.234, 2], "1,5"]),
        ("pay;rate[0];rate[1];note\n0,125;7;7;\n", [0.125, [7, 7], ""]),
    ],
)
def test_decimal_commas_are_numbers_where_nothing_else_can_be_meant(tmp_path: Path, text: str, row: list[Any]) -> None:
    (tmp_path / "in.csv").write_text(text)
    table = TableReader(tmp_path / "in.csv", PRICED)
    assert table.check() == 1
    (batch,) = table.batches(9, 1_000)
    assert batch.lines[0].row == row
    view = {"id": "r", "state": "AGREED", "values": [{"row": 0, "class": 1, "score": "0.25", "support": 3}]}
    answers = answers_text(table, batch, view, None, decided=False).decode()
    assert "0,25" in answers and answers.startswith(text.splitlines()[1]), "as the spreadsheet reads its numbers again"


@pytest.mark.parametrize(
    "rows",
    [
        "pay;rate[0];rate[1];note\n1,234;1;1;x\n",
        "pay;rate[0];rate[1];note\n3,14;1.5;1;x\n",
        'pay,rate[0],rate[1],note\n"3,14",1,1,x\n',
    ],
    ids=["thousands?", "beside points", "among commas"],
)
def test_decimal_commas_that_could_be_meant_otherwise_are_refused_with_what_to_do(tmp_path: Path, rows: str) -> None:
    (tmp_path / "in.csv").write_text(rows)
    with pytest.raises(
        BadTable, match=r"line 2, pay: '[0-9,]+' is not a number \(FP64\); write numbers with a decimal point, and noth"
    ):
        TableReader(tmp_path / "in.csv", PRICED).check()
    (tmp_path / "in.csv").write_text(rows.replace("1,234", "1234").replace("3,14", "3.14"))
    assert TableReader(tmp_path / "in.csv", PRICED).check() == 1


def test_wrong_rows_are_all_told_of_up_to_a_bound(tmp_path: Path) -> None:
    for rows, more in ((SHOWN - 1, False), (SHOWN, True)):
        with pytest.raises(BadTable) as told:
            read(tmp_path / "in.csv", "age,job\n" + "-1,x\n" * rows).check()
        assert str(told.value).count("is not a whole number") == rows and ("and perhaps more" in str(told.value)) == more


def test_the_number_of_rows_columns_and_characters_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "in.csv"
    monkeypatch.setattr(tables, "MAX_ROWS", 3)
    assert read(path, "age,job\n" + "1,x\n" * 3).check() == 3
    with pytest.raises(BadTable, match="more than 3 rows: ask about a part at a time"):
        read(path, "age,job\n" + "1,x\n" * 4).check()
    monkeypatch.setattr(tables, "MAX_COLUMNS", 3)
    assert read(path, "age,job,more\n1,x,y\n").check() == 1
    with pytest.raises(BadTable, match="more than 3 columns"):
        read(path, "age,job,more,yet\n")
    monkeypatch.setattr(tables, "MAX_LINE_BYTES", 10)
    assert read(path, "age,job\n1,1234567\n").check() == 1
    with pytest.raises(BadTable, match="a line has more than 10 characters"):
        read(path, "age,job\n1,12345678\n").check()


def test_batches_are_filled_to_the_last_byte_and_numbered(tmp_path: Path) -> None:
    reader = read(tmp_path / "in.csv", "age,job\n" + "1,x\n" * 4)
    (whole,) = reader.batches(4, 100)
    size = len(whole.raw) // 4
    assert [[len(batch.lines) for batch in reader.batches(9, most)] for most in (2 * size, 2 * size - 1)] == [[2, 2], [1, 1, 1, 1]]
    assert [batch.number for batch in reader.batches(9, size)] == [0, 1, 2, 3]
    with pytest.raises(BadTable, match=f"line 2 has {size} bytes as the model gets it, which takes at most {size - 1}"):
        list(reader.batches(9, size - 1))


def test_text_of_every_alphabet_and_lines_within_a_cell_arrive_as_they_stand(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_bytes('\ufeffage,job\r\n1,"zürich\r\n東京"\r\n\r\n2,x\r\n'.encode())
    (batch,) = TableReader(path, SCHEMA).batches(9, 1_000)
    assert [(line.number, line.cells) for line in batch.lines] == [(2, ["1", "zürich\r\n東京"]), (5, ["2", "x"])]
    assert "東京".encode() in batch.raw, "characters of their own bytes: an escape would cost six for each"


# --- the journal -----------------------------------------------------------------------------------------------------------------


def opened(here: Here, **terms: Any) -> TableRun:
    reader = TableReader(here.table, SCHEMA)
    asked = msgspec.structs.replace(TERMS, **terms)
    return TableRun(here.graph, reader, here.out, SCHEMA, asked, rows=10, progress=here.told.append, now=lambda: here.clock)


def test_a_day_s_budget_counts_what_was_sent_within_a_day_and_says_when_there_is_room(here: Here) -> None:
    run = opened(here, daily_budget=3 * CHARGE)
    for number, at in enumerate((100.0, 200.0, 300.0)):
        run._check_budget(CHARGE)
        run.journal.add(number, key=f"k{number}")
        run.journal.add(number, request=f"r{number}", tx="t", charge="1", height=1, at=at)
    for now, charge, again in (
        (400.0, CHARGE, 100.0 + DAY_S),
        (400.0, 2 * CHARGE, 200.0 + DAY_S),
        (400.0, 4 * CHARGE, 400.0 + DAY_S),
        (99.0 + DAY_S, CHARGE, 100.0 + DAY_S),
        (150.0 + DAY_S, 2 * CHARGE, 200.0 + DAY_S),
    ):
        here.clock = now
        with pytest.raises(BudgetSpent) as spent:
            run._check_budget(charge)
        assert spent.value.again == again, (now, charge)
    here.clock = 100.0 + DAY_S
    run._check_budget(CHARGE)
    run.close()


def test_each_step_is_on_the_disk_before_the_next_one(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes, whole, sync = {}, here.graph.request_prediction, os.fsync

    def noted(file: Any) -> None:
        fd = file if isinstance(file, int) else file.fileno()
        sizes[os.fstat(fd).st_ino] = os.fstat(fd).st_size
        sync(fd)

    def all_there(path: Path) -> None:
        assert sizes[path.stat().st_ino] == path.stat().st_size, path

    async def sent(request: Any, *, wait: float = 0) -> Any:
        all_there(Path(f"{here.out}.asked"))
        assert request["idempotency_key"] in Path(f"{here.out}.asked").read_text()
        return await whole(request, wait=wait)

    class Told(list[TableProgress]):
        def append(self, progress: TableProgress) -> None:
            all_there(here.out)
            all_there(Path(f"{here.out}.asked"))
            super().append(progress)

    monkeypatch.setattr("learningchain.client.contracts.prediction.roles.asking.os.fsync", noted)
    monkeypatch.setattr(here.graph, "request_prediction", sent)
    here.told = Told()
    assert here.run().done == 10 and len(here.told) == 4


def test_a_request_may_still_come_while_its_transaction_is_valid(here: Here) -> None:
    run = opened(here)
    run.journal.add(0, key="k")
    run.journal.add(0, request="r", tx="t", charge="1", height=100, at=1.0)
    here.graph.height = 100 + VALID_FOR
    asyncio.run(run._refused(0))
    assert run.journal.batches[0].request == "r"
    here.graph.height += 1
    with pytest.raises(RejectedError, match="taken into no block in time"):
        asyncio.run(run._refused(0))
    run.close()
    again = opened(here)
    assert (again.journal.batches[0].request, again.journal.batches[0].key) == ("", ""), "it is sent anew, under a key of its own"
    again.close()


def test_a_request_that_left_unseen_is_neither_waited_for_nor_asked_anew_as_if_it_had_cost_nothing(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The node took a snapshot of a block after the sending: whether the request was answered and paid, it cannot tell."""
    run = opened(here)
    run.journal.add(0, key="k")
    run.journal.add(0, request="r", tx="t", charge="1", height=100, at=1.0)

    async def status() -> Any:
        return {"height": 100 + 2 * VALID_FOR, "first_block": 102}

    monkeypatch.setattr(here.graph, "status", status)
    with pytest.raises(UnavailableError, match="blocks begin with 102: whether it was answered, and paid, it cannot tell"):
        asyncio.run(run._refused(0))
    assert run.journal.batches[0].request == "r"
    run.close()


def test_a_file_that_another_program_made_shorter_or_that_is_somebody_s_is_not_written(here: Here, tmp_path: Path) -> None:
    here.run()
    whole = here.out.read_bytes()
    here.out.write_bytes(whole[:-1])
    with pytest.raises(BadJournal, match="shorter than it was"):
        opened(here)
    here.out.write_bytes(whole + b"half a line")
    opened(here).close()
    assert here.out.read_bytes() == whole
    Path(f"{here.out}.asked").unlink()
    with pytest.raises(BadJournal, match="is not overwritten"):
        opened(here)
    assert here.out.read_bytes() == whole


def test_a_table_of_any_line_ends_is_read_and_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    for end in ("\n", "\r\n", "\r"):
        (tmp_path / "in.csv").write_bytes(end.join(["age,job", "40,a", ""]).encode())
        table = TableReader(tmp_path / "in.csv", SCHEMA)
        assert (table.check(), [line.row for line in table.lines()]) == (1, [[40, "a"]])
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BadTable, match=r"is no file, and a table is read more than once. Save it first"):
        TableReader(tmp_path / "pipe", SCHEMA)
    with pytest.raises(BadTable, match="it is text in UTF-16"):
        (tmp_path / "in.csv").write_text("age,job\n40,a\n", "utf-16")
        TableReader(tmp_path / "in.csv", SCHEMA)
