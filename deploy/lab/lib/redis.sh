# shellcheck shell=bash
# The cluster's shared state: one Redis, synced at every write (a single instance must not forget a lease or an epoch),
# with a user for Gemel that can touch only its own keys and none of the server's settings.

emit_redis() {
    local dir=$LAB_DIR/$1
    cat >"$dir/users.acl" <<TEXT
user default off
user gemel on >$(<"$LAB_DIR/secrets/redis.pass") ~g1:{$LAB_CLUSTER}:* &g1:{$LAB_CLUSTER}:* +@all -@admin -@dangerous +info +role
user lab on >$(<"$LAB_DIR/secrets/redis-lab.pass") ~* &* +@all
TEXT
    cat >"$dir/redis.conf" <<TEXT
bind $(host_inside "$1")
port 6379
protected-mode no
daemonize no
pidfile $LAB_RUN/$1.redis.pid
dir $dir
aclfile $dir/users.acl
save ""
appendonly yes
appendfsync always
maxmemory-policy noeviction
TEXT
    chown -R redis: "$dir"
    chmod 640 "$dir/users.acl"
}

start_redis() { daemon_as redis "$1" redis-server "$LAB_DIR/$1/redis.conf"; }

redis_cli() {
    REDISCLI_AUTH=$(<"$LAB_DIR/secrets/redis-lab.pass") on_host redis \
        redis-cli -h "$(host_inside redis)" --user lab --no-auth-warning "$@"
}
ready_redis() { [ "$(redis_cli ping)" = PONG ]; }
