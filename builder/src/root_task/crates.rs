//! Which crates are linked into a program: what Cargo says of a crate at its lock file.

use super::{Error, TRIPLE, Toolchain, crate_build};
use crate::{
    Context, Digest,
    exec::{self, Tool},
    files,
    inputs::registry,
};
use serde::Deserialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    path::Path,
};

/// The registry that crates come from unless a lock file says otherwise, as lock files write it.
const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// A crate of a program, at the version of the lock file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LinkedCrate {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its licence, as its manifest says.
    pub license: Option<String>,
    /// Where it is from, as the lock file says; none for a folder.
    pub source: Option<String>,
    /// The digest of the file that a registry has of it.
    pub checksum: Option<Digest>,
}

impl LinkedCrate {
    /// Its package URL (<https://github.com/package-url/purl-spec>); none for a folder.
    pub fn purl(&self) -> Option<String> {
        let Self { name, version, source, .. } = self;
        // A `+` is told from a space by its escape.
        let mut purl = format!("pkg:cargo/{name}@{}", escaped(version));
        match source.as_deref()? {
            CRATES_IO => {}
            source => match source.split_once('+') {
                Some(("git", _)) => purl.push_str(&format!("?vcs_url={}", escaped(source))),
                _ => purl.push_str(&format!("?repository_url={}", escaped(source))),
            },
        }
        Some(purl)
    }
}

/// `text` for a part of a URL: what is not a letter, a digit or one of `-._~` is escaped (RFC 3986, 2.3).
pub(crate) fn escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |mut escaped, byte| {
        match byte {
            b'-' | b'.' | b'_' | b'~' => escaped.push(char::from(byte)),
            byte if byte.is_ascii_alphanumeric() => escaped.push(char::from(byte)),
            byte => drop(write!(escaped, "%{byte:02X}")),
        }
        escaped
    })
}

/// The part of a lock file that is read.
#[derive(Deserialize)]
struct Lock {
    #[serde(default)]
    package: Vec<Locked>,
}

#[derive(Deserialize)]
struct Locked {
    name: String,
    version: String,
    source: Option<String>,
    checksum: Option<Digest>,
}

/// The crates that a build of the crate in `folder` with `features` links, itself among them, sorted. Build scripts,
/// procedural macros and what only tests use are none of them. Cargo does not use the network for it.
pub(crate) fn linked(
    ctx: &Context<'_>,
    folder: &Path,
    features: &[String],
    toolchain: &Toolchain,
) -> Result<Vec<LinkedCrate>, Error> {
    let krate = crate_build::describe(ctx, folder, toolchain)?;
    let manifest = folder.join("Cargo.toml");
    let tree = registry::at_home(Tool::new(&toolchain.cargo.path, folder))
        .env("RUSTC", &toolchain.rustc.path)
        .args(["tree", "--locked", "--offline", "--target", TRIPLE, "--edges", "normal,no-proc-macro"])
        .args(["--prefix", "none", "--format", "{p}", "--manifest-path"])
        .arg(&manifest);
    let tree = if features.is_empty() { tree } else { tree.arg("--features").arg(features.join(",")) };
    let printed = tree.run(&ctx.cancel).map_err(|error| match error {
        exec::Error::Failed { output, .. } => Error::Metadata { dir: folder.to_owned(), output },
        error => error.into(),
    })?;
    let licenses = licenses(ctx, folder, &krate, toolchain)?;
    let path = krate.workspace.join("Cargo.lock");
    let locked = locked(&String::from_utf8_lossy(&files::read(&path)?))
        .map_err(|error| Error::Metadata { dir: krate.workspace.clone(), output: error.to_string() })?;
    let found = packages(&printed.stdout).into_iter().map(|(name, version)| {
        let id = (name.clone(), version.clone());
        let license = licenses.get(&id).cloned().flatten();
        let Locked { source, checksum, .. } =
            locked.get(&id).map_or_else(|| Locked::of_folder(&id), Locked::clone_of);
        LinkedCrate { name, version, license, source, checksum }
    });
    Ok(found.collect())
}

impl Locked {
    fn of_folder((name, version): &(String, String)) -> Self {
        Self { name: name.clone(), version: version.clone(), source: None, checksum: None }
    }

    fn clone_of(&self) -> Self {
        let Self { name, version, source, checksum } = self;
        Self { name: name.clone(), version: version.clone(), source: source.clone(), checksum: *checksum }
    }
}

