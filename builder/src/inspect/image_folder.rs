//! An image's folder, and a manifest alone.

use super::{
    ElfReport, Error, Kind, Member, Report, executable, inspect_elf, is_inside, medium, printable, read,
};
use crate::{
    Digest, elf,
    image::{self, Role},
};
use std::{collections::BTreeSet, path::Path};

/// No image has more members: the files of all targets together are fewer.
pub(super) const MEMBERS_MOST: usize = 64;

/// The manifest at `path`, of a file that somebody else may have made.
fn manifest(path: &Path) -> Result<image::Manifest, Error> {
    let text = read(path, image::MAX_MANIFEST)?;
    let manifest = serde_json::from_slice(&text);
    Ok(manifest.map_err(|source| image::Error::Manifest { path: path.to_owned(), source })?)
}

/// Inspects the manifest at `path`: with the image's files when some of them lie beside it in `dir`, else alone.
pub(super) fn of_manifest(path: &Path, dir: Option<&Path>) -> Result<Report, Error> {
    let manifest = manifest(path)?;
    let beside = |dir: &&Path| {
        let mut members = manifest.members.iter().take(MEMBERS_MOST);
        members.any(|member| is_inside(&member.name) && dir.join(&member.name).exists())
    };
    if let Some(dir) = dir.filter(beside) {
        return inspect(dir);
    }
    let mut report = Report::new(path, Kind::Manifest);
    report.problems = contradictions(&manifest);
    report.image = Some(manifest);
    Ok(report)
}

/// What a manifest says that no build writes.
pub(super) fn contradictions(manifest: &image::Manifest) -> Vec<String> {
    let mut problems = Vec::new();
    let count = manifest.members.len();
    if count > MEMBERS_MOST {
        problems.push(format!(
            "the manifest names {count} members, and no image has more than {MEMBERS_MOST}: the rest is not looked at"
        ));
    }
    let mut seen = BTreeSet::new();
    let twice = manifest.members.iter().take(MEMBERS_MOST).filter(|member| !seen.insert(&member.name));
    let twice: BTreeSet<&String> = twice.map(|member| &member.name).collect();
    problems.extend(twice.into_iter().map(|name| format!("the manifest names {name} more than once")));
    let root_task = manifest.members.iter().find(|member| member.role == Role::RootTask);
    if root_task.is_some_and(|member| member.sha256 != manifest.root_task.sha256) {
        problems.push("the manifest gives the root task two digests".to_owned());
    }
    problems
}

/// Why the member `name` of the image in `dir` is not read; none when it may be.
fn refused(dir: &Path, name: &str) -> Option<String> {
    let (path, shown) = (dir.join(name), printable(name));
    if !is_inside(name) {
        Some(format!("`{shown}` is not a plain file name"))
    } else if path.is_symlink() || path.parent().is_some_and(|folder| folder != dir && folder.is_symlink()) {
        Some(format!("{shown} is a symbolic link or behind one, which no image has"))
    } else {
        None
    }
}

/// Whether all members that `manifest` names may be read from the folder `dir`.
pub(crate) fn check_members(dir: &Path, manifest: &image::Manifest) -> Result<(), Error> {
    let too_many = (manifest.members.len() > MEMBERS_MOST)
        .then(|| format!("no image has more than {MEMBERS_MOST} members"));
    let mut refused = manifest.members.iter().filter_map(|member| refused(dir, &member.name));
    match too_many.or_else(|| refused.next()) {
        Some(why) => Err(Error::Members { path: dir.join(image::name::MANIFEST), why }),
        None => Ok(()),
    }
}

/// Inspects the image in the folder `dir`.
pub(super) fn inspect(dir: &Path) -> Result<Report, Error> {
    let manifest = manifest(&dir.join(image::name::MANIFEST))?;
    let mut report = Report::new(dir, Kind::Image);
    add_members(&mut report, manifest, |member| {
        if let Some(why) = refused(dir, &member.name) {
            return Err(why);
        }
        let limit = match member.role {
            Role::Iso | Role::Disk => medium::MOST,
            _ => elf::MAX_FILE,
        };
        let content = read(&dir.join(&member.name), limit).map_err(|error| error.to_string())?;
        Ok(Found { size: content.len() as u64, sha256: Digest::of(&content), content: Some(content) })
    });
    Ok(report)
}

/// A file of an image, as it was found.
pub(super) struct Found {
    /// Bytes.
    pub(super) size: u64,
    /// The digest of its content.
    pub(super) sha256: Digest,
    /// Its content, where it may be looked into.
    pub(super) content: Option<Vec<u8>>,
}

/// Tells in `report` what the image with this manifest is made of. `find` gives its files, or why one cannot be read.
pub(super) fn add_members(
    report: &mut Report,
    manifest: image::Manifest,
    mut find: impl FnMut(&image::Member) -> Result<Found, String>,
) {
    report.problems.extend(contradictions(&manifest));
    for member in manifest.members.iter().take(MEMBERS_MOST) {
        let found = find(member).map_err(|error| report.problems.push(error)).ok();
        let (size, sha256) =
            (found.as_ref().map(|found| found.size), found.as_ref().map(|found| found.sha256));
        let matches = size == Some(member.size) && sha256 == Some(member.sha256);
        if found.is_some() && !matches {
            let name = printable(&member.name);
            report
                .problems
                .push(format!("{name} is not what the manifest says: it was changed after the build"));
        }
        if let Some(content) = found.and_then(|found| found.content) {
            look_into(report, &manifest, member, &content);
        }
        report.members.push(Member { name: member.name.clone(), role: member.role, size, sha256, matches });
    }
    report.problems.extend(disagreements(&manifest, report.root_task.as_ref()));
    report.image = Some(manifest);
}

/// Tells what is in a file of an image.
fn look_into(report: &mut Report, manifest: &image::Manifest, member: &image::Member, content: &[u8]) {
    let name = printable(&member.name);
    match member.role {
        Role::Kernel | Role::RootTask => match inspect_elf(content, &mut report.problems) {
            Err(error) => report.problems.push(format!("{name}: {error}")),
            Ok((_, elf)) if member.role == Role::Kernel => report.kernel = Some(elf),
            Ok((_, elf)) => report.root_task = Some(elf),
        },
        Role::Executable => match executable::inspect(content, &mut report.problems) {
            Err(error) => report.problems.push(format!("{name}: {error}")),
            Ok((executable, inner)) => {
                report.problems.extend(executable::disagreements(manifest, &executable, inner.as_ref()));
                report.executable = Some(executable);
            }
        },
        _ => {
            let named = (member.name.as_str(), member.role);
            report.media.extend(medium::of_image(manifest, named, content, &mut report.problems));
        }
    }
}

/// Where the image's manifest and the root task's own note contradict each other.
pub(super) fn disagreements(image: &image::Manifest, root_task: Option<&ElfReport>) -> Vec<String> {
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
