# shellcheck shell=bash
# What the lab says to people: progress lines with ticks, and waits that end.

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
    ui_green=$'\e[32m' ui_red=$'\e[31m' ui_dim=$'\e[2m' ui_off=$'\e[0m'
else
    ui_green='' ui_red='' ui_dim='' ui_off=''
fi

now_ms() { local t=${EPOCHREALTIME/[.,]/}; echo "${t%???}"; }

# Seconds since START_MS with one decimal.
since() { local d=$(($(now_ms) - $1)); printf '%d.%d s' $((d / 1000)) $((d % 1000 / 100)); }

ui_title() { printf '%s\n' "$*"; }
ui_ok() { printf '  %s✓%s %s\n' "$ui_green" "$ui_off" "$*"; }
ui_bad() { printf '  %s✗%s %s\n' "$ui_red" "$ui_off" "$*" >&2; }
ui_note() { printf '    %s%s%s\n' "$ui_dim" "$*" "$ui_off"; }

die() { ui_bad "$*"; exit 1; }

# step TEXT COMMAND...: runs it quietly in a subshell that ends at the first error, then says that it is done and how
# long it took; on failure shows what it printed.
step() {
    local text=$1 start out status
    shift
    start=$(now_ms)
    out=$(mktemp -t gemel-lab.XXXXXX)
    set +e              # not `if (...)`: inside a condition the shell would ignore the subshell's set -e
    (set -e; "$@") >"$out" 2>&1 9>&-
    status=$?
    set -e
    if [ $status = 0 ]; then
        ui_ok "$text ($(since "$start"))"
    else
        ui_bad "$text"
        tail -n 25 "$out" | sed 's/^/      /' >&2
    fi
    rm -f "$out"
    [ $status = 0 ] || exit 1
}

# wait_for SECONDS WHAT LOGFILE COMMAND...: polls until the command succeeds.
wait_for() {
    local limit=$1 what=$2 log=$3 deadline
    shift 3
    deadline=$(($(now_ms) + limit * 1000))
    until "$@" >/dev/null 2>&1; do
        if [ "$(now_ms)" -ge "$deadline" ]; then
            echo "$what: not ready after $limit s"
            if [ -s "$log" ]; then echo "the end of $log:"; tail -n 20 "$log"; fi
            return 1
        fi
        sleep 0.05
    done
}
