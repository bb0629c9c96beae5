//! A miniature source package in a repository of its own, fetched, unpacked and prepared by the real tools.

use super::*;
use crate::{
    ExitCode, Project,
    context::{Progress, Silent},
};
use flate2::{Compression, write::GzEncoder};
use std::{fs, io::Write, os::unix::fs::PermissionsExt, sync::Mutex};

const PATCH: &str = "--- a/hello.c\n+++ b/hello.c\n@@ -1 +1 @@\n-int main(void) { return 1; }\n+int main(void) { return 0; }\n";

/// A repository with versions of the package `mini`, and a project that knows it.
struct Place {
    dir: tempfile::TempDir,
    project: Project,
}

/// One entry of an archive: its path, then a file's content or a link's target.
type Entry<'a> = (&'a str, Result<&'a str, &'a str>);

fn archive(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (path, content) in entries {
        let mut header = tar::Header::new_gnu();
        // The crate's own setters refuse what a hostile archive has.
        header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_mode(0o755);
        header.set_mtime(1_000_000_000);
        let bytes = match content {
            Ok(text) => text.as_bytes(),
            Err(target) => {
                header.set_entry_type(tar::EntryType::Symlink);
                header.set_link_name_literal(target).unwrap();
                b""
            }
        };
        header.set_size(bytes.len() as u64);
        header.set_cksum();
        tar.append(&header, bytes).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap()
}

impl Place {
    /// None where the host lacks Debian's tools, and a line that says so.
    fn new(test: &str) -> Option<Self> {
        let lacks = ["apt-get", "dpkg-source"].into_iter().find(|tool| exec::which(tool.as_ref()).is_none());
        if let Some(tool) = lacks {
            let _ = writeln!(std::io::stderr(), "SKIP {test}: the host lacks {tool}");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("project");
        fs::create_dir_all(&root).unwrap();
        fs::create_dir_all(dir.path().join("repository")).unwrap();
        let project = Project { out: root.join("out"), root };
        Some(Self { dir, project })
    }

    fn repository(&self) -> PathBuf {
        self.dir.path().join("repository")
    }

    /// Adds a version with these further entries to the repository.
    fn add(&self, version: &str, more: &[Entry<'_>]) -> Package {
        let upstream = version.split('-').next().unwrap();
        let mut entries: Vec<Entry<'_>> = vec![
            ("mini-1/hello.c", Ok("int main(void) { return 1; }\n")),
            ("mini-1/make.sh", Ok("#!/bin/sh\necho \"int made = $1;\" > made.c\nenv > environment\n")),
        ];
        entries.extend(more);
        let debian = [
            ("debian/source/format", Ok("3.0 (quilt)\n")),
            ("debian/changelog", Ok("mini (1-1) x; urgency=low\n")),
            ("debian/patches/series", Ok("fix\n")),
            ("debian/patches/fix", Ok(PATCH)),
        ];
        let files = [
            (format!("mini_{upstream}.orig.tar.gz"), archive(&entries)),
            (format!("mini_{version}.debian.tar.gz"), archive(&debian)),
        ];
        let mut list = String::new();
        let mut old_list = String::new();
        for (name, content) in &files {
            fs::write(self.repository().join(name), content).unwrap();
            list.push_str(&format!(" {} {} {name}\n", Digest::of(content), content.len()));
            old_list.push_str(&format!(" {:032x} {} {name}\n", 0, content.len()));
        }
        let dsc = format!(
            "Format: 3.0 (quilt)\nSource: mini\nBinary: mini\nVersion: {version}\nMaintainer: A <a@example.org>\nArchitecture: any\nStandards-Version: 4.0\nChecksums-Sha256:\n{list}Files:\n{old_list}"
        );
        let name = format!("mini_{version}.dsc");
        fs::write(self.repository().join(&name), &dsc).unwrap();
        let sha256 = Digest::of(&dsc);
        let index = self.repository().join("Sources");
        let mut sources = fs::read_to_string(&index).unwrap_or_default();
        sources.push_str(&format!(
            "Package: mini\nFormat: 3.0 (quilt)\nBinary: mini\nVersion: {version}\nDirectory: .\nChecksums-Sha256:\n {sha256} {} {name}\n{list}\n",
            dsc.len()
        ));
        fs::write(index, sources).unwrap();
        Package { name: "mini".into(), version: version.into(), sha256 }
    }

    fn sources(&self) -> sources::Sources {
        let line = format!("deb-src [trusted=yes] copy:{} ./\n", self.repository().display());
        [("000.list".to_owned(), line)].into()
    }

    fn fetch(&self, package: &Package) -> Result<PathBuf, Error> {
        fetch_from(&Context::new(&self.project, &Silent), package, || Ok(self.sources()))
    }

    fn prepare(&self, package: &Package, commands: &[&[&str]]) -> Result<Prepared, Error> {
        self.fetch(package)?;
        let commands: Vec<Vec<String>> =
            commands.iter().map(|words| words.iter().map(|word| (*word).to_owned()).collect()).collect();
        prepare(&Context::new(&self.project, &Silent), package, &commands)
    }

    /// Nothing whole or half-made lies in the cache of `step`.
    fn is_clean_of(&self, step: &str) {
        let entries = files::sorted_entries(&self.project.cache().join("steps").join(step)).unwrap();
        assert!(entries.iter().all(|entry| !entry.path().is_dir()), "{entries:?}");
    }
}

#[test]
fn a_package_is_fetched_once_and_then_without_its_mirror() {
    let Some(place) = Place::new("a_package_is_fetched_once_and_then_without_its_mirror") else { return };
    let package = place.add("1-1", &[]);
    let dir = place.fetch(&package).unwrap();
    let names = files::sorted_entries(&dir).unwrap();
    let names: Vec<_> = names.iter().map(|entry| entry.file_name().into_string().unwrap()).collect();
    assert_eq!(names, ["mini_1-1.debian.tar.gz", "mini_1-1.dsc", "mini_1.orig.tar.gz"]);

    fs::remove_dir_all(place.repository()).unwrap();
    let nobody = || panic!("what is in the cache needs no mirror");
    let again = fetch_from(&Context::new(&place.project, &Silent), &package, nobody).unwrap();
    assert_eq!(again, dir);
}

#[test]
fn a_version_that_is_gone_is_said_with_those_that_are_there() {
    let Some(place) = Place::new("a_version_that_is_gone_is_said_with_those_that_are_there") else { return };
    let mut package = place.add("1-1", &[]);
    place.add("2-1~b", &[]);
    package.version = "0-1".into();
    let error = place.fetch(&package).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, Error::NotThere { .. }) && text.contains("mini 0-1 cannot be had"), "{text}");
    assert!(text.contains("versions 2-1~b, 1-1") || text.contains("versions 1-1, 2-1~b"), "{text}");
    package.name = "minimal".into();
    let text = place.fetch(&package).unwrap_err().to_string();
    assert!(text.contains("has no source package of that name"), "{text}");
    place.is_clean_of("debian-source");
}

