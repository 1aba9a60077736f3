.PHONY: layout demo unit test test-only lint-only bench bench-match lint lock proto docs clean bench-identity fuzz bench-guarantees bench-metrics chaos soak chart site

# Where Python may not keep what it has compiled, each of hundreds of programs compiles our code.
unexport PYTHONDONTWRITEBYTECODE

demo:
	@deploy/bootstrap demo
	@.venv/bin/sightline demo

# What needs no broker, no database and no models: half a minute on two cores.
unit:
	@deploy/bootstrap dev
	@.venv/bin/python -m pytest -q -n 2 --dist worksteal \
		-m "not slow and not stack and not models" tests/unit $(wildcard tests/contract)

# Everything. Types and style are looked at beside the tests, which wait much of their time.
test:
	@deploy/bootstrap dev
	@deploy/install-test-tools
	@$(MAKE) --no-print-directory -j 2 lint-only test-only

# Workers of the tests: they wait a third of their time, for a broker or for each other.
WORKERS ?= 3
test-only:
	@.venv/bin/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

lint:
	@deploy/bootstrap dev
	@$(MAKE) --no-print-directory lint-only

lint-only:
	@.venv/bin/ruff format --check .
	@.venv/bin/ruff check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports

bench:
	@deploy/bootstrap dev
	@.venv/bin/python -m benchmarks.pipeline

# Who is named, who wrongly, how a real film is told, and one id for each person at a site.
bench-identity:
	@deploy/bootstrap dev
	@.venv/bin/python -m benchmarks.identity
	@.venv/bin/python -m benchmarks.stage_clip
	@.venv/bin/python -m benchmarks.site

# Decisions and searches in galleries of up to a million templates, against brute force.
bench-match:
	@deploy/bootstrap dev
	@.venv/bin/python -m benchmarks.match

# What transactions and state cost vision: frames/s, and latency at p95.
bench-guarantees:
	@deploy/bootstrap dev
	@.venv/bin/python -m benchmarks.guarantees

# What metrics cost vision: frames/s.
bench-metrics:
	@deploy/bootstrap dev
	@.venv/bin/python -m benchmarks.metrics

# Mutated records through every service, mutated requests to every endpoint.
fuzz:
	@deploy/install-test-tools
	@.venv/bin/python -m benchmarks.fuzz

# Kills, freezes and cuts off everything, a hundred times, and compares with an undisturbed run:
# about 20 minutes. `.venv/bin/python -m benchmarks.chaos --seed N` has a round again.
chaos:
	@deploy/bootstrap dev
	@.venv/bin/python -m benchmarks.chaos

# Twenty minutes at the highest steady load: whose memory grows.
soak:
	@deploy/bootstrap dev
	@.venv/bin/python -m benchmarks.soak

# The packages of the library: lines, and which programs reach each.
layout:
	@deploy/bootstrap dev
	@.venv/bin/python -m tests.layout

# The messages' Python, from the contract.
proto:
	.venv/bin/python -m grpc_tools.protoc -Ischemas --python_out=schemas --pyi_out=schemas schemas/sightline.proto

# Pages that are made from the code.
docs:
	.venv/bin/python -m docs._tools.settings_page > docs/settings.md
	.venv/bin/python -m docs._tools.metrics_page > docs/metrics.md
	.venv/bin/python -m docs._tools.dashboards deploy/grafana

# docs/ as a site that loads nothing from elsewhere: build/site.
site:
	@deploy/bootstrap dev
	@NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build -q --strict -f deploy/mkdocs.yml

# The Helm chart, rendered by helm and held to Kubernetes' schemas.
chart:
	@deploy/bootstrap dev
	@deploy/install-test-tools
	@.venv/bin/python -m pytest tests/unit/test_helm_chart.py

# Needs `uv`.
LOCK = uv pip compile -q --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate
lock:
	$(LOCK) --extra cpu pyproject.toml requirements/build.in -o requirements/cpu.txt
	$(LOCK) --extra cpu --extra dev --extra tracing pyproject.toml requirements/build.in -o requirements/dev.txt
	$(LOCK) --extra gpu --override requirements/gpu-override.txt pyproject.toml requirements/build.in requirements/gpu.in -o requirements/gpu.txt

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache
