//! Which CPU features a kernel needs, by its options.

use super::resolved;
use crate::kernel_config::OptionValue;
use std::{collections::BTreeMap, path::Path};

/// Options and what they ask of the CPU, named as `/proc/cpuinfo` does. Found in the boot code of seL4 13 to 16 for
/// x86, which halts without them.
const NEEDS: &[(&str, &[&str])] = &[
    ("SUPPORT_PCID", &["pcid", "invpcid"]),
    ("HUGE_PAGE", &["pdpe1gb"]),
    ("FSGSBASE_INST", &["fsgsbase"]),
    ("XSAVE", &["xsave"]),
    ("XSAVE_XSAVEOPT", &["xsaveopt"]),
    ("XSAVE_XSAVEC", &["xsavec"]),
    ("XSAVE_XSAVES", &["xsaves"]),
    ("X2APIC", &["x2apic"]),
    ("VTX", &["vmx"]),
];

/// What a kernel with these options (without `CONFIG_`) needs of the CPU beyond what every 64-bit PC has.
pub fn features(options: &BTreeMap<String, OptionValue>) -> Vec<&'static str> {
    let on = |name: &str| options.get(name) == Some(&OptionValue::Flag(true));
    NEEDS.iter().filter(|(name, _)| on(name)).flat_map(|(_, features)| features.iter().copied()).collect()
}

/// The same for the kernel that is installed in `prefix`; nothing when that is no prefix.
pub fn features_of_prefix(prefix: &Path) -> Vec<&'static str> {
    resolved::of_prefix(prefix).map(|options| features(&options)).unwrap_or_default()
}
