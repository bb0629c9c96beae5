//! The rules, as data.

use crate::{GUEST_END, LARGE_PAGE, MAX_EVENTS, MAX_FRAMES, MAX_TRANSFER, PAGE, RUN, SEED};
use linux_raw_sys::general::{self, ARCH_SET_FS};
use selkie_tender_table::payload::device;

/// A system call that is allowed when all tests hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// The system call.
    pub call: Call,
    /// When the rule is part of the filter.
    pub condition: Condition,
    /// Which argument (0 to 5) must be what. Arguments that are not listed may be anything: pointers, which
    /// the kernel checks, and numbers without effect on others.
    pub tests: &'static [(usize, Test)],
    /// What the call is for.
    pub purpose: &'static str,
}

/// The one system call that the vDSO may make with an instruction of its own: where Linux's clock cannot be
/// read without a system call, which can become so at any time, it does.
pub(crate) const VDSO_CALL: u32 = general::__NR_clock_gettime;

/// A system call of x86-64.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// Its number.
    pub number: u32,
    /// Its name.
    pub name: &'static str,
}

/// `ARCH_SET_GS` of the kernel's `asm/prctl.h`.
const ARCH_SET_GS: u32 = 0x1001;

/// When a rule is part of a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// In every filter.
    Always,
    /// When the image has one of these devices.
    With(u64),
    /// When the machine cannot set the bases of FS and GS by an instruction.
    SlowSegmentBases,
}

/// What rules depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// The image's devices, bits of [`device`].
    pub devices: u64,
    /// The machine lacks `wrfsbase` and `wrgsbase`.
    pub slow_segment_bases: bool,
}

/// What an argument must be. All 64 bits are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Test {
    /// One of these.
    OneOf(&'static [Value]),
    /// Below this.
    Below(Value),
}

/// A value that is known when the filter is compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value {
    /// This number, with what people call it.
    Number(u64, &'static str),
    /// The number of an open descriptor.
    Descriptor(Descriptor),
    /// A size that differs from run to run.
    Limit(Limit),
}

/// An open descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Descriptor {
    /// 0
    Input,
    /// 1
    Output,
    /// 2
    Reports,
    /// The root task's memory, which cannot grow or shrink.
    Memory,
    /// What tells of input.
    Events,
    /// The network device.
    Net,
    /// What tells of the network, and of input where there is any.
    NetEvents,
    /// The disk.
    Block,
}

/// A size that differs from run to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Bytes of the disk.
    Block,
}

macro_rules! call {
    ($name:ident, $number:ident) => {
        Call { number: general::$number, name: stringify!($name) }
    };
}

const fn number(value: u64, name: &'static str) -> Value {
    Value::Number(value, name)
}

const fn one(value: &'static [Value; 1]) -> Test {
    Test::OneOf(value)
}

const READ: u64 = general::PROT_READ as u64;
const READ_WRITE: u64 = (general::PROT_READ | general::PROT_WRITE) as u64;
const SHARED: u64 = (general::MAP_SHARED | general::MAP_FIXED) as u64;
const IN_GUEST: Test = Test::Below(number(GUEST_END, "0x7dff00000000"));
const PAGE_SIZES: Test = Test::OneOf(&[number(PAGE, "4 KiB"), number(LARGE_PAGE, "2 MiB")]);
const MAP_SIZES: Test =
    Test::OneOf(&[number(PAGE, "4 KiB"), number(RUN, "32 KiB"), number(LARGE_PAGE, "2 MiB")]);

