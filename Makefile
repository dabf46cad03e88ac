# Every target works from a fresh clone, reports what it installs or starts, and is quick the second time.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules --no-print-directory
# Without compiled modules each start of gridcwl takes five times the CPU time, and the tests start it thousands of times.
unexport PYTHONDONTWRITEBYTECODE

VENV ?= .venv
# dependencies on demand: make install EXTRAS="demo dirac diracx rucio"; kept until others are asked for
EXTRAS ?= $(or $(shell cat build/extras.chosen 2>/dev/null),demo dirac diracx rucio service telemetry testbed)
UV_VERSION := 0.13.9
# processes that tests are spread over, and further options of pytest: make test PYTEST_ARGS="-k scatter"
WORKERS ?= $(shell nproc)
PYTEST_ARGS ?=
# what runs in the testbed, for tests and for you
TESTBED ?= oidc,xrootd,rucio,dirac
# how make conformance runs jobs
WAYS ?= docker podman no-container rucio dirac
BIN := $(VENV)/bin
# images that podman gets from docker
TEST_IMAGES := debian:trixie-slim debian:stable-slim python:3-slim alpine:latest bash:4.4
OLDER_IMAGES := debian:stretch-slim python:2-slim python:2.7.15-alpine3.7 python:3 bash:4.4.12
# what a development machine needs in addition to Python: JavaScript in CWL is evaluated by node
SYSTEM := node=nodejs git=git /etc/ssl/certs/ca-certificates.crt=ca-certificates

##@ To use it

.PHONY: install
install: $(VENV)/.installed ## make .venv with the command .venv/bin/gridcwl

.PHONY: demo
demo: install images-demo ## from showers to an instrument response function: DIRAC jobs at three sites, files in Rucio
	@scripts/demo

.PHONY: demo-local
demo-local: install images-demo ## from simulated showers to an instrument response function, in local containers
	@scripts/need node=nodejs
	scripts/demo-local

.PHONY: demo-radio
demo-radio: install images-demo ## a LOFAR observation, calibrated and imaged: DIRAC jobs at three sites, Measurement Sets in Rucio
	@scripts/demo-radio

.PHONY: demo-local-radio
demo-local-radio: install images-demo ## a LOFAR observation, calibrated and imaged, in local containers
	@scripts/need node=nodejs
	scripts/demo-local-radio

.PHONY: rerun-irf
rerun-irf: install images-demo ## the IRF of demo-local again, without caches, and each output compared with the first
	@scripts/need node=nodejs
	@# ctapipe compresses its HDF5 with Blosc, which h5py reads with this
	$(BIN)/python -c 'import hdf5plugin' 2>/dev/null || $(BIN)/uv pip install --quiet --python $(BIN)/python hdf5plugin
	scripts/rerun-irf

.PHONY: demo-data
demo-data: install images-demo ## CTA's, KM3NeT's and CORSIKA's own files through local containers, ending with a picture
	@scripts/demo-data

.PHONY: packed
packed: install ## each workflow of cwl/ with all that it refers to as one file, in dist/cwl/
	@scripts/pack $(BIN)/gridcwl dist/cwl

##@ To work on it

.PHONY: test
test: install images-test images-demo images-testbed images-service images-clients podman wes-clients helm ## all tests, with the coverage they reach (PYTEST_ARGS=..., WORKERS=...)
	@scripts/need cc=gcc /usr/include/stdio.h=libc6-dev chromium=chromium '/usr/lib/postgresql/*/bin/postgres=postgresql' gfal-copy=gfal2-util-scripts /usr/lib/$$(uname -m)-linux-gnu/gfal2-plugins/libgfal_plugin_xrootd.so=gfal2-plugin-xrootd
	if [ -e build/containers.conf ]; then export CONTAINERS_CONF=$${CONTAINERS_CONF:-$(CURDIR)/build/containers.conf}; fi
	# one testbed for all of pytest's processes; in a folder that the servers' own users may enter
	box=$$(mktemp -d /tmp/gridcwl-test-XXXXXX)
	chmod 711 $$box
	export GRIDCWL_TESTBED_DIR=$$box/testbed
	trap '$(BIN)/gridcwl testbed down --wipe --dir "$$GRIDCWL_TESTBED_DIR"; rmdir "$$box"' EXIT
	$(BIN)/gridcwl testbed up --dir "$$GRIDCWL_TESTBED_DIR" --with $(TESTBED) --light-pilots 6
	$(BIN)/pytest -n $(WORKERS) --dist worksteal --cov --cov-report=term:skip-covered $(PYTEST_ARGS)

