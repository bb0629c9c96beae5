//! Source trees in archives: packed so that the bytes follow from the content, and read back from bytes that nobody
//! vouches for.

use super::{super::archive, MOST};
use crate::inputs::tree::Node;
use flate2::read::GzDecoder;
use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Read},
    path::{Component, Path, PathBuf},
};
use tar::{Builder, EntryType, Header};

/// No archive with source has more files.
const MOST_FILES: usize = 100_000;

/// Files and links by their path in a folder.
pub(super) type Nodes = BTreeMap<PathBuf, Node>;

/// A file that is no program.
pub(super) fn text(content: impl Into<Vec<u8>>) -> Node {
    Node::File { content: content.into(), executable: false }
}

/// The `.tar.gz` of `nodes` in the folder `top`.
pub(super) fn pack(top: &str, nodes: &Nodes, epoch: u64) -> io::Result<Vec<u8>> {
    let mut builder = Builder::new(Vec::new());
    let mut folders = BTreeSet::new();
    for (path, node) in nodes {
        let path = Path::new(top).join(path);
        let path = path.to_str().ok_or_else(|| refused(&path, "its name is not UTF-8"))?;
        for (end, _) in path.match_indices('/') {
            if folders.insert(path[..end].to_owned()) {
                builder.append(&header(&path[..=end], true, false, 0, epoch)?, io::empty())?;
            }
        }
        match node {
            Node::File { content, executable } => {
                let header = header(path, false, *executable, content.len() as u64, epoch)?;
                builder.append(&header, content.as_slice())?;
            }
            Node::Link(target) => builder.append(&link_header(path, target, epoch)?, io::empty())?,
        }
    }
    archive::gzip(&builder.into_inner()?)
}

fn header(path: &str, folder: bool, executable: bool, size: u64, epoch: u64) -> io::Result<Header> {
    archive::entry(path, folder, executable, size, epoch)
        .ok_or_else(|| refused(Path::new(path), "its name is too long"))
}

fn link_header(path: &str, target: &Path, epoch: u64) -> io::Result<Header> {
    let mut header = archive::header(EntryType::Symlink, 0o777, 0, epoch);
    header.set_path(path)?;
    header.set_link_name_literal(target.as_os_str().as_encoded_bytes())?;
    header.set_cksum();
    Ok(header)
}

fn refused(path: &Path, why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidFilename, format!("{}: {why}", path.display()))
}

