# make run | test | lint | chaos | fuzz | conformance | bench | clean. Override as in: make test PYTHON=python3.13 VENV=/tmp/venv313

PYTHON ?= python3
VENV ?= .venv
DATA ?= ./data
BIN := $(VENV)/bin
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

# The checkout itself is run and only what it needs is installed: an editable installation would hide twisted/plugins, and a
# normal one would be a second, soon outdated, copy. The .pth file shows the checkout to twistd, which does not look into the
# directory that it is started in.
define REQUIREMENTS
import configparser, sys
parser = configparser.ConfigParser()
parser.read("setup.cfg")
print(parser["options"]["install_requires"])
for extra in sys.argv[1:]:
    print(parser["options.extras_require"][extra])
endef
export REQUIREMENTS

INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check -r /dev/stdin
SHOW = echo "$(CURDIR)" > "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/gosip-checkout.pth"

.PHONY: run test lint chaos fuzz conformance bench clean

run: $(VENV)/.has-run
	@mkdir -p $(DATA)
	exec $(BIN)/twistd --nodaemon --pidfile= gosip --data-dir $(DATA)

# All of them, in lanes side by side; TESTS may name a part: make test TESTS=tests.test_fsm
TESTS ?=
test: $(VENV)/.has-test
	$(BIN)/python -W error::RuntimeWarning -m $(if $(TESTS),twisted.trial $(TESTS),tests)
	@if [ -f webui/package.json ]; then npm --prefix webui ci --no-audit --no-fund && npm --prefix webui test; fi

lint: $(VENV)/.has-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy gosip_py tests examples
	$(BIN)/lint-imports --no-logo
	$(BIN)/codespell

# Random calls of many phones over a network that loses, doubles and reorders, on a virtual clock. A seed that fails is played
# again by: .venv/bin/python -m tests.chaos --seed N --ladder
SEEDS ?= 10000
chaos: $(VENV)/.has-test
	$(BIN)/python -m tests.chaos --seeds $(SEEDS)

# Coverage-guided fuzzing of everything that reads bytes of a peer; an hour now and then is well spent: make fuzz FUZZ_SECONDS=3600
FUZZ_SECONDS ?= 60
fuzz: $(VENV)/.has-fuzz
	$(BIN)/python -m tests.fuzz --seconds $(FUZZ_SECONDS)

# Runs the tests that show a section of an RFC, and writes docs/conformance.md from what came of them.
conformance: $(VENV)/.has-test
	$(BIN)/python -m tests.conformance --write

bench: $(VENV)/.has-test
	$(BIN)/python -m benchmarks $(BENCH)

clean:
	rm -rf build dist *.egg-info _trial_temp* .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage*
	rm -f twisted/plugins/dropin.cache
	find gosip_py tests benchmarks twisted -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true

# A stamp per set of packages: `make run` on an installed checkout does not even start pip.
$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.has-run: setup.cfg | $(BIN)/python
	$(BIN)/python -c "$$REQUIREMENTS" | $(INSTALL)
	@$(SHOW)
	@touch $@

$(VENV)/.has-test: setup.cfg | $(BIN)/python
	$(BIN)/python -c "$$REQUIREMENTS" test | $(INSTALL)
	@$(SHOW)
	@touch $@

$(VENV)/.has-fuzz: setup.cfg | $(BIN)/python
	$(BIN)/python -c "$$REQUIREMENTS" test fuzz | $(INSTALL)
	@$(SHOW)
	@touch $@

$(VENV)/.has-lint: setup.cfg | $(BIN)/python
	$(BIN)/python -c "$$REQUIREMENTS" test lint | $(INSTALL)
	@$(SHOW)
	@touch $@
