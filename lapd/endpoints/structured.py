"""Structured answers: the JSON object in what a model wrote, checked against a schema.

The schemas are JSON schemas of these keywords: type, properties, required, items, minItems, maxItems, enum,
additionalProperties (as a yes or no). An object's own keywords are checked before those of what is in it.
"""

from __future__ import annotations

import json
from typing import Any

TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
}

CANDIDATES = 50
"""At so many opening braces a JSON object is looked for in one text."""


def read_answer(text: str, schema: dict[str, Any]) -> dict[str, Any]:
    """The first JSON object in `text` that fits `schema`; a model may have written prose or a fence around it.

    Raises:
        ValueError: there is none; the message says what the first object lacks, in a few words.
    """
    if not text.strip():
        raise ValueError("the answer is empty")
    first_fault = "there is no JSON object in the answer"
    start = text.find("{")
    for number in range(CANDIDATES):
        if start < 0:
            break
        value, fault = _decode(text, start)
        fault = fault or find_fault(value, schema)
        if fault is None:
            return value
        if number == 0:
            first_fault = fault
        start = text.find("{", start + 1)
    raise ValueError(first_fault)


def _decode(text: str, start: int) -> tuple[Any, str | None]:
    """The JSON object that begins at `start`, or what is wrong with it."""
    try:
        return json.JSONDecoder().raw_decode(text, start)[0], None
    except json.JSONDecodeError as error:
        cut_off = not text[error.pos :].strip() or error.msg.startswith("Unterminated")
        return None, "the JSON object breaks off" if cut_off else f"the JSON object is broken ({error.msg})"
    except RecursionError:
        return None, "the JSON object is nested too deeply"


def find_fault(value: Any, schema: dict[str, Any], where: str = "answer") -> str | None:
    """What of `schema` the value does not keep to, in a few words, or None.

    Args:
        value: as `json.loads` gives it.
        schema: of the keywords that this module names.
        where: what the value is called in the message.
    """
    wanted = schema.get("type")
    if wanted and (not isinstance(value, TYPES[wanted]) or (isinstance(value, bool) and wanted != "boolean")):
        return f"{where} is no {wanted}"
    if "enum" in schema and value not in schema["enum"]:
        return f"{where} is not one of {', '.join(map(str, schema['enum']))}"
    if isinstance(value, dict):
        return _object_fault(value, schema, where)
    if isinstance(value, list):
        return _array_fault(value, schema, where)
    return None


def _object_fault(value: dict[str, Any], schema: dict[str, Any], where: str) -> str | None:
    if missing := [name for name in schema.get("required", ()) if name not in value]:
        return f"{where} has no {missing[0]!r}"
    properties = schema.get("properties", {})
    if schema.get("additionalProperties", True) is False and (more := sorted(value.keys() - properties.keys())):
        return f"{where} has a field too many, {more[0]!r}"
    faults = (find_fault(value[name], properties[name], f"{where}.{name}") for name in properties if name in value)
    return next(filter(None, faults), None)


def _array_fault(value: list[Any], schema: dict[str, Any], where: str) -> str | None:
    if len(value) < schema.get("minItems", 0):
        return f"{where} has {len(value)} items, fewer than {schema['minItems']}"
    if len(value) > schema.get("maxItems", len(value)):
        return f"{where} has {len(value)} items, more than {schema['maxItems']}"
    faults = (find_fault(item, schema.get("items", {}), f"{where}[{n}]") for n, item in enumerate(value))
    return next(filter(None, faults), None)
