//! The files of the image, which the program finds in the folder `/files`; and `/etc/resolv.conf`.

use crate::{bmk::libc, program::error};
use core::ffi::{CStr, c_char};
use selkie::{config, files};

/// The folder.
const FOLDER: &str = "/files/";
/// The longest path.
const PATH: usize = 1024;

/// Writes all of them to NetBSD's root, which lies in memory.
pub(crate) fn all() {
    for file in files::all() {
        let (folder, name) = file.path();
        let mut path = Path::new();
        path.push(FOLDER);
        for part in [folder, "/", name].into_iter().skip(if folder.is_empty() { 2 } else { 0 }) {
            path.push(part);
        }
        path.write(&[file.content]);
    }
    let mut servers = config::net_name_servers().peekable();
    if servers.peek().is_some() {
        let mut path = Path::new();
        path.push("/etc/resolv.conf");
        servers.for_each(|server| path.append(&["nameserver ", server, "\n"].map(str::as_bytes)));
    }
}

/// A path as C has it.
pub(crate) struct Path {
    bytes: [u8; PATH],
    length: usize,
}

impl Path {
    pub(crate) const fn new() -> Self {
        Self { bytes: [0; PATH], length: 0 }
    }

    pub(crate) fn push(&mut self, part: &str) {
        let end = self.length + part.len();
        // The last byte stays 0.
        match self.bytes.get_mut(self.length..end).filter(|_| end < PATH) {
            Some(place) => place.copy_from_slice(part.as_bytes()),
            None => crate::fail(format_args!("a path that ends in `{part}` is too long")),
        }
        self.length = end;
    }

    pub(crate) fn as_ptr(&self) -> *const c_char {
        self.bytes.as_ptr().cast()
    }

    /// Makes all folders that it is in.
    pub(crate) fn make_folders(&mut self) {
        for at in 1..self.length {
            if self.bytes[at] == b'/' {
                self.bytes[at] = 0;
                // One that there is already is no reason to stop, and without one a file cannot be made.
                // SAFETY: the path is ended by a NUL.
                unsafe { libc::mkdir(self.as_ptr(), 0o755) };
                self.bytes[at] = b'/';
            }
        }
    }

    fn write(&mut self, content: &[&[u8]]) {
        self.put(content, libc::O_TRUNC);
    }

    fn append(&mut self, content: &[&[u8]]) {
        self.put(content, libc::O_APPEND);
    }

    fn put(&mut self, content: &[&[u8]], flag: i32) {
        self.make_folders();
        // SAFETY: the path is ended by a NUL, and what is written is there.
        let written = unsafe {
            let file = libc::open(self.as_ptr(), libc::O_WRONLY | libc::O_CREAT | flag, 0o644);
            let parts = || content.iter().filter(|part| !part.is_empty());
            let whole =
                |part: &&[u8]| libc::write(file, part.as_ptr().cast(), part.len()) == part.len() as i64;
            file >= 0 && parts().all(whole) && libc::close(file) == 0
        };
        if !written {
            let path = CStr::from_bytes_until_nul(&self.bytes).unwrap_or_default();
            crate::fail(format_args!("cannot write {}: {}", path.to_str().unwrap_or("?"), error()));
        }
    }
}
