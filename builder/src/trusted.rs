//! The trusted base of each target: what whoever runs an image relies on, and how large it is.
//!
//! One source for what `inspect` prints and for the tables of `docs/security.md`.

use crate::Target;
use serde::{Deserialize, Serialize};

/// Something that is relied on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Component {
    /// What it is.
    pub name: String,
    /// What it keeps from what.
    pub protects: String,
    /// What it is trusted for.
    pub trusted_for: String,
    /// How large it is; none when nobody counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lines: Option<Lines>,
}

/// Lines of code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all_fields = "kebab-case", untagged)]
pub enum Lines {
    /// Of our own sources: a test counts them.
    Limit {
        /// There are no more.
        at_most: u64,
        /// The folders with the sources.
        of: Vec<String>,
    },
    /// Of somebody else's.
    Estimate {
        /// So many, nearly.
        about: u64,
        /// Who says so, and of what exactly.
        source: String,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Bases {
    qemu: Vec<Component>,
    process: Vec<Component>,
    bare_metal: Vec<Component>,
}

/// What whoever runs an image for `target` relies on.
pub fn base(target: Target) -> Vec<Component> {
    let text = include_str!("../data/trusted-base.toml");
    let bases: Bases = toml::from_str(text).expect("a test reads the table");
    match target {
        Target::Qemu => bases.qemu,
        Target::Process => bases.process,
        Target::BareMetal => bases.bare_metal,
    }
}

impl Component {
    /// Its size for a reader.
    pub fn size(&self) -> String {
        match &self.lines {
            Some(Lines::Limit { at_most, .. }) => format!("at most {}", grouped(*at_most)),
            Some(Lines::Estimate { about, .. }) => format!("about {}", grouped(*about)),
            None => "not counted".to_owned(),
        }
    }
}

/// A number with a comma after every third digit from the end.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy);
    groups.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Project;
    use std::{collections::BTreeSet, fmt::Write as _, fs, path::Path};

    const PAGE: &str = "docs/security.md";
    const END: &str = "<!-- End of what is made -->\n";

    /// Lines of a crate's sources that are neither blank nor comment.
    fn lines(krate: &Path) -> u64 {
        let files = walkdir::WalkDir::new(krate.join("src")).into_iter().map(Result::unwrap);
        let files = files.filter(|entry| entry.file_type().is_file());
        let code = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with("//");
        files.map(|file| fs::read_to_string(file.path()).unwrap().lines().filter(code).count() as u64).sum()
    }

    #[test]
    fn our_own_parts_are_no_larger_than_the_table_says_and_not_much_smaller() {
        let root = Project::here().root;
        let mut counted = BTreeSet::new();
        for component in Target::ALL.iter().flat_map(|target| base(*target)) {
            let Some(Lines::Limit { at_most, of }) = component.lines else { continue };
            let found: u64 = of.iter().map(|folder| lines(&root.join(folder))).sum();
            assert!(found <= at_most, "{of:?} has {found} lines of code, the table says {at_most}");
            assert!(found * 2 > at_most, "{of:?} has {found} lines of code, far from the table's {at_most}");
            counted.extend(of);
        }
        for folder in ["tender/filter", "tender/setup", "tender/table", "tender/host", "tender/model"] {
            assert!(counted.contains(folder), "{folder} is not counted");
        }
    }

    /// The table of the documentation.
    fn table(target: Target) -> String {
        let mut table = String::from(
            "| layer | what it protects | what it is trusted for | lines |\n| --- | --- | --- | --- |\n",
        );
        for component in base(target) {
            let Component { name, protects, trusted_for, lines } = &component;
            let what = match lines {
                Some(Lines::Limit { of, .. }) => format!(" (`{}`)", of.join("`, `")),
                _ => String::new(),
            };
            let _ = writeln!(table, "| {name}{what} | {protects} | {trusted_for} | {} |", component.size());
        }
        for component in base(target) {
            if let Some(Lines::Estimate { about, source }) = &component.lines {
                let _ = write!(table, "\n- {}, about {} lines: {source}.", component.name, grouped(*about));
            }
        }
        table
    }

    #[test]
    fn the_documentation_shows_the_table() {
        let path = Project::here().root.join(PAGE);
        let text = fs::read_to_string(&path).unwrap();
        let mut expected = text.clone();
        for target in Target::ALL {
            let begin = format!(
                "<!-- Made from builder/data/trusted-base.toml, {target}; `cargo xtask test --bless` -->\n"
            );
            let (before, rest) = expected.split_once(&begin).unwrap_or_else(|| panic!("no {begin}"));
            let (_, after) = rest.split_once(END).unwrap();
            expected = format!("{before}{begin}\n{}\n\n{END}{after}", table(*target).trim_end());
        }
        if std::env::var_os("BLESS").is_some() {
            fs::write(&path, &expected).unwrap();
        } else {
            assert!(text == expected, "{PAGE} is not what the table says: `cargo xtask test --bless`");
        }
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!([1, 800, 2500, 40_000_000].map(grouped), ["1", "800", "2,500", "40,000,000"]);
    }
}
