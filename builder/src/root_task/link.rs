//! What is handed to the linker beside the compiled code: the script, the manifest note, the run
//! configuration, and the arguments.

use super::{BASE, Error, Job, files_section, rumprun};
use crate::{Digest, files, note, run_config, template};
use object::{
    Architecture, BinaryFormat, Endianness, SectionFlags, SectionKind,
    elf::{SHF_ALLOC, SHT_NOTE, SHT_PROGBITS},
    write::Object,
};
use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

const SCRIPT: &str = include_str!("../../../templates/root-task.ld.hbs");
pub(super) const RUSTC_WRAPPER: &str = include_str!("../../../templates/root-task-rustc.sh");

/// Libraries that crates written for Linux ask the linker for. Empty ones stand in, so that whatever
/// a crate wants from them shows up as an undefined symbol with the name of who wants it, and the
/// host's own libraries never get into a root task.
const EMPTY_LIBRARIES: &[&str] =
    &["c", "m", "pthread", "dl", "rt", "util", "resolv", "gcc", "gcc_s", "gcc_eh", "unwind"];

/// What the result depends on beside the sources.
pub(super) fn template_digests() -> [Digest; 2] {
    [Digest::of(SCRIPT), Digest::of(RUSTC_WRAPPER)]
}

impl Job<'_> {
    /// Writes the linker's inputs into `dir` and returns its arguments.
    ///
    /// Each file is named after the digest of its content: Cargo links again when an argument changes,
    /// but would not look into the files.
    pub(super) fn link_args(&self, dir: &Path, objects: &[PathBuf]) -> Result<Vec<OsString>, Error> {
        let recipe = self.inputs.recipe;
        let link_sets = match (&recipe.rumprun, objects) {
            (Some(_), [rump, ..]) => Some(rumprun::link_sets(rump)?),
            _ => None,
        };
        let script = script(recipe.stack, recipe.heap, link_sets.as_deref());
        let script = store(dir, "root-task", "ld", script.as_bytes())?;
        let run = run_config::encode(
            &recipe.run,
            recipe.devices.serial,
            recipe.bare_metal.serial_speed,
            self.nonce,
        )?;
        let files =
            recipe.files.as_ref().map(|folder| files_section::pack(self.ctx, &folder.path)).transpose()?;
        let rumprun = rumprun::section(recipe);
        let further = [(files_section::SECTION, files.as_deref()), (rumprun::SECTION, rumprun.as_deref())];
        let note = store(dir, "data", "o", &data_object(&self.manifest.encode(), &run, &further))?;
        let libraries = dir.join("empty");
        for name in EMPTY_LIBRARIES {
            write(&libraries.join(format!("lib{name}.a")), b"!<arch>\n")?;
        }
        let mut args: Vec<OsString> = [
            "-static",
            "-no-pie",
            "--no-dynamic-linker",
            "--build-id=none",
            "--gc-sections",
            "--no-eh-frame-hdr",
            "-z",
            "noexecstack",
            "-z",
            "max-page-size=4096",
            "-z",
            "norelro",
            "-T",
        ]
        .map(OsString::from)
        .into();
        args.push(script.into());
        args.push(note.into());
        args.extend(objects.iter().map(OsString::from));
        args.push("-L".into());
        args.push(libraries.into());
        Ok(args)
    }
}

/// The linker script for these sizes, in bytes; with a rump kernel, for the link sets that it has.
fn script(stack: u64, heap: u64, link_sets: Option<&[String]>) -> String {
    let [base, stack, heap] = [BASE, stack, heap].map(|number| format!("{number:#x}"));
    let rumprun = link_sets.is_some();
    let values = serde_json::json!({
        "base": base, "stack": stack, "heap": heap, "rumprun": rumprun, "link_sets": link_sets.unwrap_or_default(),
    });
    template::render(SCRIPT, &values)
}

/// An object file with the manifest note, the run configuration, and the sections of `further` that there are.
fn data_object(note: &[u8], run: &[u8], further: &[(&str, Option<&[u8]>)]) -> Vec<u8> {
    let mut object = Object::new(BinaryFormat::Elf, Architecture::X86_64, Endianness::Little);
    let sections = [(note::SECTION, SHT_NOTE, note, 4), (run_config::SECTION, SHT_PROGBITS, run, 1)];
    let further = further.iter().filter_map(|(name, data)| Some((*name, SHT_PROGBITS, (*data)?, 1)));
    for (name, kind, data, align) in sections.into_iter().chain(further) {
        let section = object.add_section(Vec::new(), name.as_bytes().to_vec(), SectionKind::ReadOnlyData);
        object.section_mut(section).flags = SectionFlags::Elf { sh_type: kind, sh_flags: SHF_ALLOC };
        object.append_section_data(section, data, align);
    }
    object.write().unwrap_or_default()
}

/// Writes a file named after its content, once.
pub(super) fn store(dir: &Path, stem: &str, extension: &str, bytes: &[u8]) -> Result<PathBuf, Error> {
    let path = dir.join(format!("{stem}-{}.{extension}", Digest::of(bytes).short(16)));
    write(&path, bytes)?;
    Ok(path)
}

/// Writes a file unless it has this content already: its time is what Cargo looks at.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    if fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    files::create_dir_all(path.parent().unwrap_or(path))?;
    Ok(files::replace(path, bytes)?)
}
