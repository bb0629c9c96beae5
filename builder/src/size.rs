//! Where the bytes of an image go: by file, section, crate and symbol.

mod compare;

pub use compare::{Change, ChangeTable, Comparison, compare};
pub(crate) use compare::{of_elfs, render_tables};

use crate::{
    Digest, Project,
    bare_metal::medium::Medium,
    elf::{self, Elf},
    files,
    image::{self, Role},
    inspect::{self, Error},
    process::assemble,
    recipe::Format,
    root_task::{self, crate_of, demangle},
};
use object::elf::{STT_FUNC, STT_OBJECT};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

/// Where the bytes of an image or ELF file go. All lists are sorted by size, the largest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Report {
    /// What was measured.
    pub path: PathBuf,
    /// Bytes of all files together.
    pub total: u64,
    /// The image's files.
    pub members: Vec<Part>,
    /// What is inside the executable of a process.
    pub executable: Vec<Part>,
    /// What is inside the media of a bare machine.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub media: Vec<MediumParts>,
    /// The root task, or the ELF file.
    pub elf: Option<Breakdown>,
    /// Why the root task is not broken down by crate and symbol, when it is not.
    pub remark: Option<String>,
}

/// What is inside a medium.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct MediumParts {
    /// The medium's file.
    pub name: String,
    /// Its files, and the rest.
    pub parts: Vec<Part>,
}

/// Where the bytes of an ELF file go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Breakdown {
    /// Sections that are loaded, in memory.
    pub sections: Vec<Part>,
    /// Crates, by the symbols that begin with their names.
    pub crates: Vec<Part>,
    /// The largest functions and variables.
    pub symbols: Vec<Part>,
    /// How many others there are.
    pub symbols_left_out: usize,
}

/// Something and its size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Part {
    /// What.
    pub name: String,
    /// Bytes.
    pub size: u64,
}

/// Measures an image's folder or an ELF file, and shows the `top` largest symbols.
///
/// An image's root task has no symbols: those of the file that it was stripped from are used, as long
/// as the step cache has it.
pub fn size(project: &Project, path: &Path, top: usize) -> Result<Report, Error> {
    if !path.is_dir() {
        if let Some(format) = inspect::medium::format(path)? {
            return of_medium(project, path, format, top);
        }
        let data = inspect::read(path, elf::MAX_FILE)?;
        if data.trim_ascii_start().starts_with(b"{") {
            return of_text(project, path, &data, top);
        }
        if assemble::is_tender(&data) {
            return of_executable(project, path, &data, top);
        }
        let elf = Elf::parse(&data).map_err(|source| Error::Elf { path: path.to_owned(), source })?;
        let remark = elf.symbols.is_empty().then(|| "this file has no symbols".to_owned());
        let elf = Some(of_elf(&elf, top));
        return Ok(Report {
            path: path.to_owned(),
            total: data.len() as u64,
            members: Vec::new(),
            executable: Vec::new(),
            media: Vec::new(),
            elf,
            remark,
        });
    }
    let manifest = image::Manifest::read(path)?;
    inspect::check_members(path, &manifest)?;
    let mut members: Vec<_> =
        manifest.members.iter().map(|one| Part { name: one.name.clone(), size: one.size }).collect();
    sort(&mut members);
    let unstripped = unstripped(project, manifest.root_task.sha256);
    let data = match &unstripped {
        Some(path) => inspect::read(path, elf::MAX_FILE)?,
        None => inspect::read(&path.join(image::name::ROOT_TASK), elf::MAX_FILE)?,
    };
    let elf = Elf::parse(&data).map_err(|source| Error::Elf { path: path.to_owned(), source })?;
    let executable = manifest.members.iter().find(|member| member.role == Role::Executable);
    let executable = match executable {
        Some(member) => parts(path, &inspect::read(&path.join(&member.name), elf::MAX_FILE)?)?,
        None => Vec::new(),
    };
    let remark =
        "its symbols are not in the cache any more\n  help: `cargo xtask build-image` brings them back";
    Ok(Report {
        path: path.to_owned(),
        total: members.iter().fold(0, |sum, member| sum.saturating_add(member.size)),
        members,
        executable,
        media: media(path, &manifest)?,
        elf: Some(of_elf(&elf, top)),
        remark: elf.symbols.is_empty().then(|| remark.to_owned()),
    })
}

