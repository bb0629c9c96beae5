//! The Rust bindings: an [`Interface`] put into the words of `templates/bindings/bindings.rs.hbs`.

mod invocation;
mod text;

use super::{
    era::{Bitfield, CallRight, Era, IoPortRule, IpcBufferRule, Names, Scheduling, Shape, TlsBaseRule},
    interface::{Context, Field, FieldType, Interface, Struct},
    names::{capitals, identifier, stripped},
};
use crate::template;
use invocation::{InvocationText, Writer};
use serde::Serialize;
use std::collections::BTreeMap;

const TEMPLATE: &str = include_str!("../../../../templates/bindings/bindings.rs.hbs");

/// The bindings could not be written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Two functions would have one name.
    #[error(
        "`{first}` and `{second}` would both become `{name}`\n  help: change `strip-prefixes` in the era's file"
    )]
    SameName {
        /// The C name of one.
        first: String,
        /// The C name of the other.
        second: String,
        /// The name.
        name: String,
    },
}

/// The bindings' source text.
pub fn render(interface: &Interface, era: &Era) -> Result<String, Error> {
    distinct(interface, &era.names)?;
    Ok(template::render(TEMPLATE, &Page::new(interface, era)))
}

/// Checks that no two functions have one name.
fn distinct(interface: &Interface, names: &Names) -> Result<(), Error> {
    let mut seen = BTreeMap::new();
    let calls = interface.system_calls.iter().filter(|call| call.shape.is_some());
    let calls = calls.map(|call| (identifier(&call.name, names), call.name.clone()));
    let invocations = interface.invocations.iter().map(|invocation| {
        let c = format!("{}_{}", invocation.interface, invocation.method);
        (Writer { interface, names, invocation }.name(), c)
    });
    for (name, second) in calls.chain(invocations) {
        if let Some(first) = seen.insert(name.clone(), second.clone()) {
            return Err(Error::SameName { first, second, name });
        }
    }
    Ok(())
}

/// What the template sees.
#[derive(Serialize)]
struct Page<'a> {
    interface: &'a Interface,
    rules: Vec<Line>,
    features: Vec<Feature>,
    flags: Vec<Line>,
    numbers: Vec<Line>,
    numbers_of_calls: Vec<Line>,
    calls: Vec<CallText>,
    absent: Vec<CallText>,
    labels: Vec<Line>,
    contexts: Vec<ContextText>,
    records: Vec<StructText>,
    views: Vec<StructText>,
    buffer: Vec<Line>,
    bitfields: Vec<BitfieldText>,
    invocations: Vec<InvocationText>,
}

/// What a kernel has or has not, and code written for all kernels has to choose by: the macro `when`.
#[derive(Serialize)]
struct Feature {
    name: &'static str,
    doc: &'static str,
    on: bool,
}

/// One `pub const`.
#[derive(Serialize)]
struct Line {
    name: String,
    value: String,
    doc: String,
}

#[derive(Serialize)]
struct CallText {
    name: String,
    number: String,
    shape: Shape,
    c: String,
}

#[derive(Serialize)]
struct ContextText {
    name: String,
    c: String,
    count: usize,
    members: Vec<String>,
}

#[derive(Serialize)]
struct StructText {
    name: String,
    c: String,
    doc: String,
    size: u64,
    fields: Vec<FieldText>,
    reading: String,
}

#[derive(Serialize)]
struct FieldText {
    name: String,
    doc: String,
    rust: String,
    count: Option<u64>,
    reading: String,
}

#[derive(Serialize)]
struct BitfieldText {
    name: String,
    doc: String,
    constructor: String,
    value: String,
    fields: Vec<BitText>,
}

#[derive(Serialize)]
struct BitText {
    name: String,
    doc: String,
    kind: &'static str,
    placed: String,
    read: String,
}

impl<'a> Page<'a> {
    fn new(interface: &'a Interface, era: &Era) -> Self {
        let names = &era.names;
        let line = |name: String, value: String| Line { name, value, doc: String::new() };
        let config = &interface.config;
        let numbers = interface.system_calls.iter();
        let labels = interface.invocations.iter();
        let (buffer, structs): (Vec<_>, Vec<_>) =
            interface.structs.iter().partition(|structure| structure.name == "IpcBuffer");
        let (views, records): (Vec<_>, Vec<_>) = structs.into_iter().partition(|structure| {
            structure.fields.iter().any(|field| field.count.is_some() && !is_padding(field))
        });
        Self {
            interface,
            rules: rules(interface),
            features: features(interface),
            flags: config.flags.iter().map(|(name, on)| line(name.clone(), on.to_string())).collect(),
            numbers: config
                .numbers
                .iter()
                .map(|(name, value)| line(name.clone(), value.to_string()))
                .collect(),
            numbers_of_calls: numbers
                .map(|call| line(capitals(&call.name, names), call.number.to_string()))
                .collect(),
            calls: calls(interface, names),
            absent: absent(interface, era),
            labels: labels
                .map(|invocation| line(capitals(&invocation.id, names), invocation.label.to_string()))
                .collect(),
            contexts: contexts(interface, names),
            records: records.into_iter().map(structure).collect(),
            views: views.into_iter().map(structure).collect(),
            buffer: buffer.into_iter().flat_map(offsets).collect(),
            bitfields: interface.bitfields.iter().map(bitfield).collect(),
            invocations: interface
                .invocations
                .iter()
                .map(|invocation| Writer { interface, names, invocation }.text())
                .collect(),
        }
    }
}

