# Every target sets up .venv by itself; repeated set-up is quick.

PYTHON ?= $(or $(shell command -v python3.11),python3)
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints-cpu.txt --editable
PARALLEL := --numprocesses auto --maxprocesses 8 --dist worksteal

.DEFAULT_GOAL := help
.PHONY: help demo test test-fast test-long coverage lint format images clean

help:  ## Show this list.
	@sed -n 's/^\([a-z-]*\): .*## /\1\t/p' $(MAKEFILE_LIST)

demo: .venv/.installed  ## Draw the poses in the images and the video of samples/.
	$(BIN)/e2pose predict samples/ --output out/demo
	@echo "Results are in out/demo."

test: lint  ## Run all checks and tests, as continuous integration does.
	$(BIN)/pytest $(PARALLEL)

test-fast: .venv/.installed-dev  ## Run the unit tests that are not slow.
	$(BIN)/pytest $(PARALLEL) -m "not slow and not long" tests/unit

test-long: .venv/.installed-dev  ## Run the tests that take many minutes: 20,000 frames, 20 random signals.
	$(BIN)/pytest -m long

coverage: .venv/.installed-dev  ## Run the tests and report the lines that they do not execute.
	$(BIN)/pytest $(PARALLEL) --cov --cov-report=term --cov-report=html:out/coverage

lint: .venv/.installed-dev  ## Check format, style, types and import rules.
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/.installed-dev  ## Format the code.
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

images: .venv/.installed  ## Draw the image of the README.
	mkdir -p docs/images
	$(BIN)/python examples/grid.py docs/images/samples.jpg 'samples/*.jpg'

clean:  ## Remove the environment and all generated files.
	rm -rf .venv out build dist .coverage* .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

$(BIN)/python:
	$(PYTHON) -m venv .venv

.venv/.installed: pyproject.toml constraints-cpu.txt | $(BIN)/python
	$(INSTALL) .
	touch $@

.venv/.installed-dev: pyproject.toml constraints-cpu.txt | $(BIN)/python
	$(INSTALL) '.[dev]'
	touch $@ .venv/.installed
