//! A look into the program's object files before they are linked, as long as it is known which file has what: what
//! rumprun lacks, what nobody defines, and what would not work.

use super::{Error, Job};
use crate::{
    files,
    root_task::linker_error::{Undefined, User},
};
use object::{
    Endianness, Object, ObjectSection, ObjectSymbol, RelocationTarget, SectionKind, SymbolIndex, SymbolKind,
    read::elf::ElfFile64,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

/// NetBSD's threads get a block for thread-local variables that rumprun aligns to this and to no more.
const TLS_ALIGNMENT: u64 = 8;

/// Functions that libc has and rumprun cannot serve, as object files call them, and as C does.
const LACKING: [(&str, &str); 14] = [
    ("fork", "fork"),
    ("vfork", "vfork"),
    ("__vfork14", "vfork"),
    ("execl", "execl"),
    ("execle", "execle"),
    ("execlp", "execlp"),
    ("execv", "execv"),
    ("execve", "execve"),
    ("execvp", "execvp"),
    ("posix_spawn", "posix_spawn"),
    ("posix_spawnp", "posix_spawnp"),
    ("popen", "popen"),
    ("system", "system"),
    ("daemon", "daemon"),
];

/// What code with C++ exceptions calls.
const EXCEPTIONS: [&str; 2] = ["__cxa_throw", "__cxa_begin_catch"];

/// An object file of the program.
#[derive(Debug)]
pub(super) struct Part {
    /// How a user knows it: by its source, or by its own name.
    name: String,
    /// Symbols that other files define, and the functions that use them.
    uses: BTreeMap<String, BTreeSet<String>>,
    /// The global symbols that it defines.
    defines: BTreeSet<String>,
    /// The alignment of its thread-local variables, and their names; 0 when it has none.
    thread_locals: (u64, BTreeSet<String>),
}

/// The program's object files.
#[derive(Debug)]
pub(super) struct Program {
    parts: Vec<Part>,
}

impl Program {
    /// Reads the object files, each with the name that a user knows it by.
    pub(super) fn read(objects: &[(String, PathBuf)]) -> Result<Self, Error> {
        let part = |(name, path): &(String, PathBuf)| Part::read(name, path);
        Ok(Self { parts: objects.iter().map(part).collect::<Result<_, _>>()? })
    }

    /// Refuses what would not run, and tells what will not work.
    ///
    /// # Errors
    /// When there is no `main`, or thread-local variables are aligned to more than rumprun aligns them to.
    pub(super) fn check(&self, job: &Job<'_>) -> Result<(), Error> {
        if let Some(fault) = self.fault() {
            return Err(fault);
        }
        let notes = self.lacking().into_iter().chain(self.exceptions());
        notes.for_each(|note| job.ctx.progress.note(&note));
        Ok(())
    }

    /// Why it cannot be linked.
    pub(super) fn fault(&self) -> Option<Error> {
        for Part { name, thread_locals: (alignment, names), .. } in &self.parts {
            if *alignment > TLS_ALIGNMENT {
                let names = names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
                return Some(Error::ThreadLocalAlignment {
                    file: name.clone(),
                    names,
                    alignment: *alignment,
                });
            }
        }
        if self.parts.iter().any(|part| part.defines.contains("main")) {
            return None;
        }
        Some(Error::NoMain { files: self.parts.iter().map(|part| part.name.clone()).collect() })
    }

    /// A line for each use of a function that rumprun lacks.
    pub(super) fn lacking(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for Part { name, uses, .. } in &self.parts {
            for (symbol, function) in LACKING {
                let own = self.parts.iter().any(|part| part.defines.contains(symbol));
                for user in uses.get(symbol).into_iter().flatten().filter(|_| !own) {
                    lines.push(format!(
                        "{name}: `{user}` calls `{function}`, which fails on rumprun: there is one process"
                    ));
                }
            }
        }
        lines
    }

    /// Whether it is C++, in part at least: it asks for names as only that has them.
    pub(super) fn is_cxx(&self) -> bool {
        let cxx = |name: &String| ["_Z", "__cxa_", "__gxx_"].iter().any(|begin| name.starts_with(begin));
        self.parts.iter().any(|part| part.uses.keys().any(cxx))
    }

    fn exceptions(&self) -> Option<String> {
        let throws = |part: &&Part| EXCEPTIONS.iter().any(|symbol| part.uses.contains_key(*symbol));
        let part = self.parts.iter().find(throws)?;
        Some(format!(
            "{}: it has C++ exceptions in it: the first one that is thrown ends the program",
            part.name
        ))
    }

    /// Of the symbols `undefined`, which nobody defines, those that the program uses, with who uses them.
    pub(super) fn users(&self, undefined: &BTreeSet<String>) -> Vec<Undefined> {
        let user = |part: &Part, function: &String| User {
            function: function.clone(),
            krate: None,
            file: Some(part.name.clone()),
        };
        let missing = undefined.iter().filter_map(|symbol| {
            let users = self.parts.iter().flat_map(|part| {
                part.uses.get(symbol).into_iter().flatten().map(move |function| user(part, function))
            });
            let users: Vec<_> = users.collect();
            let used = self.parts.iter().any(|part| part.uses.contains_key(symbol));
            used.then(|| Undefined { symbol: symbol.clone(), users })
        });
        missing.collect()
    }
}

impl Part {
    fn read(name: &str, path: &Path) -> Result<Self, Error> {
        let data = files::read(path)?;
        let damaged = |error: object::Error| Error::Elf {
            path: path.to_owned(),
            source: crate::elf::Error::Malformed(error.to_string()),
        };
        let file = ElfFile64::<Endianness>::parse(&*data).map_err(damaged)?;
        let mut part = Self {
            name: name.to_owned(),
            uses: BTreeMap::new(),
            defines: BTreeSet::new(),
            thread_locals: (0, BTreeSet::new()),
        };
        for symbol in file.symbols() {
            let Ok(name) = symbol.name() else { continue };
            if symbol.is_undefined() && !name.is_empty() {
                part.uses.entry(name.to_owned()).or_default();
            } else if symbol.is_global() {
                part.defines.insert(name.to_owned());
            }
            if symbol.kind() == SymbolKind::Tls && !symbol.is_undefined() {
                part.thread_locals.1.insert(name.to_owned());
            }
        }
        for section in file.sections() {
            if matches!(section.kind(), SectionKind::Tls | SectionKind::UninitializedTls)
                && section.size() > 0
            {
                part.thread_locals.0 = part.thread_locals.0.max(section.align());
            }
            if section.kind() == SectionKind::Text {
                part.uses_of(&file, &section);
            }
        }
        Ok(part)
    }

    /// Notes which functions of `section` use which undefined symbols.
    fn uses_of<'d>(&mut self, file: &ElfFile64<'d>, section: &impl ObjectSection<'d>) {
        let inside = |symbol: &object::read::elf::ElfSymbol64<'d, '_>| {
            symbol.section_index() == Some(section.index()) && symbol.kind() == SymbolKind::Text
        };
        let named = file.symbols().filter(inside).filter_map(|one| Some((one.address(), one.name().ok()?)));
        let functions: BTreeMap<u64, &str> = named.collect();
        for (offset, relocation) in section.relocations() {
            let RelocationTarget::Symbol(SymbolIndex(index)) = relocation.target() else { continue };
            let Ok(symbol) = file.symbol_by_index(SymbolIndex(index)) else { continue };
            let (true, Ok(name)) = (symbol.is_undefined(), symbol.name()) else { continue };
            let function = functions.range(..=offset).next_back().map(|(_, name)| (*name).to_owned());
            self.uses.entry(name.to_owned()).or_default().extend(function);
        }
    }
}

/// The symbols that an object file leaves undefined, but for those that the linker makes.
pub(super) fn undefined(path: &Path) -> Result<BTreeSet<String>, Error> {
    let made = |name: &String| {
        name == "_GLOBAL_OFFSET_TABLE_" || ["__start_", "__stop_"].iter().any(|begin| name.starts_with(begin))
    };
    Ok(Part::read("", path)?.uses.into_keys().filter(|name| !made(name)).collect())
}
