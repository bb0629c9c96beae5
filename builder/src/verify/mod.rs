//! Checks what was published, without trusting any of it: every file against `SHA256SUMS`, that against its
//! signature, each archive against the manifest in it, and everything beside the archive against the archive.
//!
//! Nothing is unpacked to a disk. What is wrong is a row of the report, never a panic; sizes and counts have limits.

pub(crate) mod image;
pub(crate) mod layout;
mod rebuild;
mod report;
pub(crate) mod tarball;

pub use report::{Outcome, Report, Row};

use crate::{
    Context, Digest, ExitCode, Result, files,
    inspect::printable,
    kernel_config::UserSource,
    publish::{
        Found, Published, folder, oci::reader::Reader, provenance, sbom, sign::PublicKey, source, sums,
        test_result,
    },
};
use image::Image;
use rebuild::Sound;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// A document beside an image has at most this many bytes.
const MOST_DOCUMENT: u64 = 64 << 20;
/// A signature has at most this many bytes.
const MOST_SIGNATURE: u64 = 16 << 10;

/// Nothing could be checked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not something that `publish` wrote.
    #[error(
        "{}: this is neither a published folder nor an archive of one\n  help: `verify` takes what `cargo xtask publish --to DIR` wrote: the folder, or a `.tar.gz` in it; `cargo xtask inspect` reads other files",
        .0.display()
    )]
    Foreign(PathBuf),
    /// The user asked to stop.
    #[error("stopped by the user")]
    Cancelled,
    /// A file or folder failed.
    #[error(transparent)]
    Files(#[from] files::Error),
}

crate::exit_code!(Error, |error| match error {
    Error::Files(error) => error.exit_code(),
    Error::Foreign(_) => ExitCode::Usage,
    Error::Cancelled => ExitCode::Failed,
});

/// How it is checked.
#[derive(Default)]
pub struct Options {
    /// Whose signature there must be.
    pub key: Option<PublicKey>,
    /// Whether each image is built again.
    pub rebuild: bool,
    /// The kernel's source for that, when it is not the checkout's own.
    pub source: Option<UserSource>,
    /// The rumprun tree for that.
    pub rumprun: Option<PathBuf>,
}

/// Checks the published folder, or the archive, `path`.
///
/// # Errors
/// When there is nothing to check. What is wrong with it stands in the report.
pub fn verify(ctx: &Context<'_>, path: &Path, options: &Options) -> Result<Report> {
    let metadata = fs::metadata(path).map_err(files::Error::at("read", path)).map_err(Error::from)?;
    let is_archive = path.extension().is_some_and(|extension| extension == "gz");
    let mut report = Report::new(path);
    let images;
    if metadata.is_file() && is_archive {
        images = one(path, options, &mut report)?;
    } else if metadata.is_dir() && path.join(sums::NAME).exists() {
        images = Bundle::read(ctx, path, &mut report)?.check(&mut report);
        signature(path, options, &mut report)?;
    } else {
        return Err(Error::Foreign(path.to_owned()).into());
    }
    if options.rebuild {
        rebuild::rebuild(ctx, &images, options, &mut report)?;
    }
    Ok(report)
}

/// An archive by itself. `SHA256SUMS` is looked at when it lies beside it.
fn one(path: &Path, options: &Options, report: &mut Report) -> Result<Vec<Sound>, Error> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let sums_file = path.with_file_name(sums::NAME);
    if sums_file.exists() {
        let listed = sums::parse(&files::read_at_most(&sums_file, sums::MOST)?);
        let sha256 = Digest::of_file(path).map_err(files::Error::at("read", path))?;
        match listed.map(|listed| listed.get(&name).copied()) {
            Err(error) => report.fail(sums::NAME, error),
            Ok(None) => report.fail(sums::NAME, format!("it does not list {name}")),
            Ok(Some(listed)) if listed != sha256 => report.fail(&name, "its digest is not the listed one"),
            Ok(Some(_)) => report.ok(sums::NAME, format!("{name} is as listed")),
        }
        signature(path.parent().unwrap_or(Path::new(".")), options, report)?;
    } else {
        report.skip(sums::NAME, "it does not lie beside the archive");
    }
    let id = name.strip_suffix(ARCHIVE).unwrap_or(&name);
    match Image::read(path, id) {
        Ok(image) => {
            report.ok(&name, image.summary());
            let sha256 = Digest::of_file(path).map_err(files::Error::at("read", path))?;
            Ok(vec![Sound { file: name, sha256, image }])
        }
        Err(fault) => {
            report.fail(&name, fault);
            Ok(Vec::new())
        }
    }
}