/// What a JSON file says: a report that was saved, or a manifest, with the image's files when they lie beside it.
fn of_text(project: &Project, path: &Path, data: &[u8], top: usize) -> Result<Report, Error> {
    if let Ok(report) = serde_json::from_slice::<Report>(data) {
        return Ok(Report { path: path.to_owned(), ..report });
    }
    let report = inspect::inspect(path)?;
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if report.kind == inspect::Kind::Image {
        return size(project, dir, top);
    }
    let members = report.image.map(|image| image.members).unwrap_or_default();
    let mut members: Vec<_> =
        members.into_iter().map(|one| Part { name: one.name, size: one.size }).collect();
    sort(&mut members);
    Ok(Report {
        path: path.to_owned(),
        total: members.iter().fold(0, |sum, member| sum.saturating_add(member.size)),
        members,
        executable: Vec::new(),
        media: Vec::new(),
        elf: None,
        remark: Some("this is a manifest alone: only the sizes of the files are known".to_owned()),
    })
}

/// What is inside each medium of the image in `dir`.
fn media(dir: &Path, manifest: &image::Manifest) -> Result<Vec<MediumParts>, Error> {
    let mut media = Vec::new();
    for member in &manifest.members {
        let format = match member.role {
            Role::Iso => Format::Iso,
            Role::Disk => Format::Disk,
            _ => continue,
        };
        let medium = inspect::medium::read(&dir.join(&member.name), format)?;
        media.push(MediumParts { name: member.name.clone(), parts: inside(&medium, member.size) });
    }
    Ok(media)
}

/// The files on a medium of `size` bytes, and what else it has.
fn inside(medium: &Medium, size: u64) -> Vec<Part> {
    let mut parts: Vec<_> =
        medium.files.iter().map(|file| Part { name: file.path.clone(), size: file.size }).collect();
    let known = parts.iter().fold(0, |sum: u64, part| sum.saturating_add(part.size));
    sort(&mut parts);
    parts.push(Part { name: "(tables and free space)".to_owned(), size: size.saturating_sub(known) });
    parts
}

/// Measures a medium alone, and the root task on it.
fn of_medium(project: &Project, path: &Path, format: Format, top: usize) -> Result<Report, Error> {
    let medium = inspect::medium::read(path, format)?;
    let size = fs::metadata(path).map_err(files::Error::at("read", path))?.len();
    let unstripped = unstripped(project, Digest::of(&medium.root_task));
    let data = unstripped.map(|path| inspect::read(&path, elf::MAX_FILE)).transpose()?;
    let elf = Elf::parse(data.as_deref().unwrap_or(&medium.root_task))
        .map_err(|source| Error::Elf { path: path.to_owned(), source })?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Report {
        path: path.to_owned(),
        total: size,
        members: Vec::new(),
        executable: Vec::new(),
        media: vec![MediumParts { name, parts: inside(&medium, size) }],
        elf: Some(of_elf(&elf, top)),
        remark: elf.symbols.is_empty().then(|| "the root task's symbols are not in the cache".to_owned()),
    })
}

/// Measures an executable alone, and the root task in it.
fn of_executable(project: &Project, path: &Path, data: &[u8], top: usize) -> Result<Report, Error> {
    let executable = parts(path, data)?;
    let broken = |source| Error::Executable { path: path.to_owned(), source };
    let root_task = assemble::contents(data).map_err(broken)?.root_task;
    let (mut elf, mut remark) = (None, None);
    if !root_task.is_empty() {
        let unstripped = unstripped(project, Digest::of(root_task));
        let data = unstripped.map(|path| inspect::read(&path, elf::MAX_FILE)).transpose()?;
        let parsed = Elf::parse(data.as_deref().unwrap_or(root_task))
            .map_err(|source| Error::Elf { path: path.to_owned(), source })?;
        elf = Some(of_elf(&parsed, top));
        remark = parsed.symbols.is_empty().then(|| "the root task's symbols are not in the cache".to_owned());
    }
    let (path, total) = (path.to_owned(), data.len() as u64);
    Ok(Report { path, total, members: Vec::new(), executable, media: Vec::new(), elf, remark })
}

/// What is inside an executable.
fn parts(path: &Path, data: &[u8]) -> Result<Vec<Part>, Error> {
    let broken = |source| Error::Executable { path: path.to_owned(), source };
    let tender = assemble::bare(data).map_err(broken)?.len() as u64;
    let contents = assemble::contents(data).map_err(broken)?;
    let (tables, task) = (contents.header.tables.size, contents.header.root_task.size);
    let rest = (data.len() as u64).saturating_sub(tender).saturating_sub(tables).saturating_sub(task);
    let parts =
        [("tender", tender), ("interface tables", tables), ("root task", task), ("(up to pages)", rest)];
    Ok(parts.map(|(name, size)| Part { name: name.to_owned(), size }).into())
}

/// The file that the root task with this digest was stripped from.
pub(crate) fn unstripped(project: &Project, stripped: Digest) -> Option<PathBuf> {
    let steps = project.cache().join("steps").join(root_task::STEP);
    let walk = walkdir::WalkDir::new(steps).min_depth(1).max_depth(1).sort_by_file_name().into_iter();
    let mut folders = walk.flatten().map(walkdir::DirEntry::into_path);
    let folder = folders
        .find(|dir| Digest::of_file(&dir.join(root_task::STRIPPED)).is_ok_and(|one| one == stripped))?;
    Some(folder.join(root_task::ELF))
}

