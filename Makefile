# `make demo`, `make test` and `make docs` set up .venv by themselves. PYTHON=python3.12 picks the interpreter it is made with.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.installed
DOCS_READY := $(VENV)/.installed-docs

unexport PYTHONPATH PYTHONHOME # only what is in .venv counts

.PHONY: demo app test lint examples docs dist-check clean

demo: $(READY)
	@$(BIN)/python examples/quickstart.py

# The page, in the browser; `make app PORT=8000`. gradio takes no pillow from 13 on: .venv then has an earlier one.
PORT ?= 7860
app: $(VENV)/.app
	@$(BIN)/python -m flowedit app --port $(PORT)

$(VENV)/.app: $(READY)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --editable '.[app]'
	@touch $@

# pytest comes last, so that its closing line is the last one printed.
test: lint examples
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal

lint: $(READY)
	$(BIN)/python -m ruff check .
	$(BIN)/python -m mypy

examples: $(READY)
	set -e; for example in examples/*.py; do echo $$example; $(BIN)/python $$example; done
	$(BIN)/python -c "import runpy, sys; [(print(path), runpy.run_path(path)) for path in sys.argv[1:]]" examples/notebooks/*.py

# Pages, their pictures and the notebooks are made anew, by the code as it is; a warning is an error, and so is a link
# within the site that leads nowhere.
SITE := out/docs
docs: $(DOCS_READY)
	rm -rf $(SITE)
	$(BIN)/python -m sphinx -q -W --keep-going -d $(SITE)/doctrees docs $(SITE)/html
	$(BIN)/python docs/check_site.py $(SITE)/html
	@echo "Open $(SITE)/html/index.html"

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

$(DOCS_READY): $(READY)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --editable '.[docs]'
	@touch $@
