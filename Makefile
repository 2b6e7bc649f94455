# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors

# Everything happens inside this checkout: the environment in .venv, Airflow's home in .airflow.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt
export PIP_CONSTRAINT :=
# Worker processes of the tests, one more than cores of a small machine: the tests of the shared Airflow wait a lot.
WORKERS ?= 3
PARALLEL := --numprocesses $(WORKERS) --no-loadscope-reorder

.PHONY: help demo ui test test-one test-fast test-model test-crash test-compat test-pages test-servers test-receivers test-conformance fuzz bench format lint docs screenshots clean

help:
	@echo "make demo   register a service hook and deliver two events, for real, on embedded defaults"
	@echo "make ui     open the pages of deliveries in a local Airflow, with deliveries of every outcome"
	@echo "make test   run all tests except the long crash suites"
	@echo "make test-one T=tests/…::name  run one test, one file or one folder"
	@echo "make test-fast     run the tests that start no Airflow process"
	@echo "make test-model    explore every interleaving of the processes of a delivery, with crashes and lost answers"
	@echo "make test-crash    run the crash suites: kill a real Airflow at every point of a delivery, some 800 times"
	@echo "make test-compat   run the whole test suite on Airflow 3.1.8, 3.2.2, 3.3.2 and 3.4.0b2, each in an environment in this checkout"
	@echo "make test-pages    open the pages of a real Airflow in Chromium (installs it from Debian)"
	@echo "make test-servers  send streams to real servers that are reloaded and restarted (installs them from Debian)"
	@echo "make test-receivers  run the programs of the receiver guide in Node.js, Go and Ruby (installs them from Debian)"
	@echo "make test-conformance  have the libraries of npm verify deliveries (needs Node.js 18 and npm)"
	@echo "make bench  measure bulk delivery against the usual alternatives (needs nginx, wrk and Go)"
	@echo "make fuzz   look for input that breaks a promise, for SECONDS (600)"
	@echo "make format fix what ruff can fix, and format the code"
	@echo "make lint   ruff, mypy, import-linter, bandit, codespell, the check of the language, and pip check"
	@echo "make docs   write the generated tables of the docs again, and build the site in build/site"
	@echo "make screenshots  take the pictures of the docs again, from a real Airflow (needs Chromium and Graphviz)"
	@echo "make clean  remove the environment and Airflow's home from this checkout"

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
		|| { echo "Python 3.10 or later is needed; say which: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)"; exit 1; }
	@echo "Making the environment in $(VENV) (once)"
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.installed: $(VENV)/.python pyproject.toml constraints.txt
	@echo "Installing the provider and Airflow (once, a minute or two)"
	@$(PIP) --editable '.[sentry]'
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@echo "Installing what tests and checks need (once)"
	@$(PIP) --editable '.[sentry,dev]'
	@touch $@

demo: $(VENV)/.installed
	@$(BIN)/python -m airflow_provider_hooks.sandbox.demo

ui: $(VENV)/.installed
	@exec $(BIN)/python -m airflow_provider_hooks.sandbox.ui

test: $(VENV)/.installed-dev
	@$(BIN)/python -m pytest $(PARALLEL) $(PYTEST_ARGUMENTS)

test-one: $(VENV)/.installed-dev
	@test -n "$(T)" || { echo "Name a test: make test-one T=tests/signing/test_signatures.py"; exit 2; }
	@$(BIN)/python -m pytest "$(T)" $(PYTEST_ARGUMENTS)

test-fast: $(VENV)/.installed-dev
	@$(BIN)/python -m pytest $(PARALLEL) -m "not system and not crash" $(PYTEST_ARGUMENTS)

test-model: $(VENV)/.installed-dev
	@AIRFLOW_HOME=$(CURDIR)/.airflow/model $(BIN)/python -m tests.model

test-crash: $(VENV)/.installed-dev
	@$(BIN)/python -m pytest -s --timeout 3600 -m crash $(PYTEST_ARGUMENTS)

# The other versions of Airflow, each with its constraints and its environment. Airflow 3.1 needs Python 3.13 or earlier,
# Airflow 3.4 Python 3.11 or later.
COMPAT := 3.1 3.2 3.4
COMPAT_VENVS := $(COMPAT:%=.venv-airflow-%)

$(COMPAT_VENVS:%=%/.installed): .venv-airflow-%/.installed: $(VENV)/.python pyproject.toml constraints-airflow-%.txt
	@echo "Installing the provider and Airflow $* in $(@D) (once, a minute or two)"
	@$(PYTHON) -m venv $(@D)
	@$(@D)/bin/python -m pip --disable-pip-version-check install --quiet --constraint constraints-airflow-$*.txt \
		--editable '.[sentry,dev]'
	@touch $@

