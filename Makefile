# Every target is idempotent. `make` alone shows what there is.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
NAME ?=
PHASES ?=
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help venv lock outdated check lint types docs test test-full phase bench lab lab-status lab-down lab-clean lab-logs demo demo-down kubectl

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-14s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

venv: ## the Python environment, from pinned and hashed requirements
	@$(PYTHON) .ci/environment.py

lock: ## write requirements.txt and requirements-dev.txt from the .in files (ARGS="--upgrade-package NAME")
	uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-annotate $(ARGS) requirements.in -o requirements.txt
	uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-annotate $(ARGS) requirements-dev.in -o requirements-dev.txt

outdated: venv ## each pinned version with the newest that the registries serve: a report (ARGS=--json)
	@$(PY) -m lab outdated $(ARGS)

check: venv lint types ## types and lint

lint:
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/shellcheck -x .ci/run $$(git ls-files '*.sh')

types:
	$(VENV)/bin/mypy lab q8s_infra hostscripts cloudinit/guest .ci/phases.py .ci/environment.py

docs: venv ## write the configuration reference and the page of versions
	$(PY) -m q8s_infra reference > docs/configuration.md
	$(PY) -m q8s_infra reference --versions > docs/versions.md

test: ## all tests that fit a small machine, fast ones first
	@$(PYTHON) .ci/phases.py $(PHASES)

test-full: ## the tests that take long, too
	@$(PYTHON) .ci/phases.py --full $(PHASES)

phase: ## one phase of the tests: make phase NAME=unit
	@$(PYTHON) .ci/phases.py $(PHASES) $(NAME)

lab: venv ## an OpenStack on this machine
	$(PY) -m lab up

lab-status: venv ## what runs
	$(PY) -m lab status

lab-down: venv ## stop all that the lab started
	$(PY) -m lab down

lab-clean: venv ## drop from the cache what no current artifact names
	$(PY) -m lab clean

lab-logs: venv ## the log of one service: make lab-logs NAME=nova-compute
	$(PY) -m lab logs $(NAME)

bench: lab ## how a preview grows, how fast a worker becomes a node: ratios of one run; the lab's own times (COLD=--cold)
	$(PY) -m lab.scale
	$(PY) -m lab enter $(PY) -m lab.bench
	$(PY) -m lab.times $(COLD)

demo: lab ## the main job: a cluster of emulated nodes in the lab, with pods on them
	$(PY) -m lab enter $(PY) -m lab.demo up

demo-down: venv ## take the demo's cluster away
	$(PY) -m lab enter $(PY) -m lab.demo down

kubectl: venv ## kubectl on the demo's cluster: make kubectl ARGS="get nodes"
	@$(PY) -m lab enter $(PY) -m lab.demo kubectl $(ARGS)
