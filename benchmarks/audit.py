"""`lapd audit` on subjects of which it is known what they are: are the verdicts so, and does the time hold?

    python benchmarks/audit.py runs/quickstart/adapters
    python benchmarks/audit.py runs/quickstart/adapters --json > audit.json

The folder has the demo's INFP and shuffled-INFP. Beside them are made, once, in the output folder: INFP's opposite (the
same adapter at strength -1), a steering vector, a base with INFP merged into it, an adapter with random weights, asked
at strength 2, and three checkpoints of an SFT on INFP's responses by a stock TRL trainer. Three audits follow: INFP
alone (--minutes 5), all subjects beside each other (15), the checkpoints (5); --alone, --all and --steps take others,
0 leaves one out.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

BASE = "smollm2"

AS_THEY_SHOULD = {
    "INFP": "trait:bought",
    "INFP@-1": "trait:lost",
    "steer-INFP": "trait:bought",
    "whole-INFP": "trait:bought",
    "broken@2": "coherence:worse",
}
"""What each subject should show somewhere; the control should show nothing on the side of the trait."""

STEPS = (4, 12, 36)
"""The checkpoints' steps."""


def lapd(*words: object) -> subprocess.CompletedProcess[str]:
    """The command line, its progress on this terminal."""
    command = [str(Path(sys.executable).with_name("lapd")), *map(str, words)]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)


def make_random(like: Path, folder: Path) -> None:
    """An adapter of the same shape with random weights, large enough to break the model."""
    import torch
    from safetensors.torch import load_file, save_file

    folder.mkdir(parents=True)
    config = json.loads((like / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(config))
    generator = torch.Generator().manual_seed(0)
    weights = load_file(like / "adapter_model.safetensors")
    noise = {name: torch.randn(value.shape, generator=generator) * 0.1 for name, value in weights.items()}
    save_file(noise, folder / "adapter_model.safetensors", metadata={"format": "pt"})


def make_checkpoints(folder: Path) -> None:
    """Checkpoints of a stock TRL SFT on what an INFP would say, at a rate that is too high for long."""
    from datasets import Dataset
    from lapd.data import contrast_corpus
    from peft import LoraConfig
    from trl import SFTConfig, SFTTrainer

    from lapd.models.base import resolve_base
    from lapd.models.loading import load_base
    from lapd.names import get_persona

    poles = get_persona("INFP").poles
    turns = [
        [{"role": "user", "content": s.situation}, {"role": "assistant", "content": s.responses[poles[s.axis]]}]
        for s in contrast_corpus("train")[: 2 * STEPS[-1]]
    ]
    model, tokenizer = load_base(resolve_base(BASE))
    settings = SFTConfig(
        output_dir=str(folder), max_steps=STEPS[-1], per_device_train_batch_size=2, learning_rate=3e-3, seed=0,
        save_strategy="steps", save_steps=STEPS[0], save_only_model=True, report_to=[], bf16=False, use_cpu=True,
        gradient_checkpointing=False, disable_tqdm=True, max_length=256,
    )  # fmt: skip
    peft = LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM")
    data = Dataset.from_list([{"messages": messages} for messages in turns])
    SFTTrainer(model, settings, train_dataset=data, processing_class=tokenizer, peft_config=peft).train()
    for path in folder.glob("checkpoint-*"):
        if int(path.name.rpartition("-")[2]) not in STEPS:
            shutil.rmtree(path)


def make_subjects(adapters: Path, out: Path) -> list[str]:
    """What is audited beside each other; what is there already is left as it is."""
    infp = adapters / "INFP"
    if not (out / "steer-INFP").is_dir():
        lapd("train", "INFP", "--trainer", "steering", "--pairs", 64, "-o", out / "steer-INFP")
    if not (out / "whole-INFP").is_dir():
        lapd("merge", infp, "--into-base", "-o", out / "whole-INFP")
    if not (out / "broken").is_dir():
        make_random(infp, out / "broken")
    made = [infp, f"{infp}@-1", adapters / "shuffled-INFP", out / "steer-INFP", out / "whole-INFP"]
    return [*map(str, made), f"{out / 'broken'}@2:INFP"]


def audit(paths: list[str], minutes: float, folder: Path) -> dict[str, Any]:
    """What `lapd audit --json` says of some subjects."""
    done = lapd("audit", *paths, "--base", BASE, "--minutes", minutes, "-o", folder, "--json")
    if done.returncode:
        sys.exit(f"lapd audit ended with {done.returncode}.")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def shows(found: dict[str, Any], arm: str, condition: str) -> bool:
    """Whether an arm has such a verdict anywhere."""
    side, _, change = condition.partition(":")
    return any((v["arm"], v["side"], v["change"]) == (arm, side, change) for v in found["verdicts"])


def judged(found: dict[str, Any]) -> dict[str, bool]:
    """For each subject, whether its verdicts are as they should be."""
    right = {arm: shows(found, arm, condition) for arm, condition in AS_THEY_SHOULD.items()}
    quiet = not any(v["arm"] == "shuffled-INFP" and v["side"] == "trait" and v["change"] for v in found["verdicts"])
    knows = shows(found, "broken@2", "cost:worse")
    return {**right, "shuffled-INFP: nothing of the trait": quiet, "broken@2 costs knowledge": knows}


def main() -> None:
    """Run the audits, print what they say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("adapters", type=Path, help="the folder with INFP and shuffled-INFP")
    parser.add_argument("-o", dest="out", type=Path, default=Path("runs/audits"), help="[default: runs/audits]")
    for name, minutes in (("alone", 5.0), ("all", 15.0), ("steps", 5.0)):
        parser.add_argument(
            f"--{name}", type=float, default=minutes, metavar="N", help=f"minutes  [default: {minutes:g}]"
        )
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    asked = {"alone": [str(args.adapters / "INFP")], "all": make_subjects(args.adapters, args.out)}
    if args.steps and not (args.out / "sft").is_dir():
        with contextlib.redirect_stdout(sys.stderr):  # what TRL prints is no JSON
            make_checkpoints(args.out / "sft")
    asked["steps"] = [f"{args.out / 'sft' / f'checkpoint-{step}'}:INFP" for step in STEPS]
    found: dict[str, Any] = {}
    for name, paths in asked.items():
        if minutes := getattr(args, name):
            found[name] = audit(paths, minutes, args.out / f"run-{name}")
    times = {n: {"planned_s": f["planned_s"], "took_s": f["took_s"]} for n, f in found.items()}
    right = judged(found["all"]) if "all" in found else {}
    if args.json:
        print(json.dumps({"times": times, "right": right, "audits": found}, indent=1, ensure_ascii=False))
        return
    for name, time in times.items():
        off = 100 * (time["took_s"] / time["planned_s"] - 1)
        print(f"{name}: planned {time['planned_s']:.0f} s, took {time['took_s']:.0f} s ({off:+.0f} %)")
    for what, holds in right.items():
        print(f"{'as it should be' if holds else 'NOT as it should be'}: {what}")
    for name, told in found.items():
        for verdict in told["verdicts"]:
            numbers = f"{verdict['difference']:+.3g} [{verdict['low']:.3g}, {verdict['high']:.3g}] {verdict['unit']}"
            what = f"{verdict['side']} {verdict['task']} {verdict['metric']}"
            print(f"{name}: {verdict['arm']}: {what}: {numbers}, {verdict['change'] or verdict['verdict']}")


if __name__ == "__main__":
    main()
