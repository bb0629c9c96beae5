//! The tender's own operations, each with the name that the interface has for it.
//!
//! What is marked `optional` is not in the interface of every kernel that the tender serves.

/// An enumeration whose members have names in the interface.
macro_rules! names {
    ($(#[$meta:meta])* $name:ident {
        $($(#[$doc:meta])* $member:ident $($optional:ident)? = $text:expr,)*
    }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        #[allow(missing_docs)]
        pub enum $name { $($(#[$doc])* $member,)* }

        impl $name {
            /// Every member, in the order of their numbers.
            pub const ALL: &[Self] = &[$(Self::$member,)*];
            /// How many there are.
            pub const COUNT: usize = Self::ALL.len();

            /// What the interface calls it.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$member => $text,)* }
            }

            /// Whether some kernels do not have it.
            pub const fn is_optional(self) -> bool {
                match self { $(Self::$member => is_optional!($($optional)?),)* }
            }

            /// The member with this number.
            pub fn from_number(number: u64) -> Option<Self> {
                Self::ALL.get(usize::try_from(number).ok()?).copied()
            }
        }
    };
}

/// Whether the word `optional` is there.
macro_rules! is_optional {
    () => {
        false
    };
    (optional) => {
        true
    };
}

/// What the interface calls a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParamName {
    /// Its names: that of the oldest kernel first.
    pub names: &'static [&'static str],
    /// Some kernels do not have it.
    pub optional: bool,
}

/// The invocations, with the names of their parameters.
macro_rules! invocations {
    ($($member:ident $($optional:ident)? = $text:literal $module:ident($(
        $param:ident $($param_optional:ident)? = $($param_text:literal)|+
    ),*);)*) => {
        names! {
            /// An invocation, by the C name of its label.
            Invocation { $($member $($optional)? = $text,)* }
        }

        impl Invocation {
            /// What the interface calls the parameters, in the order of the constants in [`param`].
            pub const fn params(self) -> &'static [ParamName] {
                match self {
                    $(Self::$member => &[$(ParamName {
                        names: &[$($param_text),+],
                        optional: is_optional!($($param_optional)?),
                    }),*],)*
                }
            }
        }

        /// Numbers of parameters, to be looked up in [`Message::params`](crate::Message::params).
        #[allow(missing_docs)]
        pub mod param {
            $(pub mod $module { invocations!(@number 0; $($param)*); })*
        }
    };
    (@number $number:expr; $param:ident $($rest:ident)*) => {
        pub const $param: usize = $number;
        invocations!(@number $number + 1; $($rest)*);
    };
    (@number $number:expr;) => {};
}

names! {
    /// A system call.
    Syscall {
        Call = "Call",
        ReplyRecv = "ReplyRecv",
        Send = "Send",
        NBSend = "NBSend",
        Recv = "Recv",
        Reply optional = "Reply",
        Yield = "Yield",
        NBRecv = "NBRecv",
        DebugPutChar optional = "DebugPutChar",
        DebugHalt optional = "DebugHalt",
        DebugSnapshot optional = "DebugSnapshot",
        DebugCapIdentify optional = "DebugCapIdentify",
        DebugNameThread optional = "DebugNameThread",
        DebugDumpScheduler optional = "DebugDumpScheduler",
        Wait optional = "Wait",
        NBWait optional = "NBWait",
        NBSendRecv optional = "NBSendRecv",
        NBSendWait optional = "NBSendWait",
    }
}

names! {
    /// A kind of object, by the name of its type in the group `object`.
    Kind {
        Untyped = "UNTYPED",
        Tcb = "TCB",
        Endpoint = "ENDPOINT",
        Notification = "NOTIFICATION",
        CNode = "CNODE",
        Pdpt = "PDPT",
        Pml4 = "PML4",
        Page = "PAGE_4K",
        LargePage = "LARGE_PAGE",
        PageTable = "PAGE_TABLE",
        PageDirectory = "PAGE_DIRECTORY",
        HugePage optional = "HUGE_PAGE",
        SchedContext optional = "SCHED_CONTEXT",
        Reply optional = "REPLY",
    }
}

invocations! {
    UntypedRetype = "UntypedRetype" untyped_retype(TYPE = "type", SIZE_BITS = "size_bits", ROOT = "root",
        NODE_INDEX = "node_index", NODE_DEPTH = "node_depth", NODE_OFFSET = "node_offset",
        NUM_OBJECTS = "num_objects");
    TcbReadRegisters = "TCBReadRegisters" tcb_read_registers(SUSPEND_SOURCE = "suspend_source",
        ARCH_FLAGS = "arch_flags", COUNT = "count");
    TcbWriteRegisters = "TCBWriteRegisters" tcb_write_registers(RESUME_TARGET = "resume_target",
        ARCH_FLAGS = "arch_flags", COUNT = "count", REGS = "regs");
    TcbCopyRegisters = "TCBCopyRegisters" tcb_copy_registers(SOURCE = "source",
        SUSPEND_SOURCE = "suspend_source", RESUME_TARGET = "resume_target",
        TRANSFER_FRAME = "transfer_frame", TRANSFER_INTEGER = "transfer_integer",
        ARCH_FLAGS = "arch_flags");
    TcbConfigure = "TCBConfigure" tcb_configure(FAULT_EP optional = "fault_ep", PRIORITY optional = "priority",
        CSPACE_ROOT = "cspace_root", CSPACE_ROOT_DATA = "cspace_root_data", VSPACE_ROOT = "vspace_root",
        VSPACE_ROOT_DATA = "vspace_root_data", BUFFER = "buffer", BUFFER_FRAME = "bufferFrame");
    TcbSetPriority = "TCBSetPriority" tcb_set_priority(PRIORITY = "priority", AUTHORITY optional = "authority");
    TcbSetMcPriority = "TCBSetMCPriority" tcb_set_mc_priority(MCP = "mcp", AUTHORITY optional = "authority");
    TcbSetSchedParams optional = "TCBSetSchedParams" tcb_set_sched_params(AUTHORITY = "authority", MCP = "mcp",
        PRIORITY = "priority", SCHED_CONTEXT optional = "sched_context", FAULT_EP optional = "fault_ep");
    TcbSetTimeoutEndpoint optional = "TCBSetTimeoutEndpoint"
        tcb_set_timeout_endpoint(TIMEOUT_FAULT_EP = "timeout_fault_ep");
    TcbSetIpcBuffer = "TCBSetIPCBuffer" tcb_set_ipc_buffer(BUFFER = "buffer", BUFFER_FRAME = "bufferFrame");
    TcbSetSpace = "TCBSetSpace" tcb_set_space(FAULT_EP = "fault_ep", CSPACE_ROOT = "cspace_root",
        CSPACE_ROOT_DATA = "cspace_root_data", VSPACE_ROOT = "vspace_root",
        VSPACE_ROOT_DATA = "vspace_root_data");
    TcbSuspend = "TCBSuspend" tcb_suspend();
    TcbResume = "TCBResume" tcb_resume();
    TcbBindNotification = "TCBBindNotification" tcb_bind_notification(NOTIFICATION = "notification");
    TcbUnbindNotification = "TCBUnbindNotification" tcb_unbind_notification();
    TcbSetTlsBase optional = "TCBSetTLSBase" tcb_set_tls_base(TLS_BASE = "tls_base");
    TcbSetFlags optional = "TCBSetFlags" tcb_set_flags(CLEAR = "clear", SET = "set");
    CNodeRevoke = "CNodeRevoke" cnode_revoke(INDEX = "index", DEPTH = "depth");
    CNodeDelete = "CNodeDelete" cnode_delete(INDEX = "index", DEPTH = "depth");
    CNodeCancelBadgedSends = "CNodeCancelBadgedSends" cnode_cancel_badged_sends(INDEX = "index",
        DEPTH = "depth");
    CNodeCopy = "CNodeCopy" cnode_copy(DEST_INDEX = "dest_index", DEST_DEPTH = "dest_depth",
        SRC_ROOT = "src_root", SRC_INDEX = "src_index", SRC_DEPTH = "src_depth", RIGHTS = "rights");
    CNodeMint = "CNodeMint" cnode_mint(DEST_INDEX = "dest_index", DEST_DEPTH = "dest_depth",
        SRC_ROOT = "src_root", SRC_INDEX = "src_index", SRC_DEPTH = "src_depth", RIGHTS = "rights",
        BADGE = "badge");
    CNodeMove = "CNodeMove" cnode_move(DEST_INDEX = "dest_index", DEST_DEPTH = "dest_depth",
        SRC_ROOT = "src_root", SRC_INDEX = "src_index", SRC_DEPTH = "src_depth");
    CNodeMutate = "CNodeMutate" cnode_mutate(DEST_INDEX = "dest_index", DEST_DEPTH = "dest_depth",
        SRC_ROOT = "src_root", SRC_INDEX = "src_index", SRC_DEPTH = "src_depth", BADGE = "badge");
    CNodeRotate = "CNodeRotate" cnode_rotate(DEST_INDEX = "dest_index", DEST_DEPTH = "dest_depth",
        DEST_BADGE = "dest_badge", PIVOT_ROOT = "pivot_root", PIVOT_INDEX = "pivot_index",
        PIVOT_DEPTH = "pivot_depth", PIVOT_BADGE = "pivot_badge", SRC_ROOT = "src_root",
        SRC_INDEX = "src_index", SRC_DEPTH = "src_depth");
    CNodeSaveCaller optional = "CNodeSaveCaller" cnode_save_caller(INDEX = "index", DEPTH = "depth");
    IrqIssueHandler = "IRQIssueIRQHandler" irq_issue_handler(IRQ = "irq", ROOT = "root", INDEX = "index",
        DEPTH = "depth");
    IrqAck = "IRQAckIRQ" irq_ack();
    IrqSetHandler = "IRQSetIRQHandler" irq_set_handler(NOTIFICATION = "notification");
    IrqClearHandler = "IRQClearIRQHandler" irq_clear_handler();
    DomainSet = "DomainSetSet" domain_set(DOMAIN = "domain", THREAD = "thread");
    DomainScheduleConfigure optional = "DomainScheduleConfigure" domain_schedule_configure(INDEX = "index",
        DOMAIN = "domain", DURATION = "duration");
    DomainScheduleSetStart optional = "DomainScheduleSetStart" domain_schedule_set_start(INDEX = "index");
    SchedControlConfigureFlags optional = "SchedControlConfigureFlags"
        sched_control_configure_flags(SCHED_CONTEXT = "schedcontext", BUDGET = "budget", PERIOD = "period",
            EXTRA_REFILLS = "extra_refills", BADGE = "badge", FLAGS = "flags");
    SchedContextBind optional = "SchedContextBind" sched_context_bind(CAP = "cap");
    SchedContextUnbind optional = "SchedContextUnbind" sched_context_unbind();
    SchedContextUnbindObject optional = "SchedContextUnbindObject" sched_context_unbind_object(CAP = "cap");
    SchedContextConsumed optional = "SchedContextConsumed" sched_context_consumed();
    SchedContextYieldTo optional = "SchedContextYieldTo" sched_context_yield_to();
    PdptMap = "X86PDPTMap" pdpt_map(ROOT = "pml4", VADDR = "vaddr", ATTR = "attr");
    PdptUnmap = "X86PDPTUnmap" pdpt_unmap();
    PageDirectoryMap = "X86PageDirectoryMap" page_directory_map(ROOT = "vroot" | "vspace", VADDR = "vaddr",
        ATTR = "attr");
    PageDirectoryUnmap = "X86PageDirectoryUnmap" page_directory_unmap();
    PageDirectoryGetStatusBits optional = "X86PageDirectoryGetStatusBits"
        page_directory_get_status_bits(VADDR = "vaddr");
    PageTableMap = "X86PageTableMap" page_table_map(ROOT = "vroot" | "vspace", VADDR = "vaddr", ATTR = "attr");
    PageTableUnmap = "X86PageTableUnmap" page_table_unmap();
    IoPageTableMap optional = "X86IOPageTableMap" io_page_table_map(IO_SPACE = "iospace", IO_ADDR = "ioaddr");
    IoPageTableUnmap optional = "X86IOPageTableUnmap" io_page_table_unmap();
    PageMap = "X86PageMap" page_map(ROOT = "vroot" | "vspace", VADDR = "vaddr", RIGHTS = "rights", ATTR = "attr");
    PageRemap optional = "X86PageRemap" page_remap(ROOT = "vroot" | "vspace", RIGHTS = "rights", ATTR = "attr");
    PageUnmap = "X86PageUnmap" page_unmap();
    PageMapIo optional = "X86PageMapIO" page_map_io(IO_SPACE = "iospace", RIGHTS = "rights", IO_ADDR = "ioaddr");
    PageGetAddress = "X86PageGetAddress" page_get_address();
    AsidControlMakePool = "X86ASIDControlMakePool" asid_control_make_pool(UNTYPED = "untyped",
        ROOT = "root", INDEX = "index", DEPTH = "depth");
    AsidPoolAssign = "X86ASIDPoolAssign" asid_pool_assign(ROOT = "vroot" | "vspace");
    IoPortControlIssue optional = "X86IOPortControlIssue" io_port_control_issue(FIRST_PORT = "first_port",
        LAST_PORT = "last_port", ROOT = "root", INDEX = "index", DEPTH = "depth");
    IoPortIn8 = "X86IOPortIn8" io_port_in8(PORT = "port");
    IoPortIn16 = "X86IOPortIn16" io_port_in16(PORT = "port");
    IoPortIn32 = "X86IOPortIn32" io_port_in32(PORT = "port");
    IoPortOut8 = "X86IOPortOut8" io_port_out8(PORT = "port", DATA = "data");
    IoPortOut16 = "X86IOPortOut16" io_port_out16(PORT = "port", DATA = "data");
    IoPortOut32 = "X86IOPortOut32" io_port_out32(PORT = "port", DATA = "data");
    IrqIssueHandlerIoApic = "X86IRQIssueIRQHandlerIOAPIC" irq_issue_handler_ioapic(ROOT = "root",
        INDEX = "index", DEPTH = "depth", IOAPIC = "ioapic", PIN = "pin", LEVEL = "level",
        POLARITY = "polarity", VECTOR = "vector");
    IrqIssueHandlerMsi = "X86IRQIssueIRQHandlerMSI" irq_issue_handler_msi(ROOT = "root", INDEX = "index",
        DEPTH = "depth", PCI_BUS = "pci_bus", PCI_DEV = "pci_dev", PCI_FUNC = "pci_func",
        HANDLE = "handle", VECTOR = "vector");
}

names! {
    /// A number of the interface: `group.NAME` is a constant, `@Struct.field` an offset in bytes, `@Struct` a
    /// size, `config.NAME` an option of the kernel (a flag is 0 or 1), `rule.NAME` one of the era's rules. What
    /// an interface does not have is 0.
    Number {
        TcbBits = "bits.TCB",
        EndpointBits = "bits.ENDPOINT",
        NotificationBits = "bits.NOTIFICATION",
        SlotBits = "bits.SLOT",
        AsidPoolBits = "bits.ASID_POOL",
        MinUntypedBits = "bits.MIN_UNTYPED",
        MaxUntypedBits = "bits.MAX_UNTYPED",
        ReplyBits optional = "bits.REPLY",
        MinSchedContextBits optional = "bits.MIN_SCHED_CONTEXT",

        SlotTcb = "slot.TCB",
        SlotCNode = "slot.CNODE",
        SlotVSpace = "slot.VSPACE",
        SlotIrqControl = "slot.IRQ_CONTROL",
        SlotAsidControl = "slot.ASID_CONTROL",
        SlotAsidPool = "slot.ASID_POOL",
        /// All IO ports, or the right to give them out.
        SlotIoPort = "slot.IO_PORT",
        SlotIoSpace = "slot.IO_SPACE",
        SlotBootInfoFrame = "slot.BOOT_INFO_FRAME",
        SlotIpcBuffer = "slot.IPC_BUFFER",
        SlotDomain = "slot.DOMAIN",
        SlotSchedContext optional = "slot.SCHED_CONTEXT",
        SlotCount = "slot.COUNT",

        MsgMaxLength = "limit.MSG_MAX_LENGTH",
        MsgMaxExtraCaps = "limit.MSG_MAX_EXTRA_CAPS",

        FaultNull = "fault.NULL_FAULT",
        FaultCap = "fault.CAP_FAULT",
        FaultUnknownSyscall = "fault.UNKNOWN_SYSCALL",
        FaultUserException = "fault.USER_EXCEPTION",
        FaultVm = "fault.VM_FAULT",
        FaultTimeout optional = "fault.TIMEOUT",

        IpcBufferSize = "@IpcBuffer",
        IpcBufferTag = "@IpcBuffer.tag",
        IpcBufferMsg = "@IpcBuffer.msg",
        IpcBufferCapsOrBadges = "@IpcBuffer.caps_or_badges",
        IpcBufferReceiveCNode = "@IpcBuffer.receive_cnode",
        IpcBufferReceiveIndex = "@IpcBuffer.receive_index",
        IpcBufferReceiveDepth = "@IpcBuffer.receive_depth",

        BootInfoSize = "@BootInfo",
        BootInfoExtraLen = "@BootInfo.extra_len",
        BootInfoNodeId = "@BootInfo.node_id",
        BootInfoNumNodes = "@BootInfo.num_nodes",
        BootInfoNumIoptLevels = "@BootInfo.num_iopt_levels",
        BootInfoIpcBuffer = "@BootInfo.ipc_buffer",
        BootInfoEmpty = "@BootInfo.empty",
        BootInfoSharedFrames = "@BootInfo.shared_frames",
        BootInfoUserImageFrames = "@BootInfo.user_image_frames",
        BootInfoUserImagePaging = "@BootInfo.user_image_paging",
        BootInfoIoSpaceCaps = "@BootInfo.io_space_caps",
        BootInfoExtraPages = "@BootInfo.extra_bi_pages",
        BootInfoCNodeBits = "@BootInfo.init_thread_cnode_size_bits",
        BootInfoDomain = "@BootInfo.init_thread_domain",
        BootInfoArchInfo optional = "@BootInfo.arch_info",
        BootInfoSchedControl optional = "@BootInfo.sched_control",
        BootInfoUntyped = "@BootInfo.untyped",
        BootInfoUntypedList = "@BootInfo.untyped_list",
        UntypedDescSize = "@UntypedDesc",
        UntypedDescPaddr = "@UntypedDesc.paddr",
        UntypedDescSizeBits = "@UntypedDesc.size_bits",
        UntypedDescIsDevice = "@UntypedDesc.is_device",

        ConfigDebugBuild = "config.DEBUG_BUILD",
        ConfigPrinting = "config.PRINTING",
        ConfigMaxUntypeds = "config.MAX_NUM_BOOTINFO_UNTYPED_CAPS",
        ConfigPriorities = "config.NUM_PRIORITIES",
        ConfigDomains = "config.NUM_DOMAINS",
        ConfigRetypeFanOut = "config.RETYPE_FAN_OUT_LIMIT",
        ConfigCNodeBits = "config.ROOT_CNODE_SIZE_BITS",
        ConfigDomainSchedules optional = "config.NUM_DOMAIN_SCHEDULES",
        ConfigTimerTickMs optional = "config.TIMER_TICK_MS",
        ConfigTimeSlice optional = "config.TIME_SLICE",
        ConfigBootThreadTimeSlice optional = "config.BOOT_THREAD_TIME_SLICE",
        ConfigWcetScale optional = "config.KERNEL_WCET_SCALE",
        ConfigMaxPeriodUs optional = "config.KERNEL_STATIC_MAX_PERIOD_US",
        ConfigMaxNodes = "config.MAX_NUM_NODES",
        RuleBootInfoExtraOffset = "rule.boot-info-extra-offset",
        /// The release: its first number times 256 plus its second.
        RuleRelease = "rule.release",
        /// 1 when time is given by scheduling contexts (MCS).
        RuleMcs = "rule.mcs",
        /// 1 when the GS base is the IPC buffer whenever a thread runs.
        RuleGsIsIpcBuffer = "rule.gs-is-ipc-buffer",
        /// 1 when there is the right GrantReply.
        RuleGrantReply = "rule.grant-reply",
        /// Words of the user context.
        RuleContextWords = "rule.context-words",
        /// Bits of a badge.
        RuleBadgeBits = "rule.badge-bits",
        /// Where the guard begins in the word that sets it.
        RuleGuardShift = "rule.guard-shift",
        /// Bits of a guard.
        RuleGuardBits = "rule.guard-bits",
        /// Where the number of the guard's bits begins in that word.
        RuleGuardSizeShift = "rule.guard-size-shift",
    }
}
