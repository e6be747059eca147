# shellcheck shell=bash
# The small Internet's wires: one network namespace per host, and one ("net") that is switch, router and firewall.
#
# Cables are made between two namespaces directly; no interface, address, route or rule of the machine's own network
# is read or changed. /etc/netns/NAME holds what `ip netns exec` mounts over /etc for the host: its resolver, an
# empty hosts file, and an nsswitch.conf that cannot lead around that resolver (systemd-resolved, mDNS).

topology_rows() { grep -Ev '^[[:space:]]*(#|$)' <<<"$1"; }

# The map in associative arrays, read once: the functions below are asked hundreds of times.
declare -gA MAP_ROLE=() MAP_NAME=() MAP_LEGS=() MAP_PREFIX=() MAP_ROUTER=()
MAP_HOSTS=() MAP_NETWORKS=()

topology_load() {
    local name role fqdn legs
    while read -r name role fqdn legs; do
        MAP_HOSTS+=("$name")
        MAP_ROLE[$name]=$role MAP_NAME[$name]=$fqdn MAP_LEGS[$name]=$legs
    done < <(topology_rows "$LAB_HOSTS")
    while read -r name role fqdn; do
        MAP_NETWORKS+=("$name")
        MAP_PREFIX[$name]=$role MAP_ROUTER[$name]=$fqdn
    done < <(topology_rows "$LAB_NETWORKS")
}
topology_load

host_role() { echo "${MAP_ROLE[$1]}"; }
host_name() { echo "${MAP_NAME[$1]}"; }
hosts_all() { printf '%s\n' "${MAP_HOSTS[@]}"; }
hosts_with_role() { local h; for h in "${MAP_HOSTS[@]}"; do [ "${MAP_ROLE[$h]}" != "$1" ] || echo "$h"; done; }

# host_legs HOST: one "network address" a line; the public leg comes first in the map.
host_legs() { local leg; for leg in ${MAP_LEGS[$1]}; do echo "${leg%=*} ${leg#*=}"; done; }
host_inside() { local leg; for leg in ${MAP_LEGS[$1]}; do [ "${leg%=*}" != inside ] || echo "${leg#*=}"; done; }
host_public() { local leg=${MAP_LEGS[$1]%% *}; [ "${leg%=*}" = inside ] || echo "${leg#*=}"; }
host_address() { local leg=${MAP_LEGS[$1]%% *}; echo "${leg#*=}"; }

network_prefix() { echo "${MAP_PREFIX[$1]}"; }
network_router() { echo "${MAP_ROUTER[$1]}"; }

resolver_for() { if [ -n "$(host_inside "$1")" ]; then host_inside resolver; else host_public resolver; fi; }

ns() { echo "$LAB_PREFIX$1"; }
ns_exists() { [ -e "/run/netns/$LAB_PREFIX$1" ]; }

# host_prefix HOST: puts into HOST_PREFIX the words before a command that is to run as on that host. On a virtual
# machine the host is the machine itself. `ip netns exec` mounts our files over those of /etc; where there is no
# /etc/resolv.conf to mount over, our files are laid over /etc as a whole.
host_prefix() {
    local name=$LAB_PREFIX$1
    if [ "$LAB_KIND" = machine ] && ! ns_exists "$1"; then
        HOST_PREFIX=(env)
    elif [ -e /etc/resolv.conf ]; then
        HOST_PREFIX=(ip netns exec "$name")
    else
        # shellcheck disable=SC2016
        HOST_PREFIX=(nsenter "--net=/run/netns/$name" unshare --mount sh -c
            'mount -t overlay -o "lowerdir=$0:/etc" overlay /etc && exec "$@"' "$LAB_RUN/etc/$1")
    fi
}

on_host() {
    host_prefix "$1"
    shift
    "${HOST_PREFIX[@]}" "$@"
}

