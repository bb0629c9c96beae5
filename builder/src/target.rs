//! The targets an image can be built for.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What an image runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// A multiboot kernel and an initrd, started by QEMU (TCG or KVM).
    Qemu,
    /// One static executable that hosts the root task as an ordinary Linux process.
    Process,
    /// Media that the firmware of a PC boots: an ISO, a disk image, files for the network.
    BareMetal,
}

impl Target {
    /// Every target that this version can build.
    pub const ALL: &[Target] = &[Target::Qemu, Target::Process, Target::BareMetal];

    /// The word used in recipes, paths and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Target::Qemu => "qemu",
            Target::Process => "process",
            Target::BareMetal => "bare-metal",
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
