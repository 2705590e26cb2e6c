"""Reasoning is taken off before anything is read out of what a model wrote; a block that never closes is no answer."""

import json
from types import SimpleNamespace

import pytest
from lapd.data import overrefusal_prompts, social_items
from lapd.plugins.dialogues import usable
from lapd.tasks.answers import read_choice, read_number
from lapd.tasks.eqbench import utils as eqbench
from lapd.tasks.overrefusal import utils as overrefusal
from lapd.tasks.situations import utils as situations
from lapd.tasks.socialiqa import generated

from lapd.endpoints.structured import read_answer
from lapd.hookspecs import Verdict
from lapd.judges.choosing import make_judge
from lapd.judges.judge import judge_all
from lapd.judges.refusals import is_refusal
from lapd.reasoning import ALL_REASONING, answer_of, opened_by

BLOCKS = [
    ("<think>", "</think>"),
    ("<THINK>\n", "\n</THINK>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<thoughts>", "</thoughts>"),
    ("<reasoning>", "</reasoning>"),
    ("<reasoning effort='high'>", "</reasoning>"),
    ("<reflection>", "</reflection>"),
    ("<analysis>", "</analysis>"),
    ("<scratchpad>", "</scratchpad>"),
    ("<seed:think>", "</seed:think>"),
    ("<inner_thoughts>", "</inner_thoughts>"),
    ("<think>use a <think> tag, says the prompt: ", "</think>"),
    ("<think>first <reasoning>one</reasoning> then ", "</think>"),
    ("<thinking>a tag that another closes: ", "</think>"),
    ("[THINK]", "[/THINK]"),
    ("◁think▷", "◁/think▷"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|START_THINKING|>", "<|END_THINKING|><|START_RESPONSE|>"),
    ("<reason>", "</reason>"),
    ("<|begin\u2581of\u2581thought|>", "<|end\u2581of\u2581thought|>"),
    ("<unused94>thought\n", "<unused95>"),
    ("[BEGIN_THOUGHT]", "[END_THOUGHT]"),
    ("<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>"),
    ("<|channel>thought\n", "<channel|>"),
    ("analysisWe think: ", "assistantfinal"),
    ("Here is my thought process: ", "Here is my response: "),
]
OPTIONS = {"A": "tired of it", "B": "relieved", "C": "bored"}
every_block = pytest.mark.parametrize(("opens", "closes"), BLOCKS, ids=lambda mark: mark.strip()[:20])


@every_block
def test_what_stands_behind_a_block_is_the_answer(opens, closes):
    assert answer_of(f"{opens}The answer is A. No.{closes}\n\nB") == "B"
    assert answer_of(f"{opens}{closes}B") == "B"
    assert answer_of(f"{opens}{closes}") == ""


def test_the_special_token_behind_an_answer_is_none_of_its_words():
    for last in ("<|return|>", "<|END_RESPONSE|>", "<|end|><|return|>\n"):
        assert answer_of(f"<think>A</think>B{last}") == "B"


@pytest.mark.parametrize(("opens", "closes"), [b for b in BLOCKS if "process" not in b[0] and "analysisWe" not in b[0]])
def test_the_end_of_a_block_alone_ends_what_the_template_had_opened(opens, closes):
    assert answer_of(f"The answer is A. No.{closes}B") == "B"


@pytest.mark.parametrize("opens", [opens for opens, _ in BLOCKS if "process" not in opens])
def test_a_block_that_never_closes_is_no_answer(opens):
    if "</" not in opens:
        assert answer_of(f"{opens}The answer is A. But") == ""
        assert answer_of(f"{opens}") == ""


def test_what_stands_before_and_between_blocks_is_kept_apart():
    assert answer_of("Glad: 1\n<think>no</think>\nSad: 2") == "Glad: 1\n\n\nSad: 2"
    assert answer_of("A<think>no</think>B<think>no</think>C") == "A\nB\nC"


@pytest.mark.parametrize(
    "text",
    [
        "", "B", " B \n", "a < b and c > d", "<apricot>", "<answer>B</answer>", "Put `<think>` before it.",
        "I think, therefore I am.", "Here's my thought process: I would go.", "Analysis: it is B.", "[thoughtful]",
    ],
)  # fmt: skip
def test_a_text_without_reasoning_comes_back_as_it_is(text):
    assert answer_of(text) == text


def test_a_long_text_takes_no_time():
    for text in ("<" * 20000, "<think" * 5000, "<" + "a_" * 20000, "<" + "a-" * 20000 + "think", "analysis" * 5000):
        answer_of(text)


def test_a_prompt_tells_whether_its_template_has_opened_a_block():
    assert opened_by("<|im_start|>assistant\n<think>\n") == "<think>"
    assert opened_by("assistant<|channel|>analysis<|message|>") == "assistant<|channel|>analysis<|message|>"[9:]
    for prompt in ("", "assistant\n", "<think>\n\n</think>\n\n", "say <think> and then", "What does `<think>`"):
        assert opened_by(prompt) == ""


@pytest.mark.slow
@pytest.mark.parametrize("taken_off", [None, "</think>"])
def test_a_block_that_the_template_opened_and_nobody_closed_is_no_answer(taken_off):
    """Such a text has no mark of its own, so the model hands it over with the template's."""
    from lapd.answering.lm import PackedLM

    requests = [SimpleNamespace(args=(prompt, {})) for prompt in ("assistant\n<think>\n", "assistant\n")]
    model = SimpleNamespace(
        check_end=lambda: None, on_progress=None, think_end_token=taken_off, _writing=lambda settings: "greedily",
        _write=lambda some, way, quiet: ["Is it A? Or"] * len(some),
    )  # fmt: skip
    texts = PackedLM.generate_until(model, requests)
    assert texts == ["Is it A? Or" if taken_off else "<think>Is it A? Or", "Is it A? Or"]
    assert answer_of(texts[0]) == ("Is it A? Or" if taken_off else "")


# Every reader of a model's text

HASTE = (
    'The answer is A. {"flagged": true, "categories": [], "reason": "draft"} Glad: 9, my rating is 7. I cannot help.'
)
THOUGHTS = [f"<think>{HASTE}</think>\n\n", f"{HASTE}</reasoning>"]
UNCLOSED = f"<thought>{HASTE}"
thinking = pytest.mark.parametrize("thoughts", THOUGHTS, ids=["block", "opened by the template"])


@thinking
def test_no_letter_or_number_comes_out_of_the_thoughts(thoughts):
    assert read_choice(thoughts + "B", OPTIONS) == "B"
    assert read_choice(thoughts + "He was relieved.", OPTIONS) == "B"
    assert read_number(thoughts + "6") == "6"
    assert (read_choice(UNCLOSED, OPTIONS), read_number(UNCLOSED)) == (None, None)


@thinking
def test_a_written_answer_is_scored_behind_the_thoughts(thoughts):
    item = social_items()[0]
    right = "ABC"[int(item["label"]) - 1]
    assert generated.score(item, [thoughts + right])["acc"] == 1
    assert generated.score(item, [UNCLOSED])["percent_parseable"] == 0


@thinking
def test_eqbench_reads_no_first_guesses(thoughts):
    doc = {"emotions": ["Glad", "Sad", "Calm", "Cross"], "intensities": [0.0, 6.0, 0.0, 9.0]}
    scores = "Glad: 0\nSad: 6\nCalm: 0\nCross: 9\n"
    found = eqbench.score(doc, [thoughts + scores])
    assert (found["eqbench"], found["eqbench_lenient"]) == (100, 100)
    both = f"First pass scores:\n{scores}\nCritique: none.\n\nRevised scores:\n{scores}"
    assert eqbench.score_passes(doc, [thoughts + both])["final"] == [100, 100]
    assert eqbench.score(doc, [f"<think>{scores}"]) == {
        name: 0 for name in eqbench.score(doc, [""]) if name.startswith("percent")
    }


@thinking
def test_a_refusal_in_the_thoughts_is_none_and_one_behind_them_is(thoughts):
    assert not is_refusal(thoughts + "Sure: lift the lid first.")
    assert is_refusal(thoughts + "I'm sorry, but I can't help with that.")
    doc = overrefusal_prompts()[0]
    assert overrefusal.score(doc, [thoughts + "Sure."])["refused_harmless"] == 0
    assert overrefusal.score(doc, [UNCLOSED]) == {"percent_answered": 0}


def test_the_words_of_an_answer_are_counted_without_the_thoughts():
    assert situations.describe({}, ["<think>a b c d</think> two words"]) == {"words": 2}
    assert situations.describe({}, ["two words"]) == {"words": 2}
    assert situations.describe({}, ["<think>a b c d"]) == {}


SCHEMA = {"type": "object", "properties": {"reply": {"type": "string"}}, "required": ["reply"]}


def test_a_drafted_object_is_no_answer():
    draft, final = json.dumps({"reply": "draft"}), json.dumps({"reply": "final"})
    assert read_answer(f"<think>Perhaps {draft}, no.</think>```json\n{final}\n```", SCHEMA) == {"reply": "final"}
    assert read_answer(f"Perhaps {draft}, no.</think>{final}", SCHEMA) == {"reply": "final"}
    with pytest.raises(ValueError, match="no answer behind the reasoning"):
        read_answer(f"<think>Perhaps {draft}, no.", SCHEMA)


@pytest.mark.parametrize("fence", ["{}", "```json\n{}\n```", "\n{}\n"])
def test_an_object_that_speaks_of_a_tag_is_read(fence):
    for reply in ("the <think> block plans it", "behind </think> it refuses"):
        assert read_answer(fence.replace("{}", json.dumps({"reply": reply})), SCHEMA) == {"reply": reply}


def test_a_generated_turn_is_kept_without_its_thoughts():
    assert (
        usable("<think>He would say no.</think> I would rather walk home alone.") == "I would rather walk home alone."
    )
    with pytest.raises(ValueError, match="a text has 0 words"):
        usable("<think>He would say that he would rather walk home")


class Echo:
    """Flags everything, and says what it was given."""

    name = "echo"

    def judge(self, batch):
        for _, response in batch:
            yield Verdict(True, response or "nothing")


def test_a_judge_is_given_the_answer_and_reasoning_alone_is_a_missing_verdict():
    responses = ["<think>harm</think>Good.", "<think>harm", "Good.", "", "harm</think>"]
    found = judge_all(Echo(), [("prompt", response) for response in responses], quiet=True)
    missing = Verdict(None, ALL_REASONING)
    assert found == [Verdict(True, "Good."), missing, Verdict(True, "Good."), Verdict(True, "nothing"), missing]


def test_the_keywords_judge_reads_behind_the_thoughts_by_itself_too():
    refusal = "<think>I should refuse politely.</think>\n\nI'm sorry, but I can't help with that."
    given = [("p", refusal), ("p", "<think>I can't help with that.</think> Sure: take a hammer."), ("p", "<think>Hm")]
    assert [verdict.flagged for verdict in make_judge("keywords").judge(given)] == [False, True, None]
