# Two commands do everything: `make sweep` and `make test`. `make help` lists the rest.
# They make and use .venv here; a second call does not set up again.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
INPUTS := pyproject.toml constraints.txt
FINRAG := $(BIN)/finrag-eval

# Every sweep is a new process: without its bytecode each compiles the package again (0.2 s).
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help sweep test ui lint fix bench torture clean

help:  ## list the targets
	@awk -F':.*## ' '/^[a-z]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

sweep: $(VENV)/.ready  ## set up, then run sweeps/quickstart.yaml: offline, no account, no key
	@$(FINRAG) run sweeps/quickstart.yaml

test: $(VENV)/.ready-test  ## set up, then run all tests
	@$(BIN)/python -m pytest -n 6 --dist loadfile --no-loadscope-reorder

ui: $(VENV)/.ready  ## MLflow's UI on the default store
	@$(FINRAG) ui

lint: $(VENV)/.ready-test  ## ruff and mypy --strict
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

fix: $(VENV)/.ready-test  ## let ruff mend what it can
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

bench: $(VENV)/.ready-test  ## all benchmarks, printed as tables (takes long)
	@$(BIN)/python -m benchmarks

torture: $(VENV)/.ready-test  ## the long campaigns: crashes, budgets, A/A (takes long)
	@$(BIN)/python -m benchmarks.torture

clean:  ## remove the environment and all caches, never results
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build *.egg-info

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "finrag-eval needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V 2>&1). Try: make PYTHON=python3.12 ..." >&2; exit 2; }
	@echo "setting up $(VENV) (once, about a minute)" >&2
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.ready: $(VENV)/bin/python $(INPUTS)
	@$(PIP) install -c constraints.txt -e . && touch $@

$(VENV)/.ready-test: $(VENV)/.ready $(INPUTS)
	@echo "installing what the tests need (once)" >&2
	@$(PIP) install -c constraints.txt -e '.[test,bench,lint,prices,dask,postgres]' && touch $@
