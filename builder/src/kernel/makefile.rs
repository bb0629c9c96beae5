//! Which sources a Makefile-era tree is built from: its own Makefiles, read.
//!
//! Only the small language is understood in which those files list sources: assignments, `include`
//! and conditionals on variables. Anything else is an error, so that no source is overlooked.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};

/// The sources of one kernel, relative to the tree, each list sorted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sources {
    /// C files, in the order in which they are concatenated.
    pub(super) c: Vec<PathBuf>,
    /// Assembly files.
    pub(super) asm: Vec<PathBuf>,
    /// Bitfield descriptions, relative to the include folder that has them.
    pub(super) bitfields: Vec<PathBuf>,
    /// Folders below the generated headers that are searched too.
    pub(super) include_dirs: Vec<PathBuf>,
}

/// A Makefile that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not there.
    #[error("{file}: {source}\n  help: the kernel's tree is not the one that its kernel config describes")]
    Io {
        /// The Makefile, or a source that it lists.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It says something that this reader does not know.
    #[error(
        "{file}:{row}: `{line}` is not understood\n  help: only trees up to seL4 10.0 are built from their Makefiles"
    )]
    Line {
        /// The Makefile.
        file: PathBuf,
        /// The row, from 1.
        row: usize,
        /// The line.
        line: String,
    },
}

/// Reads the Makefiles of the tree in `root` with these variables set.
pub(super) fn sources(root: &Path, variables: &[(&str, &str)]) -> Result<Sources, Error> {
    let mut make = Make { root, variables: BTreeMap::new() };
    for (name, value) in variables {
        make.variables.insert((*name).to_owned(), vec![(*value).to_owned()]);
    }
    // In the tree's top Makefile these includes stand among much that is not about sources.
    for folder in [
        "include/arch/$(ARCH)/arch",
        "include/plat/$(PLAT)/plat",
        "src/arch/$(ARCH)",
        "src/plat/$(PLAT)",
        "include",
        "src",
    ] {
        make.read(&root.join(make.expand(folder)).join("Makefile"))?;
    }
    make.sources()
}

struct Make<'a> {
    root: &'a Path,
    variables: BTreeMap<String, Vec<String>>,
}

