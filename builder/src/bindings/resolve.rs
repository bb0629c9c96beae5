//! From XML, era and options to the [`Interface`]: numbering, layout and marshalling.

use super::{
    condition::{BadCondition, Condition, Options},
    era::{
        Count, Era, FieldFacts, Layout, NumberName, Rules, Scheduling, Shape, StructFacts, Type, TypeKind,
    },
    interface::{
        Config, Constant, Constants, Context, Field, FieldType, Interface, Invocation, Param, ParamPlace,
        ParamType, Struct, SystemCall,
    },
    xml::{Place, RawInterfaces, RawMethod, RawParam, RawSystemCall},
};

use std::collections::{BTreeMap, BTreeSet};

/// What a tree's XML says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RawApi {
    /// System calls, in the order of their numbers.
    pub system_calls: Vec<RawSystemCall>,
    /// Invocations of each file, in the order of their labels.
    pub interfaces: Vec<RawInterfaces>,
}

/// XML, era and options do not fit together.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A type that the era does not know.
    #[error("{place}: the type `{c_type}` of `{name}` is not known\n  help: the era's file lists the types")]
    Type {
        /// Where.
        place: Place,
        /// The parameter or interface.
        name: String,
        /// The C type.
        c_type: String,
    },
    /// An interface whose type is no capability.
    #[error("{place}: the interface `{interface}` is not a capability type of the era")]
    Service {
        /// Where.
        place: Place,
        /// Its C type.
        interface: String,
    },
    /// An invocation that does not fit into a message.
    #[error(
        "{place}: `{method}` takes {words} words and {caps} capabilities; a message carries {max_words} and {max_caps}"
    )]
    TooLong {
        /// Where.
        place: Place,
        /// Its name.
        method: String,
        /// Words that it takes.
        words: usize,
        /// Capabilities that it takes.
        caps: usize,
        /// Words of a message.
        max_words: usize,
        /// Capabilities of a message.
        max_caps: usize,
    },
    /// A condition in the era's file that cannot be read.
    #[error("era: `{name}`: {source}")]
    Condition {
        /// What has the condition.
        name: String,
        /// Why.
        source: BadCondition,
    },
    /// A field whose type the era does not define before it.
    #[error(
        "era: `{structure}.{field}`: the type `{field_type}` is neither word, u8, u16, u32 nor a structure above it"
    )]
    FieldType {
        /// The structure.
        structure: String,
        /// The field.
        field: String,
        /// Its type.
        field_type: String,
    },
    /// A number that the kernel config does not give.
    #[error(
        "era: the kernel config does not set `{option}`, a number that the interface depends on\n  help: add `{option} = …` to its [options]"
    )]
    Option {
        /// The option, without `CONFIG_`.
        option: String,
    },
    /// An array without a sensible length.
    #[error(
        "`{option} = {length}` is not the length of a list\n  help: change it in the kernel config's [options]"
    )]
    Length {
        /// The option, without `CONFIG_`.
        option: String,
        /// Its value.
        length: i64,
    },
    /// Two things of one name exist at the same time.
    #[error(
        "era: `{group}` has `{name}` twice for these options\n  help: their `when` must exclude each other"
    )]
    Twice {
        /// What they are in.
        group: String,
        /// Their name.
        name: String,
    },
    /// Two methods have one label.
    #[error("{place}: the id `{id}` is also that of a method above it, and both exist with these options")]
    SameId {
        /// Where the second one is.
        place: Place,
        /// The id.
        id: String,
    },
    /// The XML has no system calls where the era says that some are.
    #[error(
        "the XML has no system calls in `<{element}>`, which the era names\n  help: the tree is not one that the era of its release describes"
    )]
    Section {
        /// The element.
        element: String,
    },
    /// Something the era must contain.
    #[error("era: {what} is missing")]
    Lacks {
        /// What.
        what: &'static str,
    },
}

