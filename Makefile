# What a newcomer runs. Needs Python >= 3.11 with venv, git and make; everything else is fetched, pinned and checked.
#   make demo                    the whole line, from usage events to proven invoices
#   make demo TRACE=usage.csv    the same with a real request trace
#   PYTHON=python3.12 make test  with an interpreter of your choice

SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help setup demo bench test check crash format up down lock

VENV := .venv
STAMP := $(VENV)/.installed
RUN := $(VENV)/bin
# Tests that run at once, each row on servers of its own (0.7 GB): stories wait a good part of their time.
JOBS := 3

help: ## Show the targets.
	@printf 'Tally: usage metering and billing on Kafka and ClickHouse.\n\n'
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r name what; do \
		printf '  make %-8s %s\n' "$$name" "$$what"; done
	@printf '\nStart with: make demo\n'

$(STAMP): requirements.lock pyproject.toml deploy/local/venv.sh
	@sh deploy/local/venv.sh $(VENV) requirements.lock
	@touch $@

setup: $(STAMP) ## Make .venv from the hash-pinned lock; every target does so by itself.

demo: $(STAMP) ## Usage events to proven invoices, on real Kafka and ClickHouse; TRACE=PATH meters a real trace.
	@$(RUN)/tally demo $(if $(TRACE),--trace "$(TRACE)")

bench: $(STAMP) ## What an event and an invoice cost, beside other ways; SIZE=short|full, PART="line engine …", OUT=build/bench.json.
	@$(RUN)/tally bench --size $(or $(SIZE),short) --out $(or $(OUT),build/bench.json) $(foreach part,$(PART),--part $(part))

test: $(STAMP) ## Every test, on real services; TALLY_TEST_SERVICES=auto|containers|local, JOBS at once, ARGS for pytest.
	@$(RUN)/python -m pytest -n $(JOBS) $(ARGS)

check: $(STAMP) ## Format, lint, types and unit tests: what must pass before every commit.
	@$(RUN)/ruff format --check .
	@$(RUN)/ruff check .
	@$(RUN)/mypy
	@$(RUN)/python -m pytest -q -n $(JOBS) -m "not services and not docker" $(ARGS)

crash: $(STAMP) ## Kill everything a thousand times and prove 0 lost, 0 doubled; SIZE=short|billing|outage, PART=0.1, SABOTAGE=drop|double|shift, LENGTH=1800.
	@$(RUN)/python -m tests.crash --size $(or $(SIZE),full) $(if $(PART),--part $(PART)) $(if $(SABOTAGE),--sabotage $(SABOTAGE)) $(if $(SEED),--seed $(SEED)) $(if $(LENGTH),--length $(LENGTH)) $(if $(RATE),--rate $(RATE))

format: $(STAMP) ## Format the code and mend what the linter can mend.
	@$(RUN)/ruff format .
	@$(RUN)/ruff check --fix .

up: $(STAMP) ## Start Kafka and ClickHouse on this machine; what was stored is kept.
	@$(RUN)/tally up

down: ## Stop them, and the workers; what was stored is kept.
	@if [ -x $(RUN)/tally ]; then $(RUN)/tally down; else echo "Nothing to stop: nothing was set up here."; fi

lock: $(STAMP) ## Resolve the pinned versions and hashes anew, after a change of pyproject.toml.
	@sh deploy/local/lock.sh $(RUN)/python
