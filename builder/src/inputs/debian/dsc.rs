//! The description of a source package (deb-src-control(5)): which files it consists of.

use crate::Digest;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A description has at most this many bytes, and names at most so many files: real ones have some thousand, and
/// about five.
pub(super) const MOST: u64 = 1 << 20;
const MOST_FILES: usize = 64;
/// All files together have at most this many bytes.
const MOST_BYTES: u64 = 1 << 30;

/// What a description says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Dsc {
    /// The source package's name.
    pub source: String,
    /// Its version.
    pub version: String,
    /// All files but the description.
    pub files: Vec<File>,
}

/// A file of a source package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Its name.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// The digest of its content.
    pub sha256: Digest,
}

impl Dsc {
    /// Reads a description, signed or not; whose signature it has is not looked at, because the caller knows its digest.
    pub(super) fn parse(content: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(content).map_err(|_| "it is not UTF-8".to_owned())?;
        let (mut source, mut version, mut files) = (None, None, None);
        for (name, value) in fields(text) {
            let place = match name.to_ascii_lowercase().as_str() {
                "source" => &mut source,
                "version" => &mut version,
                "checksums-sha256" => &mut files,
                _ => continue,
            };
            if place.replace(value).is_some() {
                return Err(format!("it has the field `{name}` twice"));
            }
        }
        let need = |value: Option<String>, name: &str| value.ok_or(format!("it has no field `{name}`"));
        let files = need(files, "Checksums-Sha256")?;
        let files: Vec<_> = files.lines().filter(|line| !line.trim().is_empty()).map(File::parse).collect();
        let files = files.into_iter().collect::<Result<Vec<_>, _>>()?;
        let (source, version) = (need(source, "Source")?, need(version, "Version")?);
        let (source, version) = (source.trim().to_owned(), version.trim().to_owned());
        check(&files)?;
        Ok(Self { source, version, files })
    }
}

impl File {
    fn parse(line: &str) -> Result<Self, String> {
        let bad = || format!("`{}` is not a digest, a size and a name", line.trim());
        let words: Vec<_> = line.split_whitespace().collect();
        let [sha256, size, name] = words.as_slice() else { return Err(bad()) };
        let (sha256, size) = (sha256.parse().map_err(|_| bad())?, size.parse().map_err(|_| bad())?);
        Ok(Self { name: (*name).to_owned(), size, sha256 })
    }
}

/// Names lead nowhere else, and there is an end to them.
fn check(files: &[File]) -> Result<(), String> {
    if files.is_empty() || files.len() > MOST_FILES {
        return Err(format!("it names {} files", files.len()));
    }
    if files.iter().try_fold(0_u64, |sum, file| sum.checked_add(file.size)).is_none_or(|sum| sum > MOST_BYTES)
    {
        return Err(format!("its files have more than {MOST_BYTES} bytes together"));
    }
    let mut seen = BTreeSet::new();
    for File { name, .. } in files {
        let usual = |c: char| c.is_ascii_alphanumeric() || "+-.~_%:".contains(c);
        if name.starts_with(['.', '-']) || !name.chars().all(usual) || name.ends_with(".dsc") {
            return Err(format!("it names a file `{name}`, which is no name that such a file has"));
        }
        if !seen.insert(name) {
            return Err(format!("it names the file `{name}` twice"));
        }
    }
    Ok(())
}

/// The fields of the one paragraph, each with its lines. What a signature puts around it is left out.
fn fields(text: &str) -> Vec<(String, String)> {
    let mut fields: Vec<(String, String)> = Vec::new();
    let mut lines = text.lines().peekable();
    if lines.peek().is_some_and(|line| line.starts_with("-----BEGIN PGP SIGNED")) {
        // Its own fields, up to an empty line.
        for line in lines.by_ref() {
            if line.trim().is_empty() {
                break;
            }
        }
    }
    for line in lines.take_while(|line| !line.starts_with("-----BEGIN")) {
        if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = fields.last_mut() {
                value.push('\n');
                value.push_str(line.trim());
            }
        } else if let Some((name, value)) = line.split_once(':') {
            fields.push((name.to_owned(), value.trim().to_owned()));
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn dsc(files: &str) -> String {
        format!(
            "Format: 3.0 (quilt)\nSource: x\nVersion: 1:2-3\nChecksums-Sha256:\n{files}Files:\n 0 0 a.tar\n"
        )
    }

    #[test]
    fn a_description_is_read_signed_or_not() {
        let plain = dsc(&format!(" {A} 10 x_2.orig.tar.gz\n {A} 0 x_2-3.debian.tar.xz\n"));
        let read = Dsc::parse(plain.as_bytes()).unwrap();
        assert_eq!((read.source.as_str(), read.version.as_str(), read.files.len()), ("x", "1:2-3", 2));
        assert_eq!(
            read.files[0],
            File { name: "x_2.orig.tar.gz".into(), size: 10, sha256: A.parse().unwrap() }
        );
        let signed = format!(
            "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\nSource: y\n\n{plain}\n-----BEGIN PGP SIGNATURE-----\n\nSource: z\n"
        );
        assert_eq!(Dsc::parse(signed.as_bytes()).unwrap(), read);
    }

    #[test]
    fn names_and_numbers_that_no_package_has_are_refused() {
        let many: String = (0..=MOST_FILES).map(|i| format!(" {A} 1 a{i}\n")).collect();
        for (files, why) in [
            (String::new(), "names 0 files"),
            (many, "names 65 files"),
            (format!(" {A} 1 ../a\n"), "no name that such a file has"),
            (format!(" {A} 1 /etc/passwd\n"), "no name that such a file has"),
            (format!(" {A} 1 .a\n"), "no name that such a file has"),
            (format!(" {A} 1 -a\n"), "no name that such a file has"),
            (format!(" {A} 1 a.dsc\n"), "no name that such a file has"),
            (format!(" {A} 1 a\n {A} 1 a\n"), "twice"),
            (format!(" {A} 1\n"), "is not a digest"),
            (format!(" {A} -1 a\n"), "is not a digest"),
            (format!(" {} 1 a\n", &A[1..]), "is not a digest"),
            (format!(" {A} {0} a\n {A} {0} b\n", u64::MAX), "bytes together"),
            (format!(" {A} {} a\n", MOST_BYTES + 1), "bytes together"),
        ] {
            let error = Dsc::parse(dsc(&files).as_bytes()).unwrap_err();
            assert!(error.contains(why), "{files}: {error}");
        }
        for (text, why) in [
            (dsc(&format!(" {A} 1 a\n")).replace("Source", "Sauce"), "no field `Source`"),
            (dsc(&format!(" {A} 1 a\n")).replace("Version", "Vision"), "no field `Version`"),
            (format!("{}Source: y\n", dsc(&format!(" {A} 1 a\n"))), "the field `Source` twice"),
            (String::new(), "no field `Checksums-Sha256`"),
        ] {
            assert!(Dsc::parse(text.as_bytes()).unwrap_err().contains(why), "{text}");
        }
        assert!(Dsc::parse(b"\xff").unwrap_err().contains("UTF-8"));
    }
}
