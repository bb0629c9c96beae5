//! The compilers that build a root task.

use crate::{
    Context,
    inputs::tools::{self, HostTool},
};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// The target triple of root tasks: the host's own, whose `core` every Rust installation has.
pub(crate) const TRIPLE: &str = "x86_64-unknown-linux-gnu";

/// Cargo, rustc and the C compiler. What is serialised is their identity alone.
#[derive(Debug, Clone, Serialize)]
pub struct Toolchain {
    /// Cargo.
    pub cargo: HostTool,
    /// rustc, whose own linker and `core` are used as well.
    pub rustc: HostTool,
    /// The C compiler.
    pub cc: HostTool,
}

impl Toolchain {
    /// The Cargo and rustc that the checkout asks for, and `cc`.
    pub fn find(ctx: &Context<'_>) -> Result<Self, tools::Error> {
        Ok(Self {
            cargo: tools::find(ctx, "cargo")?,
            rustc: tools::find(ctx, "rustc")?,
            cc: tools::find(ctx, "cc")?,
        })
    }

    /// rustc's sysroot: the folder that it is installed in.
    pub fn sysroot(&self) -> PathBuf {
        self.rustc.path.parent().and_then(Path::parent).unwrap_or(Path::new("/")).to_owned()
    }

    /// The commit that rustc was built from; the standard library's own paths begin with it.
    pub(super) fn commit(&self) -> &str {
        let line = self.rustc.version.lines().find_map(|line| line.strip_prefix("commit-hash: "));
        line.unwrap_or("unknown")
    }
}