#[test]
fn what_is_not_what_is_pinned_is_refused_and_leaves_nothing() {
    let Some(place) = Place::new("what_is_not_what_is_pinned_is_refused_and_leaves_nothing") else { return };
    let package = place.add("1-1", &[]);
    let other = Package { sha256: Digest::of("other"), ..package.clone() };
    let error = place.fetch(&other).unwrap_err();
    assert!(matches!(error, Error::Digest { found, .. } if found == package.sha256), "{error}");
    assert_eq!(error.exit_code(), ExitCode::Failed);
    place.is_clean_of("debian-source");

    // apt itself compares with the list; a mirror that lies in both is caught by the description.
    let orig = place.repository().join("mini_1.orig.tar.gz");
    let whole = fs::read(&orig).unwrap();
    let list = place.repository().join("Sources");
    let sources = fs::read_to_string(&list).unwrap();
    for (content, in_list) in [(&whole[..whole.len() / 2], false), (&[whole.as_slice(), b"x"].concat(), true)]
    {
        fs::write(&orig, content).unwrap();
        if in_list {
            let said = format!("{} {}", Digest::of(&whole), whole.len());
            let lie = format!("{} {}", Digest::of(content), content.len());
            fs::write(&list, sources.replace(&said, &lie)).unwrap();
        }
        let error = place.fetch(&package).unwrap_err();
        assert_eq!(matches!(error, Error::Broken { .. }), in_list, "{error}");
        assert!(error.to_string().contains("mini_1.orig.tar.gz") || !in_list, "{error}");
        place.is_clean_of("debian-source");
    }

    fs::write(&orig, &whole).unwrap();
    fs::write(&list, &sources).unwrap();
    place.fetch(&package).unwrap();
}

