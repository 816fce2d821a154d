#!/bin/sh
# Builds and pushes both images on a base that is named by its digest, and pins every image that
# compose.yaml names. Run it in the root of a checkout; podman (or docker) and skopeo are needed.
#
#     sh ops/deploy/release_images.sh REGISTRY TAG
#
# BASE is the base image, BUILDER the builder, BUILD_OPTIONS, PUSH_OPTIONS and INSPECT_OPTIONS go to the
# builder's `build` and `push` and to skopeo's `inspect`. OTHERS=no pins ours alone. Writes
# ops/deploy/compose/.env, which compose reads, and prints how the kustomization is told. What else
# stands in that file, such as RLWD_MODEL, stays.
#
# ROUTER=yes makes the router's image too, for full weights, in VLLM, which is vLLM's own and large.
set -eu
registry=${1:?the registry, as registry.example.com/team} tag=${2:?the tag}
builder=${BUILDER:-podman}
base=${BASE:-docker.io/library/python:3.11-slim-bookworm}
compose=ops/deploy/compose
# Health checks are Docker's format, and not OCI's.
export BUILDAH_FORMAT=docker

digest() {
    # shellcheck disable=SC2086  # several options
    skopeo inspect ${INSPECT_OPTIONS:-} --format '{{.Digest}}' "docker://$1"
}

pinned="${base%@*}@$(digest "$base")"
echo "base: $pinned"
images="gateway learner"
if test "${ROUTER:-no}" = yes; then
    vllm=${VLLM:-docker.io/vllm/vllm-openai:v0.32.0}
    vllm="${vllm%@*}@$(digest "$vllm")"
    images="$images router"
fi
pins="" edits=""
for image in $images; do
    name="$registry/rlwd-$image"
    case $image in
        router) set -- --file ops/deploy/Containerfile.router --build-arg "VLLM=$vllm" ;;
        *) set -- --file ops/deploy/Containerfile --target "$image" --build-arg "BASE=$pinned" ;;
    esac
    # shellcheck disable=SC2086
    "$builder" build ${BUILD_OPTIONS:-} "$@" --tag "$name:$tag" .
    # shellcheck disable=SC2086
    "$builder" push ${PUSH_OPTIONS:-} "$name:$tag"
    found=$(digest "$name:$tag")
    variable="RLWD_$(echo "$image" | tr '[:lower:]' '[:upper:]')_IMAGE"
    pins="$pins$variable=$name:$tag@$found
"
    edits="$edits rlwd-$image=$name@$found"
done

if test "${OTHERS:-yes}" = yes; then
    others=$(grep -o '[A-Z_]*_IMAGE:-[^}]*' "$compose/compose.yaml" | grep -v '^RLWD_' | sort -u)
    for other in $others; do
        image=${other#*:-}
        pins="$pins${other%%:-*}=$image@$(digest "$image")
"
    done
fi
set_here=$(printf '%s' "$pins" | cut -d = -f 1 | paste -s -d '|' -)
{ grep -vE "^($set_here)=" "$compose/.env" 2> /dev/null || true; printf '%s' "$pins"; } > "$compose/.env.next"
mv -f "$compose/.env.next" "$compose/.env"
echo "$compose/.env:" && cat "$compose/.env"
folder=kubernetes
test "${ROUTER:-no}" != yes || folder=kubernetes_router
echo "(cd ops/deploy/$folder && kustomize edit set image$edits)"
