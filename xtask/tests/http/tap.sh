# Runs a function at a tap device, in a network namespace of its own, and streams a file through it.
# Arguments: the program `xtask`, the recipe, the target, a folder with the file `sent`.
set -eu
xtask=$1 recipe=$2 target=$3 dir=$4
ip link set lo up
ip tuntap add tap0 mode tap
ip address add 10.9.0.1/24 dev tap0
ip link set tap0 up
mkfifo "$dir/keys"
"$xtask" run "$recipe" --target "$target" --net tap:tap0 <"$dir/keys" >"$dir/log" 2>&1 &
run=$!
trap 'kill $run 2>/dev/null || true' EXIT
exec 3>"$dir/keys"
until grep -q '^Listening on http://10.9.0.2:80/' "$dir/log"; do
  kill -0 $run || { cat "$dir/log"; exit 1; }
  sleep 0.1
done
curl --silent --show-error --max-time 3600 --upload-file "$dir/sent" --output "$dir/back" http://10.9.0.2/stream
cmp "$dir/sent" "$dir/back"
printf '\003' >&3
wait $run || { cat "$dir/log"; exit 1; }
grep -q '^Stopped after 1 requests' "$dir/log"
