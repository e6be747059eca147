# shellcheck shell=bash
# The lab's other mail servers, all Postfix: three receivers on the Internet and the company's own server inside.
#
# Every instance has its own configuration, queue and log, and the machine's own mail server is neither used nor
# needed. What is accepted is kept as one file per recipient (virtual(8) writes Return-Path, X-Original-To and
# Delivered-To on top): mail/HOST/new. Long queue ids carry the time of arrival in microseconds, which is what
# `received` prints.
#
# The receivers look at the client the way large ones do (address in a blocklist, PTR with matching A, HELO name,
# SPF), each at another moment of the session, since a sender has to understand a refusal at any of them:
#   rcv1  at RCPT (Postfix's default), rcv2  when the connection is made, rcv3  at MAIL.

# Where Postfix is: the machine's package; or, when another mail server holds its place, the package unpacked for us
# alone by install-deps.
postfix_root() { if [ -x /usr/lib/postfix/sbin/master ]; then echo ''; else echo /var/cache/gemel-lab/postfix; fi; }

# Postfix refuses to start without a mail owner and a group for postdrop that nobody else uses. A machine without the
# package lacks them; the receivers then run as what every Debian has.
postfix_owner() { if getent passwd postfix >/dev/null; then echo postfix; else echo daemon; fi; }
postfix_group() { if getent group postdrop >/dev/null; then echo postdrop; else echo operator; fi; }

postfix_cmd() {
    local host=$1 root
    shift
    root=$(postfix_root)
    on_host "$host" env ${root:+LD_LIBRARY_PATH="$root/usr/lib/postfix"} \
        "$root/usr/sbin/postfix" -c "$LAB_DIR/$host" "$@"
}

mail_main_cf() {
    local host=$1 dir=$LAB_DIR/$1 root
    root=$(postfix_root)
    cat <<TEXT
compatibility_level = 3.6
command_directory = $root/usr/sbin
daemon_directory = $root/usr/lib/postfix/sbin
shlib_directory = $root/usr/lib/postfix
meta_directory = $root/etc/postfix
queue_directory = $dir/queue
data_directory = $dir/data
mail_owner = $(postfix_owner)
setgid_group = $(postfix_group)
import_environment = MAIL_CONFIG TZ LANG=C LD_LIBRARY_PATH
maillog_file = $LAB_DIR/log/$host.log
maillog_file_prefixes = $LAB_DIR
inet_protocols = ipv4
inet_interfaces = $(host_address "$host"), 127.0.0.1
smtp_bind_address = $(host_address "$host")
myhostname = $(host_name "$host")
myorigin = \$mydomain
mydestination =
local_recipient_maps =
alias_maps =
alias_database =
virtual_mailbox_base = $LAB_DIR/mail
virtual_mailbox_maps = static:$host/
virtual_uid_maps = static:65534
virtual_gid_maps = static:65534
virtual_mailbox_limit = 0
message_size_limit = 62914560
queue_minfree = 0
message_drop_headers =
enable_long_queue_ids = yes
smtputf8_enable = yes
smtpd_tls_security_level = may
smtpd_tls_cert_file = $LAB_DIR/pki/$(host_name "$host").pem
smtpd_tls_key_file = $LAB_DIR/pki/$(host_name "$host").key
smtp_tls_security_level = may
smtp_tls_CAfile = $LAB_DIR/pki/ca.pem
minimal_backoff_time = 5s
maximal_backoff_time = 20s
queue_run_delay = 5s
TEXT
}

# Checks of a receiver, all of them in the restriction list of one moment.
receiver_restrictions() {
    local host=$1 list=${LAB_DNSBLS%% *} checks
    checks="reject_unknown_client_hostname, reject_rbl_client $list"
    case $host in
    rcv2) printf 'smtpd_delay_reject = no\nsmtpd_client_restrictions = permit_mynetworks, %s\n' "$checks" ;;
    rcv3)
        printf 'smtpd_delay_reject = no\nsmtpd_sender_restrictions = permit_mynetworks, %s\n' "$checks"
        # No DSN here: who asked for a success report must get "relayed" from the edge.
        printf 'smtpd_discard_ehlo_keywords = dsn, silent-discard\n'
        ;;
    *) printf 'smtpd_client_restrictions = permit_mynetworks, %s\n' "$checks" ;;
    esac
    cat <<TEXT
