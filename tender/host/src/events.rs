//! What tells of input on descriptor 0, and of frames of the network.

use crate::{
    input::Source,
    syscall::{Errno, Raw, syscall, syscall_wait},
};
use linux_raw_sys::{errno, general};
use selkie_tender_setup::above_console;

/// Opens a descriptor that tells of input, and says how to ask for it. The descriptor is there even when
/// there is no input: the filter names it.
pub(crate) fn open() -> Result<(Option<i32>, Source), Errno> {
    let events = create()?;
    let source = match add(events, 0, general::EPOLLIN, 0) {
        Ok(()) => Source::Events(events),
        // Files and the like cannot be waited for: they are always ready.
        Err(Errno(errno::EPERM)) => Source::File,
        Err(_) => Source::None,
    };
    Ok((Some(events), source))
}

/// What a wait for the network is told: that it was the network, and not input.
const NETWORK: u32 = 1;

/// Opens a descriptor that tells of the network's frames, of room for them, and of what `input` tells of. It tells of
/// each thing that happens once, so that what nobody takes wakes nobody again and again.
pub(crate) fn open_net(descriptor: i32, input: Option<i32>) -> Result<i32, Errno> {
    let events = create()?;
    let once = general::EPOLLIN | general::EPOLLET;
    add(events, descriptor, once | general::EPOLLOUT | general::EPOLLRDHUP, NETWORK)?;
    if let Some(input) = input {
        add(events, input, once, 0)?;
    }
    Ok(events)
}

/// Waits for the network, input or a signal; whether it was the network.
pub(crate) fn wait_net(events: i32) -> bool {
    wait(events, None) == Some(NETWORK)
}

/// Waits, or only looks; what whoever has added the descriptor wanted to be told, when there was something.
pub(crate) fn wait(events: i32, timeout: Option<u32>) -> Option<u32> {
    // `struct epoll_event` is packed: the events, then 8 bytes.
    let mut event = [0u32; 3];
    let place = event.as_mut_ptr().expose_provenance() as u64;
    let args = |timeout: i64| [events as u64, place, 1, timeout as u64, 0, 0];
    let count = match timeout {
        // SAFETY: one event is written to `event`.
        Some(timeout) => unsafe { syscall(general::__NR_epoll_pwait, args(timeout.into())) },
        // SAFETY: as above.
        None => unsafe { syscall_wait(general::__NR_epoll_pwait, args(-1)) },
    };
    count.is_ok_and(|count| count > 0).then_some(event[1])
}

fn create() -> Result<i32, Errno> {
    // SAFETY: without pointers.
    let opened = unsafe { syscall(general::__NR_epoll_create1, [general::EPOLL_CLOEXEC.into()]) }?;
    above_console(&Raw, opened as i32)
}

fn add(events: i32, descriptor: i32, what: u32, told: u32) -> Result<(), Errno> {
    // `struct epoll_event` is packed: the events, then 8 bytes for whoever waits.
    let event = [what, told, 0];
    let place = event.as_ptr().expose_provenance() as u64;
    let args = [events as u64, general::EPOLL_CTL_ADD.into(), descriptor as u64, place];
    // SAFETY: the event is only read.
    unsafe { syscall(general::__NR_epoll_ctl, args) }.map(drop)
}
