#!/usr/bin/env bash
# Installs those of the packages that are missing, on Debian or Ubuntu; says which, and uses sudo only when not root.
# Usage: apt-install.sh WHO PACKAGE...
set -euo pipefail

who=$1
shift
missing=()
for package in "$@"; do
    status=$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null || true)
    [ "$status" = "install ok installed" ] || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
    echo "$who: installing with apt-get: ${missing[*]}"
    sudo=()
    [ "$(id -u)" -eq 0 ] || sudo=(sudo)
    "${sudo[@]}" apt-get update -qq
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi
