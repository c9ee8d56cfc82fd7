# Everything is set up on first use: `make demo`, then `make test`. What is made is kept outside this folder.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Hundreds of processes are started from here: each would compile this folder's modules again.
unexport PYTHONDONTWRITEBYTECODE
export ROLLOUT_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/rollout
PYTHON := $(ROLLOUT_CACHE)/venv/bin/python
JSON ?=
K ?=

.PHONY: help venv pulumi up down demo test test-all test-fast test-unit test-cluster test-kit check

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

venv: ## the Python environment
	@devkit/setup-venv

pulumi: venv ## the Pulumi CLI with its plugins: the one on the PATH, or built from its Go modules
	@$(PYTHON) -m devkit.pulumi >/dev/null

up: pulumi ## a one-node Kubernetes with PostgreSQL and the sample's images, unless KUBE_CONTEXT names another cluster
	@$(PYTHON) -m devkit.cluster up
	@$(PYTHON) -m devkit.images load

down: venv ## remove that cluster and everything it left on this machine
	@$(PYTHON) -m devkit.cluster down

demo: up ## a real ledger from 1.0.0 to 1.6.0 under traffic, with four failures on the way (JSON=file writes the figures)
	@$(PYTHON) -m devkit.demo $(if $(JSON),--json "$(JSON)")

check: venv ## style, types, layers, workflows
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check --quiet . || { echo "format: run $(PYTHON) -m ruff format ."; exit 1; }
	@$(PYTHON) -m mypy
	@$(ROLLOUT_CACHE)/venv/bin/lint-imports --no-cache
	@if command -v go >/dev/null; then ci/actionlint; else echo 'workflows: not checked, as there is no Go to build actionlint with'; fi

test-fast: venv ## everything that needs no cluster, under 30 s
	@$(PYTHON) -m pytest tests/unit -q -m "not slow" -n 2 --dist loadfile

test-unit: pulumi ## the same, and what starts the Pulumi CLI
	@$(PYTHON) -m pytest tests/unit -q -n 2 --dist loadfile

# Rollouts wait more than they work, so four tests run at once, each in a namespace of its own. The stack of ten modules is a crowd by
# itself, and what judges times has the machine alone.
PYTEST := $(PYTHON) -m pytest -q --durations=12 --durations-min=5
TOGETHER := cluster and stacks and not measures
AT_ONCE := -n 4 --dist loadscope
STACK := $(PYTEST) tests/cluster -m "cluster and not stacks and not measures"
test-cluster: up ## the tests on the real cluster; K='failed or killed' chooses some
	@$(PYTHON) -m devkit.images load gateway nats module
	@$(PYTHON) -m tests.cluster.s3_server
ifeq ($(K),)
	@$(PYTEST) tests/cluster -m "$(TOGETHER)" $(AT_ONCE)
	@$(STACK)
	@$(PYTEST) tests/cluster -m "cluster and measures"
else
	@$(PYTEST) tests/cluster -m cluster -k "$(K)"
endif

.PHONY: bench-gate bench-noop exactly-once test-postgres
MAJORS ?= 16 17 18
test-postgres: venv ## the migrator's tests against other majors of PostgreSQL (MAJORS='16 17 18')
	@$(PYTHON) -m tests.other_postgres $(MAJORS)

test-kit: venv ## the devkit's cluster itself: killed, frozen, detached, removed; it is down afterwards
	@TEST_KIT=1 $(PYTHON) -m pytest tests/cluster_kit -q

bench-noop: up ## what a `rollout up` takes that has nothing to do, for 1, 25 and 100 modules, as JSON
	@$(PYTHON) -m benchmarks.noop

bench-gate: up ## what a witness and a rehearsal add to an upgrade of the sample, as JSON
	@$(PYTHON) -m benchmarks.gate

exactly-once: ROUNDS = 67
exactly-once: up ## 2, 5 and 20 migration pods started together and killed at random, ROUNDS=67 times each: every file is committed once
	@ROUNDS=$(ROUNDS) $(PYTEST) -s tests/cluster/test_once_with_pods.py

# $(call beside,COMMAND): what needs no cluster takes the processor time that the command leaves; its output comes after the command's.
define beside
	@log=$$(mktemp); \
	nice $(PYTEST) tests/unit -m "not cluster and not measures" -n 2 --dist loadfile >"$$log" 2>&1 & beside=$$!; \
	trap 'kill $$beside 2>/dev/null || true; rm -f "$$log"' EXIT; \
	failed=; $(1) || failed=1; wait $$beside || failed=1; cat "$$log"; test -z "$$failed"
endef

test: check up ## what every change must pass: all but the tests marked `long`
	@$(PYTHON) -m devkit.images load gateway
	$(call beside,$(PYTEST) tests/cluster -m "$(TOGETHER) and not long" $(AT_ONCE))
	@$(PYTEST) tests/unit tests/cluster -m "measures and not long"

test-all: check up ## everything, in half an hour
	@$(PYTHON) -m devkit.images load gateway nats module
	@$(PYTHON) -m tests.cluster.s3_server
	$(call beside,$(STACK))
	@$(PYTEST) tests/cluster -m "$(TOGETHER)" $(AT_ONCE)
	@$(PYTEST) tests/unit tests/cluster -m measures
