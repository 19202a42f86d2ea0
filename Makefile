# One word for each chore; CI says the same words. Needs Python >= 3.10 and make, nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := airflow_pop3_gateway dags tests benchmarks
# ruff cannot read setup.cfg, so its settings stand here: code at 110 columns, prose may end at 120.
FORMAT := --line-length 110 --target-version py310
LINT := --line-length 120 --target-version py310 \
	--select E,W,F,I,B,UP,SIM,C4,RET,PIE,RUF,DTZ,S1,BLE,PLE,PLW,ERA,ISC,T10,TID \
	--ignore RUF001,RUF002,RUF003,RUF005,RUF007,RUF009,RUF012,B008,SIM105,SIM108,SIM300,SIM905,PLW2901,S101,S104,S105,S106,S107 \
	--per-file-ignores tests/conftest.py:E402 --per-file-ignores 'tests/*:E501'

FUZZ_SECONDS ?= 20

.DEFAULT_GOAL := help
.PHONY: help venv check format test fuzz demo standalone bench dist pins clean

help:
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

venv: $(VENV)/.made  ## an environment with everything, from constraints.txt

$(VENV)/.made: setup.cfg constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[demo,dev]'
	touch $@

check: venv  ## format, lint, strict types, the one-way rooms
	$(BIN)/ruff format --check --quiet $(FORMAT) $(wildcard $(SOURCES))
	$(BIN)/ruff check --quiet $(LINT) $(wildcard $(SOURCES))
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/house

format: venv  ## put the sources into shape
	$(BIN)/ruff format --quiet $(FORMAT) $(wildcard $(SOURCES))
	$(BIN)/ruff check --quiet --fix $(LINT) $(wildcard $(SOURCES))

test: venv  ## every test; a missing server or browser skips its tests
	$(BIN)/python -m pytest -q

fuzz: venv  ## every parser against a coverage-guided fuzzer; FUZZ_SECONDS=60 for longer
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[fuzz]'
	PYTHONPATH=tests $(BIN)/python -m fuzz --seconds $(FUZZ_SECONDS)

demo: venv  ## the tour: embedded servers, one mail of every kind, the sample DAG, twice
	$(BIN)/python -m airflow_pop3_gateway demo

standalone: venv  ## Airflow with the sample DAGs and the embedded servers, to look at in a browser
	$(BIN)/python -m airflow_pop3_gateway standalone

bench: venv  ## retrieval beside poplib and the others that are installed
	$(BIN)/python -m benchmarks

dist: venv  ## source distribution and wheel
	$(BIN)/python -m build --outdir dist

pins: venv  ## constraints.txt anew: the newest that go together, for every Python we say we run on
	$(BIN)/uv pip compile --quiet --universal --python-version 3.10 --upgrade --no-annotate \
		--custom-compile-command 'make pins' --extra demo --extra dev --extra fuzz setup.cfg --output-file constraints.txt

clean:  ## remove what the other words made
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .demo .fuzz .standalone
