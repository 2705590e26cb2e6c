"""The trainer `unsloth`: Unsloth's models under TRL's DPOTrainer, on a CUDA GPU or on Unsloth's CPU backend.

Unsloth replaces functions of torch, transformers, peft and trl, and has to be imported before them. So it is imported
in a process of its own only, and what is evaluated afterwards never meets the replacements. That process gets its work
as one line of JSON on its standard input, shows its progress on the same standard error, and answers with one line of
JSON on its standard output. Its standard input stays open meanwhile: once it closes, the parent is gone.

The loss is TRL's own, not the packed one of the trainer `trl`: in training mode on a GPU, Unsloth's models drop the
attention mask, and packed responses would see each other.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from lapd.plugins import dpo

from lapd.errors import LapdError, UsageError, first_line
from lapd.files.quiet import quiet_libraries
from lapd.files.whole import cache_dir
from lapd.hookspecs import Trainer, TrainResult
from lapd.models.base import BaseModel
from lapd.models.chat import check_chat_template
from lapd.models.loading import load_tokenizer
from lapd.pairs.pair import PreferencePair
from lapd.pluginmanager import hookimpl
from lapd.train.config import TrainConfig

if TYPE_CHECKING:
    from trl import DPOTrainer

CHILD = "from lapd.plugins.unsloth_trainer import child; child()"
LOG = "unsloth.log"

TIME_TO_END = 60
"""Seconds that an interrupted child has before it is killed."""


class UnslothTrainer:
    """Unsloth's model under TRL's DPOTrainer, in a process of its own.

    Args:
        heldout: pairs to be scored while training.
    """

    name = "unsloth"
    description = "Unsloth and TRL's DPOTrainer, fast on CUDA, in 4 bit if wanted"
    conversations = True

    def __init__(self, heldout: Sequence[PreferencePair] = ()) -> None:
        self._heldout = heldout

    def unavailable(self) -> str | None:
        missing = [name for name in ("unsloth", "unsloth_zoo") if find_spec(name) is None]
        if missing:
            return f"{', '.join(missing)} not installed; pip install 'lapd[cuda]' brings it."
        if not _has_cpu_backend() and not _cuda():
            version = metadata.version("unsloth")
            return f"there is no CUDA GPU, and Unsloth {version} has no CPU backend (2026.10.9 has)."
        return None

    def preference(self) -> tuple[float, str]:
        if _cuda():
            return 2, "it is the fastest on a CUDA GPU"
        return -1, "it runs without a CUDA GPU too, if slowly"

    def refuses(self, config: TrainConfig) -> str | None:
        if config.load_in_4bit and not _cuda():
            return "--load-in-4bit needs a CUDA GPU. Leave it out."
        if config.load_in_4bit and find_spec("bitsandbytes") is None:
            return "--load-in-4bit needs bitsandbytes, which is not installed; pip install 'lapd[cuda]' brings it."
        return None

    def scoring(self, pairs: Sequence[PreferencePair]) -> Trainer:
        return UnslothTrainer(pairs)

    def train(
        self, config: TrainConfig, base: BaseModel, pairs: Sequence[PreferencePair], work: Path, adapter: Path
    ) -> TrainResult:
        work.mkdir(parents=True, exist_ok=True)
        job = {
            "config": asdict(config),
            "base": {**asdict(base), "path": str(base.path)},
            "pairs": [asdict(pair) for pair in pairs],
            "heldout": [asdict(pair) for pair in self._heldout],
            "work": str(work.resolve()),
            "adapter": str(adapter.resolve()),
        }
        answer = _ask_child(job)
        if answer is None:
            hint = f"Out of memory, perhaps; what it said is in {work / LOG}."
            raise LapdError("Unsloth's process ended without an answer.", hint)
        if error := answer.get("error"):
            raise UsageError(error) if answer["exit_code"] == UsageError.exit_code else LapdError(error)
        return TrainResult(**answer["result"])


def _has_cpu_backend() -> bool:
    spec = find_spec("unsloth")
    return bool(spec and spec.origin and Path(spec.origin).with_name("_cpu_init.py").is_file())


def _cuda() -> bool:
    import torch

    return torch.cuda.is_available()


def _ask_child(job: dict[str, Any]) -> dict[str, Any] | None:
    """Have a job done by a process of its own; its answer, or None if it gave none.

    The process has a session of its own, so that Ctrl-C reaches it once, from here. It dies with this one, however
    this one ends.
    """
    with subprocess.Popen(
        [sys.executable, "-c", CHILD],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=_environment(),
        start_new_session=True,
    ) as process:
        assert process.stdin and process.stdout
        try:
            process.stdin.write(json.dumps(job) + "\n")
            process.stdin.flush()
            said = process.stdout.read()
        except KeyboardInterrupt:
            process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(TIME_TO_END)
            raise
        except BrokenPipeError:
            said = ""
        finally:
            process.kill()
    return json.loads(said) if said else None


def _environment() -> dict[str, str]:
    """The child's: what is set outside counts, except that nothing may be fetched or reported over the network."""
    quiet = {} if os.environ.get("LAPD_DEBUG") else {"PYTHONWARNINGS": "ignore"}
    if not sys.stderr.isatty():
        quiet["TQDM_MININTERVAL"] = "20"  # TRL's bar for the reference pass, as ours (`lapd.files.progress`)
    defaults = {
        # It would be put into the current folder.
        "UNSLOTH_COMPILE_LOCATION": str(cache_dir() / "unsloth"),
        # TRL takes several GPUs only from a launcher.
        "CUDA_VISIBLE_DEVICES": "0",
        # No module of the current folder (a `trl.py`, say) stands in for an installed one.
        "PYTHONSAFEPATH": "1",
    }
    return {**defaults, **os.environ, **quiet, "UNSLOTH_DISABLE_STATISTICS": "1", "HF_HUB_OFFLINE": "1"}


