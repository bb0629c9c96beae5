//! What all drivers of devices with queues have in common: a thread that sleeps at an endpoint, where requests arrive and
//! interrupts do.

use crate::dma::Dma;
use core::{ptr, slice, sync::atomic::AtomicU64};
use selkie::{
    Message, Result, System,
    cap::{Capability, Endpoint, IrqHandler, Notification, Reply, Rights},
    interrupt::Interrupt,
    thread,
};
use selkie_base::devices::{answer, request};

/// The badge of the device's interrupt. Requests come without one.
const INTERRUPT: u64 = 1;

/// A device and the host's side of its queues.
pub(crate) trait Served: 'static {
    /// The request to look at the device's queues.
    const LOOK: u64 = request::QUEUE_LOOK;
    /// Moves all that can be moved. Returns whether the function has to be signalled.
    fn work(&mut self) -> bool;
    /// Says whether the host waits for what is submitted.
    fn set_waits(&self, waits: bool);
    /// Whether the function has broken a queue.
    fn is_broken(&self) -> bool;
    /// Has the device begin. Its interrupt has a badge now, and nobody waits for it yet.
    fn begin(&mut self, _: &Interrupt) -> Result<()> {
        Ok(())
    }
    /// The device has sent an interrupt.
    fn interrupted(&mut self) {}
}

/// Starts the thread of a driver, with a stack of `stack` bytes. It signals `wake`. Returns where it takes requests.
pub(crate) fn start(
    sys: &mut System,
    interrupt: &Interrupt,
    wake: Notification,
    stack: usize,
    mut served: impl Served,
) -> Result<Endpoint> {
    let endpoint = sys.memory.create::<Endpoint>()?.cap();
    // The driver sleeps at its endpoint and is woken there by interrupts, too: the notification is bound to it.
    interrupt.handler().set_notification(signal(sys, interrupt)?)?;
    served.begin(interrupt)?;
    let driver = Driver { served, endpoint, wake, handler: interrupt.handler() };
    let thread = thread::Builder::new().stack(stack).spawn(sys, move || driver.run())?;
    thread.tcb().bind_notification(interrupt.notification())?;
    Ok(endpoint)
}

/// What wakes a driver as its interrupt does.
pub(crate) fn signal(sys: &mut System, interrupt: &Interrupt) -> Result<Notification> {
    let badged = sys.memory.slot()?;
    badged.place().mint(interrupt.notification().place(), Rights::ALL, INTERRUPT)?;
    Ok(Notification::at(badged))
}

/// The words of a region with queues.
pub(crate) fn region(dma: &Dma) -> &'static [AtomicU64] {
    let words = dma.size / size_of::<AtomicU64>();
    // SAFETY: the memory is mapped for ever and filled with zeros; who uses the words uses them as atomics, and the
    // buffers behind them are used by whoever has them at the time.
    unsafe { slice::from_raw_parts(ptr::with_exposed_provenance(dma.address), words) }
}

/// The thread.
struct Driver<S> {
    served: S,
    endpoint: Endpoint,
    /// What wakes the function.
    wake: Notification,
    handler: IrqHandler,
}

// SAFETY: the parts of it that are pointers lead to memory of the device and its driver, which only this thread uses.
unsafe impl<S> Send for Driver<S> {}

impl<S: Served> Driver<S> {
    fn run(mut self) {
        loop {
            self.work();
            self.served.set_waits(true);
            // What came before the other side knew that it has to tell.
            self.work();
            let received = self.endpoint.recv();
            self.served.set_waits(false);
            if received.badge & INTERRUPT != 0 {
                self.served.interrupted();
                // It fails only when the interrupt is gone; nothing comes any more then, and nobody waits for it.
                let _ = self.handler.ack();
            } else {
                self.work();
                let label = match received.message.label() {
                    label if label != S::LOOK => answer::UNKNOWN,
                    _ if self.served.is_broken() => answer::BROKEN,
                    _ => answer::DONE,
                };
                Reply::to_caller(&Message::new(label));
            }
        }
    }

    fn work(&mut self) {
        if self.served.work() {
            self.wake.signal();
        }
    }
}
