# Each verb does its own set-up in .venv; only Python 3.11 or newer, make and git are needed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
export SOURCE_DATE_EPOCH := 0
# Several of these run at a time, on one thread each unless you say otherwise; the commands
# of the package, and so run, bench and gpu, see for themselves how many cores are free.
ONE := test test-unit test-runs test-mutation test-notebooks test-classroom test-part
ONE += test-site test-long test-machines lab book figures assignments
$(ONE): export OMP_NUM_THREADS ?= 1
# Threads of two processes would wait for each other.
JOBS = $(if $(filter-out 1,$(OMP_NUM_THREADS)),1,2)

.PHONY: help setup run site test test-site test-unit test-runs test-mutation test-notebooks test-classroom test-part test-long test-machines assignments lab book figures bench gpu lint clean

help:
	@echo "make run      train on handwritten digits for a minute or two, and draw new ones"
	@echo "make test     unit tests, mutations, every notebook alone, a part on other machines"
	@echo "make test-long      every slip in an exercise, attackers, notebooks out of time (hours)"
	@echo "make test-machines  unit tests and notebooks on eleven simulated machines (hours)"
	@echo "make lab      open the book in Jupyter"
	@echo "make site     build the book on the web, in build/site/html"
	@echo "make book     execute the chapters from their text"
	@echo "make figures  measure again what figures/ holds (about an hour)"
	@echo "make assignments  write the exercises as notebooks, for students and for nbgrader"
	@echo "make bench    measure speed and memory here, beside diffusers (ten minutes)"
	@echo "make gpu      try everything on one GPU in nine minutes (at toy size without one)"
	@echo "make lint     check the style; make clean: remove what was built"

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version.split()[0] + ": make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[book,test,site]"
	@touch $(READY)

run: $(READY)
	@$(BIN)/python -m ddpm_lite quickstart

test: test-unit test-runs test-mutation test-classroom test-notebooks test-site test-part
	@echo "all stages of make test passed"

test-unit: $(READY)
	$(BIN)/python -m pytest tests -m "not slow" -n $(JOBS)

test-runs: $(READY)
	$(BIN)/python -m pytest tests/training -m slow -n 2

test-mutation: $(READY)
	$(BIN)/python -m pytest tests/test_mutations.py -m slow

test-classroom: $(READY)
	$(BIN)/python -m pytest tests/classroom -m "slow and not long" -n 2

test-notebooks: $(READY)
	$(BIN)/python -m pytest tests/test_alone.py -m slow -n 2

test-site: $(READY)
	$(BIN)/python -m pytest tests/site -m slow -n 2

test-part: $(READY)
	$(BIN)/python tests/machines.py --part

test-long: $(READY)
	$(BIN)/python -m pytest tests/classroom -m long

test-machines: $(READY)
	$(BIN)/python tests/machines.py --table
	$(BIN)/python tests/machines.py

lab: $(READY)
	$(BIN)/jupyter lab notebooks/00_start_here.ipynb

site: $(READY)
	$(BIN)/python docs/site/build.py build/site

book: $(READY)
	$(BIN)/python exercises/assignments.py --chapters
	$(BIN)/python notebooks/build.py

figures: $(READY)
	$(BIN)/python figures/lab.py
	$(BIN)/python figures/improved.py
	$(BIN)/python figures/flow.py
	$(BIN)/python figures/s_curve.py
	$(BIN)/python figures/s_curve_ablation.py
	$(BIN)/python figures/guidance.py
	$(BIN)/python figures/loading.py
	$(BIN)/python figures/pictures.py digits
	$(BIN)/python figures/bugs.py
	$(BIN)/python figures/readme.py

assignments: $(READY)
	$(BIN)/python exercises/assignments.py

bench: $(READY)
	$(BIN)/python -m ddpm_lite bench --batches 32 --minutes 13 --out figures/runs
	$(BIN)/python figures/readme.py text

# Without set-up: a machine with a GPU has a torch of its own, and often no way to others.
gpu:
	@$(if $(wildcard $(READY)),$(BIN)/python,$(PYTHON)) -m ddpm_lite.bench.gpu

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check ddpm_lite exercises figures notebooks/build.py tests docs/site

clean:
	rm -rf $(VENV) build dist runs .pytest_cache .hypothesis .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
