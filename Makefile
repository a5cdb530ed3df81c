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
PIP := $(BIN)/python -m pip install --disable-pip-version-check
SAID = > .venv/pip.log 2>&1 || { tail -n 25 .venv/pip.log >&2; echo "(all of it: .venv/pip.log)" >&2; exit 1; }

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

setup: $(STAMP)  ## install everything into .venv (1 to 3 minutes, 2.8 GB, with CUDA more; nothing when it is up to date)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed; set PYTHON=...")'
	@echo "Setting up .venv: ray, torch, optuna, mlflow and the rest (1 to 3 minutes, 2.8 GB, with CUDA more) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(PIP) -c constraints.txt --upgrade pip $(SAID)  # which finds twice as fast
	@# pip unpacks on one processor, so several do at once; what fails here the last one does, or says why it cannot.
	@# The packages of mlflow have files in common, and one whose pip was killed is there without its RECORD.
	@sed '/extra `cluster`/,$$d; /^#/d; /^pip==/d; /^mlflow/d' constraints.txt | sort -r | \
	    xargs -n 20 -P "$$(getconf _NPROCESSORS_ONLN)" $(SHELL) -c \
	    '$(PIP) --quiet --retries 0 --no-deps "$$@" && echo "  $$# packages more"' pip 2> /dev/null || true
	@for one in .venv/lib/python3*/site-packages/*.dist-info; do test -f "$$one/RECORD" || rm -rf "$$one"; done
	@echo "  and what is left ..."
	@$(PIP) -c constraints.txt -e ".[dev,docs,images]" $(SAID)
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

mutants: $(STAMP)  ## plant each of the listed faults in a copy of the code; the test named for it must fail (10 minutes)
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
