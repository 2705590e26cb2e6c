"""The page's text from what it shows: its templates, its style, its one script, and the contents beside it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from lapd.files.whole import fitting_name
from lapd.items.visible import named, visible
from lapd.pictures.drawing import CSS
from lapd.report.labels import number, p_value

FOLDER = Path(__file__).parent
TEMPLATE = "page.html.j2"
STYLE = "page.css"
SCRIPTS = ("page_items.js", "page_downloads.js", "page_sort.js", "page.js")
"""The parts of the page's one script, in order."""

LONGEST = 20_000
"""Characters of a text that are shown: nobody reads a name, a reason or a description of a million."""

AS_IN_SCRIPTS = "!'()*"
"""What `encodeURIComponent` leaves as it is besides letters, digits and "-_.~"."""


def render(context: Mapping[str, Any], template: str = TEMPLATE, scripts: Sequence[str] = SCRIPTS) -> str:
    """A page. Whatever is put into it is text, escaped and with its control characters visible.

    Args:
        context: what the templates show.
        template: the page's, by its file below this folder.
        scripts: the parts of its script, likewise.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: plain(value) if type(value) is str else value,
    )
    environment.globals["anchor"] = anchor
    environment.filters |= {"signed": lambda value: number(value, 1, signed=True), "p_value": p_value}
    script = "\n".join((FOLDER / name).read_text(encoding="utf-8") for name in scripts)
    own = {
        "colours": {name[4:-1]: colour for colour, name in CSS.items() if name.startswith("var(--c")},
        "style": Markup((FOLDER / STYLE).read_text(encoding="utf-8")),
        "script": Markup(script),
        "script_digest": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    }
    return environment.get_template(template).render({**context, **own})


def plain(text: str) -> str:
    """A text of any origin as the page shows it: see `lapd.items.visible`; the rest of a very long one is counted."""
    text = visible(text)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} … ({len(text)} characters in all)"


def anchor(*parts: str) -> str:
    """The name of a place in the page, for an `id` and behind the `#` of a link: "item/mbti/a-ei-01"."""
    return "/".join(quote(fitting_name(visible(part)), safe=AS_IN_SCRIPTS) for part in parts)


def outline(blocks: Sequence[Mapping[str, Any]], parts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The contents: the page's parts, and below the results a link to each comparison.

    Args:
        blocks: of results, as the page has them.
        parts: by its link, what a part that may be empty shows.
    """
    results = [
        {
            "anchor": block["name"],
            "name": block["heading"],
            "below": [
                {
                    "anchor": table["anchor"],
                    "name": f"{named(table['arm'])} against {named(table['baseline'])}",
                    "waiting": table["waiting"],
                }
                for table in block["tables"]
            ],
        }
        for block in blocks
    ]
    names = {
        "steps": "Over the steps",
        "dose": "Dose and frontier",
        "trained": "Axes trained and measured",
        "said": "Saying and doing",
        "profile": "Axis profile",
        "items": "Items",
        "words": "Words",
        "training": "Training",
        "rows": "All rows",
        "methods": "Methods",
        "reading": "How to read this",
    }
    rest = [{"anchor": link, "name": name, "below": []} for link, name in names.items() if parts.get(link, True)]
    return [{"anchor": "top", "name": "Summary", "below": []}, *results, *rest]
