//! The verdicts of a smoke run that was made before, as `--format json` printed them: for an image that is the same to
//! the last byte nobody boots again.

use super::{RunReport, Verdict};
use crate::{
    Digest, files,
    image::{Image, Role},
    qemu::BootPath,
};
use serde::Deserialize;
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

/// Such a file has at most this many bytes.
const MOST: u64 = 64 << 20;

/// There are no verdicts in a file.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read.
    #[error(transparent)]
    Files(#[from] files::Error),
    /// It is something else.
    #[error(
        "{}: these are no verdicts of a smoke run: {source}\n  help: `cargo xtask --format json smoke --all > {}` writes them",
        .path.display(), .path.display()
    )]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
}

crate::exit_code!(Error, |error| match error {
    Error::Files(error) => error.exit_code(),
    Error::Foreign { .. } => crate::ExitCode::Usage,
});

/// The smoke tests that an earlier run passed.
#[derive(Debug, Clone, Default)]
pub struct Earlier {
    passed: BTreeSet<(Digest, Option<String>)>,
}

/// What `smoke` and `publish` print.
#[derive(Deserialize)]
struct Answer {
    reports: Vec<Report>,
}

#[derive(Deserialize)]
struct Report {
    image: Option<Digest>,
    boot: Option<String>,
    verdict: Kind,
}

#[derive(Deserialize)]
struct Kind {
    kind: String,
}

impl Earlier {
    /// The verdicts in the file `path`.
    ///
    /// # Errors
    /// When it is not what `smoke` or `publish` printed.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = files::read_at_most(path, MOST)?;
        let answer: Answer = serde_json::from_slice(&text)
            .map_err(|source| Error::Foreign { path: path.to_owned(), source })?;
        let passed = answer.reports.into_iter().filter(|report| report.verdict.kind == "pass");
        Ok(Self { passed: passed.filter_map(|report| Some((report.image?, report.boot))).collect() })
    }

    /// The report of this boot of `image`, when this very image passed it.
    pub fn report(&self, image: &Image, boot: Option<BootPath>) -> Option<RunReport> {
        let manifest = image.member(Role::Manifest)?.sha256;
        let passed = self.passed.contains(&(manifest, boot.map(|boot| boot.name().to_owned())));
        passed.then(|| RunReport::not_run(&image.name, image.target, Verdict::Pass).by(boot).of(image))
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Summary, *};
    use crate::{Target, image::Member};
    use std::fs;

    fn image(content: &str) -> Image {
        let (name, sha256) = ("manifest.json".to_owned(), Digest::of(content));
        let members = vec![Member { name, role: Role::Manifest, size: 0, sha256 }];
        Image { name: "hello".into(), target: Target::Qemu, dir: PathBuf::new(), members, fresh: false }
    }

    #[test]
    fn only_what_this_very_image_passed_by_this_boot_counts() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("verdicts.json");
        let report = |verdict, boot| RunReport::not_run("hello", Target::Qemu, verdict).by(boot);
        let skip = Verdict::Skip { reason: "no".into() };
        let reports = vec![
            report(Verdict::Pass, Some(BootPath::DiskBios)).of(&image("one")),
            report(skip, None).of(&image("one")),
            // Of no image: it was not built.
            report(Verdict::Pass, None),
        ];
        fs::write(&path, serde_json::to_vec(&Summary { reports }).unwrap()).unwrap();
        let earlier = Earlier::read(&path).unwrap();
        let found = earlier.report(&image("one"), Some(BootPath::DiskBios)).unwrap();
        assert_eq!((found.verdict, found.boot), (Verdict::Pass, Some(BootPath::DiskBios)));
        for (content, boot) in
            [("one", None), ("one", Some(BootPath::DiskUefi)), ("two", Some(BootPath::DiskBios))]
        {
            assert!(earlier.report(&image(content), boot).is_none(), "{content} {boot:?}");
        }
        for text in ["", "{}", "{\"reports\": [{}]}", "[[[[", "\u{0}"] {
            fs::write(&path, text).unwrap();
            let error = Earlier::read(&path).unwrap_err().to_string();
            assert!(error.contains("these are no verdicts of a smoke run"), "{error}");
        }
    }
}
