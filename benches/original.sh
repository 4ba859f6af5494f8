#!/usr/bin/env bash
# Sets the original voting page beside ours: benches/original.sh FOLDER, a copy of
# https://github.com/dockersamples/example-voting-app. It needs Docker and the images that the original is built from, and
# is not part of any check.
set -euo pipefail
original=${1:?the folder of the original voting app}
cd "$(dirname "${BASH_SOURCE[0]}")/.."

name=original-vote-$$
cleanup() {
    docker rm --force "$name" "$name-redis" >/dev/null 2>&1 || true
    docker network rm "$name" >/dev/null 2>&1 || true
    docker image rm "$name" >/dev/null 2>&1 || true
}
trap cleanup EXIT

# Its own Redis, as its compose file has it. `final` is gunicorn with four workers; the stage before is for developers.
docker build --quiet --target final --tag "$name" "$original/vote"
docker network create "$name"
docker run --detach --name "$name-redis" --network "$name" --network-alias redis redis:alpine
docker run --detach --name "$name" --network "$name" --publish 127.0.0.1::80 "$name"
address=$(docker port "$name" 80/tcp | head -n 1)
until curl --silent --fail --output /dev/null "http://$address/"; do sleep 0.5; done

cargo bench -p benches -- "--original=$address" original
