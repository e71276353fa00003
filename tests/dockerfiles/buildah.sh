#!/bin/bash
# buildah.sh FOLDER BASES: builds FOLDER/cases/* with buildah on the images of the archive BASES, two at a time.
#
# FOLDER/options/CASE has further words for the command line, one a line. What comes of it: FOLDER/theirs/CASE.log,
# CASE.json (the configuration, which an OCI layout has not whole), and the layers in the OCI layout FOLDER/theirs/layout.
# Buildah's own state is in memory, as it waits for the disk after every step, and in a mount namespace of its own, so
# that nothing stays.
set -eu
[ "${inside-}" ] || inside=yes exec unshare --mount "$0" "$@"

folder=$1
mkdir -p "$folder/theirs" "$folder/storage" "$folder/tmp"
for own in /run /var/lib "$folder/storage" "$folder/tmp"; do mount -t tmpfs tmpfs "$own"; done
cat > "$folder/storage.conf" <<END
[storage]
driver = "overlay"
graphroot = "$folder/storage"
runroot = "/run/storage"
END
echo '{"default": [{"type": "insecureAcceptAnything"}]}' > "$folder/policy.json"
echo 'unqualified-search-registries = ["docker.io"]' > "$folder/registries.conf"
: > "$folder/containers.conf"
export CONTAINERS_STORAGE_CONF=$folder/storage.conf CONTAINERS_REGISTRIES_CONF=$folder/registries.conf
export CONTAINERS_CONF=$folder/containers.conf TMPDIR=$folder/tmp HOME=$folder/tmp folder

for base in base/debian:12 base/busybox:1; do
    skopeo --policy "$folder/policy.json" copy -q "docker-archive:$2:docker.io/$base" "containers-storage:docker.io/$base"
done

build() {
    mapfile -t options < "$folder/options/$1"
    local at=$folder/theirs/$1 image=localhost/theirs/$1
    buildah build --signature-policy "$folder/policy.json" --layers --format docker --isolation chroot --network host \
        --identity-label=false --pull=never -t "$image" "${options[@]}" "$folder/cases/$1" < /dev/null > "$at.log" 2>&1 || return 0
    buildah inspect --type image "$image" > "$at.new"
    flock "$folder/lock" skopeo --policy "$folder/policy.json" copy -q --dest-oci-accept-uncompressed-layers \
        "containers-storage:$image" "oci:$folder/theirs/layout:$1" >> "$at.log" 2>&1
    mv "$at.new" "$at.json"
}
export -f build
ls "$folder/cases" | xargs -P 2 -I CASE bash -euc 'build CASE'
