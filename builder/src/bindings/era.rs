//! Eras: how the user interface of a range of seL4 releases is laid out, as data.
//!
//! seL4's XML names system calls and invocations; everything else about the interface is only in C
//! headers and changes now and then. Each file of `kernel-configs/eras/` states it for one range of
//! releases and one architecture, and [`super::probe`] holds it against the tree's own headers.

use crate::{files, kernel_config::Arch};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fs, io, path::PathBuf};

/// One file of `kernel-configs/eras/`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Era {
    /// One sentence.
    pub description: String,
    /// The seL4 releases that it holds for.
    pub versions: Vec<String>,
    /// The architecture that it holds for.
    pub arch: Arch,
    /// Bits of a word.
    pub word_bits: u32,
    /// What no header states as a number.
    pub rules: Rules,
    /// Which XML files there are and how they are written.
    pub xml: XmlFiles,
    /// What each system call takes and gives.
    pub system_calls: BTreeMap<String, Shape>,
    /// How names of libsel4 become names of functions.
    pub names: Names,
    /// Which options of the kernel a guest can ask for.
    pub config: ConfigNames,
    /// What the probe includes and how it names things.
    pub probe: ProbeOptions,
    /// Types of parameters, by their C name.
    pub types: BTreeMap<String, Type>,
    /// Structures in memory, each after those that it contains.
    pub structs: Vec<StructFacts>,
    /// Words made of bit fields.
    pub bitfields: Vec<Bitfield>,
    /// Groups of named numbers.
    pub constants: Vec<ConstantFacts>,
}

/// What no header states as a number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Rules {
    /// How a thread finds its IPC buffer.
    pub ipc_buffer: IpcBufferRule,
    /// How a thread's TLS base is set.
    pub tls_base: TlsBaseRule,
    /// What the initial IO-port capability is.
    pub io_port: IoPortRule,
    /// The right that a Call needs for its receiver to get a reply capability.
    pub call_right: CallRight,
    /// Message registers that travel in CPU registers.
    pub register_words: usize,
    /// Where further boot information begins, in bytes after the start of the BootInfo.
    pub boot_info_extra_offset: u64,
}

/// How a thread finds its IPC buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum IpcBufferRule {
    /// The GS base is the buffer's address whenever the thread runs.
    GsBase,
}

/// How a thread's TLS base is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TlsBaseRule {
    /// It is a member of the user context that TCB_WriteRegisters takes.
    UserContext,
}

/// What the initial IO-port capability is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum IoPortRule {
    /// A capability to all ports, invoked directly.
    Direct,
}

/// The right that a Call needs for its receiver to get a reply capability.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CallRight {
    /// The right to grant capabilities.
    Grant,
}

/// Which XML files there are and how they are written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct XmlFiles {
    /// How conditions are written.
    pub conditions: ConditionDialect,
    /// The file with the system calls, relative to the tree.
    pub system_calls: PathBuf,
    /// The sections of that file, in the order of the numbers.
    pub sections: Vec<Section>,
    /// The files with the invocations, relative to the tree, in the order of their labels.
    pub interfaces: Vec<PathBuf>,
}

/// A section of the file with the system calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Section {
    /// The name of its element.
    pub element: String,
    /// Whether its calls are outside the official interface.
    pub debug: bool,
    /// The condition under which it counts at all.
    pub when: Option<String>,
}

/// How conditions are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConditionDialect {
    /// As the text of a C preprocessor expression in the attribute `condition`.
    CText,
}

/// What a system call takes and gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    /// A message to a capability.
    Send,
    /// A message to the last caller.
    Reply,
    /// A message from a capability.
    Recv,
    /// A message to a capability, and the answer.
    Call,
    /// A message to the last caller, then one from a capability.
    SendRecv,
    /// Nothing in, nothing out.
    Null,
    /// One word in, one word out.
    Word,
}

/// How names of libsel4 become names of functions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Names {
    /// The longest of these is taken off an interface's name.
    pub strip_prefixes: Vec<String>,
    /// Words in mixed case that stay in one piece.
    pub words: Vec<String>,
}

/// Which options of the kernel a guest can ask for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ConfigNames {
    /// Flags; off when the kernel config does not name them.
    pub flags: Vec<String>,
    /// Numbers; the kernel config must name them.
    pub numbers: Vec<String>,
}

/// What the probe includes and how it names things.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ProbeOptions {
    /// Headers, in the order of inclusion.
    pub headers: Vec<String>,
    /// What libsel4 puts before a system call's name.
    pub system_call_prefix: String,
}

/// The type of a parameter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Type {
    /// What it is.
    pub kind: TypeKind,
    /// Bits that it takes in a message.
    pub bits: u32,
    /// Bytes that the C type takes in memory, when that is not `bits` / 8.
    pub size: Option<u64>,
    /// The bit-field word that it is.
    pub bitfield: Option<String>,
}

