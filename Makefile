# Everything a developer runs. `make` prints the targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
EXTRAS ?= db,dev
# `make test-random SEED=123` repeats an order. Set once: `?=` would draw another number at each use.
ifndef SEED
SEED := $(shell od -An -N3 -tu4 /dev/urandom | tr -d ' ')
endif
# The tests of `make check`: `test` or `test-random`.
TESTS ?= test

.DEFAULT_GOAL := help
.PHONY: help install demo screenshots test test-random test-stack test-peers test-matrix test-long mutants backends bench check format lint types imports build clean

help: ## Show the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

install: $(STAMP) ## Make .venv and install the library with its development tools

$(STAMP): pyproject.toml constraints.txt
	@echo "First time: making $(VENV) …"
	@$(PYTHON) -m venv $(VENV)
	@echo "Installing the library and its development tools (about a minute) …"
	@quiet=$$([ -t 1 ] || echo --quiet); $(BIN)/python -m pip install $$quiet \
	  --disable-pip-version-check -c constraints.txt -e '.[$(EXTRAS)]'
	@touch $@

demo: $(STAMP) ## Start the example shop with traffic; Ctrl-C ends it
	$(BIN)/python examples/shop/demo.py

screenshots: $(STAMP) ## Take the pictures of the dashboard for the docs (about three minutes; needs chromium)
	$(BIN)/python tools/screenshots.py

test: $(STAMP) ## Run the tests that need no Docker and no Go
	$(BIN)/python -m pytest --ignore=tests/stack

test-random: $(STAMP) ## The same in random order; the seed is printed, SEED=123 repeats an order
	@echo "order of the tests: make test-random SEED=$(SEED)"
	@$(BIN)/python -m pytest --ignore=tests/stack --random-order --random-order-seed=$(SEED); \
	  outcome=$$?; echo "order of the tests: make test-random SEED=$(SEED)"; exit $$outcome

backends: ## Build collector, Prometheus and Loki into the cache (about ten minutes, once)
	backends/build.sh

test-stack: $(STAMP) ## Drive the real servers (after `make backends`)
	$(BIN)/python -m pytest tests/stack

test-peers: $(STAMP) ## Run the suites of Flask and its extensions with and without telemetry
	$(BIN)/python tests/peers/compare.py $(PEERS)

test-matrix: $(STAMP) ## Try the wheel with the oldest and newest versions it stands on (MATRIX="oldest")
	$(BIN)/python tests/matrix/run.py $(MATRIX)

test-long: $(STAMP) ## Run the tests that take minutes or hours (PROLETTO_SOAK_MINUTES and others, default 10)
	$(BIN)/python -m pytest -s --timeout=0 tests/long/*.py

mutants: $(STAMP) ## Change the code and see whether the tests notice (MUTANTS="alerts --sample 30")
	$(BIN)/python tools/mutants.py $(MUTANTS)

bench: $(STAMP) ## Measure what telemetry costs, beside OpenTelemetry and Sentry (BENCH="--rounds 3")
	$(BIN)/python bench/environments.py
	$(BIN)/python bench/compare.py $(BENCH)

check: format lint types imports $(TESTS) ## Format, lint, types, import floors, tests: run before a commit

format: $(STAMP)
	$(BIN)/ruff format --check .

lint: $(STAMP)
	$(BIN)/ruff check .

types: $(STAMP)
	$(BIN)/mypy
	$(BIN)/mypy --python-version 3.11 -p tools.dashboards

imports: $(STAMP)
	$(BIN)/lint-imports

build: $(STAMP) ## Build the wheel and the source archive into dist/
	$(BIN)/python -m build

clean: ## Remove what was built and the environment
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .import_linter_cache .hypothesis
