"""Structured answers: the JSON object in what a model wrote, checked against a schema.

A model may quote an object before it gives its own, or draft one while it reasons: reasoning is taken off first, the
last object that fits is the answer, and where several that fit are not the same there is none.

The schemas are JSON schemas of these keywords: type, properties, required, items, minItems, maxItems, enum,
additionalProperties (as a yes or no). An object's own keywords are checked before those of what is in it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from lapd.reasoning import answer_of

TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
}

CANDIDATES = 1000
"""So many opening braces are looked at. A text with more has no answer: what it ends with is not known."""

_NOTHING = re.compile(r"[\s`]*(?:json)?[\s`]*")
"""What may stand around an object that is alone: white space and a fence."""


def read_answer(
    text: str, schema: dict[str, Any], decision: Callable[[dict[str, Any]], Any] = lambda answer: answer
) -> dict[str, Any]:
    """The last JSON object in `text` that fits `schema`; a model may have written prose or a fence around it.

    Args:
        text: what the model wrote, with its reasoning if there is any.
        schema: of the keywords that this module names.
        decision: what of an answer all objects that fit must have in common; by default all of it.

    Raises:
        ValueError: there is none, or there are several that differ; the message says what is wrong with the text or
            its first object, in a few words.
    """
    if not text.strip():
        raise ValueError("the answer is empty")
    if not _is_alone(text) and not (text := answer_of(text)).strip():
        raise ValueError("there is no answer behind the reasoning")
    if text.count("{") > CANDIDATES:
        raise ValueError(f"it has more than {CANDIDATES} opening braces")
    answers, fault = objects_in(text, schema)
    if not answers:
        raise ValueError(fault)
    if any(decision(answer) != decision(answers[-1]) for answer in answers):
        raise ValueError("it holds several answers that differ")
    return answers[-1]


def objects_in(text: str, schema: dict[str, Any]) -> tuple[list[dict[str, Any]], str]:
    """The JSON objects in `text` that fit `schema`, in order, none within another; and what is wrong with the first."""
    found, fault = [], "there is no JSON object in the answer"
    start = text.find("{")
    for number in range(CANDIDATES):
        if start < 0:
            break
        value, end, wrong = _decode(text, start)
        wrong = wrong or find_fault(value, schema)
        if wrong is None:
            found.append(value)
        elif number == 0:
            fault = wrong
        start = text.find("{", end if wrong is None else start + 1)
    return found, fault


def stands_in(answer: dict[str, Any], text: str, schema: dict[str, Any]) -> bool:
    """Whether an answer is one that a text has in it: as it is, within a string, or in Python's spelling."""
    spellings = [text]
    if '\\"' in text:
        spellings.append(text.replace('\\"', '"'))
    if "{'" in text:
        spellings.append(text.replace("'", '"').replace("True", "true").replace("False", "false"))
    return any(answer in objects_in(spelling, schema)[0] for spelling in spellings)


def _is_alone(text: str) -> bool:
    """Whether a text is one JSON object: a mark of reasoning can then only be spoken of in it."""
    start = text.find("{")
    if start < 0 or not _NOTHING.fullmatch(text[:start]):
        return False
    _, end, wrong = _decode(text, start)
    return wrong is None and _NOTHING.fullmatch(text[end:]) is not None


def _decode(text: str, start: int) -> tuple[Any, int, str | None]:
    """The JSON object that begins at `start` and where it ends, or what is wrong with it."""
    try:
        return *json.JSONDecoder(object_pairs_hook=_told_once).raw_decode(text, start), None
    except _ToldTwiceError as error:
        return None, start, f"the JSON object says twice what {str(error)!r} is"
    except json.JSONDecodeError as error:
        cut_off = not text[error.pos :].strip() or error.msg.startswith("Unterminated")
        return None, start, "the JSON object breaks off" if cut_off else f"the JSON object is broken ({error.msg})"
    except RecursionError:
        return None, start, "the JSON object is nested too deeply"


class _ToldTwiceError(Exception):
    """A field of an object has two values that differ."""


def _told_once(fields: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(fields)
    for name, value in fields:
        if found[name] != value:
            raise _ToldTwiceError(name)
    return found


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
