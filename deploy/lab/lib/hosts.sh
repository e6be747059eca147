# shellcheck shell=bash
# Daemons of hosts: start, stop, kill, look. A host's role names the functions emit_ROLE, start_ROLE and ready_ROLE.

# Every daemon of ours is the leader of its own process group, and run/HOST.pid names it: one number is enough to
# signal it together with its children. A host's second daemon has run/HOST.WHAT.pid.
daemon() {
    local host=$1
    shift
    # setsid does not fork here (a background job of a script leads no group), so $! stays the daemon's own number.
    host_prefix "$host"
    setsid "${HOST_PREFIX[@]}" "$@" </dev/null >>"$LAB_DIR/log/$host.log" 2>&1 9>&- &
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

# The number may be another process's by now (a crashed lab): it must still live in the host's namespace.
pid_on_host() {
    [ -n "$2" ] && kill -0 "$2" 2>/dev/null || return 1
    if [ "$LAB_KIND" = machine ] && ! ns_exists "$1"; then return 0; fi
    [ "/proc/$2/ns/net" -ef "/run/netns/$LAB_PREFIX$1" ]
}
host_alive() { pid_on_host "$1" "$(host_pid "$1")"; }

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
# A daemon that has just begun is not in its namespace yet: dead is only a number that nobody has.
host_ready_or_dead() {
    { [ -s "$LAB_RUN/$1.pid" ] && ! kill -0 "$(host_pid "$1")" 2>/dev/null; } || "ready_$(host_role "$1")" "$1"
}

# host_signal HOST SIGNAL: to the groups of all its daemons, and waits until nothing of them is left.
host_signal() {
    local host=$1 signal=$2 file pid limit groups=()
    for file in "$LAB_RUN/$host".*pid; do
        if pid_on_host "$host" "$(cat "$file" 2>/dev/null)"; then groups+=("$(<"$file")"); fi
        rm -f "$file"
    done
    for pid in "${groups[@]}"; do kill -"$signal" -- "-$pid" 2>/dev/null || true; done
    for limit in {1..200}; do
        groups_alive "${groups[@]}" || return 0
        if [ "$limit" = 150 ]; then for pid in "${groups[@]}"; do kill -KILL -- "-$pid" 2>/dev/null || true; done; fi
        sleep 0.05
    done
    echo "$host: processes ${groups[*]} do not end"
    return 1
}
# A zombie is gone for us, whenever its parent gets around to it.
groups_alive() { ps -eo pgid=,stat= | awk -v g=" $* " 'index(g, " " $1 " ") && $2 !~ /^Z/ { n++ } END { exit !n }'; }

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

# Everything but what is dear: the certificates and secrets.
lab_wipe() {
    local entry
    mkdir -p "$LAB_DIR" "$LAB_RUN"
    chmod 755 "$LAB_DIR" "$LAB_RUN"
    for entry in "$LAB_DIR"/*; do
        case ${entry##*/} in pki | secrets) ;; *) rm -rf "$entry" ;; esac
    done
    mkdir -p "$LAB_DIR/log" "$LAB_DIR/mail"
}

# lab_emit HOST...: everything that is a file.
lab_emit() {
    pki_all
    secrets_all
    programs_install
    emit_cluster
    hosts_each host_emit "$@"
}

lab_start() {
    hosts_parallel host_start "$@"
    hosts_parallel host_wait "$@"
}