host_etc() {
    local dir=$LAB_RUN/etc/$1
    mkdir -p "$dir" "/etc/netns/$LAB_PREFIX$1"
    echo "nameserver $(resolver_for "$1")" >"$dir/resolv.conf"
    printf '127.0.0.1 localhost\n' >"$dir/hosts"
    printf 'passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nservices: files\nprotocols: files\n' \
        >"$dir/nsswitch.conf"
    cp "$dir"/* "/etc/netns/$LAB_PREFIX$1/"
}

# Statements for `ip -batch` in the namespace of one host.
host_net_batch() {
    local host=$1 network address gateway=''
    echo "link set lo up"
    while read -r network address; do
        echo "address add $address/24 dev $network"
        echo "link set $network up"
        if [ -z "$gateway" ] || [ "$network" != inside ]; then gateway=$(network_router "$network"); fi
    done < <(host_legs "$host")
    echo "route add default via $gateway"
}

net_router_batch() {
    local network prefix host address
    echo "link set lo up"
    for network in "${MAP_NETWORKS[@]}"; do
        prefix=$(network_prefix "$network")
        echo "link add $network type bridge"
        echo "address add $(network_router "$network")/${prefix#*/} dev $network"
        echo "link set $network up"
    done
    for host in "$@"; do
        while read -r network address; do
            echo "link add $host-$network type veth peer name $network netns $LAB_PREFIX$host"
            echo "link set $host-$network master $network up"
        done < <(host_legs "$host")
    done
}

# The company's firewall: inside hosts go out under the router's address, nobody comes in by it. The edges do not
# pass here: each has its own public address on its own line.
net_firewall() {
    cat <<TEXT
table ip lab
delete table ip lab
table ip lab {
    chain forward {
        type filter hook forward priority 0; policy accept;
        ct state established,related accept
        iifname != "inside" oifname "inside" drop
    }
    chain out {
        type nat hook postrouting priority 100;
        ip saddr $(network_prefix inside) oifname != "inside" masquerade
    }
}
TEXT
}

# The machine may have loaded br_netfilter (Docker does): then switched frames would meet the firewall as well.
net_sysctl() {
    sysctl -qw net.ipv4.ip_forward=1
    if [ -e /proc/sys/net/bridge/bridge-nf-call-iptables ]; then
        sysctl -qw net.bridge.bridge-nf-call-iptables=0 || true
    fi
}

# net_up HOST...: the router and the named hosts.
net_up() {
    local host
    for host in net "$@"; do
        ip netns add "$LAB_PREFIX$host"
        if [ "$host" != net ]; then host_etc "$host"; fi
        ip netns exec "$LAB_PREFIX$host" sh -c 'echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6' 2>/dev/null || true
    done
    net_router_batch "$@" | ip -n "${LAB_PREFIX}net" -batch -
    ip netns exec "${LAB_PREFIX}net" bash -c "$(declare -f net_sysctl); net_sysctl"
    net_firewall | ip netns exec "${LAB_PREFIX}net" nft -f -
    for host in "$@"; do
        host_net_batch "$host" | ip -n "$LAB_PREFIX$host" -batch -
    done
}

net_names() { ip netns list 2>/dev/null | awk -v p="$LAB_PREFIX" 'index($1, p) == 1 { print $1 }'; }

# Ends every process that lives in one of the lab's namespaces (they are the lab's, whoever started them), then the
# namespaces. Works without any pid file, so a crashed lab is cleaned up as well.
net_down() {
    local name pids tries
    for tries in {1..60}; do
        pids=''
        for name in $(net_names); do pids+=" $(ip netns pids "$name" 2>/dev/null | tr '\n' ' ')"; done
        [ -n "${pids// /}" ] || break
        # shellcheck disable=SC2086
        case $tries in
        1) kill -TERM $pids 2>/dev/null || true; kill -CONT $pids 2>/dev/null || true ;;
        40 | 50) kill -KILL $pids 2>/dev/null || true ;;
        esac
        sleep 0.05
    done
    for name in $(net_names); do
        ip netns del "$name"
        rm -rf "/etc/netns/$name"
    done
    rmdir /etc/netns 2>/dev/null || true
}