.PHONY: test-production
test-production: install images-testbed ## a production of 200 instances on the testbed, of which one in twenty fails, ends complete
	@box=$$(mktemp -d /tmp/gridcwl-production-XXXXXX)
	chmod 711 $$box
	trap '$(BIN)/gridcwl testbed down --wipe --dir "$$box/testbed"; rmdir "$$box"' EXIT
	$(BIN)/gridcwl testbed up --dir "$$box/testbed" --with $(TESTBED) --light-pilots 6
	GRIDCWL_TESTBED_DIR=$$box/testbed GRIDCWL_PRODUCTION_SIZE=200 $(BIN)/pytest tests/productions/test_production_testbed.py

.PHONY: testbed
testbed: install ## a real Rucio and a real DIRAC on this machine; TESTBED=oidc,xrootd,rucio for some of it
	@$(BIN)/gridcwl testbed up --with $(TESTBED)

.PHONY: conformance
conformance: install images-testbed ## CWL's cases of all versions in all ways: writes docs/reference/conformance.md (WAYS=docker VERSIONS=v1.2)
	@scripts/images conformance
	scripts/podman $(TEST_IMAGES) $(OLDER_IMAGES)
	if [ -e build/containers.conf ]; then export CONTAINERS_CONF=$${CONTAINERS_CONF:-$(CURDIR)/build/containers.conf}; fi
	box=$$(mktemp -d /tmp/gridcwl-conformance-XXXXXX)
	chmod 711 $$box
	trap '$(BIN)/gridcwl testbed down --wipe --dir "$$box/testbed"; rmdir "$$box"' EXIT
	$(BIN)/gridcwl testbed up --dir "$$box/testbed" --with $(TESTBED) --light-pilots 6
	eval "$$($(BIN)/gridcwl testbed env --dir "$$box/testbed")"
	$(BIN)/python -m tests.conformance.table --workers $(WORKERS) --ways $(WAYS) $(if $(VERSIONS),--versions $(VERSIONS))

.PHONY: conformance-rucio
conformance-rucio: install ## all CWL conformance cases with their files in Rucio, on the testbed
	GRIDCWL_ALL_CASES=1 $(BIN)/pytest -n $(WORKERS) tests/conformance/test_with_rucio.py $(PYTEST_ARGS)

.PHONY: wes-clients
wes-clients: install ## WES clients of other projects, each in an environment below build/wes-clients
	@scripts/wes-clients $(VENV) build/wes-clients

.PHONY: helm
helm: install ## helm, for tests of the chart in deploy/helm, in build/helm
	@scripts/helm $(VENV) build/helm

.PHONY: test-compose
test-compose: install engine ## the compose file started: a run, a restart, a backup and its restoration, with images of Debian's packages
	@scripts/images compose
	GRIDCWL_COMPOSE=1 $(BIN)/pytest tests/integration/test_compose_deployment.py $(PYTEST_ARGS)

.PHONY: conformance-wes
conformance-wes: install images-test wes-clients ## all CWL conformance cases through gridcwl serve, sent by toil-wes-cwl-runner
	GRIDCWL_ALL_CASES=1 $(BIN)/pytest tests/conformance/test_with_wes.py $(PYTEST_ARGS)

.PHONY: test-jupyter
test-jupyter: install images-test ## a real JupyterLab in a real browser, and its extension for Rucio; installs them in build/jupyter (300 MB)
	@scripts/need chromium=chromium
	[ -x build/jupyter/bin/jupyter-lab ] || python3 -m venv build/jupyter
	build/jupyter/bin/pip install --quiet rucio-jupyterlab==41.0.0 'jupyterlab>=4.3' 'jupyter-server-proxy>=4.3' 'anywidget>=0.9.13' --editable '.[service,jupyter]'
	GRIDCWL_JUPYTER_PYTHON=$(CURDIR)/build/jupyter/bin/python $(BIN)/pytest tests/integration/test_jupyter_extension.py $(wildcard tests/integration/test_jupyterlab_browser.py) tests/integration/test_kernel_browser.py $(PYTEST_ARGS)

.PHONY: test-kernels
test-kernels: install ## KERNELS=20 Jupyter kernels in jobs at a time
	GRIDCWL_KERNELS=$(or $(KERNELS),20) $(BIN)/pytest tests/jupyter/test_many_job_kernels.py $(PYTEST_ARGS)

.PHONY: test-notebooks
test-notebooks: install images-testbed ## the notebooks of the documentation on a testbed's DIRAC and Rucio, that of GRIDCWL_TESTBED_DIR if set
	@box=$${GRIDCWL_TESTBED_DIR:-}
	if [ -z "$$box" ]; then
	  top=$$(mktemp -d /tmp/gridcwl-notebooks-XXXXXX)
	  chmod 711 $$top
	  box=$$top/testbed
	  trap '$(BIN)/gridcwl testbed down --wipe --dir "$$box"; rmdir "$$top"' EXIT
	  $(BIN)/gridcwl testbed up --dir "$$box" --with $(TESTBED) --light-pilots 6
	fi
	eval "$$($(BIN)/gridcwl testbed env --dir "$$box")"
	GRIDCWL_NOTEBOOK_GRID=1 GRIDCWL_ENGINE=none $(BIN)/pytest tests/jupyter/test_documented_notebooks.py $(PYTEST_ARGS)

