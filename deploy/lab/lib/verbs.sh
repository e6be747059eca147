# shellcheck shell=bash
# The commands of deploy/lab/run that look at, or poke, a running lab.

cmd_down() {
    step "everything stopped, namespaces removed" net_down
    rm -rf "$LAB_RUN"
    if [ "${1:-}" = --purge ]; then
        rm -rf "$LAB_DIR"
        ui_ok "$LAB_DIR removed"
    fi
}

cmd_status() {
    local host legs state
    printf '%-9s %-12s %-22s %-36s %s\n' HOST ROLE NAME ADDRESSES DAEMON
    for host in $(hosts_all); do
        legs=$(host_legs "$host" | awk '{ printf "%s%s", sep, $2; sep = ", " }')
        if ! host_has_daemon "$host"; then state='-'
        elif host_alive "$host"; then state="up (pid $(host_pid "$host"))"
        else state="${ui_red}down${ui_off}"; fi
        printf '%-9s %-12s %-22s %-36s %s\n' "$host" "$(host_role "$host")" "$(host_name "$host")" "$legs" "$state"
    done
    if gemel_has gemelctl; then
        echo
        cmd_ctl status || true
    fi
}

cmd_exec() {
    local host=${1:?exec needs a host}
    shift
    host_known "$host"
    PATH=$LAB_DIR/bin:$PATH on_host "$host" "$@"
}

# gemelctl speaks to the admin socket, which lies in the file system and knows no namespace; it runs on the host
# nevertheless, so that what it looks up itself is seen from there.
cmd_ctl() {
    local host=coord1
    case ${MAP_ROLE[${1:-none}]:-} in node | coordinator) host=$1; shift ;; esac # "dnsbl" is a host too, and a command
    gemel_has gemelctl || die "there is no gemelctl in $GEMEL_BUILD/bin"
    on_host "$host" "$LAB_DIR/bin/gemelctl" --admin "$LAB_RUN/$host/admin.sock" "$@"
}

cmd_logs() {
    local host=${1:?logs needs a host}
    host_known "$host"
    if [ "${2:-}" = -f ]; then exec tail -n 50 -F "$LAB_DIR/log/$host.log"; fi
    cat "$LAB_DIR/log/$host.log"
}

cmd_daemons() {
    local verb=$1 host
    shift
    [ $# -gt 0 ] || die "$verb needs a host"
    for host in "$@"; do host_known "$host"; done
    for host in "$@"; do
        case $verb in
        start) step "$host started" lab_start "$host" ;;
        stop) step "$host stopped" host_signal "$host" TERM ;;
        kill) step "$host killed" host_signal "$host" KILL ;;
        esac
    done
}

# list IP | delist IP. rbldnsd looks at its files each second; the signal makes it look now. Waits until the list's own
# server and the resolver (whose last answer may live for another second) both say it.
cmd_listing() {
    local verb=$1 address='' zone=${LAB_DNSBLS%% *} file entry
    shift
    while [ $# -gt 0 ]; do
        case $1 in
        --zone) zone=${2:?--zone needs a name}; shift ;;
        -*) die "$verb: unknown option $1" ;;
        *) address=$1 ;;
        esac
        shift
    done
    [[ $address =~ ^[0-9]+(\.[0-9]+){3}(/[0-9]+)?$ ]] || die "$verb needs an IPv4 address or prefix"
    file=$(dnsbl_file "$zone")
    [ -e "$file" ] || die "there is no list '$zone' (lists: $LAB_DNSBLS)"
    entry=$(grep -vxF "$address" "$file")
    if [ "$verb" = list ]; then entry+=$'\n'$address; fi
    printf '%s\n' "$entry" >"$file.new"
    chmod 644 "$file.new"
    mv "$file.new" "$file"
    kill -HUP "$(host_pid dnsbl)"
    if [ "$verb" = list ]; then step "$address is in $zone" listing_wait "$zone" "${address%/*}" listed
    else step "$address is no longer in $zone" listing_wait "$zone" "${address%/*}" clean; fi
}

listing_wait() {
    local zone=$1 wanted=$3 a b c d server
    IFS=. read -r a b c d <<<"$2"
    for server in "$(host_public dnsbl)" "$(host_public resolver)"; do
        wait_for 10 "$server" "$LAB_DIR/log/dnsbl.log" listing_is "$server" "$d.$c.$b.$a.$zone" "$wanted"
    done
}

# dig tells "no such name" from "no answer" by its status line; only the first is clean.
listing_is() {
    local answer
    answer=$(on_host client dig +time=1 +tries=1 "@$1" "$2" A)
    case $3 in
    listed) grep -q '[[:space:]]A[[:space:]]*127\.0\.0\.' <<<"$answer" ;;
    clean) grep -q 'status: NXDOMAIN' <<<"$answer" ;;
    esac
}

send_usage() {
    cat <<TEXT
usage: deploy/lab/run send [OPTION...] [-- SWAKS-OPTION...]
  --via HOST        edge to submit to (default edge1)
  --port 25|587     25: as the inside server, a smart host's client (default); 587: TLS and a password
  --from ADDRESS    default alice@$LAB_DOMAIN
  --to ADDRESS      default user@$(host_name rcv1)
  --subject TEXT    default "lab message N"
  --count N         default 1
  --outside         from the client host on the Internet to the edge's public port 25
TEXT
}

cmd_send() {
    local via=edge1 port=25 from=alice@$LAB_DOMAIN to subject='' count=1 host=inside server n options=()
    to=user@$(host_name rcv1)
    while [ $# -gt 0 ]; do
        case $1 in
        --via) via=$2; shift ;;
        --port) port=$2; shift ;;
        --from) from=$2; shift ;;
        --to) to=$2; shift ;;
        --subject) subject=$2; shift ;;
        --count) count=$2; shift ;;
        --outside) host=client ;;
        --) shift; options=("$@"); break ;;
        *) send_usage; [ "$1" = --help ] && exit 0; exit 2 ;;
        esac
        shift
    done
    host_known "$via"
    server=$(host_inside "$via")
    if [ "$host" = client ]; then server=$(host_public "$via"); fi
    if [ "$port" = 587 ]; then
        options+=(--tls --auth PLAIN --auth-user "$from" --auth-password "$(<"$LAB_DIR/secrets/${from%@*}.pass")")
    fi
    for ((n = 1; n <= count; n++)); do
        on_host "$host" swaks --silent 2 --server "$server" --port "$port" --helo "$(host_name "$host")" \
            --from "$from" --to "$to" --header "Subject: ${subject:-lab message $n}" \
            --header "Message-Id: <$(now_ms).$n.$$@$(host_name "$host")>" \
            --body "Message $n of $count, sent $(date +%FT%T%z) by deploy/lab/run." "${options[@]}" || return 1
    done
    ui_ok "$count accepted by $via"
}