/// What a lock file says of each crate.
fn locked(text: &str) -> Result<BTreeMap<(String, String), Locked>, toml::de::Error> {
    let lock: Lock = toml::from_str(text)?;
    Ok(lock.package.into_iter().map(|one| ((one.name.clone(), one.version.clone()), one)).collect())
}

/// The crate `name` of the lock file in `folder`, which a registry has.
pub(crate) fn locked_crate(folder: &Path, name: &str) -> Result<Option<LinkedCrate>, Error> {
    let path = folder.join("Cargo.lock");
    let locked = locked(&String::from_utf8_lossy(&files::read(&path)?))
        .map_err(|error| Error::Metadata { dir: folder.to_owned(), output: error.to_string() })?;
    Ok(locked.into_values().find(|one| one.name == name).map(|Locked { name, version, source, checksum }| {
        LinkedCrate { name, version, license: None, source, checksum }
    }))
}

/// The licence of each crate that Cargo knows of, as its manifest says.
fn licenses(
    ctx: &Context<'_>,
    folder: &Path,
    krate: &crate_build::Crate,
    toolchain: &Toolchain,
) -> Result<BTreeMap<(String, String), Option<String>>, Error> {
    let args = ["--locked", "--offline", "--filter-platform", TRIPLE];
    let metadata = crate_build::metadata(ctx, folder, Some(krate), toolchain, &args)?;
    let licenses = metadata.packages.into_iter().map(|package| {
        // Before there were expressions, a `/` meant a choice.
        let license = package.license.map(|license| license.replace('/', " OR "));
        ((package.name.to_string(), package.version.to_string()), license)
    });
    Ok(licenses.collect())
}

/// Names and versions in what `cargo tree` prints: `NAME vVERSION`, then perhaps a folder and marks.
fn packages(tree: &str) -> BTreeSet<(String, String)> {
    let package = |line: &str| {
        let (name, rest) = line.split_once(" v")?;
        let version = rest.split_whitespace().next()?;
        Some((name.to_owned(), version.to_owned()))
    };
    tree.lines().filter_map(package).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Project, context::Silent};

    #[test]
    fn what_cargo_prints_is_read_whatever_follows() {
        let tree = "hello v0.1.0 (/a folder v2/hello)\n\nlog v0.4.35\nlog v0.4.35 (*)\n";
        let expected = [("hello", "0.1.0"), ("log", "0.4.35")];
        assert_eq!(
            packages(tree),
            expected.map(|(name, version)| (name.to_owned(), version.to_owned())).into()
        );
    }

    #[test]
    fn package_urls_say_where_a_crate_is_from() {
        let of = |version: &str, source: Option<&str>| {
            let source = source.map(str::to_owned);
            LinkedCrate { name: "x".into(), version: version.into(), license: None, source, checksum: None }
                .purl()
        };
        assert_eq!(of("1.0.0+b", Some(CRATES_IO)).unwrap(), "pkg:cargo/x@1.0.0%2Bb");
        assert_eq!(of("1.0.0", None), None);
        let git = of("1.0.0", Some("git+https://example.org/x#1")).unwrap();
        assert_eq!(git, "pkg:cargo/x@1.0.0?vcs_url=git%2Bhttps%3A%2F%2Fexample.org%2Fx%231");
    }

    #[test]
    fn features_decide_what_is_linked_and_macros_are_not() {
        let project = Project::here();
        let ctx = Context::new(&project, &Silent);
        let toolchain = Toolchain::find(&ctx).unwrap();
        let linked = |folder: &str, features: &[String]| {
            linked(&ctx, &project.root.join(folder), features, &toolchain).unwrap()
        };
        let hello = linked("functions/hello", &[]);
        let names: Vec<_> = hello.iter().map(|one| one.name.as_str()).collect();
        assert!(["hello", "selkie", "talc"].iter().all(|name| names.contains(name)), "{names:?}");
        for one in &hello {
            assert_eq!(one.source.is_some(), one.checksum.is_some(), "{one:?}");
            assert!(one.license.is_some(), "{one:?}");
        }
        let tender = linked("tender/host", &[]);
        // The crate `serde` is there, its derive macros are not.
        assert!(
            tender.iter().any(|one| one.name == "serde")
                && !tender.iter().any(|one| one.name == "serde_derive")
        );
    }
}
