"""The generator `openai`: pairs written by a model behind an OpenAI-compatible endpoint.

What a model answered is kept beside the pairs file, in `<out>.items.jsonl`, as soon as it is there: a killed run goes
on without asking for it again. What no usable answer was got for is in `<out>.rejects.jsonl`, with the reason.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
from lapd.plugins.answers import Answers
from lapd.plugins.asking import Asker, Unanswered
from lapd.plugins.dialogues import SEEDS, Prompts, Question, Study, rejected_voice
from lapd.plugins.drafts import SHIPPED as DRAFT_PROMPTS
from lapd.plugins.drafts import Drafts

from lapd.endpoints.client import Client
from lapd.endpoints.endpoint import KEY_VARIABLE, NO_KEY, OPENAI_URL, Endpoint
from lapd.errors import DataError, UsageError
from lapd.files.progress import bar
from lapd.files.whole import write_jsonl
from lapd.hookspecs import Generator
from lapd.options import completed
from lapd.pairs.pair import PreferencePair
from lapd.personas import Persona
from lapd.pluginmanager import hookimpl
from lapd.traits.pack import TraitPack

ENDPOINT_DEFAULTS = Endpoint("any")
POSITIVE = click.FloatRange(0, min_open=True)
PRICE = click.FloatRange(0)
COUNT = click.IntRange(1)


def _option(*names: str, type: Any, help: str, default: Any = None, metavar: str | None = None) -> click.Option:
    return click.Option(list(names), type=type, help=help, default=default, show_default=True, metavar=metavar)


OPTIONS = (
    _option("--model", type=str, metavar="NAME", help="The model's name at the endpoint."),
    _option("--base-url", type=str, default=OPENAI_URL, metavar="URL", help="The endpoint, up to its /v1."),
    _option("--api-key-env", "key_variable", type=str, metavar="NAME", help="The environment variable that holds the "
            f"key; `{NO_KEY}` if it wants none.  [default: {KEY_VARIABLE} for OpenAI's own address, none on loopback]"),
    _option("--seeds-from", type=click.Choice(SEEDS), default=SEEDS[0], help="What a dialogue grows from."),
    _option("--rejected", type=str, default="opposite", metavar="opposite|base|flip:AXIS", help="Who says the rejected "
            "replies: the opposite persona, the plain assistant, or the persona with one axis flipped."),
    _option("--exchanges", type=COUNT, default=3, metavar="N", help="Exchanges in a dialogue; each gives one pair."),
    _option("--prompts", type=click.Path(path_type=Path, exists=True, file_okay=False), metavar="FOLDER",
            help="Prompt files that replace LAPD's own."),
    _option("--temperature", type=PRICE, metavar="T", help="Of the sampling.  [default: the server's own]"),
    _option("--max-tokens", type=COUNT, metavar="N", help="Most tokens in an answer; a model that reasons needs "
            "thousands.  [default: 300 to 1200, by stage]"),
    _option("--tries", type=COUNT, default=3, metavar="N", help="Ask so often before an item is set aside."),
    _option("--concurrency", type=COUNT, default=ENDPOINT_DEFAULTS.concurrency, metavar="N", help="Requests at once."),
    _option("--rate-limit", "requests_per_minute", type=POSITIVE, metavar="N", help="Requests a minute.  "
            "[default: no limit]"),
    _option("--timeout", type=POSITIVE, default=ENDPOINT_DEFAULTS.timeout, metavar="S", help="Seconds for a request."),
    _option("--attempts", type=COUNT, default=ENDPOINT_DEFAULTS.attempts, metavar="N", help="Send a request so often "
            "when the server is busy, broken or silent."),
    _option("--max-requests", type=COUNT, metavar="N", help="Ceiling on requests, retries included, over all runs into "
            "this file."),
    _option("--max-cost", type=POSITIVE, metavar="COST", help="Ceiling on spend over all runs into this file."),
    _option("--price-in", type=PRICE, metavar="PRICE", help="Price of a million tokens read."),
    _option("--price-out", type=PRICE, metavar="PRICE", help="Price of a million tokens written."),
)  # fmt: skip

STUDY = ("seeds_from", "exchanges", "temperature")
OWN = (*STUDY, "rejected", "prompts", "tries", "max_tokens", "out")


@dataclass(frozen=True)
class Reject:
    """A pair that could not be made.

    Attributes:
        index: of the pair.
        id: of the item that failed.
        stage: at which it failed.
        reason: why, in a few words.
        answers: the unusable answers, oldest first.
    """

    index: int
    id: str
    stage: str
    reason: str
    answers: tuple[str, ...] = ()


class OpenAIGenerator:
    name = "openai"
    description = "dialogues that a model behind an OpenAI-compatible endpoint writes"
    options: Sequence[click.Option] = OPTIONS

    def __init__(self, given: Mapping[str, Any] | None = None) -> None:
        self.given = completed(self.options, given or {}, f"generator {self.name}")

    def configure(self, options: Mapping[str, Any]) -> Generator:
        return OpenAIGenerator(options)

    def generate(self, persona: Persona, *, pairs: int | None, seed: int) -> Iterable[PreferencePair]:
        """`pairs` pairs, or fewer where a model gave no usable answer; those are in the rejects file.

        Raises:
            UsageError: no number of pairs, no model, no key; options that do not go together.
            EndpointError: the endpoint cannot be used, or a ceiling is reached. What is finished is kept.
            DataError: no pair at all could be made.
        """
        out = self.given.get("out")
        if out is None:
            hint = f"Run `lapd generate {persona.code} --generator openai`, then train with --dataset."
            raise UsageError("The generator openai keeps what it pays for beside a pairs file.", hint)
        study, endpoint, settings = _settings(persona, pairs, seed, self.given)
        endpoint.key()
        _ahead(study, 1, lambda ident: False)  # a template that cannot be filled in fails before anything is paid for
        with Answers(_beside(out, "items")) as answers, bar(settings.pairs, "generate", "pair") as progress:
            asker = Asker(endpoint, answers, settings.tries, settings.max_tokens, study.temperature, progress)
            outcomes = asyncio.run(Run(study, settings, asker, progress).all())
        return _settle(outcomes, out)

    def draft(self, pack: TraitPack, *, situations: int, items: int, seed: int) -> Iterable[Mapping[str, Any]]:
        """Situations and items for the pack's axes; what no usable answer was got for is in the rejects file.

        Raises:
            UsageError: no model, no key, or nowhere to keep what is paid for.
            EndpointError: the endpoint cannot be used, or a ceiling is reached. What is finished is kept.
        """
        if (out := self.given.get("out")) is None:
            raise UsageError("The generator openai keeps what it pays for beside a file.", "Use `lapd traits write`.")
        endpoint = _endpoint(self.given)
        endpoint.key()
        wanted = Drafts(pack, endpoint.model, seed, situations, items, Prompts(self.given["prompts"], DRAFT_PROMPTS))
        asked = wanted.questions()
        with Answers(_beside(out, "items")) as answers, bar(len(asked), "draft", "draft") as progress:
            how = (self.given["tries"], self.given["max_tokens"], self.given["temperature"], progress)
            found = asyncio.run(Asker(endpoint, answers, *how).all([question for _, question in asked]))
        _keep_rejects([one for one in found if isinstance(one, Unanswered)], len(asked), "drafts", out)
        answered = [(*one, a) for one, a in zip(asked, found, strict=True) if not isinstance(a, Unanswered)]
        return [wanted.made(axis, question, answer) for axis, question, answer in answered]

    def estimate(self, persona: Persona, *, pairs: int | None, seed: int) -> Mapping[str, Any]:
        """Requests, tokens and cost that are still to come, if each answer is usable at once.

        A token is taken for four characters (of English), an answer for what the prompts ask for.
        """
        study, endpoint, settings = _settings(persona, pairs, seed, self.given)
        out = self.given.get("out")
        path = _beside(out, "items") if out else None
        if path is not None and path.exists():
            with Answers(path) as answers:
                ahead = _ahead(study, settings.pairs, lambda ident: answers.get(ident) is not None)
        else:
            ahead = _ahead(study, settings.pairs, lambda ident: False)
        read = sum(len(m["content"]) for question in ahead for m in question.messages) // 4
        expected = {"seed": 70, "dialogue": 40 + 110 * study.exchanges, "reply": 80}
        written = sum(expected[question.stage] for question in ahead)
        estimate = {
            "pairs": settings.pairs,
            "requests": len(ahead),
            "requests_at_most": len(ahead) * settings.tries * endpoint.attempts,
            "input_tokens": read,
            "output_tokens": written,
        }
        priced = endpoint.price_in is not None or endpoint.price_out is not None
        return estimate | ({"cost": round(endpoint.cost(read, written), 6)} if priced else {})


@dataclass(frozen=True)
class Settings:
    """How many pairs, how often an item is asked for before it is set aside, and the most tokens in an answer."""

    pairs: int
    tries: int
    max_tokens: int | None


def _settings(
    persona: Persona, pairs: int | None, seed: int, options: Mapping[str, Any]
) -> tuple[Study, Endpoint, Settings]:
    """The call's arguments, checked and put in their places."""
    if pairs is None:
        raise UsageError("A model has no end of pairs.", "Say how many with --limit.")
    endpoint = _endpoint(options)
    study = Study(
        persona=persona,
        voice=rejected_voice(persona, options["rejected"]),
        model=endpoint.model,
        seed=seed,
        prompts=Prompts(options["prompts"]),
        **{name: options[name] for name in STUDY},
    )
    return study, endpoint, Settings(pairs, options["tries"], options["max_tokens"])


