# make demo   reconstruct the example pictures with the bundled weights, and say which page to open
# make test   linters, type checker, tests
# Both make their own virtual environment first; a second call starts at once.

PYTHON ?= python3
VENV ?= .venv
TEST_VENV ?= .venv-test
WORKERS ?= 2
# A file's tests run in one process: it makes what they share, and compiles the kernels they need, once.
SPREAD := -n $(WORKERS) --dist loadfile

# One thread a process: on few cores, spinning OpenMP threads of several test workers slow each other down.
ONE_THREAD := OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1
BIN := $(TEST_VENV)/bin
# Where bytecode may not be kept, every process compiles all of torch again: seconds each, and tests start many.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-slow lint bench weights clean

demo: $(VENV)/.ready
	$(VENV)/bin/maquette reconstruct examples/pictures --out demo --force
	@echo "Open demo/index.html in a browser."

test: lint
	$(ONE_THREAD) $(BIN)/pytest $(SPREAD)

test-slow: $(TEST_VENV)/.ready
	$(ONE_THREAD) $(BIN)/pytest $(SPREAD) -m slow

lint: $(TEST_VENV)/.ready
	$(BIN)/ruff check --output-format concise .
	$(BIN)/ruff format --check .
	$(BIN)/pyrefly check --python-interpreter-path $(BIN)/python --output-format min-text

bench: $(TEST_VENV)/.ready
	$(BIN)/python benchmarks/run.py --out docs/benchmarks.md

weights: $(VENV)/.ready
	$(VENV)/bin/python -m maquette.weights

clean:
	rm -rf $(VENV) $(TEST_VENV) demo build dist .pytest_cache .ruff_cache .hypothesis

# A stamp is newer than what it was made from, or the environment is brought up to date. Bytecode is compiled at the
# first import instead of for every file of torch, which saves half of the time; what all tests import, by all cores
# (a file that fails to compile costs time only).
$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --disable-pip-version-check --no-compile -q -c constraints.txt torch
	$(VENV)/bin/pip install --disable-pip-version-check --no-compile -q -c constraints.txt -e .
	@touch $@

$(TEST_VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(TEST_VENV)
	$(BIN)/pip install --disable-pip-version-check --no-compile -q -c constraints.txt torch
	$(BIN)/pip install --disable-pip-version-check --no-compile -q -c constraints.txt -e ".[test]"
	@cd $(TEST_VENV)/lib/*/site-packages && $(abspath $(BIN))/python -m compileall -q -j 0 \
		-x '/tests/|/_inductor/|/distributed/' beartype numba numpy scipy torch || true
	@touch $@
