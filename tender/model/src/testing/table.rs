//! Interfaces of seL4 for x86_64, as the builder resolves them for debug configurations: that of 5.0.0, and what
//! later ones have instead.

use selkie_tender_table::{Invocation as I, Kind, Message, Number as N, PARAMS, Place, Syscall, Table};

/// The numbers.
const NUMBERS: &[(N, u64)] = &[
    (N::TcbBits, 11),
    (N::EndpointBits, 4),
    (N::NotificationBits, 5),
    (N::SlotBits, 5),
    (N::AsidPoolBits, 12),
    (N::MinUntypedBits, 4),
    (N::MaxUntypedBits, 47),
    (N::SlotTcb, 1),
    (N::SlotCNode, 2),
    (N::SlotVSpace, 3),
    (N::SlotIrqControl, 4),
    (N::SlotAsidControl, 5),
    (N::SlotAsidPool, 6),
    (N::SlotIoPort, 7),
    (N::SlotIoSpace, 8),
    (N::SlotBootInfoFrame, 9),
    (N::SlotIpcBuffer, 10),
    (N::SlotDomain, 11),
    (N::SlotCount, 12),
    (N::MsgMaxLength, 120),
    (N::MsgMaxExtraCaps, 3),
    (N::FaultNull, 0),
    (N::FaultCap, 1),
    (N::FaultUnknownSyscall, 2),
    (N::FaultUserException, 3),
    (N::FaultVm, 5),
    (N::IpcBufferSize, 1024),
    (N::IpcBufferTag, 0),
    (N::IpcBufferMsg, 8),
    (N::IpcBufferCapsOrBadges, 976),
    (N::IpcBufferReceiveCNode, 1000),
    (N::IpcBufferReceiveIndex, 1008),
    (N::IpcBufferReceiveDepth, 1016),
    (N::BootInfoSize, 2929),
    (N::BootInfoExtraLen, 0),
    (N::BootInfoNodeId, 8),
    (N::BootInfoNumNodes, 16),
    (N::BootInfoNumIoptLevels, 24),
    (N::BootInfoIpcBuffer, 32),
    (N::BootInfoEmpty, 40),
    (N::BootInfoSharedFrames, 56),
    (N::BootInfoUserImageFrames, 72),
    (N::BootInfoUserImagePaging, 88),
    (N::BootInfoIoSpaceCaps, 104),
    (N::BootInfoExtraPages, 120),
    (N::BootInfoCNodeBits, 136),
    (N::BootInfoDomain, 137),
    (N::BootInfoArchInfo, 145),
    (N::BootInfoUntyped, 153),
    (N::BootInfoUntypedList, 169),
    (N::UntypedDescSize, 12),
    (N::UntypedDescPaddr, 0),
    (N::UntypedDescSizeBits, 10),
    (N::UntypedDescIsDevice, 11),
    (N::ConfigDebugBuild, 1),
    (N::ConfigPrinting, 1),
    (N::ConfigMaxUntypeds, 230),
    (N::ConfigPriorities, 256),
    (N::ConfigDomains, 1),
    (N::ConfigRetypeFanOut, 256),
    (N::ConfigCNodeBits, 16),
    (N::ConfigTimerTickMs, 2),
    (N::ConfigTimeSlice, 5),
    (N::ConfigMaxNodes, 1),
    (N::RuleBootInfoExtraOffset, 4096),
    (N::RuleRelease, Table::release(5, 0)),
    (N::RuleGsIsIpcBuffer, 1),
    (N::RuleContextWords, 19),
    (N::RuleBadgeBits, 28),
    (N::RuleGuardShift, 8),
    (N::RuleGuardBits, 18),
    (N::RuleGuardSizeShift, 2),
];

