//! The check that every root task passes before anyone uses it: what seL4's boot code takes, and what
//! Selkie's targets rely on.

use super::code::{self, CodeOf};
use crate::{
    elf::{Elf, Section, Segment, Symbol},
    note,
};
use object::elf::{
    EM_X86_64, ET_EXEC, PF_R, PF_W, PF_X, PT_DYNAMIC, PT_GNU_STACK, PT_INTERP, PT_LOAD, PT_NULL, PT_PHDR,
    PT_TLS, SHF_TLS, SHN_UNDEF, STB_WEAK, STT_FILE, STT_SECTION,
};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

const PAGE: u64 = 4096;
/// Two pages below the end of user addresses: the boot code puts the IPC buffer and BootInfo after the
/// image (seL4 5.0.0 `src/arch/x86/kernel/boot_sys.c`, `PPTR_USER_TOP`; the canonical half is smaller).
const HIGHEST: u64 = 0x7fff_ffff_f000 - 2 * PAGE;
/// Names of a hosted C library.
const LIBC: &str = include_str!("libc-symbols.txt");

/// What the machine and the kernel have room for.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Memory of the machine, in bytes.
    pub memory: u64,
    /// Slots of the root CNode; every page of the image takes one.
    pub slots: u64,
    /// Whether a C library is linked in, and what runs its initialisers and gives its threads their own variables: the
    /// libOS rumprun.
    pub hosted: bool,
}

