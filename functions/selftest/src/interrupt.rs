//! Interrupts of the timer: one, many, and very many while other threads keep the processor busy.

mod control;

use crate::{
    notification::{badged, drop_cap},
    tap::Tap,
};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use selkie::{
    cap::{Capability, IrqControl, Polarity, Rights, Trigger},
    clock::Instant,
    interrupt::Interrupt,
    pit::{self, FREQUENCY, Timer},
    prelude::*,
    thread::Builder,
};

/// How many interrupts the long test takes. When one of them meets the kernel's own timer, seL4 5.0.0 without
/// a page-aligned kernel stack writes over what comes after that stack: the interrupt table, in the release
/// kernel. Hence all vectors are tried afterwards.
const MANY: u64 = 60_000;
/// The vectors that an interrupt can be given.
const VECTORS: u8 = 108;

pub fn run(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let mut timer = match Timer::new(sys) {
        Ok(timer) => timer,
        Err(error) => {
            tap.skip("interrupts of the timer", &format!("nobody answers for them: {error}"));
            return Ok(());
        }
    };
    single(tap, sys, &timer)?;
    refusals(tap, sys, &timer)?;
    control::run(tap, sys)?;
    many(tap, sys, &timer)?;
    vectors(tap, sys, &mut timer)?;
    timer.stop()?;
    timer.interrupt.release(sys)
}

fn single(tap: &mut Tap, sys: &mut System, timer: &Timer) -> Result<()> {
    let start = Instant::now();
    timer.one_shot(FREQUENCY / 200)?;
    timer.interrupt.wait();
    let passed = start.elapsed();
    tap.is("acknowledge", timer.interrupt.ack(), Ok(()));
    tap.yes("a timer of 5 ms takes that long", passed.as_micros() >= 4_000);
    timer.periodic(FREQUENCY / 1000)?;
    for _ in 0..20 {
        timer.interrupt.wait();
        timer.interrupt.ack()?;
    }
    tap.yes("20 periodic interrupts", true);
    timer.stop()?;
    let handler = timer.interrupt.handler();
    let endpoint = sys.memory.create::<Endpoint>()?;
    tap.is(
        "an endpoint instead of a notification",
        handler.set_notification(Notification::at(endpoint.cap().slot())),
        Err(Error::InvalidCapability { number: 0 }),
    );
    sys.memory.destroy(endpoint)?;
    let badge = badged(sys, timer.interrupt.notification(), Rights::ALL, 0x200)?;
    tap.is("set a notification with a badge", handler.set_notification(badge), Ok(()));
    discard(timer);
    handler.ack()?;
    timer.one_shot(FREQUENCY / 1000)?;
    tap.is("its badge arrives", timer.interrupt.notification().wait(), 0x200);
    tap.is("clear", handler.clear(), Ok(()));
    discard(timer);
    handler.ack()?;
    timer.one_shot(FREQUENCY / 1000)?;
    selkie::clock::spin(core::time::Duration::from_millis(5))?;
    tap.is("a cleared handler signals nothing", timer.interrupt.notification().poll(), None);
    drop_cap(sys, badge)?;
    handler.set_notification(timer.interrupt.notification())?;
    handler.ack()
}

/// Takes the signal of an interrupt that came before it was expected: a timer that is stopped may make one
/// more, as late as the host of an emulated one likes.
fn discard(timer: &Timer) {
    let _ = timer.interrupt.notification().poll();
}

fn refusals(tap: &mut Tap, sys: &mut System, timer: &Timer) -> Result<()> {
    let slot = sys.memory.slot()?;
    let get = |ioapic, pin, vector| {
        IrqControl::OWN.ioapic(slot.place(), ioapic, pin, Trigger::Edge, Polarity::High, vector)
    };
    tap.yes("an IO-APIC that is not there", matches!(get(9, 5, 5), Err(Error::Range { .. })));
    tap.yes("a pin that is not there", matches!(get(0, 99, 5), Err(Error::Range { .. })));
    tap.yes("a vector out of range", matches!(get(0, 5, 200), Err(Error::Range { .. })));
    tap.is("a vector that is in use", get(0, 5, 2), Err(Error::RevokeFirst));
    let taken = timer.interrupt.handler().slot();
    let occupied = IrqControl::OWN.ioapic(taken.place(), 0, 5, Trigger::Edge, Polarity::High, 5);
    tap.is("an occupied slot", occupied, Err(Error::DeleteFirst));
    tap.is(
        "a line for a device on PCI",
        IrqControl::OWN.ioapic(slot.place(), 0, 20, Trigger::Level, Polarity::Low, 20),
        Ok(()),
    );
    slot.place().delete()?;
    sys.memory.release_slots(slot, 1);
    Ok(())
}

/// Two threads compute while interrupts come as fast as the timer makes them.
fn many(tap: &mut Tap, sys: &mut System, timer: &Timer) -> Result<()> {
    static STOP: AtomicBool = AtomicBool::new(false);
    static WORK: AtomicU64 = AtomicU64::new(0);
    STOP.store(false, Ordering::SeqCst);
    let priority = sys.max_priority() - 1;
    let work = || {
        while !STOP.load(Ordering::Relaxed) {
            WORK.fetch_add(1, Ordering::Relaxed);
        }
    };
    let one = Builder::new().priority(priority).spawn(sys, work)?;
    let other = Builder::new().priority(priority).spawn(sys, work)?;
    timer.periodic(FREQUENCY / 10_000)?;
    for _ in 0..MANY {
        timer.interrupt.wait();
        timer.interrupt.ack()?;
    }
    timer.stop()?;
    STOP.store(true, Ordering::SeqCst);
    one.join(sys)?;
    other.join(sys)?;
    tap.yes("60000 interrupts under load", WORK.load(Ordering::SeqCst) > 0);
    discard(timer);
    Ok(())
}

/// One interrupt through each vector: the processor's table of them is whole.
fn vectors(tap: &mut Tap, sys: &mut System, timer: &mut Timer) -> Result<()> {
    for vector in (0..VECTORS).filter(|vector| *vector != pit::IRQ_PIN) {
        let other = Interrupt::ioapic(sys, 0, pit::IRQ_PIN, Trigger::Edge, Polarity::High, vector)?;
        core::mem::replace(&mut timer.interrupt, other).release(sys)?;
        // The release has masked the pin, which is now the other handler's.
        timer.interrupt.ack()?;
        timer.one_shot(FREQUENCY / 5000)?;
        timer.interrupt.wait();
        timer.interrupt.ack()?;
        discard(timer);
    }
    tap.yes("an interrupt through every vector", true);
    Ok(())
}
