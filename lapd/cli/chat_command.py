"""`lapd chat`: a conversation with an adapter in the terminal."""

from __future__ import annotations

import sys
from typing import Any

import click

from lapd.cli.common import base_option, traits_option

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
) -> None:
    """Talk with ADAPTER, and switch to its base model to feel the difference.

    \b
    lapd chat out/INFP
    lapd chat out/INFP@0.5                   at half its strength
    lapd chat --persona ENTJ --prompt        the embedded model with a prompt alone
    """
    from lapd.errors import UsageError
    from lapd.models.personas import persona_of
    from lapd.names import get_persona

    if folder and adapter:
        raise UsageError("Two adapters were given.", "Give one, as ADAPTER or with --adapter.")
    who = get_persona(persona) if persona else None
    talk = _Conversation(folder or adapter, base, temperature, max_tokens, seed)
    who = who or (persona_of(talk.adapter) if talk.adapter else None)
    if prompted and not (who and who.system_prompt):
        raise UsageError("--prompt needs to know whose prompt.", "Give --persona.")
    talk.system = who.system_prompt if who and prompted else None
    click.echo(f"{talk.speaker} answers. {HELP}", err=True)
    while (line := _read()) is not None:
        if line == "/quit":
            return
        if line == "/base":
            talk.use_adapter(False)
        elif line == "/persona":
            talk.use_adapter(True)
        elif line == "/prompt":
            talk.system = None if talk.system else (who.system_prompt if who else None)
            click.echo(f"System prompt {'on' if talk.system else 'off'}.", err=True)
        elif line == "/clear":
            talk.messages.clear()
        elif line.startswith("/"):
            click.echo(HELP, err=True)
        elif line:
            talk.answer(line)


def _read() -> str | None:
    """One line from the user, or None at the end of the input."""
    try:
        return input("> " if sys.stdin.isatty() else "").strip()
    except EOFError:
        return None


class _Conversation:
    """A model, who of it answers, and what was said so far."""

    def __init__(self, adapter: str | None, base: str | None, temperature: float, max_tokens: int, seed: int) -> None:
        from lapd.models.adapters import base_of, check_base, resolve_adapter
        from lapd.models.base import resolve_base
        from lapd.models.embedded import EMBEDDED
        from lapd.models.loading import load_base
        from lapd.models.switching import load_adapters

        self.adapter = resolve_adapter(adapter) if adapter else None
        resolved = resolve_base(base or (base_of(self.adapter) if self.adapter else EMBEDDED))
        if self.adapter:
            check_base(self.adapter, resolved)
        model, self.tokenizer = load_base(resolved)
        self.model = load_adapters(model, [self.adapter] if self.adapter else [])
        self.base_name = resolved.name
        self.adapted = self.adapter is not None
        self.settings: dict[str, Any] = {"max_new_tokens": max_tokens, "do_sample": temperature > 0}
        if temperature > 0:
            self.settings["temperature"] = temperature
        self.messages: list[dict[str, str]] = []
        self.system: str | None = None
        from transformers import set_seed

        set_seed(seed)

    @property
    def speaker(self) -> str:
        """Who answers now."""
        return self.adapter.label if self.adapter and self.adapted else self.base_name

    def use_adapter(self, adapted: bool) -> None:
        """Let the adapter, or the bare base, answer from now on."""
        from lapd.models.switching import switch_adapter

        if adapted and self.adapter is None:
            click.echo("No adapter was given: lapd chat out/INFP", err=True)
            return
        self.adapted = adapted
        if self.adapter:
            switch_adapter(self.model, self.adapter if adapted else None)
        click.echo(f"{self.speaker} answers.", err=True)

    def answer(self, text: str) -> None:
        """Print the answer to `text` as it is generated, and remember both."""
        from transformers import TextStreamer

        self.messages.append({"role": "user", "content": text})
        system = [{"role": "system", "content": self.system}] if self.system else []
        inputs = self.tokenizer.apply_chat_template(
            system + self.messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
        ).to(self.model.device)
        click.secho(f"{self.speaker}: ", bold=True, nl=False)
        streamer = TextStreamer(self.tokenizer, skip_prompt=True, skip_special_tokens=True)
        output: Any = self.model.generate(**inputs, streamer=streamer, **self.settings)
        said = self.tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        self.messages.append({"role": "assistant", "content": said.strip()})
