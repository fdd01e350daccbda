# Everything a newcomer needs: `make demo` and `make test` set up what they use, in .venv, .venv-* and node_modules, and nothing else.
.DEFAULT_GOAL := help
.PHONY: help setup demo play test unit consumers look act simulation soak bench scale coverage lint types fmt docs lock dist clean
PYTHON ?= python3
BIN := .venv/bin
# Tests mostly wait for processes, servers and the exchange's pace: three workers keep two cores busy.
WORKERS ?= 3
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

help:            ## this list
	@grep -E '^[a-z]+: .*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 12

.venv/ready: tests/requirements.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=python3.11 …" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

.venv-sdk/ready: tests/adapters/sdk/requirements.txt
.venv-checks/ready: tests/delivery/checks/requirements.txt
.venv-consumers/ready: tests/e2e/consumers/requirements.txt
.venv-look/ready: tests/look/requirements.txt
.venv-act/ready: tests/delivery/act/requirements.txt
.venv-sdk/ready .venv-checks/ready .venv-consumers/ready .venv-look/ready .venv-act/ready:
	$(PYTHON) -m venv --clear $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	touch $@

NODE := $(patsubst %,tests/%/node_modules/ready,adapters/sdk_ts delivery/expressions delivery/pipelines)
LOOK_NODE := tests/look/page/node_modules/ready tests/look/monitoring/node_modules/ready
$(NODE) $(LOOK_NODE): %/node_modules/ready: %/package-lock.json
	@if ! command -v npm > /dev/null; then echo "npm is not here: the tests that need $*/package.json will be skipped"; \
	elif ! npm --prefix $* ci --loglevel=error --ignore-scripts --no-audit --no-fund > /dev/null; then \
		echo "npm can't install $*/package.json: the tests that need it will be skipped"; \
	else touch $@; fi

PROMETHEUS := tests/look/monitoring/bin/ready
$(PROMETHEUS): tests/look/monitoring/fetch.sh
	@$< $(@D) || echo "Prometheus can't be fetched: the tests that need it will be skipped"

setup: .venv/ready      ## the environment alone

demo: .venv/ready       ## sandbox and a real OpenBao: tokens.yaml becomes working secrets, in about a minute
	@$(BIN)/reconciler demo

play: .venv/ready       ## sandbox and a real OpenBao, left running until Ctrl-C; prints the environment for another terminal
	@$(BIN)/python -m reconciler.demo.play

T ?=
test: .venv/ready .venv-sdk/ready .venv-checks/ready $(NODE)  ## all tests, with a real OpenBao, the official SDKs, and what GitHub and GitLab read pipelines with (T=a path, or a pattern of names)
	$(PYTEST) $(if $(T),$(if $(wildcard $(firstword $(subst ::, ,$(T)))),$(T),-k "$(T)"))

unit: .venv/ready       ## the tests that start no server
	$(PYTEST) tests/unit

consumers: .venv/ready .venv-consumers/ready  ## the recipes of docs/consumers.md, with the programs that they are for (a gigabyte)
	$(PYTEST) -m consumers tests/e2e

look: .venv/ready .venv-look/ready $(LOOK_NODE) $(PROMETHEUS)  ## the page of status in a real Chromium, metrics and alerts in a real Prometheus (half a gigabyte)
	$(BIN)/python -m pytest -m look tests/look

act: .venv/ready .venv-act/ready tests/delivery/expressions/node_modules/ready  ## our workflows on nektos/act, without containers
	$(PYTEST) -m act tests/delivery

SEED ?=
SECONDS_MAX ?= 600
KEEP ?=
simulation: .venv/ready ## the protocol, walked through crashes, lost replies and competing runs (SEED=… SECONDS_MAX=600: other seeds)
	$(if $(SEED),$(BIN)/python -m tests.proofs.simulation --seed $(SEED) --seconds $(SECONDS_MAX) $(if $(KEEP),--keep "$(KEEP)"),$(PYTEST) -m "" tests/proofs/simulation)

MINUTES ?= 60
soak: .venv/ready       ## real processes killed, suspended and cut off, and their servers too (MINUTES=60, SEED=…)
	$(BIN)/python -m tests.proofs.soak --minutes $(MINUTES) --seed "$(SEED)"

BASE ?=
RUNS ?= 4
bench: .venv/ready      ## the figures of speed and memory, beside their limits (BASE=…/bin/reconciler: beside another build; RUNS=20: more with jitter)
	$(BIN)/python tests/bench --runs $(RUNS) $(BASE)

SIZE ?=
scale: .venv/ready      ## several manifests of one profile by several processes, beside the ideal schedule: ten minutes (SIZE="--manifests 20 --labels 200 --ready 20 --processes 8 --derive 5")
	$(BIN)/python -m tests.bench.scale $(SIZE)

coverage: .venv/ready   ## which branches the unit tests and a minute of the simulation take
	$(BIN)/python -m coverage run --branch --source reconciler --data-file .coverage -m pytest -q tests/unit
	$(BIN)/python -m coverage run --append --branch --source reconciler --data-file .coverage -m tests.proofs.simulation --seconds 60
	$(BIN)/python -m coverage report --data-file .coverage --skip-covered --sort cover

lint: .venv/ready       ## ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/ready      ## mypy, strict
	$(BIN)/mypy

fmt: .venv/ready        ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: .venv/ready       ## write what docs/ takes from the program anew: options, exit codes, diagram
	$(BIN)/python -m tests.support.pages

LOCK := uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --upgrade
lock:            ## make the hash-locked requirements anew (needs uv on the PATH)
	$(LOCK) pyproject.toml -o requirements.txt
	$(LOCK) --extra demo --extra dev pyproject.toml -o tests/requirements.txt
	echo 'hatchling' | $(LOCK) --constraints tests/requirements.txt - -o requirements-build.txt
	$(LOCK) tests/adapters/sdk/requirements.in -o tests/adapters/sdk/requirements.txt
	$(LOCK) tests/delivery/checks/requirements.in -o tests/delivery/checks/requirements.txt
	$(LOCK) tests/delivery/act/requirements.in -o tests/delivery/act/requirements.txt
	$(LOCK) tests/e2e/consumers/requirements.in -o tests/e2e/consumers/requirements.txt
	$(LOCK) tests/look/requirements.in -o tests/look/requirements.txt
	for folder in $(NODE:/node_modules/ready=) $(LOOK_NODE:/node_modules/ready=); do npm --prefix $$folder update --package-lock-only --omit-lockfile-registry-resolved --no-audit --no-fund || exit 1; done

dist: .venv/ready .venv-checks/ready  ## wheel, sources and a bill of materials, in dist/
	rm -rf dist
	$(BIN)/python -m hatchling build
	.venv-checks/bin/twine check --strict dist/*
	.venv-checks/bin/cyclonedx-py requirements requirements.txt --pyproject pyproject.toml --output-reproducible --validate -o dist/bom.json

clean:           ## remove the environments and caches
	rm -rf .venv .venv-sdk .venv-checks .venv-consumers .venv-look .venv-act $(NODE:/ready=) $(LOOK_NODE:/ready=) $(PROMETHEUS:/ready=) .mypy_cache .ruff_cache .hypothesis .coverage dist
