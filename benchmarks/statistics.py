"""Are the statistics right? Data whose truth is known, thousands of times, and what LAPD says of each.

    python benchmarks/statistics.py            some ten minutes on 2 cores
    python benchmarks/statistics.py --quick    fewer samples and sizes, below three minutes
    python benchmarks/statistics.py --json     {"family_error": ..., "coverage_adapter": [...], ...}

- `family_error`: 16 arms x 5 tasks without any effect, each arm's trainings with a direction of their own: the largest
  chance of any claim after Holm's correction, over the numbers of seeds and spreads in `family_errors`.
- `coverage_adapter`, `coverage_training`: how often 95 % intervals cover the truth, by items, seeds, kind of values and
  spread between trainings (items differ by a standard deviation of 0.5; of yes/no outcomes it is in log-odds).
- `power`: foretold by `lapd.statistics.power` and found.
- `bias`: of the factorial's and the opposites' estimates, and how often their intervals cover.
- `mcnemar`: the errors of McNemar's exact p and mid-p; `few`: of few numbers, the coverage of t and of LAPD's, with
  BCa; `clusters`: of passages with several questions; `equivalence`: how often a change as large as the margin passes
  for none.

The exit code is 1 if the family's error is above 5 % by more than chance has it.
"""

from __future__ import annotations

if __name__ != "__main__":
    # The folder of a script is where Python looks first, so that its neighbours' `import statistics`, and numpy's, come
    # here: they are given the standard library's.
    import importlib.util
    import sys
    import sysconfig
    from pathlib import Path

    spec = importlib.util.spec_from_file_location(__name__, Path(sysconfig.get_path("stdlib")) / "statistics.py")
    assert spec and spec.loader
    sys.modules[__name__] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
else:
    from simulations.run import main

    main()
