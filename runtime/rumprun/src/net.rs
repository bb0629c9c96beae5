//! The network, as NetBSD's interface `virt0` wants it: frames that are copied to buffers of the device and from them.
//!
//! Source: NetBSD, `sys/rump/net/lib/libvirtif`.

#![allow(unreachable_pub, reason = "the rump kernel's libraries reach them")]

use crate::{
    bmk::{self, IoVec, Thread, errno},
    own::Own,
    tls,
    wake::{NOBODY, Port},
    worker,
};
use core::{
    arch::{asm, global_asm},
    ffi::{c_char, c_int, c_void},
    mem,
    ops::Range,
    ptr, slice,
};
use selkie::{
    System,
    cap::{Capability, Notification},
    device::{self, Device},
};
use selkie_base::devices::{
    net::{Net, NetFunction},
    request,
};

/// The most frames that the rump kernel is given before its other threads get a turn.
const BATCH: usize = 64;

/// Where the rump kernel takes a frame.
type Deliver = unsafe extern "C" fn(*mut c_void, *mut IoVec, usize);

// A program without a network lacks it.
global_asm!(".weak rump_virtif_virt_deliverpkt");

/// Where the rump kernel takes frames, when it has an interface for them.
fn deliver() -> Option<Deliver> {
    let address: usize;
    // SAFETY: loads a constant.
    unsafe {
        asm!("mov {:e}, offset rump_virtif_virt_deliverpkt", out(reg) address, options(nomem, nostack, preserves_flags));
    }
    // SAFETY: it is 0, or the address of a function that takes these.
    unsafe { mem::transmute(address) }
}

struct Card {
    device: Device,
    function: NetFunction<'static>,
    /// The rump kernel's interface; null as long as there is none.
    interface: *mut c_void,
    broken: bool,
    thread: *mut Thread,
    /// Who waits for room to send.
    sender: *mut Thread,
}

static CARD: Own<Option<Card>> = Own::new(None);

/// The network as a device that is waited for.
pub(crate) static PORT: Frames = Frames;
pub(crate) struct Frames;

