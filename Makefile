# `make` lists what there is. Set-up is incremental: it runs again only when pyproject.toml or constraints.txt changed.
SPACE ?= search_spaces/jko.yaml
SET ?= digits
PYTHON ?= python3
# Files of tests at once: one more than two cores have, since those of several nodes wait.
JOBS ?= 3
SHELL := bash
.SHELLFLAGS := -o pipefail -c
BIN := .venv/bin
STAMP := .venv/.set-up

export OMP_NUM_THREADS = 1
export MLFLOW_DISABLE_TELEMETRY = true
export DO_NOT_TRACK = true
export RAY_USAGE_STATS_ENABLED = 0
# Without compiled bytecode every start of a worker costs seconds.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup study reference report ui test test-fast mutants faults bench lint docs clean
.DEFAULT_GOAL := help

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "make %-10s %s\n", $$1, $$2}'

setup: $(STAMP)  ## install everything into .venv (2 to 4 minutes, 2.8 GB; nothing when it is up to date)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed; set PYTHON=...")'
	@echo "Setting up .venv: ray, torch, optuna, mlflow and the rest (2 to 4 minutes, 2.8 GB) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --upgrade pip  # finds twice as fast
	@$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e ".[dev,docs,images]" \
	    2> >(grep -v "^WARNING: Location" >&2) | { n=0; while read -r word rest; do case "$$word $$rest" in \
	        Collecting*) n=$$((n + 1)); if ((n % 25 == 0)); then echo "  $$n packages found"; fi;; \
	        "Installing collected"*) echo "  $$n packages fetched; unpacking them";; esac; done; }
	@$(BIN)/python -m pip check
	@touch $(STAMP)
	@echo "Set up."

study: $(STAMP)  ## run or continue the default study (SPACE=search_spaces/jko.yaml) and write its report
	$(BIN)/python -m study.launch --space $(SPACE)
	$(BIN)/python analysis/report.py --show-in-mlflow

REFERENCE = reference$(if $(filter rings moons gaussians%,$(SET)),-plane)

reference: $(STAMP)  ## run or continue the reference study of a data set (SET=digits), compare it with the committed one
	$(BIN)/python -m study.launch --space search_spaces/$(REFERENCE).yaml --set data=$(SET) --set study=reference-$(SET)
	$(BIN)/python analysis/report.py --study reference-$(SET)
	$(BIN)/python -m benchmarks.reproduced docs/reports/reference-$(SET) reports/reference-$(SET)

report: $(STAMP)  ## tables, figures and one HTML page of the newest study
	$(BIN)/python analysis/report.py

ui: $(STAMP)  ## the MLflow pages of all studies, on http://127.0.0.1:5000
	$(BIN)/mlflow ui --host 127.0.0.1

test: $(STAMP)  ## all tests, the slow ones (Ray, servers) included
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder

test-fast: $(STAMP)  ## most tests, without those that take long
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder -m "not slow"

mutants: $(STAMP)  ## plant each of the listed faults in a copy of the code; the test named for it must fail (10 minutes, idle)
	$(BIN)/python -m tests.mutants

faults: $(STAMP)  ## kill the driver of a tiny study at 20 moments, finish it each time, print the table (15 minutes)
	$(BIN)/python -m tests.faults.kills 20

bench: $(STAMP)  ## an update of ours beside what people would use instead (6 minutes, idle; WRITE=--write keeps the figures)
	$(BIN)/python -m benchmarks.speed $(WRITE)

lint: $(STAMP)  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/mypy

docs: $(STAMP)  ## the pages of docs/ as a site, site/index.html; a warning is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

clean:  ## remove .venv, site and caches; studies (runs/, mlflow.db, mlruns/) stay
	rm -rf .venv site .mypy_cache .ruff_cache .pytest_cache *.egg-info