/// A rule that a root task breaks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(tag = "rule", rename_all = "kebab-case")]
pub enum Offence {
    /// Wrong machine, 32 bit, or big-endian.
    #[error(
        "it is not a 64-bit little-endian x86-64 file\n  help: build it for `x86_64-unknown-linux-gnu` or another x86-64 target"
    )]
    Machine,
    /// Position-independent, shared, or relocatable.
    #[error(
        "it is not a static program at fixed addresses (its type is {kind}, not ET_EXEC)\n  help: link it with `-static -no-pie`; in Rust with `-C relocation-model=static`"
    )]
    Type {
        /// `e_type`
        kind: String,
    },
    /// Nothing to load.
    #[error(
        "it has nothing to load: no program header of type PT_LOAD\n  help: link it as a program, not as an object file"
    )]
    Empty,
    /// A header that needs a dynamic linker or thread-local storage.
    #[error("it has a program header {kind}\n  help: {}", remedy_for_header(kind))]
    Header {
        /// The header's type.
        kind: String,
    },
    /// Thread-local variables.
    #[error("it has thread-local variables (section `{section}`: {users})\n  help: {}", NO_THREAD_LOCALS)]
    ThreadLocal {
        /// The section.
        section: String,
        /// Some of its variables.
        users: String,
    },
    /// A header with a size that no PT_LOAD covers.
    #[error(
        "the program header {kind} at {address:#x} does not lie inside a PT_LOAD\n  help: seL4's boot code loads every header with a size: put its section into a loaded segment, or drop it with `strip` or in the linker script"
    )]
    Outside {
        /// The header's type.
        kind: String,
        /// Its address.
        address: u64,
    },
    /// More bytes in the file than in memory.
    #[error(
        "the program header {kind} at {address:#x} has {file_size} bytes in the file but only {memory_size} in memory\n  help: the boot code would write past its end; mend the linker script"
    )]
    MoreThanMemory {
        /// The header's type.
        kind: String,
        /// Its address.
        address: u64,
        /// `p_filesz`
        file_size: u64,
        /// `p_memsz`
        memory_size: u64,
    },
    /// Bytes that are not in the file.
    #[error(
        "the program header {kind} at {address:#x} names bytes outside of the file\n  help: the file is cut off or damaged: build it anew"
    )]
    Truncated {
        /// The header's type.
        kind: String,
        /// Its address.
        address: u64,
    },
    /// Lowest address not on a page.
    #[error(
        "its lowest address {address:#x} is not a multiple of 4096\n  help: seL4's boot code refuses it; align the first section in the linker script"
    )]
    Unaligned {
        /// The address.
        address: u64,
    },
    /// Address 0 or kernel addresses.
    #[error(
        "the segment at {address:#x} lies outside of the addresses from 0x1000 to {HIGHEST:#x}\n  help: choose an image base such as 0x400000"
    )]
    Range {
        /// The address.
        address: u64,
    },
    /// Larger than the machine or the root CNode.
    #[error(
        "it spans {span} bytes of addresses, more than {room}\n  help: make stack, heap arrays and statics smaller, or the segments closer; {advice}"
    )]
    TooLarge {
        /// From the lowest to the highest address.
        span: u64,
        /// What it does not fit.
        room: String,
        /// What else could be done.
        advice: String,
    },
    /// Overlapping segments.
    #[error("the segments at {first:#x} and {second:#x} overlap\n  help: mend the linker script")]
    Overlap {
        /// Address of the lower one.
        first: u64,
        /// Address of the higher one.
        second: u64,
    },
    /// Different permissions on one page.
    #[error(
        "the segments at {first:#x} and {second:#x} share a page but not their permissions\n  help: align each segment to 4096 (`-z separate-code`, or the linker script)"
    )]
    SharedPage {
        /// Address of the lower one.
        first: u64,
        /// Address of the higher one.
        second: u64,
    },
    /// Writable and executable.
    #[error(
        "the segment at {address:#x} is writable and executable\n  help: keep code and data apart: do not link with `-N`/`--omagic`, and mend the linker script"
    )]
    WritableCode {
        /// Its address.
        address: u64,
    },
    /// Entry outside of code.
    #[error(
        "its entry point {entry:#x} does not lie in a segment that is readable and executable\n  help: name the entry symbol, `ENTRY(_start)`, and keep it from being collected"
    )]
    EntryPoint {
        /// `e_entry`
        entry: u64,
    },
    /// PT_GNU_STACK with a size.
    #[error(
        "its header PT_GNU_STACK has a size\n  help: link without `-z stack-size`: the recipe's `root-task.stack` says how large the stack is"
    )]
    StackHeader,
    /// A note in writable or unloaded memory.
    #[error(
        "the note `{}` does not lie in a loaded segment that is only readable\n  help: keep the section with the read-only data in the linker script",
        note::SECTION
    )]
    NotePlace,
    /// Initialisers that nobody runs.
    #[error(
        "it has a section `{section}`: functions that a C library would run before `main`\n  help: nobody runs them in a root task; call them from `main`"
    )]
    Initialisers {
        /// The section.
        section: String,
    },
    /// An undefined symbol.
    #[error(
        "the symbol `{symbol}` is undefined\n  help: link what defines it, or use what the runtime offers"
    )]
    Undefined {
        /// The symbol.
        symbol: String,
    },
    /// A hosted C library's symbol.
    #[error(
        "it contains `{symbol}` of a C library{}\n  help: there is no operating system beneath a root task; use the crate `selkie` (for C: `selkie.h`), or a crate or feature that is `no_std`",
        used_by(users)
    )]
    Libc {
        /// The symbol.
        symbol: String,
        /// Who calls it.
        users: Vec<String>,
    },
    /// A system call that is not listed.
    #[error("`{instruction}` at {address:#x} in {} is not listed in `{}`\n  help: only the runtime enters the kernel; call it through the crate `selkie` (a Linux system call means nothing to seL4)", place(function.as_deref()), code::SITES)]
    SystemCall {
        /// `syscall`, `sysenter` or `int 0x80`.
        instruction: String,
        /// Its address.
        address: u64,
        /// The function that it is in.
        function: Option<String>,
    },
    /// A listed site that is not one.
    #[error("`{}` lists {address:#x} in {}, which is not `mov REG, rsp; syscall; mov rsp, REG`\n  help: use the runtime's own stubs", code::SITES, place(function.as_deref()))]
    Site {
        /// The address.
        address: u64,
        /// The function that it is in.
        function: Option<String>,
    },
    /// A list of sites that does not divide into words.
    #[error(
        "the section `{}` is {size} bytes long, not a multiple of 8\n  help: each entry is one 8-byte address",
        code::SITES
    )]
    SiteList {
        /// Its size.
        size: u64,
    },
}

