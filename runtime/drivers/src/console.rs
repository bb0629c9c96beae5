//! The driver of a virtio console: a thread behind the ring of bytes of the device model. Bytes are not copied: the device
//! reads them out of the ring, many at once. Input does not come this way.
//!
//! Source: Virtual I/O Device Version 1.2, 3.1.1 (initialisation) and 5.3 (console device).

use crate::{
    dma::Dma,
    driver::{self, Served},
    hal::Selkie,
    virtio::{self, Msix},
};
use core::{
    ptr, slice,
    sync::atomic::{AtomicU64, Ordering, fence},
};
use selkie::{
    Error, Result, System,
    cap::{Capability, IrqHandler, Notification, Slot},
    console,
    device::{Device, DeviceKind},
    vspace::PAGE,
};
use selkie_base::devices::{Console, RingPlace, RingSide, request};
use virtio_drivers::{
    queue::VirtQueue,
    transport::{DeviceStatus, DeviceType, Transport},
};

/// The queue of what the console shows (5.3.2). The other one, of what is typed, is not used.
const TRANSMIT: u16 = 1;
/// Pieces of the ring that the device has at a time.
const PIECES: usize = 64;
/// The kernel's number for the console's interrupt.
const VECTOR: u8 = 34;
const STACK: usize = 12 << 10;

/// Where the rings lie: the indices and a small input ring have a page of their own.
const RINGS: Console = Console {
    output: RingPlace { offset: PAGE as u32, size: 8192 },
    input: RingPlace { offset: Console::INDICES, size: 256 },
};
const SIZE: usize = PAGE + RINGS.output.size as usize;
/// Who has filled the ring waits until no more than this is in it.
const ENOUGH: u64 = RINGS.output.size as u64 / 2;

const _: () = assert!(size_of::<Tty>() < STACK / 2);

/// What [`selkie::console`] calls at the start, where the function has this driver and runs in QEMU. Without the device
/// the serial port remains the console.
#[unsafe(no_mangle)]
fn __selkie_console(sys: &mut System) {
    // The serial port is there, and who cares whether lines come by it sees them come.
    let _ = start(sys);
}

/// Finds the first console, starts its driver and makes it what the function writes to.
fn start(sys: &mut System) -> Result<()> {
    let mut found = virtio::find(sys, DeviceType::Console)?;
    let interrupt = found.interrupt(sys, VECTOR)?;
    let mut transport = found.transport;
    virtio::negotiate(&mut transport, 0)?;
    let mut queue = VirtQueue::new(&mut transport, TRANSMIT, false, false).map_err(|_| Error::NoDevice)?;
    // It is asked how far it is, unless somebody waits for that.
    queue.set_dev_notify(false);
    transport.interrupt_on_change();
    let region = Dma::new(sys, SIZE)?;
    transport.finish_init();

    let wake = driver::signal(sys, &interrupt)?;
    let tty = Tty {
        transport,
        queue,
        interrupt: (interrupt.notification(), interrupt.handler()),
        region,
        sent: RingSide::new(RINGS.output.size),
        taken: 0,
        pieces: [0; PIECES],
        failed: false,
    };
    let endpoint = driver::start(sys, &interrupt, Notification::at(Slot::NULL), STACK, tty)?;
    let device = Device {
        number: DeviceKind::Console as u32,
        endpoint: endpoint.slot().0,
        address: region.address as u64,
        size: SIZE as u64,
        params: RINGS.params(),
        ..Device::default()
    };
    console::attach(device, wake);
    Ok(())
}

/// The console and the host's side of its ring.
struct Tty {
    transport: Msix,
    queue: VirtQueue<Selkie, PIECES>,
    interrupt: (Notification, IrqHandler),
    region: Dma,
    /// What the device was given so far.
    sent: RingSide,
    /// How many bytes it has shown so far.
    taken: u64,
    /// The lengths of the pieces that it has, by their descriptors.
    pieces: [usize; PIECES],
    /// It does not do as the standard says, has said that it cannot go on, or the function has broken the ring.
    failed: bool,
}

impl Served for Tty {
    const LOOK: u64 = request::CONSOLE_LOOK;

