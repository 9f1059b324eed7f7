#!/usr/bin/env bash
# Builds FFmpeg's libraries of a current release into .ffmpeg, for `make` to use instead of the system's, which are older on most
# distributions and decode H.264 slower. Installs what that needs on Debian or Ubuntu; takes some ten minutes on two cores.
#
#   scripts/ffmpeg.sh            or: FFMPEG_TARBALL=ffmpeg-8.1.2.tar.xz scripts/ffmpeg.sh, where it was fetched before
set -euo pipefail
given=${FFMPEG_TARBALL:+$(realpath "$FFMPEG_TARBALL")}
cd "$(dirname "$0")/.."

version=8.1.2
sha256=464beb5e7bf0c311e68b45ae2f04e9cc2af88851abb4082231742a74d97b524c
urls=("https://ffmpeg.org/releases/ffmpeg-$version.tar.xz")
# The mirror that a Debian machine uses has the same file, as long as Debian has that version.
site=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 'Origin: Debian' 'Component: main' | head -n 1)
[ -z "$site" ] || urls+=("${site%/}/pool/main/f/ffmpeg/ffmpeg_$version.orig.tar.xz")
prefix=$PWD/.ffmpeg
if [ "$(cat "$prefix/complete" 2>/dev/null)" = "$version" ]; then
    echo "ffmpeg: $version is in .ffmpeg"
    exit 0
fi
if [[ $PWD = *[[:space:]]* ]]; then
    echo "ffmpeg: the linker does not find libraries in a folder with spaces in its name: $PWD" >&2
    exit 1
fi

packages=(ca-certificates curl xz-utils make gcc pkg-config nasm zlib1g-dev libbz2-dev libx264-dev libdav1d-dev)
scripts/apt-install.sh ffmpeg "${packages[@]}"

mkdir -p target
tarball=target/ffmpeg-$version.tar.xz
is_right() { echo "$sha256  $1" | sha256sum --check --status 2>/dev/null; }
if [ -n "$given" ]; then
    tarball=$given
elif ! is_right "$tarball"; then
    for url in "${urls[@]}"; do
        echo "ffmpeg: fetching $url"
        if curl -fsSL --connect-timeout 20 -o "$tarball" "$url" && is_right "$tarball"; then
            break
        fi
    done
fi
if ! is_right "$tarball"; then
    echo "ffmpeg: $tarball is not ffmpeg $version by its SHA-256; name another in FFMPEG_TARBALL" >&2
    exit 1
fi

work=target/ffmpeg-$version
rm -rf "$work"
mkdir "$work"
tar -xf "$tarball" -C "$work" --strip-components=1
cd "$work"
# What the system's has for videos, and libx264 for the converter; nothing from the network. The command is what tests compare with.
options=(
    --prefix="$prefix" --enable-shared --disable-static --enable-rpath --disable-doc --disable-ffplay --disable-ffprobe
    --disable-autodetect --disable-network --disable-avdevice
    --disable-filters --enable-filter=scale,format,null,copy,crop,pad,transpose,hflip,vflip,rotate,trim,select,setpts,fps
    --enable-gpl --enable-zlib --enable-bzlib --enable-libx264
)
if pkg-config --atleast-version=1.0.0 dav1d; then
    options+=(--enable-libdav1d)
else
    echo "ffmpeg: the system's dav1d is older than 1.0: AV1 will not be decoded"
fi
echo "ffmpeg: building $version; the log is $work/build.log"
if ! { ./configure "${options[@]}" && make -j"$(nproc)" && rm -rf "$prefix" && make install; } >build.log 2>&1; then
    tail -n 20 build.log >&2
    exit 1
fi
cd - >/dev/null
find "$work" -mindepth 1 -maxdepth 1 ! -name build.log -exec rm -rf {} +
# Bindings of another version are made anew: their build does not see that the headers changed.
rm -rf target/*/build/ffmpeg-sys-next-*
echo "$version" >"$prefix/complete"
echo "ffmpeg: $version is in .ffmpeg; \`make\` uses it from now on, until the folder is removed"
