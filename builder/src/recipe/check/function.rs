//! `[function]`

use super::{Check, spdx};
use crate::{document::at, image, process::operator};

/// Longer names do not fit into file names with their suffixes on every file system.
const NAME_LIMIT: usize = 64;

/// Names of files that lie where an executable of the function's name would.
const OWN: [&str; 2] = [image::name::ROOT_TASK, operator::NAME];

impl Check<'_> {
    pub(super) fn function(&mut self) {
        self.name();
        let function = &self.raw.function;
        if let Err(error) = semver::Version::parse(&function.version) {
            let help = match completed(&function.version) {
                Some(version) => format!("write `\"{version}\"`"),
                None => "write three numbers, for instance `\"1.2.0\"` (semver.org)".into(),
            };
            let message = format!("`{}` is not a version: {error}", function.version);
            self.wrong(at!["function", "version"], message, help);
        }
        if function.description.chars().any(char::is_control) {
            let help = "write one line of plain text";
            self.wrong(at!["function", "description"], "the description has a control character in it", help);
        }
        if let Some(Err(bad)) = function.license.as_deref().map(spdx::check) {
            let path = at!["function", "license"];
            let span = self.findings.doc.span_in_text(path, bad.span);
            self.findings.place(span, bad.message, bad.help);
        }
    }

    fn name(&mut self) {
        let name = self.raw.function.name.as_str();
        let at = at!["function", "name"];
        let stem = self.path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if let Some(reason) = name_fault(name) {
            let help = "write small letters, digits and dashes, beginning with a letter, for instance `\"my-function\"`";
            self.wrong(at, format!("`{}` is not a name: {reason}", name.escape_debug()), help);
        } else if name != stem {
            let help = match name_fault(&stem) {
                None => format!("write `name = \"{stem}\"`, or rename the file to `{name}.toml`"),
                Some(_) => format!("rename the file to `{name}.toml`"),
            };
            self.wrong(at, format!("the function is called `{name}`, but its recipe `{stem}.toml`"), help);
        }
    }
}

/// Why a function cannot have this name, which is also a folder's and a file's.
pub(in crate::recipe) fn name_fault(name: &str) -> Option<String> {
    if name.is_empty() {
        return Some("it is empty".into());
    }
    if name.len() > NAME_LIMIT {
        return Some(format!("it has more than {NAME_LIMIT} characters"));
    }
    let allowed = |c: &char| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '-';
    if let Some(c) = name.chars().find(|c| !allowed(c)) {
        return Some(format!("{} cannot be in it", shown(c)));
    }
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) {
        return Some("it does not begin with a letter".into());
    }
    if name.ends_with('-') {
        return Some("it ends with a dash".into());
    }
    OWN.contains(&name).then(|| "Selkie has a file of that name beside a function's executable".into())
}

/// A character, for a message.
fn shown(c: char) -> String {
    match c {
        ' ' => "a space".into(),
        c => format!("`{}`", c.escape_debug()),
    }
}

/// `1.2.0` for `1.2`, `v1.2` and `1`.
fn completed(version: &str) -> Option<String> {
    let bare = version.trim().trim_start_matches(['v', 'V']);
    let parts = bare.split('.').count();
    let full = format!("{bare}{}", ".0".repeat(3_usize.saturating_sub(parts)));
    semver::Version::parse(&full).ok().map(|version| version.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_safe_as_folders_pass_and_others_do_not() {
        for name in ["a", "hello", "hello-c", "x86-64"] {
            assert_eq!(name_fault(name), None, "{name}");
        }
        let long = "a".repeat(65);
        for name in
            ["", ".cache", "..", "a/b", "Hello", "é", "-a", "1a", "a-", "a b", "a\0", &long, "root-task"]
        {
            assert!(name_fault(name).is_some(), "{name}");
        }
    }

    #[test]
    fn short_versions_are_completed() {
        assert_eq!(completed("1.2").as_deref(), Some("1.2.0"));
        assert_eq!(completed("v2").as_deref(), Some("2.0.0"));
        assert_eq!(completed("one"), None);
    }
}
