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
    for source in sources {
        let object = compile(job, &source.path, &interface.join("include"), &work)?;
        own.extend(defined(&object, &source.path)?);
        objects.push(object);
    }
    crate_build::build(job, &interface, &objects, target)
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

fn compile(job: &Job<'_>, source: &Path, include: &Path, work: &Path) -> Result<PathBuf, Error> {
    let folder = source.parent().unwrap_or(Path::new("/"));
    files::create_dir_all(work)?;
    let dir = tempfile::tempdir_in(work).map_err(Error::io(work))?;
    let (object, depends) = (dir.path().join("out.o"), dir.path().join("out.d"));
    let map = |from: &Path, to: &str| {
        let mut flag = OsString::from("-ffile-prefix-map=");
        flag.push(from);
        flag.push("=");
        flag.push(to);
        flag
    };
    let tool = Tool::new(&job.inputs.toolchain.cc.path, folder)
        .env("TMPDIR", dir.path())
        .args(FLAGS)
        .arg("-I")
        .arg(include)
        .arg(map(&job.ctx.project.root, "selkie"))
        .arg(map(folder, "function"))
        .arg("-MD")
        .arg("-MF")
        .arg(&depends)
        .arg("-c")
        .arg(source.file_name().unwrap_or_default())
        .arg("-o")
        .arg(&object);
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
    job.read_depends(&depends, folder)?;
    let bytes = files::read(&object)?;
    // The path is part of the name: two files with the same content are two files.
    let stem = format!("c-{}", Digest::of_path(source).short(8));
    link::store(work, &stem, "o", &bytes)
}
