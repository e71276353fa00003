#!/bin/sh
# The repositories of these scenarios, below $1/served. What is hostile in them would write $1/harm or read $1/outside.
set -e
at=$1
export HOME="$at" GIT_CONFIG_NOSYSTEM=1
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.org GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@example.org
mkdir -p "$at/work" "$at/served" "$at/home"

publish() { # NAME
    git -C "$at/work/$1" add -A
    git -C "$at/work/$1" commit -qm "$2"
    git clone -q --bare "$at/work/$1" "$at/served/$1.git"
    git -C "$at/served/$1.git" update-server-info
}
start() { git init -q -b main "$at/work/$1"; cd "$at/work/$1"; }

start note
echo 'NOTE=of a submodule' > note
publish note one

start shop
mkdir deploy parts app
cat > deploy/stack.yaml <<'END'
name: shop
include: [../parts/db.yaml]
services:
  web:
    extends: { file: ../parts/base.yaml, service: base }
    command: [sh, -c, 'cat /motto /data/page; echo $$FROM; exec sleep 100000']
    env_file: web.env
    configs: [{ source: motto, target: /motto }]
    volumes: ['./data:/data:ro']
configs:
  motto: { file: motto }
END
mkdir deploy/data
echo 'a page of the repository' > deploy/data/page
echo 'a motto' > deploy/motto
echo FROM=git > deploy/web.env
cat > parts/base.yaml <<'END'
services:
  base: { x-hoist: { rootfs: / }, stop_grace_period: 1s, init: true }
END
cat > parts/db.yaml <<'END'
services:
  db:
    extends: { file: base.yaml, service: base }
    command: [sh, -c, 'head -n 1 /parts/db.yaml; exec sleep 100000']
    volumes: ['.:/parts:ro']
END
cat > compose.yaml <<'END'
services: { top: { image: top } }
END
cp /bin/busybox app/busybox
cat > app/Dockerfile <<'END'
FROM scratch
COPY busybox /bin/busybox
COPY . /app
CMD ["/bin/busybox", "sh", "-c", "busybox ls -A /app; busybox cat /app/page; exec busybox sleep 100000"]
END
printf 'Dockerfile\nout\n' > app/.dockerignore
echo 'page one' > app/page
ln -s "$at/outside" out
ln -s "$at/outside" app/out
ln -s "$at/outside/Dockerfile" app/Leak
ln -s "$at/outside/secret.env" secret.env
cat > leak.yaml <<'END'
services: { a: { image: x, env_file: secret.env } }
END
cat > config.yaml <<'END'
services: { a: { image: x, configs: [c] } }
configs: { c: { file: app/out/secret.env } }
END
cat > circle.yaml <<'END'
include: ['http://127.0.0.1:8081/smart/shop.git#main:circle.yaml']
services: { a: { image: x } }
END
mkdir "$at/outside"
echo 'SECRET=of-this-machine' > "$at/outside/secret.env"
echo 'SECRET of-this-machine' > "$at/outside/Dockerfile"
cp compose.yaml "$at/outside/compose.yaml"
git add -A
git commit -qm one
git tag -a -m v1 v1
echo 'services: { tagged: { image: x } }' > after.yaml
git add -A
git commit -qm two
git checkout -q -b deep/main
echo 'services: { deep: { image: x } }' > compose.yaml
publish shop three
git -C "$at/served/shop.git" symbolic-ref HEAD refs/heads/main
git -C "$at/served/shop.git" update-ref refs/pull/7/head deep/main
git -C "$at/served/shop.git" update-server-info
git checkout -q main

# With a submodule, relative to its own address.
start joined
cat > .gitmodules <<'END'
[submodule "note"]
	path = note
	url = ../note.git
END
git update-index --add --cacheinfo "160000,$(git -C "$at/work/note" rev-parse HEAD),note"
echo 'services: { a: { image: x, env_file: [{ path: note/note, format: raw }] } }' > compose.yaml
git add .gitmodules compose.yaml
git commit -qm one
git clone -q --bare . "$at/served/joined.git"

for evil in "ext::sh -c touch% $at/harm" "--upload-pack=touch $at/harm" "file://$at/served/note.git"; do
    count=$((count + 1))
    start "evil$count"
    printf '[submodule "note"]\n\tpath = note\n\turl = "%s"\n' "$evil" > .gitmodules
    git update-index --add --cacheinfo "160000,$(git -C "$at/work/note" rev-parse HEAD),note"
    echo 'services: { a: { image: x } }' > compose.yaml
    git add .gitmodules compose.yaml
    git commit -qm one
    git clone -q --bare . "$at/served/evil$count.git"
done