/// Differences that a constant cannot express, because a function, a parameter or a field is not there.
fn features(interface: &Interface) -> Vec<Feature> {
    let call = |id: &str| interface.invocations.iter().find(|invocation| invocation.id == id);
    let has = |id: &str| call(id).is_some();
    let takes = |id: &str, name: &str| {
        call(id).is_some_and(|invocation| invocation.inputs.iter().any(|input| input.name == name))
    };
    let keeps = |structure: &str, field: &str| {
        interface
            .structure(structure)
            .is_some_and(|structure| structure.fields.iter().any(|known| known.name == field))
    };
    let feature = |name, on, doc| Feature { name, doc, on };
    vec![
        feature("mcs", has("SchedContextBind"), "scheduling contexts and reply objects"),
        feature("issued_ports", has("X86IOPortControlIssue"), "ranges of IO ports have to be issued"),
        feature(
            "priority_authority",
            takes("TCBSetPriority", "authority"),
            "priorities are set with a thread as the authority, and not by TCB_Configure",
        ),
        feature("page_remap", has("X86PageRemap"), "a mapped page is changed by an invocation of its own"),
        feature("io_labels", has("X86PageMapIO"), "labels for pages of devices, with an IOMMU or without"),
        feature(
            "status_bits",
            has("X86PageDirectoryGetStatusBits"),
            "a page directory tells which pages were used",
        ),
        feature(
            "set_tls_base",
            interface.rules.tls_base == TlsBaseRule::SetTlsBase,
            "TCB_SetTLSBase, and FS and GS in the user context",
        ),
        feature(
            "clock_in_boot_info",
            keeps("BootInfo", "arch_info"),
            "BootInfo itself tells the frequency of the time-stamp counter",
        ),
    ]
}

fn rules(interface: &Interface) -> Vec<Line> {
    let rules = &interface.rules;
    let line = |name: &str, value: String, doc: &str| Line { name: name.into(), value, doc: doc.into() };
    vec![
        line(
            "IPC_BUFFER_IN_GS_BASE: bool",
            (rules.ipc_buffer == IpcBufferRule::GsBase).to_string(),
            "Whether the GS base is the address of the running thread's IPC buffer.",
        ),
        line(
            "TLS_BASE_IN_USER_CONTEXT: bool",
            (rules.tls_base == TlsBaseRule::UserContext).to_string(),
            "Whether a thread's TLS base is a member of [`UserContext`](super::UserContext).",
        ),
        line(
            "IO_PORT_DIRECT: bool",
            (rules.io_port == IoPortRule::Direct).to_string(),
            "Whether the initial IO-port capability is invoked directly, without issuing a range first.",
        ),
        line(
            "CALL_NEEDS_GRANT: bool",
            (rules.call_right == CallRight::Grant).to_string(),
            "Whether the receiver of a call gets a reply capability only if the caller may grant.",
        ),
        line(
            "MCS: bool",
            (rules.scheduling == Scheduling::Mcs).to_string(),
            "Whether time and replies are objects (mixed-criticality scheduling).",
        ),
        line(
            "REGISTER_WORDS: usize",
            rules.register_words.to_string(),
            "Words of a message that travel in CPU registers.",
        ),
        line(
            "BOOT_INFO_EXTRA_OFFSET: usize",
            rules.boot_info_extra_offset.to_string(),
            "Where further boot information begins, in bytes after the start of the BootInfo.",
        ),
    ]
}

fn calls(interface: &Interface, names: &Names) -> Vec<CallText> {
    let with_shape = interface.system_calls.iter().filter_map(|call| Some((call, call.shape?)));
    let text = with_shape.map(|(call, shape)| CallText {
        name: identifier(&call.name, names),
        number: capitals(&call.name, names),
        shape,
        c: call.name.clone(),
    });
    text.collect()
}

