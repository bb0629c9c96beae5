//! Random system calls with random and half-valid arguments, and the invariants after them.
//!
//! `SELKIE_FUZZ_CALLS` says how many calls, `SELKIE_FUZZ_SEED` where to begin: what a failure prints
//! reproduces it. `SELKIE_FUZZ_EVERY=1` checks after every call.

mod calls;

use calls::{Fuzzer, Random};
use selkie_base::devices::{Console, DEVICES_CHUNK, Device, DeviceKind, Devices};
use selkie_tender_model::invariants::{Invariants, check_pages};
use selkie_tender_model::testing::{BASE, Edition, FakeHost, IMAGE, Machine, boot_in, table_of};
use selkie_tender_model::{Access, Kernel, Memory, Next};
use selkie_tender_table::{Invocation as I, Table};
use std::cell::Cell;

/// Each of these is fuzzed in turn.
const EDITIONS: [Edition; 5] = Edition::ALL;
/// Bytes of memory: few, so that untypeds are used up and used again.
const MEMORY: u64 = 512 << 10;
/// The initial CNode has `2^CNODE_BITS` slots.
const CNODE_BITS: u64 = 7;
/// The most calls before a new start.
const EPISODE: u64 = 2_000;
/// Calls without an argument.
const DEFAULT_CALLS: u64 = 50_000;

/// Prints how to repeat what panics.
struct Position {
    seed: u64,
    step: u64,
}

impl Drop for Position {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("SELKIE_FUZZ_SEED={} fails at call {} of the episode", self.seed, self.step);
        }
    }
}

/// One machine from boot until nobody can run any more, or long enough; how many calls that were.
fn episode(memory: Memory<'_>, table: &Table, seed: u64, every: Option<u64>) -> (u64, [u64; I::COUNT]) {
    let mut position = Position { seed, step: 0 };
    memory.zero(memory.base(), memory.size());
    let kernel = boot_in(
        memory,
        table,
        |memory, paddr| {
            if has_devices(seed) { list_devices(memory, paddr) } else { 0 }
        },
    );
    let invariants = Invariants::new(&kernel).unwrap_or_else(|error| panic!("{error}"));
    let mut fuzzer = Fuzzer { machine: Machine { kernel }, random: Random(seed), succeeded: [0; I::COUNT] };
    show_image(fuzzer.machine.kernel.host(), has_devices(seed));
    fuzzer.populate();
    let tracing = fuzzer.random.one_in(8);
    fuzzer.machine.kernel.set_tracing(tracing);
    let every = every.unwrap_or([1, 8, 64, 64, 64, 64][fuzzer.random.below(6) as usize]);
    let mut dull = 0;
    while position.step < EPISODE && dull < 50 {
        position.step += 1;
        let (what, next) = fuzzer.step();
        // Who has ended is still current, until somebody else is chosen.
        match next {
            Next::Run(_) => {}
            Next::Idle | Next::Unhandled(_) if fuzzer.wait() => {}
            Next::Idle | Next::Unhandled(_) | Next::Exit(_) => return (position.step, fuzzer.succeeded),
        }
        if position.step.is_multiple_of(every) {
            let checked = check(&invariants, &mut fuzzer.machine.kernel);
            checked.unwrap_or_else(|error| panic!("{error}\nafter {what}"));
        }
        dull = if fuzzer.is_lively() { 0 } else { dull + 1 };
        fuzzer.machine.kernel.host().trace.clear();
        fuzzer.machine.kernel.host().output.clear();
    }
    let checked = check(&invariants, &mut fuzzer.machine.kernel);
    checked.unwrap_or_else(|error| panic!("{error}\nat the end"));
    (position.step, fuzzer.succeeded)
}

/// A third of all machines, each edition among them, has devices of the host.
fn has_devices(seed: u64) -> bool {
    seed.is_multiple_of(3)
}

/// Maps what is mapped when the root task starts.
fn show_image(host: &mut FakeHost, devices: bool) {
    let pages = (IMAGE.end - IMAGE.start) / 4096 + 2 + u64::from(devices);
    let page = |number| (IMAGE.start + number * 4096, (BASE + number * 4096, 4096, Access::ReadWrite));
    host.mapped.extend((0..pages).map(page));
}

fn check(invariants: &Invariants, kernel: &mut Kernel<'_, FakeHost>) -> Result<(), String> {
    invariants.check(kernel)?;
    let mapped = std::mem::take(&mut kernel.host().mapped);
    check_pages(kernel, &mapped)?;
    kernel.host().mapped = mapped;
    Ok(())
}

/// A console with input, a clock and a device that nobody serves; answers how many bytes that takes.
fn list_devices(memory: Memory<'_>, paddr: u64) -> u64 {
    let console = Device {
        number: DeviceKind::Console as u32,
        flags: Console::HAS_INPUT,
        address: IMAGE.end + 0x2000 + 0x200,
        size: Console::SMALL_SIZE,
        params: Console::SMALL.params(),
        ..Device::default()
    };
    let [clock, disk] = [DeviceKind::Clock, DeviceKind::Block]
        .map(|kind| Device { number: kind as u32, ..Device::default() });
    let mut list = [0; 0x200];
    let size = Devices::write(&[console, clock, disk], &mut list).unwrap_or(0);
    memory.set(paddr, DEVICES_CHUNK);
    memory.set(paddr + 8, 16 + size as u64);
    memory.write(paddr + 16, &list[..size]);
    16 + size as u64
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn run(calls: u64) {
    let cells = vec![Cell::new(0); MEMORY as usize / 8];
    let memory = Memory::new(BASE, &cells);
    let tables = EDITIONS.map(|edition| table_of(edition, CNODE_BITS));
    let mut seed = number("SELKIE_FUZZ_SEED").unwrap_or(1);
    let (mut done, mut episodes, mut succeeded) = (0, 0, [0; I::COUNT]);
    while done < calls {
        let table = &tables[(seed % EDITIONS.len() as u64) as usize];
        let (steps, counts) = episode(memory, table, seed, number("SELKIE_FUZZ_EVERY"));
        succeeded.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        done += steps;
        (seed, episodes) = (seed + 1, episodes + 1);
    }
    eprintln!("{done} calls in {episodes} episodes");
    // Calls that end everything at once, or only fail, would show nothing.
    let kinds = succeeded.iter().filter(|count| **count != 0).count();
    if calls >= DEFAULT_CALLS {
        assert!(done / episodes > 30 && kinds > 45, "{episodes} episodes, {kinds} kinds of invocations");
    }
}

#[test]
fn random_calls_keep_the_invariants() {
    run(number("SELKIE_FUZZ_CALLS").unwrap_or(DEFAULT_CALLS));
}

#[test]
#[ignore = "takes a minute"]
fn a_million_random_calls_keep_the_invariants() {
    run(1_000_000);
}
