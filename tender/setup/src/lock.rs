//! The lock-down: giving up all that the tender no longer needs.

use crate::{
    Error, Loaded, PAGE, Process,
    elf::own_segments,
    linux::{Calls, Errno, Linux},
    report::report,
};
use core::fmt::{Display, Formatter};
use linux_raw_sys::{
    errno::{EINVAL, ENOSYS},
    general::{
        __NR_close_range, __NR_landlock_create_ruleset, __NR_landlock_restrict_self, __NR_mseal, __NR_prctl,
        __NR_prlimit64, __NR_seccomp, RLIMIT_CORE, RLIMIT_NOFILE, RLIMIT_NPROC, RLIMIT_STACK, rlimit64,
    },
    landlock::{
        LANDLOCK_CREATE_RULESET_VERSION, LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET, LANDLOCK_SCOPE_SIGNAL,
        landlock_ruleset_attr,
    },
    prctl::{PR_MDWE_REFUSE_EXEC_GAIN, PR_SET_DUMPABLE, PR_SET_MDWE, PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP},
    ptrace::{SECCOMP_MODE_FILTER, SECCOMP_SET_MODE_FILTER, sock_filter},
};
use selkie_tender_filter::{Bindings, Program, Setting};
use selkie_tender_table::payload::device;

/// What the lock-down needs to know of the host.
#[derive(Debug, Clone, Copy)]
pub struct LockDown {
    /// The address after the tender's one system-call instruction.
    pub syscall_return: u64,
    /// The addresses of the vDSO, from the first up to the second; equal where there is none.
    pub vdso: [u64; 2],
    /// The descriptor that tells of input, when the image has any.
    pub events: Option<i32>,
    /// The descriptor that tells of the network, when there is one.
    pub net_events: Option<i32>,
    /// The machine lacks `wrfsbase` and `wrgsbase`.
    pub slow_segment_bases: bool,
    /// Nothing runs unless every part is there.
    pub strict: bool,
}

/// A part of the lock-down that older kernels, or the profile of a container around, may lack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Hardening {
    /// Descriptors that nobody needs are closed.
    CloseRange,
    /// The process cannot be traced, nor leave a core file.
    NotDumpable,
    /// Memory that can be written never becomes executable.
    DenyWriteExecute,
    /// Mappings cannot be changed any more.
    Seal,
    /// No program that is executed has more rights.
    NoNewPrivileges,
    /// No file, no network, no signals to others.
    Landlock,
    /// No new descriptors, no processes, no core files, a bounded stack.
    Limits,
}

impl Hardening {
    /// All, in the order in which they are set.
    pub const ALL: [Self; 7] = [
        Self::CloseRange,
        Self::NotDumpable,
        Self::DenyWriteExecute,
        Self::Seal,
        Self::NoNewPrivileges,
        Self::Landlock,
        Self::Limits,
    ];

    /// What the manual calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CloseRange => "close_range",
            Self::NotDumpable => "PR_SET_DUMPABLE",
            Self::DenyWriteExecute => "PR_SET_MDWE",
            Self::Seal => "mseal",
            Self::NoNewPrivileges => "PR_SET_NO_NEW_PRIVS",
            Self::Landlock => "Landlock",
            Self::Limits => "resource limits",
        }
    }
}

/// Parts of the lock-down that could not be had, with the reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Missing([Option<Errno>; Hardening::ALL.len()]);

impl Missing {
    /// Whether nothing is missing.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }

    /// Why a part is missing; none when it is there.
    pub fn reason(&self, part: Hardening) -> Option<Errno> {
        self.0[part as usize]
    }

    fn note(&mut self, part: Hardening, result: Result<(), Errno>) {
        self.0[part as usize] = result.err();
    }
}

impl Display for Missing {
    fn fmt(&self, f: &mut Formatter<'_>) -> core::fmt::Result {
        let mut separator = "";
        for part in Hardening::ALL {
            if let Some(errno) = self.reason(part) {
                write!(f, "{separator}{} ({errno})", part.name())?;
                separator = ", ";
            }
        }
        Ok(())
    }
}

