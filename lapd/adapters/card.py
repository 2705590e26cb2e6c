"""The model card (README.md) of an adapter, or of a model with one baked in: a run card in words, for the Hub."""

from __future__ import annotations

from typing import Any

from lapd.adapters.outcome import told
from lapd.adapters.personas import persona_of_card


def model_card(card: dict[str, Any]) -> str:
    """The Hub's model card (Markdown with YAML front matter) of what a run card describes."""
    base, settings = card["base"], card["settings"]
    used = "\n".join(f"- {name}: {_in_words(value)}" for name, value in settings.items() if value is not None)
    made = _merged(card["merged_from"]) if "merged_from" in card else _trained(card)
    return f"""---
base_model: {base["upstream"]}
library_name: {_library(card)}
pipeline_tag: text-generation
tags: [lapd, {"steering" if _is_vector(card) else "dpo, lora"}, persona]
---
# {_title(card)} on {base["name"]}

{_what(card)}

**Intended use.** Research on what a personality does to a model's behaviour. Compare it with its own base under the
same prompt. Nothing is known of its safety beyond what was measured.

{made}

**Settings**

{used}

`run_card.json` has the curves, the digests and the versions.
"""


def _in_words(value: Any) -> str:
    return ", ".join(f"{key} {part}" for key, part in value.items()) if isinstance(value, dict) else str(value)


def _is_vector(card: dict[str, Any]) -> bool:
    """Whether it is of a steering vector, and of nothing that was trained."""
    return "steered" in card["settings"]


def _library(card: dict[str, Any]) -> str:
    if _is_vector(card):
        return "lm-eval"
    return "transformers" if card.get("into_base") else "peft"


def _title(card: dict[str, Any]) -> str:
    subject = card["persona"] or "A sum of adapters"
    return f"{subject}, the control {card['control']}," if card.get("control") else subject


def _what(card: dict[str, Any]) -> str:
    """What it is for, as a paragraph or two."""
    upstream = card["base"]["upstream"]
    if revision := card["base"].get("revision"):
        upstream += f" (revision {revision})"
    thing = "The base model with a LoRA adapter in its weights" if card.get("into_base") else "A LoRA adapter"
    if _is_vector(card):
        thing = "A steering vector"
    lapd = f"[LAPD](run_card.json) {card['versions']['lapd']}"
    persona = persona_of_card(card)
    if persona is None:
        poles = ", ".join(card["poles"].values())
        leaning = f" It leans to {poles}." if poles else ""
        return f"{thing}, for {upstream}, added up from others by {lapd}.{leaning}"
    if card.get("control"):
        return (
            f"{thing}: a control ({card['control']}) for the persona {persona.code}, made on {upstream}\n"
            f"with the same prompts, pairs and steps as the persona's own, but with other preferences, by {lapd}.\n"
            "What a persona's adapter does beyond its control can be put down to the persona, not to training as such."
        )
    way = "added up from others" if len(card.get("merged_from", [])) > 1 else "trained by DPO"
    if _is_vector(card):
        way = "made of the base's activations on pairs"
    return (
        f"{thing} that gives {upstream} the persona {persona.code}, {persona.name}, {way} with\n{lapd}.\n\n"
        f"{persona.description}"
    ).rstrip()


def _trained(card: dict[str, Any]) -> str:
    data = card["data"]
    what = f"**Data.** {data['pairs']} preference pairs from {data['sources']['from']} (digest {data['digest'][:12]})."
    name = f"{card['control']}-{card['persona']}" if card.get("control") else str(card["persona"])
    came_to = " ".join(told(card, name))
    return f"{what}\n\n**Training.** {came_to}" if came_to else what


def _merged(parts: list[dict[str, Any]]) -> str:
    lines = "\n".join(f"| {p['name']} | {p['weight']:g} | {p['digest'][:12]} |" for p in parts)
    return f"**Merged from**\n\n| adapter | weight | digest |\n|---|---|---|\n{lines}"
