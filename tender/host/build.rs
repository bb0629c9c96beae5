//! Hands the linker script and the shape of the executable to the linker, be it called directly or by way
//! of the C compiler.

use std::env;

fn main() {
    let script = format!("{}/tender.ld", env::var("CARGO_MANIFEST_DIR").unwrap_or_default());
    println!("cargo::rerun-if-changed={script}");
    println!("cargo::rerun-if-changed=build.rs");
    // The flags say how the linker is called: Cargo tells build scripts nothing else about it.
    let flags = env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    let direct = flags.split('\x1f').any(|flag| {
        let flavor = flag.trim_start_matches("-C").trim().strip_prefix("linker-flavor=");
        flavor.is_some_and(|flavor| !flavor.contains("cc") && flavor.contains("ld"))
    });
    let own = ["-T", &script, "--no-dynamic-linker", "--build-id=none", "--gc-sections", "-z", "norelro"];
    let own = own.into_iter().chain(["-z", "max-page-size=4096", "--no-eh-frame-hdr"]);
    if direct {
        for arg in ["-static", "-no-pie"].into_iter().chain(own) {
            println!("cargo::rustc-link-arg-bins={arg}");
        }
    } else {
        for arg in ["-nostdlib", "-nostartfiles", "-static", "-no-pie"] {
            println!("cargo::rustc-link-arg-bins={arg}");
        }
        for arg in own {
            // Not `-Wl,`, which would take a comma in the folder's name for the end of the word.
            println!("cargo::rustc-link-arg-bins=-Xlinker");
            println!("cargo::rustc-link-arg-bins={arg}");
        }
    }
}
