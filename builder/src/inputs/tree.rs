//! The digest of a source tree or of a set of files: sorted relative paths, contents, executable bits,
//! symbolic links. Neither owner, nor times, nor the place of the tree count.

use crate::{Context, Digest, files, index::Index, lockfile};
use sha2::{Digest as _, Sha256};
use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    fs, io,
    os::unix::{ffi::OsStrExt, fs::PermissionsExt},
    path::{Component, Path, PathBuf},
};

/// A tree or file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder failed.
    #[error(transparent)]
    Files(#[from] files::Error),
    /// Neither a file, nor a folder, nor a symbolic link.
    #[error("{0}: a socket, pipe or device cannot be part of a source tree\n  help: move it elsewhere")]
    Special(PathBuf),
}

crate::exit_code!(Error, |error| match error {
    Error::Files(error) => error.exit_code(),
    Error::Special(_) => crate::ExitCode::Failed,
});

/// The digest of everything below `root`, but build results, version control and editors' files.
///
/// Files that did not change since the last call are not read again.
pub fn digest(ctx: &Context<'_>, root: &Path) -> Result<Digest, Error> {
    let mut walk = Walk::new(ctx, root);
    walk.folder(Path::new(""))?;
    let seen = std::mem::take(&mut walk.seen);
    walk.index.retain(|path| seen.contains(path));
    Ok(walk.finish())
}

/// A file or symbolic link of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// A file.
    File {
        /// Its content.
        content: Vec<u8>,
        /// Whether it is a program.
        executable: bool,
    },
    /// A link to this place.
    Link(PathBuf),
}

/// What [`digest`] counts below `root`, by relative path. What lies behind a link that leads out of the tree is not
/// among it.
pub fn nodes(ctx: &Context<'_>, root: &Path) -> Result<BTreeMap<PathBuf, Node>, Error> {
    let mut walk = Walk::new(ctx, root);
    walk.folder(Path::new(""))?;
    let mut nodes: BTreeMap<PathBuf, Node> = BTreeMap::new();
    for (relative, executable) in walk.found {
        // A link stands before what lies there.
        if relative.ancestors().any(|above| nodes.contains_key(above)) {
            continue;
        }
        let path = root.join(&relative);
        let node = match executable {
            Some(executable) => Node::File { content: files::read(&path)?, executable },
            None => Node::Link(fs::read_link(&path).map_err(files::Error::at("read", &path))?),
        };
        nodes.insert(relative, node);
    }
    Ok(nodes)
}

/// The digest of a tree of these nodes: what [`digest`] says of the same tree in a folder, when no link leads out
/// of it.
pub fn digest_of_nodes(nodes: &BTreeMap<PathBuf, Node>) -> Digest {
    let mut hasher = Sha256::new();
    for (path, node) in nodes {
        if let Node::Link(target) = node {
            record(&mut hasher, b"link", path, target.as_os_str().as_bytes());
        }
        let at = match node {
            Node::File { .. } => Some(path.clone()),
            Node::Link(_) => follow(nodes, path),
        };
        if let Some(Node::File { content, executable }) = at.and_then(|at| nodes.get(&at)) {
            let kind: &[u8] = if *executable { b"program" } else { b"file" };
            record(&mut hasher, kind, path, Digest::of(content).bytes());
        }
    }
    Digest::from_bytes(hasher.finalize().into())
}

/// Where the links at and above `path` lead to; none in a circle, or out of the tree.
fn follow(nodes: &BTreeMap<PathBuf, Node>, path: &Path) -> Option<PathBuf> {
    /// As many as Linux follows (path_resolution(7)).
    const MOST: usize = 40;
    let mut todo: Vec<PathBuf> = path.components().rev().map(|part| part.as_os_str().into()).collect();
    let mut place = PathBuf::new();
    let mut links = 0;
    while let Some(part) = todo.pop() {
        match part.components().next()? {
            Component::CurDir => continue,
            Component::ParentDir => {
                if !place.pop() {
                    return None;
                }
                continue;
            }
            Component::Normal(_) => place.push(part),
            Component::RootDir | Component::Prefix(_) => return None,
        }
        if let Some(Node::Link(target)) = nodes.get(&place) {
            links += 1;
            if links > MOST {
                return None;
            }
            place.pop();
            todo.extend(target.components().rev().map(|part| PathBuf::from(part.as_os_str())));
        }
    }
    Some(place)
}

/// The digest of one file's content; none when there is no such file.
pub fn digest_of_file(ctx: &Context<'_>, path: &Path) -> Result<Option<Digest>, Error> {
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if absent(&error) => return Ok(None),
        Err(error) => return Err(files::Error::at("read", path)(error).into()),
    };
    let mut index = Index::open(index_file(ctx, path.parent().unwrap_or(path), "files"));
    let digest = index.digest(path, &metadata).map_err(files::Error::at("read", path))?;
    // The index only saves time: a folder that cannot be written shows up where it matters.
    let _ = index.save();
    Ok(Some(digest))
}

