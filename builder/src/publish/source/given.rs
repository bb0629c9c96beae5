//! The source of a kernel that was built elsewhere, as the user gives it: packed as it is, with what it stands for.
//!
//! Whether that kernel comes of it, nobody here can say; `verify` says that it is not checked.

use super::{
    DESCRIPTION, Description, Error, SourceArchive, Subject,
    pack::{self, Nodes},
};
use crate::{
    Digest, Target, files,
    image::Manifest,
    inputs::tree::Node,
    kernel::TreeKind,
    plan::Plan,
    publish::{statement, sums},
    template,
};
use flate2::read::GzDecoder;
use serde::Serialize;
use std::{
    io::{self, Read},
    path::{Path, PathBuf},
};

/// What such an archive is called.
pub(super) const COMPONENT: &str = "given-kernel";
/// Where the user's file lies in it.
pub(super) const GIVEN: &str = "given";
/// It has at most this many bytes, and unpacks to at most so many: a tree of seL4 has a tenth of that.
const MOST: u64 = 128 << 20;
const MOST_UNPACKED: u64 = 1 << 30;

const README: &str = include_str!("../../../../templates/publish/given-source.md.hbs");

/// An archive with the source of a kernel, from the user.
#[derive(Debug, Clone)]
pub struct Given {
    name: String,
    content: Vec<u8>,
}

#[derive(Serialize)]
struct Readme<'a> {
    file: &'a str,
    kernel: Digest,
    prebuilt: bool,
}

impl Given {
    /// Reads the archive `path`.
    ///
    /// # Errors
    /// When it is no `.tar.gz` with files in it.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let fault = |fault: String| Error::Given { path: path.to_owned(), fault };
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !name.ends_with(".tar.gz") || !sums::is_plain(&name) {
            return Err(fault("its name is not plain or does not end with .tar.gz".to_owned()));
        }
        let content = files::read_at_most(path, MOST)?;
        match has_files(&content) {
            Ok(true) => Ok(Self { name, content }),
            Ok(false) => Err(fault("there is no file in it".to_owned())),
            Err(error) => Err(fault(format!("it is no .tar.gz: {error}"))),
        }
    }

    /// The archive that is published for `subject`.
    pub(super) fn archive(&self, subject: &Subject<'_>) -> Result<SourceArchive, Error> {
        let kernel = kernel(subject.manifest);
        let prebuilt = subject.manifest.kernel.prebuilt.is_some();
        let (file, sha256) = (self.name.clone(), Digest::of(&self.content));
        let readme = template::render(README, &Readme { file: &file, kernel, prebuilt });
        let description = Description::GivenKernel { kernel, file, sha256 };
        let given = Node::File { content: self.content.clone(), executable: false };
        let nodes: Nodes = [
            (PathBuf::from("README.md"), pack::text(readme)),
            (DESCRIPTION.into(), pack::text(statement::text(&description))),
            (Path::new(GIVEN).join(&self.name), given),
        ]
        .into();
        let content = pack::pack(COMPONENT, &nodes, subject.plan.epoch)
            .map_err(|source| Error::Pack { component: COMPONENT.to_owned(), source })?;
        Ok(SourceArchive::new(COMPONENT.to_owned(), "NOASSERTION", description, content))
    }
}

/// Whether packed data are a tar archive with a file in it, to its end.
fn has_files(content: &[u8]) -> io::Result<bool> {
    let mut archive = tar::Archive::new(GzDecoder::new(content).take(MOST_UNPACKED));
    let mut has = false;
    for entry in archive.entries()? {
        has |= entry?.header().entry_type().is_file();
    }
    Ok(has)
}

/// By what an image's manifest knows a kernel that was built elsewhere: the file that the recipe names, else the
/// installed prefix.
pub(super) fn kernel(manifest: &Manifest) -> Digest {
    manifest.kernel.prebuilt.as_ref().map_or(manifest.kernel.source, |prebuilt| prebuilt.sha256)
}

/// Whether the kernel of this image was built elsewhere, so that its source has to be given.
pub fn is_needed(plan: &Plan) -> bool {
    plan.target != Target::Process
        && (plan.recipe.prebuilt_kernel.is_some() || plan.tree.kind == TreeKind::Prefix)
}

/// Before anything is booted: whether there is the source of all that `plan` makes.
///
/// # Errors
/// When the kernel was built elsewhere, and its source is not given.
pub fn check(plan: &Plan, given: Option<&Given>) -> Result<(), Error> {
    if given.is_some() || !is_needed(plan) {
        return Ok(());
    }
    let (name, target) = (plan.name.clone(), plan.target);
    Err(match &plan.recipe.prebuilt_kernel {
        Some(kernel) => Error::PrebuiltKernel { name, target, kernel: kernel.path.clone() },
        None => Error::InstalledKernel { name, target, prefix: plan.tree.root.clone() },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publish::archive::{self, File};
    use std::fs;

    #[test]
    fn only_an_archive_with_files_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let read = |name: &str, content: &[u8]| {
            let path = dir.path().join(name);
            fs::write(&path, content).unwrap();
            Given::read(&path).map_err(|error| error.to_string())
        };
        let file = File { content: b"int main;".to_vec(), executable: false };
        let tar = archive::tar(&[("seL4/a.c".to_owned(), file)].into(), 0).unwrap();
        let good = archive::gzip(&tar).unwrap();
        read("seL4.tar.gz", &good).unwrap();
        for (name, content, why) in [
            ("seL4.zip", &good[..], "does not end with .tar.gz"),
            ("a b.tar.gz", &good, "is not plain"),
            ("empty.tar.gz", b"", "it is no .tar.gz"),
            ("text.tar.gz", b"see www", "it is no .tar.gz"),
            ("cut.tar.gz", &good[..good.len() / 2], "it is no .tar.gz"),
            ("none.tar.gz", &archive::gzip(&[0; 1024]).unwrap(), "there is no file in it"),
        ] {
            let error = read(name, content).unwrap_err();
            assert!(error.contains(why) && error.contains("help: "), "{name}: {error}");
        }
    }
}
