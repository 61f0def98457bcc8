# install, demo, test, lint, docs, bench: the same commands here and in continuous integration.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed
DATA := $(abspath ../shared/data)
PYTEST_ARGS ?=

# The public data sets that some tests read, where they lie beside the checkout.
ifneq ($(wildcard $(DATA)/README.md),)
export GRAFTLM_DATA ?= $(DATA)
endif

.PHONY: help install demo test lint format docs bench clean

help:
	@echo "make install  a virtual environment in .venv with everything that the other commands need"
	@echo "make demo     sample data, embedded model: train, judge, predict, in some three minutes"
	@echo "make test     every test that can run here (PYTEST_ARGS='-k name' to choose)"
	@echo "make lint     ruff, format, types, layers"
	@echo "make format   let ruff mend what it can"
	@echo "make docs     build the documentation, strictly"
	@echo "make bench    the figures of the README, against the peers, as JSON"
	@echo "make clean    remove what the commands above left, but for .venv and runs/"

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt "$$(grep '^torch==' constraints.txt)"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[offline,dev]'
	touch $@

demo: $(STAMP)
	$(BIN)/graft demo

test: $(STAMP)
	$(BIN)/python -m pytest $(PYTEST_ARGS)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

$(VENV)/installed-docs: $(STAMP)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[docs]'
	touch $@

bench: $(STAMP)
	$(BIN)/python benchmarks/run_all.py

clean:
	rm -rf build dist site .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache src/*.egg-info
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
