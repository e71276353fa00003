#!/bin/sh
# Postgres on the volume /data, made at the first start. Nothing listens before the database is there.
set -eu
bin=$(echo /usr/lib/postgresql/*/bin)
export PGDATA=/data/db
mkdir -p /data /run/postgresql
chown postgres:postgres /data /run/postgresql
as_postgres() { setpriv --reuid postgres --regid postgres --init-groups "$@"; }
if [ ! -e "$PGDATA/PG_VERSION" ]; then
    as_postgres "$bin/initdb" --auth-local=trust --auth-host=trust --no-sync >/dev/null
    echo 'host all all all trust' >>"$PGDATA/pg_hba.conf"
fi
exec setpriv --reuid postgres --regid postgres --init-groups "$bin/postgres" -c listen_addresses='*' -c fsync=off
