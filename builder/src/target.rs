//! The three targets an image can be built for.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What an image runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// A multiboot kernel and an initrd, started by QEMU (TCG or KVM).
    Qemu,
}

impl Target {
    /// Every target that this version can build.
    pub const ALL: &[Target] = &[Target::Qemu];

    /// The word used in recipes, paths and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Target::Qemu => "qemu",
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
