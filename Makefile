# Every target that needs an environment makes .venv itself; only the stamps below decide what is out of date.
# No two recipes run at once, whatever -j says: they share .venv, and nothing may run beside a measurement.
.NOTPARALLEL:
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:

PYTHON ?= python3
ARGS ?=
WITH ?=
VENV := .venv
RUN := $(VENV)/bin/python
# What fastsep is measured beside, and what writes the models for one of them.
PEERS := .venv-peers
CONVERTER := .venv-convert

KERNELS := $(wildcard src/_kernels/*.pyx src/_kernels/*.c src/_kernels/*.h src/_kernels/*.inc \
	src/fastsep/*.pxd)

# Prints the requirements of the build, or of an extra, so that pyproject.toml is the only place to name them.
REQUIREMENTS := import sys, tomllib; \
	table = tomllib.load(open("pyproject.toml", "rb")); \
	extras = table["project"]["optional-dependencies"]; \
	print(*{"build": table["build-system"]["requires"], **extras}[sys.argv[1]], sep="\n")
define install
	@echo "installing the requirements of: $(1)"
	@$(RUN) -c '$(REQUIREMENTS)' $(1) | $(RUN) -m pip install --quiet --requirement /dev/stdin
endef

.PHONY: help
help: ## this text
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@printf '\n'; printf '  %s\n' \
		'PYTHON=python3.12   which Python makes .venv (3.11 or newer; python3 by default)' \
		'ARGS="-k depthwise" further arguments of pytest for test, test-isa, test-networks and bench-peers (there --quick as well)' \
		'WITH=0003           which earlier run bench-compare takes'

$(VENV)/.stamp-environment:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("fastsep needs Python 3.11 or newer: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.stamp-build: $(VENV)/.stamp-environment pyproject.toml setup.py $(KERNELS)
	$(call install,build)
	FASTSEP_BUILD_SPLIT=1 $(RUN) -m pip install --quiet --no-build-isolation --editable .
	@touch $@

$(VENV)/.stamp-test: $(VENV)/.stamp-environment pyproject.toml
	$(call install,dev)
	@touch $@

$(VENV)/.stamp-bench: $(VENV)/.stamp-environment pyproject.toml
	$(call install,bench)
	@touch $@

.PHONY: dev
dev: $(VENV)/.stamp-build $(VENV)/.stamp-test $(VENV)/.stamp-bench ## editable install in .venv, with what tests and benchmarks need

.PHONY: test
test: $(VENV)/.stamp-build $(VENV)/.stamp-test ## run the tests, on every core
	# Tests share the cores: a team whose workers wait spinning for one another took 24 ms where this takes 5.
	OMP_WAIT_POLICY=passive $(RUN) -m pytest -p no:benchmark -n auto --dist worksteal $(ARGS)

.PHONY: test-isa
test-isa: $(VENV)/.stamp-build $(VENV)/.stamp-test ## run the tests once with each instruction set chosen at import
	@for isa in $$($(RUN) -c 'import fastsep; print(*fastsep.available_isas())'); do \
		echo "FASTSEP_ISA=$$isa"; \
		FASTSEP_ISA=$$isa $(RUN) -m pytest $(ARGS); \
	done

.PHONY: test-arm64
test-arm64: $(VENV)/.stamp-build ## cross-compile for 64-bit Arm and test the kernels under qemu
	tools/arm64.sh fetch
	tools/arm64.sh build
	tools/arm64.sh test

.PHONY: bench
bench: $(VENV)/.stamp-build $(VENV)/.stamp-bench ## standard against separable, filters against SciPy, MobileNetV2, on a photograph; writes build/bench/
	$(RUN) -m bench

# The peers' environment lies on top of .venv: whatever it does not hold itself, fastsep's editable install among
# it, is .venv's. So the same build is tested and measured, and none can be stale.
ON_TOP := import pathlib, sys, sysconfig; \
	pathlib.Path(sysconfig.get_path("purelib"), "on-top-of-venv.pth").write_text( \
		f"import site; site.addsitedir({sys.argv[1]!r})\n")

# `venv --clear` empties what a symbolic link points at, which may be another tree's.
define own_environment
	@test ! -L $(1) || { echo "$(1) is a symbolic link, and what it points at would be emptied: remove the link" >&2; exit 1; }
	$(RUN) -m venv --clear $(1)
endef

$(PEERS)/.stamp-peers: $(VENV)/.stamp-environment bench/peers/requirements.txt
	@echo "installing the peers: about 3 minutes, 2 GB"
	$(call own_environment,$(PEERS))
	@$(PEERS)/bin/python -m pip install --quiet --requirement bench/peers/requirements.txt
	@$(PEERS)/bin/python -c '$(ON_TOP)' "$$($(RUN) -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"
	@touch $@

$(CONVERTER)/.stamp-converter: $(VENV)/.stamp-environment bench/peers/convert-requirements.txt
	$(call own_environment,$(CONVERTER))
	@$(CONVERTER)/bin/python -m pip install --quiet --requirement bench/peers/convert-requirements.txt
	@touch $@

.PHONY: test-networks
test-networks: $(VENV)/.stamp-build $(VENV)/.stamp-bench $(PEERS)/.stamp-peers $(CONVERTER)/.stamp-converter ## a trained network, and what PyTorch and Keras export, against ONNX Runtime; about 5 minutes
	$(PEERS)/bin/python -m pytest $(addprefix bench/networks/check_,digits.py exporters.py keras.py) $(ARGS)

.PHONY: bench-peers
bench-peers: $(VENV)/.stamp-build $(VENV)/.stamp-bench $(PEERS)/.stamp-peers $(CONVERTER)/.stamp-converter ## layers and networks beside XNNPACK, ONNX Runtime, OpenVINO, PyTorch, filters beside OpenCV, SciPy; stores the run
	$(PEERS)/bin/python -m bench.peers $(ARGS)

.PHONY: bench-compare
bench-compare: $(VENV)/.stamp-environment ## the newest run of bench-peers against the one before; fails on slow-downs
	$(RUN) -m bench.compare $(WITH)

.PHONY: readme
readme: $(VENV)/.stamp-build $(VENV)/.stamp-bench ## put what the last `make bench` and `make bench-peers` say into README.md
	$(RUN) -m bench --update-readme

.PHONY: docs
docs: $(VENV)/.stamp-build $(VENV)/.stamp-test $(VENV)/.stamp-bench ## run the guides' Python; figures go to build/docs
	@mkdir -p build/docs
	cd build/docs && $(abspath $(RUN)) ../../tools/run_guide.py ../../docs/factorization.md ../../docs/ndimage.md

.PHONY: asm
asm: $(VENV)/.stamp-build ## check the machine code: FMA present, spills of the inner loops counted
	$(RUN) tools/check_assembly.py avx2
	$(RUN) tools/check_assembly.py avx512

.PHONY: lint
lint: $(VENV)/.stamp-build $(VENV)/.stamp-test $(VENV)/.stamp-bench ## ruff, its formatter, and mypy
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/mypy

.PHONY: clean
clean: ## remove build products and caches; keeps .venv
	rm -rf build dist src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis $(VENV)/.stamp-build
	rm -f src/fastsep/*.so
	find src tests bench tools -name __pycache__ -type d -prune -exec rm -rf {} +
