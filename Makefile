# Everything a newcomer needs: `make demo` and `make test`. Each target makes .venv first if it has to.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PIP := $(BIN)/python -m pip --disable-pip-version-check
COMMA := ,
EXTRAS ?= owner,server,cpu,tee,tui,web,langchain,llamaindex,mcp,dev
TORCH := torch==2.13.0
TORCH_FLAGS ?=
PYTEST_FLAGS ?= -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder
DEMO_FLAGS ?=

.PHONY: help install demo test lint fuzz test-ipfs node constraints proto docs format clean

help: ## Show this list.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: $(STAMP) ## Install what is missing, then run the whole flow on this machine.
	$(BIN)/coffer demo $(DEMO_FLAGS)

test: lint ## Formatting, lint, types, import arrows, generated code, then the test suite.
	$(BIN)/pytest $(PYTEST_FLAGS)

lint: $(STAMP) ## The checks of `make test` without the test suite.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	scripts/check_generated.sh

fuzz: $(STAMP) ## Fuzz every parser of foreign bytes, FUZZ_SECONDS (600) each.
	$(PIP) install -q -c constraints.txt -e '.[fuzz]'
	scripts/fuzz.sh

test-ipfs: $(STAMP) ## Start an IPFS node of its own; run the storage contract and the demo against it.
	scripts/test_ipfs.sh bash -euo pipefail -c \
	  '$(BIN)/pytest $(PYTEST_FLAGS) -m ipfs tests/contract; $(BIN)/coffer demo --ipfs "$$COFFER_TEST_IPFS" $(DEMO_FLAGS)'

docs: $(STAMP) ## Build the site of the documents, every link checked, in build/site.
	$(PIP) install -q -c constraints.txt -e '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

node: ## Install the Node example's packages, so that its tests run.
	npm install --no-audit --no-fund --prefix examples/node

format: $(STAMP) ## Format the code and repair what lint can repair.
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

proto: $(STAMP) ## Write the gRPC code anew from proto/.
	scripts/check_generated.sh --write

constraints: $(BIN)/python ## Resolve all dependencies anew and write constraints.txt.
	scripts/constraints.sh '$(EXTRAS),fuzz'

install: $(STAMP) ## Make .venv and install into it.

# torch goes first and alone, so that a slow or failing download is seen as what it is. Where pip is configured to find
# a CPU build, it takes that; elsewhere on Linux the default build brings NVIDIA's libraries along. TORCH_FLAGS helps:
# make install TORCH_FLAGS='--index-url <the CPU index that PyTorch documents>'
$(STAMP): pyproject.toml constraints.txt | $(BIN)/python
	$(if $(filter cpu gpu,$(subst $(COMMA), ,$(EXTRAS))),$(PIP) install $(TORCH_FLAGS) -c constraints.txt '$(TORCH)')
	$(PIP) install -c constraints.txt -e '.[$(EXTRAS)]'
	@touch $@

$(BIN)/python:
	@for python in $${PYTHON:-python3 python3.13 python3.12 python3.11}; do \
	  if "$$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; then \
	    echo "making $(VENV) with $$("$$python" --version)"; \
	    exec "$$python" -m venv $(VENV); \
	  fi; \
	done; \
	echo "Coffer needs Python 3.11, 3.12 or 3.13; install one, or name it: make PYTHON=/path/to/python3.12 demo" >&2; \
	exit 1

clean: ## Remove the environment, caches and builds.
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
