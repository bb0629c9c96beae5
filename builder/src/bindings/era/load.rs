//! Finding, reading and checking the files of `kernel-configs/eras/`.

use super::{Era, TypeKind};
use crate::{files, kernel_config::Arch};
use semver::{Prerelease, Version, VersionReq};
use serde::Deserialize;
use std::{
    fs, io,
    path::{Path, PathBuf},
};
use toml::{Table, Value};

/// An era's file could not be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is none of this name.
    #[error(
        "{path}: there is no such era\n  help: `era` in a kernel config names a file of kernel-configs/eras/"
    )]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// It could not be read.
    #[error(transparent)]
    Files(#[from] files::Error),
    /// It is not what an era looks like.
    #[error("{path}: {source}")]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong, with line and column.
        source: Box<toml::de::Error>,
    },
    /// Something in it contradicts itself.
    #[error("{path}: {problem}")]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// No era is for this release.
    #[error(
        "no era describes seL4 {version} on {arch}\n  help: {dir} describes {known}; a release in between or after them needs a file of its own there"
    )]
    None {
        /// The release.
        version: String,
        /// The architecture.
        arch: Arch,
        /// The folder with the eras.
        dir: PathBuf,
        /// The releases that there are, for a reader.
        known: String,
    },
    /// Two eras are for the same release.
    #[error(
        "{dir}: `{first}` and `{second}` both describe seL4 {version} on {arch}\n  help: correct `versions` in one of them"
    )]
    Both {
        /// The release.
        version: String,
        /// The architecture.
        arch: Arch,
        /// The folder with the eras.
        dir: PathBuf,
        /// The name of one.
        first: String,
        /// The name of the other.
        second: String,
    },
}

/// What an era is for.
struct Scope {
    versions: String,
    arch: Arch,
}

/// The keys of an era's file that stand before its tables.
#[derive(Deserialize)]
struct Head {
    inherits: Option<String>,
    versions: Option<String>,
    arch: Option<Arch>,
}

impl Head {
    fn load(path: &Path) -> Result<Self, Error> {
        let text = text(path)?;
        // In TOML no such key comes after a table.
        let head = text.split("\n[").next().unwrap_or_default();
        toml::from_str(head)
            .map_err(|source| Error::Format { path: path.to_owned(), source: Box::new(source) })
    }
}

impl Scope {
    /// Reads it in the file `path`, and in those that it inherits from.
    fn load(path: &Path) -> Result<Self, Error> {
        let content = |problem: &str| Error::Content { path: path.to_owned(), problem: problem.to_owned() };
        let (mut versions, mut arch) = (None, None);
        let mut next = path.to_owned();
        for _ in 0..=DEEPEST {
            let head = Head::load(&next)?;
            (versions, arch) = (versions.or(head.versions), arch.or(head.arch));
            match (versions, arch, head.inherits) {
                (Some(versions), Some(arch), _) => return Ok(Self { versions, arch }),
                (_, _, None) => return Err(content("it does not say its `versions` and `arch`")),
                (known, of, Some(base)) => {
                    (versions, arch) = (known, of);
                    next = path.with_file_name(format!("{base}.toml"));
                }
            }
        }
        Err(content(TOO_DEEP))
    }

    /// Whether it is for `version` on `arch`. A tree between two releases (`16.0.0-dev`) counts as the one
    /// before it.
    fn describes(&self, arch: Arch, version: &str) -> bool {
        let released = |version: Version| Version { pre: Prerelease::EMPTY, ..version };
        let (Ok(versions), Ok(version)) = (self.versions.parse::<VersionReq>(), Version::parse(version))
        else {
            return false;
        };
        self.arch == arch && versions.matches(&released(version))
    }
}

/// How many eras one may inherit from, one by one.
const DEEPEST: usize = 8;
const TOO_DEEP: &str = "it inherits from too many eras, or from itself";

