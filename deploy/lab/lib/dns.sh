# shellcheck shell=bash
# The lab's DNS, all of it real: root and reverse zones (NSD), the company's primary with dynamic updates (BIND), its
# secondary (Knot), the resolver everybody uses (Unbound), the blocklists (rbldnsd).
#
# shellcheck disable=SC2016  # $ORIGIN, $TTL and $SOA belong to the zone files
#
# emit_ROLE HOST writes the host's files into its directory, start_ROLE HOST starts its daemon, ready_ROLE HOST tells
# whether it serves. Daemons stay in the foreground and log into log/HOST.log.

# zone_head ORIGIN MASTER NEGATIVE_TTL: the start of a zone file.
zone_head() {
    printf '$ORIGIN %s\n$TTL 300\n' "$1"
    printf '@ IN SOA %s. hostmaster.%s 1 60 10 86400 %s\n' "$2" "${1#.}" "$3"
}

# Turns 192.0.2.53 into 53 (within the reverse zone of its /24).
last_octet() { echo "${1##*.}"; }
reverse_zone() { local a b c; IFS=. read -r a b c _ <<<"${1%/*}"; echo "$c.$b.$a.in-addr.arpa."; }

# Where a name on the root server lies: the zones it serves besides the reverse ones.
root_zone_apex() {
    local root
    root=$(host_address root)
    zone_head . a.root-servers.net 5
    echo "@ NS a.root-servers.net."
    echo "a.root-servers.net. A $root"
    local tld
    for tld in com net org edu example arpa; do echo "$tld. NS a.root-servers.net."; done
}

# TLD zone with the delegations that leave this server. The receivers' domains are served here.
root_zone_tld() {
    zone_head "$1." a.root-servers.net 5
    echo "@ NS a.root-servers.net."
    case $1 in
    com)
        echo "example NS ns1.example"
        echo "example NS ns2.example"
        echo "ns1.example A $(host_public ns1)"
        echo "ns2.example A $(host_public ns2)"
        ;;
    net) echo "a.root-servers A $(host_address root)" ;;
    esac
    case $1 in
    net | org | edu) echo "example NS a.root-servers.net." ;;
    example)
        local zone
        for zone in $LAB_DNSBLS; do echo "$zone. NS $(host_name dnsbl)."; done
        echo "$(host_name dnsbl). A $(host_public dnsbl)"
        ;;
    esac
}

# example.net, example.org, example.edu: the hosts with a name there may send for the domain, and its receiver takes
# its mail.
root_zone_domain() {
    local host name senders=''
    zone_head "$1." a.root-servers.net 5
    echo "@ NS a.root-servers.net."
    for host in $(hosts_all); do
        name=$(host_name "$host")
        if [ "${name#*.}" != "$1" ]; then continue; fi
        senders+=" a:$name"
        echo "$name. A $(host_public "$host")"
        echo "$name. TXT \"v=spf1 a -all\""
        if [ "$(host_role "$host")" = receiver ]; then
            echo "@ MX 10 $name."
            echo "$name. MX 10 $name."
        fi
    done
    echo "@ TXT \"v=spf1$senders -all\""
}

root_zone_reverse() {
    local network=$1 host leg address
    zone_head "$(reverse_zone "$(network_prefix "$network")")" a.root-servers.net 5
    echo "@ NS a.root-servers.net."
    for host in $(hosts_all); do
        while read -r leg address; do
            if [ "$leg" = "$network" ]; then echo "$(last_octet "$address") PTR $(host_name "$host")."; fi
        done < <(host_legs "$host")
    done
    if [ "$network" = world ]; then echo "$(last_octet "$(network_router world)") PTR gateway.example.com."; fi
}

emit_root() {
    local dir=$LAB_DIR/$1 tld network zone
    local zones=(. com. net. org. edu. example. arpa. example.net. example.org. example.edu.)
    root_zone_apex >"$dir/root.zone"
    for tld in com net org edu example; do root_zone_tld "$tld" >"$dir/$tld.zone"; done
    { zone_head arpa. a.root-servers.net 5; echo "@ NS a.root-servers.net."; } >"$dir/arpa.zone"
    for tld in net org edu; do root_zone_domain "example.$tld" >"$dir/example.$tld.zone"; done
    for network in "${MAP_NETWORKS[@]}"; do
        zone=$(reverse_zone "$(network_prefix "$network")")
        root_zone_reverse "$network" >"$dir/${zone%.}.zone"
        zones+=("$zone")
    done
    cat >"$dir/nsd.conf" <<TEXT
server:
    ip-address: $(host_address "$1")
    username: nsd
    chroot: ""
    server-count: 1
    database: ""
    zonelistfile: "$dir/zone.list"
    xfrdfile: "$dir/xfrd.state"
    zonesdir: "$dir"
    pidfile: "$LAB_RUN/$1.nsd.pid"
    hide-version: yes
remote-control:
    control-enable: no
TEXT
    for zone in "${zones[@]}"; do
        local file=${zone%.}
        printf 'zone:\n    name: "%s"\n    zonefile: "%s.zone"\n' "$zone" "${file:-root}" >>"$dir/nsd.conf"
    done
    chown -R nsd: "$dir"
}

