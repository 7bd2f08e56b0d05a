# Everyday commands. NAME picks notebooks by the beginning of their names: make store NAME=04
PYTHON ?= .venv/bin/python
NAME ?=

.PHONY: help setup test test-fast lint format notebooks store cells results site bench crash-test environments half-precision other-device

help:  ## show this list
	@sed -n 's/^\([a-z-]*\):  *## /\1\t/p' Makefile | expand -t 18

setup:  ## create .venv with everything that notebooks and tests need
	python3 -m venv .venv && .venv/bin/pip install -q -r requirements.txt -r tests/requirements.txt

test:  ## run all tests
	$(PYTHON) -m pytest -n 2 tests

test-fast:  ## run the tests that need no browser and run no whole notebook
	$(PYTHON) -m pytest -n 2 tests --ignore tests/test_browser.py --ignore tests/test_site.py -k "not runs_without_a_browser"

lint:  ## check format and style
	$(PYTHON) -m ruff format --check . && $(PYTHON) -m ruff check .

format:  ## format code and notebooks
	$(PYTHON) -m ruff format .

notebooks:  ## test notebooks: form, links, exercises, a headless run
	$(PYTHON) -m pytest tests/test_notebooks.py tests/test_exercises.py -k "$(subst $() $(), or ,$(strip $(NAME)))"

store:  ## run notebooks and store their outputs
	$(PYTHON) -m tests.authoring.store_notebooks $(NAME)

cells:  ## update what all notebooks share (badges, setup, navigation), without running them
	$(PYTHON) -m tests.authoring.store_notebooks --no-run $(NAME)

results:  ## write README's table of results from data/results/
	$(PYTHON) -m tests.authoring.results_table

site:  ## build the web edition in runs/site/ from the stored outputs
	$(PYTHON) -m tests.authoring.site

bench:  ## time the engine beside other ways to do the same
	$(PYTHON) -m tests.bench

crash-test:  ## kill sweeps at random moments and compare their tables with an undisturbed one
	$(PYTHON) -m tests.authoring.crash_test --kills 50

environments:  ## run all notebooks with the oldest, middle, Colab's and the newest admitted versions
	for each in oldest middle colab newest; do $(PYTHON) -m tests.authoring.environments $$each || exit 1; done

half-precision:  ## run all notebooks with every model in bfloat16
	$(PYTHON) -m tests.authoring.environments this --dtype bfloat16

other-device:  ## run all notebooks on a simulated second device
	$(PYTHON) -m tests.other_device
