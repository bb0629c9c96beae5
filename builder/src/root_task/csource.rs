//! C sources: compiled for a machine without an operating system, then linked with the crate `selkie-c`.

use super::{Error, Job, crate_build, link};
use crate::{
    Digest,
    elf::Elf,
    exec::{self, Tool},
    files,
    recipe::InputPath,
};
use object::elf::{SHN_UNDEF, STB_LOCAL, STT_TLS};
use std::{
    collections::BTreeSet,
    ffi::OsString,
    path::{Path, PathBuf},
};

/// Flags for every C file. The include path and the prefix map come on top.
const FLAGS: &[&str] = &[
    "-std=gnu17",
    "-Os",
    "-g1",
    "-Wall",
    "-Wextra",
    "-Werror=implicit-function-declaration",
    "-ffreestanding",
    "-fno-pic",
    "-fno-pie",
    "-fno-stack-protector",
    "-fcf-protection=none",
    "-fno-asynchronous-unwind-tables",
    "-fno-unwind-tables",
    "-ffunction-sections",
    "-fdata-sections",
];

/// The folder of the crate `selkie-c` in the checkout.
pub(super) fn interface_crate(ctx: &crate::Context<'_>) -> PathBuf {
    ctx.project.runtime().join("c")
}

/// Compiles the C files, links them with the C interface and returns the ELF. The symbols that the
/// files define are added to `own`.
pub(super) fn build(
    job: &Job<'_>,
    sources: &[InputPath],
    own: &mut BTreeSet<String>,
    target: &Path,
) -> Result<PathBuf, Error> {
    let interface = interface_crate(job.ctx);
    let work = target.join("c");
    let mut objects = Vec::new();
    let flags: Vec<String> = FLAGS.iter().map(|flag| (*flag).to_owned()).collect();
    for source in sources {
        let (folder, file) = apart(&source.path);
        let how = Compilation {
            program: &job.inputs.toolchain.cc.path,
            flags: &flags,
            file,
            folder,
            include: &[interface.join("include")],
            maps: &[(folder.to_owned(), "function"), (job.ctx.project.root.clone(), "selkie")],
        };
        let object = compile(job, &how, &work)?;
        own.extend(defined(&object, &source.path)?);
        objects.push(object);
    }
    crate_build::build(job, &interface, &objects, target)
}

/// A file's folder, and its name there.
pub(super) fn apart(path: &Path) -> (&Path, &Path) {
    (path.parent().unwrap_or(Path::new("/")), Path::new(path.file_name().unwrap_or_default()))
}

/// The global symbols that the object file of `source` defines.
fn defined(object: &Path, source: &Path) -> Result<Vec<String>, Error> {
    let data = files::read(object)?;
    let elf = Elf::parse(&data).map_err(|source| Error::Elf { path: object.to_owned(), source })?;
    // The linker would speak of the object file and name no variable.
    let thread_local = elf.symbols.iter().filter(|one| one.kind == STT_TLS && one.section != SHN_UNDEF);
    let names: Vec<_> = thread_local.map(|symbol| format!("`{}`", symbol.name)).collect();
    if !names.is_empty() {
        return Err(Error::ThreadLocal { file: source.to_owned(), names: names.join(", ") });
    }
    let symbols = elf.symbols.iter().filter(|one| one.section != SHN_UNDEF && one.binding != STB_LOCAL);
    Ok(symbols.map(|symbol| symbol.name.to_owned()).collect())
}

/// How a C file is compiled.
pub(super) struct Compilation<'a> {
    /// The compiler.
    pub(super) program: &'a Path,
    /// Its flags but for the following.
    pub(super) flags: &'a [String],
    /// The file, relative to `folder`.
    pub(super) file: &'a Path,
    /// The folder that the compiler runs in.
    pub(super) folder: &'a Path,
    /// Where headers are found beside the compiler's own places.
    pub(super) include: &'a [PathBuf],
    /// Folders, and what stands for them in the result. The first that fits counts.
    pub(super) maps: &'a [(PathBuf, &'a str)],
}

/// Compiles a C file into an object file in the folder `work`. What the compiler warns of is told, and the headers that
/// it read are noted.
pub(super) fn compile(job: &Job<'_>, how: &Compilation<'_>, work: &Path) -> Result<PathBuf, Error> {
    let source = how.folder.join(how.file);
    files::create_dir_all(work)?;
    let dir = tempfile::tempdir_in(work).map_err(Error::io(work))?;
    let (object, depends) = (dir.path().join("out.o"), dir.path().join("out.d"));
    let mut tool = Tool::new(how.program, how.folder)
        .env("TMPDIR", dir.path())
        .args(how.flags.iter().map(String::as_str));
    for folder in how.include {
        tool = tool.arg("-I").arg(folder);
    }
    // Of several maps that fit, GCC takes the last.
    for (from, to) in how.maps.iter().rev() {
        let mut flag = OsString::from("-ffile-prefix-map=");
        flag.push(from);
        flag.push("=");
        flag.push(to);
        tool = tool.arg(flag);
    }
    let tool = tool.args(["-MD", "-MF"]).arg(&depends).arg("-c").arg(how.file).arg("-o").arg(&object);
    match tool.run(&job.ctx.cancel) {
        Ok(output) if !output.stderr.trim().is_empty() => {
            job.ctx.progress.note(&format!(
                "{}:\n{}",
                source.display(),
                exec::last_lines(&output.stderr, 40)
            ));
        }
        Ok(_) => {}
        Err(exec::Error::Failed { output, command, help, .. }) => {
            return Err(Error::Compile { what: source.display().to_string(), output, command, help });
        }
        Err(error) => return Err(error.into()),
    }
    job.read_depends(&depends, how.folder)?;
    let bytes = files::read(&object)?;
    // The path is part of the name: two files with the same content are two files.
    let stem = format!("c-{}", Digest::of_path(&source).short(8));
    link::store(work, &stem, "o", &bytes)
}
