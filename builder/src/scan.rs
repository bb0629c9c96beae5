//! The last look at an image: whether anything of this machine is in it.
//!
//! All files of an image are searched but the log of the build: for paths of this machine, and for the names of its
//! user and of itself. A path counts when it is longer than `/usr/local`; a name when it has at least five letters
//! or digits, is none of `builder/data/usual-names.txt`, stands alone, and is no word of the inputs: what the
//! sources say is the same on every machine. What the recipe says is no leak either, whatever it is.

use crate::{Context, elf::Elf, files, image::Member, plan::Plan, root_task::leaks};
use memchr::memmem::Finder;
use rustix::{process::geteuid, system::uname};
use std::{
    collections::BTreeSet,
    env, fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

/// Shorter names are found by chance.
const LEAST: usize = 5;
/// Inputs that are larger are not searched for a name.
const MOST: u64 = 64 << 20;
/// The names that count for nothing.
const USUAL: &str = include_str!("../data/usual-names.txt");

/// Something of this machine is in an image.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It was found.
    #[error(
        "`{member}` of the image contains the {what} `{text}` of this machine, at file offset {offset:#x}{section}\n  help: where, by whom and on which machine an image is built may not be in it; look for what a build script or a generator writes (`file!()`, `__FILE__`, the output of `hostname` or `id`)"
    )]
    Leak {
        /// The file of the image.
        member: String,
        /// What it is.
        what: &'static str,
        /// The text.
        text: String,
        /// Offset in the file.
        offset: u64,
        /// The section of an ELF file that it is in.
        section: String,
    },
    /// A file could not be read.
    #[error(transparent)]
    Files(#[from] files::Error),
}

crate::exit_code!(Error, |error| match error {
    Error::Files(error) => error.exit_code(),
    Error::Leak { .. } => crate::ExitCode::Failed,
});

/// What must not be in an image.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Needle {
    what: &'static str,
    text: Vec<u8>,
}

/// Looks through the files of an image in `dir`.
pub(crate) fn image(ctx: &Context<'_>, plan: &Plan, dir: &Path, members: &[Member]) -> Result<(), Error> {
    let recipe = files::read(&plan.recipe.path).unwrap_or_default();
    let mut needles = needles(ctx, plan);
    needles.retain(|needle| Finder::new(&needle.text).find(&recipe).is_none());
    // Names are looked for in all inputs, but only once one is found.
    let mut said: Vec<Vec<u8>> = Vec::new();
    for member in members {
        let content = files::read(&dir.join(&member.name))?;
        for needle in &needles {
            let Some(offset) = find(&content, needle) else { continue };
            if needle.what != PATH && (said.contains(&needle.text) || said_by_inputs(ctx, plan, needle)) {
                said.push(needle.text.clone());
                continue;
            }
            return Err(leak(&member.name, &content, needle, offset));
        }
    }
    Ok(())
}

fn leak(member: &str, content: &[u8], needle: &Needle, offset: usize) -> Error {
    let end = content[offset..].iter().position(|byte| !byte.is_ascii_graphic());
    let least = needle.text.len();
    let most = if needle.what == PATH { 200.max(least) } else { least };
    let text = &content[offset..offset + end.unwrap_or(least).clamp(least, most)];
    let section = Elf::parse(content)
        .ok()
        .and_then(|elf| elf.section_at(offset as u64).map(|one| format!(" (section {})", one.name)));
    Error::Leak {
        member: member.to_owned(),
        what: needle.what,
        text: String::from_utf8_lossy(text).into_owned(),
        offset: offset as u64,
        section: section.unwrap_or_default(),
    }
}

const PATH: &str = "path";

/// Where a needle is: a path anywhere, a name where it stands alone.
fn find(content: &[u8], needle: &Needle) -> Option<usize> {
    let found = Finder::new(&needle.text);
    let mut places = found.find_iter(content);
    if needle.what == PATH {
        return places.next();
    }
    let part = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    places.find(|at| {
        let before = at.checked_sub(1).and_then(|before| content.get(before));
        !part(before) && !part(content.get(at + needle.text.len()))
    })
}

/// Everything of this machine that an image may not have.
fn needles(ctx: &Context<'_>, plan: &Plan) -> Vec<Needle> {
    let home = env::home_dir();
    let mut paths = leaks::common_places(ctx.project, &plan.toolchain);
    paths.extend(plan.inputs.iter().filter_map(|input| input.path.clone()).filter(|path| path.is_dir()));
    paths.extend(leaks::source_folder(&plan.recipe).map(Path::to_owned));
    paths.extend(home.filter(|home| tells(home)));
    paths.push(env::temp_dir());
    // What a distribution installs lies there on all its machines.
    paths.retain(|path| {
        leaks::worth_a_look(path) && !path.starts_with("/usr") && path != Path::new("/var/tmp")
    });
    let paths: BTreeSet<PathBuf> = paths.into_iter().collect();
    let paths = paths.iter().map(|path| Needle { what: PATH, text: path.as_os_str().as_bytes().to_vec() });
    let users = users().into_iter().map(|name| ("user name", name));
    let hosts = hosts().into_iter().map(|name| ("host name", name));
    let names = users.chain(hosts).filter(|(_, name)| counts(name));
    paths.chain(names.map(|(what, name)| Needle { what, text: name.into_bytes() })).collect()
}

