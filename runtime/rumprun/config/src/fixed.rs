//! What the image says of a function with a rump kernel, whatever its run is: the section `.selkie.rumprun`.
//!
//! It is text: lines of a word and what belongs to it, each ended by a line feed.
//!
//! | line | what it says |
//! | --- | --- |
//! | `program NAME` | what the program is called |
//! | `hostname NAME` | what the host is called |
//! | `mount SOURCE KIND PATH` | a file system: `SOURCE` is `d0`, the function's disk, or `-`; `KIND` is `ext2`, `ffs`, `cd9660`, `msdos`, `tmpfs` or `kernfs`; `PATH` is the rest of the line |

/// The section's text.
#[derive(Debug, Clone, Copy)]
pub struct Fixed<'a>(&'a str);

/// A file system that is mounted before the program begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mount<'a> {
    /// The platform's name of the disk; none where nothing is stored.
    pub source: Option<&'a str>,
    /// The kind of file system, as recipes call it.
    pub kind: &'a str,
    /// Where it is mounted.
    pub path: &'a str,
}

impl<'a> Fixed<'a> {
    /// Reads the section. Bytes that are no text say nothing.
    pub fn new(section: &'a [u8]) -> Self {
        Self(core::str::from_utf8(section).unwrap_or_default())
    }

    /// What the program is called.
    pub fn program(self) -> Option<&'a str> {
        self.values("program ").next()
    }

    /// What the host is called.
    pub fn hostname(self) -> Option<&'a str> {
        self.values("hostname ").next()
    }

    /// The file systems, in the order in which they are mounted.
    pub fn mounts(self) -> impl Iterator<Item = Mount<'a>> {
        self.values("mount ").filter_map(|line| {
            let mut words = line.splitn(3, ' ');
            let (source, kind, path) = (words.next()?, words.next()?, words.next()?);
            Some(Mount { source: (source != "-").then_some(source), kind, path })
        })
    }

    fn values(self, key: &'static str) -> impl Iterator<Item = &'a str> {
        self.0.lines().filter_map(move |line| line.strip_prefix(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn lines_are_read_in_their_order_and_paths_keep_their_spaces() {
        let text = b"hostname selkie\nprogram lua\nmount - tmpfs /tmp\nmount d0 ext2 /data/my files\nmount d0\nlater x\n";
        let fixed = Fixed::new(text);
        assert_eq!((fixed.hostname(), fixed.program()), (Some("selkie"), Some("lua")));
        let mounts: Vec<_> = fixed.mounts().collect();
        assert_eq!(
            mounts,
            [
                Mount { source: None, kind: "tmpfs", path: "/tmp" },
                Mount { source: Some("d0"), kind: "ext2", path: "/data/my files" },
            ]
        );
    }

    #[test]
    fn what_is_not_there_says_nothing() {
        for bytes in [&b""[..], b"\n\n", b"hostname", b"\xff\xfe", b"mount \nmount a\nmount a b\n"] {
            let fixed = Fixed::new(bytes);
            assert_eq!((fixed.hostname(), fixed.program(), fixed.mounts().count()), (None, None, 0));
        }
    }
}
