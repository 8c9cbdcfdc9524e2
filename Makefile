# make run is all it takes: it makes .venv here, installs into it and starts. Nothing is global.
# What runs is what the README and CI run; `make help` lists it.

SHELL := /bin/sh
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# The first of these that runs and is new enough; name another with PYTHON=...
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3 python3.14; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$p" && break; done)

define NEED_PYTHON
@test -n "$(PYTHON)" && \
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	echo "framefan: $(if $(PYTHON),$(PYTHON) does not run or is older than 3.11,no Python 3.11 or newer found)" >&2; \
	echo "  do:  install one (Debian, Ubuntu: apt-get install python3 python3-venv;" >&2; \
	echo "       macOS: brew install python), or name it: make PYTHON=/path/to/python3.12" >&2; \
	exit 3; }
endef

BIN := .venv/bin
# Hundreds of processes are started here: each reads its modules compiled, or spends a quarter of
# its start on compiling them again.
unexport PYTHONDONTWRITEBYTECODE
# Tests wait more than they compute: several at a time, but for those that assert rates. Those of a
# file that share a run stay together; measured code computes more.
FILES := -n 3 --dist loadfile
CASES := -n 3 --dist worksteal
MEASURED := -n 2 --dist loadfile
# Set up beside the tests that do not mind: it is for the last of them.
OTHER_OPENCV := $(if $(filter true,$(CI)),.venv-opencv4/.installed)
# pytest's exit code 5, no test in this part, is no failure where ARGS= chose some.
CHOSEN := { code=$$?; [ $$code -eq 5 ] && [ -n "$$ARGS" ] || exit $$code; }
COVERED := FRAMEFAN_TEST_SCALE=3 $(BIN)/coverage run -m pytest
SETUP := pyproject.toml .ci/setup.py

.PHONY: help install run test test-together test-opencv4 check format coverage chaos screenshots docs
.PHONY: bench prove-real clean

help: ## show this
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1|/p' $(MAKEFILE_LIST) | \
		awk -F'|' '{printf "  make %-14s %s\n", $$1, $$2}'
	@echo
	@echo '  make run SOURCE="front=rtsp://... yard.mp4" WORKERS=4 PREDICTOR=my.py:predict PORT=8765'
	@echo '  make run ARGS="--mode every --duration 60"     any flag of: .venv/bin/framefan --help'

install: .venv/.installed ## set up .venv here and install framefan into it

run: install ## set up, then run: SOURCE= WORKERS= PREDICTOR= PORT= ARGS=
	@set -f; exec $(BIN)/framefan run $${WORKERS:+--workers "$$WORKERS"} \
		$${PREDICTOR:+--predictor "$$PREDICTOR"} $${PORT:+--port "$$PORT"} $$ARGS $${SOURCE:+-- $$SOURCE}

test: .venv/.installed-test ## set up, then run all tests: ARGS="-k ring"
	@$(BIN)/python tests/system_packages.py
	$(BIN)/python -m pytest tests/process tests/browser -m alone $(ARGS) || $(CHOSEN)
	@$(MAKE) -j 2 test-together $(OTHER_OPENCV)
	$(BIN)/python -m pytest tests/unit $(CASES) $(ARGS) || $(CHOSEN)
ifeq ($(CI),true)
	@$(MAKE) test-opencv4
endif

test-together:
	$(BIN)/python -m pytest tests/process tests/browser -m "not alone" $(FILES) $(ARGS) || $(CHOSEN)

test-opencv4: .venv-opencv4/.installed ## a smaller set of the tests on the other OpenCV line
	@.venv-opencv4/bin/python -c 'import cv2; print("OpenCV", cv2.__version__)'
	.venv-opencv4/bin/python -m pytest $(CASES) -m smoke

check: .venv/.installed-test ## lint, formatting, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/.installed-test ## let ruff format and fix what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Measured code is slower, so deadlines are longer. A test that fails hides no figure.
coverage: .venv/.installed-test ## all tests with line and branch coverage of every process
	@$(BIN)/python tests/system_packages.py
	$(BIN)/coverage erase
	worst=0; \
	$(COVERED) tests/process tests/browser -m alone $(ARGS) || worst=$$?; \
	$(COVERED) tests/process tests/browser -m "not alone" $(MEASURED) $(ARGS) || worst=$$?; \
	$(COVERED) tests/unit $(MEASURED) $(ARGS) || worst=$$?; \
	$(BIN)/coverage combine --quiet; $(BIN)/coverage report || worst=$$?; exit $$worst

chaos: .venv/.installed-test ## the whole system under random faults: SECONDS=1800 SEED=7
	PYTHONPATH=tests $(BIN)/python -m chaos --report build/chaos \
		$${SECONDS:+--seconds "$$SECONDS"} $${SEED:+--seed "$$SEED"}

screenshots: .venv/.installed-test ## take the pictures of the page in docs/pictures anew
	SCREENSHOTS=docs/pictures SCREENSHOTS_AFTER_S=20 \
		$(BIN)/python -m pytest -q tests/browser/test_screenshots.py

docs: .venv/.installed-docs ## make the documentation site, with all links checked: build/docs/index.html
	$(BIN)/sphinx-build -q -W --keep-going -j auto -c docs . build/docs

bench: .venv/.installed-bench ## all benchmarks; one of them: make bench-NAME
	$(BIN)/python -m benchmarks

bench-%: .venv/.installed-bench
	$(BIN)/python -m benchmarks $*

# Its own environment: torch alone takes some GB, and it is fetched from wherever pip is set up to.
prove-real: build/prove-real/.venv/.installed-real ## prove it on real models and footage: ONLY="heads tracks"
	build/prove-real/.venv/bin/python -m benchmarks.real $(ONLY)

clean: ## remove what make made
	rm -rf .venv .venv-opencv4 build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	rm -rf .import_linter_cache .coverage .coverage.*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.installed: $(SETUP)
	$(NEED_PYTHON)
	@$(PYTHON) .ci/setup.py .venv

.venv/.installed-test: $(SETUP)
	$(NEED_PYTHON)
	@$(PYTHON) .ci/setup.py .venv test check

.venv/.installed-docs: $(SETUP)
	$(NEED_PYTHON)
	@$(PYTHON) .ci/setup.py .venv docs

.venv/.installed-bench: $(SETUP)
	$(NEED_PYTHON)
	@$(PYTHON) .ci/setup.py .venv bench

build/prove-real/.venv/.installed-real: $(SETUP)
	$(NEED_PYTHON)
	@$(PYTHON) .ci/setup.py build/prove-real/.venv real

.venv-opencv4/.installed: $(SETUP)
	$(NEED_PYTHON)
	@$(PYTHON) .ci/setup.py .venv-opencv4 test --opencv '>=4.13,<5'
