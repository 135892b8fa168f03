#!/bin/sh
# Makes the cluster, and each service's role and database, when they are not there; then becomes the server.
set -eu
PATH="$PATH:$(echo /usr/lib/postgresql/*/bin | tr ' ' ':')"
export PGDATA=/var/lib/lykta/postgresql
if [ ! -f "$PGDATA/PG_VERSION" ]; then
    rm -rf "$PGDATA"
    initdb --username=postgres --auth=reject --encoding=UTF8 --locale=C --data-checksums --pgdata="$PGDATA"
fi
cp /etc/postgresql-lykta/postgresql.conf /etc/postgresql-lykta/pg_hba.conf "$PGDATA/"
for role in $LYKTA_ROLES; do
    if ! grep -qx "$role" "$PGDATA/lykta-roles" 2>/dev/null; then
        echo "CREATE ROLE \"$role\" LOGIN" | postgres --single -D "$PGDATA" postgres >/dev/null
        echo "CREATE DATABASE \"$role\" OWNER \"$role\"" | postgres --single -D "$PGDATA" postgres >/dev/null
        echo "REVOKE ALL ON DATABASE \"$role\" FROM PUBLIC" | postgres --single -D "$PGDATA" postgres >/dev/null
        echo "$role" >>"$PGDATA/lykta-roles"
    fi
done
# SIGTERM would wait for every client to leave; SIGINT ends their sessions and stops in order.
postgres -D "$PGDATA" &
server=$!
trap 'kill -INT "$server"' TERM INT
wait "$server" || true
wait "$server"
