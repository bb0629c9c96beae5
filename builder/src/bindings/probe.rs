//! The C probe: holds every number of an [`Interface`] against the tree's own headers.
//!
//! One C file with one function per number is compiled to assembly, never run, so that it works for
//! any architecture that a compiler targets. Each number is an immediate operand of an assembly
//! comment (the technique of Linux's asm-offsets), so a mismatch shows the headers' value too, and
//! the compiler may fold calls of libsel4's constructors.

use super::{
    era::Era,
    interface::{FieldType, Interface},
};
use crate::{
    context::Cancel,
    exec::{self, Tool},
    files,
};
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    path::{Path, PathBuf},
};

/// The word that begins a line of the probe's result.
const MARK: &str = "SELKIE";

/// `SELKIE_FLAG(CONFIG_X)` is 1 when CONFIG_X is defined as 1, and 0 when it is not defined: pasted to
/// a 1, the prefix becomes an argument of its own and moves the others along.
const FLAG_MACRO: &str = "\
#define SELKIE_PREFIX_1 0,
#define SELKIE_SECOND(first, second, ...) second
#define SELKIE_PICK(...) SELKIE_SECOND(__VA_ARGS__)
#define SELKIE_PASTE(value) SELKIE_PICK(SELKIE_PREFIX_##value 1, 0, 0)
#define SELKIE_FLAG(option) SELKIE_PASTE(option)
";

/// libsel4's headers, and what reads them.
#[derive(Debug, Clone, Copy)]
pub struct Headers<'a> {
    /// The C compiler that built the kernel.
    pub compiler: &'a Path,
    /// The folders that they are in, the generated ones and `autoconf.h` included.
    pub include_dirs: &'a [PathBuf],
    /// The macros that they expect a build system to define, as `NAME` or `NAME=VALUE`.
    pub defines: &'a [String],
}

/// One number and where the headers have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// What it is, for messages, for instance `object PDPT`.
    pub name: String,
    /// The C expression for it.
    pub expression: String,
    /// What the interface says.
    pub expected: i64,
}

/// A number about which interface and headers disagree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// What it is.
    pub name: String,
    /// What the interface says.
    pub expected: i64,
    /// What the headers say; none when the compiler did not report it.
    pub actual: Option<i64>,
}

impl std::fmt::Display for Mismatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, expected, actual } = self;
        match actual {
            Some(actual) => write!(f, "{name} is {expected} here and {actual} in the tree's headers"),
            None => write!(f, "{name} is {expected} here and nothing in the tree's headers"),
        }
    }
}

/// The interface could not be held against the headers, or differs.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The compiler could not run, or a name is not in the headers (it names the item as the file).
    #[error("the probe of the tree's headers failed to compile\n{0}")]
    Compile(#[from] exec::Error),
    /// Numbers differ.
    #[error("this kernel's interface is not what the era says\n{}", list(.0))]
    Mismatch(Vec<Mismatch>),
    /// The probe's file could not be written or read.
    #[error(transparent)]
    Files(#[from] files::Error),
}

crate::exit_code!(Error, |error| match error {
    Error::Compile(error) => error.exit_code(),
    Error::Files(error) => error.exit_code(),
    Error::Mismatch(_) => crate::ExitCode::Failed,
});

fn list(mismatches: &[Mismatch]) -> String {
    mismatches.iter().map(|mismatch| format!("  {mismatch}")).collect::<Vec<_>>().join("\n")
}

/// Compiles the probe for `interface` in `dir` against `headers`, and compares.
pub fn check(
    interface: &Interface,
    era: &Era,
    headers: Headers<'_>,
    dir: &Path,
    cancel: &Cancel,
) -> Result<(), Error> {
    let items = items(interface, era);
    let file = dir.join("probe.c");
    files::write(&file, source(&items, era))?;
    let defines = headers.defines.iter().map(|define| format!("-D{define}"));
    let includes = headers.include_dirs.iter().map(|dir| format!("-I{}", dir.display()));
    let tool = Tool::new(headers.compiler, dir)
        .env("TMPDIR", dir)
        .args(["-std=gnu99", "-O2", "-w", "-ffreestanding", "-nostdinc", "-fno-pic", "-S"])
        .args(defines)
        .args(includes)
        .args(["probe.c", "-o", "probe.s"]);
    tool.run(cancel)?;
    let file = dir.join("probe.s");
    let assembly = files::read(&file)?;
    files::remove(&file)?;
    let mismatches = compare(&items, &String::from_utf8_lossy(&assembly));
    if mismatches.is_empty() { Ok(()) } else { Err(Error::Mismatch(mismatches)) }
}

fn compare(items: &[Item], assembly: &str) -> Vec<Mismatch> {
    let mut actual = BTreeMap::new();
    for line in assembly.lines() {
        let mut words = line.split_whitespace().skip_while(|word| *word != MARK).skip(1);
        // An immediate is written `$1` on x86 and `#1` on Arm.
        if let (Some(index), Some(value)) = (words.next(), words.next())
            && let (Ok(index), Ok(value)) =
                (index.parse::<usize>(), value.trim_start_matches(['$', '#']).parse::<i64>())
        {
            actual.insert(index, value);
        }
    }
    let pairs = items.iter().enumerate().map(|(index, item)| (item, actual.get(&index).copied()));
    let differing = pairs.filter(|(item, actual)| *actual != Some(item.expected));
    let mismatches =
        differing.map(|(item, actual)| Mismatch { name: item.name.clone(), expected: item.expected, actual });
    mismatches.collect()
}

/// The probe's C source. Each item is a file of its own to the compiler, so that messages name it.
pub fn source(items: &[Item], era: &Era) -> String {
    let mut text =
        String::from("/* Made by Selkie: every number of the bindings, as the tree's headers have it. */\n");
    for header in &era.probe.headers {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "#include <{header}>");
    }
    text.push_str(FLAG_MACRO);
    for (index, Item { name, expression, .. }) in items.iter().enumerate() {
        let _ = writeln!(
            text,
            "#line 1 \"{name}\"\nvoid probe_{index}(void) {{ __asm__ volatile(\"# {MARK} {index} %0\" : : \"i\"((long)({expression}))); }}"
        );
    }
    text
}

