# Everything works from a clean clone with Python 3.11+, git and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: install check test demo bench faults docs lock clean
install: $(STAMP)

$(STAMP): requirements.lock deploy/installer.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r deploy/installer.lock
	$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	touch $(STAMP)

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m docs.check

# two processes, since tests with servers mostly wait: tests/conftest.py says which test goes where
test: install
	$(BIN)/python -m pytest -q --numprocesses=2 --dist=loadscope

faults: install
	$(BIN)/python -m pytest -q tests/faults tests/integration/test_delivery.py --fault-rounds=100 --timeout=7200

demo: install
	$(BIN)/metal demo

bench: install
	$(BIN)/metal bench

# what is written from code: the schema of task files, the catalogue of components, the list of licences
docs: install
	$(BIN)/python -m control_api.composition
	$(BIN)/python -m docs.catalogue
	$(BIN)/python -m docs.licences

# image.lock: those of requirements.lock that the services need; installer.lock: what installs and builds
LOCK := $(BIN)/uv pip compile --quiet --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --universal \
  --python-version 3.11
lock:
	$(LOCK) --all-extras pyproject.toml deploy/build.txt -o requirements.lock
	$(LOCK) --constraint requirements.lock pyproject.toml -o deploy/image.lock
	$(LOCK) --constraint requirements.lock deploy/installer.txt deploy/build.txt -o deploy/installer.lock

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .hypothesis
