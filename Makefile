# Every target does its own set-up in .venv; running it again is quick.

PYTHON ?= $(or $(shell command -v python3.11),python3)
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints-cpu.txt --editable

.DEFAULT_GOAL := help
.PHONY: help demo test test-long lint format images clean

help:  ## Show this list.
	@sed -n 's/^\([a-z-]*\): .*## /\1\t/p' $(MAKEFILE_LIST)

demo: .venv/.installed  ## Draw the poses in the pictures and the video of samples/.
	$(BIN)/e2pose predict samples/ --output out/demo
	@echo "Look into out/demo."

test: lint  ## Check everything, as continuous integration does.
	$(BIN)/pytest

test-long: .venv/.installed-dev  ## Check what takes many minutes: 20,000 frames, 20 random signals.
	$(BIN)/pytest -m long

lint: .venv/.installed-dev  ## Check format, style, types and who imports whom.
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/.installed-dev  ## Format the code.
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

images: .venv/.installed  ## Make the pictures of the readme.
	mkdir -p docs/images
	$(BIN)/python examples/grid.py docs/images/samples.jpg 'samples/*.jpg'

clean:  ## Remove the environment and everything that can be made again.
	rm -rf .venv out build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

$(BIN)/python:
	$(PYTHON) -m venv .venv

.venv/.installed: pyproject.toml constraints-cpu.txt | $(BIN)/python
	$(INSTALL) .
	touch $@

.venv/.installed-dev: pyproject.toml constraints-cpu.txt | $(BIN)/python
	$(INSTALL) '.[dev]'
	touch $@ .venv/.installed