/// What to do about thread-local variables.
pub(super) const NO_THREAD_LOCALS: &str = "seL4's boot code knows no thread-local storage; use a plain `static`, or give each thread a place of its own";

fn remedy_for_header(kind: &str) -> &'static str {
    match kind {
        "PT_TLS" => NO_THREAD_LOCALS,
        _ => "there is no dynamic linker: link it with `-static -no-pie`",
    }
}

/// A function and its crate, for messages.
fn place(function: Option<&str>) -> String {
    match function {
        None => "code without a symbol".into(),
        Some(function) => match code::crate_of(function) {
            Some(krate) => format!("the function `{function}` of the crate `{krate}`"),
            None => format!("the function `{function}`"),
        },
    }
}

fn used_by(users: &[String]) -> String {
    const SHOWN: usize = 3;
    if users.is_empty() {
        return String::new();
    }
    let shown: Vec<_> = users.iter().take(SHOWN).map(|user| place(Some(user))).collect();
    let more = if users.len() > SHOWN { format!(" and {} more", users.len() - SHOWN) } else { String::new() };
    format!(", used by {}{more}", shown.join(", "))
}

/// Offences as the lines of one message.
pub(super) fn list(offences: &[Offence]) -> String {
    const SHOWN: usize = 8;
    let mut lines: Vec<_> = offences.iter().take(SHOWN).map(|offence| format!("- {offence}")).collect();
    if offences.len() > SHOWN {
        lines.push(format!("- and {} more", offences.len() - SHOWN));
    }
    lines.join("\n")
}

/// Every rule that the root task `elf` breaks; empty for a good one. `own` are the symbols that the
/// function's C sources define: they may be called like those of a C library.
pub fn check(elf: &Elf<'_>, limits: &Limits, own: &BTreeSet<String>) -> Vec<Offence> {
    if !elf.is_64 || !elf.is_little_endian || elf.machine != EM_X86_64 {
        return vec![Offence::Machine];
    }
    let mut offences = Vec::new();
    if elf.kind != ET_EXEC {
        let kind = if elf.kind.0 == 3 { "ET_DYN".to_owned() } else { elf.kind.0.to_string() };
        offences.push(Offence::Type { kind });
    }
    headers(elf, &mut offences);
    layout(elf, limits, &mut offences);
    note_place(elf, &mut offences);
    if !limits.hosted {
        sections(elf, &mut offences);
    }
    undefined_symbols(elf, limits.hosted, &mut offences);
    if !limits.hosted {
        hosted_symbols(elf, own, &mut offences);
    }
    system_calls(elf, &mut offences);
    offences
}

fn has_size(segment: &&Segment) -> bool {
    segment.memory_size > 0 || segment.file_size > 0
}

fn loaded<'a>(elf: &'a Elf<'_>) -> impl Iterator<Item = &'a Segment> {
    elf.segments.iter().filter(|segment| segment.kind == PT_LOAD).filter(has_size)
}

fn inside(inner: &Segment, outer: &Segment) -> bool {
    match (inner.end(), outer.end()) {
        (Some(inner_end), Some(outer_end)) => outer.address <= inner.address && inner_end <= outer_end,
        _ => false,
    }
}

