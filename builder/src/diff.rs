//! Two images, or two files of images, beside each other: the cause first, then what came of it.
//!
//! First the inputs that moved, from the manifests; then the files; then what is inside them, down to sections and
//! symbols. What is read is trusted no more than by [`mod@crate::inspect`].

mod plan;
mod render;
mod side;

pub use plan::{Moved, moved};

use crate::{
    Digest, Project,
    elf::Elf,
    inspect::Error,
    size::{self, Breakdown, ChangeTable},
};
use serde::Serialize;
use side::{Content, Side};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

/// How two artifacts differ.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Diff {
    /// The first.
    pub a: What,
    /// The second.
    pub b: What,
    /// Whether they are the same.
    pub same: bool,
    /// What they were made from, as far as it differs; the cause of all below.
    pub inputs: Vec<Moved>,
    /// What cannot be compared, and why.
    pub remarks: Vec<String>,
    /// The files that differ, those inside other files too.
    pub files: Vec<FileDiff>,
    /// How many files are the same.
    pub same_files: usize,
}

/// One of the two.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct What {
    /// Where it lies.
    pub path: PathBuf,
    /// What it is.
    pub what: String,
}

/// A file that differs.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct FileDiff {
    /// Its name; of one inside another: both.
    pub name: String,
    /// As it is in the first; none when it is not there.
    pub a: Option<FileState>,
    /// As it is in the second.
    pub b: Option<FileState>,
    /// The first byte that differs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_difference: Option<u64>,
    /// The sections of an ELF file that differ.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sections: Vec<SectionDiff>,
    /// Crates and symbols of an ELF file whose size differs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<ChangeTable>,
    /// Whether the symbols of both are known.
    pub symbols_known: bool,
}

/// A file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct FileState {
    /// Bytes.
    pub size: u64,
    /// The digest of its content.
    pub sha256: Digest,
}

/// A section of an ELF file whose content differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct SectionDiff {
    /// Its name.
    pub name: String,
    /// Bytes in the first; none when it is not there.
    pub a: Option<u64>,
    /// Bytes in the second.
    pub b: Option<u64>,
    /// The first byte of the section that differs.
    pub first_difference: Option<u64>,
}

/// Compares `a` with `b`, and shows the `top` symbols that changed most.
pub fn diff(project: &Project, a: &Path, b: &Path, top: usize) -> Result<Diff, Error> {
    let (one, other) = (Side::load(a)?, Side::load(b)?);
    let mut remarks = Vec::new();
    let inputs = match (&one.manifest, &other.manifest) {
        (Some(a), Some(b)) => {
            if a.inputs.is_empty() || b.inputs.is_empty() {
                remarks.push("one of the manifests does not list its inputs: only the tools, the kernel's source and the recipe are compared".to_owned());
            }
            plan::moved(a, b)
        }
        (None, None) => Vec::new(),
        _ => {
            remarks.push("what they were made from is not compared: one of them has no manifest".to_owned());
            Vec::new()
        }
    };
    let names: BTreeSet<&String> = one.files.keys().chain(other.files.keys()).collect();
    let (mut files, mut same_files) = (Vec::new(), 0);
    for name in names {
        let pair = [&one, &other].map(|side| side.files.get(name));
        if pair[0].map(|file| file.state) == pair[1].map(|file| file.state) {
            same_files += 1;
        } else {
            files.push(file(project, name, pair, top));
        }
    }
    files.sort_by_key(|file| order(&file.name));
    for side in [&one, &other] {
        remarks.extend(side.unread.clone());
    }
    let same = files.is_empty() && inputs.is_empty() && one.manifest == other.manifest;
    Ok(Diff { a: one.what, b: other.what, same, inputs, remarks, files, same_files })
}

/// What decides other things comes first: the kernel, the root task, what is made of them.
fn order(name: &str) -> (usize, String) {
    let first = ["kernel", "root-task", "executable", "file"];
    let rank = first.iter().position(|one| *one == name).unwrap_or(first.len());
    (rank, name.to_owned())
}

fn file(project: &Project, name: &str, [a, b]: [Option<&side::File>; 2], top: usize) -> FileDiff {
    let state = |file: Option<&side::File>| file.map(|file| file.state);
    let mut diff = FileDiff {
        name: name.to_owned(),
        a: state(a),
        b: state(b),
        first_difference: None,
        sections: Vec::new(),
        tables: Vec::new(),
        symbols_known: false,
    };
    let (Some(a), Some(b)) = (a, b) else { return diff };
    let (Content::Bytes(one), Content::Bytes(other)) = (&a.content, &b.content) else { return diff };
    diff.first_difference = Some(first_difference(one, other));
    let (Ok(one_elf), Ok(other_elf)) = (Elf::parse(one), Elf::parse(other)) else { return diff };
    diff.sections = sections(&one_elf, &other_elf);
    let whole = [a, b].map(|file| breakdown(project, file));
    if let [Some(before), Some(after)] = whole {
        diff.symbols_known = true;
        diff.tables = size::of_elfs(&before, &after, top);
        // Sections are told above, with those that changed without growing.
        diff.tables.retain(|table| !table.changes.is_empty() && matches!(&*table.what, "crates" | "symbols"));
    }
    diff
}

