//! From the program's first instruction to the root task's.

use crate::{
    FAILED, alarm, entry, events,
    input::Source,
    output::report,
    process::Process,
    run, signal,
    sites::Text,
    state::{Place, State, Ticks},
    syscall::{self, Raw, selkie_syscall_instruction},
    vdso::Vdso,
};
use core::arch::{global_asm, naked_asm};
use linux_raw_sys::{
    auxvec::{AT_HWCAP2, AT_MINSIGSTKSZ, AT_SYSINFO_EHDR},
    errno, general,
};
use selkie_tender_model::{Boot, BootError, FirstWords, Kernel, Memory, kernel_bytes};
use selkie_tender_setup as setup;
use selkie_tender_table::{
    Number, SYSCALLS, Syscall, Table,
    payload::{Header, MAGIC, device},
};
use setup::{Command, Loaded, LoadedNet, LockDown, Options, PHYSICAL_BASE, Payload};

/// Bytes of the system-call instruction.
const SYSCALL_SIZE: u64 = 2;
/// For how many milliseconds a thread may compute before the tender looks for input.
const LOOK_MS: u64 = 2;
/// The same where the kernel has no ticks: how long after its end the budget of a thread may be noticed that no alarm
/// is set for.
const BUDGET_LOOK_MS: u64 = 1;
/// In `AT_HWCAP2`: programs may use `wrfsbase` and `wrgsbase`.
const FSGSBASE: usize = 1 << 1;

// The payload of a tender that nobody has put anything into: a header without parts. The builder replaces
// it, so the compiler must not know its bytes. The linker script says how much it puts behind it.
global_asm!(
    ".pushsection .selkie.payload, \"a\", @progbits",
    ".balign 4096",
    ".globl selkie_payload",
    "selkie_payload:",
    ".quad {magic}, selkie_payload_size, selkie_payload_size",
    ".zero {size} - 24",
    ".popsection",
    magic = const u64::from_le_bytes(MAGIC),
    size = const size_of::<Header>(),
);

unsafe extern "C" {
    /// The begin of the payload.
    static selkie_payload: Header;
}

/// Where Linux starts the program: arguments, environment and auxiliary vector lie on the stack, which
/// stays the tender's.
#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn _start() -> ! {
    naked_asm!("xor ebp, ebp", "mov rdi, rsp", "and rsp, -16", "call {start}", start = sym start)
}

unsafe extern "C" fn start(stack: *const usize) -> ! {
    // SAFETY: this is the stack as Linux has made it, and nothing of it is changed before the lock-down.
    let process = unsafe { setup::Process::from_stack(stack) };
    match prepare(process) {
        Ok(Some((options, loaded))) => match go(process, &options, loaded) {
            Err(error) => fail(error),
            Ok(kernel) => run::first(kernel),
        },
        Ok(None) => syscall::exit(0),
        Err(error) => fail(error),
    }
}

fn fail(error: impl core::fmt::Display) -> ! {
    report(format_args!("selkie-tender: {error}\n"));
    syscall::exit(FAILED);
}

static LOADED: Place<Loaded> = Place::new();
static FIRST: Place<FirstWords<'static>> = Place::new();
static KERNEL: Place<Kernel<'static, Process>> = Place::new();

/// Follows the command line up to a root task that could run; none when there is only something to print.
#[inline(never)] // What it needs of the stack is free again afterwards.
fn prepare(process: setup::Process) -> Result<Option<(Options, &'static Loaded)>, setup::Error> {
    // SAFETY: the linker script puts the payload into a segment of its own that is only read.
    let payload = unsafe { Payload::find(process, &raw const selkie_payload) }?;
    let options = match Command::parse(process.args(), payload.is_operator())? {
        Command::Run(options) => options,
        Command::Help if payload.is_operator() => return Ok(print(format_args!("{}", setup::HELP_OPERATOR))),
        Command::Help => return Ok(print(format_args!("{}", setup::HELP_SINGLE))),
        Command::Version => return Ok(print(format_args!("selkie-tender {}", env!("CARGO_PKG_VERSION")))),
    };
    let entry = (&raw const entry::selkie_entry).addr() as u64;
    // SAFETY: the tender is linked far above, and Linux has put nothing there.
    let loaded = unsafe { setup::load(&Raw, process, &payload, &options, entry, kernel_bytes) }?;
    // SAFETY: this happens once.
    Ok(Some((options, unsafe { LOADED.put(loaded) })))
}

