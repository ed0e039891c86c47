# Two commands matter: `make book` and `make test`. `make help` lists the rest.
EDITION ?= phantom
PYTHON ?= python3
UV := .venv/bin/uv
SHELL := /bin/bash
# Where Python may not keep bytecode, each of the many processes compiles every import anew: up to three times slower.
export PYTHONDONTWRITEBYTECODE :=
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help env book test coverage test-faults browser environments bench repository archive lock clean

help:  ## list the commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

env: .venv/installed  ## install the locked environment into .venv

.venv/installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
	  || { echo "Python 3.11 to 3.13 is needed; this is $$($(PYTHON) --version). Try: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 2; }
	@echo "Installing the locked environment into .venv (once; torch is large)"
	@test -x $(UV) || { $(PYTHON) -m venv .venv && .venv/bin/python -m pip install -q --disable-pip-version-check uv==0.13.9; }
	@$(UV) pip install -q --python .venv/bin/python --require-hashes -r requirements.lock
	@$(UV) pip install -q --python .venv/bin/python --no-deps -e .
	@touch $@

book: env  ## run EDITION (default phantom) up to _build/html/index.html
	@.venv/bin/deepcovid reproduce --edition $(EDITION)

test: env  ## the tests, quick faults included
	@.venv/bin/python -m pytest -q -n 2 --dist worksteal

coverage: env  ## branch coverage of the library under the tests, subprocesses and notebooks included; keeps recorded/coverage.json
	@.venv/bin/python -m deepcovid_lib.coverage

test-faults: env  ## the slow faults: kills, full disks; RECORD=recorded/faults.json runs all and keeps the outcome
	@.venv/bin/python -m pytest -q -n 2 --dist loadfile tests/faults --faults $(if $(RECORD),--record-faults $(RECORD),-m slow_fault)

browser: env  ## every page of BOOK (default the last one built) of EDITION in a browser: light, dark, wide, phone
	@.venv/bin/python -m pytest -q tests/browser_checks.py --book $(or $(BOOK),_build/html) --run $(EDITION)

environments: env  ## every notebook where only the wheel is installed, on two versions of Python
	@.venv/bin/python tests/clean_environment.py

bench: env  ## measure speed and memory beside their targets; keeps recorded/benchmarks
	@.venv/bin/python -m benchmarks

repository: env  ## write the project's address everywhere: URL=https://host/owner/name, or URL= to unset
	@test "$(origin URL)" != undefined || { echo "Write: make repository URL=https://host/owner/name" >&2; exit 2; }
	@.venv/bin/python -m deepcovid_lib.address "$$URL"

archive: env  ## EDITION's public book, its results, wheel, sdist and their checksums in dist/
	@.venv/bin/deepcovid reproduce --edition $(EDITION) --audience public
	@$(UV) build -q --clear --out-dir dist
	@.venv/bin/python -m deepcovid_lib.archive --run $(EDITION)
	@.venv/bin/python -m deepcovid_lib.archive --verify dist

lock: env  ## resolve requirements.lock anew from pyproject.toml
	@$(UV) pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
	  --no-header --extra book --extra test pyproject.toml -o requirements.lock

clean:  ## remove the book, runs and caches (not .venv, not data/)
	@rm -rf _build results cache .snakemake .pytest_cache .ruff_cache .hypothesis
