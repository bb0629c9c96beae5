//! What is compared: an image's folder, a manifest, or a file of an image, taken apart.

use super::{FileState, What};
use crate::{
    Digest, elf, files,
    image::{self, Role},
    inspect::{self, Error, Kind, Report},
    process::assemble,
};
use std::{collections::BTreeMap, path::Path};

/// One of the two.
pub(super) struct Side {
    pub(super) what: What,
    /// What it was made from, when it says so.
    pub(super) manifest: Option<image::Manifest>,
    /// The files by the names that they have in both.
    pub(super) files: BTreeMap<String, File>,
    /// Files that the manifest names and that cannot be read.
    pub(super) unread: Vec<String>,
}

/// A file.
pub(super) struct File {
    pub(super) state: FileState,
    pub(super) content: Content,
}

/// What is known of a file's content.
pub(super) enum Content {
    /// All of it.
    Bytes(Vec<u8>),
    /// The digest alone.
    Unknown,
}

impl File {
    fn of(bytes: Vec<u8>) -> Self {
        let state = FileState { size: bytes.len() as u64, sha256: Digest::of(&bytes) };
        Self { state, content: Content::Bytes(bytes) }
    }

    fn said(size: u64, sha256: Digest) -> Self {
        Self { state: FileState { size, sha256 }, content: Content::Unknown }
    }
}

impl Side {
    /// Takes apart what lies at `path`.
    pub(super) fn load(path: &Path) -> Result<Self, Error> {
        let report = inspect::inspect(path)?;
        let mut side = Self {
            what: What { path: path.to_owned(), what: described(&report) },
            manifest: report.image.clone(),
            files: BTreeMap::new(),
            unread: Vec::new(),
        };
        match report.kind {
            Kind::Image | Kind::Netboot => side.add_folder(path, &report)?,
            Kind::Manifest => side.add_said(&report),
            Kind::Iso | Kind::Disk => side.add_medium("", path)?,
            Kind::Executable | Kind::Tender => side.add_executable("", path)?,
            Kind::Archive | Kind::Layout => side.add_listed(&report),
            Kind::RootTask | Kind::Kernel | Kind::Elf | Kind::Document => {
                side.add("file".to_owned(), path)?
            }
        }
        Ok(side)
    }

    fn add(&mut self, name: String, path: &Path) -> Result<(), Error> {
        self.files.insert(name, File::of(inspect::read(path, elf::MAX_FILE)?));
        Ok(())
    }

    /// The members that a manifest names.
    fn add_said(&mut self, report: &Report) {
        for member in report.image.iter().flat_map(|image| &image.members) {
            let name = common_name(report, &member.name, member.role);
            self.files.insert(name, File::said(member.size, member.sha256));
        }
    }

    /// The members that were found in an archive or a layout.
    fn add_listed(&mut self, report: &Report) {
        for member in &report.members {
            let name = common_name(report, &member.name, member.role);
            match member.size.zip(member.sha256) {
                Some((size, sha256)) => drop(self.files.insert(name, File::said(size, sha256))),
                None => self.unread.push(format!("{} cannot be read", inspect::printable(&member.name))),
            }
        }
    }

    fn add_folder(&mut self, path: &Path, report: &Report) -> Result<(), Error> {
        // `path` may be the manifest itself.
        let dir = if path.is_dir() { path } else { path.parent().unwrap_or(Path::new(".")) };
        for member in &report.members {
            let name = common_name(report, &member.name, member.role);
            // `inspect` has looked whether the name leads out.
            if member.sha256.is_none() {
                self.unread.push(format!("{} cannot be read", inspect::printable(&member.name)));
                continue;
            }
            let file = dir.join(&member.name);
            match member.role {
                Role::Iso | Role::Disk => self.add_medium(&name, &file)?,
                Role::Executable => self.add_executable(&name, &file)?,
                _ => self.add(name, &file)?,
            }
        }
        Ok(())
    }