.PHONY: bench-pool
bench-pool: install images-demo images-testbed ## a warm pool against plain DIRAC jobs on a testbed: 500 half-second shards, and cta-irf
	@box=$$(mktemp -d /tmp/gridcwl-bench-pool-XXXXXX)
	chmod 711 $$box
	trap '$(BIN)/gridcwl testbed down --wipe --dir "$$box/testbed"; rmdir "$$box"' EXIT
	$(BIN)/gridcwl testbed up --dir "$$box/testbed" --with $(TESTBED) --pilots 3
	eval "$$($(BIN)/gridcwl testbed env --dir "$$box/testbed")"
	GRIDCWL_TESTBED_DIR=$$box/testbed $(BIN)/python benchmarks/interactive/pool.py --irf $(POOL_ARGS)

.PHONY: test-radio
test-radio: install images-demo ## every example of the radio tools, and the longer tests of their workflows
	GRIDCWL_ALL_EXAMPLES=1 $(BIN)/pytest tests/science -k "radio or lofar or ska or example or rapthor" $(PYTEST_ARGS)

.PHONY: test-cta
test-cta: install images-demo ## every example of CTA's tools and of CORSIKA's, and the IRF by both generators
	GRIDCWL_ALL_EXAMPLES=1 $(BIN)/pytest tests/science -k "cta or corsika or example" $(PYTEST_ARGS)

.PHONY: test-night
test-night: install ## a night of SUBBANDS=244 subbands through fakes of DIRAC and Rucio, and of 40 through the testbed: bytes moved, disk space
	GRIDCWL_SUBBANDS=$(or $(SUBBANDS),244) GRIDCWL_TESTBED_SUBBANDS=$(or $(TESTBED_SUBBANDS),40) $(BIN)/pytest tests/science/test_night.py $(PYTEST_ARGS)

.PHONY: test-imports
test-imports: install ## STARTS=200 cold starts on busy cores: no two threads import the same package
	GRIDCWL_STARTS=$(or $(STARTS),200) $(BIN)/pytest tests/integration/test_imports.py $(PYTEST_ARGS)

.PHONY: fuzz
fuzz: install ## FUZZ=2000 generated documents through gridcwl and through cwltool: equal outputs, or both refuse (SEED=1)
	@GRIDCWL_FUZZ=$(or $(FUZZ),2000) GRIDCWL_FUZZ_SEED=$(or $(SEED),1) $(BIN)/pytest -q -n $(WORKERS) --dist worksteal tests/fuzz/test_against_cwltool.py $(PYTEST_ARGS)

.PHONY: fuzz-decoders
fuzz-decoders: install ## FUZZ_SECONDS=600 of hostile archives, reports, results, jobs, output and input objects; round by round with seeds 1, 2, 3 ...
	@end=$$((SECONDS + $(or $(FUZZ_SECONDS),600))); seed=0
	while [ $$SECONDS -lt $$end ]; do
	  seed=$$((seed + 1))
	  echo "seed $$seed"
	  GRIDCWL_HOSTILE_EXAMPLES=$(or $(EXAMPLES),300) $(BIN)/pytest -q --no-header -p no:randomly --hypothesis-seed=$$seed tests/hostile/test_fuzz_decoders.py $(PYTEST_ARGS)
	done

.PHONY: campaign campaign-crash-points campaign-page
campaign: install ## MINUTES=20 of faults: clients, workers, containers and servers are killed and frozen (ON="bare+rucio", SEED=1)
	@scripts/need cc=gcc /usr/include/stdio.h=libc6-dev node=nodejs
	if [ -e build/containers.conf ]; then export CONTAINERS_CONF=$${CONTAINERS_CONF:-$(CURDIR)/build/containers.conf}; fi
	PYTHONPATH=tests:tests/helpers $(BIN)/python -m campaign --minutes $(or $(MINUTES),20) $(if $(SEED),--seed $(SEED)) $(if $(ON),--on $(ON)) $(CAMPAIGN_ARGS)
campaign-crash-points: install ## a run is ended before each of its system calls that changes something, and resumed (STEP=10)
	@scripts/need cc=gcc /usr/include/stdio.h=libc6-dev
	PYTHONPATH=tests:tests/helpers $(BIN)/python -m campaign --crash-points --step $(or $(STEP),1) --on $(or $(ON),bare+local bare+rucio dirac+rucio) $(CAMPAIGN_ARGS)
campaign-page: install ## docs/reference/endurance.md from the results in build/campaign
	@PYTHONPATH=tests:tests/helpers $(BIN)/python -m campaign --page docs/reference/endurance.md

