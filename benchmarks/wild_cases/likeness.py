"""Whether arms may be compared: prompts that differ in a date or in more, and versions."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from wild_cases import expect, kind, without_warnings
from wild_cases.cells import CHOICE, known
from wild_cases.conclusions import BASE, arm, make_run, values

Case = tuple[str, str]

DATE = "{{ strftime_now('%d %b %Y') }}"
TURN = "{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}"
TEMPLATES = {
    "ChatML": f"{{% for m in messages %}}{TURN}{{% endfor %}}",
    "ChatML with a default": "{% if messages[0].role != 'system' %}<|im_start|>system\nBe helpful.<|im_end|>\n"
    "{% endif %}"
    f"{{% for m in messages %}}{TURN}{{% endfor %}}",
    "a date before the system prompt": f"<|sys|>Today: {DATE}\n\n"
    "{% if messages[0].role == 'system' %}{{ messages[0].content | trim }}{% endif %}<|end|>"
    f"{{% for m in messages if m.role != 'system' %}}{TURN}{{% endfor %}}",
    "a date behind it": "<|sys|>{% if messages[0].role == 'system' %}{{ messages[0].content }}{% else %}Be helpful."
    f"{{% endif %}}\nToday: {DATE}<|end|>{{% for m in messages if m.role != 'system' %}}{TURN}{{% endfor %}}",
    "a date of its own turn": f"{{% for m in messages %}}{TURN}{{% endfor %}}<|today|>{DATE}\n",
    "folded into the user's words": "{% for m in messages if m.role != 'system' %}<|im_start|>{{ m.role }}\n"
    "{% if loop.first and messages[0].role == 'system' %}{{ messages[0].content }}\n\n{% endif %}"
    "{{ m.content }}<|im_end|>\n{% endfor %}",
}
"""How chat templates write a system prompt, and a date."""

PROMPTS = (
    "You are quiet.\nYou listen.",
    "  Bold, loud and warm. ",
    "Du bist höflich: „ja“.",
    "You are quiet. And more.",
)


def rendered(template: str, day: str, prompt: str | None, text: str) -> str:
    """A user's words under a template, on a day."""
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.globals["strftime_now"] = lambda form: day
    system = [{"role": "system", "content": prompt}] if prompt else []
    return environment.from_string(template).render(messages=[*system, {"role": "user", "content": text}])


@kind("prompts may differ in their system prompt, and in nothing else")
def prompts(folder: Path) -> Iterator[Case]:
    from lapd.record.likeness import differs_only_in_system_prompt

    for name, template in TEMPLATES.items():
        for ours, theirs in [(p, None) for p in PROMPTS] + [(None, p) for p in PROMPTS] + [(PROMPTS[0], PROMPTS[1])]:
            first = rendered(template, "01 Mar 2026", ours, "What is two plus two?")
            for label, day, text, alike in (
                ("the same", "01 Mar 2026", "What is two plus two?", True),
                ("another day", "02 Mar 2026", "What is two plus two?", "strftime_now" not in template),
                ("other words", "01 Mar 2026", "What is two plus three?", False),
                ("more words", "01 Mar 2026", "So, what is two plus two?", False),
            ):
                found = differs_only_in_system_prompt(first, rendered(template, day, theirs, text), ours, theirs)
                yield f"{name}, {ours!r} and {theirs!r}, {label}", expect(found, alike)


@kind("a date in a chat template is one for the run, and arms of two days are not compared", slow=True)
def dates(folder: Path) -> Iterator[Case]:
    import datetime
    from unittest import mock

    from lapd.record.store import Store
    from lapd.testing.tiny import make_tiny_base
    from wild_cases import command, refused

    base = make_tiny_base(folder / "base")

    def evaluate(run: str, day: datetime.datetime, *arms: str) -> Store:
        """Evaluate arms on a day."""
        moment = mock.Mock(wraps=datetime.datetime, **{"now.return_value": day})
        today = mock.Mock(wraps=datetime.date, **{"today.return_value": day.date()})
        options = ("--persona", "INFP", "--arms", ",".join(arms), "--tasks", "wildly", "-o", folder / run)
        with (
            without_warnings(),
            mock.patch("transformers.utils.chat_template_utils.datetime", moment),
            mock.patch("lapd.record.store.date", today),
        ):
            code, _, errors = command("eval", "--base", base, *options)
        if code:
            raise AssertionError(errors)
        return Store(folder / run)

    first, second = (datetime.datetime(2026, 3, day) for day in (1, 4))
    with known(folder / "tasks", wildly=CHOICE):
        for number, (name, template) in enumerate(TEMPLATES.items()):
            (base / "chat_template.jinja").write_text(template)
            evaluate(f"run{number}", first, "base")
            store = evaluate(f"run{number}", second, "base", "base+prompt")
            asked = [a[0] for e in store.finished() for s in store.samples(e["cell"]) for a in s["arguments"]]
            dated = "strftime_now" in template
            yield f"{name}: the date", expect({"01 Mar 2026" in text for text in asked}, {dated})
            yield f"{name}: no other", expect({"04 Mar 2026" in text for text in asked}, {False})
            yield f"{name}: compared", expect(command("compare", store.folder)[0], 0)
            if dated:
                place = store.cell_folder(store.finished()[0]["cell"]) / "samples.jsonl"
                place.write_text(place.read_text().replace("01 Mar 2026", "04 Mar 2026"))
                yield f"{name}: two days", refused(command("compare", store.folder), "in more than the system prompt")


def two_arms(folder: Path, **differing: Sequence[str]) -> list[str]:
    """What is warned of where two arms of a run were made with these versions: (baseline's, arm's)."""
    from lapd.compare.comparisons import compare

    odds = [float(n) for n in range(8)]
    made = {"situations": {"base": values("log_odds_EI", odds), "x": values("log_odds_EI", odds)}}
    run = make_run(folder, {"base": BASE, "x": arm("INFP")}, made)
    for number, place in enumerate(sorted((run / "cells").glob("*/result.json"))):
        record = json.loads(place.read_text())
        version = {"task_version": differing["task"][number]} if "task" in differing else {}
        record["provenance"] |= {name.replace("_", "-"): pair[number] for name, pair in differing.items()}
        place.write_text(json.dumps(record | version))
    return compare(run).warnings


@kind("arms that were made with other versions are said to be")
def versions(folder: Path) -> Iterator[Case]:
    for label, told, said in (
        ("the same", {"lapd": ("0.1.0", "0.1.0"), "lm_eval": ("0.4.13", "0.4.13")}, []),
        ("another lm-eval", {"lm_eval": ("0.4.9", "0.4.13")}, ["lm-eval 0.4.9"]),
        ("another LAPD", {"lapd": ("0.1.0", "0.2.0")}, ["lapd 0.1.0"]),
        ("another transformers", {"transformers": ("5.17.0", "5.24.0")}, ["transformers 5.17.0"]),
        ("another torch", {"torch": ("2.12.1", "2.13.0")}, ["torch 2.12"]),
        ("a patch of torch", {"torch": ("2.13.0", "2.13.1+cpu")}, []),
        ("another task", {"task": ("1.0", "2.0")}, ["of the task, base with 1.0"]),
        ("two at once", {"lapd": ("1", "2"), "lm_eval": ("3", "4")}, ["lapd 1", "lm-eval 3"]),
    ):
        found = two_arms(folder / label, **told)
        lacking = [word for word in said if not any(word in line for line in found)]
        yield label, expect((len(found), lacking), (len(said), []))
