#!/bin/sh
# Plays QEMU for the tests of the smoke runner: the file `guest` in the image's folder, which QEMU runs
# in, says what happens.
for word; do
    case $word in
        name=opt/selkie/run,file=*) run=${word##*file=} ;;
        socket,id=monitor,fd=*) monitor=${word##*fd=} ;;
        user,id=net0,hostfwd=tcp:*) port=${word##*127.0.0.1:} port=${port%-:*} ;;
        file,id=firmware,path=*) firmware=${word##*path=} ;;
    esac
done
nonce=none
if [ -n "${run:-}" ]; then
    nonce=$(tr '\0' '\n' <"$run" | sed -n 's/^nonce=//p')
fi
# line TEXT...: what a serial console shows.
line() { printf '%s\r\n' "$@"; }
# frame STATUS [NONCE]: the exit line.
frame() { printf '\r\n[selkie:exit status=%s nonce=%s]\r\n' "$1" "${2:-$nonce}"; }
# leave STATUS: what the guest's write to the exit port does to QEMU.
leave() { exit $((($1 + 16) * 2 + 1)); }
# stop REASON: what QEMU's monitor tells when the machine stops, and its end. A shell writes to low descriptors only.
stop() {
    python3 -c 'import os, sys; os.write(int(sys.argv[1]), sys.argv[2].encode())' "$monitor" \
        "{\"event\": \"SHUTDOWN\", \"data\": {\"guest\": true, \"reason\": \"$1\"}}
"
    exit 0
}
# serve BEHAVIOUR: a function at the forwarded port, until Ctrl-C comes from the console.
serve() { python3 "${0%/*}/server.py" "$port" "$1"; }
# log TEXT...: what the firmware writes to its debug port.
log() { printf '%s\n' "$@" >>"$firmware"; }
accel=
case "$*" in *'-accel kvm'*) accel=kvm ;; *'-accel tcg'*) accel=tcg ;; esac
. ./guest
