# Everything needs only Debian's make, gcc and Python 3.11 or newer; .ci/venv fetches or names what is missing.
# PYTHON=python3.12 chooses the interpreter of a new .venv, ARGS="-k cancel" goes to pytest.
SHELL := /bin/bash
PY := .venv/bin/python
ARGS ?=
MINUTES ?=
SOAK ?= 3600
STACK ?=
RECORD ?=
# make bench ONLY=echo PLACES="uml 6.12"
QUICK ?=
ONLY ?=
PLACES ?=
# make mutants MODULE="sctpio._loop.waiting sctpio._abi.codec" SAMPLE=50
MODULE ?= sctpio._loop.waiting
SAMPLE ?=
# make dist-all PARTS="bare musl"
PARTS ?=
PACKETS ?= 1000000
SEED ?=
SECONDS ?= 60
KEEP ?=

SANITIZE := sanitize sanitize-usrsctp sanitize-kernel
KERNELS := kernel-6.12 sanitize-6.12

.NOTPARALLEL:
.PHONY: help demo test test-all test-peers test-kernels test-pythons test-sid sanitize soak hostile fuzz mutants lint docs
.PHONY: bench bench-behaviour bench-stalls bench-guard dist dist-all clean

help: ## this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

demo: .venv/.base ## an echo server and client, on this host's kernel or usrsctp; STACK=kernel: in a guest if need be
	@$(PY) examples/demo.py $(STACK)

test: .venv/.test ## every promise: the pure tier and usrsctp on this host, the kernel tier where SCTP is (9 min)
	@$(PY) tests/tiers.py pure usrsctp kernel -- $(ARGS)

test-all: .venv/.test ## all tests on both loops, endurance, sanitizers, Pythons, Linux 6.12; MINUTES=50: what fits
	@$(PY) tests/tiers.py --everything $(if $(MINUTES),--minutes $(MINUTES)) \
		pure usrsctp unaccelerated kernel $(SANITIZE) $(KERNELS) 'pure-*' 'api-*' 'eager-*' -- $(ARGS)

test-pythons: .venv/.test ## all tests that need no kernel, on each claimed Python that is here: PATH, pyenv
	@$(PY) tests/tiers.py --everything pure 'pure-*' usrsctp 'usrsctp-*' 'eager-*' -- $(ARGS)

test-sid: ## the same on the newest CPython of Debian sid, in a chroot under .guest; as root
	@.ci/sid "$(ARGS)"

test-peers: .venv/.test ## with programs that others wrote at the other end, recorded in docs/peers.md (4 min)
	@PYTHONPATH=tests $(PY) -m peers.programs
	@$(PY) tests/tiers.py peers peers-usrsctp -- $(ARGS); status=$$?; \
		$(if $(ARGS),true,PYTHONPATH=tests $(PY) -m peers.page) && exit $$status

test-kernels: .venv/.test ## the kernel tiers on Linux 6.12 under QEMU: slow
	@$(PY) tests/tiers.py $(KERNELS) -- $(ARGS)

sanitize: .venv/.test ## the C built with sanitizers, over a corpus of lies and on a kernel
	@$(PY) tests/tiers.py --everything $(SANITIZE) -- $(ARGS)

soak: .venv/.test ## chance and signals against the waiting room, for an hour, on usrsctp or STACK=kernel; SOAK=60: a minute
	@SCTPIO_STACK=$(or $(STACK),usrsctp) $(if $(filter kernel,$(STACK)),tests/guest/run --timeout $$(($(SOAK) + 1800))) \
		$(PY) tests/soak.py --seconds $(SOAK) $(if $(RECORD),--record benchmarks/results/endurance-$(or $(STACK),usrsctp).json)
	@$(if $(RECORD),$(MAKE) --no-print-directory .venv/.bench && $(PY) benchmarks/endurance.py)

