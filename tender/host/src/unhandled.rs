//! The report about a fault that nobody handles.

use crate::{output::Output, process::Process};
use core::fmt::Write;
use selkie_tender_filter::GUEST_END;
use selkie_tender_model::{Fault, Kernel, Register, Tcb};
use selkie_tender_setup::{Access, Loaded};

/// Bytes of a page.
const PAGE: u64 = 4096;

/// Registers in the order of the report, with their names.
const REGISTERS: [(&str, Register); 20] = [
    ("rip", Register::Rip),
    ("rsp", Register::Rsp),
    ("rflags", Register::Rflags),
    ("rax", Register::Rax),
    ("rbx", Register::Rbx),
    ("rcx", Register::Rcx),
    ("rdx", Register::Rdx),
    ("rsi", Register::Rsi),
    ("rdi", Register::Rdi),
    ("rbp", Register::Rbp),
    ("r8", Register::R8),
    ("r9", Register::R9),
    ("r10", Register::R10),
    ("r11", Register::R11),
    ("r12", Register::R12),
    ("r13", Register::R13),
    ("r14", Register::R14),
    ("r15", Register::R15),
    ("fs base", Register::FsBase),
    ("gs base", Register::GsBase),
];

/// What each exception is called (Intel SDM volume 3, table 6-1).
const EXCEPTIONS: [(u64, &str); 10] = [
    (0, "a division by zero, or a quotient that is too large"),
    (1, "a stop for a debugger"),
    (3, "a breakpoint (int3)"),
    (4, "an overflow (into)"),
    (6, "an instruction that does not exist"),
    (12, "an access at a stack address that is none"),
    (13, "an access that is never allowed, such as a privileged instruction or an address that is none"),
    (16, "an x87 floating-point exception"),
    (17, "an access that is not aligned"),
    (19, "an SSE floating-point exception"),
];

/// Prints what has happened to the thread, and all of its registers.
pub(crate) fn print(kernel: &mut Kernel<'_, Process>, thread: Tcb) {
    let memory = kernel.memory();
    let fault = kernel.fault_of(thread);
    let loaded = kernel.host().loaded();
    let ip = thread.register(&memory, Register::FaultIp);
    let sp = thread.register(&memory, Register::Rsp);
    let mut text = Output::new(Output::REPORTS);
    let _ = describe(&mut text, thread, fault);
    let _ = write!(text, "  at the instruction {ip:#x}, {}", place(loaded, ip));
    let _ = write_instruction(&mut text, loaded, ip);
    if let Some(Fault::Vm { address, .. }) = fault {
        let _ = writeln!(text, "  the address is {}", place(loaded, address));
        if let Some(hint) = hint(address, sp, ip) {
            let _ = writeln!(text, "  hint: {hint}");
        }
    }
    for row in REGISTERS.chunks(4) {
        let _ = text.write_str("   ");
        for (name, register) in row {
            let _ = write!(text, " {name:>7} {:016x}", thread.register(&memory, *register));
        }
        let _ = text.write_str("\n");
    }
    text.flush();
}

/// The bytes from the instruction on, as they are in the file.
fn write_instruction(text: &mut Output, loaded: &Loaded, ip: u64) -> core::fmt::Result {
    /// No instruction is longer.
    const LONGEST: usize = 15;
    let mut segments = loaded.root_task.segments().iter();
    let code = segments.find(|segment| {
        segment.access == Access::ReadExecute
            && ip.checked_sub(segment.address).is_some_and(|offset| offset < segment.file_size)
    });
    let bytes = code.and_then(|code| loaded.file.get((code.offset + ip - code.address) as usize..));
    for (index, byte) in bytes.unwrap_or_default().iter().take(LONGEST).enumerate() {
        write!(text, "{} {byte:02x}", if index == 0 { ":" } else { "" })?;
    }
    text.write_str("\n")
}

/// The thread and what it did.
fn describe(text: &mut Output, thread: Tcb, fault: Option<Fault>) -> core::fmt::Result {
    write!(
        text,
        "selkie-tender: the thread with the TCB at {:#x} has stopped and has no fault handler: ",
        thread.0
    )?;
    match fault {
        Some(Fault::Vm { address, code, .. }) => {
            // Bits of the code: present, write, user, reserved, fetch.
            let access = match (code & 16 != 0, code & 2 != 0) {
                (true, _) => "executed",
                (false, true) => "wrote to",
                (false, false) => "read",
            };
            let why = if code & 1 != 0 { "which does not allow that" } else { "where nothing is mapped" };
            writeln!(text, "it {access} {address:#x}, {why}")
        }
        Some(Fault::Exception { number, code }) => {
            let name = EXCEPTIONS.iter().find(|(known, _)| *known == number);
            let name = name.map_or("an exception of the processor", |(_, name)| name);
            writeln!(text, "{name} (exception {number}, error code {code:#x})")
        }
        Some(fault) => writeln!(text, "{fault}"),
        None => writeln!(text, "it cannot be told why"),
    }
}

/// What is at an address of the root task.
fn place(loaded: &Loaded, address: u64) -> &'static str {
    let image = loaded.image();
    let mut segments = loaded.root_task.segments().iter();
    if let Some(segment) = segments.find(|segment| segment.pages().contains(&address)) {
        return match segment.access {
            Access::ReadExecute => "in the root task's code",
            Access::Read => "in the root task's constants",
            Access::ReadWrite => "in the root task's data, which may be a stack",
        };
    }
    match address {
        _ if image.contains(&address) => "in a gap of the root task's image",
        _ if address < PAGE => "in the null page",
        _ if (image.end..image.end + PAGE).contains(&address) => "in the IPC buffer of the first thread",
        _ if (image.end + PAGE..image.end + (2 + loaded.extra_pages) * PAGE).contains(&address) => {
            "in BootInfo"
        }
        _ if address >= GUEST_END => "beyond what a root task can use",
        _ => "outside of the root task's image",
    }
}

/// What often leads to such an access.
fn hint(address: u64, sp: u64, ip: u64) -> Option<&'static str> {
    if address < PAGE && ip == address {
        Some("a call through a null pointer")
    } else if address < PAGE {
        Some("a null pointer, or a field of what it leads to")
    } else if address.abs_diff(sp) < 4 * PAGE {
        Some("the stack pointer is near: the stack may be too small")
    } else {
        None
    }
}
