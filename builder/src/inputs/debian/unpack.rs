//! A source package as a tree: the upstream's source with the distribution's patches.

use super::{Error, Package, whole};
use crate::{
    Context,
    exec::{self, Tool},
    files,
};
use std::{
    fs,
    path::{Component, Path},
};

/// A tree has at most this many files and folders, and bytes: several times what the largest of programs have.
const MOST_ENTRIES: usize = 200_000;
const MOST_BYTES: u64 = 4 << 30;

/// Unpacks `package` as the folder `tree`, which does not exist yet.
pub(super) fn unpack(ctx: &Context<'_>, package: &Package, tree: &Path) -> Result<(), Error> {
    // What is unpacked is what was pinned, whatever happened to the cache.
    let (dsc, _) = whole(ctx, package)?;
    if exec::which(Path::new("dpkg-source")).is_none() {
        return Err(Error::NoTool { tool: "dpkg-source" });
    }
    let work = tree.parent().unwrap_or(Path::new("/"));
    // Whose signature a description has does not matter when its digest is known.
    let words = ["--no-check", "--no-copy", "-x"];
    let tool = Tool::new("dpkg-source", work).args(words).arg(dsc).arg(tree);
    super::run(ctx, tool.env("HOME", work).env("TMPDIR", work), |source| {
        let Package { name, version, .. } = package.clone();
        Error::Unpack { name, version, source }
    })?;
    contained(&package.name, tree)
}

/// Checks that nothing in `tree` leads out of it, and that it is of a size that a source has.
pub(super) fn contained(name: &str, tree: &Path) -> Result<(), Error> {
    let escapes = |path: &Path, fault: String| {
        let path = path.strip_prefix(tree).unwrap_or(path).to_owned();
        Error::Escapes { name: name.to_owned(), path, fault }
    };
    let (mut entries, mut bytes) = (0, 0_u64);
    let mut todo = vec![tree.to_owned()];
    while let Some(folder) = todo.pop() {
        for entry in files::sorted_entries(&folder)? {
            let path = entry.path();
            let metadata = entry.metadata().map_err(files::Error::at("read", &path))?;
            (entries, bytes) = (entries + 1, bytes.saturating_add(metadata.len()));
            if entries > MOST_ENTRIES || bytes > MOST_BYTES {
                let fault = format!("is beyond {MOST_ENTRIES} files or {MOST_BYTES} bytes");
                return Err(escapes(&path, fault));
            }
            if metadata.is_dir() {
                todo.push(path);
            } else if metadata.is_symlink() {
                let target = fs::read_link(&path).map_err(files::Error::at("read", &path))?;
                if leads_out(path.strip_prefix(tree).unwrap_or(&path), &target) {
                    return Err(escapes(&path, format!("is a link to {}, out of it", target.display())));
                }
            } else if !metadata.is_file() {
                return Err(escapes(&path, "is neither a file nor a folder".to_owned()));
            }
        }
    }
    Ok(())
}

/// Whether a link at `relative` in a tree leads out of it, by its text. Where `..` stands first only, a chain of links
/// leads no further than each of them does, so that each is looked at alone.
fn leads_out(relative: &Path, target: &Path) -> bool {
    let mut up = relative.components().count() - 1;
    let mut down = false;
    target.components().any(|part| match part {
        Component::Normal(_) => {
            down = true;
            false
        }
        Component::CurDir => false,
        Component::ParentDir if down || up == 0 => true,
        Component::ParentDir => {
            up -= 1;
            false
        }
        Component::RootDir | Component::Prefix(_) => true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_within_are_fine_and_others_are_not() {
        for (at, target, out) in [
            ("a", "b", false),
            ("d/a", "../b", false),
            ("d/e/a", "./../../x/./y", false),
            ("a", "../b", true),
            ("d/a", "../../b", true),
            ("d/a", "x/../../../b", true),
            ("a", "x/../b", true),
            ("a", "/etc/passwd", true),
        ] {
            assert_eq!(leads_out(Path::new(at), Path::new(target)), out, "{at} -> {target}");
        }
    }

    #[test]
    fn what_leads_out_is_named() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("d")).unwrap();
        symlink("../x", dir.path().join("d/inside")).unwrap();
        contained("p", dir.path()).unwrap();
        symlink("/etc", dir.path().join("d/outside")).unwrap();
        let text = contained("p", dir.path()).unwrap_err().to_string();
        assert!(text.contains("d/outside in the source package p is a link to /etc, out of it"), "{text}");
    }
}