/// The invocations: words, extra capabilities, parameters; in the order of their labels.
const MESSAGES: &[Layout] = &[
    (I::UntypedRetype, 6, 1, &[word(0), word(1), cap(0), word(2), word(3), word(4), word(5)]),
    (I::TcbReadRegisters, 2, 0, &[bits(0, 0, 1), bits(0, 8, 8), word(1)]),
    (I::TcbWriteRegisters, 21, 0, &[bits(0, 0, 1), bits(0, 8, 8), word(1), word(2)]),
    (
        I::TcbCopyRegisters,
        1,
        1,
        &[cap(0), bits(0, 0, 1), bits(0, 1, 1), bits(0, 2, 1), bits(0, 3, 1), bits(0, 8, 8)],
    ),
    (I::TcbConfigure, 5, 3, &[word(0), word(1), cap(0), word(2), cap(1), word(3), word(4), cap(2)]),
    (I::TcbSetPriority, 1, 0, &[bits(0, 0, 8)]),
    (I::TcbSetMcPriority, 1, 0, &[bits(0, 0, 8)]),
    (I::TcbSetIpcBuffer, 1, 1, &[word(0), cap(0)]),
    (I::TcbSetSpace, 3, 2, &[word(0), cap(0), word(1), cap(1), word(2)]),
    (I::TcbSuspend, 0, 0, &[]),
    (I::TcbResume, 0, 0, &[]),
    (I::TcbBindNotification, 0, 1, &[cap(0)]),
    (I::TcbUnbindNotification, 0, 0, &[]),
    (I::CNodeRevoke, 2, 0, &[word(0), bits(1, 0, 8)]),
    (I::CNodeDelete, 2, 0, &[word(0), bits(1, 0, 8)]),
    (I::CNodeCancelBadgedSends, 2, 0, &[word(0), bits(1, 0, 8)]),
    (I::CNodeCopy, 5, 1, &[word(0), bits(1, 0, 8), cap(0), word(2), bits(3, 0, 8), word(4)]),
    (I::CNodeMint, 6, 1, &[word(0), bits(1, 0, 8), cap(0), word(2), bits(3, 0, 8), word(4), word(5)]),
    (I::CNodeMove, 4, 1, &[word(0), bits(1, 0, 8), cap(0), word(2), bits(3, 0, 8)]),
    (I::CNodeMutate, 5, 1, &[word(0), bits(1, 0, 8), cap(0), word(2), bits(3, 0, 8), word(4)]),
    (
        I::CNodeRotate,
        8,
        2,
        &[
            word(0),
            bits(1, 0, 8),
            word(2),
            cap(0),
            word(3),
            bits(4, 0, 8),
            word(5),
            cap(1),
            word(6),
            bits(7, 0, 8),
        ],
    ),
    (I::CNodeSaveCaller, 2, 0, &[word(0), bits(1, 0, 8)]),
    (I::IrqIssueHandler, 3, 1, &[bits(0, 0, 32), cap(0), word(1), bits(2, 0, 8)]),
    (I::IrqAck, 0, 0, &[]),
    (I::IrqSetHandler, 0, 1, &[cap(0)]),
    (I::IrqClearHandler, 0, 0, &[]),
    (I::DomainSet, 1, 1, &[bits(0, 0, 8), cap(0)]),
    (I::PdptMap, 2, 1, &[cap(0), word(0), word(1)]),
    (I::PdptUnmap, 0, 0, &[]),
    (I::PageDirectoryMap, 2, 1, &[cap(0), word(0), word(1)]),
    (I::PageDirectoryUnmap, 0, 0, &[]),
    (I::PageDirectoryGetStatusBits, 1, 0, &[word(0)]),
    (I::PageTableMap, 2, 1, &[cap(0), word(0), word(1)]),
    (I::PageTableUnmap, 0, 0, &[]),
    (I::IoPageTableMap, 1, 1, &[cap(0), word(0)]),
    (I::IoPageTableUnmap, 0, 0, &[]),
    (I::PageMap, 3, 1, &[cap(0), word(0), word(1), word(2)]),
    (I::PageRemap, 2, 1, &[cap(0), word(0), word(1)]),
    (I::PageUnmap, 0, 0, &[]),
    (I::PageMapIo, 2, 1, &[cap(0), word(0), word(1)]),
    (I::PageGetAddress, 0, 0, &[]),
    (I::AsidControlMakePool, 2, 2, &[cap(0), cap(1), word(0), bits(1, 0, 8)]),
    (I::AsidPoolAssign, 0, 1, &[cap(0)]),
    (I::IoPortIn8, 1, 0, &[bits(0, 0, 16)]),
    (I::IoPortIn16, 1, 0, &[bits(0, 0, 16)]),
    (I::IoPortIn32, 1, 0, &[bits(0, 0, 16)]),
    (I::IoPortOut8, 2, 0, &[word(0), word(1)]),
    (I::IoPortOut16, 2, 0, &[word(0), word(1)]),
    (I::IoPortOut32, 2, 0, &[word(0), word(1)]),
    (
        I::IrqIssueHandlerIoApic,
        7,
        1,
        &[cap(0), word(0), word(1), word(2), word(3), word(4), word(5), word(6)],
    ),
    (I::IrqIssueHandlerMsi, 7, 1, &[cap(0), word(0), word(1), word(2), word(3), word(4), word(5), word(6)]),
];

