//! The plan of a build: every input by digest, every step with its key, every output. After it nothing is
//! left to decide, and nothing reads the clock, the environment, the current directory or a folder's order.

use crate::{Digest, Target, files, kernel_config::KernelConfig, recipe::Recipe};
use serde::Serialize;
use std::path::PathBuf;

/// All that one image is made from and how.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Plan {
    /// The recipe's name.
    pub name: String,
    /// What the image runs on.
    pub target: Target,
    /// The time that the image carries, in seconds since 1970.
    pub epoch: u64,
    /// The digest of everything below but the paths: the image's identity.
    pub key: Digest,
    /// The recipe.
    pub recipe: Recipe,
    /// The kernel config that the recipe names.
    pub kernel: KernelConfig,
    /// Everything that the image depends on.
    pub inputs: Vec<Input>,
    /// What is done, in this order.
    pub steps: Vec<Step>,
    /// The files of the image.
    pub outputs: Vec<PathBuf>,
}

/// Something that an image depends on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Input {
    /// What it is called, for instance `cc`.
    pub name: String,
    /// What it is.
    pub kind: InputKind,
    /// The digest of its content.
    pub digest: Digest,
    /// For a tool: what it says of itself. For a kernel's source: the release.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Where it lies on this host, when it is a file or folder; counts for nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
}

/// What an input is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum InputKind {
    /// The recipe, checked, with its defaults.
    Recipe,
    /// The kernel config, after `inherits` was followed.
    KernelConfig,
    /// The kernel's source tree.
    KernelSource,
    /// A header that stands in for one of the tree.
    Overlay,
    /// What only the C headers of a kernel's era say.
    Era,
    /// The function's sources, the runtime's among them.
    Source,
    /// A program of the host.
    Tool,
    /// The builder itself: its source, templates and locked dependencies.
    Builder,
}

/// One step of a build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Step {
    /// For instance `kernel`.
    pub name: String,
    /// What it does, for a reader.
    pub what: String,
    /// The inputs that it reads, by name.
    pub inputs: Vec<String>,
    /// The steps whose results it reads.
    pub after: Vec<String>,
    /// The digest of the inputs and of the keys of those steps.
    pub key: Digest,
}

/// Nothing can be planned.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `SOURCE_DATE_EPOCH` is no number of seconds.
    #[error(
        "SOURCE_DATE_EPOCH is `{0}`\n  help: it is a number of seconds since 1970, in decimal digits, for instance SOURCE_DATE_EPOCH=0; or unset it"
    )]
    Epoch(String),
    /// A file could not be read.
    #[error(transparent)]
    Files(#[from] files::Error),
}

crate::exit_code!(Error, |error| match error {
    Error::Epoch(_) => crate::ExitCode::Usage,
    Error::Files(error) => error.exit_code(),
});

/// The time that images carry: what `SOURCE_DATE_EPOCH` says, else 0
/// (<https://reproducible-builds.org/specs/source-date-epoch/>).
pub fn epoch(source_date_epoch: Option<&str>) -> Result<u64, Error> {
    let Some(text) = source_date_epoch else { return Ok(0) };
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits).ok_or_else(|| Error::Epoch(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_malformed_epoch_is_an_error() {
        assert_eq!(epoch(None).unwrap(), 0);
        assert_eq!(epoch(Some("1700000000")).unwrap(), 1_700_000_000);
        for bad in ["", "-1", "+1", " 1", "1.5", "now", "99999999999999999999"] {
            assert!(matches!(epoch(Some(bad)), Err(Error::Epoch(_))), "{bad}");
        }
    }
}
