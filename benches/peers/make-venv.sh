#!/usr/bin/env bash
# Makes .venv-peers, with the peers that framefeed is compared with. It is no part of framefeed's own environment .venv, but
# sees that one's packages behind its own, so that torch need not be there twice.
set -euo pipefail
cd "$(dirname "$0")/../.."

if [ ! -x .venv-peers/bin/python ]; then
    echo "peers: creating .venv-peers"
    .venv/bin/python -m venv .venv-peers
fi
site() { "$1" -c 'import sysconfig; print(sysconfig.get_path("purelib"))'; }
site .venv/bin/python > "$(site .venv-peers/bin/python)/framefeed-environment.pth"
echo "peers: installing what benches/peers/requirements.txt names"
.venv-peers/bin/python -m pip install -q -r benches/peers/requirements.txt
