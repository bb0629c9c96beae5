//! Looking into the instructions of a root task: system calls, and who calls whom.
//!
//! Code is disassembled from one symbol to the next, never searched for bytes: an immediate operand
//! may well contain those of a `syscall`.

use crate::elf::{Elf, Symbol};
use iced_x86::{Code, Decoder, DecoderOptions, Instruction, Mnemonic, OpKind, Register};
use object::elf::{PF_X, STT_FUNC, STT_NOTYPE};

/// Bytes of one system-call site: `mov REG, rsp; syscall; mov rsp, REG`.
pub(super) const SITE_SIZE: u64 = 8;
/// Bytes of the site before its `syscall`.
pub(super) const SITE_SYSCALL: u64 = 3;

/// The section with the addresses of all system-call sites.
pub const SITES: &str = ".sel4_sites";

/// A stretch of instructions that begins at a symbol, or between symbols.
struct Stretch<'a> {
    address: u64,
    bytes: &'a [u8],
}

/// The instructions of a file, and the symbols to name them by.
pub(super) struct CodeOf<'a> {
    elf: &'a Elf<'a>,
    /// Symbols in executable sections, sorted by address.
    symbols: Vec<Symbol<'a>>,
}

/// An instruction that enters a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) address: u64,
    pub(super) instruction: &'static str,
}

impl<'a> CodeOf<'a> {
    pub(super) fn new(elf: &'a Elf<'a>) -> Self {
        let in_code = |symbol: &&Symbol<'_>| {
            matches!(symbol.kind, STT_FUNC | STT_NOTYPE)
                && elf
                    .sections
                    .get(usize::from(symbol.section.0))
                    .is_some_and(|section| section.is_executable())
        };
        let mut symbols: Vec<_> = elf.symbols.iter().filter(in_code).copied().collect();
        // Of several names for one address the sized and then the first one in the alphabet stands.
        symbols.sort_by_key(|symbol| (symbol.address, symbol.size == 0, symbol.name));
        symbols.dedup_by_key(|symbol| symbol.address);
        Self { elf, symbols }
    }

    /// The symbol that `address` lies in, demangled.
    pub(super) fn function_at(&self, address: u64) -> Option<String> {
        let after = self.symbols.partition_point(|symbol| symbol.address <= address);
        let symbol = self.symbols[..after].last()?;
        let inside = symbol.size == 0 || address - symbol.address < symbol.size;
        inside.then(|| demangle(symbol.name))
    }

    /// Every instruction that enters a kernel.
    pub(super) fn kernel_entries(&self) -> Vec<Entry> {
        let mut entries = Vec::new();
        self.each_instruction(|instruction| {
            let name = match instruction.code() {
                Code::Syscall => "syscall",
                Code::Sysenter => "sysenter",
                Code::Int_imm8 if instruction.immediate8() == 0x80 => "int 0x80",
                _ => return,
            };
            entries.push(Entry { address: instruction.ip(), instruction: name });
        });
        entries
    }

    /// The functions that call or jump to `target`, each once, demangled.
    pub(super) fn callers(&self, target: u64) -> Vec<String> {
        let mut callers = Vec::new();
        self.each_instruction(|instruction| {
            let branches = matches!(instruction.mnemonic(), Mnemonic::Call | Mnemonic::Jmp);
            if branches
                && instruction.op0_kind() == OpKind::NearBranch64
                && instruction.near_branch64() == target
            {
                callers.extend(self.function_at(instruction.ip()));
            }
        });
        callers.sort();
        callers.dedup();
        callers
    }

    /// Whether a well-formed system-call site begins at `address`.
    pub(super) fn is_site(&self, address: u64) -> bool {
        let stretch = self.regions().into_iter().find_map(|region| {
            let start = usize::try_from(address.checked_sub(region.address)?).ok()?;
            region.bytes.get(start..start.checked_add(SITE_SIZE as usize)?)
        });
        let Some(bytes) = stretch else { return false };
        let mut decoder = Decoder::with_ip(64, bytes, address, DecoderOptions::NONE);
        let [save, call, restore] = [decoder.decode(), decoder.decode(), decoder.decode()];
        let is_move = |one: &Instruction| {
            one.mnemonic() == Mnemonic::Mov
                && one.len() == 3
                && one.op0_kind() == OpKind::Register
                && one.op1_kind() == OpKind::Register
        };
        let register = save.op0_register();
        is_move(&save)
            && save.op1_register() == Register::RSP
            && (Register::RAX..=Register::R15).contains(&register)
            // The system call itself overwrites these two, and the third is what is being saved.
            && !matches!(register, Register::RCX | Register::R11 | Register::RSP)
            && call.code() == Code::Syscall
            && is_move(&restore)
            && restore.op0_register() == Register::RSP
            && restore.op1_register() == register
    }

    fn each_instruction(&self, mut look: impl FnMut(&Instruction)) {
        let mut instruction = Instruction::default();
        for stretch in self.stretches() {
            let mut decoder = Decoder::with_ip(64, stretch.bytes, stretch.address, DecoderOptions::NONE);
            while decoder.can_decode() {
                decoder.decode_out(&mut instruction);
                look(&instruction);
            }
        }
    }

    /// All code, cut at the beginnings and ends of symbols, so that a stretch of data or padding
    /// between two functions does not throw the disassembly of the second one out of step.
    fn stretches(&self) -> Vec<Stretch<'a>> {
        let mut stretches = Vec::new();
        for region in self.regions() {
            let end = region.address.saturating_add(region.bytes.len() as u64);
            let mut cuts = vec![region.address, end];
            for symbol in &self.symbols {
                cuts.extend([symbol.address, symbol.address.saturating_add(symbol.size)]);
            }
            cuts.retain(|&cut| (region.address..=end).contains(&cut));
            cuts.sort_unstable();
            cuts.dedup();
            stretches.extend(cuts.windows(2).map(|pair| Stretch {
                address: pair[0],
                bytes: &region.bytes
                    [(pair[0] - region.address) as usize..(pair[1] - region.address) as usize],
            }));
        }
        stretches
    }

    /// The executable sections; the executable segments of a file that has none.
    fn regions(&self) -> Vec<Stretch<'a>> {
        let sections = self.elf.sections.iter().filter(|section| section.is_executable());
        let regions: Vec<_> = sections
            .filter_map(|section| {
                Some(Stretch { address: section.address, bytes: self.elf.section_data(section)? })
            })
            .collect();
        if !regions.is_empty() {
            return regions;
        }
        let segments = self.elf.segments.iter().filter(|segment| segment.flags.contains(PF_X));
        segments
            .filter_map(|segment| {
                Some(Stretch { address: segment.address, bytes: self.elf.segment_data(segment)? })
            })
            .collect()
    }
}