/// Where two contents that are not the same first differ: at a byte, or where the shorter ends.
pub(crate) fn first_difference(a: &[u8], b: &[u8]) -> u64 {
    a.iter().zip(b).take_while(|(a, b)| a == b).count() as u64
}

/// What symbols say of an ELF file: its own, or those of the file that it was stripped from; none without any.
fn breakdown(project: &Project, file: &side::File) -> Option<Breakdown> {
    let Content::Bytes(bytes) = &file.content else { return None };
    let own = Elf::parse(bytes).ok()?;
    if !own.symbols.is_empty() {
        return Some(size::of_elf(&own, usize::MAX));
    }
    let path = size::unstripped(project, file.state.sha256)?;
    let whole = crate::files::read_at_most(&path, crate::elf::MAX_FILE).ok()?;
    Elf::parse(&whole).ok().map(|elf| size::of_elf(&elf, usize::MAX))
}

/// The sections that differ, in the order of the first file, then those that are new.
fn sections(a: &Elf<'_>, b: &Elf<'_>) -> Vec<SectionDiff> {
    type Found<'a> = BTreeMap<&'a str, (u64, &'a [u8])>;
    fn found<'a>(elf: &Elf<'a>) -> Found<'a> {
        let named = elf.sections.iter().filter(|section| !section.name.is_empty());
        named.map(|one| (one.name, (one.size, elf.section_data(one).unwrap_or_default()))).collect()
    }
    let (one, other) = (found(a), found(b));
    let mut names: Vec<&str> = a.sections.iter().chain(&b.sections).map(|section| section.name).collect();
    let mut seen = BTreeSet::new();
    names.retain(|name| !name.is_empty() && seen.insert(*name));
    let differ = names.into_iter().filter(|name| one.get(name) != other.get(name));
    differ
        .map(|name| {
            let pair = one.get(name).zip(other.get(name));
            SectionDiff {
                name: name.to_owned(),
                a: one.get(name).map(|(size, _)| *size),
                b: other.get(name).map(|(size, _)| *size),
                first_difference: pair
                    .filter(|((_, a), (_, b))| a != b)
                    .map(|((_, a), (_, b))| first_difference(a, b)),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{elf_sample::Sample, image};
    use std::fs;

    fn project() -> Project {
        Project { root: "/nowhere".into(), out: "/nowhere".into() }
    }

    fn image(dir: &Path, root_task: &[u8], change: impl Fn(&mut image::Manifest)) -> PathBuf {
        fs::create_dir_all(dir).unwrap();
        fs::write(dir.join("root-task"), root_task).unwrap();
        let mut manifest = image::tests::manifest();
        let member = image::Member::read(dir, "root-task", image::Role::RootTask).unwrap();
        manifest.root_task.sha256 = member.sha256;
        manifest.members = vec![member];
        change(&mut manifest);
        fs::write(dir.join("manifest.json"), manifest.text()).unwrap();
        dir.to_owned()
    }

    #[test]
    fn the_cause_comes_first_then_files_sections_and_symbols() {
        let dir = tempfile::tempdir().unwrap();
        let a = image(&dir.path().join("a"), &Sample::good().bytes(), |_| {});
        let mut sample = Sample::good();
        sample.symbols[1].size = 20;
        sample.section(".data").data[3] ^= 1;
        let b = image(&dir.path().join("b"), &sample.bytes(), |manifest| {
            manifest.recipe["a"] = 3.into();
        });
        let diff = super::diff(&project(), &a, &b, 5).unwrap();
        assert!(!diff.same && diff.inputs.len() == 1, "{diff:?}");
        let file = &diff.files[0];
        assert_eq!((file.name.as_str(), diff.same_files), ("root-task", 0));
        let data = file.sections.iter().find(|section| section.name == ".data").unwrap();
        assert_eq!((data.a, data.b, data.first_difference), (Some(16), Some(16), Some(3)));
        let symbols = file.tables.iter().find(|table| table.what == "symbols").unwrap();
        assert_eq!((symbols.changes[0].name.as_str(), symbols.changes[0].growth), ("runtime::stub", 11));
        let text = diff.render_text();
        let places: Vec<_> =
            ["recipe", "root-task", ".data", "runtime::stub"].map(|part| text.find(part)).into();
        assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{text}");
        assert!(super::diff(&project(), &a, &a, 5).unwrap().same);
        assert!(super::diff(&project(), &a, &a.join("manifest.json"), 5).unwrap().same);
    }

    #[test]
    fn single_files_are_compared_too() {
        let dir = tempfile::tempdir().unwrap();
        let [a, b] = ["a", "b"].map(|name| dir.path().join(name));
        fs::write(&a, Sample::good().bytes()).unwrap();
        let mut sample = Sample::good();
        sample.section(".text").data[0x3f] ^= 1;
        fs::write(&b, sample.bytes()).unwrap();
        let diff = super::diff(&project(), &a, &b, 5).unwrap();
        assert_eq!(diff.files[0].sections.len(), 1);
        assert_eq!(diff.files[0].sections[0].first_difference, Some(0x3f));
        assert!(super::diff(&project(), &a, &a, 5).unwrap().same);
        assert!(super::diff(&project(), &a, Path::new("/nowhere/x"), 5).is_err());
    }
}
