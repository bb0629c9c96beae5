//! Calls that there is nothing behind: another process. They fail as POSIX says.
//!
//! Rumprun's own give the number of the error as their result, so that `fork` seems to have made a process and `system`
//! to have run a command.

#![allow(unreachable_pub, reason = "the rump kernel's libraries reach them")]

use crate::bmk::{errno, libc};
use core::ffi::c_int;

macro_rules! lacking {
    ($($symbol:literal $name:ident)*) => {$(
        #[doc = concat!("Stands in for `", $symbol, "`.")]
        #[unsafe(export_name = concat!("__wrap_", $symbol))]
        pub extern "C" fn $name() -> c_int {
            // SAFETY: libc's own variable.
            unsafe { *libc::__errno() = errno::ENOTSUP };
            -1
        }
    )*};
}

lacking! {
    "__fork" fork
    "__vfork14" vfork
    "_sys___wait450" wait4
    "kill" kill
}