/// Resolves the interface that a kernel of release `version` with these options has.
pub fn resolve(raw: &RawApi, era: &Era, options: Options<'_>, version: &str) -> Result<Interface, Error> {
    let contexts = contexts(raw, era, options)?;
    let constants = constants(era, options)?;
    let structs = structs(era, options)?;
    let limits = Limits::of(&structs)?;
    let marshaller = Marshaller { era, contexts: &contexts, limits };
    let methods = existing(raw, options)?;
    let used = methods.iter().flat_map(|method| {
        let params = method.params.iter().map(|param| &param.c_type);
        std::iter::once(&method.interface).chain(params)
    });
    let used: BTreeSet<_> = used.collect();
    let types = era.types.iter().filter(|(name, _)| used.contains(name));
    let types = types.map(|(name, facts)| (name.clone(), param_type(facts))).collect();
    let invocations = methods.into_iter().zip(1..);
    let invocations = invocations.map(|(method, label)| marshaller.invocation(method, label));
    Ok(Interface {
        version: version.to_owned(),
        arch: era.arch,
        word_bits: era.word_bits,
        rules: rules(era, options),
        system_calls: system_calls(raw, era, options)?,
        invocations: invocations.collect::<Result<_, _>>()?,
        types,
        contexts,
        structs,
        bitfields: era.bitfields.clone(),
        constants,
        config: config(era, options)?,
    })
}

/// The option with which time and replies are objects.
const MCS: &str = "KERNEL_MCS";

fn rules(era: &Era, options: Options<'_>) -> Rules {
    let mcs = options.defined(MCS);
    let scheduling = if mcs { Scheduling::Mcs } else { era.rules.scheduling };
    Rules { scheduling, ..era.rules.clone() }
}

/// The methods that exist, in the order of their labels. A label is a method's id: none may come twice.
fn existing<'r>(raw: &'r RawApi, options: Options<'_>) -> Result<Vec<&'r RawMethod>, Error> {
    let methods = raw.interfaces.iter().flat_map(|file| &file.methods);
    let methods: Vec<_> = methods.filter(|method| holds(method.condition.as_ref(), options)).collect();
    let mut ids = BTreeSet::new();
    match methods.iter().find(|method| !ids.insert(&method.id)) {
        None => Ok(methods),
        Some(method) => Err(Error::SameId { place: method.place.clone(), id: method.id.clone() }),
    }
}

/// The structures of words; of some, a kernel has only the first members.
fn contexts(raw: &RawApi, era: &Era, options: Options<'_>) -> Result<Vec<Context>, Error> {
    let mut contexts = Vec::new();
    for structure in raw.interfaces.iter().flat_map(|file| &file.structs) {
        let mut members = structure.members.clone();
        for facts in era.contexts.iter().filter(|facts| facts.c == structure.name) {
            if exists(&facts.c, facts.when.as_deref(), options)? {
                members.truncate(facts.words);
            }
        }
        contexts.push(Context { c: structure.name.clone(), members });
    }
    Ok(contexts)
}

fn holds(condition: Option<&Condition>, options: Options<'_>) -> bool {
    condition.is_none_or(|condition| condition.holds(options))
}

/// A system call takes its number whether its own condition holds or not; only whole sections are
/// left out of the count.
fn system_calls(raw: &RawApi, era: &Era, options: Options<'_>) -> Result<Vec<SystemCall>, Error> {
    let mut calls = Vec::new();
    let mut number = 0;
    for section in &era.xml.sections {
        if !exists(&section.element, section.when.as_deref(), options)? {
            continue;
        }
        let before = number;
        for call in raw.system_calls.iter().filter(|call| call.section == section.element) {
            number -= 1;
            if holds(call.condition.as_ref(), options) {
                let (name, shape) = (call.name.clone(), shape(era, &call.name, options));
                let debug = section.debug != section.except.contains(&call.name);
                calls.push(SystemCall { name, number, debug, shape });
            }
        }
        if number == before {
            return Err(Error::Section { element: section.element.clone() });
        }
    }
    Ok(calls)
}

/// What a system call takes and gives, as far as the era knows.
pub(super) fn shape(era: &Era, name: &str, options: Options<'_>) -> Option<Shape> {
    let mcs = era.mcs_system_calls.get(name).filter(|_| options.defined(MCS));
    mcs.or_else(|| era.system_calls.get(name)).copied()
}

fn param_type(facts: &Type) -> ParamType {
    let size = facts.size.unwrap_or(u64::from(facts.bits / 8));
    ParamType { kind: facts.kind, bits: facts.bits, size, bitfield: facts.bitfield.clone() }
}

