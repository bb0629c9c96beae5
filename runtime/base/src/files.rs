//! Files that lie in an image, as the runtime reads them.
//!
//! They are a tar archive in the format `ustar` (POSIX.1-2001, "pax", "ustar Interchange Format"), of which this reads
//! what Selkie writes: regular files whose name, with what may stand before it, is in their own header.

use core::str;

/// Bytes of a header, and what content is padded to.
const BLOCK: usize = 512;

/// The files of an image.
#[derive(Debug, Clone, Copy)]
pub struct Files<'a>(&'a [u8]);

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct File<'a> {
    /// The folders that it is in, each with `/` after it but the last; empty where there are none.
    folder: &'a str,
    name: &'a str,
    /// Its content.
    pub content: &'a [u8],
}

impl<'a> File<'a> {
    /// The folders that it is in, with `/` between them, and its name.
    pub fn path(&self) -> (&'a str, &'a str) {
        match (self.folder, self.name.rsplit_once('/')) {
            ("", Some(parts)) => parts,
            parts => (parts.0, self.name),
        }
    }

    /// Whether `path` is its path.
    pub fn is_at(&self, path: &str) -> bool {
        match path.strip_suffix(self.name) {
            Some("") => self.folder.is_empty(),
            Some(folder) => !self.folder.is_empty() && folder.strip_suffix('/') == Some(self.folder),
            None => false,
        }
    }
}

impl<'a> Files<'a> {
    /// The files of an archive. Where it is damaged it ends.
    pub const fn new(archive: &'a [u8]) -> Self {
        Self(archive)
    }

    /// The content of the file at `path`.
    pub fn read(self, path: &str) -> Option<&'a [u8]> {
        self.into_iter().find(|file| file.is_at(path)).map(|file| file.content)
    }
}

impl<'a> IntoIterator for Files<'a> {
    type Item = File<'a>;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        Iter(self.0)
    }
}

/// Files in the order of their paths.
#[derive(Debug, Clone)]
pub struct Iter<'a>(&'a [u8]);

impl<'a> Iterator for Iter<'a> {
    type Item = File<'a>;

    fn next(&mut self) -> Option<File<'a>> {
        loop {
            let (header, rest) = self.0.split_first_chunk::<BLOCK>()?;
            self.0 = &[];
            if !is_header(header) {
                return None;
            }
            let size = octal(&header[124..136])?;
            let content = rest.get(..size)?;
            // The last file's padding may be missing: nothing follows then.
            self.0 = rest.get(size.next_multiple_of(BLOCK)..).unwrap_or_default();
            if matches!(header[156], b'0' | 0) {
                let (name, folder) = (text(&header[..100])?, text(&header[345..500])?);
                return Some(File { folder, name, content });
            }
        }
    }
}

/// Whether the magic text and the sum are right.
fn is_header(header: &[u8; BLOCK]) -> bool {
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    let own: u32 = header[148..156].iter().map(|byte| u32::from(*byte)).sum();
    // The sum counts its own field as spaces.
    let expected = sum - own + 8 * u32::from(b' ');
    header[257..262] == *b"ustar" && octal(&header[148..156]) == Some(expected as usize)
}

fn text(field: &[u8]) -> Option<&str> {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    str::from_utf8(&field[..end]).ok()
}

/// A number of octal digits, ended by a space or NUL, or by the field's end. It has at most 12.
fn octal(field: &[u8]) -> Option<usize> {
    let mut number = 0;
    for byte in field {
        match byte {
            b'0'..=b'7' => number = number * 8 + usize::from(byte - b'0'),
            b' ' | 0 => break,
            _ => return None,
        }
    }
    Some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `tar` 1.34 writes it: `tar --format=ustar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner`.
    fn entry(prefix: &str, name: &str, kind: u8, content: &[u8]) -> Vec<u8> {
        let mut header = [0; BLOCK];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[100..108].copy_from_slice(b"0000644\0");
        header[124..136].copy_from_slice(format!("{:011o}\0", content.len()).as_bytes());
        header[148..156].fill(b' ');
        header[156] = kind;
        header[257..265].copy_from_slice(b"ustar\x0000");
        header[345..345 + prefix.len()].copy_from_slice(prefix.as_bytes());
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let mut entry = header.to_vec();
        entry.extend_from_slice(content);
        entry.resize(entry.len().next_multiple_of(BLOCK), 0);
        entry
    }

    fn archive() -> Vec<u8> {
        let long = "f/".repeat(60);
        let entries = [
            entry("", "deep/", b'5', b""),
            entry("", "deep/a.txt", b'0', b"A"),
            entry("", "empty", b'0', b""),
            entry(long.trim_end_matches('/'), "name", b'0', &[7; 600]),
            entry("", "link", b'2', b""),
            entry("", "z", b'0', b"last"),
        ];
        [entries.concat(), vec![0; 1024]].concat()
    }

    #[test]
    fn files_are_found_by_their_paths() {
        let archive = archive();
        let files = Files::new(&archive);
        assert_eq!(files.read("deep/a.txt"), Some(&b"A"[..]));
        assert_eq!(files.read("empty"), Some(&b""[..]));
        assert_eq!(files.read(&("f/".repeat(60) + "name")), Some(&[7; 600][..]));
        assert_eq!(files.read("z"), Some(&b"last"[..]));
        for none in ["", "/", "a.txt", "deep", "deep/", "/z", "name", "link", "f/name", "eep/a.txt", "Z"] {
            assert_eq!(files.read(none), None, "{none}");
        }
        let paths: Vec<_> = files.into_iter().map(|file| file.path()).collect();
        assert_eq!(paths[0], ("deep", "a.txt"));
        assert_eq!((paths.len(), paths[3]), (4, ("", "z")));
    }

    #[test]
    fn hostile_bytes_end_in_nothing_or_in_what_is_there() {
        let archive = archive();
        for end in 0..archive.len() {
            let files = Files::new(&archive[..end]);
            assert!(files.into_iter().count() <= 4);
        }
        for at in 0..archive.len() {
            for byte in [0, b'7', b'8', 0x80, 0xff] {
                let mut bytes = archive.clone();
                bytes[at] = byte;
                let total: usize = Files::new(&bytes).into_iter().map(|file| file.content.len()).sum();
                assert!(total <= bytes.len(), "{at}");
            }
        }
        // Sums that are right do not make sizes right.
        let mut huge = entry("", "huge", b'0', b"");
        huge[124..136].copy_from_slice(b"777777777777");
        huge[148..156].fill(b' ');
        let sum: u32 = huge[..BLOCK].iter().map(|byte| u32::from(*byte)).sum();
        huge[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        assert_eq!(Files::new(&huge).into_iter().count(), 0);
    }
}
