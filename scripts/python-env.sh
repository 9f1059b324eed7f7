#!/usr/bin/env bash
# Makes the Python environment .venv and builds the extension into it. Usage: python-env.sh demo|test
# `demo` installs NumPy and Pillow and uses torch only if the environment already has it; `test` also installs torch and
# what the tests need.
set -euo pipefail
cd "$(dirname "$0")/.."

kind=${1:?usage: python-env.sh demo|test}
if [ ! -x .venv/bin/python ]; then
    echo "python: creating .venv"
    python3 -m venv .venv
    .venv/bin/python -m pip install -q --upgrade pip
fi
packages=(maturin numpy pillow)
[ "$kind" = test ] && packages+=(pytest hypothesis pyarrow webdataset mypy ml_dtypes torch)
echo "python: installing ${packages[*]}"
.venv/bin/python -m pip install -q "${packages[@]}"

echo "python: building the extension"
VIRTUAL_ENV=$PWD/.venv .venv/bin/maturin develop --release --manifest-path python/Cargo.toml