/// Debugging calls that this kernel lacks, so that code for both kinds of kernel compiles.
fn absent(interface: &Interface, era: &Era) -> Vec<CallText> {
    let lacking = era.system_calls.iter().filter(|(name, shape)| {
        matches!(shape, Shape::Null | Shape::Word) && interface.system_call(name).is_none()
    });
    let text = lacking.map(|(name, shape)| CallText {
        name: identifier(name, &era.names),
        number: String::new(),
        shape: *shape,
        c: name.clone(),
    });
    text.collect()
}

/// The contexts that an invocation takes or gives.
fn contexts(interface: &Interface, names: &Names) -> Vec<ContextText> {
    let used = |context: &&Context| {
        let params = interface.invocations.iter().flat_map(|call| call.inputs.iter().chain(&call.outputs));
        params.into_iter().any(|param| param.c_type == context.c)
    };
    let text = interface.contexts.iter().filter(used).map(|context| ContextText {
        name: stripped(&context.c, names).to_owned(),
        c: context.c.clone(),
        count: context.members.len(),
        members: context.members.iter().map(|member| identifier(member, names)).collect(),
    });
    text.collect()
}

/// Whether a field means nothing.
fn is_padding(field: &Field) -> bool {
    field.name.starts_with("padding")
}

fn structure(structure: &Struct) -> StructText {
    let meaningful = structure.fields.iter().filter(|field| !is_padding(field));
    let fields: Vec<_> = meaningful.collect();
    let read: Vec<_> =
        fields.iter().map(|field| format!("{}: {}", field.name, reading(field, "base"))).collect();
    StructText {
        name: structure.name.clone(),
        c: structure.c.clone(),
        doc: structure.doc.clone(),
        size: structure.size,
        reading: text::record("        unsafe {", &read),
        fields: fields.into_iter().map(field).collect(),
    }
}

fn field(field: &Field) -> FieldText {
    let (name, doc, count) = (field.name.clone(), field.doc.clone(), field.count);
    FieldText { name, doc, rust: rust_type(field), count, reading: reading(field, "self.base") }
}

fn rust_type(field: &Field) -> String {
    match &field.field_type {
        FieldType::Number(64) => "Word".to_owned(),
        FieldType::Number(bits) => format!("u{bits}"),
        FieldType::Struct(name) => name.clone(),
    }
}

/// The expression that reads a field, or element `index` of it, after `base`.
fn reading(field: &Field, base: &str) -> String {
    let offset = match field.count {
        None => field.offset.to_string(),
        Some(_) => format!("{} + index * {}", field.offset, field.size),
    };
    match &field.field_type {
        FieldType::Number(_) => format!("read({base}, {offset})"),
        FieldType::Struct(name) => format!("{name}::read({base}.add({offset}))"),
    }
}

fn offsets(structure: &Struct) -> Vec<Line> {
    let size = Line {
        name: "SIZE".into(),
        value: structure.size.to_string(),
        doc: "Bytes of the buffer, and its alignment.".into(),
    };
    let fields = structure.fields.iter().map(|field| Line {
        name: field.name.to_uppercase(),
        value: field.offset.to_string(),
        doc: field.doc.clone(),
    });
    std::iter::once(size).chain(fields).collect()
}

fn bitfield(bitfield: &Bitfield) -> BitfieldText {
    let mut params = Vec::new();
    let mut terms = Vec::new();
    if bitfield.fixed != 0 {
        terms.push(format!("{:#x}", bitfield.fixed));
    }
    let mut fields = Vec::new();
    for field in &bitfield.fields {
        let (name, flag, shift) = (&field.name, field.bits == 1, field.shift);
        let mask = format!("{:#x}", u64::MAX >> (64 - field.bits));
        params.push(format!("{name}: {}", if flag { "bool" } else { "Word" }));
        terms.push(name.clone());
        let placed = match (flag, shift) {
            (true, 0) => format!("{name} as Word"),
            (true, _) => format!("({name} as Word) << {shift}"),
            (false, 0) => format!("{name} & {mask}"),
            (false, _) => format!("({name} & {mask}) << {shift}"),
        };
        let low = if shift == 0 { "self.0".to_owned() } else { format!("(self.0 >> {shift})") };
        let read = if flag { format!("{low} & 1 != 0") } else { format!("{low} & {mask}") };
        let kind = if flag { "bool" } else { "Word" };
        fields.push(BitText { name: name.clone(), doc: field.doc.clone(), kind, placed, read });
    }
    BitfieldText {
        name: bitfield.name.clone(),
        doc: bitfield.doc.clone(),
        constructor: text::call("    pub const fn new", &params, " -> Self {"),
        value: terms.join(" | "),
        fields,
    }
}
