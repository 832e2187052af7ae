# The repository's own verbs. Each sets up what it needs in .venv.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test bench fuzz lint clean

# An interrupted installation leaves no stamp, so the next call finishes it.
$(VENV)/installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' \
		|| { echo "captioning needs Python 3.10 to 3.13: make PYTHON=python3.12"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@

demo: $(VENV)/installed
	$(BIN)/python -m captioning.commands.tour runs/demo

# Two files of tests at a time, each on a core of its own.
test: $(VENV)/installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(or $(WORKERS),2) --dist loadfile

# what benchmarks and fuzzers share with the tests
bench fuzz: export PYTHONPATH := tests/support

bench: $(VENV)/installed
	@for name in $(or $(ONLY),metrics generation features training video serving world answers embedding grounding captioners animals published shards); do \
		$(BIN)/python tests/benchmarks/$$name.py $(ARGS) || exit 1; done

# N is the number of cases of each kind, KILLS that of killed runs.
fuzz: $(VENV)/installed
	$(BIN)/python tests/fuzz/fuzz_tokenizer.py $(or $(N),20000)
	$(BIN)/python tests/fuzz/fuzz_features.py $(or $(N),10000)
	$(BIN)/python tests/fuzz/fuzz_clips.py $(or $(N),2000)
	$(BIN)/python tests/fuzz/fuzz_containers.py $(or $(N),2000)
	$(BIN)/python tests/fuzz/fuzz_uploads.py $(or $(N),2000)
	$(BIN)/python tests/fuzz/fuzz_checkpoints.py $(or $(N),2000)
	$(BIN)/python tests/fuzz/fuzz_bundles.py $(or $(N),1000)
	$(BIN)/python tests/fuzz/fuzz_doubling.py $(or $(N),1000)
	$(BIN)/python tests/fuzz/fuzz_outputs.py $(or $(N),2000)
	$(BIN)/python tests/fuzz/fuzz_kills.py $(or $(KILLS),50)
	$(BIN)/python tests/fuzz/fuzz_cluster_kills.py $(or $(KILLS),10)

# Style, format, and the types of what is public ([tool.mypy]).
lint: $(VENV)/installed
	$(BIN)/ruff check captioning tests
	$(BIN)/ruff format --check captioning tests
	$(BIN)/mypy

clean:
	rm -rf $(VENV) build dist
