"""Makes `--model lapd` known to a stock lm-eval.

lm-eval 0.4.13 has no entry points for models: it knows those of its own table. What it always does before it looks a
model up is to import torch, and torch calls every entry point of the group `torch.backends` when it is imported. LAPD
declares `register` there (setup.cfg). It does nothing in a program that has not imported lm-eval, and
TORCH_DEVICE_BACKEND_AUTOLOAD=0 switches it off. It imports nothing heavy, and it never raises: torch would not load.
"""

from __future__ import annotations

import sys

NAME, TARGET = "lapd", "lapd.answering.lm:PackedLM"


def register() -> None:
    """Put LAPD's model into lm-eval's registry by name, if lm-eval is there; it is imported when asked for."""
    if "lm_eval" not in sys.modules:
        return
    try:
        import lm_eval.models  # noqa: F401  (lm-eval fills its registry from here, unless it finds something in it)
        from lm_eval.api.registry import model_registry

        if NAME not in model_registry:
            model_registry.register(NAME, target=TARGET)
    except Exception as error:
        print(f"lapd: lm-eval will not know --model lapd ({type(error).__name__}: {error}).", file=sys.stderr)