#[test]
fn a_tree_is_patched_and_prepared_and_the_same_wherever_it_is_made() {
    let test = "a_tree_is_patched_and_prepared_and_the_same_wherever_it_is_made";
    let (Some(one), Some(two)) = (Place::new(test), Place::new(test)) else { return };
    let commands: &[&[&str]] = &[&["sh", "make.sh", "7"], &["./make.sh", "8"]];
    let made = [&one, &two].map(|place| {
        let package = place.add("1-1", &[("mini-1/link.c", Err("hello.c"))]);
        let made = place.prepare(&package, commands).unwrap();
        assert_eq!(place.prepare(&package, commands).unwrap().dir, made.dir);
        assert_ne!(place.prepare(&package, &[]).unwrap().key, made.key);
        made
    });
    assert_eq!(made[0].key, made[1].key);
    let text = |name: &str| fs::read_to_string(made[0].dir.join(name)).unwrap();
    assert_eq!(text("link.c"), "int main(void) { return 0; }\n");
    assert_eq!(text("made.c"), "int made = 8;\n");
    let environment = text("environment");
    let names = environment.lines().filter_map(|line| line.split('=').next());
    let shell = ["PWD", "OLDPWD", "SHLVL", "_"];
    let mut names: Vec<_> = names.filter(|name| !shell.contains(name)).collect();
    names.sort_unstable();
    assert_eq!(names, ["HOME", "LC_ALL", "PATH", "SOURCE_DATE_EPOCH", "TMPDIR", "TZ"]);
    assert!(made[0].dir.join("make.sh").metadata().unwrap().permissions().mode() & 0o100 != 0);
    let digests = [&one, &two].into_iter().zip(&made).map(|(place, made)| {
        fs::remove_file(made.dir.join("environment")).unwrap();
        tree::digest(&Context::new(&place.project, &Silent), &made.dir).unwrap()
    });
    let digests: Vec<_> = digests.collect();
    assert_eq!(digests[0], digests[1]);
}

#[test]
fn a_hostile_package_reaches_nothing_outside() {
    let Some(place) = Place::new("a_hostile_package_reaches_nothing_outside") else { return };
    let outside = place.dir.path().join("outside");
    let absolute = outside.to_str().unwrap();
    let entries: [&[Entry<'_>]; 4] = [
        &[("mini-1/../../../../outside", Ok("x"))],
        &[("mini-1/up", Err("../../..")), ("mini-1/up/outside", Ok("x"))],
        &[("mini-1/away", Err(absolute)), ("mini-1/away/x", Ok("x"))],
        &[("mini-1/away", Err("/etc"))],
    ];
    for (number, entries) in entries.iter().enumerate() {
        let package = place.add(&format!("{}-1", number + 10), entries);
        let error = place.prepare(&package, &[]).unwrap_err();
        assert!(matches!(error, Error::Unpack { .. } | Error::Escapes { .. }), "{number}: {error}");
        assert!(!outside.exists(), "{number}");
        place.is_clean_of("debian-tree");
    }
}

#[test]
fn a_command_that_fails_or_is_missing_is_named() {
    let Some(place) = Place::new("a_command_that_fails_or_is_missing_is_named") else { return };
    let package = place.add("1-1", &[]);
    let failed = place.prepare(&package, &[&["sh", "-c", "echo no such rule >&2; exit 2"]]).unwrap_err();
    let text = failed.to_string();
    assert!(
        text.contains("the source of mini cannot be prepared") && text.contains("no such rule"),
        "{text}"
    );
    let missing = place.prepare(&package, &[&["no-such-program"]]).unwrap_err();
    assert_eq!(missing.exit_code(), ExitCode::HostLacks);
    assert!(
        missing.to_string().contains("`no-such-program`, which prepares the source of mini"),
        "{missing}"
    );
    place.is_clean_of("debian-tree");
}

#[test]
fn fetching_is_told() {
    #[derive(Default)]
    struct Told(Mutex<Vec<String>>);
    impl Progress for Told {
        fn begin(&self, step: &str) {
            self.0.lock().unwrap().push(format!("begin {step}"));
        }
        fn end(&self, step: &str, note: &str) {
            self.0.lock().unwrap().push(format!("end {step}: {note}"));
        }
        fn note(&self, _: &str) {}
    }
    let Some(place) = Place::new("fetching_is_told") else { return };
    let package = place.add("1-1", &[]);
    let told = Told::default();
    fetch_from(&Context::new(&place.project, &told), &package, || Ok(place.sources())).unwrap();
    let told = told.0.into_inner().unwrap();
    assert_eq!(told, ["begin source package mini 1-1", "end source package mini 1-1: fetched"]);
}
