# What a newcomer can type here. It needs make, Python 3.11 or newer and a package index;
# all else is put into .venv and .cache beside this file, and `make clean` takes it away again.
SHELL := /bin/sh
.SHELLFLAGS := -euc
.ONESHELL:
.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules --no-print-directory
.DEFAULT_GOAL := help
.PHONY: help demo test test-slow test-examples lint style types layers format docs bench clean

export PIP_NO_INPUT := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

TOOLS := .cache/tools
READY := .venv/.ready
BIN := .venv/bin
# Arguments for pytest: make test ARGS="-k schema". "-n0" runs all in one process, as a debugger needs it.
ARGS ?=
export SELECTED := $(ARGS)
PYTEST := $(BIN)/python -m pytest -n logical --maxprocesses 8

help: ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 18

demo: $(READY) ## set up, serve three examples, then run a platform: upload, deploy, ask, swap, read the log
	@$(BIN)/python examples/demo.py </dev/null

test: MARKS := not slow
test-slow: MARKS := slow
test: $(READY) ## the tests (ARGS="-k schema" is handed to pytest)
test-slow: $(READY) ## the tests that are slow by nature: servers of pages, large environments, long runs
test test-slow:
	@status=0
	$(PYTEST) -m "$(MARKS)" $(ARGS) </dev/null || status=$$?
	if [ $$status -eq 5 ]; then
		# A worker of pytest-xdist keeps to itself that a path does not exist.
		$(BIN)/python -m pytest -m "$(MARKS)" $(ARGS) -n0 --collect-only -q </dev/null || :
		echo "No test was run: none of those marked \"$(MARKS)\" matches ARGS=\"$$SELECTED\"." >&2
	fi
	exit $$status

test-examples: $(READY) ## the examples ten times in a row, beside two busy loops
	@for each in 1 2; do
		$(BIN)/python -c 'while True: pass' &
		busy="$${busy:-} $$!"
	done
	trap 'kill $$busy' EXIT
	for round in 1 2 3 4 5 6 7 8 9 10; do
		echo "round $$round"
		$(BIN)/python -m pytest tests/e2e_examples -q -n0 $(ARGS) </dev/null
	done

lint: style types layers ## style, types and layers

style: $(READY) ## ruff: rules and format
	@$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(READY) ## mypy, strict
	@$(BIN)/mypy

layers: $(READY) ## import-linter: which module may import which
	@$(BIN)/lint-imports

format: $(READY) ## let ruff rewrite the sources
	@$(BIN)/ruff check --fix-only
	$(BIN)/ruff format

docs: $(READY) ## write the reference pages that are taken from the sources
	@$(BIN)/python docs/generate.py

bench: $(READY) ## the benchmarks, as ratios to a bare app (needs wrk on PATH)
	@$(BIN)/python -m benchmarks </dev/null

clean: ## everything that make and the tests put here
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache examples/build
	if [ -d .cache ]; then chmod -R u+rwX .cache && rm -rf .cache; fi
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The first Python that really runs (a pyenv shim on PATH may not) and can install uv: in a virtual environment
# of its own, or in a plain folder where the system took ensurepip out. pip reads its own configuration.
$(TOOLS)/.ready: Makefile
	@echo "==> Looking for Python 3.11 or newer" >&2
	mkdir -p .cache
	done=
	for candidate in "$${PYTHON:-}" python3 python3.13 python3.12 python3.11 python3.14 python \
			/usr/local/bin/python3 /usr/bin/python3 "$${PYENV_ROOT:-$${HOME:-/nowhere}/.pyenv}"/versions/3.*/bin/python3; do
		[ -n "$$candidate" ] || continue
		python=$$("$$candidate" -c 'import sys; sys.version_info < (3, 11) and sys.exit(1); sys.implementation.name != "cpython" and sys.exit(1); print(getattr(sys, "_base_executable", sys.executable))' \
			2>/dev/null </dev/null) || continue
		rm -rf $(TOOLS)
		if "$$python" -m venv $(TOOLS) >.cache/tools.log 2>&1 </dev/null; then
			pip="$(TOOLS)/bin/python"; into=
		elif rm -rf $(TOOLS); "$$python" -m pip --version >/dev/null 2>&1 </dev/null; then
			pip="$$python"; into="--target $(TOOLS)"
		else
			echo "    $$python has neither venv nor pip; looking further" >&2
			continue
		fi
		echo "==> Installing uv with $$python" >&2
		if ! "$$pip" -m pip install --quiet --upgrade $$into 'uv>=0.9' </dev/null; then
			echo "uv could not be installed; what pip says about it stands above." >&2
			echo "  fix  see to it that pip reaches a package index (pip config list), then try again" >&2
			exit 1
		fi
		done=1
		printf '%s\n' "$$python" >$(TOOLS)/python
		break
	done
	if [ -z "$$done" ]; then
		echo "No Python 3.11 or newer that can install packages was found." >&2
		echo "  fix  install one (with pip or venv), or name it: make PYTHON=/path/to/python3.12" >&2
		exit 1
	fi
	touch $@

# The locked set. If pip is configured for another index, the same versions and hashes are taken from there.
$(READY): $(TOOLS)/.ready pyproject.toml worker/pyproject.toml uv.lock
	@echo "==> Installing the locked packages into .venv" >&2
	python=$$(cat $(TOOLS)/python)
	pip="$(TOOLS)/bin/python"; [ -x "$$pip" ] || pip="$$python"
	setting() { "$$pip" -m pip config get "global.$$1" 2>/dev/null </dev/null || :; }
	cert="$${PIP_CERT:-$$(setting cert)}"
	if [ -n "$$cert" ] && [ -z "$${SSL_CERT_FILE:-}" ]; then export SSL_CERT_FILE="$$cert"; fi
	# As pip does: the system's own certificates, where it has any.
	for bundle in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/cert.pem; do
		if [ -s "$$bundle" ]; then export UV_SYSTEM_CERTS=1; fi
	done
	export UV_PYTHON_DOWNLOADS=never
	index="$${PIP_INDEX_URL:-$$(setting index-url)}"
	locked=$$(sed -n 's/.*registry = "\([^"]*\)".*/\1/p' uv.lock | sort -u | head -n 1)
	case "$${index%/}" in
	''|"$$locked")
		$(TOOLS)/bin/uv sync --locked --python "$$python" </dev/null ;;
	*)
		echo "    from $$index, as pip is configured" >&2
		[ -x $(BIN)/python ] || $(TOOLS)/bin/uv venv --python "$$python" .venv </dev/null
		$(TOOLS)/bin/uv export --quiet --frozen --no-emit-workspace --output-file .cache/locked.txt </dev/null
		$(TOOLS)/bin/uv pip sync --python $(BIN)/python --default-index "$$index" --require-hashes .cache/locked.txt </dev/null
		$(TOOLS)/bin/uv pip install --python $(BIN)/python --default-index "$$index" --no-deps -e worker -e . </dev/null ;;
	esac
	touch $@
