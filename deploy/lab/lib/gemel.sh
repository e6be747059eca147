# shellcheck shell=bash
# Gemel itself: its configuration from the templates, and its two daemons.
#
# The binaries are copied out of the build tree, so that a rebuild does not disturb a running lab, and run as `nobody`
# with the one capability they need. A build that lacks them leaves a lab of everything else.

GEMEL_BUILD=${GEMEL_BUILD:-$REPO/build/release}

programs_install() {
    local program
    mkdir -p "$LAB_DIR/bin"
    rm -f "$LAB_DIR"/bin/*
    install -m 755 "$LAB_HOME/spf-policy" "$LAB_DIR/bin/"       # its user may not be able to read a checkout
    for program in gemel-node gemel-coordinator gemelctl; do
        if [ -x "$GEMEL_BUILD/bin/$program" ]; then install -m 755 "$GEMEL_BUILD/bin/$program" "$LAB_DIR/bin/"; fi
    done
}

gemel_has() { [ -x "$LAB_DIR/bin/$1" ]; }

# render TEMPLATE: replaces each @NAME@ by the variable of that name (LAB_... from the map, others from the caller).
render() {
    local text name
    text=$(<"$1")
    while [[ $text =~ @([A-Z_]+)@ ]]; do
        name=${BASH_REMATCH[1]}
        [ -n "${!name+set}" ] || die "$1: @$name@ has no value"
        text=${text//"@$name@"/"${!name}"}
    done
    printf '%s\n' "$text"
}

# List items of cluster.yaml, made from the map.
cluster_lines() {
    local host zone
    case $1 in
    identities)
        for host in $(hosts_with_role node); do
            echo "  - { name: $host, node: $host, ip: $(host_public "$host"), helo: $(host_name "$host") }"
        done ;;
    nodes)
        for host in $(hosts_with_role node); do
            echo "  - { name: $host, handoff: \"$(host_inside "$host"):7301\", http: \"$(host_inside "$host"):9301\" }"
        done ;;
    coordinators)
        for host in $(hosts_with_role coordinator); do
            echo "  - { name: $host, link: \"$(host_inside "$host"):7300\", http: \"$(host_inside "$host"):9300\" }"
        done ;;
    blocklists)
        for zone in $LAB_DNSBLS; do
            echo "  - { zone: $zone, codes: [ 2-11 ], weight: 5, delist: \"https://${zone#*.}/delist\" }"
        done ;;
    esac
}

# shellcheck disable=SC2034  # the variables are read by render
emit_cluster() {
    local DIR=$LAB_DIR IDENTITIES NODES COORDINATORS BLOCKLISTS INSIDE_MAIL REDIS RESOLVER PRIMARY INSIDE_NETWORK
    IDENTITIES=$(cluster_lines identities) NODES=$(cluster_lines nodes)
    COORDINATORS=$(cluster_lines coordinators) BLOCKLISTS=$(cluster_lines blocklists)
    INSIDE_MAIL=$(host_inside inside) REDIS=$(host_inside redis) RESOLVER=$(host_inside resolver)
    PRIMARY=$(host_public ns1) INSIDE_NETWORK=$(network_prefix inside)
    render "$LAB_HOME/templates/cluster.yaml" >"$LAB_DIR/cluster.yaml"
}

# shellcheck disable=SC2034
emit_gemel() {
    local HOST=$1 DIR=$LAB_DIR RUN=$LAB_RUN NAME PUBLIC INSIDE
    NAME=$(host_name "$1") PUBLIC=$(host_public "$1") INSIDE=$(host_inside "$1")
    [ -s "$LAB_DIR/cluster.yaml" ] || emit_cluster
    mkdir -p "$LAB_RUN/$HOST" "$LAB_DIR/$HOST/state" "$LAB_DIR/$HOST/spool"
    render "$LAB_HOME/templates/$2.yaml" >"$LAB_DIR/$HOST/$2.yaml"
    chown -R nobody:nogroup "$LAB_DIR/$HOST" "$LAB_RUN/$HOST"
}
emit_node() { emit_gemel "$1" node; }
emit_coordinator() { emit_gemel "$1" coordinator; }

start_node() { daemon_as nobody "$1" "$LAB_DIR/bin/gemel-node" -c "$LAB_DIR/$1/node.yaml"; }
start_coordinator() { daemon_as nobody "$1" "$LAB_DIR/bin/gemel-coordinator" -c "$LAB_DIR/$1/coordinator.yaml"; }
ready_node() { port_open "$1" "$(host_public "$1")" 25 && port_open "$1" "$(host_inside "$1")" 9301; }
ready_coordinator() { port_open "$1" "$(host_inside "$1")" 9300; }