virtual_mailbox_domains = $(host_name "$host"), $(host_name "$host" | cut -d. -f2-)
mynetworks = 127.0.0.0/8
smtpd_helo_required = yes
smtpd_helo_restrictions = permit_mynetworks, reject_invalid_helo_hostname, reject_non_fqdn_helo_hostname,
    reject_unknown_helo_hostname
smtpd_relay_restrictions = reject_unauth_destination
smtpd_recipient_restrictions = reject_unauth_destination, reject_unknown_sender_domain, permit_mynetworks,
    check_policy_service inet:127.0.0.1:10031
TEXT
}

# The inside server takes mail for the domain from the edges and sends what insiders write by them.
inside_restrictions() {
    local edges
    mapfile -t edges < <(hosts_with_role node)
    cat <<TEXT
virtual_mailbox_domains = $LAB_DOMAIN
mynetworks = 127.0.0.0/8, $(network_prefix inside)
relayhost = [$(host_inside "${edges[0]}")]:25
smtp_fallback_relay = [$(host_inside "${edges[1]}")]:25
smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination
TEXT
}

# An smtpd remembers what a blocklist said for as long as it lives, over all its sessions: each therefore serves one.
mail_master_cf() {
    cat <<'TEXT'
smtp      inet  n  -  n  -     40  smtpd -o max_use=1
pickup    unix  n  -  n  60    1   pickup
cleanup   unix  n  -  n  -     0   cleanup
qmgr      unix  n  -  n  300   1   qmgr
tlsmgr    unix  -  -  n  1000? 1   tlsmgr
rewrite   unix  -  -  n  -     -   trivial-rewrite
bounce    unix  -  -  n  -     0   bounce
defer     unix  -  -  n  -     0   bounce
trace     unix  -  -  n  -     0   bounce
verify    unix  -  -  n  -     1   verify
flush     unix  n  -  n  1000? 0   flush
proxymap  unix  -  -  n  -     -   proxymap
smtp      unix  -  -  n  -     -   smtp
relay     unix  -  -  n  -     -   smtp
showq     unix  n  -  n  -     -   showq
error     unix  -  -  n  -     -   error
retry     unix  -  -  n  -     -   error
discard   unix  -  -  n  -     -   discard
virtual   unix  -  n  n  -     -   virtual
anvil     unix  -  -  n  -     1   anvil
scache    unix  -  -  n  -     1   scache
postlog   unix-dgram n - n  -  1   postlogd
TEXT
}

emit_postfix() {
    local host=$1 dir=$LAB_DIR/$1
    mkdir -p "$dir/queue" "$dir/data" "$LAB_DIR/mail/$host"/{new,cur,tmp}
    chmod 755 "$dir/queue"
    chown "$(postfix_owner)" "$dir/data"
    chown -R 65534:65534 "$LAB_DIR/mail/$host"
    mail_main_cf "$host" >"$dir/main.cf"
    mail_master_cf >"$dir/master.cf"
}

emit_receiver() {
    emit_postfix "$1"
    receiver_restrictions "$1" >>"$LAB_DIR/$1/main.cf"
}

emit_inside() {
    emit_postfix "$1"
    inside_restrictions "$1" >>"$LAB_DIR/$1/main.cf"
}

start_postfix() {
    postfix_cmd "$1" start </dev/null >>"$LAB_DIR/log/$1.start.log" 2>&1 9>&- || true   # a failure shows at ready_
}
postfix_pid() { tr -d ' ' <"$LAB_DIR/$1/queue/pid/master.pid" >"$LAB_RUN/$1.pid"; }

start_receiver() {
    daemon_as nobody "$1" "$LAB_DIR/bin/spf-policy" 127.0.0.1:10031 "$(host_name "$1")"
    mv "$LAB_RUN/$1.pid" "$LAB_RUN/$1.spf.pid"
    start_postfix "$1"
}
start_inside() { start_postfix "$1"; }

ready_inside() { postfix_pid "$1" && port_open "$1" "$(host_address "$1")" 25; }
ready_receiver() { ready_inside "$1" && port_open "$1" 127.0.0.1 10031; }

# Is somebody listening? Asks the namespace's socket table, so that no connection shows up in a server's log.
port_open() { [ -n "$(on_host "$1" ss -Hltn "src $2:$3")" ]; }
