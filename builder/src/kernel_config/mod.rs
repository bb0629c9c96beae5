//! Kernel configs: one TOML file that describes one seL4 kernel build.

mod check;
mod load;
mod source;
#[cfg(test)]
mod tests;

pub(crate) use load::schema;
pub use source::{Source, UserSource, Versions};

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
    /// CPU model for QEMU; it has every feature that the options need. Default: what is
    /// inherited.
    pub qemu_cpu: Option<String>,
    /// CPU features that the options need, as `/proc/cpuinfo` names them. Default: what is inherited.
    pub cpu_features: Option<Vec<String>>,
    /// CPU features that only some releases need, beside `cpu-features`. Default: what is inherited.
    pub cpu_features_of: Option<Vec<RawFeaturesOf>>,
    /// Name of the kernel config that holds instead when the user names a source tree or a prefix
    /// (`--kernel-source`, `--kernel-prefix`). Default: what is inherited, else this one.
    pub with_user_source: Option<String>,
    /// Whether the options are those of the verified configuration of the tree, `configs/X64_verified.cmake`.
    /// Default: what is inherited, else `false`.
    pub verified: Option<bool>,
    /// Whether the kernel is meant for emulated machines only, for instance because it does without a
    /// mitigation that real CPUs need. Default: what is inherited, else `false`.
    pub emulation_only: Option<bool>,
    /// Where the kernel's source comes from.
    pub source: Option<RawSource>,
    /// The kernel's options: for a tree that is configured by Kconfig (up to seL4 10.0) without `CONFIG_`, where
    /// `false` leaves a symbol undefined; for one that is configured by CMake its own names (`KernelPrinting`).
    #[serde(default)]
    pub options: BTreeMap<String, OptionValue>,
    /// Inherited options that this kernel does not have, for instance because another option takes their place.
    #[serde(default)]
    pub without: Vec<String>,
    /// Headers that stand in for headers of the tree, each with its reason.
    #[serde(default)]
    pub overlay: Vec<Overlay>,
}

/// CPU features that only some releases need.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct RawFeaturesOf {
    /// The releases, for instance `"<14"`.
    pub versions: String,
    /// What they need, as `/proc/cpuinfo` names it.
    pub features: Vec<String>,
}

/// Where a kernel's source comes from: a crate of the registry, a source tree (`path`), an installed kernel
/// (`prefix`), or, with none of these, what the user names with `--kernel-source` or `--kernel-prefix`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct RawSource {
    /// A crate of the registry that carries the tree, pinned in `kernel-configs/sources/CRATE/`.
    #[serde(rename = "crate")]
    pub crate_name: Option<String>,
    /// Folder of the tree inside the crate.
    pub subdir: Option<String>,
    /// A source tree of seL4 with a CMake build, for instance `"/home/me/seL4"`; relative to this file.
    pub path: Option<String>,
    /// An installed kernel, the layout that rust-sel4 calls SEL4_PREFIX: `bin/kernel.elf`, `libsel4/include/`;
    /// relative to this file.
    pub prefix: Option<String>,
    /// For a crate: the seL4 release, for instance `5.0.0`.
    pub version: Option<String>,
    /// For the others: the releases that this kernel config is made for, for instance `">=13, <17"`.
    pub versions: Option<String>,
    /// The digests of the published trees, by release. A tree with another one is not what was verified.
    #[serde(default)]
    pub published: BTreeMap<String, Digest>,
    /// The digest of the tree or prefix (see `cargo xtask explain`). A crate's must be given; without one any
    /// tree of an accepted release will do.
    pub digest: Option<Digest>,
}

/// An architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Arch {
    /// 64-bit x86.
    #[serde(rename = "x86_64")]
    X86_64,
    /// 64-bit Arm.
    #[serde(rename = "aarch64")]
    Aarch64,
    /// 64-bit RISC-V.
    #[serde(rename = "riscv64")]
    Riscv64,
}

