# shellcheck shell=bash
# Daemons of hosts: start, stop, kill, look. A host's role names the functions emit_ROLE, start_ROLE and ready_ROLE.

# Every daemon of ours is the leader of its own process group, and run/HOST.pid names it: one number is enough to
# signal it together with its children.
daemon() {
    local host=$1
    shift
    # setsid does not fork here (a background job of a script leads no group), so $! stays the daemon's own number.
    if [ "$LAB_KIND" = machine ] && ! ns_exists "$host"; then
        setsid "$@" </dev/null >>"$LAB_DIR/log/$host.log" 2>&1 9>&- &
    else
        setsid ip netns exec "$LAB_PREFIX$host" "$@" </dev/null >>"$LAB_DIR/log/$host.log" 2>&1 9>&- &
    fi
    echo $! >"$LAB_RUN/$host.pid"
    disown
}

# daemon_as USER HOST COMMAND...: without root's rights, but able to bind port 25.
daemon_as() {
    local user=$1 host=$2 group
    shift 2
    group=$(id -gn "$user")
    daemon "$host" setpriv --reuid "$user" --regid "$group" --clear-groups --bounding-set=-all,+net_bind_service \
        --inh-caps=-all,+net_bind_service --ambient-caps=-all,+net_bind_service --no-new-privs "$@"
}

host_pid() { cat "$LAB_RUN/$1.pid" 2>/dev/null || true; }

# The pid may be another process's by now (a crashed lab, a reused number): it must still live in the host's namespace.
host_alive() {
    local pid
    pid=$(host_pid "$1")
    [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null || return 1
    if [ "$LAB_KIND" = machine ] && ! ns_exists "$1"; then return 0; fi
    [ "/proc/$pid/ns/net" -ef "/run/netns/$LAB_PREFIX$1" ]
}

host_has_daemon() {
    case $(host_role "$1") in
    client) return 1 ;;
    node) gemel_has gemel-node ;;
    coordinator) gemel_has gemel-coordinator ;;
    esac
}

host_known() { [ -n "${MAP_ROLE[$1]:-}" ] || die "there is no host '$1' (hosts: $(hosts_all | tr '\n' ' '))"; }

host_emit() {
    local role
    role=$(host_role "$1")
    mkdir -p "$LAB_DIR/$1" "$LAB_DIR/log"
    if declare -F "emit_$role" >/dev/null; then "emit_$role" "$1"; fi
}

host_start() {
    if host_has_daemon "$1" && ! host_alive "$1"; then
        rm -f "$LAB_RUN/$1.pid"
        "start_$(host_role "$1")" "$1"
    fi
}

host_wait() {
    if ! host_has_daemon "$1"; then return; fi
    wait_for 20 "$1" "$LAB_DIR/log/$1.log" host_ready_or_dead "$1" || return 1
    host_alive "$1" && return
    echo "$1: its daemon has ended; the end of $LAB_DIR/log/$1.log:"
    tail -n 20 "$LAB_DIR/log/$1.log"
    return 1
}
host_ready_or_dead() { { [ -s "$LAB_RUN/$1.pid" ] && ! host_alive "$1"; } || "ready_$(host_role "$1")" "$1"; }

# host_signal HOST SIGNAL: to the daemon's whole group, and waits until nothing of it is left.
host_signal() {
    local host=$1 signal=$2 pid limit
    host_alive "$host" || return 0
    pid=$(host_pid "$host")
    kill -"$signal" -- "-$pid"
    for limit in {1..200}; do
        kill -0 -- "-$pid" 2>/dev/null || { rm -f "$LAB_RUN/$host.pid"; return 0; }
        [ "$limit" -ne 150 ] || kill -KILL -- "-$pid" 2>/dev/null || true
        sleep 0.05
    done
    echo "$host: process $pid does not end"
    return 1
}

hosts_each() {
    local what=$1 host
    shift
    for host in "$@"; do "$what" "$host"; done
}

# The same for all at once; fails if one fails.
hosts_parallel() {
    local what=$1 host jobs=() job failed=0
    shift
    for host in "$@"; do "$what" "$host" & jobs+=($!); done
    for job in "${jobs[@]}"; do wait "$job" || failed=1; done
    return $failed
}