hostile: .venv/.test ## a million hostile packets beside an association (8 min); PACKETS=20000 SEED=7, RECORD=1
	@PYTHONPATH=tests $(PY) tests/hostile/run.py --packets $(PACKETS) $(if $(SEED),--seed $(SEED)) \
		$(if $(RECORD),--record docs/hostile.md)

fuzz: .venv/.test .venv/.fuzz ## coverage-guided fuzzing of every decoder, in Python and C; SECONDS=60 each, RECORD=1
	@PYTHONPATH=tests $(PY) tests/fuzz/run.py --seconds $(SECONDS) $(if $(KEEP),--keep) \
		$(if $(RECORD),--record docs/hostile.md)

mutants: .venv/.test ## changes of MODULE that no pure test notices, one place at a time; SAMPLE=50: that many
	@nice $(PY) tests/mutants.py $(MODULE) $(if $(SAMPLE),--sample $(SAMPLE))

lint: .venv/.test .venv/.lint ## format, style, types and layers; types of the manual's code too
	@$(PY) -m ruff format --check . && $(PY) -m ruff check . && $(PY) -m mypy && .venv/bin/lint-imports
	@$(PY) tests/doc_blocks.py build/doc_blocks.py && $(PY) -m mypy --allow-untyped-defs --allow-untyped-calls build/doc_blocks.py
	@PATH="$(CURDIR)/.venv/bin:$$PATH" pyright --verifytypes sctpio --ignoreexternal >.venv/types.log 2>&1 \
		|| { cat .venv/types.log; exit 1; }; grep 'completeness score' .venv/types.log

docs: .venv/.docs ## the manual, in docs/_build/html
	@$(PY) -m sphinx -q -a -W --keep-going -b html docs docs/_build/html && echo "docs: docs/_build/html/index.html"

bench: .venv/.test .venv/.bench ## beside C and others, recorded in docs/performance*.md (35 min); QUICK=1: 5 min
	@$(PY) benchmarks/run.py $(if $(QUICK),--quick) $(if $(ONLY),--only "$(ONLY)") $(PLACES)
	@$(if $(QUICK)$(ONLY)$(PLACES),true,$(MAKE) --no-print-directory bench-behaviour)

bench-behaviour: .venv/.test .venv/.bench ## the rest of the pages: head-of-line blocking, fairness, where time goes (13 min)
	@tests/guest/run --kernel 6.12 --icount $(PY) benchmarks/where.py --record && $(PY) benchmarks/report.py
	@$(PY) benchmarks/head_of_line.py && $(PY) benchmarks/head_of_line.py --report docs/performance-head-of-line.md
	@$(PY) benchmarks/fairness.py
	@$(PY) benchmarks/fairness.py --report docs/performance-fairness.md

bench-stalls: .venv/.test ## silences and drops under floods, defaults beside tuned, recorded in docs/stalls.md (15 min)
	@$(PY) benchmarks/stalls.py && $(PY) benchmarks/stalls.py --report docs/stalls.md

bench-guard: .venv/.base ## instructions a message, by callgrind, beside the recorded ones; RECORD=1: record them
	@$(PY) benchmarks/guard.py $(if $(RECORD),--record)

dist: .venv/.dist ## sdist and wheel in dist/, checked and tried without a compiler (1 min)
	@.ci/dist

dist-all: .venv/.dist ## the same, and wheels for musl and aarch64, bare systems, no GIL; as root; PARTS="musl bare"
	@.ci/dist-all $(PARTS)

clean: ## remove what was built, but not .venv and .guest
	rm -rf build dist docs/_build src/*.egg-info src/sctpio/stacks/_kernel.c src/sctpio/stacks/_usrsctp.c .mypy_cache .ruff_cache .pytest_cache

.venv/.base: pyproject.toml setup.py .ci/venv $(wildcard csrc/* csrc/*/*)
	@.ci/venv "$(PYTHON)"
	@touch $@

# A dependency group of pyproject.toml each.
.venv/.%: .venv/.base
	@echo "venv: installing the group $*"
	@$(PY) -m pip install -q --group $* && touch $@
