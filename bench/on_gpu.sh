#!/usr/bin/env bash
# Try and measure one CUDA GPU in less than ten minutes, without a network or installing anything:
#
#     bash bench/on_gpu.sh OUTDIR
#     bash bench/on_gpu.sh --rehearse numpy OUTDIR     # or strict: few rows, no GPU, no meaning
#
# OUTDIR gets on-gpu.json (all figures) and log.txt. Packages that are missing are taken from wheels/
# in the checkout, into OUTDIR/site; what is missing there too is told first, and how to bring it.
# PYTHON names the interpreter (python3). MNIST is found through GPULR_DATA_HOME; without it made-up
# rows of the same size are timed, which the JSON says.
#
# A part that fails or runs out of time does not stop the next one. Exit codes: 0 all parts passed,
# 1 some did not, 2 usage, 3 nothing can run.
set -uo pipefail

usage() {
    echo "usage: bash bench/on_gpu.sh [--rehearse numpy|strict] OUTDIR" >&2
    exit 2
}

rehearse=${GPULR_BENCH_REHEARSE:-}
if [ "${1:-}" = --rehearse ]; then
    [ $# -ge 2 ] || usage
    rehearse=$2
    shift 2
fi
[ $# -eq 1 ] || usage
case $1 in -*) usage ;; esac
case $rehearse in '' | numpy | strict) ;; *) usage ;; esac

# Parts: name and most seconds. Whether anything works comes first, then what says most of it. Their
# sum, and two seconds each to end what is killed, stay below ten minutes.
PARTS='smoke 75
sanitizer 60
tests 93
pass 50
training 45
search 35
eigenvectors 15
peers 115
transfer 15
start 35'
DEADLINE=560 # seconds after the start, whatever a part's own limit

root=$(cd "$(dirname "$0")/.." && pwd) || exit 3
mkdir -p "$1" || exit 3
out=$(cd "$1" && pwd) || exit 3
case $out/ in
"$root"/bench/results/*)
    echo "OUTDIR is bench/results: measure elsewhere, look, then copy what is to stay." >&2
    exit 2
    ;;
esac
python=${PYTHON:-python3}
mkdir -p "$out/parts"
rm -f "$out"/parts/*.json "$out/parts.txt" "$out/on-gpu.json"

export PYTHONPATH="$root:$out/site${PYTHONPATH:+:$PYTHONPATH}"
export GPULR_FALLBACK=error GPULR_REQUIRE_GPU=1 GPULR_BENCH_DATA=local
export GPULR_BENCH_REHEARSE=$rehearse PYTHONUNBUFFERED=1
unset GPULR_BACKEND GPULR_COMPILE GPULR_FUSED GPULR_TEST_BACKENDS

install_wheels() {
    local names
    names=$("$python" -m bench.on_gpu to-install) || return
    [ -n "$names" ] || return 0
    echo "== from wheels/ into $out/site: ${names//$'\n'/ }"
    # shellcheck disable=SC2086 # one argument for each name
    timeout --kill-after=2 25 "$python" -m pip install --quiet --no-index --no-deps \
        --find-links "$root/wheels" --target "$out/site" --upgrade $names ||
        echo "pip failed: is every wheel in wheels/ for this Python?"
}

run_part() { # NAME LIMIT
    local name=$1 limit=$2 left=$((DEADLINE - SECONDS)) began=$SECONDS code
    ((limit <= left)) || limit=$left
    if ((limit < 3)); then
        echo "== $name: no time is left"
        echo "$name 124 0" >>"$out/parts.txt"
        return 1
    fi
    echo "== $name, at most $limit s"
    # In the foreground, that Ctrl-C reaches it.
    timeout --foreground --kill-after=2 "$limit" \
        "$python" -m bench.gpu "$name" --output "$out/parts/$name.json"
    code=$?
    echo "== $name: exit code $code after $((SECONDS - began)) s"
    echo "$name $code $((SECONDS - began))" >>"$out/parts.txt"
    return "$code"
}

main() {
    local failed=0 name limit code=0
    trap 'echo "== interrupted"; exit 130' INT
    cd "$root" || return 3
    [ -z "$rehearse" ] || echo "A rehearsal on $rehearse: its figures mean nothing."
    install_wheels
    "$python" -m bench.on_gpu needs || code=$?
    if ((code == 3)); then
        return 3
    fi
    command -v nvidia-smi >/dev/null && timeout 10 nvidia-smi
    while read -r name limit <&3; do
        run_part "$name" "$limit" || failed=1
    done 3<<<"$PARTS"
    echo "== $SECONDS s in all"
    timeout 5 "$python" -m bench.on_gpu summary "$out" || failed=1
    timeout 5 "$python" -m bench.predict --compare "$out/on-gpu.json" || failed=1
    return "$failed"
}

main 2>&1 | tee -i "$out/log.txt"
exit "${PIPESTATUS[0]}"