/// Takes the network, if there is one and the rump kernel has an interface for it. Returns whether there is.
pub(crate) fn init(sys: &mut System, wake: Notification) -> selkie::Result<bool> {
    if deliver().is_none() {
        return Ok(false);
    }
    match selkie_drivers::network(sys, wake) {
        Ok(device) => {
            let card = Card::new(device, wake);
            let any = card.is_some();
            *CARD.get() = card;
            Ok(any)
        }
        Err(selkie::Error::NoDevice) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Starts the thread that takes frames.
pub(crate) fn start() {
    let mut card = CARD.get();
    if let Some(card) = card.as_mut() {
        card.thread = worker::start(c"net", work);
    }
}

/// What the network's thread does each time: gives the rump kernel what has come. Returns whether there was anything.
fn work() -> bool {
    let Some(deliver) = deliver() else { return false };
    for done in 0..BATCH {
        let (interface, frame, mut data) = {
            let mut card = CARD.get();
            let Some(card) = card.as_mut() else { return false };
            let Some(frame) = card.receive() else { return done > 0 };
            let bytes = card.bytes(frame.clone());
            let data = IoVec { base: bytes.as_mut_ptr().cast(), length: bytes.len() };
            (card.interface, frame, data)
        };
        if !interface.is_null() {
            // SAFETY: the interface is the rump kernel's own; the frame is the function's until it is given back.
            unsafe { deliver(interface, &raw mut data, 1) };
        }
        if let Some(card) = CARD.get().as_mut() {
            card.function.give_back(frame);
        }
    }
    true
}

impl Card {
    fn new(device: Device, wake: Notification) -> Option<Self> {
        let net = Net::of(&device).ok()?;
        if device.notification != wake.slot().0 {
            return None;
        }
        // SAFETY: `Net::of` has checked size and alignment, and the device is this function's alone.
        let region = unsafe { device::region(&device)? };
        let function = NetFunction::new(region, net)?;
        let (interface, thread, sender) = (ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
        Some(Self { device, function, interface, broken: false, thread, sender })
    }

    fn receive(&mut self) -> Option<Range<u32>> {
        if self.broken {
            return None;
        }
        self.function.receive().unwrap_or_else(|_| {
            self.broken = true;
            None
        })
    }

    /// Sends a frame. Returns whether it was taken, or there is nobody who would.
    fn send(&mut self, parts: &[IoVec]) -> bool {
        if self.broken {
            return true;
        }
        let room = match self.function.room() {
            Ok(Some(room)) => room,
            Ok(None) => return false,
            Err(_) => {
                self.broken = true;
                return true;
            }
        };
        let mut length = 0;
        for part in parts {
            let place = room.start + length as u32;
            if part.length > (room.end - place) as usize {
                // NetBSD keeps to the largest packet that it was told of, and no other one is a frame of this network.
                return true;
            }
            // SAFETY: the rump kernel says that these bytes are there.
            let bytes = unsafe { slice::from_raw_parts(part.base.cast::<u8>(), part.length) };
            self.bytes(place..place + part.length as u32).copy_from_slice(bytes);
            length += part.length;
        }
        self.function.send(length as u32);
        true
    }

    /// The bytes of a buffer.
    fn bytes(&mut self, range: Range<u32>) -> &mut [u8] {
        // SAFETY: the buffer is the function's until it is sent or given back.
        unsafe { device::buffer(&self.device, range) }
    }
}

impl Port for Frames {
    fn tell(&self) {
        let mut card = CARD.get();
        let Some(card) = card.as_mut() else { return };
        let must = card.function.must_tell();
        if must
            && !card.broken
            && tls::runtime(|| device::request(&card.device, request::QUEUE_LOOK)).is_err()
        {
            card.broken = true;
        }
    }

    fn set_waits(&self, waits: bool) {
        if let Some(card) = CARD.get().as_ref() {
            card.function.set_waits(waits);
        }
    }

    fn woken(&self) -> [*mut Thread; 2] {
        let mut card = CARD.get();
        let Some(card) = card.as_mut() else { return NOBODY };
        if !card.broken && !card.function.has_something() {
            return NOBODY;
        }
        let sender = mem::replace(&mut card.sender, ptr::null_mut());
        [if card.broken { ptr::null_mut() } else { card.thread }, sender]
    }
}

/// An interface was made: it gets the network's address.
///
/// # Safety
/// `address` has room for 6 bytes, and `handle` can be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rumpcomp_virt_create(
    _: *const c_char,
    interface: *mut c_void,
    address: *mut u8,
    handle: *mut *mut c_void,
) -> c_int {
    let mut card = CARD.get();
    let Some(card) = card.as_mut().filter(|card| card.interface.is_null()) else { return errno::ENXIO };
    card.interface = interface;
    // SAFETY: the caller's.
    unsafe {
        ptr::copy_nonoverlapping(card.function.net().mac.as_ptr(), address, 6);
        *handle = interface;
    }
    0
}

/// The interface is about to go.
#[unsafe(no_mangle)]
pub extern "C" fn rumpcomp_virt_dying(_: *mut c_void) -> c_int {
    0
}

/// The interface is gone: what comes is for nobody.
#[unsafe(no_mangle)]
pub extern "C" fn rumpcomp_virt_destroy(_: *mut c_void) {
    if let Some(card) = CARD.get().as_mut() {
        card.interface = ptr::null_mut();
    }
}

/// Sends a frame, and waits for room where there is none.
///
/// # Safety
/// `parts` are as many, each of bytes that are there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rumpcomp_virt_send(_: *mut c_void, parts: *const IoVec, count: usize) {
    // SAFETY: the caller's.
    let parts = unsafe { slice::from_raw_parts(parts, count) };
    let send = || CARD.get().as_mut().is_none_or(|card| card.send(parts));
    if send() {
        return;
    }
    bmk::outside(|| {
        while !send() {
            bmk::bmk_sched_blockprepare();
            if let Some(card) = CARD.get().as_mut() {
                card.sender = bmk::current();
            }
            // The scheduler looks at the network before it sleeps.
            bmk::bmk_sched_block();
        }
    });
}
