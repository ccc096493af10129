# Every target is idempotent. `make` alone shows what there is.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
NAME ?=
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help venv lock check docs test test-full bench lab lab-status lab-down lab-logs demo demo-down kubectl

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

venv: $(VENV)/installed ## the Python environment, from pinned and hashed requirements

$(VENV)/installed: requirements.txt requirements-dev.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --require-hashes -r requirements.txt
	$(VENV)/bin/pip install --quiet --require-hashes -r requirements-dev.txt
	touch $@

lock: ## requirements.txt and requirements-dev.txt anew from the .in files
	uv pip compile --quiet --generate-hashes --python-version 3.11 --no-annotate requirements.in -o requirements.txt
	uv pip compile --quiet --generate-hashes --python-version 3.11 --no-annotate requirements-dev.in -o requirements-dev.txt

check: venv ## types and lint
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy lab q8s_infra
	$(VENV)/bin/shellcheck -x $$(git ls-files '*.sh')

docs: venv ## the configuration reference anew, from the models
	$(PY) -m q8s_infra reference > docs/configuration.md

test: check ## all tests that fit a small machine, fast ones first
	$(VENV)/bin/pytest tests/unit tests/program
	$(PY) -m lab tools
	$(VENV)/bin/pytest tests/schemas
	$(VENV)/bin/pytest tests/engine -m 'not full'
	$(VENV)/bin/pytest tests/plugins
	$(PY) -m lab up
	$(PY) -m lab enter $(VENV)/bin/pytest tests/lab -m 'not full'

test-full: test ## the lab-level tests that take long, too
	$(VENV)/bin/pytest tests/engine -m full
	$(VENV)/bin/pytest tests/lifecycle
	$(PY) -m lab enter $(VENV)/bin/pytest tests/lab -m full

lab: venv ## an OpenStack on this machine
	$(PY) -m lab up

lab-status: venv ## what runs
	$(PY) -m lab status

lab-down: venv ## stop all that the lab started
	$(PY) -m lab down

lab-logs: venv ## the log of one service: make lab-logs NAME=nova-compute
	$(PY) -m lab logs $(NAME)

bench: lab ## how a preview grows with the cluster, how fast a worker becomes a node: ratios of one run
	$(PY) -m lab.scale
	$(PY) -m lab enter $(PY) -m lab.bench

demo: lab ## the main job: a cluster of emulated nodes in the lab, with pods on them
	$(PY) -m lab enter $(PY) -m lab.demo up

demo-down: venv ## take the demo's cluster away
	$(PY) -m lab enter $(PY) -m lab.demo down

kubectl: venv ## kubectl on the demo's cluster: make kubectl ARGS="get nodes"
	@$(PY) -m lab enter $(PY) -m lab.demo kubectl $(ARGS)
