//! The archive of an image, as `publish` writes it: read as a stream, never unpacked to a disk.

use super::{
    Error, Kind, Report,
    image_folder::{self, Found, MEMBERS_MOST},
    medium,
};
use crate::{
    elf, files,
    image::{self, Role},
    publish,
    verify::tarball,
};
use std::{cell::Cell, collections::BTreeMap, fs, path::Path};

/// Members together are looked into up to this many bytes, since they are held in memory; and up to this many times the
/// size of the archive, which no honest image exceeds.
const MOST: u64 = medium::MOST;
const MOST_TIMES: u64 = 64;
/// So many files are named that should not be there.
const MOST_SHOWN: usize = 8;
/// How gzip data begin (RFC 1952, 2.3.1).
const MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Whether a file that begins so is an archive.
pub(super) fn is_one(head: &[u8]) -> bool {
    head.starts_with(&MAGIC)
}

/// Inspects the archive `path`.
pub(super) fn inspect(path: &Path) -> Result<Report, Error> {
    let mut report = Report::new(path, Kind::Archive);
    look_into(path, &mut report)?;
    Ok(report)
}

/// Tells in `report` what the archive `path` holds: the image in it, and each file against its manifest. Gives the
/// folder in which they lie.
pub(super) fn look_into(path: &Path, report: &mut Report) -> Result<String, Error> {
    let broken = |why: &dyn std::fmt::Display| Error::Archive { path: path.to_owned(), why: why.to_string() };
    // One manifest is kept: others may be there in great number.
    let kept = Cell::new(false);
    let first = |name: &str| {
        let is_manifest = name.split_once('/').is_some_and(|(_, file)| file == image::name::MANIFEST);
        (is_manifest && !kept.replace(true)).then_some(image::MAX_MANIFEST)
    };
    let archive = tarball::read(path, first).map_err(|fault| broken(&fault))?;
    let content = archive.files.iter().find_map(|(name, file)| Some((name, file.content.as_deref()?)));
    let Some((name, content)) = content else {
        return Err(broken(&"there is no manifest.json in it"));
    };
    let folder = name.split_once('/').map_or("", |(folder, _)| folder).to_owned();
    let manifest: image::Manifest = serde_json::from_slice(content)
        .map_err(|error| broken(&format!("its manifest.json is none: {error}")))?;
    let full = |name: &str| format!("{folder}/{name}");
    // What cannot be told by size and digest alone.
    let length = fs::metadata(path).map_err(files::Error::at("read", path))?.len();
    let (mut wanted, mut left) = (BTreeMap::new(), MOST.min(length.saturating_mul(MOST_TIMES)));
    for member in manifest.members.iter().take(MEMBERS_MOST) {
        let limit = match member.role {
            Role::Kernel | Role::RootTask | Role::Executable => elf::MAX_FILE,
            Role::Iso | Role::Disk => medium::MOST,
            _ => continue,
        };
        let Some(found) = archive.files.get(&full(&member.name)) else { continue };
        if found.size > limit.min(left) {
            report
                .problems
                .push(format!("{} is too large to be looked into", super::printable(&member.name)));
        } else if wanted.insert(full(&member.name), limit).is_none() {
            left -= found.size;
        }
    }
    let again = tarball::read(path, |name| wanted.get(name).copied()).map_err(|fault| broken(&fault))?;
    let listed = |name: &&String| {
        let inside = name.strip_prefix(&folder).and_then(|rest| rest.strip_prefix('/'));
        inside.is_some_and(|name| {
            let mut members = manifest.members.iter().take(MEMBERS_MOST);
            name == image::name::MANIFEST || members.any(|one| one.name == name)
        })
    };
    let foreign: Vec<_> = again.files.keys().filter(|name| !listed(name)).collect();
    let shown = foreign.iter().take(MOST_SHOWN);
    report.problems.extend(shown.map(|name| format!("{name} does not stand in the manifest")));
    if foreign.len() > MOST_SHOWN {
        let more = foreign.len() - MOST_SHOWN;
        report.problems.push(format!("{more} more files do not stand in the manifest"));
    }
    if publish::id(&manifest.name, manifest.target) != folder {
        report.problems.push(format!("its files lie in {folder}/, which is not the image's name"));
    }
    if again.mtime != Some(manifest.epoch) {
        report.problems.push("its files have another time than the manifest says".to_owned());
    }
    let mut files = again.files;
    image_folder::add_members(report, manifest, |member| {
        let found = files.remove(&full(&member.name));
        let found = found.ok_or_else(|| format!("{} is not there", super::printable(&member.name)))?;
        Ok(Found { size: found.size, sha256: found.sha256, content: found.content })
    });
    Ok(folder)
}
