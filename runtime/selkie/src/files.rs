//! Files that lie in the image: those of the recipe's `[files]`.

use core::{ptr, slice};
use selkie_base::files::Files;

pub use selkie_base::files::File;

unsafe extern "C" {
    static __selkie_files_start: u8;
    static __selkie_files_end: u8;
}

/// The content of the file at `path`: its folders, with `/` between them and none before the first, and its name.
pub fn read(path: &str) -> Option<&'static [u8]> {
    archive().read(path)
}

/// All files.
pub fn all() -> impl Iterator<Item = File<'static>> {
    archive().into_iter()
}

fn archive() -> Files<'static> {
    let (start, end) = (&raw const __selkie_files_start, &raw const __selkie_files_end);
    // SAFETY: the linker script puts the section's bytes between the two, in memory that is never written.
    Files::new(unsafe { slice::from_raw_parts(ptr::from_ref(&*start), end as usize - start as usize) })
}
