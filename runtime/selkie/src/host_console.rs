//! The console of a host process, or of a driver of the function's own: rings of bytes in memory that both see.

use crate::{
    cap::{Capability, Notification, Slot},
    device::{self, Device},
};
use core::{
    mem::MaybeUninit,
    ptr,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};
use selkie_base::devices::{Console, DeviceKind, RingPlace, RingSide, request};

/// The host's console. Who uses it has locked the console, or says the last words.
pub(crate) struct HostConsole {
    device: Device,
    rings: Console,
    /// What the function has put into the output and taken from the input so far.
    put: AtomicU64,
    taken: AtomicU64,
}

static mut HOST: MaybeUninit<HostConsole> = MaybeUninit::uninit();
/// There is one in [`HOST`]. Not any more when it broke the rules or did not answer: it is not asked again.
static IN_USE: AtomicBool = AtomicBool::new(false);

/// Takes the console that BootInfo lists, if its region is mapped: once, at start-up.
pub(crate) fn init() {
    if let Ok(device) = device::find(DeviceKind::Console) {
        attach(device);
    }
}

/// Takes the console `device` if its region is mapped: as long as there is none, and nobody else looks for one.
pub(crate) fn attach(device: Device) {
    let Ok(rings) = Console::of(&device) else { return };
    if device.address != 0 {
        let host = HostConsole { device, rings, put: AtomicU64::new(0), taken: AtomicU64::new(0) };
        let place = &raw mut HOST;
        // SAFETY: nobody else writes it: it is done once, by the first thread at the start. Nobody reads the place
        // before the next line.
        unsafe { (*place).write(host) };
        IN_USE.store(true, Ordering::Release);
    }
}

/// The console, when there is one.
pub(crate) fn get() -> Option<&'static HostConsole> {
    let place = &raw const HOST;
    // SAFETY: it was written before this was set, and is not written any more.
    IN_USE.load(Ordering::Acquire).then(|| unsafe { (*place).assume_init_ref() })
}

/// A driver of the function's own that takes the output.
#[cfg(feature = "console")]
pub(crate) mod driver {
    use super::*;

    /// The slot of what wakes it; 0 where the host takes the output.
    static WAKE: AtomicU64 = AtomicU64::new(0);

    /// Takes the console `device` that it stands behind; `wake` wakes it.
    pub(crate) fn attach(device: Device, wake: Notification) {
        WAKE.store(wake.slot().0, Ordering::Relaxed);
        super::attach(device);
    }

    /// Leaves it for the serial port, which needs no thread that works: for the last words. What was put before comes out
    /// before, if the driver still does its work.
    pub(crate) fn leave() {
        /// How often it is asked before it is given up: for about a second.
        const ATTEMPTS: u32 = 100_000;
        let wake = Notification::at(Slot(WAKE.load(Ordering::Relaxed)));
        let Some(host) = get().filter(|_| wake.slot() != Slot::NULL) else { return };
        // It is not called: a thread that has faulted does not answer.
        for _ in 0..ATTEMPTS {
            if host.is_shown() {
                break;
            }
            wake.signal();
            crate::thread::yield_now();
        }
        IN_USE.store(false, Ordering::Relaxed);
    }
}

impl HostConsole {
    /// Sends bytes, and has the host take them now if `show` is true: it may wait for more otherwise. They are
    /// lost when the host does not take them.
    #[inline(never)]
    pub(crate) fn send(&self, bytes: &[u8], show: bool) {
        if self
            .put(bytes)
            .and_then(|()| if show && !self.is_shown() { self.look() } else { Some(()) })
            .is_none()
        {
            IN_USE.store(false, Ordering::Relaxed);
        }
    }

    /// Whether all that was put has been taken.
    fn is_shown(&self) -> bool {
        self.index(Console::OUTPUT_TAKEN).load(Ordering::Relaxed) == self.put.load(Ordering::Relaxed)
    }

    fn put(&self, mut bytes: &[u8]) -> Option<()> {
        let mut side = RingSide::at(self.rings.output.size, self.put.load(Ordering::Relaxed));
        while !bytes.is_empty() {
            let room = side.room(self.index(Console::OUTPUT_TAKEN).load(Ordering::Acquire)).ok()?;
            let count = bytes.len().min(room.len());
            // SAFETY: the place is inside the region, and the host does not look at it before the index says
            // that it is filled. There are as many bytes.
            unsafe {
                ptr::copy_nonoverlapping(bytes.as_ptr(), self.byte(self.rings.output, room.start), count);
                bytes = bytes.get_unchecked(count..);
            }
            side.advance(count);
            self.put.store(side.index(), Ordering::Relaxed);
            self.index(Console::OUTPUT_PUT).store(side.index(), Ordering::Release);
            if !bytes.is_empty() {
                self.look()?;
            }
        }
        Some(())
    }

    /// What the host signals when input has come; none when no input comes here.
    pub(crate) fn notification(&self) -> Option<Notification> {
        let has_input = self.device.flags & Console::HAS_INPUT != 0 && self.device.notification != 0;
        has_input.then(|| Notification::at(Slot(self.device.notification)))
    }

    /// A byte that has arrived, if there is one.
    pub(crate) fn receive(&self) -> Option<u8> {
        self.take().or_else(|| {
            self.look()?;
            self.take()
        })
    }

    fn take(&self) -> Option<u8> {
        let mut side = RingSide::at(self.rings.input.size, self.taken.load(Ordering::Relaxed));
        let filled = side.filled(self.index(Console::INPUT_PUT).load(Ordering::Acquire)).ok()?;
        let place = filled.into_iter().next()?;
        // SAFETY: the place is inside the region, and the host leaves it alone until the index says otherwise.
        let byte = unsafe { self.byte(self.rings.input, place).read_volatile() };
        side.advance(1);
        self.taken.store(side.index(), Ordering::Relaxed);
        self.index(Console::INPUT_TAKEN).store(side.index(), Ordering::Release);
        Some(byte)
    }

    /// Asks the host to look at the rings.
    fn look(&self) -> Option<()> {
        device::request(&self.device, request::CONSOLE_LOOK).ok().map(drop)
    }

    fn index(&self, at: u32) -> &AtomicU64 {
        let address = self.device.address as usize + at as usize;
        // SAFETY: the list says that the region is mapped; `Console::of` has checked that it is aligned and has
        // the indices. Both sides use them as atomics.
        unsafe { AtomicU64::from_ptr(ptr::with_exposed_provenance_mut(address)) }
    }

    fn byte(&self, ring: RingPlace, place: usize) -> *mut u8 {
        ptr::with_exposed_provenance_mut(self.device.address as usize + ring.offset as usize + place)
    }
}
