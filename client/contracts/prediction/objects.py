"""A model as an object: what it takes, what it costs, and its values in the form in which the rows came."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from learningchain.client.contracts.prediction.http.model_schema import (
    MAX_SCHEMA_BYTES,
    BadRow,
    BadSchema,
    ModelSchema,
    check_row,
    parse_schema,
)
from learningchain.client.contracts.prediction.references import model_id
from learningchain.client.contracts.prediction.rows import Value, as_rows, like
from learningchain.client.contracts.prediction.sdk import PredictedRow
from learningchain.client.sdk.calls import Blocking, call
from learningchain.client.sdk.client import Client
from learningchain.client.sdk.objects import NodeLink, NodeObject, ObjectsPart
from learningchain.client.sdk.types import UnavailableError, UsageError
from learningchain.client.sdk.values import Credits, Span, credits_text, seconds


class ModelCalls(NodeObject):
    """A registered model as the node told of it last. `raw` has everything that the API says."""

    def __init__(self, link: NodeLink, raw: Mapping[str, Any], schema: ModelSchema | None) -> None:
        super().__init__(link, raw)
        self._schema = schema

    @property
    def id(self) -> str:
        return str(self.raw["id"])

    @property
    def name(self) -> str:
        return str(self.raw["name"])

    @property
    def owner(self) -> str:
        return str(self.raw["owner"])

    @property
    def state(self) -> str:
        return str(self.raw["state"])

    @property
    def kind(self) -> str:
        """ "number" or "class"."""
        return str(self.raw["kind"])

    @property
    def classes(self) -> list[str] | None:
        """The names of its classes, where its schema has them."""
        return None if self._schema is None or self._schema.classes is None else list(self._schema.classes)

    @property
    def unit(self) -> str | None:
        return None if self._schema is None else self._schema.unit

    @property
    def inputs(self) -> list[str] | None:
        """What a row has, in order; None where the model has no schema."""
        return None if self._schema is None else [one.name for one in self._schema.inputs]

    @property
    def price(self) -> Decimal:
        """The owner's, for a row. A tip for those who answer, at least `floor` a row and answer, comes beside it."""
        return Decimal(self.raw["price"])

    @property
    def floor(self) -> Decimal:
        return Decimal(self.raw["floor"])

    @property
    def servers(self) -> int:
        """How many nodes serve it and are awake; three are needed to answer."""
        return int(self.raw["awake"])

    def _facts(self) -> dict[str, Any]:
        facts = {"name": self.name, "state": self.state, "kind": self.kind, "price": self.price, "servers": self.servers}
        takes = None if self.inputs is None else ", ".join(self.inputs[:8]) + (", ..." if len(self.inputs) > 8 else "")
        return facts | {"row": takes, "unit": self.unit, "owner": self.owner, "id": self.id[:12]}

    @call
    async def refresh(self) -> None:
        """Ask the node how the model stands now."""
        self.raw = await self._node.model(self.id)

    @call
    async def predict(
        self, rows: Any, *, n: int = 5, agree: int | None = None, max_charge: Credits | None = None, timeout: Span = "15m"
    ) -> Any:
        """Ask the model, and pay for it: one value a row, in the form in which the rows come.

        rows: a list gives a list, a numpy array an array, a pandas Series a Series, a DataFrame a DataFrame with the same index and
            the columns value and support (answers that agree on it). Of a frame the columns that the model takes are sent.
        n: answers that are asked for, odd. agree: how many of them should agree.
        max_charge: the most that one request may lock, of as many rows as the model takes at once.
        A value is a float, or a class by its name, else its number; None, or nan, where too few answers agree on that row.
        The same rows asked again in one run of a program are not paid twice.
        Raises UsageError where a row is not as the model takes it, and nothing is sent; UnavailableError where no row has a value.
        """
        listed = self._checked(as_rows(rows, self._schema))
        charge = None if max_charge is None else credits_text(max_charge, "max_charge")
        found = await self._node.predict_many(
            self.id, listed, n=n, agree=agree, max_charge=charge, timeout_s=seconds(timeout, "timeout")
        )
        values = [self._value(row) for row in found]
        if found and all(value is None for value in values):
            why = f"No row has an agreed value: {found[0]['outcome']} (request {found[0]['request']})"
            raise UnavailableError(f"{why}. Look at it with learningchain prediction show", name=found[0]["outcome"])
        numbers = self.kind == "number"
        return like(rows, values, [row["support"] for row in found], numbers=numbers)

    def _checked(self, rows: list[Any]) -> list[Any]:
        if self._schema is None:
            return rows
        try:
            return [check_row(self._schema, row, number) for number, row in enumerate(rows, 1)]
        except BadRow as problem:
            text = f"The rows do not fit the model, nothing was sent: {problem}. Correct the row"
            raise UsageError(text, name="BAD_ROW") from None

    def _value(self, row: PredictedRow) -> Value:
        if self.kind == "number":
            return None if row["score"] is None else float(row["score"])
        found = row["class"]
        return found if found is None or self.classes is None else self.classes[found]


class AsyncModel(ModelCalls):
    __doc__ = ModelCalls.__doc__


class Model(Blocking, ModelCalls):
    __doc__ = ModelCalls.__doc__


async def schema_of(node: Client, model: Mapping[str, Any]) -> ModelSchema | None:
    """The schema of a model, over the node; None where it has none. Raises `BadSchema`, and the SDK's errors."""
    if (cid := model["schema"]) is None:
        return None
    with tempfile.TemporaryDirectory(prefix="learningchain-") as folder:
        fetched = await node.fetch(cid, Path(folder) / "schema.json", max_size=MAX_SCHEMA_BYTES)
        schema = parse_schema(fetched.path.read_bytes())
    if (why := schema.fits(model["classes"] or 0)) is not None:
        raise BadSchema(f"the schema of model {model['name']} is not its own: {why}")
    return schema


async def found(node: Client, text: str) -> tuple[Mapping[str, Any], ModelSchema | None]:
    """What is known of a model, and its schema. Raises `UsageError`, and the SDK's other errors."""
    raw = await node.model(await model_id(node, text))
    try:
        return raw, await schema_of(node, raw)
    except BadSchema as problem:
        raise UsageError(f"Model {text[:80]} cannot be asked: {problem}. Its owner has to mend it", name="BAD_SCHEMA") from None


class AsyncNodeModels(NodeObject):
    """What an awaited node has of models."""

    async def model(self, model: str) -> AsyncModel:
        """A registered model: by its name where it is this node's own, else lc1.../name, or its id."""
        return AsyncModel(self._link, *await found(self._node, model))


class NodeModels(Blocking, NodeObject):
    """What a blocking node has of models."""

    @call
    async def model(self, model: str) -> Model:
        """A registered model: by its name where it is this node's own, else lc1.../name, or its id."""
        return Model(self._link, *await found(self._node, model))


PART: Final = ObjectsPart(AsyncNodeModels, NodeModels)
"""What a node has of this contract, awaited and blocking."""
