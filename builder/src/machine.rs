//! The machine that this runs on, and which media for bare metal it would be expected to boot.
//!
//! All of it is what Linux tells under `/proc` and `/sys`; nothing is tried out, and nothing needs root but the kind of
//! a serial port.

use crate::{
    Project, Result,
    doctor::{self, Kvm},
    kernel_config::{Arch, FeaturesOf, KernelConfig, OptionValue, Source},
    recipe::{Firmware, Recipe},
};
use serde::Serialize;
use std::{collections::BTreeSet, fs, path::Path};

/// What `doctor --this-machine` answers.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The machine.
    pub machine: Machine,
    /// What each kernel config makes of it, by name.
    pub kernels: Vec<Fit>,
}

/// A machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Machine {
    /// The processor's name; empty when Linux does not tell.
    pub cpu: String,
    /// What the processor can do, as `/proc/cpuinfo` names it, sorted.
    pub cpu_features: BTreeSet<String>,
    /// It is a virtual machine itself.
    pub is_virtual: bool,
    /// The firmware that Linux was started by; none where that cannot be seen, in a container for instance.
    pub firmware: Option<Firmware>,
    /// Whether the firmware starts signed boot loaders only; none where that cannot be seen.
    pub secure_boot: Option<bool>,
    /// The serial ports that a PC has had from the start.
    pub serial: Vec<SerialPort>,
    /// The processor's extension for virtual machines, `vmx` or `svm`; none where it has none.
    pub virtualisation: Option<String>,
    /// Whether this user can open `/dev/kvm`.
    pub kvm: Kvm,
    /// What Linux says about the processor and Meltdown, for instance `Not affected`; none where it does not.
    pub meltdown: Option<String>,
}

/// A serial port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SerialPort {
    /// Its word in a recipe's `[devices]`.
    pub name: &'static str,
    /// Whether there is a chip behind it; none where only root may see that.
    pub present: Option<bool>,
}

/// What a kernel config makes of a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Fit {
    /// The kernel config.
    pub kernel: String,
    /// The seL4 release, or the range of them.
    pub version: String,
    /// What it asks of the processor, and is not there.
    pub missing_features: Vec<String>,
    /// Media that a BIOS boots.
    pub bios: Expectation,
    /// Media that UEFI boots.
    pub uefi: Expectation,
    /// What is to be known before it is used on this machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caution: Option<String>,
    /// The recipes of `recipes/` that name it.
    pub recipes: Vec<String>,
}

/// Whether something is expected to boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "boots", content = "why", rename_all = "kebab-case")]
pub enum Expectation {
    /// Nothing that can be seen from here speaks against it.
    Expected,
    /// It depends on what cannot be seen from here.
    Unknown(String),
    /// It will not.
    No(String),
}

/// Looks at this machine and at all kernel configs and recipes of the project.
///
/// # Errors
/// When a folder of the project cannot be read. A kernel config or recipe that is wrong is left out: `list` shows it.
pub fn report(project: &Project) -> Result<Report> {
    let machine = Machine::read(Path::new("/"));
    let recipes: Vec<Recipe> =
        Recipe::all(project)?.into_iter().filter_map(|(_, recipe)| recipe.ok()).collect();
    let configs = KernelConfig::names(project)?;
    let configs = configs.iter().filter_map(|name| KernelConfig::load(project, name).ok());
    let kernels = configs.map(|config| {
        let users = recipes.iter().filter(|recipe| recipe.kernel == config.name);
        Fit::of(&machine, &config, users.map(|recipe| recipe.function.name.clone()).collect())
    });
    Ok(Report { kernels: kernels.collect(), machine })
}

impl Machine {
    /// Reads what Linux tells below `root`, which is `/` but in tests.
    fn read(root: &Path) -> Self {
        let text = |path: &str| fs::read_to_string(root.join(path)).ok();
        let info = text("proc/cpuinfo").unwrap_or_default();
        let value = |key: &str| {
            let lines = info.lines().filter_map(|line| line.split_once(':'));
            lines.into_iter().find(|(name, _)| name.trim() == key).map(|(_, value)| value.trim())
        };
        let flags = value("flags").unwrap_or_default();
        let cpu_features: BTreeSet<String> = flags.split_whitespace().map(str::to_owned).collect();
        let meltdown = text("sys/devices/system/cpu/vulnerabilities/meltdown");
        Self {
            cpu: value("model name").unwrap_or_default().to_owned(),
            is_virtual: cpu_features.contains("hypervisor"),
            firmware: firmware(root),
            secure_boot: secure_boot(root),
            serial: [("com1", "0x3f8"), ("com2", "0x2f8")]
                .map(|(name, port)| serial(root, name, port))
                .into(),
            virtualisation: ["vmx", "svm"]
                .map(str::to_owned)
                .into_iter()
                .find(|one| cpu_features.contains(one)),
            kvm: doctor::kvm(),
            meltdown: meltdown.map(|text| text.trim().to_owned()),
            cpu_features,
        }
    }

    /// Whether the processor is known to be free of Meltdown.
    fn free_of_meltdown(&self) -> bool {
        self.meltdown.as_deref() == Some("Not affected")
    }
}

/// What started Linux. A container may hide `/sys/firmware`: where nothing is in it, nothing is said.
fn firmware(root: &Path) -> Option<Firmware> {
    let there = |path: &str| root.join("sys/firmware").join(path).exists();
    match there("efi") {
        true => Some(Firmware::Uefi),
        false => (there("acpi") || there("memmap")).then_some(Firmware::Bios),
    }
}

