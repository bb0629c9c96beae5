#!/bin/sh
# Stands between Cargo and rustc. Cargo derives `-C metadata`, and with it the order of code in the
# result, from the absolute path of crates outside of the workspace: here it follows from the crate's
# name and version alone, so that the same sources give the same bytes in every folder.
rustc=$1
shift
for word; do
    shift
    case $word in
    metadata=*) word=metadata=$CARGO_PKG_NAME-$CARGO_PKG_VERSION-$CARGO_CRATE_NAME ;;
    esac
    set -- "$@" "$word"
done
exec "$rustc" "$@"