def _endpoint(options: Mapping[str, Any]) -> Endpoint:
    return Endpoint(**{k: v for k, v in options.items() if k not in OWN} | {"model": options["model"] or ""})


def _beside(out: Path, what: str) -> Path:
    return out.with_name(f"{out.name}.{what}.jsonl")


def _ahead(study: Study, pairs: int, done: Callable[[str], bool]) -> list[Question]:
    """The questions of a whole run that are not answered, with plausible text where an answer is still to come."""
    seed, prompt, chosen = "word " * 45, "word " * 25, "word " * 45
    starts = range(0, pairs, study.exchanges)
    questions = [study.seed_question(n) for n in range(len(starts))]
    questions += [study.dialogue_question(n, seed) for n in range(len(starts))]
    questions += [study.reply_question(index, prompt, chosen) for index in range(pairs)]
    return [question for question in questions if not done(question.id)]


def _settle(outcomes: list[PreferencePair | Reject], out: Path) -> list[PreferencePair]:
    """The pairs; what was set aside is written beside them, and said.

    Raises:
        DataError: there is no pair among the outcomes.
    """
    rejects = [outcome for outcome in outcomes if isinstance(outcome, Reject)]
    if len(rejects) == len(outcomes):
        write_jsonl(_beside(out, "rejects"), map(asdict, rejects))
        message = f"none of {len(outcomes)} pairs could be made; this file says why."
        raise DataError(_beside(out, "rejects"), message, hint="Try a more able model.")
    _keep_rejects(rejects, len(outcomes), "pairs", out)
    return [outcome for outcome in outcomes if isinstance(outcome, PreferencePair)]


