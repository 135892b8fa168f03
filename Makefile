# Every command a developer needs. `make help` lists them; each works on a fresh clone.
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
PY := $(BIN)/python
SRC := $(wildcard libs/*/src) $(wildcard services/*/src)
CHECK_FLAG := $(if $(CHECK),--check,)
.DEFAULT_GOAL := help
.PHONY: help install install-dev run demo test lint format types proto schemas docs chart lock images up down test-cluster drill bench clean

help: ## list these commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

install: ## make .venv with everything the platform runs with (at once when nothing changed)
	@$(PYTHON) tools/bootstrap.py run

install-dev: ## the same, and everything tests and checks need
	@$(PYTHON) tools/bootstrap.py dev

run: install ## start the whole platform with the demo cameras; Ctrl-C stops it (ARGS="--help" shows more)
	@exec $(BIN)/lykta up $(ARGS)

demo: install ## the story, once, unattended: what is promised, done and proved step by step
	@exec $(BIN)/lykta demo $(ARGS)

test: install-dev ## all tests in named parts, with a summary (PART=audit runs one; ARGS go to pytest)
	@exec $(PY) -m tools.run_tests $(if $(PART),--part $(PART),) $(if $(ARGS),-- $(ARGS),)

lint: install-dev ## formatting, rules, types, import law, protobuf, budgets, generated files
	@exec $(PY) -m tools.lint

format: install-dev ## bring the code into shape
	@$(BIN)/ruff check --fix-only -q . && $(BIN)/ruff format .

types: install-dev ## mypy --strict alone
	@exec $(PY) -m tools.lint --only types

proto: install-dev ## gRPC code from proto/ (CHECK=1 compares only)
	@exec $(PY) -m tools.generate_proto $(CHECK_FLAG)

schemas: install-dev ## JSON schemas of the events and docs/asyncapi.yaml (CHECK=1 compares only)
	@exec $(PY) -m tools.generate_schemas $(CHECK_FLAG)

docs: install-dev ## docs/config.md from the settings of the services (CHECK=1 compares only)
	@exec $(PY) -m tools.generate_config_docs $(CHECK_FLAG)

chart: install-dev ## table, schema and README of the Helm chart from code and values (CHECK=1 compares only)
	@exec $(PY) -m tools.generate_chart $(CHECK_FLAG)

lock: install-dev ## requirements*.lock from pyproject.toml (CHECK=1 compares only)
	@exec $(PY) -m tools.lock $(CHECK_FLAG)

images: install-dev ## every container image, with docker, podman, buildah or none of them (ARGS="--only audit", "--list")
	@exec $(PY) -m tools.images $(ARGS)

up: install-dev ## the evaluation on the cluster that KUBECONFIG names: images, chart, all ready (ARGS="--help")
	@exec $(PY) -m tools.cluster up $(ARGS)

down: install-dev ## take it away again; its volumes stay (ARGS="--volumes" deletes them)
	@exec $(PY) -m tools.cluster down $(ARGS)

test-cluster: install-dev ## tests/cluster on the cluster that KUBECONFIG names, in a namespace of their own
	@exec $(PY) -m tools.cluster test $(ARGS)

drill: install ## the disaster drill: back up, lose everything, restore, prove what is back and what must not be
	@exec $(BIN)/lykta drill $(ARGS)

bench: install-dev ## the benchmarks of bench/ beside their peers (BENCH=p01_record runs one; ARGS="--short" is quick)
	@set -e; for name in $(or $(BENCH),$(basename $(notdir $(wildcard bench/p*.py)))); do \
	  echo "== $$name"; $(PY) -m bench.$$name $(ARGS); done

clean: ## remove .venv, caches and the state of `make run`
	rm -rf .venv .state .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .grimp_cache uv.lock
	find libs services tests tools bench -name __pycache__ -type d -prune -exec rm -rf {} +
