# Everything from a fresh clone: the only need is Python 3.10 or newer, with its venv module.
# `make demo`, `make train` and `make test` set .venv up by themselves, and again only when what it is made
# from changes.

PYTHON ?= python3
CORES := $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)
# Named, so that accelerate neither warns about them nor leaves a CPU with a single thread.
LAUNCH ?= --num_processes 1 --num_machines 1 --mixed_precision no --dynamo_backend no \
	--num_cpu_threads_per_process $(or $(OMP_NUM_THREADS),$(CORES))
ARGS ?=

BIN := .venv/bin
SCRIPTS := $(wildcard app.py train_accelerate.py)
CHECKED := pix2pix tests $(wildcard benchmarks model_cards/pairs/*.py) $(SCRIPTS)
BENCHMARKS := $(filter-out benchmarks/peer%,$(wildcard benchmarks/[!_]*.py))

.DEFAULT_GOAL := help
.PHONY: help demo train test lint format bench wheel clean
.DELETE_ON_ERROR:

help:
	@echo 'make demo     the page at http://127.0.0.1:7860, with the models that ship; Ctrl-C ends it:'
	@echo '              make demo ARGS="--model map=runs/map --port 8000"'
	@echo 'make train    train the drawn town; what you add goes to the script:'
	@echo '              make train ARGS="--train_data_dir photos --task map"'
	@echo '              accelerate gets LAUNCH, one process unless said otherwise: make train LAUNCH="--multi_gpu"'
	@echo 'make test     run the tests;      make test ARGS="-k layout"'
	@echo 'make lint     ruff and mypy;      make format  lets ruff mend what it can'
	@echo 'make bench    run benchmarks/     make wheel   builds dist/pix2pix-*.whl'
	@echo 'make clean    remove caches and build products; .venv and runs/ stay'
	@echo
	@echo 'Another Python:           make train PYTHON=python3.12'
	@echo 'A Python from uv:         uv venv --seed --python 3.12 .venv, then make as above'
	@echo 'PyTorch without CUDA:     PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make train'

demo: .venv/train.stamp
	$(BIN)/python app.py $(ARGS)

train: .venv/train.stamp
	$(BIN)/accelerate launch $(LAUNCH) train_accelerate.py $(ARGS)

# One thread a worker: the workers share the cores, and tiny networks gain nothing from more.
test: .venv/dev.stamp
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 8 $(ARGS)

lint: .venv/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(CHECKED)

format: .venv/dev.stamp
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv/dev.stamp
	@test -n "$(BENCHMARKS)" || echo 'benchmarks/ holds no benchmark yet.'
	@set -e; for script in $(BENCHMARKS); do echo "== $$script"; $(BIN)/python "$$script" $(ARGS); done

wheel: .venv/dev.stamp
	rm -rf build
	$(BIN)/python -m pip wheel --no-deps --no-build-isolation --wheel-dir dist .

clean:
	rm -rf build dist pix2pix.egg-info .mypy_cache .pytest_cache .ruff_cache
	find . -path ./.venv -prune -o -type d -name __pycache__ -prune -exec rm -rf {} +

# --- set-up -------------------------------------------------------------------------------------------------

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null || { \
		echo 'pix2pix needs Python 3.10 or newer; "$(PYTHON)" is' \
			"$$($(PYTHON) --version 2>/dev/null || echo 'no Python')."; \
		echo 'Name another one: make $(MAKECMDGOALS) PYTHON=python3.12'; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo '"$(PYTHON)" has no venv module. On Debian and Ubuntu: apt install python3-venv'; exit 1; }
	$(PYTHON) -m venv --clear .venv

# $(1): the requirements. setuptools, which builds the package, is one of them.
define install
	$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip
	$(BIN)/python -m pip install --disable-pip-version-check -r $(1)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation --editable .
	@touch $@
endef

.venv/train.stamp: requirements.txt pyproject.toml | .venv/bin/python
	$(call install,requirements.txt)

.venv/dev.stamp: requirements-dev.txt requirements.txt pyproject.toml | .venv/bin/python
	$(call install,requirements-dev.txt)
	@touch .venv/train.stamp
