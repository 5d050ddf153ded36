# Two commands: `make demo` and `make test`. Everything is installed into .venv, nowhere else.
SHELL := /bin/sh
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
PIP := PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_CONSTRAINT=constraints.txt $(BIN)/python -m pip install --quiet

.PHONY: demo test lint format clean

demo: .venv/laptop  ## the main job, no hardware: teach, export, run, light a (mock) LED
	@$(BIN)/trainer demo $(if $(DATA),"$(DATA)")

test: .venv/dev  ## every test
	@$(BIN)/python -m pytest -q

lint: .venv/dev  ## linters and the type checker
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: .venv/dev
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

.venv/python:
	@test -n "$(PYTHON)" || { echo "handwave needs Python 3.11, 3.12 or 3.13; found none: install one, or say make PYTHON=/path/to/python3"; exit 1; }
	@echo "making .venv with $(PYTHON)"
	@$(PYTHON) -m venv .venv || { echo "that Python has no venv module: on Debian or Ubuntu, apt install python3-venv"; rm -rf .venv; exit 1; }
	@touch $@

.venv/laptop: .venv/python pyproject.toml constraints.txt
	@echo "installing what the laptop needs (once, about a minute)"
	@$(PIP) -e '.[laptop]'
	@touch $@

.venv/dev: .venv/laptop
	@echo "installing what the tests need (once)"
	@$(PIP) -e '.[dev]'
	@touch $@

clean:
	rm -rf .venv demo .mypy_cache .ruff_cache .pytest_cache .hypothesis
