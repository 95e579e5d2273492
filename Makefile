# The two commands of a newcomer are `make demo` and `make test`; `make help` lists them all.
SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.stamp
BENCH_STAMP := .venv/.bench-stamp
SEED ?= 1
DEMO_SECONDS ?= 60
# Where servers' jars are kept for all checkouts of a user.
CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/dashcell
# The Higgs week; without it the shipped sample is taken.
HIGGS ?= $(or $(DASHCELL_HIGGS_DIR),../shared/data/higgs)
FAST := tests/unit tests/properties tests/contract tests/cli tests/house

.PHONY: help setup jars demo test check lint types layers fast-tests long-tests stack-tests higgs bench bench-quick sim chaos-moves docs clean

help: ## what there is (this list)
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "  variables: PYTHON=python3.12  SEED=7  DEMO_SECONDS=10"

setup: $(STAMP) jars ## .venv with all packages, and the real servers' jars in the user's cache

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "error: $(PYTHON) is missing, older than 3.11 or without venv: install Python 3.11" \
	       "with venv (Debian: apt-get install python3-venv), or name another: make PYTHON=..." >&2; \
	  exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "setup: installing packages into .venv"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,stack]'
	@touch $(STAMP)

jars: $(STAMP)
	@$(BIN)/python -m ops.prepare "$(CACHE)" $(if $(CI),--required)

demo: $(STAMP) ## the embedded platform with real data; a dashboard that grows (DEMO_SECONDS=60)
	@$(BIN)/python -m ops.demo --seconds $(DEMO_SECONDS)

test: setup check ## everything, in bounded form
	@$(MAKE) --no-print-directory --jobs=2 --keep-going --output-sync=line long-tests stack-tests

check: $(STAMP) ## lint, types, layers and the fast tests, in under a minute
	@$(MAKE) --no-print-directory --jobs=2 --keep-going --output-sync=target lint types layers fast-tests

lint: $(STAMP)
	@$(BIN)/ruff check --quiet .

types: $(STAMP)
	@$(BIN)/mypy --no-error-summary

layers: $(STAMP)
	@$(BIN)/lint-imports --no-logo > .venv/layers.log 2>&1 || { cat .venv/layers.log; exit 1; }

fast-tests: $(STAMP)
	@$(BIN)/python -m pytest --quiet --numprocesses 4 --dist loadfile \
	  -m "not slow and not stack and not containers" $(FAST)

# Whole platforms in one process take one core; tests of real servers wait most of the time.
long-tests: $(STAMP)
	@$(BIN)/python -m pytest -m "slow and not stack and not containers" --durations=10

stack-tests: $(STAMP)
	@$(BIN)/python -m pytest -m "stack and not containers and not peers" --durations=10

higgs: setup ## the whole Higgs week on the real servers, with its figures
	@$(BIN)/python -m ops.bench.higgs --week "$(HIGGS)"

$(BENCH_STAMP): $(STAMP)
	@echo "bench: installing what draws and counts into .venv"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	@touch $(BENCH_STAMP)

bench: setup $(BENCH_STAMP) ## all figures beside all peers, into docs/performance.* (40 minutes)
	@$(BIN)/python -m pytest --quiet -m peers
	@$(BIN)/python -m ops.bench.main --week "$(HIGGS)" --out docs $(if $(CI),--required)
	@$(BIN)/python -m ops.cellctl.plan_page docs

bench-quick: setup $(BENCH_STAMP) ## three of them; fails when a ratio has fallen by a fifth (3 minutes)
	@$(BIN)/python -m ops.bench.main --quick --against docs/performance.json $(if $(CI),--required)

sim: $(STAMP) ## what is simulated, from one seed (SEED=7)
	@DASHCELL_SIM_SEED=$(SEED) $(BIN)/python -m pytest --quiet tests/sim

chaos-moves: $(STAMP) ## moves in full: 3,000 random lives, 200 readers under the Higgs load (SEED=7)
	@DASHCELL_SIM_SEED=$(SEED) DASHCELL_MOVE_LIVES=3000 DASHCELL_MOVING=200 $(BIN)/python -m pytest \
	  --quiet tests/sim/test_moves.py tests/sim/test_move_lives.py tests/stack/test_higgs.py

docs: $(STAMP) ## write the generated references anew
	@$(BIN)/python -m ops.reference
	@$(BIN)/python -m ops.cellctl.reference docs/cellctl.md
	@$(BIN)/python -m ops.cellctl.plan_page docs
	@$(BIN)/python -m ops.cellctl.simulate_page docs

clean: ## remove what the other commands made in this folder (not the user's cache)
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build dist
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
