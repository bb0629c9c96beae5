//! Where a function begins.

use crate::{
    boot_info::BootInfo,
    cap::{Capability, IoPort, Tcb, init_ports},
    clock, config, console, device, exit,
    fw_cfg::FwCfg,
    logger,
    system::System,
};
use core::{
    arch::naked_asm,
    fmt::Write,
    panic::PanicInfo,
    sync::atomic::{AtomicBool, Ordering},
};
use selkie_base::devices::RUN_CHUNK;
use selkie_sys::{Word, ipc_buffer};

unsafe extern "Rust" {
    /// What [`entry!`](crate::entry) defines.
    safe fn __selkie_main(sys: &mut System) -> u8;
    /// Starts the console's driver and attaches it, where there is a console: `selkie-drivers` defines it.
    #[cfg(feature = "console")]
    safe fn __selkie_console(sys: &mut System);
}

unsafe extern "C" {
    static _end: u8;
}

/// Makes `main` the function's entry point. It takes `&mut System` and returns what
/// [`Termination`](crate::Termination) says: nothing, a status, or a `Result`.
#[macro_export]
macro_rules! entry {
    ($main:path) => {
        #[unsafe(no_mangle)]
        fn __selkie_main(sys: &mut $crate::System) -> u8 {
            $crate::Termination::report($main(sys))
        }
    };
}

/// The kernel enters here, with the address of BootInfo in rdi and no stack.
#[unsafe(no_mangle)]
#[unsafe(naked)]
unsafe extern "C" fn _start() -> ! {
    naked_asm!("lea rsp, [rip + __selkie_stack_top]", "xor ebp, ebp", "call {start}", "ud2", start = sym start)
}

extern "C" fn start(boot_info: *const u8) -> ! {
    // SAFETY: it is what the function was entered with.
    let boot_info = unsafe { BootInfo::new(boot_info) };
    // SAFETY: BootInfo names the buffer that the thread was given.
    unsafe { ipc_buffer::init(Tcb::first().slot().0, boot_info.ipc_buffer() as Word) };
    init_ports(&boot_info);
    let target = if device::init(&boot_info) {
        "process"
    } else if FwCfg::find(IoPort::OWN).is_some_and(|device| device.has_kernel()) {
        "qemu"
    } else {
        "bare-metal"
    };
    config::read_section(target);
    if let Some(bytes) = boot_info.chunk(RUN_CHUNK) {
        config::add_override(bytes);
    }
    clock::init(&boot_info);
    let mut sys = System::new(boot_info, (&raw const _end).addr());
    if let Err(error) = sys.prepare() {
        crate::println!("cannot start the function: {error}");
        exit::exit(exit::FAULTED)
    }
    #[cfg(feature = "console")]
    if target == "qemu" {
        __selkie_console(&mut sys);
    }
    #[cfg(feature = "acpi")]
    if target == "bare-metal" {
        crate::acpi::init(&mut sys);
    }
    logger::init();
    exit::exit(__selkie_main(&mut sys))
}

#[panic_handler]
fn panicked(info: &PanicInfo<'_>) -> ! {
    static PANICKING: AtomicBool = AtomicBool::new(false);
    // A `Display` in the message may panic, too: that ends it.
    if !PANICKING.swap(true, Ordering::Relaxed) {
        let (mut console, guard) = console::force();
        // Writing to the console does not fail, unless a `Display` in the message does.
        let _ = writeln!(console, "\n{info}");
        drop(guard);
    }
    // What a failed allocation ends in cannot be replaced in stable Rust, but known by where it panics.
    let allocation = info.location().is_some_and(|at| at.file().ends_with("alloc/src/alloc.rs"));
    exit::exit(if allocation { exit::OUT_OF_MEMORY } else { exit::PANICKED })
}

/// The prebuilt crate `alloc` is compiled for unwinding: its clean-up paths call this function. Nothing
/// unwinds here, because a panic ends the function.
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() -> ! {
    exit::exit(exit::PANICKED)
}

/// Named by the unwind tables of the same crate, which are not part of the image.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}
