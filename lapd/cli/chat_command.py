"""`lapd chat`: a conversation with an adapter in the terminal."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lapd.cli.common import FOLDER, base_option, traits_option
from lapd.cli.transcript import Transcript

if TYPE_CHECKING:
    from lapd.adapters.adapter import Adapter
    from lapd.personas import Persona

HELP = (
    "/base: the base model answers. /persona: the adapter answers. "
    "/prompt: the persona's system prompt on or off. /clear: forget. /quit"
)


@click.command()
@click.argument("folder", metavar="[ADAPTER]", required=False)
@click.option("--adapter", metavar="FOLDER[@S]", help="The same as ADAPTER; S is its strength, -1 to 2.")
@base_option
@click.option("--persona", metavar="CODE", help="Whose system prompt /prompt switches on.  [default: the adapter's]")
@click.option("--prompt", "prompted", is_flag=True, help="Begin with the persona's system prompt on.")
@click.option(
    "--temperature", type=click.FloatRange(0), default=0.7, show_default=True, help="0 always takes the likeliest."
)
@click.option("--max-tokens", type=click.IntRange(1), default=200, show_default=True, help="Most tokens in an answer.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the sampling.")
@click.option("--save", type=FOLDER, metavar="FILE", help="Add the transcript to FILE: a conversation a line, as JSON.")
@traits_option
def command(
    folder: str | None,
    adapter: str | None,
    base: str | None,
    persona: str | None,
    prompted: bool,
    temperature: float,
    max_tokens: int,
    seed: int,
    save: Path | None,
) -> None:
    """Talk with ADAPTER, and switch to its base model to feel the difference.

    \b
    lapd chat out/INFP
    lapd chat out/INFP@0.5                   at half its strength
    lapd chat --persona ENTJ --prompt        the embedded model with a prompt alone
    lapd chat out/INFP --save talk.jsonl     what is said, as messages
    """
    from lapd.adapters.adapter import resolve_adapter
    from lapd.adapters.personas import find_persona, persona_of
    from lapd.errors import UsageError

    if folder and adapter:
        raise UsageError("Two adapters were given.", "Give one, as ADAPTER or with --adapter.")
    spoken = resolve_adapter(given) if (given := folder or adapter) else None
    who = find_persona(persona, [spoken] if spoken else []) if persona else (persona_of(spoken) if spoken else None)
    if prompted and not (who and who.system_prompt):
        raise UsageError(f"--prompt: {_no_prompt(who)}", "Give --persona.")
    transcript = Transcript(save) if save else None
    talk = _Conversation(spoken, base, temperature, max_tokens, seed)
    talk.system = who.system_prompt if who and prompted else None
    click.echo(f"{talk.speaker} answers. {HELP}", err=True)
    _converse(talk, who, transcript)


def _converse(talk: _Conversation, who: Persona | None, transcript: Transcript | None) -> None:
    """Answer, or do as told, line by line until the user has enough."""
    while (line := _read()) is not None:
        if line == "/quit":
            return
        if line == "/base":
            talk.use_adapter(False)
        elif line == "/persona":
            talk.use_adapter(True)
        elif line == "/prompt":
            talk.system = None if talk.system else ((who.system_prompt if who else "") or None)
            switched = f"System prompt {'on' if talk.system else 'off'}."
            click.echo(switched if who and who.system_prompt else _no_prompt(who), err=True)
        elif line == "/clear":
            talk.forget()
            if transcript:
                transcript.end()
        elif line.startswith("/"):
            click.echo(HELP, err=True)
        elif line:
            talk.answer(line)
            if transcript:
                transcript.keep(talk.whole, talk.speakers)


def _no_prompt(who: Persona | None) -> str:
    """Why there is no system prompt to switch on."""
    return f"No system prompt is known for the persona {who.code}." if who else "It is not known whose prompt to use."


def _read() -> str | None:
    """One line from the user, or None at the end of the input."""
    try:
        return input("> " if sys.stdin.isatty() else "").strip()
    except EOFError:
        return None


class _Conversation:
    """A model, who of it answers, and what was said so far."""

    def __init__(
        self, adapter: Adapter | None, base: str | None, temperature: float, max_tokens: int, seed: int
    ) -> None:
        from lapd.adapters.adapter import base_of, check_base
        from lapd.adapters.switching import load_adapters
        from lapd.answering.generation import end_tokens
        from lapd.files.quiet import quiet_libraries
        from lapd.models.base import resolve_base
        from lapd.models.chat import check_chat_template
        from lapd.models.embedded import EMBEDDED
        from lapd.models.loading import load_base
        from lapd.packed.forward import causal_of

        self.adapter = adapter
        resolved = resolve_base(base or (base_of(adapter) if adapter else EMBEDDED))
        if adapter:
            check_base(adapter, resolved)
        with quiet_libraries():
            model, self.tokenizer = load_base(resolved)
            check_chat_template(self.tokenizer, resolved.name)
            self.model = load_adapters(model, [adapter] if adapter else [])
        self.base_name = resolved.name
        self.adapted = self.adapter is not None
        ends = sorted(end_tokens(causal_of(self.model), self.tokenizer.eos_token_id))
        self.settings: dict[str, Any] = {"max_new_tokens": max_tokens, "do_sample": temperature > 0}
        self.settings |= {"eos_token_id": ends or None, "pad_token_id": self.tokenizer.pad_token_id}
        if temperature > 0:
            self.settings["temperature"] = temperature
        self.messages: list[dict[str, str]] = []
        self.speakers: list[str] = []
        self.system: str | None = None
        from transformers import set_seed

        set_seed(seed)

    @property
    def speaker(self) -> str:
        """Who answers now."""
        return self.adapter.label if self.adapter and self.adapted else self.base_name

    def use_adapter(self, adapted: bool) -> None:
        """Let the adapter, or the bare base, answer from now on."""
        from lapd.adapters.switching import switch_adapter

        if adapted and self.adapter is None:
            click.echo("No adapter was given: lapd chat out/INFP", err=True)
            return
        self.adapted = adapted
        if self.adapter:
            switch_adapter(self.model, self.adapter if adapted else None)
        click.echo(f"{self.speaker} answers.", err=True)

    @property
    def whole(self) -> list[dict[str, str]]:
        """What was said so far, behind the system prompt."""
        return [*([{"role": "system", "content": self.system}] if self.system else []), *self.messages]

    def forget(self) -> None:
        """Begin again."""
        self.messages.clear()
        self.speakers.clear()

    def answer(self, text: str) -> None:
        """Print the answer to `text` as it is generated, and remember both."""
        from transformers import TextStreamer

        from lapd.files.quiet import quiet_libraries
        from lapd.models.loading import check_tokens, embeddings

        self.messages.append({"role": "user", "content": text})
        inputs = self.tokenizer.apply_chat_template(
            self._conversation(), add_generation_prompt=True, return_tensors="pt", return_dict=True
        ).to(self.model.device)
        check_tokens(inputs["input_ids"][0].tolist(), self.tokenizer, embeddings(self.model))
        click.secho(f"{self.speaker}: ", bold=True, nl=False)
        streamer = TextStreamer(self.tokenizer, skip_prompt=True, skip_special_tokens=True)
        with quiet_libraries():
            output: Any = self.model.generate(**inputs, streamer=streamer, **self.settings)
            said = self.tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        self.messages.append({"role": "assistant", "content": said.strip()})
        self.speakers.append(self.speaker)

    def _conversation(self) -> list[dict[str, str]]:
        """What was said so far, behind the system prompt, or with it before the first words where it has no place."""
        from lapd.models.chat import drops_system_prompt, fold_system_message

        whole = self.whole
        if not self.system or not drops_system_prompt(self.tokenizer, whole):
            return whole
        if len(self.messages) == 1:
            what = f"{self.base_name}'s chat template has no place for a system prompt: it goes before your words."
            click.echo(what, err=True)
        return fold_system_message(whole)
