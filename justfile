# Commands of daily work. `just` lists them; each line can also be typed as it stands here.

_default:
    @just --list --unsorted

# Formatting and clippy, with the feature sets a user can choose
check:
    cargo fmt --all --check
    cargo clippy --all-targets -- -D warnings
    cargo clippy -p swath --all-targets --no-default-features --features engine -- -D warnings
    cargo clippy -p swath --all-targets --no-default-features -- -D warnings

# Unit tests and the quick integration tests: under two minutes once it is built
test-fast:
    cargo test --lib
    cargo test --test engine --test cli -- \
        --skip simulator:: --skip crash:: --skip outcomes:: --skip models_beat_chance --skip every_proposal_is_in \
        --skip kill:: --skip readme:: --skip full_disk:: --skip runtime::

# Every test that needs no network, no GPU and no cluster
test:
    cargo test

# The documentation of the library, warnings being errors, and the guide where mdbook is installed
docs:
    RUSTDOCFLAGS="-D warnings" cargo doc --no-deps
    RUSTDOCFLAGS="-D warnings" cargo doc -p swath --no-deps --no-default-features --lib
    if command -v mdbook >/dev/null; then mdbook build docs; fi

# Benchmarks by name, all without one: `just bench suggest`. BENCHMARKS.md has the figures
bench *names:
    for name in {{ if names == "" { "curves journal suggest tail" } else { names } }}; do cargo bench --bench "$name"; done

# Licences, sources and known vulnerabilities; the last of them needs the network, and cargo-deny
audit:
    cargo deny check

# Fuzzes a target of `fuzz/fuzz_targets`, with cargo-fuzz and a nightly toolchain: `just fuzz sweep_file 600`
fuzz target seconds="60":
    mkdir -p fuzz/corpus/{{ target }}
    cargo +nightly fuzz run {{ target }} fuzz/corpus/{{ target }} tests/engine/fuzz/corpus/{{ target }} -- -max_total_time={{ seconds }}
