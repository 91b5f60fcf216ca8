# Everything that a machine with Python 3.11 or newer and make needs; the rest is fetched into ignored folders.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
ARGS ?=

.PHONY: setup demo test lint bench kafka lock clean

setup: $(READY)

$(READY): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

demo: $(READY)
	$(BIN)/capi demo $(ARGS)

# A file at a time in each of three processes with a broker each: most of a test is waiting for one.
test: $(READY)
	$(BIN)/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder $(ARGS)

lint: $(READY)
	$(BIN)/ruff format --check consumer tests
	$(BIN)/ruff check consumer tests
	$(BIN)/mypy consumer tests
	$(BIN)/lint-imports
	$(BIN)/codespell

bench: $(READY)
	$(BIN)/python -m tests.bench $(ARGS)

kafka: $(READY)
	$(BIN)/python -m consumer.local $(ARGS)

# Resolves anew from pyproject.toml; the lock holds hashes and no addresses.
lock:
	$(PYTHON) -m venv .cache/lock
	.cache/lock/bin/python -m pip install --quiet pip-tools
	.cache/lock/bin/pip-compile --quiet --generate-hashes --no-emit-index-url --no-emit-trusted-host \
	  --no-emit-find-links --no-emit-options --no-header --allow-unsafe --strip-extras \
	  --extra local --extra dev --output-file requirements.lock pyproject.toml

clean:
	rm -rf $(VENV) .cache .capi .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist bench.json
