# Everything runs in .venv, made here from the lock (versions and hashes): nothing else is needed
# than Python 3.11 or newer and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help demo test unit e2e lint types imports schema docker-lint lock clean

help: ## what can be made
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or newer is needed; name one with: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { \
	  echo "$(PYTHON) has no venv module; on Debian: apt-get install python3-venv" >&2; exit 1; }

$(VENV)/demo.stamp: lock/demo.txt | $(BIN)/python
	@echo "installing the locked packages (once)"
	@$(PIP_INSTALL) --require-hashes -r lock/demo.txt
	@touch $@

$(VENV)/dev.stamp: lock/dev.txt pyproject.toml | $(BIN)/python
	@echo "installing the locked packages with the test tools (once)"
	@$(PIP_INSTALL) --require-hashes -r lock/dev.txt
	@$(PIP_INSTALL) --no-deps --no-build-isolation --no-index --editable .
	@touch $@ $(VENV)/demo.stamp

demo: $(VENV)/demo.stamp ## see the whole story; ONCE=1 ends after it with 0 or 1
	@$(BIN)/python -m sidecar demo $(if $(ONCE),--once)

test: lint types imports schema docker-lint unit ## all that CI runs

lint: $(VENV)/dev.stamp ## ruff and codespell
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/codespell sidecar tests config deploy README.md CHANGELOG.md Makefile

types: $(VENV)/dev.stamp ## mypy, strict
	@$(BIN)/mypy

imports: $(VENV)/dev.stamp ## the import rule
	@$(BIN)/lint-imports

docker-lint: $(VENV)/dev.stamp ## hadolint on the Dockerfile
	@$(BIN)/hadolint Dockerfile

lock: $(VENV)/dev.stamp ## write the lock anew from pyproject.toml
	@for env in run demo dev; do \
	  $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	    --no-emit-index-url --no-header --no-annotate $$([ $$env = run ] || echo --extra $$env) \
	    --upgrade pyproject.toml -o lock/$$env.txt; done

clean: ## remove the environment and the caches
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage*
