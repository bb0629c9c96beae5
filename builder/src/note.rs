//! The manifest note: what a root task says about itself, readable from the file alone.
//!
//! It is an ELF note with owner `selkie` and type 1 whose descriptor is canonical JSON (keys sorted,
//! no white space). The bytes are the same for all targets.

use crate::{
    Digest, Target,
    elf::Elf,
    kernel_config::KernelConfig,
    recipe::{Component, ConsoleKind, LibOs, RawDevices, Recipe},
    root_task::rumprun::tree::Tree,
    run_config::serial_name,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The section of a root task that holds the note.
pub const SECTION: &str = ".note.selkie";
/// The note's owner.
pub const OWNER: &[u8] = b"selkie\0";
/// The note's type.
pub const TYPE: u32 = 1;
/// A note's descriptor is never longer than this.
const MAX_DESCRIPTOR: usize = 64 << 10;

/// What a root task says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Manifest {
    /// The version of this format: 1.
    pub format: u32,
    /// Who the function is.
    pub function: Function,
    /// The kernel it was built for.
    pub kernel: Kernel,
    /// What gives the function an OS.
    pub libos: LibOs,
    /// What gives it an OS when that is rumprun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rumprun: Option<Rumprun>,
    /// Stack of the first thread, in bytes.
    pub stack: u64,
    /// Heap, in bytes.
    pub heap: u64,
    /// Devices that the function owns, for instance `serial` → `com1`.
    pub devices: BTreeMap<String, String>,
    /// The targets that the recipe has.
    pub targets: Vec<Target>,
    /// Memory of the machine, in bytes, for each target that has one.
    pub memory: BTreeMap<String, u64>,
}

/// The rumprun tree that a root task was linked with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Rumprun {
    /// The release of NetBSD, for instance `NetBSD 7.99.34`.
    pub version: String,
    /// The digest of what was linked and compiled with.
    pub digest: Digest,
    /// What is in it of NetBSD's kernel beside what always is.
    pub components: Vec<Component>,
}

/// Who a function is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Function {
    /// The recipe's name.
    pub name: String,
    /// The function's version.
    pub version: String,
    /// One sentence.
    pub description: String,
    /// Its licence as an SPDX expression.
    pub license: Option<String>,
}

/// The kernel that a root task was built for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Kernel {
    /// The kernel config's name.
    pub config: String,
    /// The seL4 release.
    pub version: String,
    /// The digest of the interface: system-call numbers, labels, object types, BootInfo, UserContext.
    pub interface: Digest,
}

/// A note is there, but not one of ours as it should be.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The note's frame is wrong.
    #[error("the section `{SECTION}` does not hold one note of owner `selkie` and type {TYPE}")]
    Frame,
    /// The descriptor is not the manifest's JSON.
    #[error("the manifest in `{SECTION}` is not readable: {0}")]
    Json(#[from] serde_json::Error),
}

crate::exit_code!(Error, Failed);

impl Manifest {
    /// The manifest of `recipe` built for a kernel of this release with this interface.
    pub fn new(recipe: &Recipe, kernel: &KernelConfig, version: &str, interface: Digest) -> Self {
        let RawDevices { serial, console: _, net, disk } = &recipe.devices;
        let virtio = |name: &str| (name.to_owned(), "virtio".to_owned());
        let console = recipe.devices.console_kind() == ConsoleKind::Virtio;
        let (net, disk) = (net.as_ref().map(|_| virtio("net")), disk.as_ref().map(|_| virtio("disk")));
        Self {
            format: 1,
            function: Function {
                name: recipe.function.name.clone(),
                version: recipe.function.version.clone(),
                description: recipe.function.description.clone(),
                license: recipe.function.license.clone(),
            },
            kernel: Kernel { config: kernel.name.clone(), version: version.to_owned(), interface },
            libos: recipe.libos,
            rumprun: None,
            stack: recipe.stack,
            heap: recipe.heap,
            devices: [("serial".to_owned(), serial_name(*serial).to_owned())]
                .into_iter()
                .chain(console.then(|| virtio("console")))
                .chain(net)
                .chain(disk)
                .collect(),
            targets: recipe.targets(),
            memory: recipe
                .targets()
                .into_iter()
                .map(|target| (target.name().to_owned(), recipe.memory(target)))
                .collect(),
        }
    }

