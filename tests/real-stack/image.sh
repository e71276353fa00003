#!/bin/sh
# image.sh FOLDER: makes FOLDER/shop.tar, an image archive as `docker save` writes it, from this machine's Debian packages.
#
# Two layers: Debian with nginx, redis, postgres and python, plain, made once; and the folder `app`, compressed.
set -eu

out=$1
app=$(dirname "$(readlink -f "$0")")/app
packages=nginx-light,redis-server,postgresql,python3-minimal,python3-psycopg2,python3-redis
base=$out/debian-2.tar
mkdir -p "$out"

if [ ! -e "$base" ]; then
    . /etc/os-release
    # In memory, as dpkg waits for the disk after every file; libLLVM is a third of postgres and only makes it faster.
    unshare --mount sh -eu -c '
        mount -t tmpfs -o size=3g tmpfs /mnt
        TMPDIR=/mnt mmdebstrap --quiet --mode=root --format=tar --variant=minbase --include="$1" \
            --aptopt="APT::Install-Recommends \"false\"" \
            --dpkgopt="path-exclude=/usr/share/doc/*" --dpkgopt="path-exclude=/usr/share/man/*" \
            --dpkgopt="path-exclude=/usr/share/locale/*" --dpkgopt="path-exclude=/usr/lib/*/libLLVM*" \
            --customize-hook='\''rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/*'\'' "$2" "$3.new"
        mv "$3.new" "$3"
    ' sh "$packages" "$VERSION_CODENAME" "$base"
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tar --create --file "$work/app.tar" --owner=0 --group=0 --mtime=@0 --sort=name --directory "$app" \
    --transform 's,^\.,srv/app,' .
id() { sha256sum "$1" | cut -d' ' -f1; }
base_id=$(cat "$base.sha256" 2>/dev/null || id "$base" | tee "$base.sha256")
app_id=$(id "$work/app.tar")
gzip -n "$work/app.tar"
ln -s "$base" "$work/debian.tar"
case $(uname -m) in aarch64) arch=arm64 ;; *) arch=amd64 ;; esac
cat >"$work/config.json" <<END
{"architecture":"$arch","os":"linux",
 "config":{"Env":["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin","APP=/srv/app"],
           "Cmd":["sh","-c","echo name a command; exit 1"],"WorkingDir":"/srv/app"},
 "rootfs":{"type":"layers","diff_ids":["sha256:$base_id","sha256:$app_id"]},
 "history":[{"created_by":"mmdebstrap"},{"created_by":"tar"}]}
END
cat >"$work/manifest.json" <<END
[{"Config":"config.json","RepoTags":["hoist-test/shop:1"],"Layers":["debian.tar","app.tar.gz"]}]
END
tar --create --dereference --file "$out/shop.tar.new" --directory "$work" manifest.json config.json debian.tar app.tar.gz
mv "$out/shop.tar.new" "$out/shop.tar"
