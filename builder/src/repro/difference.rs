//! Where two files, or two images, first differ.

use crate::{
    diff::first_difference,
    elf::Elf,
    files,
    image::{Manifest, Role, name},
};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The first difference of two images.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Difference {
    /// The file of the image.
    pub member: String,
    /// For an ELF file: the section, or what else of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub section: Option<String>,
    /// Offset in the file.
    pub offset: u64,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.member)?;
        self.section.iter().try_for_each(|section| write!(f, " {section}"))?;
        write!(f, " at {:#x}", self.offset)
    }
}

/// The first difference between the images in two folders: kernel and root task before what they are packed
/// into, the manifest, which follows from all else, last.
pub(crate) fn of_images(one: &Path, other: &Path) -> Result<Option<Difference>, crate::Error> {
    let manifest = Manifest::read(one)?;
    let mut members: Vec<_> =
        manifest.members.iter().map(|member| (member.role, member.name.clone())).collect();
    members.push((Role::Manifest, name::MANIFEST.to_owned()));
    members.sort();
    for (_, member) in members {
        let path = other.join(&member);
        if !path.is_file() {
            return Ok(Some(Difference { member, section: Some("(missing)".to_owned()), offset: 0 }));
        }
        let difference = of_files(&files::read(&one.join(&member))?, &files::read(&path)?);
        if let Some((offset, section)) = difference {
            return Ok(Some(Difference { member, section, offset }));
        }
    }
    Ok(None)
}

/// Where two files first differ, and the section of that place when the first is an ELF file.
pub(crate) fn of_files(one: &[u8], other: &[u8]) -> Option<(u64, Option<String>)> {
    if one == other {
        return None;
    }
    let offset = first_difference(one, other);
    Some((offset, Elf::parse(one).ok().and_then(|elf| section(&elf, other, offset))))
}

/// The section at `offset`. Where the headers differ, what follows them says more: the first section that
/// differs.
fn section(one: &Elf<'_>, other: &[u8], offset: u64) -> Option<String> {
    let holds = |start: u64, size: u64| start <= offset && offset - start < size;
    if let Some(section) = one.section_at(offset) {
        return Some(section.name.to_owned());
    }
    let other = Elf::parse(other).ok()?;
    let differs = one.sections.iter().filter(|section| section.has_bytes()).find(|section| {
        let twin = other.sections.iter().find(|twin| twin.name == section.name);
        twin.is_none_or(|twin| one.section_data(section) != other.section_data(twin))
    });
    if let Some(section) = differs {
        return Some(format!("headers, then {}", section.name));
    }
    let segment = one.segments.iter().position(|segment| holds(segment.offset, segment.file_size));
    segment.map(|index| format!("segment {index}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elf_sample::Sample;

    #[test]
    fn the_first_difference_is_named_with_its_section() {
        let one = Sample::good().bytes();
        assert_eq!(of_files(&one, &one), None);
        let elf = Elf::parse(&one).unwrap();
        let text = elf.sections.iter().find(|section| section.name == ".text").unwrap();
        let mut other = one.clone();
        other[text.offset as usize + 1] ^= 1;
        assert_eq!(of_files(&one, &other), Some((text.offset + 1, Some(".text".to_owned()))));
    }

    #[test]
    fn a_file_that_goes_on_differs_where_the_shorter_ends() {
        assert_eq!(of_files(b"abc", b"abcd"), Some((3, None)));
        assert_eq!(of_files(b"", b"x"), Some((0, None)));
    }
}
