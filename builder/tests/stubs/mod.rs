//! A tree's own C stubs, against which marshalling is held.

use builder::bindings::{
    Interface,
    era::TypeKind,
    interface::{Invocation, Param, ParamPlace},
};

/// Checks that each invocation is marshalled as one of the definitions of its C function in `stubs` has it.
/// There are several where the parameters depend on an option.
pub(crate) fn check(interface: &Interface, stubs: &str) {
    for call in &interface.invocations {
        let head = format!("\n{}_{}(", call.interface, call.method);
        let definitions = stubs.match_indices(&head).map(|(start, _)| {
            let stub = &stubs[start..];
            &stub[..stub.find("\n}").unwrap()]
        });
        let missing: Vec<_> = definitions.map(|stub| (missing(interface, call, stub), stub)).collect();
        assert!(missing.iter().any(|(missing, _)| missing.is_none()), "{head} {missing:#?}");
    }
}

/// The first statement that is not in the C function `stub`.
fn missing(interface: &Interface, call: &Invocation, stub: &str) -> Option<String> {
    let lines: Vec<_> = stub.lines().map(str::trim).collect();
    // Since 14, only as many registers travel as the caller says.
    let counted = stub.contains("i < count;");
    let statements = c_statements(interface, call, counted);
    statements.into_iter().find(|expected| !lines.contains(&expected.as_str()))
}

/// The statements that the stub generator writes for an invocation. When `counted`, the members of a structure
/// that are not in registers travel in a loop.
fn c_statements(interface: &Interface, call: &Invocation, counted: bool) -> Vec<String> {
    let tag = format!(
        "seL4_MessageInfo_t tag = seL4_MessageInfo_new({}, 0, {}, {});",
        call.id, call.caps, call.words
    );
    let mut statements = vec![tag];
    let mut words = vec![Vec::new(); call.words];
    for param in &call.inputs {
        let name = &param.name;
        match param.place {
            ParamPlace::Cap(index) => statements.push(format!("seL4_SetCap({index}, {name});")),
            ParamPlace::Bits { word, shift, bits } => {
                words[word].push(c_input(interface, param, shift, bits))
            }
            ParamPlace::Words { word, .. } => {
                let members = members(interface, param);
                let single = if counted { 4 - word } else { members.len() };
                for (index, member) in members.iter().enumerate().take(single) {
                    words[word + index].push(format!("{name}->{member}"));
                }
                if let Some(first) = members.get(single) {
                    statements.push(format!("for (seL4_Word i = {single}; i < count; i++) {{"));
                    let from = format!("((seL4_Word*)&{name}->{first})[i - {single}]");
                    statements.push(format!("seL4_SetMR(i + {word}, {from});"));
                }
            }
        }
    }
    for (index, terms) in words.iter().enumerate().filter(|(_, terms)| !terms.is_empty()) {
        let value = terms.join(" | ");
        statements.push(if index < 4 {
            format!("mr{index} = {value};")
        } else {
            format!("seL4_SetMR({index}, {value});")
        });
    }
    let source = |word: usize| if word < 4 { format!("mr{word}") } else { format!("seL4_GetMR({word})") };
    for param in &call.outputs {
        let name = &param.name;
        match param.place {
            ParamPlace::Cap(_) => panic!("{name} comes out as a capability"),
            ParamPlace::Bits { word, bits: 64, .. } => {
                statements.push(format!("result.{name} = {};", source(word)))
            }
            ParamPlace::Bits { word, shift: 0, bits } => {
                statements.push(format!("result.{name} = ({} & {:#x});", source(word), (1_u64 << bits) - 1));
            }
            ParamPlace::Bits { word, shift, bits } => {
                let mask = (1_u64 << bits) - 1;
                statements.push(format!("result.{name} = ({} >> {shift}) & {mask:#x};", source(word)));
            }
            ParamPlace::Words { word, .. } => {
                let members = members(interface, param);
                let single = if counted { 4 - word } else { members.len() };
                for (index, member) in members.iter().enumerate().take(single) {
                    statements.push(format!("{name}->{member} = {};", source(word + index)));
                }
                if let Some(first) = members.get(single) {
                    statements.push(format!("for (seL4_Word i = {single}; i < count; i++) {{"));
                    let to = format!("((seL4_Word *) &{name}->{first})[i - {single}]");
                    statements.push(format!("{to} = seL4_GetMR(i);"));
                }
            }
        }
    }
    statements
}

fn c_input(interface: &Interface, param: &Param, shift: u32, bits: u32) -> String {
    // The era takes CapData for a plain word; in C it is a structure of one.
    let structure =
        interface.types[&param.c_type].kind == TypeKind::Bitfield || param.c_type == "seL4_CapData_t";
    let name = if structure { format!("{}.words[0]", param.name) } else { param.name.clone() };
    match (bits, shift) {
        (64, _) => name,
        (_, 0) => format!("({name} & {:#x}ull)", (1_u64 << bits) - 1),
        _ => format!("(({name} & {:#x}ull) << {shift})", (1_u64 << bits) - 1),
    }
}

fn members<'a>(interface: &'a Interface, param: &Param) -> &'a [String] {
    &interface.contexts.iter().find(|context| context.c == param.c_type).unwrap().members
}