/// The system calls, from number -1 on downwards.
const SYSCALLS: &[Syscall] = &[
    Syscall::Call,
    Syscall::ReplyRecv,
    Syscall::Send,
    Syscall::NBSend,
    Syscall::Recv,
    Syscall::Reply,
    Syscall::Yield,
    Syscall::NBRecv,
    Syscall::DebugPutChar,
    Syscall::DebugHalt,
    Syscall::DebugCapIdentify,
    Syscall::DebugSnapshot,
    Syscall::DebugNameThread,
];

/// The types of objects, from number 0 on.
const KINDS: &[Kind] = &[
    Kind::Untyped,
    Kind::Tcb,
    Kind::Endpoint,
    Kind::Notification,
    Kind::CNode,
    Kind::Pdpt,
    Kind::Pml4,
    Kind::Page,
    Kind::LargePage,
    Kind::PageTable,
    Kind::PageDirectory,
];

const fn cap(index: u8) -> Place {
    Place { kind: Place::CAP, index, shift: 0, bits: 0 }
}

const fn bits(index: u8, shift: u8, bits: u8) -> Place {
    Place { kind: Place::BITS, index, shift, bits }
}

const fn word(index: u8) -> Place {
    bits(index, 0, 64)
}

/// A kernel that tests run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edition {
    /// 5.0.0.
    Five,
    /// 10.1.1.
    Ten,
    /// 13.0.0 with scheduling contexts.
    ThirteenMcs,
    /// 16.0.0.
    Sixteen,
    /// 16.0.0 with scheduling contexts.
    SixteenMcs,
}

impl Edition {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Five, Self::Ten, Self::ThirteenMcs, Self::Sixteen, Self::SixteenMcs];

    /// Whether time is given by scheduling contexts.
    pub fn is_mcs(self) -> bool {
        matches!(self, Self::ThirteenMcs | Self::SixteenMcs)
    }

    fn release(self) -> u64 {
        match self {
            Self::Five => Table::release(5, 0),
            Self::Ten => Table::release(10, 1),
            Self::ThirteenMcs => Table::release(13, 0),
            Self::Sixteen | Self::SixteenMcs => Table::release(16, 0),
        }
    }
}

/// What is otherwise on kernels after 5.0.0.
const LATER_NUMBERS: &[(N, u64)] = &[
    (N::SlotCount, 16),
    (N::SlotSchedContext, 14),
    (N::BootInfoSize, 3848),
    (N::BootInfoCNodeBits, 136),
    (N::BootInfoDomain, 144),
    (N::BootInfoArchInfo, 0),
    (N::BootInfoUntyped, 152),
    (N::BootInfoUntypedList, 168),
    (N::UntypedDescSize, 16),
    (N::UntypedDescSizeBits, 8),
    (N::UntypedDescIsDevice, 9),
    (N::RuleGsIsIpcBuffer, 0),
    (N::RuleGrantReply, 1),
    (N::RuleContextWords, 20),
    (N::RuleBadgeBits, 64),
    (N::RuleGuardShift, 6),
    (N::RuleGuardBits, 58),
    (N::RuleGuardSizeShift, 0),
];

