//! The Rust bindings: an [`Interface`] put into the words of `templates/bindings/bindings.rs.hbs`.

use super::{
    era::{Bitfield, Era, IoPortRule, IpcBufferRule, Names, Shape, TlsBaseRule, TypeKind},
    interface::{Context, Field, FieldType, Interface, Invocation, Param, ParamPlace, Struct},
    names::{capitals, identifier, snake, stripped},
};
use handlebars::{Handlebars, no_escape};
use serde::Serialize;

const TEMPLATE: &str = include_str!("../../../templates/bindings/bindings.rs.hbs");

/// Columns after which a line is broken; that of the repository's `rustfmt.toml`.
const WIDTH: usize = 110;

/// The template could not be filled in.
#[derive(Debug, thiserror::Error)]
#[error("templates/bindings/bindings.rs.hbs: {0}")]
pub struct Error(#[from] Box<handlebars::RenderError>);

/// The bindings' source text.
pub fn render(interface: &Interface, era: &Era) -> Result<String, Error> {
    let mut handlebars = Handlebars::new();
    handlebars.set_strict_mode(true);
    handlebars.register_escape_fn(no_escape);
    let page = Page::new(interface, era);
    handlebars.render_template(TEMPLATE, &page).map_err(|error| Error(Box::new(error)))
}

/// What the template sees.
#[derive(Serialize)]
struct Page<'a> {
    interface: &'a Interface,
    rules: Vec<Line>,
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

#[derive(Serialize)]
struct InvocationText {
    docs: Vec<String>,
    label: String,
    signature: String,
    before: Vec<String>,
    registers: String,
    caps: usize,
    words: usize,
    after: Vec<String>,
    value: Option<String>,
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
        let (views, records): (Vec<_>, Vec<_>) = structs
            .into_iter()
            .partition(|structure| structure.fields.iter().any(|field| field.count.is_some()));
        Self {
            interface,
            rules: rules(interface),
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

fn structure(structure: &Struct) -> StructText {
    let meaningful = structure.fields.iter().filter(|field| !field.name.starts_with("padding"));
    let fields: Vec<_> = meaningful.collect();
    let read: Vec<_> =
        fields.iter().map(|field| format!("{}: {}", field.name, reading(field, "base"))).collect();
    StructText {
        name: structure.name.clone(),
        c: structure.c.clone(),
        doc: structure.doc.clone(),
        size: structure.size,
        reading: record("        unsafe {", &read),
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

/// `head Self { items } }`, broken as rustfmt breaks it.
fn record(head: &str, items: &[String]) -> String {
    let line = format!("{head} Self {{ {} }} }}", items.join(", "));
    if line.len() <= WIDTH {
        return line;
    }
    let indent = &head[..head.len() - head.trim_start().len()];
    let items: String = items.iter().map(|item| format!("{indent}        {item},\n")).collect();
    format!("{head}\n{indent}    Self {{\n{items}{indent}    }}\n{indent}}}")
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
        constructor: call("    pub const fn new", &params, " -> Self {"),
        value: terms.join(" | "),
        fields,
    }
}

/// `head(params)tail`, broken as rustfmt breaks it.
fn call(head: &str, params: &[String], tail: &str) -> String {
    let line = format!("{head}({}){tail}", params.join(", "));
    if line.len() <= WIDTH {
        return line;
    }
    let indent = &head[..head.len() - head.trim_start().len()];
    let params: String = params.iter().map(|param| format!("{indent}    {param},\n")).collect();
    format!("{head}(\n{params}{indent}){tail}")
}

/// Writes one invocation.
struct Writer<'a> {
    interface: &'a Interface,
    names: &'a Names,
    invocation: &'a Invocation,
}

impl Writer<'_> {
    fn text(&self) -> InvocationText {
        let call = self.invocation;
        let params: Vec<_> = std::iter::once("service: CPtr".to_owned()).chain(self.params()).collect();
        let head = format!("pub unsafe fn {}", self.name());
        let (before, registers) = self.before();
        InvocationText {
            docs: self.docs(),
            label: capitals(&call.id, self.names),
            signature: self::call(&head, &params, &format!(" -> {} {{", self.result())),
            before,
            registers,
            caps: call.caps,
            words: call.words,
            after: self.after(),
            value: self.value(),
        }
    }

    fn name(&self) -> String {
        let interface = stripped(&self.invocation.interface, self.names);
        snake(&format!("{interface}_{}", self.invocation.method), self.names)
    }

    fn param_name(&self, param: &Param) -> String {
        identifier(&param.name, self.names)
    }

    fn docs(&self) -> Vec<String> {
        let call = self.invocation;
        let title = format!("{}_{}", call.interface, call.method);
        let mut docs = match call.doc.as_str() {
            "" => vec![format!("`{title}`.")],
            doc => wrap("", &format!("{} (`{title}`).", doc.trim_end_matches('.'))),
        };
        let service = [("service".to_owned(), call.service_doc.as_str())];
        let params = call.inputs.iter().chain(call.outputs.iter());
        let params = params.map(|param| (self.param_name(param), param.doc.as_str()));
        let described: Vec<_> =
            service.into_iter().chain(params).filter(|(_, doc)| !doc.is_empty()).collect();
        if !described.is_empty() {
            docs.push(String::new());
        }
        for (name, doc) in described {
            docs.extend(wrap("  ", &format!("* `{name}`: {doc}")));
        }
        docs
    }

    /// The parameters after the service, in the order of the XML; contexts that come out last.
    fn params(&self) -> Vec<String> {
        let inputs = self.invocation.inputs.iter().map(|param| {
            let context = if self.is_context(param) { "&" } else { "" };
            format!("{}: {context}{}", self.param_name(param), self.rust(param))
        });
        let outputs = self.invocation.outputs.iter().filter(|param| self.is_context(param));
        let outputs = outputs.map(|param| format!("{}: &mut {}", self.param_name(param), self.rust(param)));
        inputs.chain(outputs).collect()
    }

    fn is_context(&self, param: &Param) -> bool {
        matches!(param.place, ParamPlace::Words { .. })
    }

    fn rust(&self, param: &Param) -> String {
        let Some(known) = self.interface.types.get(&param.c_type) else {
            return stripped(&param.c_type, self.names).to_owned();
        };
        match known.kind {
            TypeKind::Capability => "CPtr".to_owned(),
            TypeKind::Bool => "bool".to_owned(),
            TypeKind::Bitfield => known.bitfield.clone().unwrap_or_else(|| "Word".to_owned()),
            TypeKind::Unsigned if known.bits == self.interface.word_bits => "Word".to_owned(),
            TypeKind::Unsigned => format!("u{}", known.bits),
            TypeKind::Signed => format!("i{}", known.bits),
        }
    }

    /// The statements that fill capabilities and words into the IPC buffer, and the words that travel
    /// in registers.
    fn before(&self) -> (Vec<String>, String) {
        let registers = self.interface.rules.register_words;
        let mut terms = vec![Vec::new(); self.invocation.words];
        let mut statements = Vec::new();
        for param in &self.invocation.inputs {
            let name = self.param_name(param);
            match param.place {
                ParamPlace::Cap(index) => statements.push(format!("ipc_buffer::set_cap({index}, {name});")),
                ParamPlace::Bits { word, shift, .. } => terms[word].push(self.encoded(param, shift)),
                ParamPlace::Words { word, count } => {
                    let in_registers = registers.saturating_sub(word).min(count);
                    for (index, member) in self.members(param).iter().take(in_registers).enumerate() {
                        terms[word + index].push(format!("{name}.{member}"));
                    }
                    if in_registers < count {
                        let first = word + in_registers;
                        let rest = format!("&{name}.words()[{in_registers}..]");
                        statements.push(format!("ipc_buffer::set_mrs({first}, {rest});"));
                    }
                }
            }
        }
        let mut words = vec!["0".to_owned(); registers];
        for (index, terms) in terms.iter().enumerate() {
            let value = match terms.as_slice() {
                [] => continue,
                [only] => only.clone(),
                [first, rest @ ..] => {
                    statements.push(format!("let mut word{index} = {first};"));
                    statements.extend(rest.iter().map(|term| format!("word{index} |= {term};")));
                    format!("word{index}")
                }
            };
            match words.get_mut(index) {
                Some(word) => *word = value,
                None => statements.push(format!("ipc_buffer::set_mr({index}, {value});")),
            }
        }
        (statements, words.join(", "))
    }

    fn encoded(&self, param: &Param, shift: u32) -> String {
        let name = self.param_name(param);
        let kind = self.interface.types.get(&param.c_type).map(|known| (known.kind, known.bits));
        let word = match kind {
            Some((TypeKind::Bitfield, _)) => format!("{name}.0"),
            Some((TypeKind::Signed, _)) => format!("Word::from({name}.cast_unsigned())"),
            Some((TypeKind::Bool, _)) => format!("Word::from({name})"),
            Some((TypeKind::Unsigned, bits)) if bits < self.interface.word_bits => format!("Word::from({name})"),
            _ => name,
        };
        if shift == 0 { word } else { format!("{word} << {shift}") }
    }

    fn members(&self, param: &Param) -> Vec<String> {
        let context = self.interface.contexts.iter().find(|context| context.c == param.c_type);
        let members = context.into_iter().flat_map(|context| &context.members);
        members.map(|member| identifier(member, self.names)).collect()
    }

    /// The type of what comes out beside the contexts.
    fn result(&self) -> String {
        let scalars: Vec<_> = self.scalars().map(|param| self.rust(param)).collect();
        match scalars.as_slice() {
            [] => "Word".to_owned(),
            types => format!("(Word, {})", types.join(", ")),
        }
    }

    fn value(&self) -> Option<String> {
        let values = self.scalars().filter_map(|param| match param.place {
            ParamPlace::Bits { word, shift, .. } => Some(self.decoded(param, word, shift)),
            _ => None,
        });
        let values: Vec<_> = values.collect();
        (!values.is_empty()).then(|| format!("(error, {})", values.join(", ")))
    }

    fn decoded(&self, param: &Param, word: usize, shift: u32) -> String {
        let source = self.source(word);
        let shifted = if shift == 0 { source } else { format!("({source} >> {shift})") };
        match self.rust(param).as_str() {
            "Word" | "CPtr" => shifted,
            "bool" => format!("{shifted} & 1 != 0"),
            rust if rust.starts_with(['u', 'i']) => format!("{shifted} as {rust}"),
            bitfield => format!("{bitfield}({shifted})"),
        }
    }

    fn scalars(&self) -> impl Iterator<Item = &Param> {
        self.invocation.outputs.iter().filter(|param| !self.is_context(param))
    }

    /// The statements that take contexts out of the answer.
    fn after(&self) -> Vec<String> {
        let registers = self.interface.rules.register_words;
        let mut statements = Vec::new();
        for param in self.invocation.outputs.iter().filter(|param| self.is_context(param)) {
            let ParamPlace::Words { word, count } = param.place else { continue };
            let name = self.param_name(param);
            let in_registers = registers.saturating_sub(word).min(count);
            for (index, member) in self.members(param).iter().take(in_registers).enumerate() {
                statements.push(format!("{name}.{member} = mrs[{}];", word + index));
            }
            if in_registers < count {
                let rest = format!("&mut {name}.words_mut()[{in_registers}..]");
                statements.push(format!("ipc_buffer::get_mrs({}, {rest});", word + in_registers));
            }
        }
        statements
    }

    /// Where a word of the answer is found.
    fn source(&self, word: usize) -> String {
        if word < self.interface.rules.register_words {
            format!("mrs[{word}]")
        } else {
            format!("ipc_buffer::mr({word})")
        }
    }
}

/// Breaks a text into lines of documentation; all but the first begin with `indent`.
fn wrap(indent: &str, text: &str) -> Vec<String> {
    const COLUMNS: usize = 96;
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.len() - 1;
        if !lines[last].is_empty() && lines[last].len() + 1 + word.len() > COLUMNS {
            lines.push(format!("{indent}{word}"));
        } else {
            if !lines[last].is_empty() {
                lines[last].push(' ');
            }
            lines[last].push_str(word);
        }
    }
    lines
}
