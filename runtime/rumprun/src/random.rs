//! Random bytes for the rump kernel, which has no other source: its own pool, `/dev/urandom` and `arc4random` begin here.

#![allow(unreachable_pub, reason = "the rump kernel's libraries reach it")]

use crate::{own::Own, tls};
use core::{ffi::c_int, ffi::c_void, slice};
use selkie::System;
use selkie_rumprun_config::Generator;

static GENERATOR: Own<Option<Generator>> = Own::new(None);

/// Bytes after which the generator is given something new, where the surroundings or the processor have something.
const RESEED: u64 = 1 << 20;

/// Takes random bytes from outside. Returns whether there are any.
pub(crate) fn init(sys: &mut System) -> bool {
    let Some((seed, source)) = selkie_drivers::seed(sys) else { return false };
    log::info!("random bytes from {source}");
    *GENERATOR.get() = Some(Generator::new(seed));
    true
}

/// Fills `bytes`. Without a source outside the function has not come this far.
///
/// # Safety
/// `bytes` has room for `length`, and `filled` can be written to.
#[unsafe(export_name = "__wrap_rumpuser_getrandom")]
pub unsafe extern "C" fn get(bytes: *mut c_void, length: usize, _: c_int, filled: *mut usize) -> c_int {
    let mut generator = GENERATOR.get();
    let Some(generator) = generator.as_mut() else { return crate::bmk::errno::ENXIO };
    if generator.given() >= RESEED
        && let Some(seed) = tls::runtime(selkie_drivers::further)
    {
        generator.add(&seed);
    }
    // SAFETY: the caller's.
    unsafe {
        generator.fill(slice::from_raw_parts_mut(bytes.cast(), length));
        *filled = length;
    }
    0
}