def _keep_rejects(rejects: Sequence[Reject | Unanswered], wanted: int, what: str, out: Path) -> None:
    """Write what was set aside beside the rest, and say so; nothing where nothing was."""
    path = _beside(out, "rejects")
    path.unlink(missing_ok=True)
    if rejects:
        write_jsonl(path, map(asdict, rejects))
        print(f"{len(rejects)} of {wanted} {what} could not be made; {path} says why.", file=sys.stderr)


class Run:
    """One run over all pairs: asks for what is not there, keeps what comes.

    Args:
        study: what is asked.
        settings: how many pairs, and how persistently.
        asker: asks the model for what is not there yet.
        progress: a tqdm bar over pairs.
    """

    def __init__(self, study: Study, settings: Settings, asker: Asker, progress: Any) -> None:
        self._study, self._settings, self._asker, self._progress = study, settings, asker, progress
        self._outcomes: dict[int, PreferencePair | Reject] = {}
        self._waiting = iter(range(-(-settings.pairs // study.exchanges)))

    async def all(self) -> list[PreferencePair | Reject]:
        """The outcome of every pair, in order.

        Raises:
            EndpointError: the endpoint cannot be used, or a ceiling is reached.
        """
        await self._asker.work(self._work)
        return self._without_repeats()

    async def _work(self, client: Client) -> None:
        """Take one dialogue after another, and finish it before the next."""
        for dialogue in self._waiting:
            first = dialogue * self._study.exchanges
            for index in range(first, min(first + self._study.exchanges, self._settings.pairs)):
                self._outcomes[index] = await self._pair(client, dialogue, index)
                self._progress.update(1)

    async def _pair(self, client: Client, dialogue: int, index: int) -> PreferencePair | Reject:
        """Through the stages; a dialogue's seed and turns are asked for by its first pair alone."""
        study = self._study
        seed = await self._ask(client, study.seed_question(dialogue), index)
        if isinstance(seed, Reject):
            return seed
        exchanges = await self._ask(client, study.dialogue_question(dialogue, seed), index)
        if isinstance(exchanges, Reject):
            return exchanges
        prompt, chosen = exchanges[index % study.exchanges]
        question = study.reply_question(index, prompt, chosen)
        rejected = await self._ask(client, question, index)
        if isinstance(rejected, Reject):
            return rejected
        return PreferencePair(prompt, chosen, rejected, self._source(question.id, dialogue))

    def _source(self, ident: str, dialogue: int) -> dict[str, Any]:
        study = self._study
        voice = study.voice.code if study.voice else "base"
        source = {"generator": OpenAIGenerator.name, "id": ident, "model": study.model, "persona": study.persona.code}
        source |= {"rejected": voice, "dialogue": study.ident("dialogue", dialogue)}
        differs = [a for a, pole in study.persona.poles.items() if study.voice and study.voice.poles.get(a) != pole]
        if len(differs) == 1:
            source |= {"axis": differs[0], "chosen_pole": study.persona.poles[differs[0]]}
        return source

    async def _ask(self, client: Client, question: Question, pair: int) -> Any:
        """The usable answer to a question, or a `Reject` of the pair."""
        answer = await self._asker.ask(client, question)
        if isinstance(answer, Unanswered):
            return Reject(pair, answer.id, answer.stage, answer.reason, answer.answers)
        return answer

    def _without_repeats(self) -> list[PreferencePair | Reject]:
        """The outcomes in order; a pair whose prompt an earlier one has is set aside."""
        seen: dict[str, int] = {}
        outcomes = [self._outcomes[index] for index in range(self._settings.pairs)]
        for index, outcome in enumerate(outcomes):
            if isinstance(outcome, PreferencePair) and seen.setdefault(outcome.prompt, index) != index:
                reason = f"its prompt is that of pair {seen[outcome.prompt]}"
                outcomes[index] = Reject(index, outcome.source["id"], "pair", reason)
        return outcomes


@hookimpl
def lapd_register_generators(register: Callable[[Generator], None]) -> None:
    register(OpenAIGenerator())
