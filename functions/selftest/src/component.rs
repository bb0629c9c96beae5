//! A function that is no root task: nobody answers for ports, interrupts and numbers of address spaces.

use crate::tap::Tap;
use core::time::Duration;
use selkie::{
    cap::{AsidControl, AsidPool, Capability, IoPort, IrqControl, Pml4, Slot, Untyped},
    clock,
    input::Input,
    interrupt::Interrupt,
    pit::Timer,
    prelude::*,
};

pub fn run(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let mut own =
        vec![IrqControl::OWN.slot(), AsidControl::OWN.slot(), AsidPool::OWN.slot(), IoPort::OWN.slot()];
    // Where ports are issued, those of the serial port have been.
    if let Ok(ports) = IoPort::OWN.covering(0x3ff)
        && ports != IoPort::OWN
    {
        own.push(ports.slot());
    }
    let aside = sys.memory.slots(own.len())?;
    for (index, slot) in own.iter().enumerate() {
        aside.offset(index).place().take(slot.place())?;
    }
    let results = alone(sys);
    for (index, slot) in own.iter().enumerate() {
        slot.place().take(aside.offset(index).place())?;
    }
    sys.memory.release_slots(aside, own.len());
    for (what, good) in results? {
        tap.yes(what, good);
    }
    Ok(())
}

/// Uses what the runtime offers while those slots are empty. Nothing may hang or end the function.
fn alone(sys: &mut System) -> Result<Vec<(&'static str, bool)>> {
    // Seen where the kernel or the host prints it, lost elsewhere: so it is empty.
    println!();
    let empty = |result: Result<()>| matches!(result, Err(Error::InvalidCapability { number: 0 }));
    let slot = sys.memory.slot()?;
    let (blocks, slots) = (sys.memory.usage().blocks, sys.memory.slot_usage());
    let mut results = vec![
        ("no port to read", empty(IoPort::OWN.in8(0x3ff).map(drop))),
        ("no port to write", empty(IoPort::OWN.out32(0xcf8, 0))),
        ("no interrupt", empty(Interrupt::isa(sys, 4).map(drop))),
        ("no timer", empty(Timer::new(sys).map(drop))),
        ("no input but the host's", input(sys)),
        ("no number for an address space", empty(AsidPool::OWN.assign(Pml4::OWN))),
        ("no pool of numbers", empty(AsidControl::OWN.make_pool(Untyped::at(Slot::NULL), slot.place()))),
        ("time goes on", clock::spin(Duration::from_micros(10)).is_ok()),
        ("threads start and end", sys.spawn(|| 6 * 7)?.join(sys) == Ok(42)),
    ];
    let same = (blocks, slots) == (sys.memory.usage().blocks, sys.memory.slot_usage());
    results.push(("nothing is lost by what is refused", same));
    sys.memory.release_slots(slot, 1);
    Ok(results)
}

/// The host's console needs no ports; elsewhere there is no input without them.
fn input(sys: &mut System) -> bool {
    match Input::new(sys) {
        Ok(_) => env("CONSOLE") == Some("host"),
        Err(error) => error == Error::NoDevice && env("CONSOLE") == Some("serial"),
    }
}
