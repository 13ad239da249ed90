# Two commands matter: `make run` sets everything up and runs the daemon with a demonstration call,
# `make test` sets everything up and tests it. Both install what is missing and are safe to run twice.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
DIR    ?= var
DEMO   ?= 1
ONCE   ?= 0

# Debian packages, by what they are needed for.
APT_BUILD := g++ make git pkg-config python3-venv python3-dev zlib1g-dev libssl-dev libopus-dev libspandsp-dev
APT_TEST  := systemd sip-tester baresip-core espeak-ng clang-format clang-tidy clang libclang-rt-14-dev iproute2
APT_PEERS := kamailio rtpengine-daemon

.DEFAULT_GOAL := help
.PHONY: help run test lint bench fuzz chaos setup setup-test engine clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.engine ## build what `make run` needs
setup-test: $(VENV)/.engine $(VENV)/.test ## build what `make test` needs

$(VENV)/.apt-build:
	@scripts/apt-install "compiler and Python headers" $(APT_BUILD)
	@mkdir -p $(VENV) && touch $@

$(VENV)/.apt-test:
	@scripts/apt-install "SIP test clients and linters" $(APT_TEST)
	@DORMANT=1 scripts/apt-install "SIP servers to test against" $(APT_PEERS)
	@mkdir -p $(VENV) && touch $@

$(BIN)/python: | $(VENV)/.apt-build
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "mediaserverd needs Python 3.11 or newer; set PYTHON=")'
	@scripts/step "Python environment in $(VENV)" $(PYTHON) -m venv --upgrade-deps $(VENV)

$(VENV)/.build-tools: $(BIN)/python
	@scripts/step "build tools" $(BIN)/pip install 'scikit-build-core>=1.0' 'nanobind>=2.9' 'cmake>=3.26' ninja
	@touch $@

ENGINE_SOURCES := $(shell find engine -name '*.cpp' -o -name '*.hpp' -o -name 'CMakeLists.txt')

$(VENV)/.engine: $(VENV)/.build-tools pyproject.toml $(ENGINE_SOURCES)
	@scripts/step "libraries, and the packet engine (its first build takes a minute)" \
		$(BIN)/pip install --no-build-isolation --editable .
	@touch $@

$(VENV)/.test: $(VENV)/.engine $(VENV)/.apt-test pyproject.toml
	@scripts/step "test tools" $(BIN)/pip install --no-build-isolation --editable '.[test]'
	@touch $@

engine: ## rebuild the packet engine
	@rm -f $(VENV)/.engine && $(MAKE) --no-print-directory $(VENV)/.engine

run: setup ## run the daemon on the embedded default and place a demonstration call (DEMO=0: no call, ONCE=1: end after it)
	@$(BIN)/python -m tests.kit.demo --directory $(DIR) $(if $(filter 0,$(DEMO)),--no-call) $(if $(filter 1,$(ONCE)),--once)

test: setup-test lint ## everything: linters, unit tests, real clients, load
	@tests/in-netns $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile $(ARGS)

lint: setup-test ## ruff, mypy, import-linter, clang-format, clang-tidy
	@scripts/lint $(BIN)

bench: setup-test ## packets/s, CPU per call, set-up time, memory per call
	@tests/in-netns $(BIN)/python -m bench

fuzz: setup-test ## parsers under a fuzzer for FUZZ_SECONDS each
	@tests/in-netns $(BIN)/python -m tests.fuzz $(or $(FUZZ_SECONDS),600)

chaos: setup-test ## strike down all roles under calls for CHAOS_SECONDS, then account for every second (SEED: the same again)
	@tests/in-netns $(BIN)/python -m tests.chaos --seconds $(or $(CHAOS_SECONDS),300) $(if $(SEED),--seed $(SEED))

clean: ## remove what was built (keeps var/)
	rm -rf $(VENV) build