fn absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn index_file(ctx: &Context<'_>, root: &Path, kind: &str) -> PathBuf {
    let name = Digest::of_path(root).short(16);
    ctx.project.cache().join("index").join(format!("{name}.{kind}"))
}

/// Every field has its length before it, so that no two trees give the same bytes.
fn record(hasher: &mut Sha256, kind: &[u8], relative: &Path, content: &[u8]) {
    for field in [kind, relative.as_os_str().as_bytes(), content] {
        hasher.update((field.len() as u64).to_le_bytes());
        hasher.update(field);
    }
}

struct Walk<'a> {
    root: &'a Path,
    index: Index,
    seen: BTreeSet<PathBuf>,
    hasher: Sha256,
    /// Files, and whether they are programs; and links, in the order of the walk.
    found: Vec<(PathBuf, Option<bool>)>,
}

impl<'a> Walk<'a> {
    fn new(ctx: &Context<'_>, root: &'a Path) -> Self {
        let index = Index::open(index_file(ctx, root, "tree"));
        Self { root, index, seen: BTreeSet::new(), hasher: Sha256::new(), found: Vec::new() }
    }

    fn folder(&mut self, relative: &Path) -> Result<(), Error> {
        let here = self.root.join(relative);
        for entry in files::sorted_entries(&here)? {
            let name = entry.file_name();
            let metadata = entry.metadata().map_err(files::Error::at("read", &entry.path()))?;
            if !ignored(&name, &entry.path(), &metadata) {
                self.entry(&relative.join(name), &metadata)?;
            }
        }
        Ok(())
    }

    fn entry(&mut self, relative: &Path, metadata: &fs::Metadata) -> Result<(), Error> {
        let path = self.root.join(relative);
        if metadata.is_dir() {
            return self.folder(relative);
        }
        if metadata.is_symlink() {
            self.link(relative, &path)?;
        } else if metadata.is_file() {
            let digest = self.index.digest(&path, metadata).map_err(files::Error::at("read", &path))?;
            let executable = metadata.permissions().mode() & 0o111 != 0;
            let kind: &[u8] = if executable { b"program" } else { b"file" };
            record(&mut self.hasher, kind, relative, digest.bytes());
            self.found.push((relative.to_owned(), Some(executable)));
            self.seen.insert(path);
        } else {
            return Err(Error::Special(path));
        }
        Ok(())
    }

    /// A link counts by where it points and, because tools follow it, by what lies there.
    fn link(&mut self, relative: &Path, path: &Path) -> Result<(), Error> {
        let target = fs::read_link(path).map_err(files::Error::at("read", path))?;
        record(&mut self.hasher, b"link", relative, target.as_os_str().as_bytes());
        self.found.push((relative.to_owned(), None));
        match (fs::metadata(path), fs::canonicalize(path), fs::canonicalize(self.root)) {
            (Ok(metadata), Ok(real), Ok(root)) if metadata.is_dir() => {
                if real.starts_with(&root) || root.starts_with(&real) || !self.seen.insert(real) {
                    return Ok(());
                }
                self.folder(relative)
            }
            (Ok(metadata), ..) => self.entry(relative, &metadata),
            _ => Ok(()),
        }
    }

    fn finish(self) -> Digest {
        // The index only saves time: a folder that cannot be written shows up where it matters.
        let _ = self.index.save();
        Digest::from_bytes(self.hasher.finalize().into())
    }
}

