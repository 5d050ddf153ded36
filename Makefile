# Two commands: `make demo` and `make test`. Everything is installed into .venv, nowhere else.
SHELL := /bin/sh
VENV ?= .venv
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null \
	&& echo $$p && break; done)
BIN := $(VENV)/bin
PIP := PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_CONSTRAINT=constraints.txt $(BIN)/python -m pip install --quiet

.PHONY: demo test test-rig fuzz lint format clean

demo: $(VENV)/laptop  ## the main job, no hardware: teach, export, run, light (mock) LEDs
	@$(BIN)/trainer demo $(if $(DATA),"$(patsubst ~/%,$(HOME)/%,$(DATA))")

test: $(VENV)/dev  ## every test
	@$(BIN)/python -m pytest -q

MINUTES ?= 10
# Exit code 3: not on this machine, and it has said why; the tests skip.
test-rig: $(VENV)/dev  ## the service in a booted Debian: real systemd, sshd, picamera2, lgpio; root
	@for make in tree fresh wheels; do \
		$(BIN)/python tests/rig/tier2/$$make.py > /dev/null || test $$? = 3 || exit 1; done
	@$(BIN)/python -m pytest -q -m "tier2 or tier3" tests/rig

fuzz: $(VENV)/dev  ## broken models, edge.tomls, pictures and videos, for MINUTES each
	@$(BIN)/python tests/fuzz/fuzz.py --first $$(date +%s) --minutes $(MINUTES) $(DOORS)

lint: $(VENV)/dev  ## linters and the type checker
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy
	@$(BIN)/mypy benchmarks

format: $(VENV)/dev
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format --quiet .

$(VENV)/python:
	@test -n "$(PYTHON)" || { echo "handwave needs Python 3.11, 3.12 or 3.13 and found none:" \
		"install one, or say which: make PYTHON=/path/to/python3"; exit 1; }
	@echo "making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV) || { \
		echo "that Python cannot make a venv; on Debian or Ubuntu: sudo apt install python3-venv"; exit 1; }
	@touch $@

$(VENV)/laptop: $(VENV)/python pyproject.toml constraints.txt
	@echo "installing what the laptop needs; once, about a minute"
	@$(PIP) --editable '.[laptop,backbone]'
	@$(BIN)/trainer features fetch hand face || echo "going on without; a training will try again"
	@touch $@

# picamera2 runs on a Pi only; its source is here for tests that check our calls against it. lgpio is
# for tests/rig; it has wheels for few Pythons, and must not be compiled here.
$(VENV)/dev: $(VENV)/laptop
	@echo "installing what the tests need; once, about a minute"
	@$(PIP) --editable '.[dev]'
	@$(PIP) --no-deps picamera2
	@$(PIP) --only-binary :all: lgpio 2>/dev/null || echo "no lgpio for this Python: its tests skip"
	@touch $@

clean:
	rm -rf .venv* demo .mypy_cache .ruff_cache .pytest_cache .hypothesis