/// What is otherwise on seL4 10.1.1 than on later ones.
const TEN_NUMBERS: &[(N, u64)] = &[
    (N::SlotCount, 12),
    (N::BootInfoArchInfo, 0),
    (N::RuleGsIsIpcBuffer, 1),
    (N::RuleGrantReply, 0),
    (N::RuleContextWords, 19),
];

/// What is otherwise where time is given by scheduling contexts.
const MCS_NUMBERS: &[(N, u64)] = &[
    (N::RuleMcs, 1),
    (N::NotificationBits, 6),
    (N::ReplyBits, 5),
    (N::MinSchedContextBits, 7),
    (N::BootInfoSchedControl, 152),
    (N::BootInfoUntyped, 168),
    (N::BootInfoUntypedList, 184),
    (N::FaultTimeout, 5),
    (N::FaultVm, 6),
    (N::ConfigBootThreadTimeSlice, 5),
    (N::ConfigTimerTickMs, 0),
    (N::ConfigTimeSlice, 0),
];

/// Messages of kernels after 5.0.0. What has no words and no capabilities and is not listed is as it was.
const LATER_MESSAGES: &[Layout] = &[
    (I::TcbWriteRegisters, 22, 0, &[bits(0, 0, 1), bits(0, 8, 8), word(1), word(2)]),
    (I::TcbConfigure, 4, 3, &[word(0), NOWHERE, cap(0), word(1), cap(1), word(2), word(3), cap(2)]),
    (I::TcbSetPriority, 1, 1, &[word(0), cap(0)]),
    (I::TcbSetMcPriority, 1, 1, &[word(0), cap(0)]),
    (I::TcbSetSchedParams, 2, 1, &[cap(0), word(0), word(1)]),
    (I::TcbSetTlsBase, 1, 0, &[word(0)]),
    (I::TcbSetFlags, 2, 0, &[word(0), word(1)]),
    (I::DomainScheduleConfigure, 3, 0, &[word(0), bits(1, 0, 8), word(2)]),
    (I::DomainScheduleSetStart, 1, 0, &[word(0)]),
    (I::IoPortControlIssue, 4, 1, &[word(0), word(1), cap(0), word(2), bits(3, 0, 8)]),
];

/// Messages where time is given by scheduling contexts.
const MCS_MESSAGES: &[Layout] = &[
    (I::TcbConfigure, 3, 3, &[NOWHERE, NOWHERE, cap(0), word(0), cap(1), word(1), word(2), cap(2)]),
    (I::TcbSetSpace, 2, 3, &[cap(0), cap(1), word(0), cap(2), word(1)]),
    (I::TcbSetSchedParams, 2, 3, &[cap(0), word(0), word(1), cap(1), cap(2)]),
    (I::TcbSetTimeoutEndpoint, 0, 1, &[cap(0)]),
    (I::SchedControlConfigureFlags, 5, 1, &[cap(0), word(0), word(1), word(2), word(3), word(4)]),
    (I::SchedContextBind, 0, 1, &[cap(0)]),
    (I::SchedContextUnbind, 0, 0, &[]),
    (I::SchedContextUnbindObject, 0, 1, &[cap(0)]),
    (I::SchedContextConsumed, 0, 0, &[]),
    (I::SchedContextYieldTo, 0, 0, &[]),
];

/// What kernels after 5.0.0 do not have; seL4 10 still maps mapped pages by an operation of its own.
const GONE: &[I] =
    &[I::PageDirectoryGetStatusBits, I::IoPageTableMap, I::IoPageTableUnmap, I::PageMapIo, I::PageRemap];

