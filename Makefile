# `make run`: the quick start. `make test`: every check. Both set up .venv by themselves (Python 3.11+, make, git).
PYTHON ?= python3
BIN := .venv/bin
.PHONY: run test lint docs hostile peer bench clean

run: .venv/ready
	$(BIN)/madx run

test: .venv/dev lint
	$(BIN)/python -m pytest -n 2 --dist loadfile

lint: .venv/dev
	$(BIN)/ruff check madx tests pretraining benchmarks
	$(BIN)/ruff format --check madx tests pretraining benchmarks
	$(BIN)/mypy

# the manual as a site: site/
docs: .venv/dev
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[docs]'
	$(BIN)/python -m mkdocs build --strict

# the long form of what `make test` does in short: faults at every call, mutated folders; figures in docs/reliability.md
hostile: .venv/dev
	MADX_HOSTILE=5000 MADX_KILLS=200 MADX_STAGE_FAULTS=200 MADX_COMMAND_FAULTS=200 MADX_ENGINE_KILLS=20 \
	  MADX_FUZZ=10000 MADX_MUTATIONS=10000 \
	  $(BIN)/python -m pytest -n 2 tests/reliability tests/report \
	  tests/formats/test_fuzz.py tests/sharing/test_hostile.py tests/tasks/test_mutated.py tests/pipeline/test_mutated_recipes.py \
	  tests/pipeline/test_ray.py tests/pipeline/test_slurm.py

# the real `adapters` 1.3.0, for tests/parity/test_real_peer.py and benchmarks/
peer: .venv/dev
	$(BIN)/python tests/parity/peer_env.py

# speed, memory and losses beside the real peer's, on 2 cores in some hours: results/speed/.
# The labels and texts are the catalogue's files, under DATA.
DATA ?= ../shared/data
REPEATS ?= 3
bench: .venv/dev
	$(BIN)/python benchmarks/run.py --data $(DATA) --repeats $(REPEATS)
	$(BIN)/python benchmarks/quickstart.py --repeats $(REPEATS)
	$(BIN)/python benchmarks/time_to_loss.py --data $(DATA)
	$(BIN)/python benchmarks/opt_ins.py
	$(BIN)/python benchmarks/growth.py

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("madx needs Python 3.11 or newer" if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -c constraints.txt -e .
	touch $@

.venv/dev: .venv/ready
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $@

clean:
	rm -rf .venv .venv-peer .bench
