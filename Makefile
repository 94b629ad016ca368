# The front door. `make help` lists what there is.
.DEFAULT_GOAL := help
SHELL := /bin/bash
STATE ?= var
BIN := .venv/bin
APPLIANCE := $(BIN)/appliance --state $(STATE)
# Else each process would compile all sources anew: a second for every command and every test.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup setup-dev run test faults soak fuzz check format journeys bench peers docs clean images up down stack-test scan

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: .venv/.runtime ## build the environment (.venv); does nothing when it is up to date

.venv/.runtime: requirements.lock requirements-build.lock pyproject.toml installer/environment.sh
	@installer/environment.sh requirements.lock
	@touch $@

setup-dev: .venv/.dev

.venv/.dev: .venv/.runtime requirements-dev.lock
	@installer/environment.sh requirements-dev.lock
	@touch $@

run: setup ## everything on this machine, with the demo model; Ctrl+C stops it
	@exec $(APPLIANCE) run --demo models/demo

test: setup-dev ## the tests, with real parts; no browser needed
	$(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder --ignore=tests/journeys --ignore=tests/compose --ignore=tests/faults/test_soak.py

faults: setup-dev ## kill the ledger 200 times, fail every write of an import, kill engines under load
	APPLIANCE_FAULT_ROUNDS=200 $(BIN)/pytest -n 2 --dist loadfile tests/faults/test_kill_rounds.py tests/faults/test_import_faults.py tests/faults/test_soak.py

soak: setup-dev ## sixteen clients for ten minutes while engines are killed at random
	$(BIN)/python -m tests.faults.soak --minutes 10 --streams 16

fuzz: setup-dev ## mutated bundles and model headers, by the ten thousand
	$(BIN)/python -m tests.fuzz.gguf --seconds 30
	$(BIN)/python -m tests.fuzz.bundles --count 20000 --processes 2

check: setup-dev ## lint, types, arrows between packages, stale documents
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python docs/reference/generate.py --check

journeys: setup-dev ## the product in a real browser (Chromium)
	$(BIN)/pytest tests/journeys

images: setup ## the images of the Compose stack, without a registry or a network; WITH="ollama llama-server" adds those of overlays
	@installer/images/build.sh $(WITH)

up: ## start the stack (as root, for its firewall); prints the first passwords, once
	@compose/up.sh

down: ## stop the stack; its state stays
	@compose/down.sh

stack-test: WITH := ollama llama-server
stack-test: setup-dev images ## the stack's promises, on a real Docker engine (as root)
	$(BIN)/pytest tests/compose

scan: ## known vulnerabilities in the images, from files of advisories: make scan OSV="all.zip"
	@PYTHONPATH=.venv/.build $(BIN)/python installer/images/scan.py $(OSV)

bench: bench-record bench-answer bench-bundles bench-gateway bench-serving ## every benchmark (builds what ours is compared with); tables, and JSON in build/bench/

bench-%: setup-dev ## one benchmark by name: record, answer, bundles, serving, gateway
	@$(BIN)/python -m tests.bench.$*

# Peers that are written in Python have an environment of their own; the rule above does the rest.
bench-serving bench-gateway: build/bench/venv/.lock
bench-serving: peers

# What cannot be built here says why and is left out of the tables.
peers: setup-dev ## the servers of others that ours is compared with, built once
	@for name in llama-server ollama; do installer/peers/build.sh $$name || true; done

build/bench/venv/.lock: requirements-bench.lock tests/bench/environment.sh | setup-dev
	@tests/bench/environment.sh
	@touch $@

docs: setup-dev ## write the generated reference pages anew
	$(BIN)/python docs/reference/generate.py

format: setup-dev ## lay the code out
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove what was built; the state folder stays
	rm -rf build .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache *.egg-info