fn config(era: &Era, options: Options<'_>) -> Result<Config, Error> {
    let flags = era.config.flags.iter().map(|name| (name.clone(), options.defined(name)));
    let mut numbers = BTreeMap::new();
    for facts in &era.config.numbers {
        let (name, when) = match facts {
            NumberName::Always(name) => (name, None),
            NumberName::Sometimes { name, when } => (name, Some(when.as_str())),
        };
        if exists(name, when, options)? {
            numbers.insert(name.clone(), number(name, options)?);
        }
    }
    Ok(Config { flags: flags.collect(), numbers })
}

fn number(option: &str, options: Options<'_>) -> Result<i64, Error> {
    options.number(option).ok_or_else(|| Error::Option { option: option.to_owned() })
}

fn exists(name: &str, when: Option<&str>, options: Options<'_>) -> Result<bool, Error> {
    let Some(text) = when else { return Ok(true) };
    let condition = Condition::parse(text);
    let condition = condition.map_err(|source| Error::Condition { name: name.to_owned(), source })?;
    Ok(condition.holds(options))
}

/// Numbers the entries of each group as a C enum does.
fn constants(era: &Era, options: Options<'_>) -> Result<Vec<Constants>, Error> {
    let mut groups = Vec::new();
    for facts in &era.constants {
        let mut entries = Vec::new();
        let mut next = 0;
        for entry in &facts.entries {
            if exists(&entry.name, entry.when.as_deref(), options)? {
                let value = entry.value.unwrap_or(next);
                next = value.wrapping_add(1);
                let (name, c, doc) = (entry.name.clone(), entry.c.clone(), entry.doc.clone());
                if entries.iter().any(|known: &Constant| known.name == name) {
                    return Err(Error::Twice { group: facts.name.clone(), name });
                }
                entries.push(Constant { name, c, doc, value });
            }
        }
        if entries.is_empty() {
            continue;
        }
        groups.push(Constants { name: facts.name.clone(), doc: facts.doc.clone(), entries });
    }
    Ok(groups)
}

fn structs(era: &Era, options: Options<'_>) -> Result<Vec<Struct>, Error> {
    let mut structs = Vec::new();
    for facts in &era.structs {
        let structure = structure(facts, &structs, era.word_bits, options)?;
        structs.push(structure);
    }
    Ok(structs)
}

/// Lays out the fields of one structure, which may contain those in `known`.
fn structure(
    facts: &StructFacts,
    known: &[Struct],
    word_bits: u32,
    options: Options<'_>,
) -> Result<Struct, Error> {
    let mut fields = Vec::new();
    let (mut end, mut align) = (0_u64, 1);
    for field in &facts.fields {
        if !exists(&field.name, field.when.as_deref(), options)? {
            continue;
        }
        let (field_type, size, natural) = field_type(facts, field, known, word_bits)?;
        if facts.layout == Layout::Natural {
            align = align.max(natural);
            end = end.next_multiple_of(natural);
        }
        let count = match &field.count {
            None => None,
            Some(Count::Number(count)) => Some(*count),
            Some(Count::Option(option)) => Some(length(option, options)?),
        };
        let (name, c, doc) = (field.name.clone(), field.c.clone(), field.doc.clone());
        fields.push(Field { name, c, doc, offset: end, field_type, size, count });
        end += size * count.unwrap_or(1);
    }
    let (name, c, doc) = (facts.name.clone(), facts.c.clone(), facts.doc.clone());
    Ok(Struct { name, c, doc, size: end.next_multiple_of(align), align, fields })
}

/// The length of an array; no list of the interface is longer than a page.
fn length(option: &str, options: Options<'_>) -> Result<u64, Error> {
    let length = number(option, options)?;
    u64::try_from(length)
        .ok()
        .filter(|length| *length <= 4096)
        .ok_or_else(|| Error::Length { option: option.to_owned(), length })
}

/// A field's type, its size and its natural alignment in bytes.
fn field_type(
    structure: &StructFacts,
    field: &FieldFacts,
    known: &[Struct],
    word_bits: u32,
) -> Result<(FieldType, u64, u64), Error> {
    let bits = match field.field_type.as_str() {
        "word" => word_bits,
        "u8" => 8,
        "u16" => 16,
        "u32" => 32,
        name => {
            let inner = known.iter().find(|known| known.name == name).ok_or_else(|| Error::FieldType {
                structure: structure.name.clone(),
                field: field.name.clone(),
                field_type: name.to_owned(),
            })?;
            return Ok((FieldType::Struct(name.to_owned()), inner.size, inner.align));
        }
    };
    let bytes = u64::from(bits / 8);
    Ok((FieldType::Number(bits), bytes, bytes))
}

