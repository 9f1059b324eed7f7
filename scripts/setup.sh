#!/usr/bin/env bash
# Installs what building and testing framefeed needs on Debian or Ubuntu: FFmpeg's libraries and command, clang (for the
# bindings), pkg-config, bsdtar, Python's venv. Says what it installs; uses sudo only when not root; does nothing when all
# of it is there.
set -euo pipefail

packages=(
    ffmpeg libavcodec-dev libavformat-dev libavutil-dev libswscale-dev
    pkg-config clang libclang-dev gcc libarchive-tools python3-venv
)
missing=()
for package in "${packages[@]}"; do
    status=$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null || true)
    [ "$status" = "install ok installed" ] || missing+=("$package")
done
# A Python from elsewhere brings its own venv module.
if python3 -c 'import venv, ensurepip' 2>/dev/null; then
    missing=("${missing[@]/python3-venv/}")
fi
read -ra missing <<<"${missing[*]-}"
if [ ${#missing[@]} -gt 0 ]; then
    echo "setup: installing with apt-get: ${missing[*]}"
    sudo=()
    [ "$(id -u)" -eq 0 ] || sudo=(sudo)
    "${sudo[@]}" apt-get update -qq
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi
if ! command -v cargo >/dev/null; then
    echo "setup: Rust is missing; see https://rustup.rs (Rust 1.89 or later)" >&2
    exit 1
fi