/// Where the bytes of an ELF file go.
pub(crate) fn of_elf(elf: &Elf<'_>, top: usize) -> Breakdown {
    let sections = elf.sections.iter().filter(|section| section.is_allocated() && section.size > 0);
    let mut sections: Vec<_> =
        sections.map(|section| Part { name: section.name.to_owned(), size: section.size }).collect();
    let mut crates: BTreeMap<String, u64> = BTreeMap::new();
    let mut by_address = BTreeMap::new();
    for symbol in elf.symbols.iter().filter(|one| matches!(one.kind, STT_FUNC | STT_OBJECT) && one.size > 0) {
        // Several names of one place count once.
        by_address.entry((symbol.address, symbol.size)).or_insert(symbol.name);
    }
    let mut symbols = Vec::new();
    for ((_, size), name) in by_address {
        let name = demangle(name);
        let krate = crate_of(&name).unwrap_or_else(|| "(C and assembly)".to_owned());
        let sum = crates.entry(krate).or_default();
        *sum = sum.saturating_add(size);
        symbols.push(Part { name, size });
    }
    let mut crates: Vec<_> = crates.into_iter().map(|(name, size)| Part { name, size }).collect();
    sort(&mut sections);
    sort(&mut crates);
    sort(&mut symbols);
    let symbols_left_out = symbols.len().saturating_sub(top);
    symbols.truncate(top);
    Breakdown { sections, crates, symbols, symbols_left_out }
}

fn sort(parts: &mut [Part]) {
    parts.sort_by(|a, b| b.size.cmp(&a.size).then_with(|| a.name.cmp(&b.name)));
}

impl Report {
    /// The report for a reader, with a line's end after each line.
    pub fn render_text(&self) -> String {
        let mut text = String::new();
        let breakdown =
            |part: fn(&Breakdown) -> &Vec<Part>| self.elf.as_ref().map(part).cloned().unwrap_or_default();
        let own = |title: &str, parts| (title.to_owned(), parts);
        let mut tables =
            vec![own("files", self.members.clone()), own("inside the executable", self.executable.clone())];
        let inside = |medium: &MediumParts| {
            (format!("inside {}", inspect::printable(&medium.name)), medium.parts.clone())
        };
        tables.extend(self.media.iter().map(inside));
        tables.extend([
            own("sections of the root task in memory", breakdown(|elf| &elf.sections)),
            own("crates", breakdown(|elf| &elf.crates)),
            own("largest symbols", breakdown(|elf| &elf.symbols)),
        ]);
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}: {} bytes", self.path.display(), self.total);
        for (title, parts) in tables.iter().filter(|(_, parts)| !parts.is_empty()) {
            let _ = writeln!(text, "{title}:");
            for Part { name, size } in parts {
                let _ = writeln!(text, "  {size:>9}  {}", inspect::printable(name));
            }
        }
        if let Some(remark) = &self.remark {
            let _ = writeln!(text, "note: {remark}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elf_sample::Sample;

    #[test]
    fn sizes_that_a_manifest_makes_up_do_not_overflow() {
        let dir = tempfile::tempdir().unwrap();
        let project = Project { root: "/".into(), out: dir.path().into() };
        std::fs::write(dir.path().join(image::name::ROOT_TASK), Sample::good().bytes()).unwrap();
        let mut manifest = image::tests::manifest();
        manifest.members = vec![image::Member { size: u64::MAX, ..manifest.members[0].clone() }; 2];
        std::fs::write(dir.path().join(image::name::MANIFEST), manifest.text()).unwrap();
        assert_eq!(size(&project, dir.path(), 1).unwrap().total, u64::MAX);
    }

    #[test]
    fn symbols_count_for_their_crates() {
        let dir = tempfile::tempdir().unwrap();
        let (project, path) = (Project { root: "/".into(), out: dir.path().into() }, dir.path().join("x"));
        std::fs::write(&path, Sample::good().bytes()).unwrap();
        let report = size(&project, &path, 2).unwrap();
        let elf = report.elf.as_ref().unwrap();
        let names = |parts: &[Part]| {
            parts.iter().map(|part| format!("{} {}", part.size, part.name)).collect::<Vec<_>>()
        };
        assert_eq!(names(&elf.crates), ["15 (C and assembly)", "9 runtime", "6 function"]);
        assert_eq!(names(&elf.symbols), ["9 runtime::stub", "8 counter"]);
        assert_eq!(elf.sections.len(), 5);
        assert!(report.remark.is_none());
        assert!(report.render_text().contains("9  runtime::stub\n"), "{}", report.render_text());
    }
}
