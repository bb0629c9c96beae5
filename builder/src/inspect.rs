//! Reading an image back: what it says about itself, and whether it is what it says.
//!
//! Nothing that is read is trusted: files have a size limit, names of members cannot lead out of the
//! image's folder, and texts are escaped before they reach a terminal.

mod executable;
pub(crate) mod medium;
mod render;

pub use executable::Executable;
pub use medium::MediumReport;
pub(crate) use render::printable;

use crate::{
    Digest, Project, Target,
    bare_metal::MediumError,
    elf::{self, Elf},
    files,
    image::{self, Role, Verified},
    kernel, note,
    process::assemble,
    root_task::SITES,
    run_config,
};
use object::elf::{EM_386, EM_X86_64};
use serde::Serialize;
use std::{
    fs,
    io::Read,
    path::{Component, Path, PathBuf},
};

/// What a file or image folder is and says.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Report {
    /// What was inspected.
    pub path: PathBuf,
    /// What it is.
    pub kind: Kind,
    /// The image's manifest.
    pub image: Option<image::Manifest>,
    /// The image's files against its manifest.
    pub members: Vec<Member>,
    /// The root task.
    pub root_task: Option<ElfReport>,
    /// The kernel.
    pub kernel: Option<ElfReport>,
    /// The tender, with or without a root task inside.
    pub executable: Option<Executable>,
    /// What lies on the media of a bare-metal image.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub media: Vec<MediumReport>,
    /// Whether the kernel is a verified configuration, built from verified source.
    pub verified: Verified,
    /// What does not fit together; empty for a sound image.
    pub problems: Vec<String>,
}

/// What was inspected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A folder with an image.
    Image,
    /// A root task.
    RootTask,
    /// A tender with a root task inside.
    Executable,
    /// The tender that an operator installs.
    Tender,
    /// A kernel that a Multiboot loader takes.
    Kernel,
    /// An ISO image with kernel and root task.
    Iso,
    /// A disk image with kernel and root task.
    Disk,
    /// Another ELF file.
    Elf,
}

/// A file of an image against what the manifest says of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Member {
    /// Its name.
    pub name: String,
    /// What it is.
    pub role: Role,
    /// Bytes, as found; none when the file cannot be read.
    pub size: Option<u64>,
    /// The digest of what was found.
    pub sha256: Option<Digest>,
    /// Whether size and digest are those of the manifest.
    pub matches: bool,
}

/// An ELF file.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ElfReport {
    /// Bytes.
    pub size: u64,
    /// The digest of the file.
    pub sha256: Digest,
    /// 32 or 64.
    pub bits: u8,
    /// The machine's name, or its number.
    pub machine: String,
    /// Where it is entered.
    pub entry: u64,
    /// Whether it has symbols.
    pub symbols: bool,
    /// The program headers.
    pub segments: Vec<Segment>,
    /// What a root task says about itself.
    pub manifest: Option<note::Manifest>,
    /// The records of a root task's run configuration.
    pub run: Option<Vec<(String, String)>>,
    /// The number of listed system-call sites.
    pub system_call_sites: Option<u64>,
}

/// A program header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Segment {
    /// Its type.
    pub kind: String,
    /// `R`, `W`, `X`.
    pub permissions: String,
    /// Address.
    pub address: u64,
    /// Bytes in the file.
    pub file_size: u64,
    /// Bytes in memory.
    pub memory_size: u64,
}

/// Something cannot be inspected.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file failed.
    #[error(transparent)]
    Files(#[from] files::Error),
    /// The image's manifest failed.
    #[error(transparent)]
    Image(#[from] image::Error),
    /// Neither a file nor an image.
    #[error(
        "{0}: this is neither a regular file nor the folder of an image\n  help: `inspect` reads a folder such as out/hello/qemu, a manifest.json, an executable, an ISO or disk image, a root task or a kernel"
    )]
    Neither(PathBuf),
    /// No such file, and no such image.
    #[error(
        "{path}: there is no such file, and no image of that name\n  help: `cargo xtask build-image RECIPE` makes an image; `cargo xtask list` names the recipes"
    )]
    Missing {
        /// What was asked for.
        path: PathBuf,
    },
    /// Too large.
    #[error("{path}: this file has more than {limit} bytes, which nothing of an image has")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit in bytes.
        limit: u64,
    },
    /// A damaged executable.
    #[error("{path}: {source}\n  help: build the image anew")]
    Executable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: assemble::Error,
    },
    /// A foreign or damaged medium.
    #[error("{path}: {source}\n  help: {}", medium_help(source))]
    Medium {
        /// The file.
        path: PathBuf,
        /// Why.
        source: MediumError,
    },
    /// No ELF file.
    #[error(
        "{path}: {source}\n  help: `inspect` reads a folder such as out/hello/qemu, a manifest.json, an executable, an ISO or disk image, a root task or a kernel"
    )]
    Elf {
        /// The file.
        path: PathBuf,
        /// Why.
        source: elf::Error,
    },
}