const RULES: &[Rule] = &[
    Rule {
        call: call!(write, __NR_write),
        condition: Condition::Always,
        tests: &[(
            0,
            Test::OneOf(&[Value::Descriptor(Descriptor::Output), Value::Descriptor(Descriptor::Reports)]),
        )],
        purpose: "console and reports",
    },
    Rule {
        call: call!(read, __NR_read),
        condition: Condition::With(device::INPUT),
        tests: &[(0, one(&[Value::Descriptor(Descriptor::Input)]))],
        purpose: "what is typed at the console",
    },
    Rule {
        call: call!(clock_gettime, __NR_clock_gettime),
        condition: Condition::Always,
        tests: &[(
            0,
            Test::OneOf(&[
                number(general::CLOCK_REALTIME as u64, "CLOCK_REALTIME"),
                number(general::CLOCK_MONOTONIC as u64, "CLOCK_MONOTONIC"),
            ]),
        )],
        purpose: "the time",
    },
    Rule {
        call: call!(setitimer, __NR_setitimer),
        condition: Condition::Always,
        tests: &[(0, one(&[number(general::ITIMER_REAL as u64, "ITIMER_REAL")]))],
        purpose: "timers of the root task",
    },
    Rule {
        // Also where there are events: what stdin is may not tell any, and it ends.
        call: call!(pause, __NR_pause),
        condition: Condition::Always,
        tests: &[],
        purpose: "sleep until a timer ends",
    },
    Rule {
        call: call!(epoll_pwait, __NR_epoll_pwait),
        condition: Condition::With(device::INPUT),
        tests: &[
            (0, one(&[Value::Descriptor(Descriptor::Events)])),
            (2, Test::Below(number(MAX_EVENTS + 1, "9"))),
        ],
        purpose: "sleep until there is input or a timer ends",
    },
    Rule {
        call: call!(epoll_pwait, __NR_epoll_pwait),
        condition: Condition::With(device::NET),
        tests: &[
            (0, one(&[Value::Descriptor(Descriptor::NetEvents)])),
            (2, Test::Below(number(MAX_EVENTS + 1, "9"))),
        ],
        purpose: "sleep until frames or input come or a timer ends",
    },
    Rule {
        call: call!(mmap, __NR_mmap),
        condition: Condition::Always,
        tests: &[
            (0, IN_GUEST),
            (1, MAP_SIZES),
            (2, Test::OneOf(&[number(READ, "PROT_READ"), number(READ_WRITE, "PROT_READ|PROT_WRITE")])),
            (3, one(&[number(SHARED, "MAP_SHARED|MAP_FIXED")])),
            // The memory cannot grow: what lies behind its end cannot be used.
            (4, one(&[Value::Descriptor(Descriptor::Memory)])),
        ],
        purpose: "map a frame, or a run of the first ones",
    },
    Rule {
        call: call!(munmap, __NR_munmap),
        condition: Condition::Always,
        tests: &[(0, IN_GUEST), (1, PAGE_SIZES)],
        purpose: "unmap a frame",
    },
    Rule {
        call: call!(arch_prctl, __NR_arch_prctl),
        condition: Condition::SlowSegmentBases,
        tests: &[(
            0,
            Test::OneOf(&[
                number(ARCH_SET_FS as u64, "ARCH_SET_FS"),
                number(ARCH_SET_GS as u64, "ARCH_SET_GS"),
            ]),
        )],
        purpose: "switch threads on a machine without wrfsbase",
    },
    Rule {
        call: call!(read, __NR_read),
        condition: Condition::With(device::NET),
        tests: NET_ACCESS,
        purpose: "receive from the network device",
    },
    Rule {
        call: call!(write, __NR_write),
        condition: Condition::With(device::NET),
        tests: NET_ACCESS,
        purpose: "send to the network device",
    },
    Rule {
        call: call!(getrandom, __NR_getrandom),
        condition: Condition::With(device::ENTROPY),
        tests: &[(1, one(&[number(SEED, "32")])), (2, one(&[number(0, "0")]))],
        purpose: "random bytes",
    },
    Rule {
        call: call!(pread64, __NR_pread64),
        condition: Condition::With(device::BLOCK),
        tests: BLOCK_ACCESS,
        purpose: "read from the disk",
    },
    Rule {
        call: call!(pwrite64, __NR_pwrite64),
        condition: Condition::With(device::BLOCK_WRITE),
        tests: BLOCK_ACCESS,
        purpose: "write to the disk",
    },
    Rule {
        call: call!(fdatasync, __NR_fdatasync),
        condition: Condition::With(device::BLOCK_WRITE),
        tests: &[(0, one(&[Value::Descriptor(Descriptor::Block)]))],
        purpose: "make lasting what was written to the disk",
    },
    Rule {
        call: call!(rt_sigreturn, __NR_rt_sigreturn),
        condition: Condition::Always,
        tests: &[],
        purpose: "go back after a signal",
    },
    Rule {
        call: call!(exit_group, __NR_exit_group),
        condition: Condition::Always,
        tests: &[],
        purpose: "end",
    },
];

const NET_ACCESS: &[(usize, Test)] = &[
    (0, one(&[Value::Descriptor(Descriptor::Net)])),
    (2, Test::Below(number(MAX_FRAMES + 1, "64 KiB + 1"))),
];

const BLOCK_ACCESS: &[(usize, Test)] = &[
    (0, one(&[Value::Descriptor(Descriptor::Block)])),
    (2, Test::Below(number(MAX_TRANSFER + 1, "128 KiB + 1"))),
    (3, Test::Below(Value::Limit(Limit::Block))),
];

/// The rules of a filter, in the order in which they are tried.
pub fn rules(setting: Setting) -> impl DoubleEndedIterator<Item = &'static Rule> {
    RULES.iter().filter(move |rule| rule.condition.holds(setting))
}

impl Condition {
    fn holds(self, setting: Setting) -> bool {
        match self {
            Self::Always => true,
            Self::With(devices) => setting.devices & devices != 0,
            Self::SlowSegmentBases => setting.slow_segment_bases,
        }
    }
}
