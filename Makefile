SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))
DIRECT := import tomllib; t = tomllib.load(open("pyproject.toml", "rb")); \
	print(*t["project"]["dependencies"], *t["dependency-groups"]["dev"], sep="\n")
PYTEST := $(BIN)/python -m pytest
FILE ?=

.PHONY: help setup demo test lint types loops unit e2e torture wheel bench docs lock clean

help: ## List the targets
	@grep -hE '^[a-z0-9]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9]+):.*## (.*)/  make \1	\2/' | expand -t 16

setup: $(INSTALLED) ## Build .venv from requirements.lock (does nothing the second time)

$(INSTALLED): requirements.lock pyproject.toml
	@for python in $${PYTHON:-python3.11 python3.12 python3 python}; do \
		if "$$python" -c '$(SUPPORTED)' >/dev/null 2>&1; then break; fi; python=; \
	done; \
	if [ -z "$$python" ]; then echo "Footfall needs Python 3.11 or 3.12; name one: make setup PYTHON=..." >&2; exit 1; fi; \
	echo "Setting up $(VENV) with $$("$$python" --version)"; \
	"$$python" -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: setup ## A day at a repair shop's site: simulate, replay into ClickHouse, compare with the truth
	@$(BIN)/footfall demo

test: setup ## Everything that CI checks
	$(MAKE) lint
	$(MAKE) --jobs=2 types loops
	$(MAKE) unit e2e wheel

lint: setup ## ruff: rules and layout
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup ## mypy --strict
	$(BIN)/mypy

loops: setup ## Compile the loops, so that tests side by side don't all do so (does nothing the second time)
	@mkdir -p build
	@$(BIN)/footfall simulate build/loops.ndjson --visitors 50 >build/loops.log 2>&1 && \
		$(BIN)/footfall replay build/loops.ndjson --store none >>build/loops.log 2>&1 || { cat build/loops.log; exit 1; }

unit: setup ## The tests of the library and its contracts, in parallel
	$(PYTEST) -n 4 --dist loadfile --durations 12 --ignore tests/e2e --ignore tests/recovery --ignore tests/wheel

e2e: setup ## The tests of whole runs: crashes, resumes, several workers
	$(PYTEST) -n 4 --dist loadfile --no-loadscope-reorder --durations 12 \
		tests/e2e/test_interrupt.py tests/recovery tests/e2e

torture: setup ## Runs under attack in their long form: kills, outages, full disks (half an hour)
	TORTURE=1 $(PYTEST) -s tests/recovery/test_kills.py tests/recovery/test_live_kills.py \
		tests/recovery/test_live_patterns.py \
		tests/recovery/test_live_store.py tests/recovery/test_live_broker.py tests/recovery/test_live_sizes.py

wheel: setup ## Build the wheel into dist/ and test it without the source
	rm -rf dist
	$(PYTEST) tests/wheel

bench: setup ## The benchmark journey-1: make bench FILE=events.ndjson
	@if [ -z "$(FILE)" ]; then echo "name its input: make bench FILE=events.ndjson" >&2; exit 2; fi
	$(BIN)/python benchmarks/journey1.py "$(FILE)"

docs: setup ## Run the pattern language's examples and write their page: docs/patterns.md
	$(BIN)/python -m docs.pattern_page

lock: ## Write requirements.lock anew from pyproject.toml (with Python 3.11)
	python3.11 -m venv build/lock
	build/lock/bin/python -m pip install --quiet --disable-pip-version-check pip-tools==7.6.2
	build/lock/bin/python -c '$(DIRECT)' | build/lock/bin/pip-compile --quiet --upgrade --generate-hashes \
		--strip-extras --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
		--no-emit-trusted-host --output-file requirements.lock -

clean: ## Remove what was built and what the demo left, not .venv
	rm -rf build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis footfall-store footfall-demo
	find . -name __pycache__ -type d -not -path './$(VENV)*' -prune -exec rm -rf {} +