/// Whether an entry is a build result, version control, the lock of a recipe, or an editor's own file.
pub(crate) fn ignored(name: &OsStr, path: &Path, metadata: &fs::Metadata) -> bool {
    let name = name.as_bytes();
    if metadata.is_dir() {
        // Cargo marks its folders; a source folder may well be called `target`.
        return name == b".git"
            || name == b"__pycache__"
            || (name == b"target" && path.join("CACHEDIR.TAG").exists())
            || path.join("CMakeCache.txt").exists();
    }
    let swap = [&b".swp"[..], b".swo", b".swx"].iter().any(|end| name.ends_with(end));
    name == b".git"
        || name == b".DS_Store"
        || name == b"4913" // vim asks with this name whether it may write
        || lockfile::is_lock(path)
        || name.ends_with(b"~")
        || name.starts_with(b".#")
        || (name.starts_with(b"#") && name.ends_with(b"#"))
        || (name.starts_with(b".") && swap)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Project, context::Silent};
    use std::os::unix::fs::symlink;

    struct Place {
        _dir: tempfile::TempDir,
        project: Project,
        tree: PathBuf,
    }

    fn place() -> Place {
        let dir = tempfile::tempdir().unwrap();
        let tree = dir.path().join("tree");
        fs::create_dir_all(tree.join("src/target")).unwrap();
        for (path, content) in [("Cargo.toml", "a"), ("src/main.rs", "b"), ("src/target/mod.rs", "c")] {
            fs::write(tree.join(path), content).unwrap();
        }
        let project = Project { root: dir.path().to_owned(), out: dir.path().join("out") };
        Place { _dir: dir, project, tree }
    }

    impl Place {
        fn digest(&self) -> Digest {
            digest(&Context::new(&self.project, &Silent), &self.tree).unwrap()
        }
    }

    #[test]
    fn every_kind_of_change_changes_the_digest() {
        let place = place();
        let mut seen = vec![place.digest()];
        assert_eq!(place.digest(), seen[0]);
        let tree = &place.tree;
        let edits: [&dyn Fn(); 8] = [
            &|| fs::write(tree.join("src/main.rs"), "B").unwrap(),
            &|| fs::write(tree.join("src/target/mod.rs"), "C").unwrap(),
            &|| fs::write(tree.join("build.rs"), "").unwrap(),
            &|| fs::rename(tree.join("build.rs"), tree.join("built.rs")).unwrap(),
            &|| fs::set_permissions(tree.join("built.rs"), fs::Permissions::from_mode(0o755)).unwrap(),
            &|| symlink("src/main.rs", tree.join("link")).unwrap(),
            &|| fs::write(tree.parent().unwrap().join("outside"), "1").unwrap(),
            &|| fs::remove_file(tree.join("built.rs")).unwrap(),
        ];
        for (number, edit) in edits.iter().enumerate() {
            edit();
            let digest = place.digest();
            assert_eq!(seen.contains(&digest), number == 6, "edit {number}");
            seen.push(digest);
        }
        symlink("../outside", tree.join("away")).unwrap();
        let before = place.digest();
        fs::write(tree.parent().unwrap().join("outside"), "2").unwrap();
        assert_ne!(place.digest(), before, "a link counts by what lies there");
    }

    #[test]
    fn build_results_and_editors_files_do_not_count() {
        let place = place();
        let before = place.digest();
        fs::create_dir_all(place.tree.join("target/debug")).unwrap();
        fs::create_dir_all(place.tree.join(".git")).unwrap();
        for name in
            ["target/CACHEDIR.TAG", "target/debug/x", ".git/HEAD", "src/.main.rs.swp", "src/main.rs~", "4913"]
        {
            fs::write(place.tree.join(name), "x").unwrap();
        }
        assert_eq!(place.digest(), before);
    }

    #[test]
    fn the_place_of_a_tree_does_not_count() {
        let (one, two) = (place(), place());
        assert_eq!(one.digest(), two.digest());
        assert_ne!(one.tree, two.tree);
    }

    #[test]
    fn a_tree_in_memory_has_the_digest_of_the_folder() {
        let place = place();
        fs::create_dir_all(place.tree.join("deep/er")).unwrap();
        fs::write(place.tree.join("src.rs"), "between `src` and `src/`").unwrap();
        fs::set_permissions(place.tree.join("src.rs"), fs::Permissions::from_mode(0o755)).unwrap();
        for (target, link) in [
            ("../../src/main.rs", "deep/er/main.rs"),
            ("src", "sources"),
            ("sources/main.rs", "through.rs"),
            ("deep/er/main.rs", "twice.rs"),
            ("nowhere", "broken"),
            ("loop", "loop"),
        ] {
            symlink(target, place.tree.join(link)).unwrap();
        }
        let nodes = nodes(&Context::new(&place.project, &Silent), &place.tree).unwrap();
        assert_eq!(nodes.len(), 10, "{nodes:?}");
        assert_eq!(digest_of_nodes(&nodes), place.digest());
        for (path, node) in &nodes {
            let mut other = nodes.clone();
            match node {
                Node::File { content, executable } => {
                    let node = Node::File { content: content.clone(), executable: !executable };
                    other.insert(path.clone(), node)
                }
                Node::Link(_) => other.insert(path.clone(), Node::Link("elsewhere".into())),
            };
            assert_ne!(digest_of_nodes(&other), place.digest(), "{}", path.display());
        }
    }

    #[test]
    fn a_file_that_is_missing_has_no_digest() {
        let one = place();
        let ctx = Context::new(&one.project, &Silent);
        assert_eq!(digest_of_file(&ctx, &one.tree.join("none")).unwrap(), None);
    }

    #[test]
    fn links_in_a_circle_end() {
        let place = place();
        symlink("..", place.tree.join("src/up")).unwrap();
        symlink("loop", place.tree.join("loop")).unwrap();
        place.digest();
    }
}