impl Arch {
    /// seL4's name for its family.
    pub fn family(self) -> &'static str {
        match self {
            Self::X86_64 => "x86",
            Self::Aarch64 => "arm",
            Self::Riscv64 => "riscv",
        }
    }

    /// What the names of its compiler and binutils begin with on a host of another architecture; none for the
    /// host's own.
    pub fn cross_prefix(self) -> Option<&'static str> {
        match self {
            Self::X86_64 => None,
            Self::Aarch64 => Some("aarch64-linux-gnu-"),
            Self::Riscv64 => Some("riscv64-linux-gnu-"),
        }
    }

    /// The C compiler that makes code for it.
    pub fn compiler(self) -> &'static str {
        match self {
            Self::X86_64 => "cc",
            Self::Aarch64 => "aarch64-linux-gnu-gcc",
            Self::Riscv64 => "riscv64-linux-gnu-gcc",
        }
    }

    /// QEMU for it, where its kernels are made for one machine, which a device tree describes. A PC describes itself
    /// when it boots.
    pub fn device_tree_from(self) -> Option<&'static str> {
        match self {
            Self::X86_64 => None,
            Self::Aarch64 => Some("qemu-system-aarch64"),
            Self::Riscv64 => Some("qemu-system-riscv64"),
        }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Arch::X86_64 => "x86_64",
            Arch::Aarch64 => "aarch64",
            Arch::Riscv64 => "riscv64",
        })
    }
}

/// A platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Platform {
    /// The PC.
    Pc99,
    /// QEMU's machine `virt` for Arm.
    QemuArmVirt,
    /// QEMU's machine `virt` for RISC-V.
    QemuRiscvVirt,
}

impl Platform {
    /// seL4's name for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pc99 => "pc99",
            Self::QemuArmVirt => "qemu-arm-virt",
            Self::QemuRiscvVirt => "qemu-riscv-virt",
        }
    }

    /// The architecture that it has.
    pub fn arch(self) -> Arch {
        match self {
            Self::Pc99 => Arch::X86_64,
            Self::QemuArmVirt => Arch::Aarch64,
            Self::QemuRiscvVirt => Arch::Riscv64,
        }
    }
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

/// As CMake has it.
impl fmt::Display for OptionValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(on) => f.write_str(if *on { "ON" } else { "OFF" }),
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => f.write_str(text),
        }
    }
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
    /// CPU model for QEMU.
    pub qemu_cpu: String,
    /// CPU features that the options need.
    pub cpu_features: Vec<String>,
    /// CPU features that only some releases need; empty once the release is known.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cpu_features_of: Vec<FeaturesOf>,
    /// The kernel config that holds instead when the user names a source.
    #[serde(skip)]
    pub with_user_source: Option<String>,
    /// Whether the options are those of the tree's verified configuration.
    pub verified: bool,
    /// Whether it is meant for emulated machines only.
    pub emulation_only: bool,
    /// Where the source comes from.
    pub source: Source,
    /// The digests of the published trees, by release.
    pub published: BTreeMap<String, Digest>,
    /// The options. For Kconfig those that are on, or have a value; for CMake all that are named.
    pub options: BTreeMap<String, OptionValue>,
    /// Headers that stand in for headers of the tree.
    pub overlays: Vec<Overlay>,
}

/// CPU features that some releases need.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FeaturesOf {
    /// The releases.
    pub versions: Versions,
    /// The features, as `/proc/cpuinfo` names them.
    pub features: Vec<String>,
}

/// CPU features that QEMU's emulation has had in no release so far (target/i386/cpu.c), of those that seL4 may need.
const TCG_LACKS: &[&str] = &["pcid", "invpcid", "vmx"];

impl KernelConfig {
    /// Whether a flag is on. `name` has no `CONFIG_`.
    pub fn has(&self, name: &str) -> bool {
        matches!(self.options.get(name), Some(OptionValue::Flag(true)))
    }

    /// Whether the kernel prints (and has DebugPutChar).
    pub fn is_debug(&self) -> bool {
        self.has("DEBUG_BUILD") || self.has("KernelDebugBuild")
    }

    /// The CPU features that the kernel needs and QEMU's emulation lacks, as `/proc/cpuinfo` names them.
    pub fn beyond_tcg(&self) -> Vec<String> {
        let lacks = |feature: &&String| TCG_LACKS.contains(&feature.as_str());
        self.cpu_features.iter().filter(lacks).cloned().collect()
    }

    /// Whether images can be made with its kernel: the others need a loader of their own.
    pub fn has_images(&self) -> bool {
        self.arch == Arch::X86_64
    }

    /// Whether threads are scheduled by scheduling contexts.
    pub fn is_mcs(&self) -> bool {
        self.has("KernelIsMCS")
    }
}
