//! Kernel configs: one TOML file that describes one seL4 kernel build.

mod check;
mod load;
#[cfg(test)]
mod tests;

pub(crate) use load::schema;

use crate::Digest;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt, path::PathBuf};

/// One file of `kernel-configs/`, as it is written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct RawKernelConfig {
    /// Name of another kernel config, whose keys hold where this one says nothing. Options are merged one by
    /// one; overlays are added to the inherited ones.
    pub inherits: Option<String>,
    /// One sentence for `explain` and the manifest.
    #[serde(default)]
    pub description: String,
    /// The architecture, seL4's name for it. Default: what is inherited.
    pub arch: Option<Arch>,
    /// The platform, seL4's name for it. Default: what is inherited.
    pub platform: Option<Platform>,
    /// Name of the file in `kernel-configs/eras/` that says how this kernel's interface is laid out.
    /// Default: what is inherited.
    pub era: Option<String>,
    /// CPU model for QEMU; it has every feature that the options need. Default: what is
    /// inherited.
    pub qemu_cpu: Option<String>,
    /// CPU features that the options need, as `/proc/cpuinfo` names them. Default: what is inherited.
    pub cpu_features: Option<Vec<String>>,
    /// Where the kernel's source comes from.
    pub source: Option<RawSource>,
    /// The kernel's options, without `CONFIG_`. `false` leaves a symbol undefined.
    #[serde(default)]
    pub options: BTreeMap<String, OptionValue>,
    /// Headers that stand in for headers of the tree, each with its reason.
    #[serde(default)]
    pub overlay: Vec<Overlay>,
}

/// Where a kernel's source comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct RawSource {
    /// A crate of the registry that carries the tree, pinned in `kernel-configs/sources/CRATE/`.
    #[serde(rename = "crate")]
    pub crate_name: String,
    /// Folder of the tree inside the crate.
    pub subdir: String,
    /// The seL4 release, for instance `5.0.0`.
    pub version: String,
    /// The tree's digest (see `cargo xtask explain`).
    pub digest: Digest,
}

/// An architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Arch {
    /// 64-bit x86.
    #[serde(rename = "x86_64")]
    X86_64,
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Arch::X86_64 => "x86_64",
        })
    }
}

/// A platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Platform {
    /// The PC.
    Pc99,
}

/// The value of a kernel option.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(title = "`true`, `false`, a whole number or a text")]
pub enum OptionValue {
    /// Defined as 1, or not defined.
    Flag(bool),
    /// A number.
    Number(i64),
    /// A text.
    Text(String),
}

/// A header that stands in for one of the tree.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Overlay {
    /// The name that the sources include it by, for instance `mode/kernel/stack.h`.
    pub header: String,
    /// The file that stands in, relative to `kernel-configs/`.
    pub file: String,
    /// Why it is needed.
    pub reason: String,
}

/// A checked kernel config.
#[derive(Debug, Clone, Serialize)]
pub struct KernelConfig {
    /// The file's name without `.toml`.
    pub name: String,
    /// The file it was read from.
    #[serde(skip)]
    pub path: PathBuf,
    /// One sentence.
    pub description: String,
    /// The architecture.
    pub arch: Arch,
    /// The platform.
    pub platform: Platform,
    /// Name of the era file.
    pub era: String,
    /// CPU model for QEMU.
    pub qemu_cpu: String,
    /// CPU features that the options need.
    pub cpu_features: Vec<String>,
    /// Where the source comes from.
    pub source: RawSource,
    /// The options that are on, or have a value.
    pub options: BTreeMap<String, OptionValue>,
    /// Headers that stand in for headers of the tree.
    pub overlays: Vec<Overlay>,
}

impl KernelConfig {
    /// Whether a flag is on. `name` has no `CONFIG_`.
    pub fn has(&self, name: &str) -> bool {
        matches!(self.options.get(name), Some(OptionValue::Flag(true)))
    }

    /// Whether the kernel prints (and has DebugPutChar).
    pub fn is_debug(&self) -> bool {
        self.has("DEBUG_BUILD")
    }
}
