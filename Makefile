# The few commands that one needs. `make` lists them.

PYTHON ?= python3
BIN := .venv/bin

# What `make fast` does not even import: folders and modules whose tests are slow, and the rules about
# the code, which belong to `make check`.
NOT_FAST := tests/e2e tests/pages tests/security tests/test_architecture.py \
	tests/core/training tests/core/inference tests/core/transfer/export \
	$(shell grep -rlE '^pytestmark = .*mark\.(slow|worker)' tests/core tests/test_*.py)

.PHONY: help setup run test fast check bench

help:  ## list these commands
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

setup:  ## create .venv with all that development needs
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -r requirements-dev.txt

run:  ## start the app on this machine only
	$(BIN)/streamlit run Home.py --server.address localhost

fast:  ## run the quick tests: about a minute
	$(BIN)/python -m pytest -m "not worker and not browser and not slow" $(NOT_FAST:%=--ignore=%)

test:  ## run all tests; those in a browser are skipped without Chromium
	$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

check:  ## check format, lint, types, import contracts and rules about the code
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python -m pytest -m "not slow" tests/test_architecture.py

bench:  ## measure speed and memory of the interface and of the training
	$(BIN)/python benchmarks/interface.py
	$(BIN)/python benchmarks/training.py
