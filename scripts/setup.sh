#!/usr/bin/env bash
# Installs what building and testing framefeed needs on Debian or Ubuntu: FFmpeg's libraries and command, clang (for the
# bindings), pkg-config, bsdtar, Python's venv. Says what it installs; uses sudo only when not root; does nothing when all
# of it is there.
set -euo pipefail

packages=(
    ffmpeg libavcodec-dev libavformat-dev libavutil-dev libswscale-dev
    pkg-config clang libclang-dev gcc libarchive-tools
)
# A Python from elsewhere brings its own venv module.
python3 -c 'import venv, ensurepip' 2>/dev/null || packages+=(python3-venv)
"$(dirname "$0")/apt-install.sh" setup "${packages[@]}"
if ! command -v cargo >/dev/null; then
    echo "setup: Rust is missing; see https://rustup.rs (Rust 1.89 or later)" >&2
    exit 1
fi
