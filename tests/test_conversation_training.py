"""Training on conversations: token ids are TRL's own, nothing of a pair is lost, what is shared is computed once."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
from click.testing import Result
from jinja2 import TemplateError

from lapd.adapters.adapter import Adapter
from lapd.errors import DataError, UsageError
from lapd.names import get_persona
from lapd.pairs.messages import Turn
from lapd.pairs.pair import PreferencePair, pairs_digest, write_pairs
from lapd.train.config import TrainConfig
from lapd.train.job import prepare
from lapd.train.prompts import prompted
from lapd.train.training import train_adapter

# Chat templates of six families' structure, and twelve kinds of conversation

CHATML = """
{%- for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{% endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}
"""

LLAMA_3 = """
{{- bos_token }}
{%- for m in messages %}
    {{- '<|start_header_id|>' + m.role + '<|end_header_id|>\\n\\n' + m.content | trim + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}
"""

GEMMA = """
{{- bos_token }}
{%- for m in messages %}
    {%- if m.role == 'system' %}{{ raise_exception('this family has no system role') }}{% endif %}
    {%- if (m.role == 'user') != (loop.index0 is even) %}{{ raise_exception('user and model take turns') }}{% endif %}
    {{- '<start_of_turn>' + ('user' if m.role == 'user' else 'model') + '\\n' + m.content | trim + '<end_of_turn>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}
"""

MISTRAL = """
{%- set told = messages[0].content + '\\n\\n' if messages[0].role == 'system' else '' %}
{%- set turns = messages[1:] if told else messages %}
{{- bos_token }}
{%- for m in turns %}
    {%- set theirs = loop.index0 is even %}
    {%- if (m.role == 'user') != theirs %}{{ raise_exception('user and assistant take turns') }}{% endif %}
    {%- if theirs %}
        {%- set last = loop.last or (loop.revindex0 == 1) %}
        {{- '[INST] ' + (told if last else '') + m.content + '[/INST]' }}
    {%- else %}
        {{- ' ' + m.content | trim + eos_token }}
    {%- endif %}
{%- endfor %}
"""

QWEN_3 = """
{%- set asked = namespace(last=0) %}
{%- for m in messages %}{% if m.role == 'user' %}{% set asked.last = loop.index0 %}{% endif %}{% endfor %}
{%- for m in messages %}
    {%- set said = m.content.split('</think>')[-1].lstrip('\\n') %}
    {{- '<|im_start|>' + m.role + '\\n' }}
    {%- if m.role == 'assistant' and loop.index0 > asked.last %}{{ '<think>\\n\\n</think>\\n\\n' }}{% endif %}
    {{- (said if m.role == 'assistant' else m.content) + '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}{{ '<think>\\n\\n</think>\\n\\n' }}{% endif %}
{%- endif %}
"""

PHI_3 = """
{%- for m in messages %}{{ '<|' + m.role + '|>\\n' + m.content + '<|end|>\\n' }}{% endfor %}
{{- '<|assistant|>\\n' if add_generation_prompt else eos_token }}
"""

TEMPLATES = {
    "ChatML": CHATML,
    "Llama 3": LLAMA_3,
    "Gemma": GEMMA,
    "Mistral": MISTRAL,
    "Qwen 3, thinking off": QWEN_3,
    "Phi 3": PHI_3,
}

ALTERNATING = ("Gemma", "Mistral")
"""Families whose templates refuse turns that do not alternate, the user's first."""

MARKS = [
    *("<|im_start|>", "<|im_end|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<start_of_turn>"),
    *("<end_of_turn>", "[INST]", "[/INST]", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>"),
]

SYSTEM = "You mend nets and speak of little else."


def talk(*said: str, first: str = "user") -> tuple[Turn, ...]:
    roles = ("user", "assistant") if first == "user" else ("assistant", "user")
    return tuple(Turn(roles[n % 2], text) for n, text in enumerate(said))


CHAT = talk("Do nets tear?", "Every day.", "By what?", "By crabs, mostly.")
KINDS = {
    "one turn": PreferencePair("Do nets tear?", "Every day.", "They may."),
    "a system prompt": PreferencePair("Do nets tear?", "Every day.", "They may.", system=SYSTEM),
    "two turns": PreferencePair("By what?", "By crabs.", "By use.", history=CHAT[:2]),
    "a system prompt and four turns": PreferencePair("And then?", "I mend.", "One buys.", {}, SYSTEM, CHAT),
    "twelve turns": PreferencePair("And?", "So on.", "No more.", history=CHAT * 3),
    "the assistant first": PreferencePair("Hi", "Mm.", "Hello!", history=talk("Who is there?", first="assistant")),
    "two turns of the user's": PreferencePair("Well?", "Yes.", "No.", history=talk("Are you there?")),
    "spaces at the ends": PreferencePair(" Hm? \n", " Yes.\n", "\tNo. ", {}, f"{SYSTEM}\n", talk("\nA ", " B\n\n")),
    "other scripts": PreferencePair(
        "그물은? 🕸️", "매일 찢어져요.", "É possível…", history=talk("안녕", "네, 안녕하세요 👋")
    ),
    "responses that begin alike": PreferencePair("Why?", "Because of crabs.", "Because of you.", history=CHAT),
    "a response that goes on where the other ends": PreferencePair("Why?", "Crabs", "Crabs.\n\nAnd seals.", {}, SYSTEM),
    "markup, braces and thoughts": PreferencePair(
        "{{ knot }} <b>?</b>",
        '{"knot": ["bowline"]}',
        "{% no %} | [1]",
        history=talk("<net/>", "<think>\nA net?\n</think>\n\nA net."),
    ),
}


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    from transformers import AutoTokenizer

    from lapd.models.embedded import embedded_folder

    found = AutoTokenizer.from_pretrained(embedded_folder())
    found.add_special_tokens({"additional_special_tokens": MARKS})
    return found


def with_template(tokenizer: Any, name: str) -> Any:
    tokenizer.chat_template = TEMPLATES[name]
    return tokenizer


def trls_own(pairs: list[PreferencePair], tokenizer: Any) -> list[dict[str, list[int]]]:
    """What TRL's DPOTrainer makes of the same conversations before it trains."""
    from datasets import Dataset
    from trl import DPOTrainer

    rows = [
        {
            "prompt": pair.messages,
            "chosen": [{"role": "assistant", "content": pair.chosen}],
            "rejected": [{"role": "assistant", "content": pair.rejected}],
            "chat_template_kwargs": {"enable_thinking": False},
        }
        for pair in pairs
    ]
    arguments = SimpleNamespace(dataset_num_proc=None, max_length=None, truncation_mode="keep_start")
    trainer = SimpleNamespace(_tokenizer=tokenizer)
    made = DPOTrainer._prepare_dataset(trainer, Dataset.from_list(rows), tokenizer, arguments, "train")
    return [{name: row[name] for name in ("prompt_ids", "chosen_ids", "rejected_ids")} for row in made]


def taken_by(template: str) -> dict[str, PreferencePair]:
    """The kinds that a template takes, their system prompts folded where it has no system role."""
    kinds = {k: v for k, v in KINDS.items() if template not in ALTERNATING or k not in REFUSED}
    return {k: prompted([v], "", fold=template == "Gemma")[0] for k, v in kinds.items()}


REFUSED = ("the assistant first", "two turns of the user's")


@pytest.mark.parametrize("template", TEMPLATES)
def test_the_token_ids_are_trls_own(tokenizer: Any, template: str) -> None:
    from lapd.plugins import dpo

    tokenizer = with_template(tokenizer, template)
    pairs = taken_by(template)
    assert len(pairs) == (10 if template in ALTERNATING else 12)
    theirs = trls_own(list(pairs.values()), tokenizer)
    for (kind, pair), wanted in zip(pairs.items(), theirs, strict=True):
        assert dpo.tokenize(pair, tokenizer) == wanted, kind
        assert wanted["prompt_ids"] and wanted["chosen_ids"] != wanted["rejected_ids"], kind


@pytest.mark.parametrize("template", TEMPLATES)
def test_every_turn_is_in_what_is_trained_on(tokenizer: Any, template: str) -> None:
    from lapd.plugins import dpo

    tokenizer = with_template(tokenizer, template)
    for kind, pair in taken_by(template).items():
        row = dpo.tokenize(pair, tokenizer)
        before = tokenizer.decode(row["prompt_ids"])
        for text in (pair.system, *(turn.text.rpartition("</think>")[2] for turn in pair.history), pair.prompt):
            assert text.strip() in before, kind
        assert pair.rejected.strip() in tokenizer.decode(row["prompt_ids"] + row["rejected_ids"]), kind


@pytest.mark.parametrize("template", ALTERNATING)
@pytest.mark.parametrize("kind", REFUSED)
def test_turns_that_a_template_refuses_are_refused_by_pair(tokenizer: Any, template: str, kind: str) -> None:
    from lapd.plugins.rendering import token_rows

    tokenizer = with_template(tokenizer, template)
    with pytest.raises(TemplateError, match="take turns"):
        trls_own([KINDS[kind]], tokenizer)
    with pytest.raises(DataError, match=r"^pair 2: the chat template does not take it \(user and \w+ take turns\)\."):
        token_rows([KINDS["one turn"], KINDS[kind]], tokenizer, 512)


SILENT = "{% for m in messages if m.role != 'system' %}{{ m.role + ': ' + m.content + '\\n' }}{% endfor %}"


@pytest.mark.parametrize("template", [GEMMA, SILENT], ids=["refusing", "silent"])
def test_a_template_without_a_system_role_is_refused_unless_the_prompt_is_folded(tokenizer: Any, template: str) -> None:
    from lapd.plugins.rendering import token_rows

    tokenizer.chat_template = template
    pairs = [KINDS["two turns"], KINDS["a system prompt and four turns"]]
    with pytest.raises(UsageError, match=r"no place for the system prompt of pair 2\. --fold-system-prompt puts it"):
        token_rows(pairs, tokenizer, 512)
    rows = token_rows(prompted(pairs, "", fold=True), tokenizer, 512)
    assert f"{SYSTEM}\n\nDo nets tear?" in tokenizer.decode(rows[1]["prompt_ids"])


def test_a_template_that_trims_a_system_prompt_does_not_drop_it(tokenizer: Any) -> None:
    from lapd.plugins.rendering import token_rows

    pair = PreferencePair("Hi", "a", "b", system=f"\n{SYSTEM}\n")
    assert token_rows([pair], with_template(tokenizer, "Llama 3"), 512)


def test_a_special_token_in_a_text_is_refused_by_pair_and_text(tokenizer: Any) -> None:
    from lapd.plugins.rendering import token_rows

    tokenizer = with_template(tokenizer, "ChatML")
    bad = PreferencePair("Hi", "a<|im_end|>\n<|im_start|>user\nb", "b")
    with pytest.raises(DataError, match=r"^held-out pair 2: 'chosen' has '<\|im_\w+\|>' in its text"):
        token_rows([KINDS["one turn"], bad], tokenizer, 512, "held-out pair")


def test_a_word_that_serves_as_padding_is_no_special_token(tokenizer: Any) -> None:
    from lapd.plugins.rendering import token_rows

    tokenizer = with_template(tokenizer, "ChatML")
    before = tokenizer.pad_token
    tokenizer.pad_token = "!"
    try:
        assert token_rows([PreferencePair("Hi!", "Hello!", "No!")], tokenizer, 512)
    finally:
        tokenizer.pad_token = before


def test_responses_that_come_to_the_same_tokens_are_refused(tokenizer: Any) -> None:
    from lapd.plugins.rendering import token_rows

    pair = PreferencePair("Hi", "<think>\nA.\n</think>\n\nYes.", "<think>\nB.\n</think>\n\nYes.")
    with pytest.raises(DataError, match=r"^pair 1: under the chat template its two responses are the same"):
        token_rows([pair], with_template(tokenizer, "Qwen 3, thinking off"), 512)


# The system prompt of a training

INFP = get_persona("INFP")


@pytest.fixture
def config(tiny: Path, tmp_path: Path) -> Callable[..., TrainConfig]:
    """`config(pairs, **settings)`: a training of three steps on these pairs, two more of them held out."""

    def make(pairs: list[PreferencePair], **settings: Any) -> TrainConfig:
        write_pairs(tmp_path / "pairs.jsonl", pairs)
        fixed = {"dataset": str(tmp_path / "pairs.jsonl"), "base": str(tiny), "trainer": "trl", "precision": "float32"}
        fixed |= {"batch_size": 2, "epochs": 1.0, "lr": 2e-3, "eval_pairs": 2, "seed": 0}
        return TrainConfig(**{"persona": "INFP", **fixed, **settings})

    return make


TALKS = [
    PreferencePair(f"And boat {n}?", f"Boat {n} leaks.", f"Boat {n} is new.", {}, SYSTEM, CHAT[: 2 * (n % 3)])
    for n in range(8)
]
PLAIN = [PreferencePair(pair.prompt, pair.chosen, pair.rejected) for pair in TALKS]


def card(adapter: Adapter) -> dict[str, Any]:
    assert adapter.card
    return adapter.card


def test_conversations_are_trained_with_trls_losses(config: Callable[..., TrainConfig], tmp_path: Path) -> None:
    packed = card(train_adapter(config(TALKS), tmp_path / "packed", quiet=True))
    with mock.patch("lapd.packed.forward.takes_packed_rows", return_value=False):
        plain = card(train_adapter(config(TALKS), tmp_path / "plain", quiet=True))
    assert packed["data"]["digest"] == pairs_digest(TALKS[:6]) and len(packed["log"]) == 3
    for ours, theirs in zip(packed["log"], plain["log"], strict=True):
        for name in ours.keys() & {"loss", "margin", "heldout_margin"}:
            assert ours[name] == pytest.approx(theirs[name], rel=1e-4, abs=1e-4), (ours["step"], name)
    assert "heldout_margin" in packed["log"][-1]


def test_what_both_responses_are_behind_is_computed_once(tiny: Path) -> None:
    from lapd.plugins import dpo
    from lapd.plugins.packed_dpo import row_of
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny)
    ids = dpo.tokenize(TALKS[2], tokenizer)
    row = row_of(ids)
    assert len(row.context) == len(ids["prompt_ids"]) > 60
    assert row.n_tokens <= len(row.context) + len(ids["chosen_ids"]) + len(ids["rejected_ids"]) - 2


def test_pairs_are_trained_under_the_personas_prompt_or_a_files(
    config: Callable[..., TrainConfig], tmp_path: Path, invoke: Callable[..., Result]
) -> None:
    (tmp_path / "prompt.txt").write_text(f"\ufeff{SYSTEM}\n", encoding="utf-8")
    for setting, text in (("persona", INFP.system_prompt), (str(tmp_path / "prompt.txt"), SYSTEM)):
        job = prepare(config(PLAIN, train_prompt=setting), tmp_path / "x")
        assert {pair.system for pair in [*job.pairs, *job.heldout]} == {text}
        assert {pair.system for pair in job.kept} <= {""}, "what measures the adapter is without it"
    folded = prepare(config(PLAIN, train_prompt="persona", fold_system_prompt=True), tmp_path / "x")
    assert folded.pairs[0].messages == [{"role": "user", "content": f"{INFP.system_prompt}\n\n{PLAIN[0].prompt}"}]
    settings = {k: v for k, v in asdict(config(PLAIN)).items() if v is not None and k not in ("persona", "eval_pairs")}
    options = [str(part) for k, v in settings.items() if v is not False for part in (f"--{k.replace('_', '-')}", v)]
    found = invoke("train", "INFP", *options, "--train-prompt", "persona", "-o", tmp_path / "out", "--json")
    assert found.exit_code == 0, found.output
    run_card = json.loads(found.stdout)["run_card"]
    assert run_card["train_prompt"] == INFP.system_prompt
    assert run_card["settings"]["train_prompt"] == "persona"


def test_without_a_train_prompt_adapters_are_the_same_as_before(
    config: Callable[..., TrainConfig], tmp_path: Path
) -> None:
    plain = prepare(config(PLAIN), tmp_path / "x")
    assert prepare(config(PLAIN, train_prompt="none"), tmp_path / "x").identity == plain.identity
    assert prepare(config(PLAIN, train_prompt="None"), tmp_path / "x").identity == plain.identity
    assert prepare(config(PLAIN, fold_system_prompt=True), tmp_path / "x").identity == plain.identity
    under = [PreferencePair(p.prompt, p.chosen, p.rejected, system=INFP.system_prompt) for p in PLAIN]
    prompted_job = prepare(config(PLAIN, train_prompt="persona"), tmp_path / "x")
    assert prompted_job.identity == prepare(config(under), tmp_path / "x").identity != plain.identity


@pytest.mark.parametrize(
    ("pairs", "setting", "message"),
    [
        (TALKS, "persona", r"pair 1 has a system prompt of its own, which would be lost"),
        (PLAIN, "gone.txt", r"--train-prompt gone\.txt: there is no such file\. Give none, persona or a file"),
        (PLAIN, "empty.txt", r"empty\.txt: the file is empty"),
    ],
)
def test_a_train_prompt_that_cannot_be_is_refused(
    config: Callable[..., TrainConfig],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    pairs: list[PreferencePair],
    setting: str,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty.txt").write_text(" \n")
    with pytest.raises((UsageError, DataError), match=message):
        prepare(config(pairs, train_prompt=setting), tmp_path / "x")


def test_a_trainer_that_knows_prompts_alone_is_not_given_conversations(
    config: Callable[..., TrainConfig], tmp_path: Path
) -> None:
    from lapd.plugins.trl import TrlTrainer

    with mock.patch.object(TrlTrainer, "conversations", False):
        assert prepare(config(PLAIN), tmp_path / "x")
        with pytest.raises(UsageError, match=r"Trainer trl takes prompts alone, and 8 of 8 pairs have more before"):
            prepare(config(TALKS), tmp_path / "x")


def test_controls_and_held_out_scores_work_on_conversations(config: Callable[..., TrainConfig], tmp_path: Path) -> None:
    opposite = card(train_adapter(config(TALKS, control="opposite"), tmp_path / "opposite", quiet=True))
    persona = card(train_adapter(config(TALKS), tmp_path / "persona", quiet=True))
    margins = [
        [entry["heldout_margin"] for entry in each["log"] if "heldout_margin" in entry] for each in (persona, opposite)
    ]
    assert margins[0][-1] > margins[1][-1]
