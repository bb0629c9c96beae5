//! `selkie.h` says what the crate `selkie-c` offers. `BLESS=1 cargo test -p builder --test c_header`
//! writes it anew.

#![allow(clippy::unwrap_used, reason = "tests may fail")]

use cbindgen::{Builder, Config, DocumentationStyle, Language, Layout, Style};
use std::{fs, path::Path, process::Command};

const HEAD: &str = "\
/* The C interface of Selkie's runtime, for functions in C. Generated from runtime/c/src/interface.rs. */";

const DECLARATIONS: &str = "\
#define SELKIE_NO_RETURN __attribute__((noreturn))

// Like in the C library, of which there is nothing else beneath a function.
void *memcpy(void *to, const void *from, size_t count);
void *memmove(void *to, const void *from, size_t count);
void *memset(void *to, int value, size_t count);
int memcmp(const void *a, const void *b, size_t count);
size_t strlen(const char *text);";

fn generated(source: &Path) -> String {
    let config = Config {
        language: Language::C,
        header: Some(HEAD.to_owned()),
        include_guard: Some("SELKIE_H".to_owned()),
        no_includes: true,
        sys_includes: ["stdbool.h", "stddef.h", "stdint.h"].map(str::to_owned).into(),
        usize_is_size_t: true,
        documentation_style: DocumentationStyle::C99,
        style: Style::Both,
        line_length: 100,
        function: cbindgen::FunctionConfig {
            no_return: Some("SELKIE_NO_RETURN".to_owned()),
            args: Layout::Horizontal,
            ..Default::default()
        },
        after_includes: Some(DECLARATIONS.to_owned()),
        ..Default::default()
    };
    let mut bytes = Vec::new();
    Builder::new().with_config(config).with_src(source).generate().unwrap().write(&mut bytes);
    let text = String::from_utf8(bytes).unwrap();
    // To a reader of C every call is unsafe.
    text.replace("//\n// # Safety\n", "")
        .lines()
        .fold(String::new(), |text, line| text + line.trim_end() + "\n")
}

#[test]
fn the_header_is_that_of_the_interface() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let header = root.join("runtime/c/include/selkie.h");
    let expected = generated(&root.join("runtime/c/src/interface.rs"));
    if std::env::var_os("BLESS").is_some() {
        fs::write(&header, &expected).unwrap();
    }
    let found = fs::read_to_string(&header).unwrap_or_default();
    assert!(found == expected, "selkie.h is stale: run `BLESS=1 cargo test -p builder --test c_header`");
}

#[test]
fn the_header_compiles_by_itself_in_c_and_without_warnings() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("x.c");
    fs::write(&source, "#include <selkie.h>\n#include <selkie.h>\nint main(void) { selkie_exit(0); }\n")
        .unwrap();
    let output = Command::new("cc")
        .args([
            "-std=c99",
            "-Wall",
            "-Wextra",
            "-Wpedantic",
            "-Werror",
            "-ffreestanding",
            "-fsyntax-only",
            "-I",
        ])
        .arg(root.join("runtime/c/include"))
        .arg(&source)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
