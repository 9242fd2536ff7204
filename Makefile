# Everything works on a bare Debian 12 or 13 machine, as root, in a fresh clone: each target first sets up what it needs.
# An engine that a target had to start is stopped at its end; one that was running is left alone. The tests have one of their own.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup demo demo-predictions demo-federation demo-sentences test test-full lint types unit package swarm mutants fuzz verification bench soak debian lock clean
MAKEFLAGS += --no-print-directory
JSON ?=
TARGET ?=
SECONDS ?= 60
SEEDS ?= 2000
SUITE ?= trixie
export PYTHON

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 18

setup: ## prepare .venv with every package that is needed; PYTHON=path takes that interpreter
	@scripts/setup.sh

demo: setup ## run the main job on a graph of five nodes; JSON=file also writes a summary, STAY=1 lets the graph run on
	@scripts/engine.sh run scripts/demo.sh "$(JSON)"

demo-predictions: setup ## train a model, register it, ask it: three servers, one liar, a decision, its receipt, a class by callback
	@scripts/engine.sh run .venv/bin/python -m learningchain.examples.asking

demo-federation: setup ## three hospitals train one model on data that stay at home, a fourth poisons; the target is paid, the model is asked
	@scripts/engine.sh run .venv/bin/python -m learningchain.examples.federating

demo-sentences: setup ## a classifier on a language model is trained on a published set, registered, and asked about sentences
	@scripts/engine.sh run .venv/bin/python -m learningchain.examples.sentences.demo

test: ## what decides about a change: lint, types, tests, real nodes, real containers; ONLY="words for pytest" for some of it
	@scripts/test.sh $(if $(ONLY),only $(ONLY),test)

test-full: ## everything else: more seeds, examples drawn anew, gVisor, demos, a browser, soak, fuzzers; 75 minutes at most
	@scripts/test.sh full

lint: setup ## lint, format and import rule only
	@.venv/bin/python scripts/check.py lint

types: setup ## type check only
	@.venv/bin/python scripts/check.py types

unit: setup ## the unit tests only; they need no engine
	@scripts/postgresql.sh || true
	@.venv/bin/python -m pytest tests/unit

swarm: setup ## SEEDS=n simulated graphs in two processes, each with its own faults and attackers
	@.venv/bin/python -m tests.sim --seeds 0..$(SEEDS) --jobs 2

fuzz: setup ## TARGET=name SECONDS=n: a decoder under a coverage-guided fuzzer; without TARGET all; TARGET=engine: images on a real engine
	@tests/fuzz/run.sh "$(TARGET)" "$(SECONDS)"

mutants: setup ## break the node in every way of the list and see who notices; SEEDS=n at most for each, OUT=file for the table
	@.venv/bin/python -m tests.sim.mutants --seeds $(SEEDS) --jobs 2 $(if $(OUT),--out "$(OUT)")

verification: setup ## play the models of jobs, predictions and federations beside the handlers and the Monte Carlo of the rules, which writes docs/verification.md; the models alone, to tests/*/results; federations with cells, alone and beside the handlers; and attackers of a federation's rounds, which writes docs/federation-attacks.md
	@.venv/bin/python -m tests.verification $(if $(SEED),--seed $(SEED))
	@.venv/bin/python -m tests.predictions --requests 100000 > tests/predictions/results/requests.txt
	@cat tests/predictions/results/requests.txt
	@.venv/bin/python -m tests.federation --federations 100000 > tests/federation/results/federations.txt
	@cat tests/federation/results/federations.txt
	@.venv/bin/python -m tests.federation --cells --federations 100000 > tests/federation/results/cells.txt
	@cat tests/federation/results/cells.txt
	@.venv/bin/python -m tests.federation --cells --federations 100000 --real
	@.venv/bin/python -m tests.federation_attacks --write

bench: setup ## measure speed on this machine beside other systems; JSON=file PLOT=file.svg, QUICK=1 for one short round
	@scripts/engine.sh run .venv/bin/python -m benchmarks $(if $(QUICK),--quick) $(if $(JSON),--json "$(JSON)") $(if $(PLOT),--plot "$(PLOT)")

soak: setup ## disturb a graph of real nodes for MINUTES (20), then look whether any promise was broken; JSON=file
	@.venv/bin/python -m tests.soak --minutes $(or $(MINUTES),20) $(if $(JSON),--json "$(JSON)") $(if $(SEED),--seed $(SEED))

debian: ## SUITE=trixie|bookworm: make a bare Debian of that release here, and set up, check and demonstrate in it (as root)
	@scripts/debian.sh "$(SUITE)"

package: setup ## wheel, sdist, man page, bill of materials, notices and checksums in dist/, the same bytes each time
	@.venv/bin/python -m scripts.packages dist

lock: setup ## write requirements/*/*.txt anew from pyproject.toml; UPGRADE=1 moves to the newest versions
	@scripts/lock.sh

clean: ## remove .venv, caches and what the targets left in .run
	@scripts/engine.sh stop
	@rm -rf .venv .venv-fuzz .run build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