impl Era {
    /// Reads the era in the file `path`, with what it inherits from files beside it.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let format = |source| Error::Format { path: path.to_owned(), source: Box::new(source) };
        let text = text(path)?;
        let table: Table = toml::from_str(&text).map_err(format)?;
        let era: Self = if table.contains_key("inherits") {
            inherited(path, table, 0)?.try_into().map_err(format)?
        } else {
            // From the text, so that messages have line and column.
            toml::from_str(&text).map_err(format)?
        };
        match era.contradiction() {
            None => Ok(era),
            Some(problem) => Err(Error::Content { path: path.to_owned(), problem }),
        }
    }

    /// The era in the folder `dir` that describes `version` on `arch`, and its name.
    pub fn find(dir: &Path, arch: Arch, version: &str) -> Result<(String, Self), Error> {
        let name = Self::name(dir, arch, version)?;
        let era = Self::load(&dir.join(format!("{name}.toml")))?;
        Ok((name, era))
    }

    /// The names of the eras in `dir` that make up the era `name`: it, and what it inherits from.
    pub fn chain(dir: &Path, name: &str) -> Result<Vec<String>, Error> {
        let mut chain = vec![name.to_owned()];
        while let Some(last) = chain.last()
            && let path = dir.join(format!("{last}.toml"))
            && let Some(base) = Head::load(&path)?.inherits
        {
            if chain.len() > DEEPEST {
                return Err(Error::Content { path, problem: TOO_DEEP.to_owned() });
            }
            chain.push(base);
        }
        Ok(chain)
    }

    /// The name of that era. Of the others only what they are for is looked at: a build with nothing to do reads all
    /// of them.
    pub fn name(dir: &Path, arch: Arch, version: &str) -> Result<String, Error> {
        let (mut found, mut known) = (None::<String>, Vec::new());
        for entry in files::sorted_entries(dir)? {
            let name = entry.file_name().to_string_lossy().into_owned();
            let Some(name) = name.strip_suffix(".toml").map(str::to_owned) else { continue };
            let scope = Scope::load(&entry.path())?;
            known.push(format!("{} on {}", scope.versions, scope.arch));
            if !scope.describes(arch, version) {
                continue;
            }
            let (version, dir) = (version.to_owned(), dir.to_owned());
            match found {
                None => found = Some(name),
                Some(first) => return Err(Error::Both { version, arch, dir, first, second: name }),
            }
        }
        let (version, dir) = (version.to_owned(), dir.to_owned());
        found.ok_or_else(|| Error::None { version, arch, dir, known: known.join("; ") })
    }

    /// What in it contradicts itself, or what the system-call stubs can do.
    fn contradiction(&self) -> Option<String> {
        if let Err(error) = self.versions.parse::<VersionReq>() {
            return Some(format!("`versions = \"{}\"` is no range of releases: {error}", self.versions));
        }
        if self.arch != Arch::X86_64 {
            return Some(format!("there are no system-call stubs for {}", self.arch));
        }
        if self.word_bits != 64 || self.rules.register_words != 4 {
            return Some("on x86_64 `word-bits` is 64 and `register-words` is 4".to_owned());
        }
        let bitfield = |name: &String| self.bitfields.iter().any(|bitfield| bitfield.name == *name);
        for (name, known) in &self.types {
            if !(known.bits.is_power_of_two() && known.bits <= self.word_bits) {
                return Some(format!(
                    "`{name}` has {} bits; a power of two up to a word is expected",
                    known.bits
                ));
            }
            if (known.kind == TypeKind::Bitfield) != known.bitfield.as_ref().is_some_and(bitfield) {
                return Some(format!("`{name}` must name one of the bitfields exactly if that is its kind"));
            }
        }
        for bitfield in &self.bitfields {
            for field in &bitfield.fields {
                let end = field.shift.saturating_add(field.bits);
                if field.bits == 0 || end > self.word_bits {
                    return Some(format!("`{}.{}` does not fit into a word", bitfield.name, field.name));
                }
            }
        }
        None
    }
}

fn text(path: &Path) -> Result<String, Error> {
    fs::read_to_string(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => Error::Missing { path: path.to_owned() },
        _ => files::Error::at("read", path)(source).into(),
    })
}

