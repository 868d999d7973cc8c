# Everything a newcomer needs: `make demo` and `make test`. Each sets itself up; nothing outside this
# folder and the user's cache is changed, but that `make test` as root on Debian installs its packages.
# On Debian `make test` also builds a Kubernetes control plane into that cache, once (tests/setup/kubernetes.sh).

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed
# More than there are processors: they wait for brokers, engines and clusters most of the time.
WORKERS ?= 3
FUZZ_SECONDS ?= 60
# Compiled modules are kept: without them every start of a program compiles its sources anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test unit faults lint fmt types bench fuzz docs lock clean
.DEFAULT_GOAL := help

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

# Every package is the one in requirements.lock, compared by its digest.
$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; name it with PYTHON=..., for example: make demo PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	  { echo "$(PYTHON) cannot make a virtual environment; on Debian: apt-get install python3-venv"; exit 1; }
	@echo "installing into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

demo: $(STAMP) ## broker, orchestrator and three agents; specs move through the stages (KEEP=1 stays up)
	@$(BIN)/fleetbus demo $(if $(KEEP),--keep)

test: $(STAMP) ## all tests; on Debian as root it installs what they need, elsewhere it skips with the reason
	@bash tests/setup/kubernetes.sh & kubernetes=$$!; \
	  sh tests/setup/debian-packages.sh && bash tests/setup/docker-engine.sh && \
	    PYTHON=$(BIN)/python sh tests/setup/helm.sh; others=$$?; \
	  wait $$kubernetes && exit $$others
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup $(TESTS)

unit: $(STAMP) ## the tests of the core alone: seconds, nothing but Python
	@$(BIN)/python -m pytest -n $(WORKERS) tests/unit

faults: $(STAMP) ## the kill tests alone, at every place (half an hour)
	@FLEETBUS_THOROUGH=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup tests/faults
	@FLEETBUS_THOROUGH=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup tests/contract -k crash

lint: $(STAMP) ## style, types, import rules, generated files current
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m docs.generate --check

types: $(STAMP) ## the types alone
	@$(BIN)/mypy

fmt: $(STAMP) ## format and mend what can be mended
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

docs: $(STAMP) ## write the generated parts: topic table, access rules, lifecycle diagram, CLI manual
	@$(BIN)/python -m docs.generate

bench: $(STAMP) ## the figures of docs/performance.md, each beside its baseline (some minutes)
	@bash tests/setup/kubernetes.sh
	@$(BIN)/python -m bench

fuzz: $(STAMP) ## atheris on every reader of foreign input, FUZZ_SECONDS (60) each; what it finds is below var/fuzz
	@$(BIN)/python -m tests.fuzz.run --seconds $(FUZZ_SECONDS) $(HARNESS)

lock: ## resolve the dependencies anew (needs uv)
	uv pip compile pyproject.toml --all-extras --group dev --universal --generate-hashes --no-header -o requirements.lock

clean: ## remove what was installed here
	rm -rf $(VENV)