impl Make<'_> {
    fn words(&self, name: &str) -> &[String] {
        self.variables.get(name).map_or(&[], Vec::as_slice)
    }

    /// Replaces `$(NAME)` and `${NAME}`; what is not such a reference stays as it is.
    fn expand(&self, text: &str) -> String {
        let Some((before, rest)) = text.split_once('$') else { return text.to_owned() };
        let close = if rest.starts_with('{') { '}' } else { ')' };
        match rest.strip_prefix(['(', '{']).and_then(|rest| rest.split_once(close)) {
            Some((name, after)) if is_name(name) => {
                format!("{before}{}{}", self.words(name).join(" "), self.expand(after))
            }
            _ => format!("{before}${rest}"),
        }
    }

    fn read(&mut self, file: &Path) -> Result<(), Error> {
        let text = fs::read_to_string(file).map_err(|source| Error::Io { file: file.to_owned(), source })?;
        // Whether the lines of each open conditional count.
        let mut open: Vec<bool> = Vec::new();
        for (row, line) in logical_lines(&text) {
            let line = line.trim();
            let error = || Error::Line { file: file.to_owned(), row, line: line.to_owned() };
            let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
            match word {
                "ifdef" => open.push(!self.words(rest.trim()).is_empty()),
                "ifndef" => open.push(self.words(rest.trim()).is_empty()),
                "ifeq" => open.push(self.equal(rest).ok_or_else(error)?),
                "ifneq" => open.push(!self.equal(rest).ok_or_else(error)?),
                "else" if rest.is_empty() => {
                    let last = open.last_mut().ok_or_else(error)?;
                    *last = !*last;
                }
                "endif" => {
                    open.pop().ok_or_else(error)?;
                }
                _ if open.contains(&false) => {}
                "include" => {
                    let path = self.expand(rest.trim());
                    self.read(&self.root.join(path.trim_start_matches('/')))?;
                }
                _ => self.assign(line).ok_or_else(error)?,
            }
        }
        Ok(())
    }

    /// `(A, B)`, whether both are the same.
    fn equal(&self, text: &str) -> Option<bool> {
        let (left, right) = text.trim().strip_prefix('(')?.strip_suffix(')')?.split_once(',')?;
        Some(self.expand(left).trim() == self.expand(right).trim())
    }

    fn assign(&mut self, line: &str) -> Option<()> {
        let (left, value) = line.split_once('=')?;
        let (name, add) = match left.strip_suffix('+') {
            Some(name) => (name, true),
            None => (left.strip_suffix(':').unwrap_or(left), false),
        };
        let name = name.trim();
        let value = self.expand(value);
        if !is_name(name) || value.contains('$') {
            return None;
        }
        let words = value.split_whitespace().map(str::to_owned);
        let variable = self.variables.entry(name.to_owned()).or_default();
        if !add {
            variable.clear();
        }
        variable.extend(words);
        Some(())
    }

    fn sources(&self) -> Result<Sources, Error> {
        let arch = self.expand("src/arch/$(ARCH)");
        let plat = self.expand("src/plat/$(PLAT)");
        let list = |kind: &str| {
            let at = |prefix: &str, folder: &str| -> Vec<PathBuf> {
                let words = self.words(&format!("{prefix}{kind}_SOURCES"));
                words.iter().map(|word| Path::new(folder).join(word)).collect()
            };
            let all: BTreeSet<_> =
                [at("", ""), at("ARCH_", &arch), at("PLAT_", &plat)].into_iter().flatten().collect();
            all
        };
        // `make` sorts by bytes, not by components: `a-b/c` comes before `a/b`.
        let sorted = |kind: &str| {
            let mut files: Vec<_> = list(kind).into_iter().collect();
            files.sort_by(|a, b| a.as_os_str().as_encoded_bytes().cmp(b.as_os_str().as_encoded_bytes()));
            files
        };
        let sources = Sources {
            c: sorted("C"),
            asm: sorted("ASM"),
            bitfields: self.words("BF_SOURCES").iter().map(PathBuf::from).collect(),
            include_dirs: self.words("INCLUDE_DIRS").iter().map(PathBuf::from).collect(),
        };
        for file in sources.c.iter().chain(&sources.asm) {
            let file = self.root.join(file);
            fs::metadata(&file).map_err(|source| Error::Io { file, source })?;
        }
        Ok(sources)
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Lines with their row: comments removed, continued lines joined, empty ones left out.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    let mut goes_on = false;
    for (index, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim_end();
        let (line, continued) = line.strip_suffix('\\').map_or((line, false), |line| (line, true));
        match lines.last_mut().filter(|_| goes_on) {
            Some((_, last)) => *last = format!("{last} {line}"),
            None => lines.push((index + 1, line.to_owned())),
        }
        goes_on = continued;
    }
    lines.retain(|(_, line)| !line.trim().is_empty());
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(main: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        for folder in ["include/arch/x86/arch", "include/plat/pc99/plat", "src/plat/pc99", "include"] {
            write(&format!("{folder}/Makefile"), "# nothing\n");
        }
        write("src/Makefile", main);
        write(
            "src/arch/x86/Makefile",
            "ARCH_C_SOURCES += idle.c \\\n  64/traps.c # two\nARCH_ASM_SOURCES += head.S\n",
        );
        for file in
            ["src/a.c", "src/b.c", "src/arch/x86/idle.c", "src/arch/x86/64/traps.c", "src/arch/x86/head.S"]
        {
            write(file, "");
        }
        dir
    }

    fn read(main: &str, variables: &[(&str, &str)]) -> Result<Sources, String> {
        let dir = tree(main);
        let mut all = vec![("ARCH", "x86"), ("PLAT", "pc99")];
        all.extend(variables);
        sources(dir.path(), &all)
            .map_err(|error| error.to_string().replace(dir.path().to_str().unwrap(), "TREE"))
    }

    #[test]
    fn sources_are_sorted_and_each_is_there_once() {
        let sources =
            read("C_SOURCES += src/b.c src/a.c\nC_SOURCES += src/b.c\nBF_SOURCES += x.bf\n", &[]).unwrap();
        let names = ["src/a.c", "src/arch/x86/64/traps.c", "src/arch/x86/idle.c", "src/b.c"];
        assert_eq!(sources.c, names.map(PathBuf::from));
        assert_eq!(sources.asm, [PathBuf::from("src/arch/x86/head.S")]);
        assert_eq!(sources.bitfields, [PathBuf::from("x.bf")]);
    }

    #[test]
    fn conditionals_follow_the_variables() {
        let text = "ifdef DEBUG\nC_SOURCES += src/a.c\nelse\nC_SOURCES += src/b.c\nendif\n\
                    ifeq (${ARCH}, arm)\nC_SOURCES += src/missing.c\nendif\n";
        let has = |sources: &Sources, name: &str| sources.c.contains(&PathBuf::from(name));
        let debug = read(text, &[("DEBUG", "1")]).unwrap();
        assert!(has(&debug, "src/a.c") && !has(&debug, "src/b.c"));
        let release = read(text, &[]).unwrap();
        assert!(!has(&release, "src/a.c") && has(&release, "src/b.c"));
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        for line in ["C_SOURCES += $(wildcard src/*.c)", "all: x", "endif", "foreach"] {
            let error = read(&format!("\n{line}\n"), &[]).unwrap_err();
            assert!(
                error.starts_with(&format!("TREE/src/Makefile:2: `{line}` is not understood")),
                "{error}"
            );
        }
    }

    #[test]
    fn a_listed_source_that_is_missing_is_an_error() {
        assert!(read("C_SOURCES += src/missing.c\n", &[]).unwrap_err().starts_with("TREE/src/missing.c: "));
        assert!(
            read("include ${SOURCE_ROOT}/src/x/Makefile\n", &[])
                .unwrap_err()
                .starts_with("TREE/src/x/Makefile: ")
        );
    }
}
