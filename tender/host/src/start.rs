//! From the program's first instruction to the root task's.

use crate::{
    alarm, entry,
    input::Source,
    process::{Places, Process},
    run, signal, standin,
    state::STATE,
};
use core::arch::naked_asm;
use linux_raw_sys::auxvec;
use selkie_tender_model::{Boot, Kernel, Memory};
use selkie_tender_table::{Number, Syscall, Table};

/// Where Linux starts the program: arguments, environment and auxiliary vector lie on the stack.
#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn _start() -> ! {
    naked_asm!("xor ebp, ebp", "mov rdi, rsp", "and rsp, -16", "call {start}", start = sym start)
}

unsafe extern "C" fn start(stack: *const u64) -> ! {
    let argc = unsafe { *stack } as usize;
    let args = unsafe { core::slice::from_raw_parts(stack.add(1).cast::<*const u8>(), argc) };
    let p = unsafe { stack.add(argc + 2) };
    let auxiliary = |wanted: u32| unsafe {
        let mut p = p;
        while *p != 0 {
            p = p.add(1);
        }
        p = p.add(1);
        while *p != 0 {
            if *p == wanted as u64 {
                return *p.add(1);
            }
            p = p.add(2);
        }
        0
    };
    let loaded = unsafe { standin::load(args, (&raw const entry::selkie_entry).addr() as u64) };
    let base = 0x100000;
    let file = |i: usize| {
        let (r, f, o) = &loaded.segments[i];
        if f & 2 != 0 {
            (0..0, 0)
        } else {
            (r.start - loaded.image.start + base..r.end - loaded.image.start + base, *o)
        }
    };
    let places = Places {
        memory: loaded.memory_fd,
        memory_base: base,
        window: loaded.memory.as_ptr() as *mut u8,
        image: loaded.image_fd,
        file_pages: [file(0), file(1), file(2), file(3)],
        free: 0x10000..0x7dff_ffe0_0000,
        taken: [loaded.stubs.start..loaded.stubs.start + 4096, 0..0, 0..0],
    };
    let process = Process::new(places, Source::None, auxiliary(auxvec::AT_SYSINFO_EHDR));
    let boot = Boot {
        image: loaded.image.clone(),
        writable: &loaded.writable,
        entry: loaded.entry,
        extra_pages: 0,
        extra_bytes: 0,
        tsc_mhz: 0,
    };
    let mut kernel = match Kernel::boot(Memory::new(base, loaded.memory), loaded.table, process, &boot) {
        Ok(kernel) => kernel,
        Err(error) => panic!("{error:?}"),
    };
    if args.len() > 3 {
        kernel.set_tracing(true);
    }
    signal::install(auxiliary(auxvec::AT_MINSIGSTKSZ) as usize).unwrap_or_else(|e| panic!("{e}"));
    let state = unsafe { &mut *(&raw mut STATE) };
    state.minus_yield = yield_number(loaded.table);
    state.has_fsgsbase = auxiliary(auxvec::AT_HWCAP2) & 2 != 0;
    state.stubs = [loaded.stubs.start, loaded.stubs.end];
    state.kernel = (&raw mut kernel).cast();
    alarm::set_tick(loaded.table.number(Number::ConfigTimerTickMs));
    run::first(state, &mut kernel)
}

/// Minus the number of Yield.
fn yield_number(table: &Table) -> u64 {
    (1..64).find(|number: &i64| table.syscall(-*number) == Some(Syscall::Yield)).unwrap_or(0) as u64
}