crate::exit_code!(Error, |error| match error {
    Error::Files(error) => error.exit_code(),
    Error::Image(error) => error.exit_code(),
    _ => crate::ExitCode::Failed,
});

fn medium_help(error: &MediumError) -> &'static str {
    match error {
        MediumError::Foreign { .. } => {
            "`inspect` reads what `cargo xtask build-image RECIPE --target bare-metal` made, for instance out/hello/bare-metal/hello.iso"
        }
        MediumError::Damaged { .. } => "build the image anew, or copy the file anew",
    }
}

/// What `named` means: a file or folder, or else the image of a recipe of that name, as it was last built,
/// for `target` or else for the first target that it was built for.
pub fn find(project: &Project, named: &Path, target: Option<Target>) -> Result<PathBuf, Error> {
    if named.exists() {
        return Ok(named.to_owned());
    }
    let name = named.to_str().filter(|name| is_plain(name));
    let targets = target.as_ref().map_or(Target::ALL, std::slice::from_ref);
    let mut images =
        name.into_iter().flat_map(|name| targets.iter().map(|target| project.image(name, *target)));
    images.find(|image| image.exists()).ok_or_else(|| Error::Missing { path: named.to_owned() })
}

/// Inspects an image's folder, a `manifest.json`, an executable, a medium, a root task or a kernel.
pub fn inspect(path: &Path) -> Result<Report, Error> {
    let metadata = fs::metadata(path).map_err(files::Error::at("read", path))?;
    if metadata.is_dir() {
        if !path.join(image::name::MANIFEST).exists() {
            return Err(Error::Neither(path.to_owned()));
        }
        return inspect_image(path);
    }
    if path.file_name().is_some_and(|name| name == image::name::MANIFEST) {
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
        return inspect_image(dir.unwrap_or(Path::new(".")));
    }
    if let Some(format) = medium::format(path)? {
        return medium::inspect(path, format);
    }
    let data = read(path, elf::MAX_FILE)?;
    let mut report = Report::new(path, Kind::Elf);
    if assemble::is_tender(&data) {
        let (executable, inner) = executable::inspect(&data, &mut report.problems)
            .map_err(|source| Error::Executable { path: path.to_owned(), source })?;
        report.kind = if executable.operator { Kind::Tender } else { Kind::Executable };
        report.executable = Some(executable);
        report.root_task = inner;
        return Ok(report);
    }
    let broken = |source| Error::Elf { path: path.to_owned(), source };
    let (kind, elf) = inspect_elf(&data, &mut report.problems).map_err(broken)?;
    report.kind = kind;
    match kind {
        Kind::Kernel => report.kernel = Some(elf),
        _ => report.root_task = Some(elf),
    }
    Ok(report)
}

fn inspect_image(dir: &Path) -> Result<Report, Error> {
    let text = read(&dir.join(image::name::MANIFEST), image::MAX_MANIFEST)?;
    let manifest: image::Manifest = serde_json::from_slice(&text)
        .map_err(|source| image::Error::Manifest { path: dir.join(image::name::MANIFEST), source })?;
    let mut report = Report { verified: manifest.kernel.verified, ..Report::new(dir, Kind::Image) };
    for member in &manifest.members {
        let name = printable(&member.name);
        let content = if is_inside(&member.name) {
            let limit = match member.role {
                Role::Iso | Role::Disk => medium::MOST,
                _ => elf::MAX_FILE,
            };
            read(&dir.join(&member.name), limit).map_err(|error| error.to_string())
        } else {
            Err(format!("`{name}` is not a plain file name"))
        };
        let content = content.map_err(|error| report.problems.push(error)).ok();
        let (size, sha256) =
            (content.as_ref().map(|bytes| bytes.len() as u64), content.as_ref().map(Digest::of));
        let matches = size == Some(member.size) && sha256 == Some(member.sha256);
        if content.is_some() && !matches {
            report
                .problems
                .push(format!("{name} is not what the manifest says: it was changed after the build"));
        }
        if let (Some(bytes), Role::Kernel | Role::RootTask) = (&content, member.role) {
            match inspect_elf(bytes, &mut report.problems) {
                Err(error) => report.problems.push(format!("{name}: {error}")),
                Ok((_, elf)) if member.role == Role::Kernel => report.kernel = Some(elf),
                Ok((_, elf)) => report.root_task = Some(elf),
            }
        }
        if let (Some(bytes), Role::Executable) = (&content, member.role) {
            match executable::inspect(bytes, &mut report.problems) {
                Err(error) => report.problems.push(format!("{name}: {error}")),
                Ok((executable, inner)) => {
                    report.problems.extend(executable::disagreements(&manifest, &executable, inner.as_ref()));
                    report.executable = Some(executable);
                }
            }
        }
        if let Some(bytes) = &content {
            let named = (member.name.as_str(), member.role);
            report.media.extend(medium::of_image(&manifest, named, bytes, &mut report.problems));
        }
        report.members.push(Member { name: member.name.clone(), role: member.role, size, sha256, matches });
    }
    report.problems.extend(disagreements(&manifest, report.root_task.as_ref()));
    report.image = Some(manifest);
    Ok(report)
}