/// What the type of a parameter is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TypeKind {
    /// A number without a sign.
    Unsigned,
    /// A number with a sign.
    Signed,
    /// True or false.
    Bool,
    /// A capability pointer: travels as an extra capability, not as a word.
    Capability,
    /// A word made of bit fields.
    Bitfield,
}

/// A structure in memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct StructFacts {
    /// Its name in the bindings.
    pub name: String,
    /// Its C name.
    pub c: String,
    /// One sentence.
    pub doc: String,
    /// How the fields follow each other.
    pub layout: Layout,
    /// The fields, in order.
    pub fields: Vec<FieldFacts>,
}

/// How the fields of a structure follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// Without gaps.
    Packed,
    /// Each at its natural alignment.
    Natural,
}

/// One field of a structure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct FieldFacts {
    /// Its name in the bindings; a name that begins with `padding` gets no accessor.
    pub name: String,
    /// Its C name.
    pub c: String,
    /// `word`, `u8`, `u16`, `u32` or the name of a structure.
    #[serde(rename = "type")]
    pub field_type: String,
    /// How many there are, when it is an array.
    pub count: Option<Count>,
    /// The condition under which it exists.
    pub when: Option<String>,
    /// One sentence.
    #[serde(default)]
    pub doc: String,
}

/// The length of an array.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Count {
    /// Always the same.
    Number(u64),
    /// The value of an option (without `CONFIG_`).
    Option(String),
}

/// A word made of bit fields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Bitfield {
    /// Its name in the bindings.
    pub name: String,
    /// The C function that makes one of its fields, in the order of `fields`.
    pub c: String,
    /// One sentence.
    pub doc: String,
    /// Bits that are always set.
    #[serde(default)]
    pub fixed: u64,
    /// The fields.
    pub fields: Vec<BitRange>,
}

/// One bit field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct BitRange {
    /// Its name in the bindings.
    pub name: String,
    /// Number of its lowest bit.
    pub shift: u32,
    /// How many bits it has.
    pub bits: u32,
    /// One sentence.
    pub doc: String,
}

/// A group of named numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ConstantFacts {
    /// The group's module in the bindings.
    pub name: String,
    /// One sentence.
    pub doc: String,
    /// The numbers.
    pub entries: Vec<EntryFacts>,
}

/// One named number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct EntryFacts {
    /// Its name in the bindings.
    pub name: String,
    /// Its C name.
    pub c: String,
    /// Its value; one more than the entry before when it is not given, 0 for the first.
    pub value: Option<u64>,
    /// The condition under which it exists; it takes no number otherwise.
    pub when: Option<String>,
    /// One sentence.
    #[serde(default)]
    pub doc: String,
}

/// An era's file could not be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is none of this name.
    #[error(
        "{path}: there is no such era\n  help: `era` in a kernel config names a file of kernel-configs/eras/"
    )]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// It could not be read.
    #[error(transparent)]
    Files(#[from] files::Error),
    /// It is not what an era looks like.
    #[error("{path}: {source}")]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong, with line and column.
        source: Box<toml::de::Error>,
    },
    /// Something in it contradicts itself.
    #[error("{path}: {problem}")]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
}

impl Era {
    /// Reads the era in the file `path`.
    pub fn load(path: PathBuf) -> Result<Self, Error> {
        let text = fs::read_to_string(&path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => Error::Missing { path: path.clone() },
            _ => files::Error::at("read", &path)(source).into(),
        })?;
        let era: Self = toml::from_str(&text)
            .map_err(|source| Error::Format { path: path.clone(), source: Box::new(source) })?;
        match era.contradiction() {
            None => Ok(era),
            Some(problem) => Err(Error::Content { path, problem }),
        }
    }

    /// What in it contradicts itself, or what the system-call stubs can do.
    fn contradiction(&self) -> Option<String> {
        let Arch::X86_64 = self.arch;
        if self.word_bits != 64 || self.rules.register_words != 4 {
            return Some("on x86_64 `word-bits` is 64 and `register-words` is 4".to_owned());
        }
        let bitfield = |name: &String| self.bitfields.iter().any(|bitfield| bitfield.name == *name);
        for (name, known) in &self.types {
            if !(known.bits.is_power_of_two() && known.bits <= self.word_bits) {
                return Some(format!(
                    "`{name}` has {} bits; a power of two up to a word is expected",
                    known.bits
                ));
            }
            if (known.kind == TypeKind::Bitfield) != known.bitfield.as_ref().is_some_and(bitfield) {
                return Some(format!("`{name}` must name one of the bitfields exactly if that is its kind"));
            }
        }
        for bitfield in &self.bitfields {
            for field in &bitfield.fields {
                let end = field.shift.saturating_add(field.bits);
                if field.bits == 0 || end > self.word_bits {
                    return Some(format!("`{}.{}` does not fit into a word", bitfield.name, field.name));
                }
            }
        }
        None
    }
}
