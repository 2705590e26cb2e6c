"""Values of whatever origin (Parquet, a benchmark's documents) as JSON can carry them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date, time
from decimal import Decimal
from typing import Any


def as_json(value: Any) -> Any:
    """The value, or what stands for it in JSON.

    Not-a-number and infinity are null, for they are no measurement; dates and times are ISO 8601; a decimal is an
    integer where it is one, else its own text; bytes are their UTF-8 text, else hexadecimal; half a character is
    U+FFFD; whatever else there is has its own text.
    """
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {as_json(str(key)): as_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [as_json(item) for item in value]
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, Decimal):
        return _decimal(value)
    if isinstance(value, (bytes, bytearray)):
        return _text(bytes(value))
    return as_json(value.tolist() if hasattr(value, "tolist") else str(value))


def _decimal(value: Decimal) -> int | str | None:
    if not value.is_finite():
        return None
    return int(value) if abs(value) < 10**18 and value == value.to_integral_value() else str(value)


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.hex()