    /// A medium and the files on it; `name` is empty for one that stands alone.
    fn add_medium(&mut self, name: &str, path: &Path) -> Result<(), Error> {
        let format = inspect::medium::format(path)?.ok_or_else(|| Error::Neither(path.to_owned()))?;
        let medium = inspect::medium::read(path, format)?;
        let digest = Digest::of_file(path).map_err(files::Error::at("read", path))?;
        let size = std::fs::metadata(path).map_err(files::Error::at("read", path))?.len();
        self.files.insert(if name.is_empty() { "file" } else { name }.to_owned(), File::said(size, digest));
        for file in medium.files {
            let inner = match file.path.split('/').collect::<Vec<_>>()[..] {
                // The folder's name is the image's identity.
                ["selkie", _, file] => format!("selkie/*/{file}"),
                _ => file.path.clone(),
            };
            // A medium alone shows it by what is in it, unpacked.
            if name.is_empty() && inner == "selkie/*/roottask" {
                continue;
            }
            self.files.insert(inside(name, &inner), File::said(file.size, file.sha256));
        }
        // In an image's folder both lie beside it.
        if name.is_empty() {
            self.files.insert(inside(name, "selkie/*/kernel"), File::of(medium.kernel));
            self.files.insert("root-task".to_owned(), File::of(medium.root_task));
        }
        Ok(())
    }

    /// An executable and what is in it.
    fn add_executable(&mut self, name: &str, path: &Path) -> Result<(), Error> {
        let broken = |source| Error::Executable { path: path.to_owned(), source };
        let data = inspect::read(path, elf::MAX_FILE)?;
        let contents = assemble::contents(&data).map_err(broken)?;
        let tables: &[u8] = bytemuck::cast_slice(&contents.tables);
        let settings = bytemuck::bytes_of(&contents.header.settings);
        let parts = [("tables", tables), ("settings", settings), ("root task", contents.root_task)];
        for (part, bytes) in parts {
            if part != "root task" || name.is_empty() {
                self.files.insert(inside(name, part), File::of(bytes.to_vec()));
            }
        }
        let tender = assemble::bare(&data).map_err(broken)?;
        self.files.insert(inside(name, "tender"), File::of(tender));
        let whole = File::of(data);
        let state = whole.state;
        self.files.insert(
            if name.is_empty() { "file" } else { name }.to_owned(),
            File { state, content: Content::Unknown },
        );
        Ok(())
    }
}

/// The name of a file inside another.
fn inside(outer: &str, inner: &str) -> String {
    if outer.is_empty() { inner.to_owned() } else { format!("{outer}: {inner}") }
}

/// The name that a member has in images of every recipe.
fn common_name(report: &Report, name: &str, role: Role) -> String {
    match (role, &report.image) {
        (Role::Executable, _) => "executable".to_owned(),
        (_, Some(image)) => match name.strip_prefix(image.name.as_str()) {
            Some(ending @ (".iso" | ".img")) => format!("*{ending}"),
            _ => name.to_owned(),
        },
        _ => name.to_owned(),
    }
}

/// What it is, in a few words.
fn described(report: &Report) -> String {
    let kind = match report.kind {
        Kind::Image => "image",
        Kind::Manifest => "manifest",
        Kind::Archive => "archive",
        Kind::Layout => "OCI image layout",
        Kind::Document => "document",
        Kind::Netboot => "netboot folder",
        Kind::RootTask => "root task",
        Kind::Executable => "executable",
        Kind::Tender => "tender",
        Kind::Kernel => "kernel",
        Kind::Iso => "ISO image",
        Kind::Disk => "disk image",
        Kind::Elf => "ELF file",
    };
    match &report.image {
        Some(image) => {
            let (name, version) = (inspect::printable(&image.name), inspect::printable(&image.version));
            format!("{kind} of {name} {version} for {}", image.target)
        }
        None => kind.to_owned(),
    }
}
