# Commands for daily work. `just` lists them. Each line also runs in a shell as it is written here.

_default:
    @just --list --unsorted

# Checks formatting and runs clippy with each feature set that a user can choose
check:
    cargo fmt --all --check
    cargo clippy --all-targets -- -D warnings
    cargo clippy -p swath --all-targets --no-default-features --features engine -- -D warnings
    cargo clippy -p swath --all-targets --no-default-features -- -D warnings

# Runs the unit tests and the quick integration tests: under two minutes after the build
test-fast:
    cargo test --lib
    cargo test --test engine --test cli -- \
        --skip simulator:: --skip crash:: --skip outcomes:: --skip kill:: \
        --skip models_beat_chance --skip every_proposal_is_in \
        --skip readme:: --skip full_disk:: --skip runtime::

# Runs every test that needs no network, no GPU and no cluster
test:
    cargo test

# Builds the documentation of the library without warnings, and the guide in target/book
docs:
    RUSTDOCFLAGS="-D warnings" cargo doc --no-deps
    RUSTDOCFLAGS="-D warnings" cargo doc -p swath --no-deps --no-default-features --lib
    .ci/book

# Runs the named benchmarks of benches/README.md, or all that take less than ten minutes: one table
bench *names:
    cargo build --release --examples --bin swath
    python3 benches/all.py {{ names }}

# Runs them for two builds in turns, and marks each figure that became more than 5 % slower
bench-compare old new *names:
    cargo build --release --examples
    python3 benches/all.py --compare {{ old }} {{ new }} {{ names }}

# Runs everything at the same time and breaks it, for so many minutes: tests/soak/soak.py
soak minutes="60":
    cargo build --release
    python3 tests/soak/soak.py target/release/swath {{ minutes }}

# Checks licences, sources and known vulnerabilities; needs cargo-deny and the network
audit:
    cargo deny check

# Fuzzes a target of `fuzz/fuzz_targets` (needs cargo-fuzz, nightly): `just fuzz sweep_file 600`
fuzz target seconds="60":
    mkdir -p fuzz/corpus/{{ target }}
    cargo +nightly fuzz run {{ target }} fuzz/corpus/{{ target }} \
        tests/engine/fuzz/corpus/{{ target }} -- -max_total_time={{ seconds }}
