//! Where a kernel comes from, and which releases a kernel config is made for.

use crate::Digest;
use semver::{Version, VersionReq};
use serde::{Serialize, Serializer};
use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

/// Where a kernel comes from. Places do not count towards any digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// A source tree in a crate of the registry.
    Crate {
        /// The crate, pinned in `kernel-configs/sources/`.
        name: String,
        /// The tree's folder in it.
        subdir: String,
        /// The seL4 release.
        version: String,
        /// The tree's digest.
        digest: Digest,
    },
    /// A source tree of the CMake era.
    Path {
        /// Its top folder.
        #[serde(skip)]
        path: PathBuf,
        /// The accepted releases.
        versions: Versions,
        /// The tree's digest, when it is pinned.
        digest: Option<Digest>,
    },
    /// An installed kernel.
    Prefix {
        /// Its top folder.
        #[serde(skip)]
        path: PathBuf,
        /// The accepted releases.
        versions: Versions,
        /// The prefix's digest, when it is pinned.
        digest: Option<Digest>,
    },
    /// A tree or prefix that the user has to name.
    User {
        /// The accepted releases.
        versions: Versions,
        /// Its digest, when it is pinned.
        digest: Option<Digest>,
    },
}

impl Source {
    /// The pinned digest.
    pub fn digest(&self) -> Option<Digest> {
        match self {
            Self::Crate { digest, .. } => Some(*digest),
            Self::Path { digest, .. } | Self::Prefix { digest, .. } | Self::User { digest, .. } => *digest,
        }
    }

    /// The same source, but from where the user says. A crate's source stays what it is.
    pub fn at(&self, user: &UserSource) -> Self {
        let (versions, digest) = match self {
            Self::Crate { .. } => return self.clone(),
            Self::Path { versions, digest, .. }
            | Self::Prefix { versions, digest, .. }
            | Self::User { versions, digest } => (versions.clone(), *digest),
        };
        match user {
            UserSource::Tree(path) => Self::Path { path: path.clone(), versions, digest },
            UserSource::Prefix(path) => Self::Prefix { path: path.clone(), versions, digest },
        }
    }
}

/// The release or the accepted releases, for a reader.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Crate { version, .. } => f.write_str(version),
            Self::Path { versions, .. } | Self::Prefix { versions, .. } | Self::User { versions, .. } => {
                versions.fmt(f)
            }
        }
    }
}

/// A kernel that the user named on the command line or in the environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserSource {
    /// A source tree (`--kernel-source`).
    Tree(PathBuf),
    /// An installed kernel (`--kernel-prefix`, `SEL4_PREFIX`).
    Prefix(PathBuf),
}

impl UserSource {
    /// Its folder.
    pub fn path(&self) -> &Path {
        match self {
            Self::Tree(path) | Self::Prefix(path) => path,
        }
    }
}

/// The releases that a kernel config is made for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versions(VersionReq);

impl Versions {
    /// Whether a tree that calls itself `version` is among them. A tree between two releases
    /// (`16.0.0-dev`) counts as the one before it.
    pub fn accept(&self, version: &str) -> bool {
        let released = |mut version: Version| {
            version.pre = semver::Prerelease::EMPTY;
            version
        };
        Version::parse(version).map(released).is_ok_and(|version| self.0.matches(&version))
    }
}

impl FromStr for Versions {
    type Err = semver::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Versions {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_between_two_releases_counts_as_the_one_before() {
        let versions: Versions = ">=13, <17".parse().unwrap();
        for version in ["13.0.0", "16.0.0", "16.0.0-dev"] {
            assert!(versions.accept(version), "{version}");
        }
        for version in ["12.1.0", "17.0.0", "17.0.0-dev", "", "master"] {
            assert!(!versions.accept(version), "{version}");
        }
        assert_eq!(versions.to_string(), ">=13, <17");
    }

    #[test]
    fn the_place_of_a_source_does_not_count_and_its_pin_does() {
        let versions: Versions = ">=13".parse().unwrap();
        let user = Source::User { versions, digest: None };
        let [one, other] = ["/a", "/b"].map(|path| user.at(&UserSource::Tree(path.into())));
        assert_ne!(one, other);
        assert_eq!(Digest::of_json(&one), Digest::of_json(&other));
        let prefix = user.at(&UserSource::Prefix("/a".into()));
        assert_ne!(Digest::of_json(&one), Digest::of_json(&prefix));
        let crate_source = Source::Crate {
            name: "sel4-sys".into(),
            subdir: "seL4".into(),
            version: "5.0.0".into(),
            digest: Digest::of("tree"),
        };
        assert_eq!(crate_source.at(&UserSource::Tree("/a".into())), crate_source);
    }
}