/// `table`, read from `path`, laid over the file that its `inherits` names.
fn inherited(path: &Path, mut table: Table, depth: usize) -> Result<Table, Error> {
    let content = |problem: &str| Error::Content { path: path.to_owned(), problem: problem.to_owned() };
    let Some(base) = table.remove("inherits") else { return Ok(table) };
    let Value::String(base) = base else { return Err(content("`inherits` is the name of an era")) };
    if depth == DEEPEST {
        return Err(content(TOO_DEEP));
    }
    let base = path.with_file_name(format!("{base}.toml"));
    let below: Table = toml::from_str(&text(&base)?)
        .map_err(|source| Error::Format { path: base.clone(), source: Box::new(source) })?;
    let mut below = inherited(&base, below, depth + 1)?;
    lay_over(&mut below, table);
    Ok(below)
}

/// Puts `above` over `below`: tables key by key, lists of named tables name by name, all else as a whole.
fn lay_over(below: &mut Table, above: Table) {
    for (key, value) in above {
        match (below.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => lay_over(below, above),
            (Some(Value::Array(below)), Value::Array(above)) if is_named(&above) => {
                for item in above {
                    match below.iter_mut().find(|known| name(known) == name(&item)) {
                        Some(known) => *known = item,
                        None => below.push(item),
                    }
                }
            }
            (_, value) => {
                below.insert(key, value);
            }
        }
    }
}

/// Whether a list is one of named tables. An empty one is not: it leaves nothing of what is below it.
fn is_named(list: &[Value]) -> bool {
    !list.is_empty() && list.iter().all(|item| name(item).is_some())
}

fn name(item: &Value) -> Option<&str> {
    item.get("name")?.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_era_is_found_with_all_that_it_inherits_from() {
        let dir = crate::Project::here().eras();
        let found = |version: &str| {
            let name = Era::name(&dir, Arch::X86_64, version).unwrap();
            assert_eq!(Era::find(&dir, Arch::X86_64, version).unwrap().0, name);
            Era::chain(&dir, &name).unwrap()
        };
        assert_eq!(found("5.0.0"), ["kconfig-5"]);
        assert_eq!(found("10.1.1"), ["cmake-10", "cmake-13"]);
        assert_eq!(found("11.0.0"), ["cmake-11", "cmake-12", "cmake-13"]);
        assert_eq!(
            [found("12.0.0"), found("12.1.0")].concat(),
            ["cmake-12", "cmake-13", "cmake-12", "cmake-13"]
        );
        assert_eq!(found("16.0.0-dev"), ["cmake-13"]);
        assert!(matches!(Era::name(&dir, Arch::Aarch64, "16.0.0"), Err(Error::None { .. })));
        let circle = tempfile::tempdir().unwrap();
        fs::write(circle.path().join("a.toml"), "inherits = 'a'\n").unwrap();
        for error in [
            Era::chain(circle.path(), "a").unwrap_err(),
            Era::name(circle.path(), Arch::X86_64, "16.0.0").unwrap_err(),
        ] {
            assert!(error.to_string().contains(TOO_DEEP), "{error}");
        }
    }

    #[test]
    fn what_is_inherited_is_replaced_name_by_name() {
        let table = |text: &str| toml::from_str::<Table>(text).unwrap();
        let mut below = table(
            "a = 1\nl = [1]\n[t]\nx = 1\ny = 2\n[[g]]\nname = 'one'\nv = [1, 2]\n[[g]]\nname = 'two'\nv = [3]",
        );
        lay_over(
            &mut below,
            table("a = 2\nl = []\n[t]\ny = 3\n[[g]]\nname = 'one'\nw = 0\n[[g]]\nname = 'three'"),
        );
        let expected = table(
            "a = 2\nl = []\n[t]\nx = 1\ny = 3\n[[g]]\nname = 'one'\nw = 0\n[[g]]\nname = 'two'\nv = [3]\n[[g]]\nname = 'three'",
        );
        assert_eq!(below, expected);
    }
}
