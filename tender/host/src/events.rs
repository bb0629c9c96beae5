//! What tells of input on descriptor 0.

use crate::{
    input::Source,
    syscall::{Errno, Raw, syscall},
};
use linux_raw_sys::{errno, general};
use selkie_tender_setup::above_console;

/// Opens a descriptor that tells of input, and says how to ask for it. The descriptor is there even when
/// there is no input: the filter names it.
pub(crate) fn open() -> Result<(Option<i32>, Source), Errno> {
    // SAFETY: without pointers.
    let opened = unsafe { syscall(general::__NR_epoll_create1, [general::EPOLL_CLOEXEC.into()]) }?;
    let events = above_console(&Raw, opened as i32)?;
    // `struct epoll_event` is packed: the events, then 8 bytes for whoever waits.
    let event = [general::EPOLLIN, 0, 0];
    let place = event.as_ptr().expose_provenance() as u64;
    // SAFETY: the event is only read.
    let added =
        unsafe { syscall(general::__NR_epoll_ctl, [events as u64, general::EPOLL_CTL_ADD.into(), 0, place]) };
    let source = match added {
        Ok(_) => Source::Events(events),
        // Files and the like cannot be waited for: they are always ready.
        Err(Errno(errno::EPERM)) => Source::File,
        Err(_) => Source::None,
    };
    Ok((Some(events), source))
}
