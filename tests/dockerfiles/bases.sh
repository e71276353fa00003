#!/bin/sh
# bases.sh FOLDER: makes FOLDER/bases.tar, an image archive as `docker save` writes it, from this machine's Debian
# packages: base/debian:12, Debian's essential packages and a few tools; base/busybox:1, one program by all its names.
set -eu

out=$1
mkdir -p "$out"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
. /etc/os-release

# In memory, as dpkg waits for the disk after every file. Without what no test reads.
unshare --mount sh -eu -c '
    mount -t tmpfs -o size=2g tmpfs /mnt
    TMPDIR=/mnt mmdebstrap --quiet --mode=root --format=tar --variant=essential --include=passwd,libcap2-bin,attr \
        --aptopt="APT::Install-Recommends \"false\"" \
        --dpkgopt="path-exclude=/usr/share/doc/*" --dpkgopt="path-exclude=/usr/share/man/*" \
        --dpkgopt="path-exclude=/usr/share/locale/*" --dpkgopt="path-exclude=/usr/share/info/*" \
        --dpkgopt="path-exclude=/usr/lib/*/gconv/*" --dpkgopt="path-exclude=/usr/share/zoneinfo/*" \
        --customize-hook='\''rm -rf "$1"/var/lib/apt/* "$1"/var/cache/* "$1"/var/log/*'\'' "$1" "$2"
' sh "$VERSION_CODENAME" "$work/debian.tar"

mkdir "$work/busybox"
(
    cd "$work/busybox"
    mkdir bin etc root tmp usr usr/bin var
    chmod 700 root
    chmod 1777 tmp
    cp "$(command -v busybox)" bin/busybox
    for name in $(busybox --list); do [ "$name" = busybox ] || ln -s busybox "bin/$name"; done
    printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n' > etc/passwd
    printf 'root:x:0:\nnogroup:x:65534:\n' > etc/group
    tar --create --file ../busybox.tar --owner=0 --group=0 --mtime=@1000000000 --sort=name *
)

case $(uname -m) in aarch64) arch=arm64 ;; *) arch=amd64 ;; esac
config() { # NAME COMMAND
    cat > "$work/$1.json" <<END
{"architecture":"$arch","os":"linux","created":"2024-01-01T00:00:00Z",
 "config":{"Env":["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],"Cmd":["$2"]},
 "rootfs":{"type":"layers","diff_ids":["sha256:$(sha256sum "$work/$1.tar" | cut -d' ' -f1)"]},
 "history":[{"created":"2024-01-01T00:00:00Z","created_by":"bases.sh"}]}
END
}
config debian bash
config busybox sh
cat > "$work/manifest.json" <<END
[{"Config":"debian.json","RepoTags":["base/debian:12"],"Layers":["debian.tar"]},
 {"Config":"busybox.json","RepoTags":["base/busybox:1"],"Layers":["busybox.tar"]}]
END
tar --create --file "$out/bases.tar.new" --directory "$work" manifest.json debian.json busybox.json debian.tar busybox.tar
mv "$out/bases.tar.new" "$out/bases.tar"