/// An archive that nobody should unpack, or none.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// It does not read.
    #[error("it is not a .tar.gz archive: {0}")]
    Io(#[from] io::Error),
    /// It is larger than any source.
    #[error("it has more than {MOST_FILES} files or {MOST} bytes")]
    Large,
    /// A path that leads out of the folder, or that is there twice.
    #[error("`{}`: {why}", .path.display())]
    Path {
        /// The path.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
}

/// What lies in the one top folder of an archive.
pub(super) fn unpack(packed: &[u8]) -> Result<Nodes, Error> {
    let mut archive = tar::Archive::new(GzDecoder::new(packed).take(2 * MOST));
    let (mut nodes, mut left) = (Nodes::new(), MOST);
    let mut top = None;
    for (number, entry) in archive.entries()?.enumerate() {
        let mut entry = entry?;
        if number >= 2 * MOST_FILES || entry.size() > left {
            return Err(Error::Large);
        }
        left -= entry.size();
        let path = entry.path()?.into_owned();
        let refuse = |why| Error::Path { path: path.clone(), why };
        let mut parts = path.components();
        let Some(Component::Normal(first)) = parts.next() else {
            return Err(refuse("it is not a plain path"));
        };
        let first = top.get_or_insert_with(|| first.to_owned()).clone();
        let inside = parts.as_path().to_owned();
        if !path.starts_with(&first) {
            return Err(refuse("it does not lie in the one top folder"));
        }
        if !inside.components().all(|part| matches!(part, Component::Normal(_))) {
            return Err(refuse("it is not a plain path"));
        }
        let node = match entry.header().entry_type() {
            EntryType::Directory => continue,
            EntryType::Regular => {
                let executable = entry.header().mode()? & 0o111 != 0;
                let mut content = Vec::new();
                entry.read_to_end(&mut content)?;
                Node::File { content, executable }
            }
            EntryType::Symlink => {
                let target = entry.link_name()?.ok_or_else(|| refuse("a link to nothing"))?.into_owned();
                if !stays_inside(&inside, &target) {
                    return Err(refuse("a link that leads out of the folder"));
                }
                Node::Link(target)
            }
            _ => return Err(refuse("neither a file nor a link")),
        };
        if inside == Path::new("") || nodes.insert(inside, node).is_some() {
            return Err(refuse("it is there twice"));
        }
    }
    Ok(nodes)
}

/// Whether a link at `path` to `target` stays in the folder that `path` is relative to, by its text.
pub(super) fn stays_inside(path: &Path, target: &Path) -> bool {
    let mut depth = path.components().count().saturating_sub(1);
    for part in target.components() {
        match part {
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
            Component::ParentDir if depth > 0 => depth -= 1,
            _ => return false,
        }
    }
    true
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn nodes() -> Nodes {
        let link = |target: &str| Node::Link(target.into());
        [
            ("README.md", text("r")),
            ("build.sh", Node::File { content: b"b".into(), executable: true }),
            ("sel4/a-b", text("1")),
            ("sel4/a/c", text("2")),
            ("sel4/a/up", link("../a-b")),
            ("sel4/dir", link("a")),
        ]
        .map(|(path, node)| (path.into(), node))
        .into()
    }

    #[test]
    fn what_is_packed_is_read_back_and_the_bytes_follow_from_it() {
        let packed = pack("top", &nodes(), 5).unwrap();
        assert_eq!(packed, pack("top", &nodes(), 5).unwrap());
        assert_eq!(unpack(&packed).unwrap(), nodes());
    }

    #[test]
    fn links_that_lead_out_are_known_by_their_text() {
        for (path, target, inside) in [
            ("a/b", "../c", true),
            ("a/b", "../../c", false),
            ("b", "../c", false),
            ("b", "/etc/passwd", false),
            ("a/b/c", "../../x/./y", true),
            ("b", "x/../../y", false),
        ] {
            assert_eq!(stays_inside(Path::new(path), Path::new(target)), inside, "{path} -> {target}");
        }
    }

    /// An archive of entries that no honest tool writes.
    fn hostile(path: &str, kind: EntryType, link: Option<&str>) -> Vec<u8> {
        let mut builder = Builder::new(Vec::new());
        for path in ["top/a", path] {
            let mut header = Header::new_gnu();
            let name = &mut header.as_gnu_mut().unwrap().name;
            name[..path.len()].copy_from_slice(path.as_bytes());
            header.set_entry_type(if path == "top/a" { EntryType::Regular } else { kind });
            header.set_size(0);
            header.set_mode(0o644);
            if let Some(link) = link {
                header.as_gnu_mut().unwrap().linkname[..link.len()].copy_from_slice(link.as_bytes());
            }
            header.set_cksum();
            builder.append(&header, io::empty()).unwrap();
        }
        archive::gzip(&builder.into_inner().unwrap()).unwrap()
    }

    #[test]
    fn hostile_archives_are_refused() {
        use EntryType as Kind;
        for (path, kind, link, why) in [
            ("/etc/passwd", Kind::Regular, None, "not a plain path"),
            ("top/../x", Kind::Regular, None, "not a plain path"),
            ("../x", Kind::Regular, None, "not a plain path"),
            ("other/x", Kind::Regular, None, "top folder"),
            ("top/a", Kind::Regular, None, "there twice"),
            ("top", Kind::Regular, None, "there twice"),
            ("top/l", Kind::Symlink, Some("../../x"), "leads out"),
            ("top/l", Kind::Symlink, Some("/x"), "leads out"),
            ("top/l", Kind::Link, Some("top/a"), "neither"),
            ("top/l", Kind::Char, None, "neither"),
            ("top/l", Kind::Fifo, None, "neither"),
        ] {
            let error = unpack(&hostile(path, kind, link)).unwrap_err().to_string();
            assert!(error.contains(why), "{path}: {error}");
        }
    }

    #[test]
    fn no_damage_makes_the_reader_panic() {
        let packed = pack("top", &nodes(), 0).unwrap();
        for end in 0..packed.len() {
            let _ = unpack(&packed[..end]);
        }
        let mut tar = Vec::new();
        GzDecoder::new(packed.as_slice()).read_to_end(&mut tar).unwrap();
        for at in (0..tar.len()).step_by(3) {
            let mut bad = tar.clone();
            bad[at] ^= 0xff;
            let _ = unpack(&archive::gzip(&bad).unwrap());
        }
    }
}
