//! The compilers that build a root task.

use super::Error;
use crate::{Context, exec::Tool};
use std::path::PathBuf;

/// The target triple of root tasks: the host's own, whose `core` every Rust installation has.
pub(super) const TRIPLE: &str = "x86_64-unknown-linux-gnu";

/// Cargo, rustc and the C compiler, and what they call themselves.
#[derive(Debug, Clone)]
pub struct Toolchain {
    /// Cargo itself, not rustup's stand-in for it.
    pub cargo: PathBuf,
    /// rustc itself, not rustup's stand-in for it.
    pub rustc: PathBuf,
    /// rustc's sysroot.
    pub sysroot: PathBuf,
    /// The commit that rustc was built from; the paths of the standard library's sources begin with it.
    pub commit: String,
    /// The C compiler, looked up on PATH.
    pub cc: PathBuf,
    /// Whatever the compilers' output depends on: their versions.
    pub identity: String,
}

impl Toolchain {
    /// The toolchain that the checkout asks for in `rust-toolchain.toml`, and `cc`.
    pub fn find(ctx: &Context<'_>) -> Result<Self, Error> {
        let run = |args: &[&str]| -> Result<String, Error> {
            let tool = Tool::new("rustc", &ctx.project.root).args(args);
            let tool = ["HOME", "RUSTUP_HOME", "CARGO_HOME", "RUSTUP_TOOLCHAIN"].iter().fold(tool, |tool, name| tool.inherit(name));
            Ok(tool.run(&ctx.cancel)?.stdout)
        };
        let sysroot = PathBuf::from(run(&["--print", "sysroot"])?.trim());
        let version = run(&["-vV"])?;
        let commit = version.lines().find_map(|line| line.strip_prefix("commit-hash: ")).unwrap_or("unknown");
        let cc = Tool::new("cc", &ctx.project.root).arg("--version").run(&ctx.cancel)?.stdout;
        Ok(Self {
            cargo: sysroot.join("bin/cargo"),
            rustc: sysroot.join("bin/rustc"),
            commit: commit.to_owned(),
            cc: "cc".into(),
            identity: format!("{version}\n{}", cc.lines().next().unwrap_or_default()),
            sysroot,
        })
    }
}