/// The system calls where time is given by scheduling contexts.
const MCS_SYSCALLS: &[Syscall] = &[
    Syscall::Call,
    Syscall::ReplyRecv,
    Syscall::NBSendRecv,
    Syscall::NBSendWait,
    Syscall::Send,
    Syscall::NBSend,
    Syscall::Recv,
    Syscall::NBRecv,
    Syscall::Wait,
    Syscall::NBWait,
    Syscall::Yield,
    Syscall::DebugPutChar,
    Syscall::DebugDumpScheduler,
    Syscall::DebugHalt,
    Syscall::DebugCapIdentify,
    Syscall::DebugSnapshot,
    Syscall::DebugNameThread,
];

/// An invocation's words, extra capabilities and parameters.
type Layout = (I, u8, u8, &'static [Place]);

const NOWHERE: Place = Place { kind: Place::NOWHERE, index: 0, shift: 0, bits: 0 };

/// The table of seL4 5.0.0; the initial CNode has `2^cnode_bits` slots.
pub fn table(cnode_bits: u64) -> Table {
    table_of(Edition::Five, cnode_bits)
}

/// The table of a kernel; the initial CNode has `2^cnode_bits` slots.
pub fn table_of(edition: Edition, cnode_bits: u64) -> Table {
    let mut table: Table = bytemuck::Zeroable::zeroed();
    table.config[..13].copy_from_slice(b"x86_64-debug\0");
    let of = |wanted: bool, numbers: &'static [(N, u64)]| if wanted { numbers } else { &[] };
    let (later, mcs) = (edition != Edition::Five, edition.is_mcs());
    let numbers =
        [NUMBERS, of(later, LATER_NUMBERS), of(edition == Edition::Ten, TEN_NUMBERS), of(mcs, MCS_NUMBERS)];
    for &(number, value) in numbers.into_iter().flatten() {
        table.numbers[number as usize] = value;
    }
    table.numbers[N::ConfigCNodeBits as usize] = cnode_bits;
    table.numbers[N::RuleRelease as usize] = edition.release();
    let mut next_label = 1;
    for &invocation in I::ALL {
        let Some((words, caps, places)) = layout(edition, invocation) else { continue };
        let mut params = [NOWHERE; PARAMS];
        params[..places.len()].copy_from_slice(places);
        table.messages[invocation as usize] = Message { label: next_label, words, caps, params };
        table.labels[usize::from(next_label)] = invocation as u8 + 1;
        next_label += 1;
    }
    for (index, call) in if mcs { MCS_SYSCALLS } else { SYSCALLS }.iter().enumerate() {
        table.syscalls[index + 1] = *call as u8 + 1;
    }
    let (of_all, of_processor) = KINDS.split_at(5);
    let of_mcs: &[Kind] = if mcs { &[Kind::SchedContext, Kind::Reply] } else { &[] };
    for (number, kind) in [of_all, of_mcs, of_processor].into_iter().flatten().enumerate() {
        table.kinds[number] = *kind as u8 + 1;
    }
    table
}

/// How the message of an invocation looks on a kernel that has it.
fn layout(edition: Edition, invocation: I) -> Option<(u8, u8, &'static [Place])> {
    let found = |layouts: &'static [Layout]| {
        let layout = layouts.iter().find(|layout| layout.0 == invocation);
        layout.map(|&(_, words, caps, places)| (words, caps, places))
    };
    let old = || {
        let message = MESSAGES.iter().find(|message| message.0 == invocation);
        message.map(|&(_, words, caps, places)| (words, caps, places))
    };
    if edition == Edition::Five {
        return old();
    }
    let has_remap = edition == Edition::Ten && invocation == I::PageRemap;
    if GONE.contains(&invocation) && !has_remap || edition.is_mcs() && invocation == I::CNodeSaveCaller {
        return None;
    }
    let of_mcs = if edition.is_mcs() { found(MCS_MESSAGES) } else { None };
    of_mcs.or_else(|| found(LATER_MESSAGES)).or_else(old)
}
