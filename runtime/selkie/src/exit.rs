//! The end of a function.

use crate::{
    cap::{Capability, IoPort, Slot, Tcb},
    config::{self, AtExit},
    console, device,
    fw_cfg::FwCfg,
};
use core::{
    fmt::{Display, Write},
    sync::atomic::{AtomicBool, Ordering},
};

/// The greatest exit status.
pub const MAX_STATUS: u8 = 111;
/// The status after a panic.
pub(crate) const PANICKED: u8 = 101;
/// The status after the heap was used up.
pub(crate) const OUT_OF_MEMORY: u8 = 102;
/// The status after a fault that nobody handles, and when the function cannot be started.
pub(crate) const FAULTED: u8 = 103;

/// The port of QEMU's device `isa-debug-exit`, as Selkie starts QEMU; a host process has it too.
const DEBUG_EXIT: u16 = 0xf4;
/// Added to the status, so that QEMU's own exit codes (0 and 1) cannot be taken for one of a function.
const DEBUG_EXIT_OFFSET: u8 = 0x10;
/// The ACPI power-management control register PM1a of QEMU's machines: q35 and newer pc, then older pc.
const PM1A_CONTROL: [u16; 2] = [0x604, 0xb004];
/// SLP_EN with sleep type 0, which means "off" in QEMU's ACPI tables.
const POWER_OFF: u16 = 1 << 13;

/// Ends the function with `status` (of more than 111, 111 is left): prints the last line, waits until it
/// has left the serial port, and leaves the machine.
///
/// The last line is framed: `[selkie:exit status=N nonce=…]`, on a line of its own. Then a host process ends
/// with the status, and QEMU, where its debug-exit device is, with a code that is made of it. Elsewhere it is
/// as the recipe's `at-exit` says, by whatever is the first to work:
/// - `power-off`: as the machine's ACPI tables say (feature `acpi`); by the port that QEMU has for it (without
///   that feature, and where QEMU loaded the kernel);
/// - `reboot`: by the reset register that the tables name (feature `acpi`); by that of PCI chip sets; by the
///   keyboard controller;
/// - `halt`, or when nothing has worked: the calling thread stops for ever.
pub fn exit(status: u8) -> ! {
    static ENDING: AtomicBool = AtomicBool::new(false);
    if ENDING.swap(true, Ordering::Relaxed) {
        stop();
    }
    let status = status.min(MAX_STATUS);
    let config = config::get();
    // The lock is never given back: nothing may follow the last line.
    let (mut console, _guard) = console::force();
    let nonce = config.nonce();
    // Writing to the console does not fail.
    let _ = write!(console, "\n[selkie:exit status={status} nonce={nonce}]\n");
    console.flush();
    leave(status, config.at_exit());
    stop()
}

/// Leaves the machine. Returns when there is no way to do so.
fn leave(status: u8, at_exit: AtExit) {
    let ports = IoPort::OWN;
    // A port that nobody answers for, or that has no effect, is a reason to try the next way. A process has this
    // one, and ends here.
    let is_process = device::in_process();
    let qemu = if is_process { None } else { FwCfg::find(ports) };
    if is_process || qemu.is_some() {
        let _ = ports.out8(DEBUG_EXIT, status + DEBUG_EXIT_OFFSET);
    }
    #[cfg(feature = "acpi")]
    crate::acpi::leave(at_exit);
    match at_exit {
        // What knows ACPI leaves QEMU's firmware as it leaves any: so a boot there shows that it can.
        AtExit::PowerOff if qemu.is_some_and(|qemu| !cfg!(feature = "acpi") || qemu.has_kernel()) => {
            for port in PM1A_CONTROL {
                let _ = ports.out16(port, POWER_OFF);
            }
        }
        AtExit::Reboot => {
            // The chip set's reset register, then the keyboard controller's reset line.
            let _ = ports.out8(0xcf9, 0x02);
            let _ = ports.out8(0xcf9, 0x06);
            let _ = ports.out8(0x64, 0xfe);
        }
        _ => {}
    }
}

/// Stops the calling thread for ever.
fn stop() -> ! {
    loop {
        let _ = crate::thread::current_tcb().suspend();
        crate::thread::yield_now();
    }
}

/// What a function's `main` may return, and the exit status that it means.
pub trait Termination {
    /// The exit status.
    fn report(self) -> u8;
}

impl Termination for () {
    fn report(self) -> u8 {
        0
    }
}

impl Termination for u8 {
    fn report(self) -> u8 {
        self
    }
}

impl<T: Termination, E: Display> Termination for Result<T, E> {
    /// The value's own status; an error is printed and means 1.
    fn report(self) -> u8 {
        match self {
            Ok(value) => value.report(),
            Err(error) => {
                crate::println!("error: {error}");
                1
            }
        }
    }
}

impl Tcb {
    /// The function's first thread.
    pub(crate) fn first() -> Self {
        Self::at(Slot(selkie_sys::slot::TCB))
    }
}
