"""What an OpenAI-compatible server takes, found out by what it refuses.

Servers differ in five fields of a chat completion's request: the form of `response_format`, the name of the limit on
the answer's length, `temperature`, `seed` and `stop`. A request begins with all of them as OpenAI documents them; one
that is refused with HTTP 400 or 422 and a message that names a field is sent again without it, or with its other name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from lapd.endpoints.replies import FILTERED

FORMATS = ("json_schema", "json_object", "text")
"""How an answer's form can be asked for, the strictest first; `text` asks for nothing."""

SETTINGS = ("temperature", "seed", "stop")
"""What a server may be asked without."""

STOPS = 4
"""OpenAI's API takes so many stop sequences."""


class Dialect:
    """One server's, for one model. It only ever learns; requests that are under way may lag behind.

    Attributes:
        refused: the settings that the server does not take: of temperature, seed and stop.
    """

    def __init__(self) -> None:
        self.refused: set[str] = set()
        self._format = 0
        self._length = "max_tokens"

    def body(
        self,
        length: int,
        schema: dict[str, Any] | None,
        temperature: float | None,
        seed: int | None,
        stop: Sequence[str] = (),
    ) -> dict[str, Any]:
        """The fields of a request beside model and messages.

        Args:
            length: at most so many tokens in the answer.
            schema: what the answer must keep to, or None for prose.
            temperature: of the sampling; None for the server's own.
            seed: of the sampling; None for none.
            stop: texts at which the server may end the answer; it is sent the first `STOPS`.
        """
        fields: dict[str, Any] = {self._length: length}
        optional = {"temperature": temperature, "seed": seed, "stop": list(stop[:STOPS]) or None}
        fields |= {k: v for k, v in optional.items() if v is not None and k not in self.refused}
        if schema is not None and FORMATS[self._format] != "text":
            fields["response_format"] = {"type": FORMATS[self._format]}
            if FORMATS[self._format] == "json_schema":
                fields["response_format"]["json_schema"] = {"name": "answer", "schema": schema, "strict": True}
        return fields

    def learn(self, sent: dict[str, Any], complaint: str) -> bool:
        """Take a refusal in; whether it is worth sending the request again.

        Args:
            sent: the fields of the refused request, as `body` gave them.
            complaint: the server's message.
        """
        if FILTERED.search(complaint):
            return False  # it may repeat the prompt, and so name anything
        complaint = _said(complaint)
        asked = sent.get("response_format", {}).get("type")
        if asked and any(word in complaint for word in ("response_format", "json_schema", "json_object", "schema")):
            self._format = max(self._format, FORMATS.index(asked) + 1)
            return True
        if "max_tokens" in sent and "max_completion_tokens" in complaint:
            self._length = "max_completion_tokens"
            return True
        named = {name for name in SETTINGS if name in sent and re.search(rf"\b{name}\b", complaint)}
        self.refused |= named
        return bool(named)


def _said(complaint: str) -> str:
    """What a refusal says, in lower case, without what it repeats of the request."""
    try:
        body = json.loads(complaint)
    except (ValueError, RecursionError):
        return complaint.lower()
    error = body.get("error", body) if isinstance(body, dict) else body
    if not isinstance(error, dict):
        return str(error).lower()
    if (param := str(error.get("param") or "").lower()) in SETTINGS:
        return param
    details = error.get("detail")
    faults = [d for d in details if isinstance(d, dict)] if isinstance(details, list) else []
    said = " ".join(
        [param, str(error.get("message") or ""), *(f"{d.get('loc')} {d.get('msg')}" for d in faults)]
    ).strip()
    return (said or str(error)).lower()
