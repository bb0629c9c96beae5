//! A bare-metal image's media, alone or in an image's folder.

use super::{
    Error, Kind, Member, Report, disagreements, image_folder::contradictions, inspect_elf, printable,
};
use crate::{
    Digest,
    bare_metal::{
        Media,
        medium::{self, Medium},
    },
    elf, files,
    image::{self, Role},
    recipe::Format,
};
use serde::Serialize;
use std::{
    fmt::Write as _,
    fs::{self, File},
    io::Read,
    path::Path,
};

/// No medium is larger, in bytes: a root task and a kernel fit in, and what boots them.
pub(super) const MOST: u64 = elf::MAX_FILE + (64 << 20);
/// The bytes by which a medium is known.
const HEAD: u64 = 17 * 2048;

/// What lies on a medium of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct MediumReport {
    /// The medium's file.
    pub name: String,
    /// ISO or disk image.
    pub format: Format,
    /// The digest of the kernel on it.
    pub kernel: Digest,
    /// The digest of the root task on it, unpacked and without padding.
    pub root_task: Digest,
}

/// The beginning of the file at `path`, by which media and others are known.
pub(super) fn head(path: &Path) -> Result<Vec<u8>, Error> {
    let metadata = fs::metadata(path).map_err(files::Error::at("read", path))?;
    // Before it is opened: a pipe would make us wait for ever.
    if !metadata.is_file() {
        return Err(Error::Neither(path.to_owned()));
    }
    let mut head = Vec::new();
    let read = File::open(path).and_then(|file| file.take(HEAD).read_to_end(&mut head));
    read.map_err(files::Error::at("read", path))?;
    Ok(head)
}

/// Whether the file at `path` is a medium, ours or another's.
pub(crate) fn format(path: &Path) -> Result<Option<Format>, Error> {
    Ok(medium::format(&head(path)?))
}

/// The medium in the file at `path`, which looks like one of this format.
pub(crate) fn read(path: &Path, format: Format) -> Result<Medium, Error> {
    let broken = |source| Error::Medium { path: path.to_owned(), source };
    let data = super::read(path, MOST).map_err(|error| match error {
        Error::TooLarge { .. } => broken(medium::Error::too_large(format)),
        error => error,
    })?;
    Medium::read(&data, format).map_err(broken)
}

/// Inspects a medium alone.
pub(super) fn inspect(path: &Path, format: Format) -> Result<Report, Error> {
    let medium = read(path, format)?;
    let kind = if format == Format::Iso { Kind::Iso } else { Kind::Disk };
    let mut report = Report { problems: contradictions(&medium.manifest), ..Report::new(path, kind) };
    for (role, size, sha256) in medium.parts() {
        let said = medium.manifest.members.iter().find(|member| member.role == role);
        let matches = said.is_some_and(|said| (said.size, said.sha256) == (size, sha256));
        let name = said.map_or("?", |said| said.name.as_str()).to_owned();
        if !matches {
            let name = printable(&name);
            report
                .problems
                .push(format!("{name} is not what the manifest says: it was changed after the build"));
        }
        report.members.push(Member { name, role, size: Some(size), sha256: Some(sha256), matches });
    }
    report.kernel = elf_of(&medium.kernel, "kernel", &mut report.problems);
    report.root_task = elf_of(&medium.root_task, "root task", &mut report.problems);
    report.problems.extend(disagreements(&medium.manifest, report.root_task.as_ref()));
    report.image = Some(medium.manifest);
    Ok(report)
}

fn elf_of(bytes: &[u8], what: &str, problems: &mut Vec<String>) -> Option<super::ElfReport> {
    let elf = inspect_elf(bytes, problems).map_err(|error| problems.push(format!("{what}: {error}")));
    elf.ok().map(|(_, elf)| elf)
}

/// Inspects the medium `name` of an image, whose content is `data`: kernel and root task on it must be those
/// of the image's manifest.
pub(super) fn of_image(
    image: &image::Manifest,
    (name, role): (&str, Role),
    data: &[u8],
    problems: &mut Vec<String>,
) -> Option<MediumReport> {
    let format = match role {
        Role::Iso => Format::Iso,
        Role::Disk => Format::Disk,
        _ => return None,
    };
    let medium = match Medium::read(data, format) {
        Ok(medium) => medium,
        Err(error) => {
            problems.push(format!("{}: {error}", printable(name)));
            return None;
        }
    };
    let [kernel, root_task] = medium.parts();
    for (role, _, sha256) in [&kernel, &root_task] {
        let same = image.members.iter().any(|member| (member.role, member.sha256) == (*role, *sha256));
        if !same {
            let what = if *role == Role::Kernel { "kernel" } else { "root task" };
            problems.push(format!("the {what} on {} is not that of the manifest", printable(name)));
        }
    }
    if medium.manifest.key != image.key {
        problems.push(format!("{} is of another build than the manifest", printable(name)));
    }
    Some(MediumReport { name: name.to_owned(), format, kernel: kernel.2, root_task: root_task.2 })
}

/// What an image was made for, for a reader.
pub(super) fn render_choice(out: &mut String, media: &Media) -> std::fmt::Result {
    let Media { firmware, formats, protocol, left_out } = media;
    let text = |words: &mut dyn Iterator<Item = String>| words.collect::<Vec<_>>().join(", ");
    let formats = text(&mut formats.iter().map(ToString::to_string));
    let firmware = text(&mut firmware.iter().map(ToString::to_string));
    writeln!(out, "media:     {formats}; for {firmware}, by {protocol}")?;
    left_out
        .iter()
        .try_for_each(|left| writeln!(out, "left out:  {}: {}", printable(&left.what), printable(&left.why)))
}

/// A medium of an image, for a reader.
pub(super) fn render(out: &mut String, medium: &MediumReport) -> std::fmt::Result {
    let MediumReport { name, kernel, root_task, .. } = medium;
    writeln!(out, "inside {}:", printable(name))?;
    writeln!(out, "  kernel     sha256 {kernel}")?;
    writeln!(out, "  root task  sha256 {root_task}")
}
