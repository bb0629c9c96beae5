//! The tree's own path, taken out of what is linked from it.
//!
//! NetBSD's libraries have it in their messages: upstream compiles by full paths. Nothing of it may be in an image, and
//! a string of a linked object can only be replaced by one of the same length.

use std::path::{Path, PathBuf};

/// What stands for the tree.
const NAME: &[u8] = b"/rumprun";

/// Replaces the paths `places` in `data` by a text of the same length that tells nothing of this machine.
pub(super) fn scrub(data: &mut [u8], places: &[PathBuf]) {
    for place in places.iter().map(|place| bytes(place)).filter(|place| place.len() > 1) {
        let stand_in: Vec<u8> =
            NAME.iter().copied().chain(std::iter::repeat(b'/')).take(place.len()).collect();
        let mut from = 0;
        while let Some(at) = find(&data[from..], place) {
            let at = from + at;
            data[at..at + place.len()].copy_from_slice(&stand_in);
            from = at + place.len();
        }
    }
}

fn bytes(path: &Path) -> &[u8] {
    std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str())
}

fn find(data: &[u8], needle: &[u8]) -> Option<usize> {
    let first = needle.first()?;
    let mut from = 0;
    while let Some(at) = data[from..].iter().position(|byte| byte == first) {
        if data[from + at..].starts_with(needle) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_replaced_in_place_and_nothing_else_is() {
        let mut data = b"/a/long/place/src/x.c\0 /a/long/pla \0/a/long/place".to_vec();
        scrub(&mut data, &["/a/long/place".into()]);
        assert_eq!(data, b"/rumprun//////src/x.c\0 /a/long/pla \0/rumprun/////");
        let mut short = b"/rr/x.c".to_vec();
        scrub(&mut short, &["/rr".into(), "/".into()]);
        assert_eq!(short, b"/ru/x.c");
    }
}