/// Where the image's manifest and the root task's own note contradict each other.
fn disagreements(image: &image::Manifest, root_task: Option<&ElfReport>) -> Vec<String> {
    let Some(note) = root_task.and_then(|elf| elf.manifest.as_ref()) else { return Vec::new() };
    let pairs = [
        ("the name", &image.name, &note.function.name),
        ("the version", &image.version, &note.function.version),
        ("the kernel config", &image.kernel.config, &note.kernel.config),
        ("the seL4 release", &image.kernel.version, &note.kernel.version),
        ("the kernel's interface", &image.kernel.interface.to_string(), &note.kernel.interface.to_string()),
    ];
    let differ = pairs.into_iter().filter(|(_, image, note)| image != note);
    differ
        .map(|(what, image, note)| {
            let (image, note) = (printable(image), printable(note));
            format!("{what} is `{image}` in the manifest but `{note}` in the root task")
        })
        .collect()
}

/// Whether `name` is that of a file or folder, and no path.
fn is_plain(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None)) && !name.contains('\0')
}

/// Whether `name` is that of a file in an image's folder, or in a folder there.
fn is_inside(name: &str) -> bool {
    let (folder, file) = name.split_once('/').map_or((None, name), |(folder, file)| (Some(folder), file));
    folder.is_none_or(is_plain) && is_plain(file)
}

/// Reads a regular file of at most `limit` bytes.
pub(crate) fn read(path: &Path, limit: u64) -> Result<Vec<u8>, Error> {
    let metadata = fs::metadata(path).map_err(files::Error::at("read", path))?;
    // Before it is opened: a pipe would make us wait for ever.
    if !metadata.is_file() {
        return Err(Error::Neither(path.to_owned()));
    }
    let file = fs::File::open(path).map_err(files::Error::at("read", path))?;
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(files::Error::at("read", path))?;
    if bytes.len() as u64 > limit {
        return Err(Error::TooLarge { path: path.to_owned(), limit });
    }
    Ok(bytes)
}

fn inspect_elf(data: &[u8], problems: &mut Vec<String>) -> Result<(Kind, ElfReport), elf::Error> {
    let elf = Elf::parse(data)?;
    let manifest = note::Manifest::of_elf(&elf).unwrap_or_else(|error| {
        problems.push(error.to_string());
        None
    });
    let content = |name| elf.section(name).and_then(|section| elf.section_data(section));
    let kind = if elf.section(note::SECTION).is_some() {
        Kind::RootTask
    } else if kernel::multiboot_header(data).is_some() || kernel::multiboot2_header(data).is_some() {
        Kind::Kernel
    } else {
        Kind::Elf
    };
    let report = ElfReport {
        size: data.len() as u64,
        sha256: Digest::of(data),
        bits: if elf.is_64 { 64 } else { 32 },
        machine: match elf.machine {
            EM_X86_64 => "x86-64".into(),
            EM_386 => "x86".into(),
            other => other.0.to_string(),
        },
        entry: elf.entry,
        symbols: !elf.symbols.is_empty(),
        segments: elf.segments.iter().map(segment).collect(),
        manifest,
        run: content(run_config::SECTION).and_then(run_config::decode),
        system_call_sites: content(SITES).map(|bytes| bytes.len() as u64 / 8),
    };
    Ok((kind, report))
}

fn segment(segment: &elf::Segment) -> Segment {
    Segment {
        kind: segment.kind_name(),
        permissions: segment.permissions(),
        address: segment.address,
        file_size: segment.file_size,
        memory_size: segment.memory_size,
    }
}

impl Report {
    /// A report that says nothing yet.
    fn new(path: &Path, kind: Kind) -> Self {
        Self {
            path: path.to_owned(),
            kind,
            image: None,
            members: Vec::new(),
            root_task: None,
            kernel: None,
            executable: None,
            media: Vec::new(),
            verified: Verified::None,
            problems: Vec::new(),
        }
    }
}

#[cfg(test)]
#[path = "inspect_tests.rs"]
mod tests;
