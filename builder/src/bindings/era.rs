//! Eras: how the user interface of a range of seL4 releases is laid out, as data.
//!
//! seL4's XML names system calls and invocations; everything else about the interface is only in C
//! headers and changes now and then. Each file of `kernel-configs/eras/` states it for one range of
//! releases and one architecture, and [`super::probe`] holds it against the tree's own headers.

mod load;

pub use load::Error;

use crate::kernel_config::Arch;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, path::PathBuf};

/// One file of `kernel-configs/eras/`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Era {
    /// One sentence.
    pub description: String,
    /// The seL4 releases that it holds for, for instance `>=13, <17`.
    pub versions: String,
    /// The architecture that it holds for.
    pub arch: Arch,
    /// Bits of a word.
    pub word_bits: u32,
    /// What no header states as a number.
    pub rules: Rules,
    /// How the XML files are written.
    pub xml: XmlFiles,
    /// What each system call takes and gives.
    pub system_calls: BTreeMap<String, Shape>,
    /// What differs in that with scheduling contexts.
    #[serde(default)]
    pub mcs_system_calls: BTreeMap<String, Shape>,
    /// How names of libsel4 become names of functions.
    pub names: Names,
    /// Which options of the kernel a guest can ask for.
    pub config: ConfigNames,
    /// What the probe includes and how it names things.
    pub probe: ProbeOptions,
    /// The files with bit fields that a build leaves beside the headers, when it leaves any.
    pub bitfield_files: Option<BitfieldFiles>,
    /// Types of parameters, by their C name.
    pub types: BTreeMap<String, Type>,
    /// Structures of words of which a kernel has less than the XML says.
    #[serde(default)]
    pub contexts: Vec<ContextFacts>,
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
    /// How the kernel chooses who runs; `mcs` with the option KERNEL_MCS, whatever is said here.
    #[serde(default)]
    pub scheduling: Scheduling,
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
    /// The first thread's is told by BootInfo, each other's by who made it: the thread keeps the address.
    BootInfo,
}

/// How a thread's TLS base is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TlsBaseRule {
    /// It is a member of the user context that TCB_WriteRegisters takes.
    UserContext,
    /// By TCB_SetTLSBase, or as FS base in the user context.
    SetTlsBase,
}

/// What the initial IO-port capability is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum IoPortRule {
    /// A capability to all ports, invoked directly.
    Direct,
    /// A capability that issues one to a range of ports.
    Issue,
}

/// The right that a Call needs for its receiver to get a reply capability.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CallRight {
    /// The right to grant capabilities.
    Grant,
    /// The right to grant capabilities, or the one to grant a reply.
    GrantOrGrantReply,
}

/// How the kernel chooses who runs, and for how long.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Scheduling {
    #[default]
    /// Each thread has a time slice; the kernel keeps who is to get a reply.
    TimeSlice,
    /// Time is an object (scheduling contexts), and so is the reply.
    Mcs,
}

/// How the XML files are written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct XmlFiles {
    /// How conditions are written.
    pub conditions: ConditionDialect,
    /// The sections of the file with the system calls, in the order of the numbers.
    pub sections: Vec<Section>,
}

/// A section of the file with the system calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Section {
    /// The name of its element.
    pub element: String,
    /// Whether its calls are outside the official interface.
    pub debug: bool,
    /// Calls in it for which the contrary of `debug` holds.
    #[serde(default)]
    pub except: Vec<String>,
    /// The condition under which it counts at all.
    pub when: Option<String>,
}

/// How conditions are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConditionDialect {
    /// As the text of a C preprocessor expression in the attribute `condition`.
    CText,
    /// As an element `condition` with elements `and`, `or`, `not` and `config`.
    Elements,
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
    /// A message from a capability; a reply object keeps who called.
    RecvReply,
    /// A message to who called through a reply object, then one from a capability, likewise.
    SendRecvReply,
    /// A message to a capability if somebody waits there, then one as in `recv-reply`.
    NbSendRecv,
    /// A message to a capability if somebody waits there, then one as in `recv`.
    NbSendWait,
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
    pub numbers: Vec<NumberName>,
}

/// An option that is a number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum NumberName {
    /// Every kernel has it.
    Always(String),
    /// Some kernels have it.
    Sometimes {
        /// Its name.
        name: String,
        /// The condition under which it exists.
        when: String,
    },
}

/// What the probe includes and how it names things.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ProbeOptions {
    /// Headers, in the order of inclusion.
    pub headers: Vec<String>,
    /// What libsel4 puts before a system call's name.
    pub system_call_prefix: String,
    /// What libsel4 calls the number after the last label.
    pub label_count: String,
}

/// The files with bit fields that a build leaves beside the headers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct BitfieldFiles {
    /// Their names, relative to an include folder.
    pub files: Vec<PathBuf>,
    /// The tagged union whose tags are the numbers of the group `fault`.
    pub faults: String,
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

/// A structure of words of which a kernel has less than the XML says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ContextFacts {
    /// Its C name.
    pub c: String,
    /// How many of the members it has.
    pub words: usize,
    /// The condition under which that is so.
    pub when: Option<String>,
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
    /// The C function that makes one of its fields, in the order of `fields`; none when it is a plain word.
    pub c: Option<String>,
    /// One sentence.
    pub doc: String,
    /// The block of the bit-field files that it is.
    pub block: Option<String>,
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
    /// Its name in the block.
    pub c: Option<String>,
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
