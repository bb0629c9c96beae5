//! What the runtime itself promises: configuration, heap, memory accounting, clock, locks.

use crate::tap::Tap;
use core::time::Duration;
use selkie::{
    cap::Page,
    clock::{self, Instant},
    config,
    device::{self, DeviceKind},
    prelude::*,
    sync::Mutex,
};

pub fn run(tap: &mut Tap, sys: &mut System) -> Result<()> {
    configuration(tap);
    heap(tap);
    copies(tap);
    memory(tap, sys)?;
    time(tap)?;
    locks(tap, sys)
}

fn configuration(tap: &mut Tap) {
    tap.is("arguments", args().collect::<Vec<_>>(), vec!["one", "two words"]);
    tap.is("the environment", env("COLOUR"), Some("grey"));
    tap.is("a variable of the target comes before the common one", env("SHAPE"), Some("seal"));
    tap.is("a variable that is not set", env("NOTHING"), None);
    tap.is("all variables", config::vars().filter(|(name, _)| *name == "COLOUR").count(), 1);
    tap.yes("the log is silent unless it is asked for", !log::log_enabled!(log::Level::Trace));
}

fn heap(tap: &mut Tap) {
    let mut boxes: Vec<Box<[u8]>> =
        (1..=64).map(|size| vec![size as u8; size * 37].into_boxed_slice()).collect();
    boxes.retain(|bytes| bytes[0] % 2 == 0);
    boxes.extend((1..=32u8).map(|size| vec![200 + size % 2; usize::from(size) * 91].into_boxed_slice()));
    tap.yes(
        "blocks of the heap do not overlap",
        boxes.iter().all(|bytes| bytes.iter().all(|byte| *byte == bytes[0])),
    );
    drop(boxes);
    let large = Vec::<u8>::with_capacity(128 << 10);
    tap.yes("what was given back can be used again", large.capacity() >= 128 << 10);
    let mut impossible = Vec::<u8>::new();
    tap.yes("more than there is is refused", impossible.try_reserve(1 << 40).is_err());
}

/// Copies within one range, up and down, of every length and distance that a copy in words could get wrong.
fn copies(tap: &mut Tap) {
    let good = (0..64).all(|length| {
        (0..=24).all(|distance| {
            let mut bytes: [u8; 96] = core::array::from_fn(|index| index as u8);
            bytes.copy_within(0..length, distance);
            let up = (0..length).all(|index| usize::from(bytes[distance + index]) == index);
            let rest = (distance + length..96).all(|index| usize::from(bytes[index]) == index);
            let mut bytes: [u8; 96] = core::array::from_fn(|index| index as u8);
            bytes.copy_within(distance..distance + length, 0);
            up && rest && (0..length).all(|index| usize::from(bytes[index]) == distance + index)
        })
    });
    tap.yes("copies of ranges that overlap", good);
}

fn memory(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let slots = sys.memory.slot_usage();
    for _ in 0..100 {
        let object = sys.memory.create::<Notification>()?;
        sys.memory.destroy(object)?;
    }
    tap.is("slots come back with the objects", sys.memory.slot_usage(), slots);
    let before = sys.memory.usage();
    let pages = sys.memory.create_many::<Page>(16)?;
    tap.is("16 pages are accounted for", before.free - sys.memory.usage().free, 64 << 10);
    sys.memory.destroy(pages)?;
    tap.is("and are free again", sys.memory.usage().free, before.free);
    tap.is("an untyped of 2^40 bytes", sys.memory.create_untyped(40).map(drop), Err(Error::NoMemory));
    let mut all = Vec::new();
    while let Ok(untyped) = sys.memory.create_untyped(20) {
        all.push(untyped);
    }
    tap.yes("memory can be used up", all.len() > 4 && sys.memory.usage().largest < 1 << 20);
    tap.is("then there is none", sys.memory.create_untyped(20).map(drop), Err(Error::NoMemory));
    for untyped in all {
        sys.memory.destroy(untyped)?;
    }
    tap.is("all of it comes back", sys.memory.usage().free, before.free);
    Ok(())
}

fn time(tap: &mut Tap) -> Result<()> {
    let frequency = clock::frequency()?;
    tap.yes("the clock has a sensible frequency", (100_000_000..20_000_000_000).contains(&frequency));
    let start = Instant::now();
    clock::spin(Duration::from_millis(2))?;
    tap.yes("time passes", start.elapsed() >= Duration::from_millis(2));
    tap.yes("the function has run for a while", Instant::now().since_start() > Duration::ZERO);
    // Only a host process has such a device.
    let has_clock = device::find(DeviceKind::Clock).is_ok();
    let is_sensible = clock::wall().is_ok_and(|wall| (2024..2200).contains(&wall.date().year));
    tap.is("the time of day is told where there is a clock", is_sensible, has_clock);
    Ok(())
}

fn locks(tap: &mut Tap, sys: &mut System) -> Result<()> {
    static TOTAL: Mutex<u64> = Mutex::new(0);
    let mut threads = Vec::new();
    for _ in 0..4 {
        threads.push(sys.spawn(|| {
            for _ in 0..100 {
                let mut total = TOTAL.lock();
                let read = *total;
                selkie::thread::yield_now();
                *total = read + 1;
            }
        })?);
    }
    for thread in threads {
        thread.join(sys)?;
    }
    tap.is("a lock keeps threads apart", *TOTAL.lock(), 400);
    Ok(())
}