fn print<T>(text: core::fmt::Arguments<'_>) -> Option<T> {
    setup::print(&Raw, 1, text);
    None
}

/// Boots the kernel and locks the process down.
#[inline(never)] // What it needs of the stack is free again afterwards.
#[expect(clippy::mut_from_ref, reason = "the kernel is not what was loaded")]
fn go(
    process: setup::Process,
    options: &Options,
    loaded: &'static Loaded,
) -> Result<&'static mut Kernel<'static, Process>, StartError> {
    let auxiliary = |kind: u32| process.auxiliary(kind).unwrap_or_default();
    let has_input = loaded.settings.devices & device::INPUT != 0;
    let (events, source) = if has_input { events::open()? } else { (None, Source::None) };
    // SAFETY: the kernel says that the vDSO lies there, or nothing.
    let vdso = unsafe { Vdso::at(auxiliary(AT_SYSINFO_EHDR) as u64) };
    let kernel = boot(loaded, source, vdso)?;
    let net_events = match loaded.net {
        Some(net) => Some(serve_net(kernel, net, events)?),
        None => None,
    };
    if loaded.disk.is_some_and(|disk| !kernel.host().serve_disk(disk)) {
        return Err(StartError::NoRegion);
    }
    kernel.set_tracing(options.trace);
    if options.trace {
        tell_sites(loaded);
    }
    // SAFETY: no handler is installed yet, and nothing has a reference to it.
    let state = unsafe {
        State::init();
        State::get()
    };
    signal::install(auxiliary(AT_MINSIGSTKSZ)).map_err(StartError::Signals)?;
    state.minus_yield = minus_yield(loaded.table);
    state.has_fsgsbase = auxiliary(AT_HWCAP2) & FSGSBASE != 0;
    state.text = Text::of(loaded);
    state.thunks = Some(loaded.thunks);
    state.vdso = vdso.map_or([0; 2], |vdso| vdso.range());
    state.kernel = kernel;
    let lock = LockDown {
        syscall_return: (&raw const selkie_syscall_instruction).addr() as u64 + SYSCALL_SIZE,
        vdso: state.vdso,
        events,
        net_events,
        slow_segment_bases: !state.has_fsgsbase,
        strict: options.strict,
    };
    let tick = loaded.table.number(Number::ConfigTimerTickMs);
    let look = if tick == 0 { BUDGET_LOOK_MS } else { tick.min(LOOK_MS) };
    state.ticks = Ticks::new(tick / look);
    alarm::set_look(look);
    forget_stack();
    // SAFETY: everything is open, mapped and set.
    unsafe { setup::lock(&Raw, process, loaded, &lock) }?;
    Ok(kernel)
}

/// Gives pages of the stack back that only earlier steps have used. Each instance would keep them for itself.
fn forget_stack() {
    /// Bytes of a page.
    const PAGE: u64 = 4096;
    /// What the lock-down needs below here, at most; later calls need less.
    const NEEDED: u64 = 3 << 10;
    /// No step has gone deeper.
    const DEEPEST: u64 = 16 * PAGE;
    let here = 0u8;
    let end = ((&raw const here).addr() as u64 - NEEDED) / PAGE * PAGE;
    // SAFETY: nobody uses the stack below here. That the call may fail does not matter.
    let _ = unsafe {
        syscall::syscall(general::__NR_madvise, [end - DEEPEST, DEEPEST, general::MADV_DONTNEED.into()])
    };
}

