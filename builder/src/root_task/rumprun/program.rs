//! A program that rumprun's compiler linked: a relocatable with a note, which upstream would bake.

use super::{Error, tree::TUPLE};
use crate::{elf::Elf, files};
use object::elf::{EM_X86_64, ET_REL};
use std::path::{Path, PathBuf};

/// The section that upstream's compiler wrapper puts into what it links.
const NOTE: &str = ".note.rumprun.bakerecipe";

/// The file, when it is what rumprun's compiler linked.
pub(super) fn checked(path: &Path) -> Result<PathBuf, Error> {
    match fault(&files::read(path)?) {
        None => Ok(path.to_owned()),
        Some(why) => Err(Error::NotRumprun { path: path.to_owned(), why }),
    }
}

/// Why `data` is nothing that rumprun's compiler linked for this machine.
fn fault(data: &[u8]) -> Option<String> {
    let elf = match Elf::parse(data) {
        Ok(elf) => elf,
        Err(error) => return Some(format!("it is no ELF file ({error})")),
    };
    if !elf.is_64 || elf.machine != EM_X86_64 {
        return Some("it is not for x86-64".to_owned());
    }
    if elf.kind != ET_REL {
        let linked = elf.segments.iter().any(|segment| segment.kind_name() == "PT_INTERP");
        let baked = elf.symbols.iter().any(|symbol| symbol.name == "rumprun_main1");
        return Some(match (baked, linked) {
            (true, _) => "it was baked already, for upstream's own platform".to_owned(),
            (false, true) => "it is a program for this host's own system, Linux".to_owned(),
            (false, false) => "it is linked already, by another compiler".to_owned(),
        });
    }
    let note = elf.section(NOTE).and_then(|section| elf.section_data(section));
    match note {
        None => Some(format!("it is an object file that `{TUPLE}-gcc` did not link")),
        Some(note) if !note.windows(TUPLE.len()).any(|text| text == TUPLE.as_bytes()) => {
            Some("it is for another machine's rumprun".to_owned())
        }
        Some(_) if !elf.symbols.iter().any(|symbol| symbol.name == "main") => {
            Some("it has no function `main`".to_owned())
        }
        Some(_) => None,
    }
}
