//! One function for each invocation: marshalling of its parameters and decoding of its answer.

use super::text::{self, wrap};
use crate::bindings::{
    era::{Names, TypeKind},
    interface::{Interface, Invocation, Param, ParamPlace},
    names::{capitals, identifier, snake, stripped},
};
use serde::Serialize;

/// What the template sees of an invocation.
#[derive(Serialize)]
pub(super) struct InvocationText {
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

/// Writes one invocation.
pub(super) struct Writer<'a> {
    pub(super) interface: &'a Interface,
    pub(super) names: &'a Names,
    pub(super) invocation: &'a Invocation,
}

impl Writer<'_> {
    pub(super) fn text(&self) -> InvocationText {
        let call = self.invocation;
        let params: Vec<_> = std::iter::once("service: CPtr".to_owned()).chain(self.params()).collect();
        let head = format!("pub unsafe fn {}", self.name());
        let (before, registers) = self.before();
        InvocationText {
            docs: self.docs(),
            label: capitals(&call.id, self.names),
            signature: text::call(&head, &params, &format!(" -> {} {{", self.result())),
            before,
            registers,
            caps: call.caps,
            words: call.words,
            after: self.after(),
            value: self.value(),
        }
    }

    pub(super) fn name(&self) -> String {
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
            Some((TypeKind::Unsigned, bits)) if bits < self.interface.word_bits => {
                format!("Word::from({name})")
            }
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
