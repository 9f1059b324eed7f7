#!/usr/bin/env bash
# Runs the transform's tests for 64-bit Arm (aarch64) under emulation, on Debian or Ubuntu on x86-64. Installs a cross compiler,
# qemu-user and the Rust target; FFmpeg's libraries for Arm are unpacked into target/arm64/root and not installed.
#
#   scripts/test-arm.sh [options of cargo test and names of tests]
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh
unset RUSTFLAGS PKG_CONFIG_PATH FRAMEFEED_FFMPEG

target=aarch64-unknown-linux-gnu
work=$PWD/target/arm64
root=$work/root
if ! { command -v aarch64-linux-gnu-gcc && command -v qemu-aarch64; } >/dev/null; then
    scripts/apt-install.sh test-arm gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user
fi
rustup target list --installed | grep -qx $target || rustup target add $target

# A package database of its own, of which Arm is the architecture: the machine's is not touched.
if [ ! -e "$root/complete" ]; then
    rm -rf "$work"
    mkdir -p "$work"/{state/lists/partial,cache/archives/partial,parts} "$root"
    : >"$work/status"
    . /etc/os-release
    case $ID in
        ubuntu) echo "deb http://ports.ubuntu.com/ubuntu-ports $VERSION_CODENAME main universe" ;;
        # The mirror that this machine uses has all architectures.
        *) echo "deb $(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' \
            "Codename: $VERSION_CODENAME" 'Component: main' | head -n 1) $VERSION_CODENAME main" ;;
    esac >"$work/sources.list"
    cat >"$work/apt.conf" <<END
APT::Architecture "arm64";
APT::Architectures { "arm64"; };
APT::Sandbox::User "root";
Dir::State "$work/state";
Dir::State::status "$work/status";
Dir::Cache "$work/cache";
Dir::Etc::sourcelist "$work/sources.list";
Dir::Etc::sourceparts "$work/parts";
END
    export APT_CONFIG=$work/apt.conf
    echo "test-arm: unpacking FFmpeg's libraries for arm64 into $root"
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends --download-only \
        libavcodec-dev libavformat-dev libavutil-dev libswscale-dev >/dev/null
    unset APT_CONFIG
    for package in "$work"/cache/archives/*.deb; do
        dpkg-deb -x "$package" "$root"
    done
    rm -rf "$work/cache"
    touch "$root/complete"
fi

libraries=$root/usr/lib/aarch64-linux-gnu
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64 -L $root"
# What FFmpeg's libraries need themselves is found when they are loaded.
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUSTFLAGS="-C link-arg=-Wl,--allow-shlib-undefined"
export PKG_CONFIG_ALLOW_CROSS=1 PKG_CONFIG_SYSROOT_DIR=$root PKG_CONFIG_LIBDIR=$libraries/pkgconfig
export BINDGEN_EXTRA_CLANG_ARGS_aarch64_unknown_linux_gnu="--target=aarch64-linux-gnu --sysroot=$root"
[ $# -gt 0 ] || set -- --lib transform
exec cargo test --target $target "$@"
