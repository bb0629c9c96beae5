//! A Cargo inside the build, in an environment of its own: the same sources give the same bytes wherever
//! they lie and whatever the user's own settings are.

use super::{Error, Toolchain, leaks, link};
use crate::{
    Context,
    exec::{self, Output, Tool},
};
use std::{
    ffi::OsString,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// What the nested Cargo may know of the caller's environment beside the network: where it
/// keeps things. None of it changes a byte of the result.
const ENVIRONMENT: &[&str] = &[
    "HOME",
    "CARGO_HOME",
    "RUSTUP_HOME",
    "CARGO_HTTP_CAINFO",
    "CARGO_HTTP_PROXY",
    "CARGO_NET_GIT_FETCH_WITH_CLI",
    "CARGO_NET_OFFLINE",
];

/// What separates flags, and folders, in one variable of the environment: Cargo's own choice.
const SEPARATOR: &str = "\x1f";

/// Cargo in `folder` with rustc's `flags` for every crate, which writes the second of each pair of `remaps` where the
/// first would stand in compiled code. The verb and its options are still to be added.
pub(crate) fn cargo(
    toolchain: &Toolchain,
    folder: &Path,
    target_dir: &Path,
    flags: &[impl AsRef<str>],
    remaps: Vec<(PathBuf, OsString)>,
) -> Result<Tool, Error> {
    let wrapper = target_dir.join("rustc.sh");
    link::write(&wrapper, link::RUSTC_WRAPPER.as_bytes())?;
    std::fs::set_permissions(&wrapper, std::fs::Permissions::from_mode(0o755))
        .map_err(Error::io(&wrapper))?;
    home_is_neutral(leaks::cargo_home().as_deref())?;
    Ok(Tool::new(&toolchain.cargo.path, folder)
        .inherit(exec::NETWORK)
        .inherit(ENVIRONMENT)
        .env("CARGO_TARGET_DIR", target_dir)
        .env("CARGO_TERM_COLOR", "never")
        .env("CARGO_TERM_PROGRESS_WHEN", "never")
        .env("CARGO_ENCODED_RUSTFLAGS", flags.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(SEPARATOR))
        // Among the flags, Cargo would compile all crates anew when the bindings lie in another folder.
        .env("SELKIE_REMAPS", encoded(remaps))
        .env("CARGO_INCREMENTAL", "0")
        .env("RUSTC", &toolchain.rustc.path)
        .env("RUSTC_WRAPPER", &wrapper)
        // These win over what Cargo's configuration says; an empty one is none.
        .env("RUSTC_WORKSPACE_WRAPPER", "")
        .env("CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER", &toolchain.cc.path))
}

/// The tables of Cargo's configuration that change what a build makes and that nothing on its command line or in
/// its environment overrides.
const TELLING: [&str; 2] = ["env", "profile.release"];

/// Holds that the configuration in Cargo's own home changes no image: it counts as no input. What is said in a
/// folder above the crate does.
fn home_is_neutral(home: Option<&Path>) -> Result<(), Error> {
    for file in home.into_iter().flat_map(|home| ["config.toml", "config"].map(|name| home.join(name))) {
        // One that is none is Cargo's to complain of.
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        let Ok(config) = text.parse::<toml::Table>() else { continue };
        let has = |name: &str| {
            let mut keys = name.split('.');
            let first = keys.next().and_then(|key| config.get(key));
            keys.fold(first, |value, key| value?.get(key)).is_some()
        };
        if let Some(table) = TELLING.into_iter().find(|name| has(name)) {
            return Err(Error::HomeConfig { file, table });
        }
    }
    Ok(())
}

/// The pairs as the wrapper of rustc reads them.
fn encoded(remaps: Vec<(PathBuf, OsString)>) -> OsString {
    let pairs = remaps.into_iter().map(|(from, to)| {
        let mut pair = from.into_os_string();
        pair.push("=");
        pair.push(to);
        pair
    });
    pairs.collect::<Vec<_>>().join(SEPARATOR.as_ref())
}

/// Tells the user what the compiler warned of while it built the crate in `folder`.
pub(crate) fn tell_warnings(ctx: &Context<'_>, folder: &Path, output: &Output) {
    let warnings = warnings(&output.stderr);
    if !warnings.is_empty() {
        let warnings = exec::last_lines(warnings.trim_end(), 40);
        ctx.progress.note(&format!("{}:\n{warnings}", folder.display()));
    }
}

/// The path of the executable in Cargo's messages.
pub(crate) fn executable(messages: &str) -> Option<PathBuf> {
    let messages = cargo_metadata::Message::parse_stream(messages.as_bytes()).flatten();
    let paths = messages.filter_map(|message| match message {
        cargo_metadata::Message::CompilerArtifact(artifact) => artifact.executable,
        _ => None,
    });
    paths.last().map(|path| path.into_std_path_buf())
}

/// The compiler's warnings in what Cargo prints besides its own progress (`   Compiling x v0.1.0`), whose
/// verbs end in the twelfth column.
fn warnings(stderr: &str) -> String {
    let is_progress = |line: &str| {
        let verb = line.split_at_checked(12).filter(|(_, rest)| rest.starts_with(' '));
        verb.is_some_and(|(verb, _)| verb.trim_start().chars().all(char::is_alphabetic) && verb.trim() != "")
    };
    let mut warnings = String::new();
    let mut inside = false;
    for line in stderr.lines() {
        inside = line.starts_with("warning") || (inside && !is_progress(line));
        if inside {
            warnings.push_str(line);
            warnings.push('\n');
        }
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cargos_home_says_changes_no_image() {
        let home = tempfile::tempdir().unwrap();
        let with = |text: &str| {
            std::fs::write(home.path().join("config.toml"), text).unwrap();
            home_is_neutral(Some(home.path())).map_err(|error| error.to_string())
        };
        for text in
            ["", "[build]\nrustflags = ['-Cx']\n[net]\noffline = true\n[profile.dev]\nopt-level = 1\n", "["]
        {
            assert_eq!(with(text), Ok(()), "{text}");
        }
        for (text, table) in
            [("[env]\nA = 'b'\n", "[env]"), ("[profile.release]\nlto = false\n", "[profile.release]")]
        {
            let said = with(text).unwrap_err();
            assert!(said.contains(table) && said.contains("config.toml"), "{said}");
        }
    }

    #[test]
    fn warnings_are_told_and_progress_is_not() {
        let warning = "warning: unused variable: `x`\n --> src/main.rs:5:33\n  |\n5 |     let x = 1;\n  |         ^ help: `_x`\n  |\n  = note: on by default\n\nwarning: `f` (bin \"f\") generated 1 warning\n";
        let progress = [
            "   Compiling libc v0.2.1\n   Compiling f v0.1.0 (/f)\n",
            "    Finished `release` profile in 1.9s\n",
        ];
        assert_eq!(warnings(&[progress[0], warning, progress[1]].concat()), warning);
        assert_eq!(warnings(&progress.concat()), "");
    }
}