/// Makes the kernel's objects in the root task's memory.
#[inline(never)] // As above.
#[expect(clippy::mut_from_ref, reason = "as above")]
fn boot(
    loaded: &'static Loaded,
    input: Source,
    vdso: Option<Vdso>,
) -> Result<&'static mut Kernel<'static, Process>, StartError> {
    // SAFETY: this happens once.
    let first = unsafe { FIRST.put(FirstWords::new(loaded.first, loaded.shared)) };
    let host = Process::new(loaded, first, input, vdso);
    let (segments, count) = loaded.writable();
    let boot = Boot {
        image: loaded.image(),
        writable: &segments[..count],
        entry: loaded.root_task.entry,
        extra_pages: loaded.extra_pages,
        extra_bytes: loaded.extra_bytes,
        tsc_mhz: 0,
    };
    let memory = Memory::with_first(PHYSICAL_BASE, first, loaded.memory);
    let kernel = Kernel::boot(memory, loaded.table, host, &boot)
        .map_err(|error| StartError::Boot(error, loaded.settings.memory))?;
    // SAFETY: this happens once.
    Ok(unsafe { KERNEL.put(kernel) })
}

/// Opens what tells of the network, and of what `input` tells of, and lets the kernel's host serve it.
#[inline(never)] // As above.
fn serve_net(
    kernel: &mut Kernel<'static, Process>,
    net: LoadedNet,
    input: Option<i32>,
) -> Result<i32, StartError> {
    let events = events::open_net(net.descriptor, input).map_err(StartError::Net)?;
    if kernel.host().serve_net(net, events) { Ok(events) } else { Err(StartError::NoRegion) }
}

/// Says which system calls are slow.
fn tell_sites(loaded: &Loaded) {
    let sites = loaded.sites;
    if sites.patched + sites.left == 0 {
        report(format_args!(
            "selkie-tender: the root task has no table of system-call sites: all calls take the slow trap path\n"
        ));
    } else if sites.left > 0 {
        let (left, all) = (sites.left, sites.patched + sites.left);
        report(format_args!(
            "selkie-tender: {left} of {all} listed system-call sites do not look like one: they take the slow \
             trap path\n"
        ));
    }
}

/// Minus the number of Yield.
fn minus_yield(table: &Table) -> u64 {
    let is_yield = |number: &usize| table.syscall(-(*number as i64)) == Some(Syscall::Yield);
    // No number is 0: then no system call looks like it.
    (1..SYSCALLS).find(is_yield).unwrap_or_default() as u64
}

/// The root task cannot be started.
#[derive(Debug)]
enum StartError {
    Setup(setup::Error),
    Boot(BootError, u64),
    Signals(&'static str),
    Events(syscall::Errno),
    Net(syscall::Errno),
    NoRegion,
}

impl From<setup::Error> for StartError {
    fn from(error: setup::Error) -> Self {
        Self::Setup(error)
    }
}

impl From<syscall::Errno> for StartError {
    fn from(error: syscall::Errno) -> Self {
        Self::Events(error)
    }
}

impl core::fmt::Display for StartError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Setup(error) => write!(f, "{error}"),
            Self::Boot(BootError::TooSmall { needed }, memory) => write!(
                f,
                "{memory} bytes of memory are not enough: the root task and the kernel's objects need \
                 {needed}\n  help: give it more with --memory"
            ),
            Self::Boot(BootError::TooFewSlots { slots }, _) => write!(
                f,
                "the initial CNode's {slots} slots are too few for the root task's pages\n  \
                 help: raise ROOT_CNODE_SIZE_BITS in the kernel config, or make the root task smaller"
            ),
            Self::Signals(why) => write!(f, "signals cannot be set up: {why}"),
            Self::Net(syscall::Errno(errno::EPERM)) => {
                f.write_str("--net: nobody can wait for what it names\n  help: name a socket")
            }
            Self::Net(error) => write!(f, "the network cannot be watched (error {})", error.0),
            Self::NoRegion => f.write_str("the region of the network or the disk cannot be mapped"),
            Self::Events(error) => write!(f, "the console's input cannot be watched (error {})", error.0),
        }
    }
}