/// Locks the process down; what is missing is said in one line on descriptor 2. From then on the filter
/// decides. An error leaves a process that is locked in part, to be ended.
///
/// # Safety
/// All that the process needs is open, mapped and set; nobody uses the environment any more.
#[inline(never)] // What it needs of the stack is free again afterwards.
pub unsafe fn lock(
    linux: &dyn Linux,
    process: Process,
    loaded: &Loaded,
    how: &LockDown,
) -> Result<(), Error> {
    let calls = Calls(linux);
    // Made before anything is given up, so that a fault of its own can still be told.
    let setting = Setting { devices: loaded.settings.devices, slow_segment_bases: how.slow_segment_bases };
    let mut program = Program::EMPTY;
    program.compile(setting, &bindings(loaded, how)).map_err(Error::Filter)?;
    // SAFETY: nobody looks at it any more, as the caller says.
    unsafe { process.forget_environment() };

    let mut missing = Missing::default();
    missing.note(Hardening::CloseRange, close_others(calls, loaded, how));
    missing.note(Hardening::NotDumpable, control(calls, PR_SET_DUMPABLE, 0));
    missing.note(Hardening::DenyWriteExecute, control(calls, PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN));
    missing.note(Hardening::Seal, seal(calls, process, loaded));
    missing.note(Hardening::NoNewPrivileges, control(calls, PR_SET_NO_NEW_PRIVS, 1));
    missing.note(Hardening::Landlock, landlock(calls));
    missing.note(Hardening::Limits, limits(calls, process));
    if !missing.is_empty() {
        if how.strict {
            return Err(Error::Strict(missing));
        }
        let rest = "the filter of system calls is in place; --strict refuses to start like this";
        report(linux, format_args!("warning: the lock-down lacks {missing}; {rest}"));
    }
    install(calls, program.instructions()).map_err(Error::NoFilter)
}

fn bindings(loaded: &Loaded, how: &LockDown) -> Bindings {
    Bindings {
        syscall_return: how.syscall_return,
        vdso: how.vdso,
        memory: loaded.memory_fd,
        events: how.events,
        net: net(loaded, how),
        block: loaded.disk.map(|loaded| (loaded.disk.descriptor, loaded.disk.bytes())),
    }
}

/// The network's descriptor, and the one that tells of it.
fn net(loaded: &Loaded, how: &LockDown) -> Option<[i32; 2]> {
    loaded.net.zip(how.net_events).map(|(net, events)| [net.descriptor, events])
}

/// Closes every descriptor but those that the filter names.
fn close_others(calls: Calls<'_>, loaded: &Loaded, how: &LockDown) -> Result<(), Errno> {
    let input = if loaded.settings.devices & device::INPUT != 0 { 0 } else { 1 };
    let [net, net_events] = net(loaded, how).unwrap_or([2, 2]);
    let disk = loaded.disk.map_or(2, |loaded| loaded.disk.descriptor);
    let mut kept = [input, 1, 2, loaded.memory_fd, how.events.unwrap_or(2), net, net_events, disk];
    kept.sort_unstable();
    let mut next = 0;
    for descriptor in kept.map(|descriptor| descriptor as usize) {
        if descriptor > next {
            calls.plain(__NR_close_range, [next, descriptor - 1, 0, 0])?;
        }
        next = descriptor + 1;
    }
    calls.plain(__NR_close_range, [next, u32::MAX as usize, 0, 0]).map(drop)
}

fn control(calls: Calls<'_>, operation: u32, value: u32) -> Result<(), Errno> {
    calls.plain(__NR_prctl, [operation as usize, value as usize, 0, 0]).map(drop)
}

/// Seals the tender, its window on the memory, and the stubs. The root task's own pages stay as they are: it
/// may unmap them, and the filter lets nothing become executable.
fn seal(calls: Calls<'_>, process: Process, loaded: &Loaded) -> Result<(), Errno> {
    let one = |start: u64, end: u64| {
        let size = (end - start) as usize;
        calls.plain(__NR_mseal, [start as usize, size, 0, 0]).map(drop)
    };
    let mut segments = own_segments(process.program_headers().unwrap_or_default()).map(|own| own.pages());
    let mut pages = segments.next().unwrap_or_default();
    // One call for neighbours.
    for next in segments {
        if next.start != pages.end {
            one(pages.start, pages.end)?;
            pages.start = next.start;
        }
        pages.end = next.end;
    }
    one(pages.start, pages.end)?;
    let window = loaded.window();
    one(window.start, window.end)?;
    let thunks = loaded.thunks.pages();
    if thunks.is_empty() { Ok(()) } else { one(thunks.start, thunks.end) }
}