/// Each program header for itself.
fn headers(elf: &Elf<'_>, offences: &mut Vec<Offence>) {
    for segment in &elf.segments {
        let (kind, address) = (segment.kind_name(), segment.address);
        match segment.kind {
            PT_TLS | PT_INTERP | PT_DYNAMIC => offences.push(Offence::Header { kind: kind.clone() }),
            PT_GNU_STACK if has_size(&segment) => {
                offences.push(Offence::StackHeader);
                continue;
            }
            // A null header is not used, but the boot code does not look at the type.
            PT_NULL | PT_PHDR | PT_LOAD => {}
            _ => {}
        }
        if !has_size(&segment) {
            continue;
        }
        if segment.file_size > segment.memory_size {
            let (file_size, memory_size) = (segment.file_size, segment.memory_size);
            offences.push(Offence::MoreThanMemory { kind: kind.clone(), address, file_size, memory_size });
        }
        if elf.segment_data(segment).is_none() && segment.file_size > 0 {
            offences.push(Offence::Truncated { kind: kind.clone(), address });
        }
        if segment.kind != PT_LOAD && !loaded(elf).any(|load| inside(segment, load)) {
            offences.push(Offence::Outside { kind, address });
        }
        if segment.flags.contains(PF_W) && segment.flags.contains(PF_X) && segment.kind == PT_LOAD {
            offences.push(Offence::WritableCode { address });
        }
    }
    let entered = |segment: &Segment| {
        let range = segment.address..segment.end().unwrap_or(segment.address);
        range.contains(&elf.entry) && segment.flags.contains(PF_R) && segment.flags.contains(PF_X)
    };
    if !loaded(elf).any(entered) {
        offences.push(Offence::EntryPoint { entry: elf.entry });
    }
}

/// The loaded segments among each other, and as a whole.
fn layout(elf: &Elf<'_>, limits: &Limits, offences: &mut Vec<Offence>) {
    let mut loads: Vec<_> = loaded(elf).collect();
    loads.sort_by_key(|segment| segment.address);
    let Some(lowest) = loads.first() else {
        return offences.push(Offence::Empty);
    };
    if lowest.address % PAGE != 0 {
        offences.push(Offence::Unaligned { address: lowest.address });
    }
    for segment in &loads {
        if segment.address < PAGE || segment.end().is_none_or(|end| end > HIGHEST) {
            return offences.push(Offence::Range { address: segment.address });
        }
    }
    for pair in loads.windows(2) {
        let (first, second) = (pair[0].address, pair[1].address);
        let end = pair[0].end().unwrap_or(u64::MAX);
        if end > second {
            offences.push(Offence::Overlap { first, second });
        } else if (end - 1) / PAGE == second / PAGE && pair[0].flags != pair[1].flags {
            offences.push(Offence::SharedPage { first, second });
        }
    }
    let end = loads.iter().filter_map(|segment| segment.end()).max().unwrap_or_default();
    let span = end - lowest.address;
    if span > limits.memory {
        let room = format!("the machine's memory of {} bytes", limits.memory);
        let advice = "or give the target more `memory`".to_owned();
        offences.push(Offence::TooLarge { span, room, advice });
    }
    if span.div_ceil(PAGE) > limits.slots {
        let room = format!("the kernel's root CNode of {} slots, one for each page", limits.slots);
        let advice = "or choose a kernel config with more ROOT_CNODE_SIZE_BITS".to_owned();
        offences.push(Offence::TooLarge { span, room, advice });
    }
}

fn note_place(elf: &Elf<'_>, offences: &mut Vec<Offence>) {
    let Some(section) = elf.section(note::SECTION) else { return };
    let read_only = |segment: &Segment| {
        let end = section.address.checked_add(section.size);
        !segment.flags.intersects(PF_W | PF_X)
            && segment.flags.contains(PF_R)
            && segment.address <= section.address
            && end.is_some_and(|end| segment.end().is_some_and(|last| end <= last))
    };
    if !loaded(elf).any(read_only) {
        offences.push(Offence::NotePlace);
    }
}

