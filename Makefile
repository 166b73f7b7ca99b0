# `make run` and `make test` need Python 3.11 to 3.13, make and a C compiler; they set up .venv by themselves.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

DOCS_READY := $(VENV)/.docs-ready

.PHONY: install run test test-gpu test-nodes bench bench-gpu ui docs lint format clean

install: $(READY)  ## .venv alone

run: $(READY)  ## all stages on the built-in corpus
	$(BIN)/echopair run

# One thread for each process, since there are more processes than cores. Passive: the threads of a sweep's trial, which
# sets their number itself, do not spin on the cores that the others need.
# Files with the longest tests come first, so that all processes end at about the same time.
test: $(READY)  ## the tests, in three processes, since tests of sweeps wait for other processes
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive $(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

test-gpu: $(READY)  ## the tests that need a CUDA GPU
	$(BIN)/python -m pytest -m cuda

test-nodes: $(READY)  ## sweeps on several nodes of Ray; on a quiet machine
	$(BIN)/python -m pytest -m nodes

bench: $(READY)  ## time and memory beside references, and how they grow, into build/benchmarks
	$(BIN)/python -m tests.benchmarks.suite

bench-gpu: $(READY)  ## the same on a GPU
	$(BIN)/python -m tests.benchmarks.suite --device cuda

ui: $(READY)  ## the MLflow UI on the runs below ./work
	$(BIN)/echopair ui

docs: $(DOCS_READY)  ## the documentation, into build/docs; needs no network once its packages are installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet --config-file docs/mkdocs/mkdocs.yml
	@echo "Documentation: build/docs/index.html"

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if (3, 11) <= v[:2] <= (3, 13) else f"echopair needs Python 3.11 to 3.13, and $(PYTHON) is {v[0]}.{v[1]}; try make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV): about 5 GB, most of it torch with its CUDA libraries; some minutes"
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --constraint constraints.txt --editable '.[test,lint]'
	@touch $(READY)

$(DOCS_READY): $(READY)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --constraint constraints.txt --editable '.[docs]'
	@touch $(DOCS_READY)

clean:
	rm -rf $(VENV) work build *.egg-info
