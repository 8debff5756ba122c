# `make book` and `make test` set up what they need: Python 3.11 or later and make are enough. See also `make help`.

PYTHON  ?= python3
PROFILE ?= course
JOBS    ?= 2
BIN     := .venv/bin
TORCH   := $(shell grep '^torch==' constraints.txt)

.DEFAULT_GOAL := help
.PHONY: help setup book preview test lint format lab learner lab-learner course-zip slides pdf teaching bench full strip clean

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "make %-11s %s\n", $$1, $$2 }'

# torch first and alone: by its exact version; the rest then finds it there
.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "denseseg needs Python 3.11 or later; name one: make PYTHON=python3.12 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet $(TORCH)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[book,test]"
	touch $@

setup: .venv/installed  ## make .venv with the package and all tools, once

book: setup  ## run every notebook in PROFILE (smoke, course, full) and build the book
	$(BIN)/python -m denseseg.course.notebooks --profile $(PROFILE) --jobs $(JOBS)
	$(BIN)/python -m denseseg.course.staging --profile $(PROFILE)

preview: setup  ## run the notebooks in ONLY ("03 05") and build a book of what has been run so far
	@test -n "$(ONLY)" || { echo 'say which notebooks: make preview ONLY="03 05"'; exit 1; }
	$(BIN)/python -m denseseg.course.notebooks --profile $(PROFILE) --jobs $(JOBS) --only $(ONLY)
	$(BIN)/python -m denseseg.course.staging --profile $(PROFILE) --partial

test: lint  ## linters, types, unit tests, every notebook in the smoke profile, the book; builds in build/test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist worksteal

lint: setup  ## ruff and mypy
	$(BIN)/ruff check
	$(BIN)/ruff format --check src tests data_scripts benchmarks notebooks
	$(BIN)/mypy

format: setup  ## let ruff mend layout and imports
	$(BIN)/ruff check --fix
	$(BIN)/ruff format src tests data_scripts benchmarks notebooks

lab: setup  ## open the notebooks, with their solutions, in JupyterLab
	cd notebooks && ../$(BIN)/jupyter lab

learner: setup  ## write the notebooks without solutions to learner, but over none that you changed (FORCE=1: over those, too)
	$(BIN)/python -m denseseg.course.learner $(if $(FORCE),--force)

lab-learner: learner  ## open the notebooks without solutions in JupyterLab
	cd learner && ../$(BIN)/jupyter lab

course-zip: setup  ## denseseg-course.zip for students: learner edition, package, trained network, how to start, a test of the installation
	$(BIN)/python -m denseseg.course.handout

slides: setup  ## slides of the chapters that were run in PROFILE, in build/slides
	$(BIN)/python -m denseseg.course.slides --profile $(PROFILE)

pdf: setup  ## the built book as build/denseseg-book.pdf, printed by Chromium or Chrome (or CHROMIUM=/path/to/it)
	$(if $(CHROMIUM),CHROMIUM="$(CHROMIUM)") $(BIN)/python -m denseseg.course.printing

teaching: setup  ## worksheets and exam with their keys, to be printed, from teaching/ to build/teaching
	$(BIN)/python -m denseseg.course.teaching

bench: setup  ## speed and memory, side by side
	@set -e; for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python $$script; done

NOTEBOOK ?= 11
full: setup  ## reproduce: NOTEBOOK (10, 11, or 13 for wrists; 11 by default) in the full profile on the data-set folder DATA; records go to results/
	@test -d "$$DATA" || { echo 'say where the data set lies: make full DATA=data/jsrt'; exit 2; }
	data="$$(cd "$$DATA" && pwd)" && $(BIN)/python -m denseseg.course.notebooks --profile full --only $(NOTEBOOK) -p data "$$data" -p results results --jobs 1

strip: setup  ## remove outputs from the notebooks, as they are committed
	$(BIN)/nbstripout --extra-keys "metadata.language_info metadata.widgets" notebooks/*.ipynb

clean:  ## remove what was built (not .venv, runs, data or learner)
	rm -rf build .pytest_cache .mypy_cache .ruff_cache .hypothesis
