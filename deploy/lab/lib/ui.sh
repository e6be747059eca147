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

# step TEXT COMMAND...: runs it quietly, then says that it is done and how long it took; on failure shows what the
# command printed. The command runs in this shell, so it may set variables.
step() {
    local text=$1 start out
    shift
    start=$(now_ms)
    out=$(mktemp "$LAB_RUN/step.XXXXXX")
    if "$@" >"$out" 2>&1 9>&-; then
        rm -f "$out"
        ui_ok "$text ($(since "$start"))"
    else
        ui_bad "$text"
        tail -n 25 "$out" | sed 's/^/      /' >&2
        rm -f "$out"
        exit 1
    fi
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
