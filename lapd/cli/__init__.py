"""The command line: one file a verb, imported when the verb is called, so that `lapd --help` is instant."""

from __future__ import annotations

import difflib
import errno
import importlib
import os
import sys
import warnings
from functools import cache
from typing import Any

import click

from lapd._version import __version__
from lapd.cli.terminal import adapt_streams
from lapd.errors import LapdError, OutputError, first_line
from lapd.files.collecting import begin_program
from lapd.files.heap import share_one_heap
from lapd.files.whole import find_a_home

VERBS = {
    "run": "Train, evaluate, compare and report, from one YAML file.",
    "generate": "Write preference pairs for a persona.",
    "train": "Train a persona adapter on a base model.",
    "merge": "Add adapters up, or bake them into their base.",
    "audit": "Say what any fine-tune bought and what it cost.",
    "eval": "Evaluate adapters and their base on tasks.",
    "score": "Score stored responses or verdicts, without a model.",
    "judge": "Judge stored responses, and judges.",
    "reproduce": "Run a finished cell again and say whether it agrees.",
    "compare": "Show paired differences between the arms of a run.",
    "questionnaire": "Show what each arm of a run says of itself.",
    "report": "Write a run's report, one HTML page.",
    "serve": "Serve a run's report while its cells are running.",
    "serve-models": "Serve adapters and their base, by vLLM.",
    "export": "Write a run as files for other programs.",
    "power": "Show what so many items and seeds would let one see.",
    "reanalyse": "Give published rates intervals and tests.",
    "chat": "Talk with an adapter in the terminal.",
    "data": "Check, fix and count preference data; fetch benchmark data.",
    "personas": "List the personas.",
    "traits": "List trait packs, check one, begin a new one.",
    "tasks": "List the tasks.",
    "plugins": "List the plugins and what they register.",
    "doctor": "Check this machine and say what is missing.",
}

NO_HOME = "Write whole paths, and set HOME, or LAPD_CACHE and HF_HOME."

RESUMABLE = ("run", "audit", "train", "eval", "generate", "judge")


class Verbs(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        load_plugin_commands(self)
        return [*VERBS, *sorted(set(self.commands) - set(VERBS))]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name in VERBS:
            module = importlib.import_module(f"lapd.cli.{name.replace('-', '_')}_command")
            return module.command
        load_plugin_commands(self)
        return super().get_command(ctx, name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        names = self.list_commands(ctx)
        extra = {n: self.commands[n].get_short_help_str() for n in names if n not in VERBS}
        with formatter.section("Commands"):
            formatter.write_dl(list({**VERBS, **extra}.items()))

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            near = difflib.get_close_matches(args[0], self.list_commands(ctx), n=1)
            meant = f" Did you mean {near[0]!r}?" if near else ""
            raise click.UsageError(error.message + meant, ctx) from None

    def invoke(self, ctx: click.Context) -> Any:
        """Run a verb; Ctrl-C ends it with one line that says what is kept."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            kept = " What is finished is kept: the same command goes on from there."
            click.echo("\nStopped." + (kept if ctx.invoked_subcommand in RESUMABLE else ""), err=True)
            sys.exit(130)  # the shell's code for an interrupt

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run, and turn every error that a user can meet into one line and an exit code."""
        adapt_streams()
        try:
            find_a_home()
            return super().main(*args, **kwargs)
        except LapdError as error:
            _fail(str(error), error.exit_code, error)
        except BrokenPipeError:
            raise  # whoever reads what is printed has enough
        except OSError as error:
            known = _system_error(error)
            _fail(str(known), known.exit_code, error)
        except RuntimeError as error:
            if "home directory" not in str(error):  # pathlib's, of a path that begins with ~
                raise
            _fail(f"There is no home directory that ~ could stand for. {NO_HOME}", 1, error)


@cache
def load_plugin_commands(group: click.Group) -> None:
    """Add other people's commands to the group, once. LAPD's own plugins have none: its verbs are `VERBS`."""
    from lapd.pluginmanager import Plugins

    Plugins(own=False).add_commands(group, taken=VERBS)


def _system_error(error: OSError) -> OutputError:
    """The line for an error of the disk or the network."""
    elsewhere = "Give another path with -o."
    advice = {
        errno.ENOSPC: "The disk is full. Free some space; the same command then goes on.",
        errno.EDQUOT: "The disk quota is used up. Free some space; the same command then goes on.",
        errno.EROFS: f"This is read-only. {elsewhere}",
        errno.EACCES: "Permission denied. Make it accessible, or give another path.",
        errno.EPERM: "Permission denied. Make it accessible, or give another path.",
        errno.ENOENT: f"Nothing can be written there. {elsewhere}",
        errno.ENOTDIR: f"A part of this path is a file. {elsewhere}",
        errno.EEXIST: f"A part of this path is a file. {elsewhere}",
        errno.EISDIR: f"This is a folder where a file is wanted. {elsewhere}",
        errno.ENAMETOOLONG: "This name is too long for the file system. Give a shorter one.",
    }
    if error.errno in advice:
        return OutputError(f"{error.filename or 'output'}:", advice[error.errno])
    where = f"{error.filename}: " if error.filename else ""
    return OutputError(f"{where}{error.strerror or first_line(error)}.", "LAPD_DEBUG=1 shows where.")


def _fail(message: str, code: int, error: BaseException) -> None:
    if os.environ.get("LAPD_DEBUG"):
        raise error
    click.echo(f"Error: {message}", err=True)
    sys.exit(code)


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="lapd")
def cli() -> None:
    """Give a language model a personality, then find out what it cost and what it bought.

    \b
    lapd run examples/quickstart.yaml                    everything, on the embedded model
    lapd train INFP                                      an adapter in out/INFP
    lapd eval --adapter out/INFP --tasks mbti,situations
    lapd compare runs/INFP
    """


def _hush_developers_warnings() -> None:
    """Keep off a user's terminal what libraries tell developers: which names they will drop. `python -W` shows them."""
    if not sys.warnoptions and not os.environ.get("LAPD_DEBUG"):
        for category in (DeprecationWarning, PendingDeprecationWarning, FutureWarning):
            warnings.simplefilter("ignore", category)


def main() -> None:
    """Entry point of the console script."""
    begin_program()
    share_one_heap()
    _hush_developers_warnings()
    # A reader such as `head` that stops early is no error.
    try:
        cli()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