/// Every kind of access to files that each version of Landlock knows, from version 1 on (linux/landlock.h).
const FILE_ACCESS: [u64; 5] = [0x1fff, 0x3fff, 0x7fff, 0x7fff, 0xffff];
/// TCP bind and connect, from version 4 on.
const NETWORK_ACCESS: u64 = 3;
/// Abstract UNIX sockets and signals, from version 6 on.
const SCOPES: u64 = (LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | LANDLOCK_SCOPE_SIGNAL) as u64;

/// Denies all that the kernel's Landlock knows.
fn landlock(calls: Calls<'_>) -> Result<(), Errno> {
    let version =
        calls.plain(__NR_landlock_create_ruleset, [0, 0, LANDLOCK_CREATE_RULESET_VERSION as usize, 0])?;
    let file = FILE_ACCESS[version.clamp(1, FILE_ACCESS.len()) - 1];
    let rules = landlock_ruleset_attr {
        handled_access_fs: file,
        handled_access_net: if version >= 4 { NETWORK_ACCESS } else { 0 },
        scoped: if version >= 6 { SCOPES } else { 0 },
    };
    // Older versions take a longer structure when what they do not know is zero.
    let size = size_of_val(&rules);
    // SAFETY: the kernel reads the structure only.
    let create =
        unsafe { calls.raw(__NR_landlock_create_ruleset, [(&raw const rules) as usize, size, 0, 0, 0, 0]) }?;
    let restricted = calls.plain(__NR_landlock_restrict_self, [create, 0, 0, 0]).map(drop);
    calls.close(create as i32)?;
    restricted
}

/// Bytes of stack that the tender may use from here on.
const STACK: u64 = 256 << 10;

/// No new descriptors or processes, no core file, and a stack that cannot grow without end.
fn limits(calls: Calls<'_>, process: Process) -> Result<(), Errno> {
    let set = |resource: u32, value: u64| {
        let limit = rlimit64 { rlim_cur: value, rlim_max: value };
        let place = (&raw const limit) as usize;
        // SAFETY: the kernel reads the structure only.
        unsafe { calls.raw(__NR_prlimit64, [0, resource as usize, place, 0, 0, 0]) }.map(drop)
    };
    let here = (&raw const set) as u64;
    let used = process.stack_end().and_then(|end| end.checked_sub(here)).ok_or(Errno(EINVAL))?;
    let all = [set(RLIMIT_CORE, 0), set(RLIMIT_NOFILE, 0), set(RLIMIT_NPROC, 0)];
    // The stack's limit counts what arguments and environment take.
    set(RLIMIT_STACK, (used + STACK).next_multiple_of(PAGE))?;
    all.into_iter().collect()
}

/// The kernel's `struct sock_fprog`.
#[repr(C)]
struct FilterProgram {
    length: u16,
    instructions: *const sock_filter,
}

/// Installs the filter.
fn install(calls: Calls<'_>, instructions: &[sock_filter]) -> Result<(), Errno> {
    let program = FilterProgram { length: instructions.len() as u16, instructions: instructions.as_ptr() };
    let place = (&raw const program) as usize;
    // SAFETY: the kernel copies the program.
    let installed = unsafe { calls.raw(__NR_seccomp, [SECCOMP_SET_MODE_FILTER as usize, 0, place, 0, 0, 0]) };
    match installed {
        // Kernels before 3.17 and some containers have the older way only.
        Err(Errno(ENOSYS)) => {
            let arguments = [PR_SET_SECCOMP as usize, SECCOMP_MODE_FILTER as usize, place, 0, 0, 0];
            // SAFETY: as above.
            unsafe { calls.raw(__NR_prctl, arguments) }.map(drop)
        }
        other => other.map(drop),
    }
}