.PHONY: $(COMPAT:%=test-compat-%)
$(COMPAT:%=test-compat-%): test-compat-%: .venv-airflow-%/.installed
	@echo "Testing on Airflow $*"
	@$(<D)/bin/python -m pytest $(PARALLEL) $(PYTEST_ARGUMENTS)

test-compat: $(COMPAT:%=test-compat-%) test

SERVER_PROGRAMS := nginx haproxy apache2 caddy node
SERVER_PACKAGES := nginx haproxy apache2 caddy nodejs
SUDO = $(shell [ "$$(id -u)" = 0 ] || echo sudo)

# The servers that the packages start are not used: the tests start their own, as the current user.
test-servers: $(VENV)/.installed-dev
	@if PATH="$$PATH:/usr/sbin" which $(SERVER_PROGRAMS) >/dev/null; then :; \
	elif command -v apt-get >/dev/null; then \
		$(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends $(SERVER_PACKAGES); \
	else echo "No apt-get here: servers that are not installed are skipped"; fi
	@$(BIN)/python -m pytest -s tests/real_servers $(PYTEST_ARGUMENTS)

RECEIVER_PROGRAMS := node go ruby
RECEIVER_PACKAGES := nodejs golang-go ruby

test-receivers: $(VENV)/.installed-dev
	@if which $(RECEIVER_PROGRAMS) >/dev/null; then :; \
	elif command -v apt-get >/dev/null; then \
		$(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends $(RECEIVER_PACKAGES); \
	else echo "No apt-get here: install Node.js, Go and Ruby, and run this again"; exit 1; fi
	@$(BIN)/python -m pytest -m '' tests/receivers $(PYTEST_ARGUMENTS)

# The auth manager with a role for each Dag has an environment to itself: it needs an older python-dateutil.
FAB_VENV := .venv-fab

$(FAB_VENV)/.installed: $(VENV)/.python pyproject.toml constraints.txt
	@echo "Installing Airflow with the FAB auth manager in $(@D) (once, a minute or two)"
	@$(PYTHON) -m venv $(@D)
	@grep --invert-match '^python-dateutil==' constraints.txt >$(@D)/constraints.txt
	@$(@D)/bin/python -m pip --disable-pip-version-check install --quiet --constraint $(@D)/constraints.txt \
		--editable . apache-airflow-providers-fab
	@touch $@

test-pages: $(VENV)/.installed-dev $(FAB_VENV)/.installed
	@if command -v chromium >/dev/null; then :; \
	elif command -v apt-get >/dev/null; then \
		$(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends chromium; \
	else echo "No apt-get here: install Chromium, and run this again"; exit 1; fi
	@$(BIN)/python -m pytest -m browser tests/pages $(PYTEST_ARGUMENTS)

# The libraries are installed into a temporary folder.
test-conformance: $(VENV)/.installed-dev
	@$(BIN)/python -m tests.conformance.run

fuzz: $(VENV)/.installed-dev
	@$(BIN)/python -m tests.security.fuzz --seconds $(or $(SECONDS),600)

$(VENV)/.installed-bench: $(VENV)/.installed-dev
	@echo "Installing what the benchmark compares with (once)"
	@$(PIP) --editable '.[sentry,dev,bench]'
	@touch $@

bench: $(VENV)/.installed-bench
	@$(BIN)/python benchmarks/bench.py $(BENCH_ARGUMENTS)

# Ruff has the same check (S608), with its exceptions in pyproject.toml.
RUFF_HAS := B608

format: $(VENV)/.installed-dev
	@$(BIN)/ruff check --fix-only .
	@$(BIN)/ruff format .

lint: $(VENV)/.installed-dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/mypy tests/typing/public_api.py
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/bandit --quiet --recursive --severity-level medium --skip $(RUFF_HAS) airflow_provider_hooks dags
	@$(BIN)/codespell
	@$(BIN)/python -m tests.docs.language
	@$(BIN)/python -m pip --disable-pip-version-check check

screenshots: $(VENV)/.installed-dev
	@$(BIN)/python docs/screenshots.py

$(VENV)/.installed-docs: $(VENV)/.installed-dev
	@echo "Installing what makes the site of the docs (once)"
	@$(PIP) --editable '.[sentry,dev,docs]'
	@touch $@

docs: $(VENV)/.installed-docs
	@$(BIN)/python docs/generate.py
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean:
	rm -rf $(VENV) $(COMPAT_VENVS) $(FAB_VENV) .airflow