.PHONY: conformance-dirac
conformance-dirac: install images-test ## all CWL conformance cases as DIRAC jobs in containers, on the testbed
	GRIDCWL_ALL_CASES=1 $(BIN)/pytest -n $(WORKERS) tests/conformance/test_with_dirac.py $(PYTEST_ARGS)

.PHONY: conformance-dask
conformance-dask: install images-test ## all CWL conformance cases on a Dask cluster of this machine, in containers
	GRIDCWL_ALL_CASES=1 $(BIN)/pytest -n $(WORKERS) tests/conformance/test_with_dask.py $(PYTEST_ARGS)

.PHONY: messages
messages: install ## rewrite the messages in tests/messages, and show what changed
	GRIDCWL_WRITE_MESSAGES=1 $(BIN)/pytest -q tests/messages
	git diff --stat tests/messages

.PHONY: lint
lint: install ## style, types, the layers of the package, the documents in cwl/, and the documentation's site
	@scripts/need shellcheck=shellcheck
	failed=0
	$(BIN)/ruff check || failed=1
	$(BIN)/ruff format --check || failed=1
	$(BIN)/mypy || failed=1
	$(BIN)/lint-imports --no-logo || failed=1
	$(BIN)/gridcwl lint cwl/tools/*.cwl cwl/workflows/*.cwl || failed=1
	shellcheck --external-sources --source-path=scripts .ci/run $$(grep -lE --directories=skip '^#!.*\b(ba)?sh$$' scripts/*) || failed=1
	$(MAKE) docs || failed=1
	exit $$failed

.PHONY: docs
docs: install ## the documentation's site, in build/site: no broken link, heading or reference, no page left out
	@scripts/tools $(VENV) build/docs-tools docs
	# not --quiet: it keeps the strict build from seeing its own warnings
	NO_MKDOCS_2_WARNING=1 build/docs-tools/bin/mkdocs build --strict

.PHONY: picture
picture: install ## draw docs/explanation/architecture.svg from the imports of the code
	@$(BIN)/python scripts/architecture_picture.py

.PHONY: dist
dist: install ## wheel and sdist in dist/, checked, installed into a fresh environment and run
	@scripts/tools $(VENV) build/dist-tools dist
	scripts/dist $(VENV) build/dist-tools dist

.PHONY: format
format: install ## put the code into the one style
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

.PHONY: bench
bench: install images-test ## what is measured, against whom; BENCH=scatter for one of them
	@for bench in benchmarks/$(or $(BENCH),*)/bench.py; do
	  printf '\n== %s\n' "$$bench"
	  name=$$(basename "$$(dirname "$$bench")")
	  GRIDCWL_BENCH_JSON=$(CURDIR)/build/bench/$$name.json PATH=$(CURDIR)/$(BIN):$$PATH $(BIN)/python "$$bench"
	done

.PHONY: lock
lock: | system ## renew requirements.lock (LOCK_ARGS=--upgrade for newer versions)
	@scripts/lock $(VENV) $(UV_VERSION) $(LOCK_ARGS)

##@ Containers

.PHONY: engine
engine: ## a docker engine that answers: installed and started if missing
	@scripts/engine

.PHONY: podman
podman: images-test ## podman in addition to docker, with the same images
	@scripts/podman $(TEST_IMAGES)

.PHONY: images images-test images-demo images-testbed images-service images-clients
images: images-test images-demo images-testbed images-service images-clients ## every image
images-test: engine ## the images that tests use
	@scripts/images test
images-demo: engine ## the images that the science tools use
	@scripts/images demo
images-testbed: engine ## the image that holds the testbed
	@scripts/images testbed
images-service: engine ## the image of gridcwl serve
	@scripts/images service
images-clients: engine ## the image that jobs of Snakemake run in
	@scripts/images clients

##@ Housekeeping

.PHONY: clean
clean: ## remove all that make made in this folder; images and engines stay
	rm -rf $(VENV) build dist .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find runner tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: help
help: ## this list
	@awk 'BEGIN { FS = ":.*## " } \
	  /^##@/ { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: system
system:
	@scripts/need $(SYSTEM)

# The extras are part of the stamp: asking for other ones installs again.
$(VENV)/.installed: pyproject.toml $(wildcard hatch_build.py) requirements.lock scripts/uv scripts/venv build/extras | system
	@scripts/venv $(VENV) $(UV_VERSION) $(EXTRAS)
	@touch $@

.PHONY: FORCE
build/extras: FORCE
	@mkdir -p $(@D)
	@[ "$$(cat $@ 2>/dev/null)" = "$(EXTRAS)" ] || echo "$(EXTRAS)" > $@
	@case "$(origin EXTRAS)" in command*|environment*) echo "$(EXTRAS)" > $@.chosen ;; esac