start_root() { daemon "$1" nsd -d -c "$LAB_DIR/$1/nsd.conf"; }
ready_root() { dig_on "$1" "$(host_address "$1")" . SOA; }

# dig_on HOST SERVER NAME TYPE [WANTED]: does the server answer (with WANTED in it)?
dig_on() {
    local answer
    answer=$(on_host "$1" dig +time=1 +tries=1 +short +norecurse "@$2" "$3" "$4" 2>/dev/null) || return 1
    [ -n "$answer" ] && [[ $answer == *"${5:-}"* ]]
}

# The company's own zone. The apex says include: once and is never touched again; the other TXT records are there
# to be found untouched after every switch.
zone_company() {
    local host name
    zone_head "$LAB_DOMAIN." ns1.example.com 5
    echo "@ NS ns1"
    echo "@ NS ns2"
    for host in $(hosts_with_role node); do
        echo "@ MX 10 $(host_name "$host")."
        echo "$(host_name "$host"). TXT \"v=spf1 ip4:$(host_public "$host") -all\"" # what bounces are judged by
    done
    echo "@ TXT \"v=spf1 include:_spf.$LAB_ZONE -all\""
    echo "@ TXT \"lab-site-verification=5f3c1d9e70b24a61\""
    echo "@ TXT \"MS=ms00000042\""
    echo "_dmarc TXT \"v=DMARC1; p=none; rua=mailto:postmaster@$LAB_DOMAIN\""
    echo "gw NS ns1"
    echo "gw NS ns2"
    echo "gateway A $(network_router world)"
    for host in $(hosts_all); do
        name=$(host_name "$host")
        if [ "${name#*.}" = "$LAB_DOMAIN" ]; then echo "$name. A $(host_address "$host")"; fi
    done
}

zone_gateway() {
    zone_head "$LAB_ZONE." ns1.example.com 1
    echo "@ NS ns1.example.com."
    echo "@ NS ns2.example.com."
    echo "@ TXT \"this record is not yours\""
    echo "neighbour TXT \"v=spf1 ip4:192.0.2.200 -all\""
}

emit_primary() {
    local dir=$LAB_DIR/$1
    mkdir -p "$dir/zones"
    zone_company >"$dir/zones/$LAB_DOMAIN.zone"
    zone_gateway >"$dir/zones/$LAB_ZONE.zone"
    cat >"$dir/named.conf" <<TEXT
key "$LAB_TSIG" { algorithm hmac-sha256; secret "$(<"$LAB_DIR/secrets/tsig.secret")"; };
options {
    directory "$dir/zones";
    pid-file "$LAB_RUN/$1.named.pid";
    session-keyfile "$dir/session.key";
    managed-keys-directory "$dir";
    listen-on { $(host_legs "$1" | awk '{ print $2 "; " }') };
    listen-on-v6 { none; };
    recursion no;
    dnssec-validation no;
    notify explicit;
    also-notify { $(host_public ns2); };
    notify-delay 0;                 // the default of 5 s would be the longest step of a switch
    notify-source $(host_public "$1");
    allow-transfer { $(host_public ns2); };
    minimal-responses yes;
};
controls { };
logging { channel lab { stderr; severity info; print-time iso8601; print-severity yes; };
          category default { lab; }; category update { lab; }; category notify { lab; }; };
zone "$LAB_DOMAIN" { type primary; file "$LAB_DOMAIN.zone"; };
zone "$LAB_ZONE" {
    type primary;
    file "$LAB_ZONE.zone";
    update-policy {
        grant $LAB_TSIG name _spf.$LAB_ZONE. TXT;
        grant $LAB_TSIG name _egress.$LAB_ZONE. TXT;
    };
};
TEXT
    chown -R bind: "$dir"
    chmod 640 "$dir/named.conf"
}

