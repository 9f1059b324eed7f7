#!/usr/bin/env bash
# Builds FFmpeg's libraries of a current release into .ffmpeg, for `make` to use in the place of the system's, which are older on most
# distributions: its H.264 decoder is faster. Installs what that needs on Debian or Ubuntu; takes some ten minutes on two cores.
#
#   scripts/ffmpeg.sh            or: FFMPEG_TARBALL=ffmpeg-8.1.2.tar.xz scripts/ffmpeg.sh, where it was fetched before
set -euo pipefail
cd "$(dirname "$0")/.."

version=8.1.2
sha256=464beb5e7bf0c311e68b45ae2f04e9cc2af88851abb4082231742a74d97b524c
# The same file: Debian has upstream's.
urls=(
    "https://ffmpeg.org/releases/ffmpeg-$version.tar.xz"
    "https://deb.debian.org/debian/pool/main/f/ffmpeg/ffmpeg_$version.orig.tar.xz"
)
prefix=$PWD/.ffmpeg
if [ -e "$prefix/complete" ] && [ "$(cat "$prefix/complete")" = "$version" ]; then
    echo "ffmpeg: $version is in .ffmpeg"
    exit 0
fi

packages=(curl xz-utils make gcc pkg-config nasm zlib1g-dev libx264-dev libdav1d-dev)
missing=()
for package in "${packages[@]}"; do
    status=$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null || true)
    [ "$status" = "install ok installed" ] || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
    echo "ffmpeg: installing with apt-get: ${missing[*]}"
    sudo=()
    [ "$(id -u)" -eq 0 ] || sudo=(sudo)
    "${sudo[@]}" apt-get update -qq
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

work=target/ffmpeg-$version
tarball=$work/ffmpeg.tar.xz
rm -rf "$work" "$prefix"
mkdir -p "$work"
is_right() { echo "$sha256  $tarball" | sha256sum --check --status; }
if [ -n "${FFMPEG_TARBALL:-}" ]; then
    cp "$FFMPEG_TARBALL" "$tarball"
else
    for url in "${urls[@]}"; do
        echo "ffmpeg: fetching $url"
        if curl -fsSL --retry 2 -o "$tarball" "$url" && is_right; then
            break
        fi
    done
fi
if ! [ -e "$tarball" ] || ! is_right; then
    echo "ffmpeg: there is no ffmpeg $version of the right SHA-256; name a file in FFMPEG_TARBALL" >&2
    exit 1
fi
tar -xf "$tarball" -C "$work" --strip-components=1

echo "ffmpeg: building $version; the log is $work/build.log"
cd "$work"
# All that files may hold, and libx264 for the converter; nothing from the network. The command is what tests compare with.
{
    ./configure --prefix="$prefix" --enable-shared --disable-static --enable-rpath --disable-doc --disable-ffplay --disable-ffprobe \
        --disable-autodetect --disable-network --disable-avdevice \
        --disable-filters --enable-filter=scale,format,null,copy,crop,pad,transpose,hflip,vflip,rotate,trim,setpts,fps \
        --enable-gpl --enable-zlib --enable-libx264 --enable-libdav1d
    make -j"$(nproc)"
    make install
} >build.log 2>&1 || { tail -n 20 build.log >&2; exit 1; }
cd - >/dev/null
find "$work" -mindepth 1 -maxdepth 1 ! -name build.log -exec rm -rf {} +
echo "$version" >"$prefix/complete"
echo "ffmpeg: $version is in .ffmpeg; \`make\` uses it from now on, until it is removed"
