# Set-up and everyday commands. Everything runs in .venv, made from the hashed lock.
.DEFAULT_GOAL := help
.PHONY: help setup demo plan examples test check format dashboard lock clean

PYTHON ?= python3
CORES ?= $(shell getconf _NPROCESSORS_ONLN)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# All but gpu: PyTorch is gigabytes, and only a card needs it.
EXTRAS := workflow clusters examples dev
CONFIG ?= config/config.yaml

# Our own processes run in the environment and nowhere else.
export PATH := $(CURDIR)/$(BIN):$(PATH)
unexport PYTHONPATH PYTHONHOME

help: ## List the commands.
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

setup: $(READY) ## Make the environment.

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed; name one with: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	$(BIN)/python -m nmfcore.warm_up
	@touch $@

demo: setup ## Run the default sweep (ALL/AML leukaemia) and say where to look.
	snakemake --cores $(CORES)

plan: setup ## Say what a sweep will take before it runs (CONFIG=mine.yaml CORES=8).
	snakemake --quiet all --cores 1 --configfile $(CONFIG) prepare
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1 \
		python -m nmfcore.adapters.forecast $(CONFIG) --cores $(CORES)

examples: setup ## Run every example and renew the figures of its page.
	@for config in config/examples/*.yaml; do \
		name=$$(basename $$config .yaml); \
		snakemake --cores $(CORES) --configfile $$config || exit 1; \
		cp results/$$name/show/*.png docs/examples/images/$$name.png; \
	done

test: setup ## Run the tests.
	python -m pytest -n $(CORES) --dist loadfile

check: setup ## Lint, types, layers, formatting, licences.
	ruff check .
	ruff format --check .
	snakefmt --check Snakefile workflow
	mypy
	lint-imports
	python .ci/licences.py > /dev/null

format: setup ## Format everything.
	ruff check --fix .
	ruff format .
	snakefmt Snakefile workflow

dashboard: setup ## Start the MLflow dashboard on this machine.
	python -m nmfcore.adapters.tracking dashboard

lock: ## Renew requirements.lock from pyproject.toml (needs uv).
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-annotate --no-header $(EXTRAS:%=--extra %) pyproject.toml -o requirements.lock

clean: ## Remove the environment and caches; results stay.
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
