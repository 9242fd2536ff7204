"""Loaded by schemathesis in its own environment, for what a schema cannot say.

JSON has one kind of number: 10.0 is sent as 10, as this API reads whole numbers. Waits are cut short: what they answer is the same.
"""

from typing import Any

import schemathesis  # type: ignore[import-not-found]

SHORT_S = 0.2
LONGEST_S = {"wait": 300.0, "timeout_s": 24 * 3_600.0}


def whole(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: whole(one) for key, one in value.items()}
    if isinstance(value, list):
        return [whole(one) for one in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def seconds(text: Any) -> float:
    try:
        return float(text)
    except (TypeError, ValueError):
        return 0.0


@schemathesis.hook  # type: ignore[untyped-decorator,unused-ignore]
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    if isinstance(case.body, dict | list):
        case.body = whole(case.body)
    query = case.query or {}
    asked = {parameter.name for parameter in case.operation.query}
    for field, longest in LONGEST_S.items():
        if field in asked and (field not in query or SHORT_S < seconds(query[field]) <= longest):
            case.query = query = {**query, field: SHORT_S}