/// Checks the signature of the list in `dir`.
fn signature(dir: &Path, options: &Options, report: &mut Report) -> Result<(), Error> {
    let path = dir.join(sums::SIGNATURE);
    match (&options.key, path.exists()) {
        (None, false) => report.skip(sums::SIGNATURE, "it is not signed"),
        (None, true) => {
            report.skip(sums::SIGNATURE, "it is signed; `--key` with the public key checks by whom")
        }
        (Some(_), false) => report.fail(sums::SIGNATURE, "it is not signed"),
        (Some(key), true) => {
            let signature = files::read_at_most(&path, MOST_SIGNATURE)?;
            let content = files::read_at_most(&dir.join(sums::NAME), sums::MOST)?;
            match key.check(sums::NAME, &content, &String::from_utf8_lossy(&signature)) {
                Ok(comment) => report.ok(sums::SIGNATURE, format!("by that key: {}", printable(&comment))),
                Err(fault) => report.fail(sums::SIGNATURE, fault),
            }
        }
    }
    Ok(())
}

/// How an archive's name ends.
const ARCHIVE: &str = ".tar.gz";
/// How the name of an OCI layout ends.
const LAYOUT: &str = ".oci";

/// A published folder.
struct Bundle {
    /// Every file by its path in the folder.
    paths: BTreeMap<String, PathBuf>,
    found: BTreeMap<String, Found>,
}

impl Bundle {
    /// Reads every file once and compares it with `SHA256SUMS`.
    fn read(ctx: &Context<'_>, dir: &Path, report: &mut Report) -> Result<Self> {
        let mut bundle = Self { paths: BTreeMap::new(), found: BTreeMap::new() };
        match folder::list(dir) {
            Ok(paths) => bundle.paths = paths,
            Err(error) => {
                // Names that are refused reach the terminal.
                report.fail("files", printable(&error.to_string()));
                return Ok(bundle);
            }
        }
        for (name, path) in &bundle.paths {
            if ctx.cancel.requested() {
                return Err(Error::Cancelled.into());
            }
            let read = || Ok((Digest::of_file(path)?, fs::metadata(path)?.len()));
            let (sha256, size) = read().map_err(files::Error::at("read", path)).map_err(Error::from)?;
            bundle.found.insert(name.clone(), Found { sha256, size });
        }
        bundle.sums(dir, report)?;
        Ok(bundle)
    }

    /// Every file is listed, and every listed file is there and the same.
    fn sums(&self, dir: &Path, report: &mut Report) -> Result<(), Error> {
        let text = match files::read_at_most(&dir.join(sums::NAME), sums::MOST) {
            Ok(text) => text,
            Err(error) => {
                report.fail(sums::NAME, error.source);
                return Ok(());
            }
        };
        let listed = match sums::parse(&text) {
            Ok(listed) => listed,
            Err(error) => {
                report.fail(sums::NAME, error);
                return Ok(());
            }
        };
        let mut sound = true;
        let mut wrong = |name: &str, fault: &str| {
            sound = false;
            report.fail(name, fault);
        };
        for (name, digest) in &listed {
            match self.found.get(name) {
                None => wrong(name, "it is listed and not there"),
                Some(found) if found.sha256 != *digest => wrong(name, "its digest is not the listed one"),
                Some(_) => {}
            }
        }
        let unlisted = self.found.keys().filter(|name| !folder::is_own(name) && !listed.contains_key(*name));
        unlisted.for_each(|name| wrong(name, "it is there and not listed"));
        if sound {
            report.ok(sums::NAME, format!("{} files, all listed and as listed", listed.len()));
        }
        Ok(())
    }

    /// Checks every image, and that every file belongs to one.
    fn check(&self, report: &mut Report) -> Vec<Sound> {
        let ids: BTreeSet<&str> = self.found.keys().filter_map(|name| id_of(name)).collect();
        if ids.is_empty() {
            report.fail("files", "there is no image");
        }
        let sound = ids.iter().filter_map(|id| self.image(id, report)).collect();
        let documents = |id: &&str| [sbom::file(id), provenance::file(id), test_result::file(id)];
        let mut known: BTreeSet<String> = ids.iter().flat_map(documents).collect();
        known.extend(ids.iter().flat_map(|id| self.sources(id)));
        let own = |name: &String| folder::is_own(name) || id_of(name).is_some() || known.contains(name);
        self.found
            .keys()
            .filter(|name| !own(name))
            .for_each(|name| report.fail(name, "it belongs to no image"));
        sound
    }

