# `make demo` and `make test` set up .venv by themselves. PYTHON=python3.12 picks the interpreter it is made with.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.installed

unexport PYTHONPATH PYTHONHOME # only what is in .venv counts

.PHONY: demo test lint examples dist-check clean

demo: $(READY)
	@$(BIN)/python examples/quickstart.py

# pytest comes last, so that its closing line is the last one printed.
test: lint examples
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

lint: $(READY)
	$(BIN)/python -m ruff check .
	$(BIN)/python -m mypy

examples: $(READY)
	set -e; for example in examples/*.py; do echo $$example; $(BIN)/python $$example; done

# Not part of `test`: it downloads torch for each of PYTHONS, the oldest and the newest supported.
PYTHONS ?= $(PYTHON)
dist-check:
	$(PYTHON) .ci/dist_check.py $(PYTHONS)

clean:
	rm -rf $(VENV) out build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache

# The install is editable: changed source counts at once, changed dependencies on the next `make`.
$(READY): pyproject.toml setup.py
	@$(PYTHON) -c 'import sys; sys.exit("flowedit: Python must be 3.10 or newer; got %d.%d (try: make PYTHON=python3.12)" % sys.version_info[:2] if sys.version_info < (3, 10) else 0)'
	@echo "Setting up $(VENV), once: a few minutes and, on Linux, 6 GB of disk, most of both for torch."
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --editable '.[dev]'
	@touch $@