/// A symbol's name as its source has it, without the compiler's hash.
pub(crate) fn demangle(symbol: &str) -> String {
    format!("{:#}", rustc_demangle::demangle(symbol))
}

/// The crate that a demangled name begins with: `a` of `a::b`, of `<a::B as c::D>::e` and of `<&a::B>::c`.
pub(crate) fn crate_of(function: &str) -> Option<String> {
    let path = function.trim_start_matches(|c: char| "<&*([".contains(c));
    let path =
        ["dyn ", "mut ", "const "].iter().fold(path, |path, word| path.strip_prefix(word).unwrap_or(path));
    let end = path.find(|c: char| !c.is_ascii_alphanumeric() && c != '_')?;
    let (name, rest) = path.split_at(end);
    (!name.is_empty() && rest.starts_with("::")).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_their_crate() {
        for (name, krate) in [
            ("greedy::grab", Some("greedy")),
            ("<greedy::Bag as core::ops::drop::Drop>::drop", Some("greedy")),
            ("<&mut greedy::Bag>::new", Some("greedy")),
            ("<dyn core::fmt::Write>::x", Some("core")),
            ("malloc", None),
            ("", None),
        ] {
            assert_eq!(crate_of(name).as_deref(), krate, "{name}");
        }
        assert_eq!(demangle("_ZN6greedy4grab17h0123456789abcdefE"), "greedy::grab");
    }
}