    /// Checks one image and what stands beside it.
    fn image(&self, id: &str, report: &mut Report) -> Option<Sound> {
        let name = format!("{id}{ARCHIVE}");
        let (Some(path), Some(found)) = (self.paths.get(&name), self.found.get(&name)) else {
            report.fail(&name, "it is not there");
            return None;
        };
        let image = match Image::read(path, id) {
            Ok(image) => image,
            Err(fault) => {
                report.fail(&name, fault);
                return None;
            }
        };
        report.ok(&name, image.summary());
        let layout = format!("{id}{LAYOUT}");
        let mut artifacts = vec![(name.clone(), found.sha256)];
        match layout::check(&self.layout(&layout), &image, *found) {
            Ok(manifest) => {
                report.ok(&layout, format!("the same content, sha256:{manifest}"));
                artifacts.push((layout, manifest));
            }
            Err(fault) => report.fail(&layout, fault),
        }
        let published = Published { manifest: &image.manifest, artifacts: &artifacts, files: &self.found };
        self.document(&sbom::file(id), report, |content| self.materials(&published, content));
        for file in self.sources(id).iter().filter(|file| source::is_given(file)) {
            report.skip(
                file,
                format!("the kernel of {id} was built elsewhere: whether this is its source is not checked"),
            );
        }
        if artifacts.len() == 1 {
            for name in [provenance::file(id), test_result::file(id)] {
                report.skip(&name, "it is about the layout, too");
            }
            return None;
        }
        self.document(&provenance::file(id), report, |content| provenance::check(&published, content));
        self.document(&test_result::file(id), report, |content| test_result::check(&published, content));
        Some(Sound { file: name, sha256: found.sha256, image })
    }

    /// The files of the layout `name`.
    fn layout(&self, name: &str) -> Reader<'_> {
        let files = self.found.iter().filter_map(|(path, found)| {
            let file = path.strip_prefix(name)?.strip_prefix('/')?;
            Some((file, (self.paths.get(path)?.as_path(), *found)))
        });
        files.collect()
    }

    /// Checks an SBOM, and the sources that it names.
    fn materials(&self, published: &Published<'_>, content: &[u8]) -> Vec<String> {
        let mut wrong = sbom::check(published, content);
        let mut contents = Vec::new();
        for file in sbom::sources(content) {
            // One that is not there is told by the check of the document.
            let Some(path) = self.paths.get(&file) else { continue };
            match files::read_at_most(path, source::MOST) {
                Ok(content) => contents.push((file, content)),
                Err(error) => wrong.push(format!("{file}: {}", error.source)),
            }
        }
        let archives: Vec<_> =
            contents.iter().map(|(file, content)| source::Archive { file, content }).collect();
        wrong.extend(source::check(published, &archives));
        wrong
    }

    /// The sources that the SBOM of an image names.
    fn sources(&self, id: &str) -> Vec<String> {
        let path = self.paths.get(&sbom::file(id));
        let content = path.and_then(|path| files::read_at_most(path, MOST_DOCUMENT).ok());
        content.map(|content| sbom::sources(&content)).unwrap_or_default()
    }

    /// Checks the document `name` by `check`.
    fn document(&self, name: &str, report: &mut Report, check: impl Fn(&[u8]) -> Vec<String>) {
        let Some(path) = self.paths.get(name) else { return report.fail(name, "it is not there") };
        match files::read_at_most(path, MOST_DOCUMENT) {
            Err(error) => report.fail(name, error.source),
            Ok(content) => match check(&content) {
                faults if faults.is_empty() => report.ok(name, "it is about this image"),
                faults => faults.iter().for_each(|fault| report.fail(name, printable(fault))),
            },
        }
    }
}

/// The image that a file of a published folder belongs to, by its name.
fn id_of(name: &str) -> Option<&str> {
    match name.split_once('/') {
        None => name.strip_suffix(ARCHIVE),
        Some((layout, _)) => layout.strip_suffix(LAYOUT),
    }
}