    fn work(&mut self) -> bool {
        self.take_back();
        if self.send().is_none() {
            self.fail();
        }
        if !self.failed && self.is_full() {
            self.wait();
        }
        // Nobody waits to be told: who has written waits for the answer.
        false
    }

    fn set_waits(&self, _: bool) {}

    fn is_broken(&self) -> bool {
        self.failed
    }
}

impl Tty {
    fn index(&self, at: u32) -> &'static AtomicU64 {
        let address = self.region.address + at as usize;
        // SAFETY: the region is mapped for ever; both sides use its indices as atomics.
        unsafe { AtomicU64::from_ptr(ptr::with_exposed_provenance_mut(address)) }
    }

    /// Bytes of the ring from `place` on.
    fn bytes(&self, place: usize, length: usize) -> &'static [u8] {
        let address = self.region.address + RINGS.output.offset as usize + place;
        // SAFETY: they lie in the ring, and the function leaves them alone until the index says that they are taken.
        unsafe { slice::from_raw_parts(ptr::with_exposed_provenance(address), length) }
    }

    /// Bytes that the function has put.
    fn put(&self) -> u64 {
        self.index(Console::OUTPUT_PUT).load(Ordering::Acquire)
    }

    /// Gives the device what the function has put, as far as the queue has room. None when the ring is broken, or the
    /// queue is.
    fn send(&mut self) -> Option<()> {
        let mut added = false;
        while !self.failed && self.queue.available_desc() > 0 {
            let filled = self.sent.filled(self.put()).ok()?;
            if filled.is_empty() {
                break;
            }
            let length = filled.len();
            // SAFETY: the bytes stay as they are until the device has given them back.
            let head = unsafe { self.queue.add(&[self.bytes(filled.start, length)], &mut []) }.ok()?;
            *self.pieces.get_mut(usize::from(head))? = length;
            self.sent.advance(length);
            added = true;
        }
        if added && self.queue.should_notify() {
            self.transport.notify(TRANSMIT);
        }
        Some(())
    }

    /// Gives the function back the room of what the device has shown. It shows all in the order in which it was given it.
    fn take_back(&mut self) {
        let before = self.taken;
        while let Some(head) = self.queue.peek_used().filter(|_| !self.failed) {
            let place = (self.taken % u64::from(RINGS.output.size)) as usize;
            let length = self.pieces.get_mut(usize::from(head)).map_or(0, core::mem::take);
            let within = length > 0 && self.sent.index() - self.taken >= length as u64;
            // SAFETY: it checks that the descriptor is the one that was used last, and does not touch the bytes.
            let popped =
                within && unsafe { self.queue.pop_used(head, &[self.bytes(place, length)], &mut []) }.is_ok();
            if !popped {
                return self.fail();
            }
            self.taken += length as u64;
        }
        if self.taken != before {
            self.index(Console::OUTPUT_TAKEN).store(self.taken, Ordering::Release);
        }
    }

    /// Whether the function has to wait: it has put more than the queue has room for, or filled the ring.
    fn is_full(&self) -> bool {
        let put = self.put();
        put != self.sent.index() || put.wrapping_sub(self.taken) >= u64::from(RINGS.output.size)
    }

    /// Whether there is room again, so that the next that are put need not wait, either.
    fn has_room(&self) -> bool {
        let put = self.put();
        put == self.sent.index() && put.wrapping_sub(self.taken) <= ENOUGH
    }

    /// Sleeps until there is room again: as long as nobody reads what the console shows, there is none.
    fn wait(&mut self) {
        self.queue.set_dev_notify(true);
        // The device knows it before it is looked whether something came: it tells of all that comes later.
        fence(Ordering::SeqCst);
        while !self.failed && !self.has_room() {
            // What the device has done before it knew that it has to tell.
            if !self.queue.can_pop() {
                let (notification, handler) = self.interrupt;
                notification.wait();
                // As in `Driver::run`.
                let _ = handler.ack();
                if self.transport.get_status().contains(DeviceStatus::DEVICE_NEEDS_RESET) {
                    self.fail();
                }
            }
            self.take_back();
            if self.send().is_none() {
                self.fail();
            }
        }
        self.queue.set_dev_notify(false);
    }

    /// The device is not used any more. Nothing is logged: that would come here.
    fn fail(&mut self) {
        self.failed = true;
        self.transport.set_status(DeviceStatus::empty());
    }
}
