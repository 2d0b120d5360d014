# Everything a contributor does. Needs Python 3.11 or later and make; sets up all else in .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help demo test lint types layers unit format docs bench clean

help: ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "ehlo needs Python 3.11 or later; name it with: make PYTHON=python3.12"; exit 1; }
	@echo "setting up $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(STAMP) ## see a whole session explained
	@$(BIN)/ehlo demo

test: lint types layers unit ## everything that must be green: format, lint, types, layers, tests

lint: $(STAMP)
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .

types: $(STAMP)
	$(BIN)/mypy

layers: $(STAMP)
	$(BIN)/lint-imports --no-cache --no-logo

# What the tests compile is kept, whatever the environment says: else each run rewrites all of their asserts anew.
unit: export PYTHONDONTWRITEBYTECODE :=
unit: $(STAMP)
	$(BIN)/pytest -q -n auto --dist loadfile

format: $(STAMP) ## format the code, mend what lint can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(STAMP) ## write the generated pages anew: the manual page, the help texts
	$(BIN)/python docs/generate.py

bench: $(STAMP) ## measure against peers, write docs/performance.md
	PYTHONPATH=tests $(BIN)/python -m bench

clean: ## remove what make has made
	rm -rf $(VENV) .cache .mypy_cache .pytest_cache .ruff_cache .hypothesis dist
