# Nothing here phones home.
export DO_NOT_TRACK := true
export PREFECT_SERVER_ANALYTICS_ENABLED := false
export PYTHON

.DEFAULT_GOAL := help
.PHONY: help setup demo deploy services test check lint clean

help:  ## List the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 16

setup:  ## Create .venv with every pinned package (done once; the other targets call it)
	@scripts/setup.sh

demo: setup  ## Run the whole benchmark on a small real data set
	.venv/bin/mae-bench run demo

deploy: setup  ## Create pool, slots and deployments on the Prefect server that is set
	.venv/bin/mae-bench deploy

services: setup  ## Run Postgres, MLflow, Prefect and a worker until Ctrl-C, without Docker
	.venv/bin/python scripts/services.py

test: setup  ## Run all tests
	.venv/bin/python scripts/test.py

check: lint  ## Check style and types, and run the tests that take a moment
	.venv/bin/python -m pytest -m "not slow"

lint: setup  ## Check style and types
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

clean:  ## Remove .venv and caches; keeps runs/
	rm -rf .venv .venv-setup.log *.egg-info build .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
