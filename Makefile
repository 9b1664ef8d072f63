# Every target sets up what it needs first; `make` alone says what there is.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

CORE_TESTS := tests/protocol tests/simulation tests/test_runner.py

.DEFAULT_GOAL := help
.PHONY: help setup test check lint types unit core netns keepalived interop demo clean

help:  ## what there is
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 20

setup: $(VENV)/.ready  ## make .venv with vrrpd and the test tools in it

$(VENV)/.ready: pyproject.toml tools/setup-venv
	@PYTHON="$(PYTHON)" tools/setup-venv $(VENV)
	@touch $@

check: lint types  ## style and types

lint: setup  ## ruff, format check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup  ## mypy --strict
	$(BIN)/mypy

unit: setup  ## the tests that need no namespaces
	$(BIN)/pytest -m "not netns and not interop and not image"

core: setup  ## the protocol core alone, with its branch coverage (100 % is demanded)
	$(BIN)/coverage run -m pytest -q $(CORE_TESTS)
	$(BIN)/coverage report --include='vrrpd/protocol/*,vrrpd/runner.py' --fail-under=100 --show-missing --skip-covered

netns: setup  ## real daemons in network namespaces
	$(BIN)/pytest -m netns

test: setup keepalived check core  ## everything: style, types, core with coverage, namespaces, keepalived
	$(BIN)/pytest $(CORE_TESTS:%=--ignore=%)

keepalived:  ## fetch the distribution's keepalived into .cache, without installing it
	@tools/fetch-keepalived .cache/keepalived

interop: setup  ## against the real keepalived (fetched for that)
	@tools/fetch-keepalived .cache/keepalived || echo "interop: going on without it: the tests say what that means"
	$(BIN)/pytest -m interop

demo: setup  ## two routers, a client, three failures: each outage in milliseconds
	@$(BIN)/python -m vrrpd.lab.demo

clean:  ## remove what the targets made
	rm -rf $(VENV) .cache build *.egg-info .coverage* .mypy_cache .ruff_cache .pytest_cache .hypothesis