/// Every number of `interface`.
pub fn items(interface: &Interface, era: &Era) -> Vec<Item> {
    let mut items = Vec::new();
    let mut add =
        |name: String, expression: String, expected: i64| items.push(Item { name, expression, expected });
    for call in &interface.system_calls {
        let c = format!("{}{}", era.probe.system_call_prefix, call.name);
        add(format!("system call {}", call.name), c, call.number);
    }
    for call in &interface.invocations {
        add(format!("label {}", call.id), call.id.clone(), call.label.cast_signed());
    }
    let after = interface.invocations.last().map_or(1, |last| last.label + 1);
    add("number after the last label".into(), era.probe.label_count.clone(), after.cast_signed());
    for (c, known) in &interface.types {
        add(format!("size of {c}"), format!("sizeof({c})"), known.size.cast_signed());
    }
    for group in &interface.constants {
        for constant in &group.entries {
            let name = format!("{} {}", group.name, constant.name);
            add(name, constant.c.clone(), constant.value.cast_signed());
        }
    }
    let word = i64::from(interface.word_bits / 8);
    for context in &interface.contexts {
        let c = &context.c;
        add(format!("size of {c}"), format!("sizeof({c})"), word * context.members.len() as i64);
        for (member, offset) in context.members.iter().zip((0..).step_by(word as usize)) {
            add(format!("offset of {c}.{member}"), format!("__builtin_offsetof({c}, {member})"), offset);
        }
    }
    structs(interface, &mut add);
    bitfields(interface, &mut add);
    config(interface, &mut add);
    items
}

fn structs(interface: &Interface, add: &mut impl FnMut(String, String, i64)) {
    for structure in &interface.structs {
        let c = &structure.c;
        add(format!("size of {c}"), format!("sizeof({c})"), structure.size.cast_signed());
        for field in &structure.fields {
            let name = format!("{c}.{}", field.c);
            let offset = format!("__builtin_offsetof({c}, {})", field.c);
            add(format!("offset of {name}"), offset, field.offset.cast_signed());
            let size = format!("sizeof((({c} *)0)->{})", field.c);
            let bytes = field.size * field.count.unwrap_or(1);
            add(format!("size of {name}"), size, bytes.cast_signed());
            if let (FieldType::Number(_), Some(_)) = (&field.field_type, field.count) {
                let element = format!("sizeof((({c} *)0)->{}[0])", field.c);
                add(format!("size of an element of {name}"), element, field.size.cast_signed());
            }
        }
    }
}

/// Sets all bits of one field at a time, and none of the others.
fn bitfields(interface: &Interface, add: &mut impl FnMut(String, String, i64)) {
    let made = interface.bitfields.iter().filter_map(|bitfield| Some((bitfield, bitfield.c.as_ref()?)));
    for (bitfield, c) in made {
        for (index, field) in bitfield.fields.iter().enumerate() {
            let ones = u64::MAX >> (64 - field.bits);
            let argument =
                |other: usize| if other == index { format!("{ones:#x}ul") } else { "0".to_owned() };
            let arguments: Vec<_> = (0..bitfield.fields.len()).map(argument).collect();
            let expression = format!("{c}({}).words[0]", arguments.join(", "));
            let expected = bitfield.fixed | ones << field.shift;
            add(format!("bits of {}.{}", bitfield.name, field.name), expression, expected.cast_signed());
        }
    }
}

fn config(interface: &Interface, add: &mut impl FnMut(String, String, i64)) {
    for (name, value) in &interface.config.numbers {
        add(format!("option {name}"), format!("CONFIG_{name}"), *value);
    }
    for (name, on) in &interface.config.flags {
        add(format!("option {name}"), format!("SELKIE_FLAG(CONFIG_{name})"), i64::from(*on));
    }
}
