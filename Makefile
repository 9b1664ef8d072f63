# Every target sets up what it needs first; `make` alone says what there is.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

CORE_TESTS := tests/protocol tests/simulation tests/test_runner.py tests/test_familiar.py tests/test_rounds.py

FUZZ_SECONDS ?= 60

.DEFAULT_GOAL := help
.PHONY: help setup test check lint types unit core simulation hunt mutants netns faults soak fuzz image image-test \
	keepalived interop demo demo-ramp manifests bench bench-quick bench-micro profile clean

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
	$(BIN)/pytest -m "not netns and not interop and not image and not faults and not budget"

core: setup  ## the protocol core alone, with its branch coverage (100 % is demanded)
	$(BIN)/coverage run -m pytest -q -m "not budget" $(CORE_TESTS)
	$(BIN)/coverage report --include='vrrpd/protocol/*,vrrpd/runner.py,vrrpd/rounds.py' --fail-under=100 --show-missing --skip-covered

simulation: setup  ## the fixed budget of the simulation, on all cores
	$(BIN)/pytest -q -m budget tests/simulation

hunt: setup  ## random LANs and faults until something is found or Ctrl-C (HUNT="--minutes 10 --jobs 1 --seed 7")
	@$(BIN)/python -m tests.simulation.hunt $(HUNT)

mutants: setup  ## break the core in some sixty ways, each of which the tests must notice: five minutes
	@$(BIN)/python -m tests.mutation

netns: setup  ## real daemons in network namespaces
	$(BIN)/pytest -m netns

# Most of these wait most of the time, so that several run side by side, by file: what a file sets up, it sets up once.
# Those marked `alone` measure something. WITH=image-test is for CI: the image is tested beside style, types and core.
test: setup check core simulation $(WITH)  ## every test but those of the image: style, types, core, simulation, namespaces, faults, keepalived
	@tools/fetch-keepalived .cache/keepalived || echo "test: going on without keepalived: the tests say what that means"
	$(BIN)/pytest -n 4 --dist loadfile -m "not alone and not faults" $(CORE_TESTS:%=--ignore=%) --ignore=tests/image
	$(BIN)/pytest -m "alone or faults" $(CORE_TESTS:%=--ignore=%) --ignore=tests/image
	$(BIN)/pytest --benchmark-disable bench/test_micro.py

image:  ## the container image, by docker or podman, or as root on a Debian that has neither
	tools/build-image

image-test: setup keepalived  ## the image in containers on three nodes (as root on Debian; installs podman)
	tools/build-image --engine private --for-tests --tag localhost/vrrpd:test
	$(BIN)/pytest tests/image

keepalived:  ## fetch the distribution's keepalived into .cache, without installing it
	@tools/fetch-keepalived .cache/keepalived

interop: setup  ## against the real keepalived (fetched for that)
	@tools/fetch-keepalived .cache/keepalived || echo "interop: going on without it: the tests say what that means"
	$(BIN)/pytest -m interop

demo: setup  ## two routers, a client, three failures: each outage in milliseconds
	@$(BIN)/python -m vrrpd.lab.demo

demo-ramp: setup  ## an edge host's tunnel to two ramp nodes, one fails: each outage
	@$(BIN)/python -m vrrpd.lab.demo_ramp

manifests: setup  ## write the manifests in deploy/ anew
	$(BIN)/python tools/write-deploy

bench: $(VENV)/.bench keepalived  ## beside keepalived, everything: half an hour; a quiet machine is needed
	@$(BIN)/python -m bench

bench-quick: $(VENV)/.bench keepalived  ## beside keepalived, a round of each scenario: two minutes
	@$(BIN)/python -m bench --quick

bench-micro: $(VENV)/.bench  ## the parts of the way of one advertisement, without a network
	$(BIN)/pytest bench/test_micro.py

profile: $(VENV)/.bench  ## where the time goes: a timeline of a takeover, flame graphs (with py-spy)
	@$(BIN)/python -m bench.profile

faults: setup keepalived  ## every fault three times, beside keepalived, and the table in docs/faults.md: a quarter of an hour
	@$(BIN)/python -m tests.faults --rounds 3 --write

soak: $(VENV)/.bench  ## two nodes for half an hour: is everything flat? (MINUTES=5 for less)
	@$(BIN)/python -m bench.soak --minutes $(or $(MINUTES),30)

$(VENV)/.bench: $(VENV)/.ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	@touch $@

fuzz: setup  ## look for input that the daemon cannot bear: a minute for each target (FUZZ_SECONDS)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[fuzz]' || \
		echo "fuzz: atheris is not to be had for this Python or machine: going on without it"
	$(BIN)/python -m tests.fuzz --seconds $(FUZZ_SECONDS)

clean:  ## remove what the targets made
	rm -rf $(VENV) .cache build *.egg-info .coverage* .mypy_cache .ruff_cache .pytest_cache .hypothesis
