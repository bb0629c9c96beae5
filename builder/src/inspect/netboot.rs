//! A folder that is served to iPXE, copied alone: kernel, root task and script, without a manifest.

use super::{Error, Kind, Member, Report, elf_file::inspect_elf, read};
use crate::{
    Digest, elf,
    image::{Role, name},
};
use std::path::Path;

/// What iPXE starts a script by.
const SCRIPT: &[u8] = b"#!ipxe\n";

/// The file names in the folder.
fn names() -> [&'static str; 3] {
    name::NETBOOT.map(|path| path.rsplit_once('/').map_or(path, |(_, name)| name))
}

/// Whether the files of such a folder are in `dir`.
pub(super) fn is_there(dir: &Path) -> bool {
    names().iter().all(|name| dir.join(name).is_file())
}

/// Inspects the folder `dir`. Nothing in it says which digests are the right ones.
pub(super) fn inspect(dir: &Path) -> Result<Report, Error> {
    let mut report = Report::new(dir, Kind::Netboot);
    let roles = [Role::Kernel, Role::RootTask, Role::Netboot];
    for (name, role) in names().into_iter().zip(roles) {
        let content = read(&dir.join(name), elf::MAX_FILE)?;
        match role {
            Role::Netboot if content.starts_with(SCRIPT) => {}
            Role::Netboot => report.problems.push(format!("{name} is no script of iPXE")),
            _ => match (inspect_elf(&content, &mut report.problems), role) {
                (Err(error), _) => report.problems.push(format!("{name}: {error}")),
                (Ok((Kind::Kernel, elf)), Role::Kernel) => report.kernel = Some(elf),
                (Ok((Kind::RootTask, elf)), Role::RootTask) => report.root_task = Some(elf),
                (Ok(_), Role::Kernel) => {
                    report.problems.push(format!("{name} is no kernel that iPXE starts"))
                }
                (Ok(_), _) => report.problems.push(format!("{name} is no root task")),
            },
        }
        let (size, sha256) = (content.len() as u64, Digest::of(&content));
        let (name, matches) = (name.to_owned(), true);
        report.members.push(Member { name, role, size: Some(size), sha256: Some(sha256), matches });
    }
    Ok(report)
}