fn sections(elf: &Elf<'_>, offences: &mut Vec<Offence>) {
    for (index, section) in elf.sections.iter().enumerate().filter(|(_, section)| section.size > 0) {
        let name = section.name;
        if section.flags.contains(SHF_TLS) {
            let in_it = elf.symbols.iter().filter(|symbol| usize::from(symbol.section.0) == index);
            let named = in_it.filter(|symbol| !symbol.name.is_empty());
            let names: Vec<_> =
                named.take(3).map(|symbol| format!("`{}`", code::demangle(symbol.name))).collect();
            let users = if names.is_empty() { "nameless".to_owned() } else { names.join(", ") };
            offences.push(Offence::ThreadLocal { section: name.to_owned(), users });
        }
        let stem = [".init_array", ".preinit_array", ".ctors"].iter().any(|stem| name.starts_with(stem));
        if stem && section.is_allocated() {
            offences.push(Offence::Initialisers { section: name.to_owned() });
        }
    }
}

/// Symbols that have a name.
fn named<'a>(elf: &'a Elf<'a>) -> impl Iterator<Item = &'a Symbol<'a>> {
    let unnamed = [STT_FILE, STT_SECTION];
    elf.symbols.iter().filter(move |symbol| !symbol.name.is_empty() && !unnamed.contains(&symbol.kind))
}

fn undefined_symbols(elf: &Elf<'_>, hosted: bool, offences: &mut Vec<Offence>) {
    // What the platform asks for by a weak name, a rump kernel without that part lacks: it is 0 then.
    let optional = |symbol: &&Symbol<'_>| hosted && symbol.binding == STB_WEAK;
    let undefined = named(elf).filter(|symbol| symbol.section == SHN_UNDEF && !optional(symbol));
    let names: BTreeSet<_> = undefined.map(|one| one.name).collect();
    offences.extend(names.iter().map(|name| Offence::Undefined { symbol: code::demangle(name) }));
}

fn hosted_symbols(elf: &Elf<'_>, own: &BTreeSet<String>, offences: &mut Vec<Offence>) {
    let libc: BTreeSet<_> = LIBC.lines().filter(|line| !line.starts_with('#')).collect();
    let hosted: BTreeMap<_, _> = named(elf)
        .filter(|symbol| {
            symbol.section != SHN_UNDEF && libc.contains(symbol.name) && !own.contains(symbol.name)
        })
        .map(|symbol| (symbol.name, symbol.address))
        .collect();
    if hosted.is_empty() {
        return;
    }
    let code = CodeOf::new(elf);
    for (name, address) in hosted {
        offences.push(Offence::Libc { symbol: name.to_owned(), users: code.callers(address) });
    }
}

fn system_calls(elf: &Elf<'_>, offences: &mut Vec<Offence>) {
    let code = CodeOf::new(elf);
    let sites = sites(elf, offences);
    for &address in &sites {
        if !code.is_site(address) {
            offences.push(Offence::Site { address, function: code.function_at(address) });
        }
    }
    for entry in code.kernel_entries() {
        let listed = entry.address.checked_sub(code::SITE_SYSCALL).is_some_and(|site| sites.contains(&site));
        if !(listed && entry.instruction == "syscall") {
            offences.push(Offence::SystemCall {
                instruction: entry.instruction.to_owned(),
                address: entry.address,
                function: code.function_at(entry.address),
            });
        }
    }
}

fn sites(elf: &Elf<'_>, offences: &mut Vec<Offence>) -> BTreeSet<u64> {
    let bytes = elf
        .section(code::SITES)
        .and_then(|section: &Section<'_>| elf.section_data(section))
        .unwrap_or_default();
    let (words, rest) = bytes.as_chunks::<8>();
    if !rest.is_empty() {
        offences.push(Offence::SiteList { size: bytes.len() as u64 });
    }
    words.iter().map(|word| u64::from_le_bytes(*word)).collect()
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
