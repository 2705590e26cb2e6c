"""Whole models as arms: fully fine-tuned or merged ones, which take the base's place in turn."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lapd.adapters.adapter import RUN_CARD, RUN_CARD_SCHEMA, Adapter
from lapd.adapters.naming import read_told
from lapd.adapters.steering import is_steering
from lapd.errors import ModelError, UsageError
from lapd.files.whole import read_record
from lapd.models.base import BaseModel, resolve_base
from lapd.models.identity import WEIGHTS, digest_of
from lapd.models.intact import object_in
from lapd.models.tokenizers import differences

WHOLE = "whole model"
"""What records and reports call the kind of such an arm."""

WRITING = ("ForCausalLM", "LMHeadModel")
"""How the names of most architectures end that go on with a text."""


@dataclass(frozen=True)
class WholeModel(Adapter):
    """A model that is switched on in the base's place, not beside it.

    It stands where an adapter does: a name, a digest (of the model), perhaps a run card (of `lapd merge`).

    Attributes:
        model: the model itself.
        differs: what it reads otherwise than the base: some of "tokenizer" and "chat template".
    """

    model: BaseModel = field(kw_only=True, compare=False)
    differs: tuple[str, ...] = field(default=(), kw_only=True, compare=False)

    def at(self, strength: object) -> Adapter:
        """The model itself: it has no strength but 1.

        Raises:
            UsageError: another one was asked for.
        """
        if str(strength).strip() not in ("1", "1.0"):
            raise UsageError(f"{self.name} is a {WHOLE}: it has no strength.", "Adapters have: --adapter FOLDER@S.")
        return self

    def remark(self) -> str | None:
        """What is to be known of its numbers beside the base's, in a sentence; None where nothing is."""
        if not self.differs:
            return None
        left_out = ", ".join(not_comparable(self))
        return (
            f"{self.name} has another {' and another '.join(self.differs)} than the base: it was asked in its own, "
            f"and {left_out} cannot be compared."
        )


def not_comparable(adapter: Adapter | None) -> dict[str, str]:
    """The measures of written answers that an arm has no value of, each with the reason.

    The limit of an answer's length counts the model's own tokens, so that with another tokenizer it is another length;
    behind a prompt in another template the base would be asked what it was never trained to read. All else is counted
    in nats of whole texts, in words, or in the base's tokens in every arm.
    """
    differs = adapter.differs if adapter and isinstance(adapter, WholeModel) else ()
    found: dict[str, str] = {}
    if "tokenizer" in differs:
        reason = "another tokenizer than the base's, which limits answers to another length"
        found |= dict.fromkeys(("tokens", "cut_off"), reason)
    if "chat template" in differs:
        found["base_logprob"] = "a prompt in another chat template than the base's, which it was not made to read"
    return found


def resolve_models(texts: Iterable[str], base: BaseModel, taken: Iterable[str] = ()) -> list[WholeModel]:
    """What `--model-arm` stands for: "[NAME=]PATH[:CODE]", of a folder or a Hugging Face id.

    Args:
        texts: as they were given; without a NAME a model is called as its folder.
        base: that they are compared with.
        taken: names that adapters of the same run have.

    Raises:
        UsageError: two have one name, or one is the base itself.
        UnknownNameError: there is no such persona, or nothing of that name.
        ModelError: it cannot be had, is an adapter, or no model that goes on with a text.
    """
    found = [_resolve(text, base) for text in texts]
    # An adapter at several strengths has one name.
    names = [*dict.fromkeys(taken), *(model.name for model in found)]
    if twice := [name for name in names if names.count(name) > 1]:
        raise UsageError(f"Two arms are called {twice[0]!r}.", "Name one: --model-arm NAME=PATH.")
    return found


def base_of_models(texts: Sequence[str]) -> str | None:
    """The base that the run cards of whole models name, which `lapd merge` writes; None where there are no models.

    Raises:
        UsageError: they name none, or several.
    """
    cards = [_card(Path(_told(text).place).expanduser()) for text in texts]
    named = {str(card["base"]["name"]) for card in cards if card}
    if texts and len(named) != 1:
        hint = "Give --base MODEL: what the model was before it was trained."
        raise UsageError(f"It is not known what {', '.join(texts)} is to be compared with.", hint)
    return next(iter(named), None)


def _told(text: str) -> Any:
    return read_told(text, lambda place: Path(place).expanduser().exists())


def _resolve(text: str, base: BaseModel) -> WholeModel:
    told = _told(text)
    folder = Path(told.place).expanduser()
    if folder.is_dir():
        _check_is_model(told.place, folder)
    model = resolve_base(told.place)
    _check_is_model(told.place, model.path)
    name = told.name or (folder.resolve().name if folder.is_dir() else told.place.partition("@")[0].split("/")[-1])
    weights, ours = digest_of(model.files, WEIGHTS), digest_of(base.files, WEIGHTS)
    if model.digest in base.digests or weights == ours:
        raise UsageError(f"{told.place} is the base itself, or has its very weights.", "The arm `base` has it anyway.")
    made = WholeModel(name, model.path, model.digest, _card(model.path), given=told.persona, model=model)
    return replace(made, differs=differences(base, model))


def _check_is_model(place: str, folder: Path) -> None:
    """Refuse a folder that holds no causal language model, before anything of it is loaded.

    Raises:
        ModelError: it holds an adapter, no model, or one of another architecture.
    """
    if (folder / "adapter_config.json").is_file() or is_steering(folder):
        raise ModelError(f"{place} is an adapter, not a whole model.", f"Give it as one: --adapter {place}")
    if not (folder / "config.json").is_file():
        hint = "Give a folder in Hugging Face's format, such as `lapd merge --into-base` writes."
        raise ModelError(f"{place} is no model: it has no config.json.", hint)
    config = object_in(folder / "config.json")
    named = [str(name) for name in config.get("architectures") or ()]
    if named and (config.get("is_encoder_decoder") or not any(map(_writes, named))):
        what = f"{place} is a {named[0]}, not a causal language model."
        raise ModelError(what, "Only models that go on with a text can stand beside the base.")


def _writes(architecture: str) -> bool:
    """Whether transformers loads an architecture of that name as a causal language model."""
    if architecture.endswith(WRITING):
        return True
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    return architecture in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values()


def _card(folder: Path) -> dict[str, Any] | None:
    """The run card that `lapd merge` leaves beside a model; None where there is none."""
    path = folder / RUN_CARD
    return read_record(path, RUN_CARD_SCHEMA) if path.is_file() else None