    /// The manifest of a function that is linked with `tree`, if with any.
    pub(crate) fn with_rumprun(mut self, recipe: &Recipe, tree: Option<&Tree>) -> Self {
        self.rumprun = recipe.rumprun.as_ref().zip(tree).map(|(rumprun, tree)| Rumprun {
            version: tree.version.clone(),
            digest: tree.digest,
            components: rumprun.components.clone(),
        });
        self
    }

    /// The note as it lies in the file: header, owner, descriptor, each padded to 4 bytes.
    pub fn encode(&self) -> Vec<u8> {
        // Through `Value`, whose maps are sorted, so that the bytes do not follow the order of fields.
        let json = serde_json::to_value(self).map(|value| value.to_string()).unwrap_or_default();
        let mut note = Vec::new();
        for word in [OWNER.len(), json.len(), TYPE as usize] {
            note.extend_from_slice(&(word as u32).to_le_bytes());
        }
        for text in [OWNER, json.as_bytes()] {
            note.extend_from_slice(text);
            note.resize(note.len().next_multiple_of(4), 0);
        }
        note
    }

    /// Reads a note back, from bytes that nobody vouches for.
    pub fn decode(note: &[u8]) -> Result<Self, Error> {
        let word = |at: usize| {
            let bytes = note.get(at..at + 4)?.try_into().ok()?;
            Some(u32::from_le_bytes(bytes) as usize)
        };
        let frame = (|| Some((word(0)?, word(4)?, word(8)?)))();
        let Some((owner, descriptor, kind)) = frame else { return Err(Error::Frame) };
        let start = 12 + OWNER.len().next_multiple_of(4);
        if owner != OWNER.len()
            || kind != TYPE as usize
            || descriptor > MAX_DESCRIPTOR
            || note.get(12..12 + OWNER.len()) != Some(OWNER)
        {
            return Err(Error::Frame);
        }
        let json = note.get(start..start + descriptor).ok_or(Error::Frame)?;
        Ok(serde_json::from_slice(json)?)
    }

    /// The manifest of an ELF file, stripped or not; none when it has no such note.
    pub fn of_elf(elf: &Elf<'_>) -> Result<Option<Self>, Error> {
        match elf.section(SECTION) {
            None => Ok(None),
            Some(section) => Self::decode(elf.section_data(section).unwrap_or_default()).map(Some),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn sample() -> Manifest {
        Manifest {
            format: 1,
            function: Function {
                name: "hello".into(),
                version: "0.1.0".into(),
                description: "Greets — \"quoted\"".into(),
                license: None,
            },
            kernel: Kernel {
                config: "x86_64-release".into(),
                version: "5.0.0".into(),
                interface: Digest::of("i"),
            },
            libos: LibOs::None,
            rumprun: None,
            stack: 65536,
            heap: 262_144,
            devices: [("serial".into(), "com1".into())].into(),
            targets: vec![Target::Qemu],
            memory: [("qemu".into(), 64 << 20)].into(),
        }
    }

    #[test]
    fn a_note_reads_back_as_it_was_written() {
        let note = sample().encode();
        assert_eq!(note.len() % 4, 0);
        assert_eq!(&note[..12], [7, 0, 0, 0, note[4], note[5], 0, 0, 1, 0, 0, 0]);
        assert_eq!(Manifest::decode(&note).unwrap(), sample());
    }

    #[test]
    fn the_json_has_sorted_keys_and_no_space() {
        let note = String::from_utf8_lossy(&sample().encode()).into_owned();
        let json = &note[note.find('{').unwrap()..];
        assert!(
            json.starts_with(r#"{"devices":{"serial":"com1"},"format":1,"function":{"description":"#),
            "{json}"
        );
        assert!(!json.contains("\": "), "{json}");
    }

    #[test]
    fn no_damage_to_a_note_makes_the_reader_panic() {
        let note = sample().encode();
        for end in 0..note.len().saturating_sub(4) {
            assert!(Manifest::decode(&note[..end]).is_err(), "cut at {end}");
        }
        for at in 0..note.len() {
            for bit in 0..8 {
                let mut bad = note.clone();
                bad[at] ^= 1 << bit;
                let _ = Manifest::decode(&bad);
            }
        }
        for at in 0..12 {
            let mut bad = note.clone();
            bad[at] ^= 0xff;
            assert!(Manifest::decode(&bad).is_err(), "byte {at}");
        }
    }
}
