//! The file systems that the recipe names.

use crate::{
    bmk::libc,
    disk, fixed,
    program::{self, error},
};
use core::ffi::{c_char, c_int, c_void};
use selkie_rumprun_config::Mount;

/// Nothing may be written (`MNT_RDONLY`).
const READ_ONLY: c_int = 1;
/// Bytes of arguments, of which each kind reads as many as it knows.
const ARGUMENTS: usize = 512;

/// What a file system in memory wants to know (`struct tmpfs_args`): without a limit, the memory is the limit.
#[repr(C)]
struct TmpfsArguments {
    version: c_int,
    most_nodes: u64,
    most_bytes: i64,
    user: u32,
    group: u32,
    mode: u32,
}

/// What file systems on a disk want to know: all of them first of all, where it is; the rest may be 0.
#[repr(C)]
struct DiskArguments {
    device: *mut c_char,
    rest: [u8; ARGUMENTS - size_of::<*mut c_char>()],
}

/// Mounts all of them.
pub(crate) fn all() {
    for Mount { source, kind, path } in fixed().mounts() {
        let mut place = crate::files::Path::new();
        place.push(path);
        place.push("/");
        place.make_folders();
        let place = program::text(path);
        let mounted = match (kind, source) {
            ("tmpfs", _) => {
                let arguments = TmpfsArguments {
                    version: 1,
                    most_nodes: 0,
                    most_bytes: 0,
                    user: 0,
                    group: 0,
                    mode: 0o1777,
                };
                mount(c"tmpfs".as_ptr(), place, 0, &arguments)
            }
            ("kernfs", _) => mount(c"kernfs".as_ptr(), place, 0, &()),
            (kind, Some(source)) => {
                let mut device = crate::files::Path::new();
                device.push("/dev/");
                device.push(source);
                let name = match kind {
                    "ext2" => c"ext2fs".as_ptr(),
                    other => program::text(other).cast_const(),
                };
                let device = device.as_ptr().cast_mut();
                let arguments = DiskArguments { device, rest: [0; _] };
                let locked = kind == "cd9660" || disk::is_read_only();
                mount(name, place, if locked { READ_ONLY } else { 0 }, &arguments)
            }
            _ => Err("it has no source"),
        };
        if let Err(why) = mounted {
            let source = source.unwrap_or(kind);
            crate::fail(format_args!(
                "cannot mount {source} at {path} as {kind}: {why}\n  help: a disk that was not formatted as `{kind}` is no \
                 such file system; `components` in [rumprun] names what the rump kernel has"
            ));
        }
    }
}

fn mount<T>(
    kind: *const c_char,
    path: *const c_char,
    flags: c_int,
    arguments: &T,
) -> Result<(), &'static str> {
    let data = (&raw const *arguments).cast::<c_void>();
    // SAFETY: the texts are ended by NULs, and each kind reads the arguments that it knows, of which there are as many.
    let result = unsafe { libc::rump___sysimpl_mount50(kind, path, flags, data.cast_mut(), size_of::<T>()) };
    if result == 0 { Ok(()) } else { Err(error()) }
}
