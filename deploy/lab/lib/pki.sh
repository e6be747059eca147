# shellcheck shell=bash
# The lab's own certificate authority, its certificates, and its other secrets.
#
# Two uses, one authority: mutual TLS inside the cluster (the name in the certificate is the node's or coordinator's
# name in cluster.yaml) and STARTTLS (the name is the HELO name). Keys are P-256: made in a few milliseconds.

pki_ca() {
    local dir=$LAB_DIR/pki
    mkdir -p "$dir"
    if openssl x509 -in "$dir/ca.pem" -noout -checkend 86400 2>/dev/null; then return; fi
    rm -f "$dir"/*
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 365 -subj "/CN=Gemel lab CA" \
        -addext "basicConstraints=critical,CA:TRUE,pathlen:0" -addext "keyUsage=critical,keyCertSign,cRLSign" \
        -keyout "$dir/ca.key" -out "$dir/ca.pem"
    chmod 600 "$dir/ca.key"
}

# pki_issue NAME: NAME.pem and NAME.key for server and client use.
pki_issue() {
    local name=$1 dir=$LAB_DIR/pki
    if [ "$dir/$name.pem" -nt "$dir/ca.pem" ] && [ -s "$dir/$name.key" ]; then return; fi
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$name" \
        -keyout "$dir/$name.key" -out "$dir/$name.csr"
    openssl x509 -req -in "$dir/$name.csr" -CA "$dir/ca.pem" -CAkey "$dir/ca.key" -days 365 \
        -set_serial "0x$(openssl rand -hex 16)" -out "$dir/$name.pem" -extfile <(
            printf 'subjectAltName=DNS:%s\nbasicConstraints=CA:FALSE\n' "$name"
            printf 'keyUsage=digitalSignature\nextendedKeyUsage=serverAuth,clientAuth\n')
    rm -f "$dir/$name.csr"
    chgrp nogroup "$dir/$name.key"
    chmod 640 "$dir/$name.key"
}

pki_all() {
    local host
    pki_ca
    for host in $(hosts_all); do
        case $(host_role "$host") in
        node) pki_issue "$host"; pki_issue "$(host_name "$host")" ;;
        coordinator) pki_issue "$host" ;;
        receiver | inside) pki_issue "$(host_name "$host")" ;;
        esac
    done
}

# secret_make FILE COMMAND...: the command's output, made once and kept between runs.
secret_make() {
    local file=$LAB_DIR/secrets/$1
    shift
    if [ -s "$file" ]; then return; fi
    (umask 077 && "$@" >"$file")
}

# One random password for each user; the submission service gets `login:hash` lines, people get USER.pass.
secrets_all() {
    local user
    mkdir -p "$LAB_DIR/secrets"
    chmod 711 "$LAB_DIR/secrets"
    secret_make tsig.secret openssl rand -base64 32
    secret_make redis.pass openssl rand -hex 24
    secret_make redis-lab.pass openssl rand -hex 24
    for user in $LAB_MAIL_USERS; do secret_make "$user.pass" openssl rand -hex 8; done
    secret_make users mail_users
    # Gemel runs as nobody here; Postfix, Redis and BIND get theirs from root.
    chgrp nogroup "$LAB_DIR"/secrets/{tsig.secret,redis.pass,users}
    chmod 640 "$LAB_DIR"/secrets/{tsig.secret,redis.pass,users}
}

mail_users() {
    local user
    for user in $LAB_MAIL_USERS; do
        printf '%s@%s:%s\n' "$user" "$LAB_DOMAIN" "$(openssl passwd -6 -in "$LAB_DIR/secrets/$user.pass")"
    done
}