start_primary() { daemon "$1" named -f -g -4 -n 1 -u bind -c "$LAB_DIR/$1/named.conf"; }
ready_primary() { dig_on "$1" "$(host_public "$1")" "$LAB_ZONE" SOA && dig_on "$1" "$(host_public "$1")" "$LAB_DOMAIN" SOA; }

emit_secondary() {
    local dir=$LAB_DIR/$1 zone
    cat >"$dir/knot.conf" <<TEXT
server:
    rundir: "$LAB_RUN/$1"
    user: knot:knot
    listen: $(host_public "$1")@53
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
log:
  - target: stderr
    any: info
database:
    storage: "$dir"
remote:
  - id: primary
    address: $(host_public ns1)@53
acl:
  - id: notify
    address: $(host_public ns1)
    action: notify
template:
  - id: default
    storage: "$dir"
    master: primary
    acl: notify
    refresh-min-interval: 2
    retry-max-interval: 2
zone:
TEXT
    for zone in "$LAB_DOMAIN" "$LAB_ZONE"; do printf '  - domain: %s\n' "$zone" >>"$dir/knot.conf"; done
    mkdir -p "$LAB_RUN/$1"
    chown -R knot: "$dir" "$LAB_RUN/$1"
}

start_secondary() { daemon "$1" knotd -c "$LAB_DIR/$1/knot.conf"; }
ready_secondary() { dig_on "$1" "$(host_public "$1")" "$LAB_ZONE" SOA && dig_on "$1" "$(host_public "$1")" "$LAB_DOMAIN" SOA; }

# Full recursion from our root. Times to live are obeyed as on any resolver; the zones that must be seen to change
# carry small ones. What is not default: the documentation prefixes' reverse zones are let through, and a server that
# was away for a moment is asked again soon.
emit_resolver() {
    local dir=$LAB_DIR/$1 address
    printf '. 3600 NS a.root-servers.net.\na.root-servers.net. 3600 A %s\n' "$(host_address root)" >"$dir/root.hints"
    {
        echo "server:"
        while read -r _ address; do echo "    interface: $address"; done < <(host_legs "$1")
        cat <<TEXT
    access-control: 0.0.0.0/0 allow
    username: unbound
    chroot: ""
    directory: "$dir"
    pidfile: "$LAB_RUN/$1.unbound.pid"
    use-syslog: no
    verbosity: 1
    log-time-ascii: yes
    do-daemonize: no
    do-ip6: no
    num-threads: 1
    root-hints: "$dir/root.hints"
    module-config: "iterator"
    unblock-lan-zones: yes
    insecure-lan-zones: yes
    infra-host-ttl: 2
    infra-keep-probing: yes
    msg-cache-size: 4m
    rrset-cache-size: 4m
remote-control:
    control-enable: no
TEXT
    } >"$dir/unbound.conf"
    chown -R unbound: "$dir"
}

start_resolver() { daemon "$1" unbound -d -c "$LAB_DIR/$1/unbound.conf"; }

# Not before it can walk the tree: a resolver that met servers still starting would remember them as slow.
ready_resolver() { [ -n "$(on_host "$1" dig +time=1 +tries=1 +short "@$(host_inside "$1")" a.root-servers.net A)" ]; }

# One file of addresses for each list; answers live for a second, so that listing and delisting are seen at once.
dnsbl_file() { echo "$LAB_DIR/dnsbl/${1%%.*}.addresses"; }

emit_dnsbl() {
    local zone
    for zone in $LAB_DNSBLS; do
        cat >"$(dnsbl_file "$zone")" <<TEXT
\$SOA 1 $(host_name dnsbl). hostmaster.$(host_name dnsbl). 0 60 30 86400 1
\$TTL 1
\$NS 300 $(host_name dnsbl).
:127.0.0.2:Listed by the lab, see https://dnsbl.example/query?ip=\$
127.0.0.2
TEXT
    done
    chown -R rbldns: "$LAB_DIR/$1"
}

start_dnsbl() {
    local zone datasets=()
    for zone in $LAB_DNSBLS; do datasets+=("$zone:ip4trie:$(dnsbl_file "$zone")"); done
    daemon "$1" rbldnsd -n -c 1s -b "$(host_public "$1")/53" -u rbldns -p "$LAB_RUN/$1.rbldnsd.pid" "${datasets[@]}"
}
ready_dnsbl() { dig_on "$1" "$(host_public "$1")" "2.0.0.127.${LAB_DNSBLS%% *}" A 127.0.0.2; }
