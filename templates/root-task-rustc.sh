#!/bin/sh
# Stands between Cargo and rustc. Cargo derives `-C metadata`, and with it the order of code in the
# result, from the absolute path of crates outside of the workspace: here it follows from the crate's
# name and version alone, so that the same sources give the same bytes in every folder. SELKIE_REMAPS has
# what stands in compiled code for folders, FROM=TO: were it among Cargo's flags, another function or kernel
# would compile all crates anew.
rustc=$1
shift
for word; do
    shift
    case $word in
    metadata=*) word=metadata=$CARGO_PKG_NAME-$CARGO_PKG_VERSION-$CARGO_CRATE_NAME ;;
    esac
    set -- "$@" "$word"
done
IFS=$(printf '\037')
set -f
for remap in $SELKIE_REMAPS; do
    set -- "$@" "--remap-path-prefix=$remap"
done
exec "$rustc" "$@"