def child() -> None:
    """What the process of its own runs: one job, read from standard input."""
    job = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with _standard_output_to(Path(job["work"]) / LOG) as (answer, log):
        try:
            reply = {"result": asdict(_train(**_from_json(job)))}
        except KeyboardInterrupt:
            sys.exit(130)
        except LapdError as error:
            reply = {"error": str(error), "exit_code": error.exit_code}
        except Exception as error:  # whatever another library does, the parent shows one line
            traceback.print_exc(file=sys.stderr if os.environ.get("LAPD_DEBUG") else log)
            what = f"Unsloth failed: {type(error).__name__}: {first_line(error).rstrip('.')}."
            reply = {"error": f"{what} More is in {log.name}.", "exit_code": LapdError.exit_code}
        answer.write(json.dumps(reply))


def _end_with_parent() -> None:
    """Wait until the parent's end of standard input is closed, which a kill does too."""
    while os.read(0, 4096):
        pass
    os._exit(1)


@contextmanager
def _standard_output_to(path: Path) -> Iterator[tuple[TextIO, TextIO]]:
    """Send all that is printed to a file; yields the real standard output, and the file."""
    with os.fdopen(os.dup(1), "w") as real, path.open("a") as file:
        os.dup2(file.fileno(), 1)
        yield real, file
        sys.stdout.flush()


def _from_json(job: dict[str, Any]) -> dict[str, Any]:
    base = {**job["base"], "path": Path(job["base"]["path"])}
    return {
        "config": TrainConfig(**job["config"]),
        "base": BaseModel(**base),
        "pairs": [PreferencePair(**pair) for pair in job["pairs"]],
        "heldout": [PreferencePair(**pair) for pair in job["heldout"]],
        "work": Path(job["work"]),
        "adapter": Path(job["adapter"]),
    }


def _train(
    config: TrainConfig,
    base: BaseModel,
    pairs: Sequence[PreferencePair],
    heldout: Sequence[PreferencePair],
    work: Path,
    adapter: Path,
) -> TrainResult:
    """Train in this process, which must not have met trl or transformers yet."""
    import unsloth  # noqa: F401  # before all that it changes

    with quiet_libraries(), dpo.memory_advice(config):
        trainer = _make_trainer(config, base, pairs, heldout, work)
        return dpo.run(trainer, config, base, work, adapter, (*dpo.PACKAGES, "unsloth", "unsloth_zoo"))


def _make_trainer(
    config: TrainConfig,
    base: BaseModel,
    pairs: Sequence[PreferencePair],
    heldout: Sequence[PreferencePair],
    work: Path,
) -> DPOTrainer:
    from datasets import Dataset
    from lapd.plugins.packed_dpo import ReferenceCache
    from lapd.plugins.rendering import token_rows
    from lapd.plugins.watch import Heldout
    from transformers import set_seed
    from trl import DPOTrainer

    # Not Unsloth's, which may bring another padding token or template than the base is evaluated with.
    tokenizer = load_tokenizer(base)
    check_chat_template(tokenizer, base.name)
    rows = token_rows(pairs, tokenizer, config.max_length)
    scores = Heldout(heldout, tokenizer, base, config, packing=None) if heldout else None
    if scores:
        # The common file is for float32 weights, which these need not be.
        scores.cache = ReferenceCache(work / "heldout.sqlite")
    set_seed(config.seed)
    model = _load(config, base)
    dpo.refuse_unknown_tokens(rows, tokenizer, model)
    trainer = DPOTrainer(
        model=model,
        args=dpo.dpo_arguments(config, work, model),
        processing_class=tokenizer,
        train_dataset=Dataset.from_list([dpo.conversation(pair, tokenizer) for pair in pairs]),
        callbacks=[dpo.watch(f"train {config.name}", scores)],
    )
    if "ref" in model.peft_config:
        # TRL's copy of the untrained adapter, whose log-probabilities are computed by now. With two adapters in a
        # checkpoint, transformers 5.17 goes on from the copy alone.
        model.delete_adapter("ref")
    return trainer


def _load(config: TrainConfig, base: BaseModel) -> Any:
    """Unsloth's form of the base model, with LoRA layers."""
    import torch
    from lapd.plugins.layers import without_dropout
    from unsloth import FastLanguageModel

    on_gpu = torch.cuda.is_available()
    checkpointing = "unsloth" if config.gradient_checkpointing else False
    model, _ = FastLanguageModel.from_pretrained(
        str(base.path),
        max_seq_length=config.max_length,
        # On a CPU, bfloat16 means autocast, as with the trainer `trl`.
        dtype=torch.bfloat16 if on_gpu and dpo.use_bfloat16(config.precision, "cuda") else torch.float32,
        load_in_4bit=config.load_in_4bit,
        use_gradient_checkpointing=checkpointing,
    )
    without_dropout(model)
    return FastLanguageModel.get_peft_model(
        model,
        **dpo.lora_arguments(config, base, model),
        random_state=config.seed,
        use_gradient_checkpointing=checkpointing,
    )


@hookimpl
def lapd_register_trainers(register: Callable[[Trainer], None]) -> None:
    register(UnslothTrainer())
