//! The rules in readable form.

use crate::{Descriptor, Limit, Rule, Setting, Test, Value, rules};
use core::fmt::{Display, Formatter, Result};
use linux_raw_sys::general;

/// A whole filter, a line for each test, in the order in which they are made.
#[derive(Debug, Clone, Copy)]
pub struct Listing(pub Setting);

impl Display for Listing {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        writeln!(f, "an architecture other than x86-64: the process is killed")?;
        writeln!(f, "from below 4 GiB, where the root task is: trapped, and served as a call of seL4")?;
        writeln!(f, "from the kernel's vDSO: clock_gettime as below, else the process is killed")?;
        writeln!(f, "from elsewhere than the tender's one system-call instruction: the process is killed")?;
        for rule in rules(self.0) {
            writeln!(f, "{rule}")?;
        }
        write!(f, "everything else: the process is killed")
    }
}

impl Display for Rule {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "{}: ", self.call.name)?;
        for (number, (argument, test)) in self.tests.iter().enumerate() {
            let separator = if number > 0 { ", " } else { "" };
            write!(f, "{separator}{} {test}", Argument(self.call.number, *argument))?;
        }
        let any = if self.tests.is_empty() { "any arguments" } else { "" };
        write!(f, "{any}; {}", self.purpose)
    }
}

impl Display for Test {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Below(limit) => write!(f, "below {limit}"),
            Self::OneOf(values) => values.iter().enumerate().try_for_each(|(number, value)| {
                let separator = if number > 0 { " or " } else { "" };
                write!(f, "{separator}{value}")
            }),
        }
    }
}

impl Display for Value {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(match self {
            Self::Number(_, name) => name,
            Self::Descriptor(descriptor) => descriptor.name(),
            Self::Limit(Limit::Block) => "the disk's size",
        })
    }
}

impl Descriptor {
    const fn name(self) -> &'static str {
        match self {
            Self::Input => "0 (input)",
            Self::Output => "1 (output)",
            Self::Reports => "2 (reports)",
            Self::Memory => "of the memory",
            Self::Events => "of the events",
            Self::Net => "of the network device",
            Self::NetEvents => "of the network's events",
            Self::Block => "of the disk",
        }
    }
}

/// What an argument is called: the system call's number, the argument's number.
struct Argument(u32, usize);

impl Display for Argument {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(match (self.0, self.1) {
            (general::__NR_mmap | general::__NR_munmap, 0) => "address",
            (general::__NR_mmap | general::__NR_munmap, 1) => "size",
            (general::__NR_mmap, 2) => "access",
            (general::__NR_mmap, 3) => "flags",
            (general::__NR_mmap, 4) => "descriptor",
            (general::__NR_clock_gettime, 0) => "clock",
            (general::__NR_setitimer, 0) => "timer",
            (general::__NR_arch_prctl, 0) => "operation",
            (general::__NR_epoll_pwait, 2) => "events",
            (general::__NR_read | general::__NR_write, 2) => "size",
            (general::__NR_getrandom, 1) => "size",
            (general::__NR_getrandom, 2) => "flags",
            (general::__NR_pread64 | general::__NR_pwrite64, 2) => "size",
            (general::__NR_pread64 | general::__NR_pwrite64, 3) => "offset",
            (_, 0) => "descriptor",
            (_, number) => return write!(f, "argument {}", number + 1),
        })
    }
}
