//! The user interface of one kernel configuration: every number that a user program needs, resolved.
//!
//! Plain data: bindings, the interface digest and the probe are made from it, and so can whatever
//! else serves or inspects the interface.

use super::era::{Bitfield, Rules, Shape, TypeKind};
use crate::{Digest, kernel_config::Arch};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The user interface of one kernel configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Interface {
    /// The seL4 release.
    pub version: String,
    /// The architecture.
    pub arch: Arch,
    /// Bits of a word.
    pub word_bits: u32,
    /// What is no number.
    pub rules: Rules,
    /// System calls that exist, in the order of their numbers (descending from -1).
    pub system_calls: Vec<SystemCall>,
    /// Invocations that exist, in the order of their labels (ascending from 1).
    pub invocations: Vec<Invocation>,
    /// Types of parameters, by their C name.
    pub types: BTreeMap<String, ParamType>,
    /// Structures of words that are parameters, for instance the user context.
    pub contexts: Vec<Context>,
    /// Structures in memory: BootInfo and its parts, the IPC buffer.
    pub structs: Vec<Struct>,
    /// Words made of bit fields: message tag, rights, guard, badge.
    pub bitfields: Vec<Bitfield>,
    /// Groups of named numbers: object types, size bits, slots, errors, faults.
    pub constants: Vec<Constants>,
    /// The kernel's options that a guest can ask for.
    pub config: Config,
}

/// A system call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SystemCall {
    /// Its name, for instance `NBSend`.
    pub name: String,
    /// Its number.
    pub number: i64,
    /// Whether it is outside the official interface (debugging, benchmarks).
    pub debug: bool,
    /// What it takes and gives, when known.
    pub shape: Option<Shape>,
}

/// An invocation of a capability.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Invocation {
    /// The interface that it belongs to, a C type, for instance `seL4_TCB`.
    pub interface: String,
    /// Its name in that interface, for instance `SetPriority`.
    pub method: String,
    /// The C name of its label, for instance `TCBSetPriority`.
    pub id: String,
    /// Its label.
    pub label: u64,
    /// What it does, in one sentence; may be empty.
    pub doc: String,
    /// What capability it is invoked on; may be empty.
    pub service_doc: String,
    /// What it takes, in the order of the C function's parameters.
    pub inputs: Vec<Param>,
    /// What it gives.
    pub outputs: Vec<Param>,
    /// Words of the message that it sends.
    pub words: usize,
    /// Extra capabilities of that message.
    pub caps: usize,
}

/// A parameter of an invocation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Param {
    /// Its name.
    pub name: String,
    /// Its C type, a key of [`Interface::types`] or the name of one of [`Interface::contexts`].
    pub c_type: String,
    /// What it means; may be empty.
    pub doc: String,
    /// Where it travels.
    pub place: ParamPlace,
}

/// Where a parameter travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ParamPlace {
    /// As the extra capability of this number.
    Cap(usize),
    /// As bits of a message word.
    Bits {
        /// The word's number.
        word: usize,
        /// Number of the lowest bit.
        shift: u32,
        /// How many bits.
        bits: u32,
    },
    /// As whole words, one for each member.
    Words {
        /// The first word's number.
        word: usize,
        /// How many words.
        count: usize,
    },
}

/// The type of a parameter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ParamType {
    /// What it is.
    pub kind: TypeKind,
    /// Bits that it takes in a message.
    pub bits: u32,
    /// Bytes that the C type takes in memory.
    pub size: u64,
    /// The bit-field word that it is.
    pub bitfield: Option<String>,
}

/// A structure of words that is passed as a parameter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Context {
    /// Its C name.
    pub c: String,
    /// Its members, in order, each a word.
    pub members: Vec<String>,
}

/// A structure in memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Struct {
    /// Its name in the bindings.
    pub name: String,
    /// Its C name.
    pub c: String,
    /// One sentence.
    pub doc: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its alignment in bytes.
    pub align: u64,
    /// Its fields, in order.
    pub fields: Vec<Field>,
}

/// A field of a structure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Field {
    /// Its name in the bindings; one that begins with `padding` means nothing.
    pub name: String,
    /// Its C name.
    pub c: String,
    /// One sentence; may be empty.
    pub doc: String,
    /// Where it begins, in bytes after the structure's start.
    pub offset: u64,
    /// What it is.
    pub field_type: FieldType,
    /// Bytes of one element.
    pub size: u64,
    /// How many elements it has, when it is an array.
    pub count: Option<u64>,
}

/// What a field is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FieldType {
    /// A number of this many bits.
    Number(u32),
    /// Another structure.
    Struct(String),
}

/// A group of named numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Constants {
    /// The group's name, for instance `object`.
    pub name: String,
    /// One sentence.
    pub doc: String,
    /// The numbers.
    pub entries: Vec<Constant>,
}

/// A named number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Constant {
    /// Its name in the bindings, for instance `PAGE_TABLE`.
    pub name: String,
    /// Its C name.
    pub c: String,
    /// One sentence; may be empty.
    pub doc: String,
    /// Its value.
    pub value: u64,
}

/// The kernel's options that a guest can ask for, without `CONFIG_`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Config {
    /// Flags.
    pub flags: BTreeMap<String, bool>,
    /// Numbers.
    pub numbers: BTreeMap<String, i64>,
}

impl Interface {
    /// The group of numbers with this name.
    pub fn constants(&self, name: &str) -> Option<&Constants> {
        self.constants.iter().find(|group| group.name == name)
    }

    /// The structure with this name.
    pub fn structure(&self, name: &str) -> Option<&Struct> {
        self.structs.iter().find(|structure| structure.name == name)
    }

    /// The number of the system call with this name.
    pub fn system_call(&self, name: &str) -> Option<i64> {
        self.system_calls.iter().find(|call| call.name == name).map(|call| call.number)
    }

    /// The interface's identity: two kernels with the same one run the same root tasks.
    ///
    /// It covers system-call numbers, labels, marshalling, object numbers and sizes, layouts and
    /// rules; neither texts, nor names, nor the calls and options of debug kernels.
    pub fn digest(&self) -> Digest {
        let calls = self.system_calls.iter().filter(|call| !call.debug);
        let invocations = self.invocations.iter().map(|invocation| {
            let places = |params: &[Param]| params.iter().map(|param| param.place).collect::<Vec<_>>();
            let (inputs, outputs) = (places(&invocation.inputs), places(&invocation.outputs));
            (&invocation.id, invocation.label, inputs, outputs)
        });
        let structs = self.structs.iter().map(|structure| {
            let fields = structure.fields.iter();
            let fields = fields.map(|field| (&field.c, field.offset, field.size, field.count));
            (&structure.c, structure.size, fields.collect::<Vec<_>>())
        });
        let bitfields = self.bitfields.iter().map(|bitfield| {
            let fields = bitfield.fields.iter().map(|field| (field.shift, field.bits));
            (&bitfield.c, bitfield.fixed, fields.collect::<Vec<_>>())
        });
        let constants = self.constants.iter().flat_map(|group| &group.entries);
        Digest::of_json(&(
            (self.arch, self.word_bits, &self.rules, &self.contexts),
            calls.map(|call| (&call.name, call.number)).collect::<Vec<_>>(),
            invocations.collect::<Vec<_>>(),
            structs.collect::<Vec<_>>(),
            bitfields.collect::<Vec<_>>(),
            constants.map(|constant| (&constant.c, constant.value)).collect::<Vec<_>>(),
        ))
    }
}
