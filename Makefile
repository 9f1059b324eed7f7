# The two commands of the README are `make demo` and `make test`.
#   make demo [VIDEOS=folder]   install what is needed, convert videos, stream them through a small training step
#   make test                   all Rust and Python tests, with real torch; FRAMEFEED_CLIPS=folder adds a corpus of videos
#   make test-arm               the transform's tests for 64-bit Arm, under emulation; see scripts/test-arm.sh
#   make peers VIDEOS=folder [LIST=file]  framefeed beside other decoders, in an environment of their own; see benches/peers/run.py
#   make ffmpeg                 FFmpeg 8 into .ffmpeg, which all of these but test-arm use from then on: it decodes faster than most distributions'
#   make check                  formatting, lints, documentation, licences

SHELL := /bin/bash
PYTHON := .venv/bin/python
DEMO := demo-out
export FRAMEFEED_PYTHON := $(CURDIR)/$(PYTHON)

# What `make ffmpeg` built goes before the system's libraries.
FFMPEG := $(CURDIR)/.ffmpeg
ifneq ($(wildcard .ffmpeg/complete),)
export FRAMEFEED_FFMPEG := $(FFMPEG)/bin/ffmpeg
# Once, also where make calls itself.
ifeq ($(findstring $(FFMPEG),$(PKG_CONFIG_PATH)),)
export PKG_CONFIG_PATH := $(FFMPEG)/lib/pkgconfig$(if $(PKG_CONFIG_PATH),:$(PKG_CONFIG_PATH))
export RUSTFLAGS := $(if $(RUSTFLAGS),$(RUSTFLAGS) )-C link-arg=-Wl,-rpath,$(FFMPEG)/lib
endif
endif

.PHONY: demo test test-rust test-python test-arm peers ffmpeg check setup clean

setup:
	@scripts/setup.sh

demo: setup
	@scripts/python-env.sh demo
	cargo build --release
	@set -e; if [ -n "$(VIDEOS)" ]; then videos="$(VIDEOS)"; out=$(DEMO)/dataset-of-$$(realpath "$$videos" | tr / _); else \
		videos=$(DEMO)/videos; out=$(DEMO)/dataset; scripts/make-videos.sh $$videos; fi; \
	set -x; \
	target/release/framefeed convert "$$videos" --out "$$out"; \
	target/release/framefeed info "$$out"; \
	$(PYTHON) python/examples/demo.py "$$out" --contact-sheet $(DEMO)/contact-sheet.png

test: setup
	@scripts/python-env.sh test
	cargo build --release
	$(MAKE) test-rust test-python

test-rust:
	REQUIRE_PYTHON=1 cargo test

test-python:
	$(PYTHON) -m pytest -q python/tests

test-arm:
	@scripts/test-arm.sh

ffmpeg:
	@if [ "$(MAKECMDGOALS)" != ffmpeg ]; then echo "make ffmpeg comes alone: what else is made is to find it"; exit 2; fi
	@scripts/ffmpeg.sh

peers: setup
	@if [ -z "$(VIDEOS)" ]; then echo "usage: make peers VIDEOS=folder [LIST=file] [PEERS_OPTIONS='--mode windows']"; exit 2; fi
	@scripts/python-env.sh test
	cargo build --release
	@benches/peers/make-venv.sh
	$(PYTHON) -m pytest -q benches/peers
	$(PYTHON) benches/peers/run.py "$(VIDEOS)" $(if $(LIST),--list "$(LIST)") $(PEERS_OPTIONS)

check: setup
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --lib
	@if command -v cargo-deny >/dev/null; then cargo deny check; else echo "cargo-deny is not installed; skipped"; fi

clean:
	cargo clean
	rm -rf .venv .venv-peers $(DEMO)