/// What one message carries at most.
#[derive(Debug, Clone, Copy)]
struct Limits {
    words: usize,
    caps: usize,
}

impl Limits {
    fn of(structs: &[Struct]) -> Result<Self, Error> {
        let buffer = structs.iter().find(|structure| structure.name == "IpcBuffer");
        let buffer = buffer.ok_or(Error::Lacks { what: "the structure `IpcBuffer`" })?;
        let count = |name: &str| {
            let count = buffer.fields.iter().find(|field| field.name == name)?.count?;
            usize::try_from(count).ok()
        };
        let words = count("msg").ok_or(Error::Lacks { what: "the array `IpcBuffer.msg`" })?;
        let caps = count("caps_or_badges");
        Ok(Self { words, caps: caps.ok_or(Error::Lacks { what: "the array `IpcBuffer.caps_or_badges`" })? })
    }
}

/// Places parameters in messages.
struct Marshaller<'a> {
    era: &'a Era,
    contexts: &'a [Context],
    limits: Limits,
}

impl Marshaller<'_> {
    fn invocation(&self, raw: &RawMethod, label: u64) -> Result<Invocation, Error> {
        let service = self.era.types.get(&raw.interface);
        if service.is_none_or(|service| service.kind != TypeKind::Capability) {
            return Err(Error::Service { place: raw.place.clone(), interface: raw.interface.clone() });
        }
        let (inputs, words, caps) = self.place(raw.params.iter().filter(|param| !param.out), true)?;
        let (outputs, out_words, _) = self.place(raw.params.iter().filter(|param| param.out), false)?;
        if words.max(out_words) > self.limits.words || caps > self.limits.caps {
            return Err(Error::TooLong {
                place: raw.place.clone(),
                method: format!("{}_{}", raw.interface, raw.name),
                words: words.max(out_words),
                caps,
                max_words: self.limits.words,
                max_caps: self.limits.caps,
            });
        }
        Ok(Invocation {
            interface: raw.interface.clone(),
            method: raw.name.clone(),
            id: raw.id.clone(),
            label,
            doc: raw.brief.clone(),
            service_doc: raw.service.clone(),
            inputs,
            outputs,
            words,
            caps,
        })
    }

    /// Packs parameters one after the other, each aligned to its own size or to a word, whichever is
    /// less. Capabilities that go in travel apart (`apart`); those that come out are plain words.
    fn place<'p>(
        &self,
        raw: impl Iterator<Item = &'p RawParam>,
        apart: bool,
    ) -> Result<(Vec<Param>, usize, usize), Error> {
        let word_bits = self.era.word_bits as usize;
        let (mut params, mut used, mut caps) = (Vec::new(), 0_usize, 0);
        for param in raw {
            let (bits, capability) = self.size(param)?;
            let place = if apart && capability {
                caps += 1;
                ParamPlace::Cap(caps - 1)
            } else {
                used = used.next_multiple_of(bits.min(word_bits).max(1));
                let (word, shift) = (used / word_bits, used % word_bits);
                used += bits;
                if bits > word_bits {
                    ParamPlace::Words { word, count: bits / word_bits }
                } else {
                    ParamPlace::Bits { word, shift: shift as u32, bits: bits as u32 }
                }
            };
            let (name, c_type, doc) = (param.name.clone(), param.c_type.clone(), param.doc.clone());
            params.push(Param { name, c_type, doc, place });
        }
        Ok((params, used.div_ceil(word_bits), caps))
    }

    /// The bits that a parameter takes, and whether it is a capability.
    fn size(&self, param: &RawParam) -> Result<(usize, bool), Error> {
        if let Some(known) = self.era.types.get(&param.c_type) {
            return Ok((known.bits as usize, known.kind == TypeKind::Capability));
        }
        let context = self.contexts.iter().find(|context| context.c == param.c_type);
        let context = context.ok_or_else(|| Error::Type {
            place: param.place.clone(),
            name: param.name.clone(),
            c_type: param.c_type.clone(),
        })?;
        Ok((context.members.len() * self.era.word_bits as usize, false))
    }
}