/// Whether a home folder is one that only this machine has.
fn tells(home: &Path) -> bool {
    let name = home.file_name().unwrap_or_default().to_string_lossy();
    counts(&name) || home.components().count() > 4
}

/// Whether a name says something of this machine.
fn counts(name: &str) -> bool {
    let letters = name.chars().filter(|c| c.is_ascii_alphanumeric()).count();
    letters >= LEAST && !USUAL.lines().any(|usual| usual.eq_ignore_ascii_case(name))
}

/// What the user is called: by the environment, and by the table of users.
fn users() -> BTreeSet<String> {
    let table = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let own = geteuid().as_raw().to_string();
    let listed = table.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == own).then(|| name.to_owned())
    });
    listed.chain(["USER", "LOGNAME"].into_iter().filter_map(|name| env::var(name).ok())).collect()
}

/// What the machine is called, with its domain and without.
fn hosts() -> BTreeSet<String> {
    let whole = uname().nodename().to_string_lossy().into_owned();
    let first = whole.split('.').next().unwrap_or_default().to_owned();
    [whole, first].into()
}

/// Whether a name is a word of what the image is made from, or of the tools that make it.
fn said_by_inputs(ctx: &Context<'_>, plan: &Plan, needle: &Needle) -> bool {
    let own = ["builder/src", "builder/data", "templates", "runtime"].map(|part| ctx.project.root.join(part));
    let inputs = plan.inputs.iter().filter_map(|input| input.path.clone());
    inputs.chain(own).any(|path| said_below(&path, needle))
}

fn said_below(path: &Path, needle: &Needle) -> bool {
    let entries = walkdir::WalkDir::new(path).sort_by_file_name().into_iter();
    let files = entries.filter_entry(|entry| !is_cache(entry.path())).flatten();
    files.filter(|entry| entry.file_type().is_file()).any(|entry| {
        let content = files::read_at_most(entry.path(), MOST).unwrap_or_default();
        find(&content, needle).is_some()
    })
}

/// What Cargo built there is no source.
fn is_cache(path: &Path) -> bool {
    path.join("CACHEDIR.TAG").is_file()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needle(what: &'static str, text: &str) -> Needle {
        Needle { what, text: text.as_bytes().to_vec() }
    }

    #[test]
    fn names_that_say_something_of_a_machine_count() {
        for name in ["alice", "jdoe42", "build-17", "ip-10-0-0-7"] {
            assert!(counts(name), "{name}");
        }
        for name in ["", "root", "user", "Ubuntu", "localhost", "bob", "vm", "a-b-c-d", "runner"] {
            assert!(!counts(name), "{name}");
        }
    }

    #[test]
    fn a_home_counts_when_its_name_does() {
        assert!(tells(Path::new("/home/alice")) && tells(Path::new("/srv/home/of/user")));
        assert!(!tells(Path::new("/home/user")) && !tells(Path::new("/root")));
    }

    #[test]
    fn a_path_is_found_anywhere_and_a_name_where_it_stands_alone() {
        let path = needle(PATH, "/home/someone/selkie");
        assert_eq!(find(b"0123/home/someone/selkie2\0", &path), Some(4));
        assert_eq!(find(b"/home/someone", &path), None);
        let name = needle("user name", "alice");
        for (text, at) in [("by alice@x", 3), ("malice, alice", 8), ("alice", 0)] {
            assert_eq!(find(text.as_bytes(), &name), Some(at), "{text}");
        }
        for text in ["malice", "alices", "alice_", "Alice", ""] {
            assert_eq!(find(text.as_bytes(), &name), None, "{text}");
        }
    }

    #[test]
    fn a_leak_names_file_offset_and_text() {
        let content = b"0123/home/someone/selkie/src/main.rs\0rest";
        let error = leak("run.sh", content, &needle(PATH, "/home/someone/selkie"), 4);
        let text = error.to_string();
        for part in ["`run.sh`", "`/home/someone/selkie/src/main.rs`", "offset 0x4", "help:"] {
            assert!(text.contains(part), "{text}");
        }
        let error = leak("kernel", b"by alice@host", &needle("user name", "alice"), 3);
        assert!(error.to_string().contains("the user name `alice` of this machine, at file offset 0x3"));
    }

    #[test]
    fn a_word_of_the_inputs_is_found_there() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("a/target")).unwrap();
        fs::write(dir.path().join("a/x.rs"), "// thanks to alice\n").unwrap();
        fs::write(dir.path().join("a/target/CACHEDIR.TAG"), "").unwrap();
        fs::write(dir.path().join("a/target/y"), "robert").unwrap();
        assert!(said_below(dir.path(), &needle("user name", "alice")));
        assert!(!said_below(dir.path(), &needle("user name", "robert")));
    }
}
