//! The interface of seL4 5.0.0 for x86_64, as the builder resolves it for the debug configuration.

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

/// The invocations: label, words, extra capabilities, parameters.
const MESSAGES: &[(I, u16, u8, u8, &[Place])] = &[
    (I::UntypedRetype, 1, 6, 1, &[word(0), word(1), cap(0), word(2), word(3), word(4), word(5)]),
    (I::TcbReadRegisters, 2, 2, 0, &[bits(0, 0, 1), bits(0, 8, 8), word(1)]),
    (I::TcbWriteRegisters, 3, 21, 0, &[bits(0, 0, 1), bits(0, 8, 8), word(1), word(2)]),
    (
        I::TcbCopyRegisters,
        4,
        1,
        1,
        &[cap(0), bits(0, 0, 1), bits(0, 1, 1), bits(0, 2, 1), bits(0, 3, 1), bits(0, 8, 8)],
    ),
    (I::TcbConfigure, 5, 5, 3, &[word(0), word(1), cap(0), word(2), cap(1), word(3), word(4), cap(2)]),
    (I::TcbSetPriority, 6, 1, 0, &[bits(0, 0, 8)]),
    (I::TcbSetMcPriority, 7, 1, 0, &[bits(0, 0, 8)]),
    (I::TcbSetIpcBuffer, 8, 1, 1, &[word(0), cap(0)]),
    (I::TcbSetSpace, 9, 3, 2, &[word(0), cap(0), word(1), cap(1), word(2)]),
    (I::TcbSuspend, 10, 0, 0, &[]),
    (I::TcbResume, 11, 0, 0, &[]),
    (I::TcbBindNotification, 12, 0, 1, &[cap(0)]),
    (I::TcbUnbindNotification, 13, 0, 0, &[]),
    (I::CNodeRevoke, 14, 2, 0, &[word(0), bits(1, 0, 8)]),
    (I::CNodeDelete, 15, 2, 0, &[word(0), bits(1, 0, 8)]),
    (I::CNodeCancelBadgedSends, 16, 2, 0, &[word(0), bits(1, 0, 8)]),
    (I::CNodeCopy, 17, 5, 1, &[word(0), bits(1, 0, 8), cap(0), word(2), bits(3, 0, 8), word(4)]),
    (I::CNodeMint, 18, 6, 1, &[word(0), bits(1, 0, 8), cap(0), word(2), bits(3, 0, 8), word(4), word(5)]),
    (I::CNodeMove, 19, 4, 1, &[word(0), bits(1, 0, 8), cap(0), word(2), bits(3, 0, 8)]),
    (I::CNodeMutate, 20, 5, 1, &[word(0), bits(1, 0, 8), cap(0), word(2), bits(3, 0, 8), word(4)]),
    (
        I::CNodeRotate,
        21,
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
    (I::CNodeSaveCaller, 22, 2, 0, &[word(0), bits(1, 0, 8)]),
    (I::IrqIssueHandler, 23, 3, 1, &[bits(0, 0, 32), cap(0), word(1), bits(2, 0, 8)]),
    (I::IrqAck, 24, 0, 0, &[]),
    (I::IrqSetHandler, 25, 0, 1, &[cap(0)]),
    (I::IrqClearHandler, 26, 0, 0, &[]),
    (I::DomainSet, 27, 1, 1, &[bits(0, 0, 8), cap(0)]),
    (I::PdptMap, 28, 2, 1, &[cap(0), word(0), word(1)]),
    (I::PdptUnmap, 29, 0, 0, &[]),
    (I::PageDirectoryMap, 30, 2, 1, &[cap(0), word(0), word(1)]),
    (I::PageDirectoryUnmap, 31, 0, 0, &[]),
    (I::PageDirectoryGetStatusBits, 32, 1, 0, &[word(0)]),
    (I::PageTableMap, 33, 2, 1, &[cap(0), word(0), word(1)]),
    (I::PageTableUnmap, 34, 0, 0, &[]),
    (I::IoPageTableMap, 35, 1, 1, &[cap(0), word(0)]),
    (I::IoPageTableUnmap, 36, 0, 0, &[]),
    (I::PageMap, 37, 3, 1, &[cap(0), word(0), word(1), word(2)]),
    (I::PageRemap, 38, 2, 1, &[cap(0), word(0), word(1)]),
    (I::PageUnmap, 39, 0, 0, &[]),
    (I::PageMapIo, 40, 2, 1, &[cap(0), word(0), word(1)]),
    (I::PageGetAddress, 41, 0, 0, &[]),
    (I::AsidControlMakePool, 42, 2, 2, &[cap(0), cap(1), word(0), bits(1, 0, 8)]),
    (I::AsidPoolAssign, 43, 0, 1, &[cap(0)]),
    (I::IoPortIn8, 44, 1, 0, &[bits(0, 0, 16)]),
    (I::IoPortIn16, 45, 1, 0, &[bits(0, 0, 16)]),
    (I::IoPortIn32, 46, 1, 0, &[bits(0, 0, 16)]),
    (I::IoPortOut8, 47, 2, 0, &[word(0), word(1)]),
    (I::IoPortOut16, 48, 2, 0, &[word(0), word(1)]),
    (I::IoPortOut32, 49, 2, 0, &[word(0), word(1)]),
    (
        I::IrqIssueHandlerIoApic,
        50,
        7,
        1,
        &[cap(0), word(0), word(1), word(2), word(3), word(4), word(5), word(6)],
    ),
    (
        I::IrqIssueHandlerMsi,
        51,
        7,
        1,
        &[cap(0), word(0), word(1), word(2), word(3), word(4), word(5), word(6)],
    ),
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

/// The table; the initial CNode has `2^cnode_bits` slots.
pub fn table(cnode_bits: u64) -> Table {
    let mut table: Table = bytemuck::Zeroable::zeroed();
    table.config[..13].copy_from_slice(b"x86_64-debug\0");
    for &(number, value) in NUMBERS {
        table.numbers[number as usize] = value;
    }
    table.numbers[N::ConfigCNodeBits as usize] = cnode_bits;
    for &(invocation, label, words, caps, places) in MESSAGES {
        let mut params = [Place { kind: Place::NOWHERE, index: 0, shift: 0, bits: 0 }; PARAMS];
        params[..places.len()].copy_from_slice(places);
        table.messages[invocation as usize] = Message { label, words, caps, params };
        table.labels[usize::from(label)] = invocation as u8 + 1;
    }
    for (index, call) in SYSCALLS.iter().enumerate() {
        table.syscalls[index + 1] = *call as u8 + 1;
    }
    for (number, kind) in KINDS.iter().enumerate() {
        table.kinds[number] = *kind as u8 + 1;
    }
    table
}
