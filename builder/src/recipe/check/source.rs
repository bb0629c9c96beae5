//! `[root-task.source]`

use super::{Check, repeated};
use crate::{document::at, recipe::RawSource};

/// What one of these texts names: files, or folders.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Sources,
    Others,
    Folders,
}

impl Check<'_> {
    pub(super) fn source_package(&mut self) {
        let Some(source) = &self.raw.root_task.source else { return };
        if !self.is_rumprun() {
            let help = "write `libos = \"rumprun\"` into [root-task]: programs of Debian expect POSIX";
            self.findings.key(at!["root-task", "source"], "this is for the libOS rumprun", help);
        }
        self.package(source);
        self.commands(source);
        let lists = [
            ("files", &source.files, Place::Sources),
            ("exclude", &source.exclude, Place::Others),
            ("include", &source.include, Place::Folders),
        ];
        for (key, list, place) in lists {
            for (i, written) in list.iter().enumerate() {
                self.inside(key, i, written, place);
            }
            if let Some(i) = repeated(list) {
                let message = format!("`{}` is there twice", list[i].escape_debug());
                self.wrong(at!["root-task", "source", key, i], message, "keep one of them");
            }
        }
        if source.files.is_empty() {
            let help = "name C files of the package, for instance `files = [\"src/*.c\"]`";
            self.wrong(at!["root-task", "source", "files"], "nothing is compiled", help);
        }
    }

    /// Debian's rules for names and versions (Debian Policy 5.6.1, 5.6.12).
    fn package(&mut self, source: &RawSource) {
        let letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let name = source.debian_source.as_str();
        let usual = name.len() >= 2
            && name.starts_with(letter)
            && name.chars().all(|c| letter(c) || "+-.".contains(c));
        if !usual {
            let message = format!("`{}` is no name of a source package", name.escape_debug());
            let help = "write it as `apt-cache showsrc` does: lower-case letters, digits and `+-.`";
            self.wrong(at!["root-task", "source", "debian-source"], message, help);
        }
        let version = source.version.as_str();
        let usual = version.starts_with(|c: char| c.is_ascii_digit())
            && version.chars().all(|c| c.is_ascii_alphanumeric() || "+-.:~".contains(c));
        if !usual {
            let message = format!("`{}` is no version of a source package", version.escape_debug());
            let help = "write all of it as `apt-cache showsrc` does, for instance `\"5.4.4-3+deb12u1\"`";
            self.wrong(at!["root-task", "source", "version"], message, help);
        }
    }

    fn commands(&mut self, source: &RawSource) {
        for (i, words) in source.prepare.iter().enumerate() {
            let at = at!["root-task", "source", "prepare", i];
            let example = "write a program and its arguments: `[\"make\", \"sqlite3.c\"]`";
            match words.first().map(String::as_str) {
                None | Some("") => self.wrong(at, "this is no command", example),
                Some(first) if first.contains(char::is_whitespace) => {
                    let message = format!("`{}` is more than the name of a program", first.escape_debug());
                    self.wrong(at!["root-task", "source", "prepare", i, 0], message, example);
                }
                Some(_) if words.iter().any(|word| word.contains('\0')) => {
                    self.wrong(at, "the command has a NUL character in it", "take it out");
                }
                Some(_) => {}
            }
        }
    }

    /// A path or pattern that stays in the package.
    fn inside(&mut self, key: &str, i: usize, written: &str, place: Place) {
        let at = at!["root-task", "source", key, i];
        let plain = !written.chars().any(char::is_control);
        let mut parts = written.split('/');
        let leads_out =
            parts.any(|part| part == ".." || part.is_empty() || (part == "." && place != Place::Folders));
        if !plain || leads_out {
            let message = format!("`{}` is no plain path in the package", written.escape_debug());
            let help = "write it from the package's top folder, without `..` and doubled slashes";
            return self.wrong(at, message, help);
        }
        match place {
            Place::Folders if written.contains(['*', '?']) => {
                self.wrong(at, format!("`{written}` is a pattern"), "name one folder with headers per text");
            }
            Place::Sources if !self.is_source(written.as_ref()) => {
                let help =
                    "name files that end with `.c`, or with `.cc` or `.cpp` for C++, for instance `src/*.c`";
                self.wrong(at, format!("`{written}` names no C files"), help);
            }
            _ => {}
        }
    }
}
