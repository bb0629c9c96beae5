//! Reading an image back: what it says about itself, and whether it is what it says.
//!
//! Nothing that is read is trusted: files have a size limit and tables have a length limit, names of members
//! cannot lead out of the image's folder, and texts are escaped before they reach a terminal. What cannot be read
//! at all is an [`Error`]; what can be read but does not fit together is told in [`Report::problems`].

mod archive;
mod document;
mod elf_file;
mod executable;
mod image_folder;
mod layout;
pub(crate) mod medium;
mod netboot;
mod render;

pub use document::DocumentReport;
pub use elf_file::{ElfReport, Segment};
pub use executable::Executable;
pub(crate) use image_folder::check_members;
pub use layout::{Layer, LayoutReport};
pub use medium::MediumReport;
pub(crate) use render::printable;

use crate::{
    Digest, Project, Target,
    bare_metal::{self, MediumError},
    elf, files,
    image::{self, Role, Verified},
    process::assemble,
    trusted,
};
use elf_file::inspect_elf;
use image_folder::disagreements;
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
    /// What an OCI image layout says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layout: Option<LayoutReport>,
    /// What a document says that is published beside an image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub document: Option<DocumentReport>,
    /// Whether the kernel that runs is a verified configuration, built from verified source; none when what was
    /// inspected does not say.
    pub verified: Option<Verified>,
    /// What whoever runs this relies on; empty when it says nothing of a target.
    pub trusted_base: Vec<trusted::Component>,
    /// What does not fit together; empty for a sound image.
    pub problems: Vec<String>,
}

/// What was inspected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A folder with an image.
    Image,
    /// The manifest of an image, without its files.
    Manifest,
    /// A published archive of an image.
    Archive,
    /// A published OCI image layout.
    Layout,
    /// A bill of materials, or a statement about an image.
    Document,
    /// A folder that is served to iPXE: kernel, root task and a script.
    Netboot,
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
        "{0}: this is neither a regular file nor the folder of an image\n  help: `inspect` reads a folder such as out/hello/qemu, a manifest.json, an executable, an ISO or disk image, a netboot folder, a root task, a kernel, or one file or OCI layout of what was published; `verify` checks a published folder"
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
    /// A manifest with members that are not read.
    #[error("{path}: {why}\n  help: build the image anew")]
    Members {
        /// The manifest.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// No archive of an image.
    #[error(
        "{path}: this is no archive of an image: {why}\n  help: `inspect` reads the archives that `cargo xtask publish` writes for images; `tar -tzf` lists others"
    )]
    Archive {
        /// The file.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// No layout of an image.
    #[error(
        "{path}: this is not an OCI image layout that was published: {why}\n  help: `inspect` reads what `cargo xtask publish` writes; `skopeo inspect oci:DIR` reads others"
    )]
    Layout {
        /// The folder.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// No such document.
    #[error(
        "{path}: this is no document that was published: {why}\n  help: publish the image anew, or copy the file anew"
    )]
    Document {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
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
        "{path}: {source}\n  help: `inspect` reads a folder such as out/hello/qemu, a manifest.json, an executable, an ISO or disk image, a netboot folder, a root task, a kernel, or one file or OCI layout of what was published; `verify` checks a published folder"
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

/// Inspects whatever a build makes, by what is in it alone.
pub fn inspect(path: &Path) -> Result<Report, Error> {
    let metadata = fs::metadata(path).map_err(files::Error::at("read", path))?;
    let mut report = if metadata.is_dir() { inspect_folder(path) } else { inspect_file(path) }?;
    // No kernel of seL4 runs in a process, whatever the config whose interface is served.
    report.verified = match (report.target(), &report.image) {
        (Some(Target::Process), _) => Some(Verified::None),
        (_, image) => image.as_ref().map(|image| image.kernel.verified),
    };
    report.trusted_base = report.target().map(trusted::base).unwrap_or_default();
    Ok(report)
}

/// A folder is known by the files in it.
fn inspect_folder(path: &Path) -> Result<Report, Error> {
    if path.join(image::name::MANIFEST).exists() {
        image_folder::inspect(path)
    } else if layout::is_there(path) {
        layout::inspect(path)
    } else if netboot::is_there(path) {
        netboot::inspect(path)
    } else {
        Err(Error::Neither(path.to_owned()))
    }
}

/// A file is known by how it begins.
fn inspect_file(path: &Path) -> Result<Report, Error> {
    if path.file_name().is_some_and(|name| name == image::name::MANIFEST) {
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        return image_folder::of_manifest(path, Some(dir));
    }
    let head = medium::head(path)?;
    if let Some(format) = bare_metal::medium::format(&head) {
        return medium::inspect(path, format);
    }
    if archive::is_one(&head) {
        return archive::inspect(path);
    }
    let data = read(path, elf::MAX_FILE)?;
    if data.trim_ascii_start().starts_with(b"{") {
        let document = document::inspect(path, &data);
        return document.unwrap_or_else(|| image_folder::of_manifest(path, None));
    }
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
    if metadata.len() > limit {
        return Err(Error::TooLarge { path: path.to_owned(), limit });
    }
    let file = fs::File::open(path).map_err(files::Error::at("read", path))?;
    let mut bytes = Vec::new();
    // It may grow meanwhile, and files in /proc have no length.
    file.take(limit + 1).read_to_end(&mut bytes).map_err(files::Error::at("read", path))?;
    if bytes.len() as u64 > limit {
        return Err(Error::TooLarge { path: path.to_owned(), limit });
    }
    Ok(bytes)
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
            layout: None,
            document: None,
            verified: None,
            trusted_base: Vec::new(),
            problems: Vec::new(),
        }
    }

    /// What it was made for, when it says so.
    pub fn target(&self) -> Option<Target> {
        match self.kind {
            Kind::Executable | Kind::Tender => Some(Target::Process),
            Kind::Iso | Kind::Disk | Kind::Netboot => Some(Target::BareMetal),
            Kind::Image | Kind::Manifest | Kind::Archive | Kind::Layout => {
                self.image.as_ref().map(|image| image.target)
            }
            Kind::Document | Kind::RootTask | Kind::Kernel | Kind::Elf => None,
        }
    }
}

#[cfg(test)]
#[path = "inspect_tests.rs"]
mod tests;