/// The UEFI variable `SecureBoot`: four bytes of attributes, then one that is 1 when it is on (UEFI specification,
/// table 3.1).
fn secure_boot(root: &Path) -> Option<bool> {
    let path = "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";
    fs::read(root.join(path)).ok()?.get(4).map(|byte| *byte == 1)
}

/// What Linux's driver for serial ports found at `port`. Type 0 is no chip (`linux/serial_core.h`).
fn serial(root: &Path, name: &'static str, port: &str) -> SerialPort {
    let mut present = Some(false);
    for index in 0..4 {
        let folder = root.join("sys/class/tty").join(format!("ttyS{index}"));
        if !folder.exists() {
            continue;
        }
        let value = |file: &str| fs::read_to_string(folder.join(file)).ok();
        match (value("port"), value("type")) {
            (Some(at), Some(kind)) if at.trim().eq_ignore_ascii_case(port) => {
                return SerialPort { name, present: Some(kind.trim() != "0") };
            }
            (Some(_), Some(_)) => {}
            _ => present = None,
        }
    }
    SerialPort { name, present }
}

impl Fit {
    fn of(machine: &Machine, config: &KernelConfig, recipes: Vec<String>) -> Self {
        let missing = config.cpu_features.iter().filter(|one| !machine.cpu_features.contains(*one));
        let missing: Vec<String> = missing.cloned().collect();
        let expect = |firmware| match (refused(config, &missing), lacking_for_some(machine, config)) {
            (Some(why), _) => Expectation::No(why),
            (None, Some(why)) => Expectation::Unknown(why),
            (None, None) => expectation(machine, config, firmware),
        };
        let caution = (!machine.free_of_meltdown() && !mitigates_meltdown(config)).then(|| {
            "the kernel does nothing against Meltdown, and this processor is not known to be free of it: a function \
             can read the kernel's memory"
                .to_owned()
        });
        Self {
            kernel: config.name.clone(),
            version: config.source.to_string(),
            bios: expect(Firmware::Bios),
            uefi: expect(Firmware::Uefi),
            missing_features: missing,
            caution,
            recipes,
        }
    }
}

/// Why no medium with this kernel boots, whatever the firmware.
fn refused(config: &KernelConfig, missing: &[String]) -> Option<String> {
    if config.arch != Arch::X86_64 {
        return Some(format!("it is for {}", config.arch));
    }
    if std::env::consts::ARCH != "x86_64" {
        return Some("this is no PC".to_owned());
    }
    let names = missing.join(", ");
    (!missing.is_empty())
        .then(|| format!("the processor lacks {names}: the kernel would halt without a word"))
}

/// Why media boot with some releases only: others ask for more of the processor.
fn lacking_for_some(machine: &Machine, config: &KernelConfig) -> Option<String> {
    let lacks = config.cpu_features_of.iter().filter_map(|FeaturesOf { versions, features }| {
        let lacks = features.iter().filter(|one| !machine.cpu_features.contains(*one));
        let lacks: Vec<_> = lacks.map(String::as_str).collect();
        (!lacks.is_empty()).then(|| format!("{} for seL4 {versions}", lacks.join(", ")))
    });
    let lacks: Vec<_> = lacks.collect();
    (!lacks.is_empty()).then(|| {
        format!(
            "the processor lacks {}: with such a release the kernel would halt without a word",
            lacks.join("; ")
        )
    })
}

fn expectation(machine: &Machine, config: &KernelConfig, firmware: Firmware) -> Expectation {
    let unknown = |why: &str| Expectation::Unknown(why.to_owned());
    match (firmware, machine.firmware) {
        (Firmware::Uefi, _) if !has_multiboot_2(config) => {
            Expectation::No("the kernel has no Multiboot 2 header".to_owned())
        }
        (Firmware::Uefi, Some(Firmware::Uefi)) if machine.secure_boot == Some(true) => {
            Expectation::No("Secure Boot is on, and the media are not signed: switch it off".to_owned())
        }
        (Firmware::Bios, Some(Firmware::Uefi)) => {
            unknown("it needs the firmware's compatibility mode (CSM, legacy boot)")
        }
        (Firmware::Uefi, Some(Firmware::Bios)) => {
            unknown("Linux was started by a BIOS: whether the machine has UEFI too is not visible")
        }
        (_, None) => unknown("the firmware is not visible from here"),
        _ => Expectation::Expected,
    }
}

/// Whether the kernel can have a Multiboot 2 header: it came with seL4 9, where it is on unless it is switched off.
fn has_multiboot_2(config: &KernelConfig) -> bool {
    let old = match &config.source {
        Source::Crate { version, .. } => major(version) < 9,
        _ => false,
    };
    !old && config.options.get("KernelMultiboot2Header") != Some(&OptionValue::Flag(false))
}

/// Whether the kernel takes its own memory out of a function's address space: it can since seL4 9, where it is on
/// unless it is switched off.
fn mitigates_meltdown(config: &KernelConfig) -> bool {
    let old = matches!(&config.source, Source::Crate { version, .. } if major(version) < 9);
    !old && config.options.get("KernelSkimWindow") != Some(&OptionValue::Flag(false))
}

/// The first number of a release; 0 when it has none.
fn major(version: &str) -> u32 {
    version.split('.').next().and_then(|number| number.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
