//! The tender's own operations, each with the name that the interface has for it.

/// An enumeration whose members have names in the interface.
macro_rules! names {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $member:ident = $text:expr,)* }) => {
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

            /// The member with this number.
            pub fn from_number(number: u64) -> Option<Self> {
                Self::ALL.get(usize::try_from(number).ok()?).copied()
            }
        }
    };
}

/// The invocations, with the names of their parameters.
macro_rules! invocations {
    ($($member:ident = $text:literal $module:ident($($param:ident = $param_text:literal),*);)*) => {
        names! {
            /// An invocation, by the C name of its label.
            Invocation { $($member = $text,)* }
        }

        impl Invocation {
            /// What the interface calls the parameters, in the order of the constants in [`param`].
            pub const fn params(self) -> &'static [&'static str] {
                match self { $(Self::$member => &[$($param_text),*],)* }
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
        Reply = "Reply",
        Yield = "Yield",
        NBRecv = "NBRecv",
        DebugPutChar = "DebugPutChar",
        DebugHalt = "DebugHalt",
        DebugSnapshot = "DebugSnapshot",
        DebugCapIdentify = "DebugCapIdentify",
        DebugNameThread = "DebugNameThread",
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
    TcbConfigure = "TCBConfigure" tcb_configure(FAULT_EP = "fault_ep", PRIORITY = "priority",
        CSPACE_ROOT = "cspace_root", CSPACE_ROOT_DATA = "cspace_root_data", VSPACE_ROOT = "vspace_root",
        VSPACE_ROOT_DATA = "vspace_root_data", BUFFER = "buffer", BUFFER_FRAME = "bufferFrame");
    TcbSetPriority = "TCBSetPriority" tcb_set_priority(PRIORITY = "priority");
    TcbSetMcPriority = "TCBSetMCPriority" tcb_set_mc_priority(MCP = "mcp");
    TcbSetIpcBuffer = "TCBSetIPCBuffer" tcb_set_ipc_buffer(BUFFER = "buffer", BUFFER_FRAME = "bufferFrame");
    TcbSetSpace = "TCBSetSpace" tcb_set_space(FAULT_EP = "fault_ep", CSPACE_ROOT = "cspace_root",
        CSPACE_ROOT_DATA = "cspace_root_data", VSPACE_ROOT = "vspace_root",
        VSPACE_ROOT_DATA = "vspace_root_data");
    TcbSuspend = "TCBSuspend" tcb_suspend();
    TcbResume = "TCBResume" tcb_resume();
    TcbBindNotification = "TCBBindNotification" tcb_bind_notification(NOTIFICATION = "notification");
    TcbUnbindNotification = "TCBUnbindNotification" tcb_unbind_notification();
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
    CNodeSaveCaller = "CNodeSaveCaller" cnode_save_caller(INDEX = "index", DEPTH = "depth");
    IrqIssueHandler = "IRQIssueIRQHandler" irq_issue_handler(IRQ = "irq", ROOT = "root", INDEX = "index",
        DEPTH = "depth");
    IrqAck = "IRQAckIRQ" irq_ack();
    IrqSetHandler = "IRQSetIRQHandler" irq_set_handler(NOTIFICATION = "notification");
    IrqClearHandler = "IRQClearIRQHandler" irq_clear_handler();
    DomainSet = "DomainSetSet" domain_set(DOMAIN = "domain", THREAD = "thread");
    PdptMap = "X86PDPTMap" pdpt_map(ROOT = "pml4", VADDR = "vaddr", ATTR = "attr");
    PdptUnmap = "X86PDPTUnmap" pdpt_unmap();
    PageDirectoryMap = "X86PageDirectoryMap" page_directory_map(ROOT = "vroot", VADDR = "vaddr",
        ATTR = "attr");
    PageDirectoryUnmap = "X86PageDirectoryUnmap" page_directory_unmap();
    PageDirectoryGetStatusBits = "X86PageDirectoryGetStatusBits"
        page_directory_get_status_bits(VADDR = "vaddr");
    PageTableMap = "X86PageTableMap" page_table_map(ROOT = "vroot", VADDR = "vaddr", ATTR = "attr");
    PageTableUnmap = "X86PageTableUnmap" page_table_unmap();
    IoPageTableMap = "X86IOPageTableMap" io_page_table_map(IO_SPACE = "iospace", IO_ADDR = "ioaddr");
    IoPageTableUnmap = "X86IOPageTableUnmap" io_page_table_unmap();
    PageMap = "X86PageMap" page_map(ROOT = "vroot", VADDR = "vaddr", RIGHTS = "rights", ATTR = "attr");
    PageRemap = "X86PageRemap" page_remap(ROOT = "vroot", RIGHTS = "rights", ATTR = "attr");
    PageUnmap = "X86PageUnmap" page_unmap();
    PageMapIo = "X86PageMapIO" page_map_io(IO_SPACE = "iospace", RIGHTS = "rights", IO_ADDR = "ioaddr");
    PageGetAddress = "X86PageGetAddress" page_get_address();
    AsidControlMakePool = "X86ASIDControlMakePool" asid_control_make_pool(UNTYPED = "untyped",
        ROOT = "root", INDEX = "index", DEPTH = "depth");
    AsidPoolAssign = "X86ASIDPoolAssign" asid_pool_assign(ROOT = "vroot");
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
    /// size, `config.NAME` an option of the kernel (a flag is 0 or 1), `rule.NAME` one of the era's rules.
    Number {
        TcbBits = "bits.TCB",
        EndpointBits = "bits.ENDPOINT",
        NotificationBits = "bits.NOTIFICATION",
        SlotBits = "bits.SLOT",
        AsidPoolBits = "bits.ASID_POOL",
        MinUntypedBits = "bits.MIN_UNTYPED",
        MaxUntypedBits = "bits.MAX_UNTYPED",

        SlotTcb = "slot.TCB",
        SlotCNode = "slot.CNODE",
        SlotVSpace = "slot.VSPACE",
        SlotIrqControl = "slot.IRQ_CONTROL",
        SlotAsidControl = "slot.ASID_CONTROL",
        SlotAsidPool = "slot.ASID_POOL",
        SlotIoPort = "slot.IO_PORT",
        SlotIoSpace = "slot.IO_SPACE",
        SlotBootInfoFrame = "slot.BOOT_INFO_FRAME",
        SlotIpcBuffer = "slot.IPC_BUFFER",
        SlotDomain = "slot.DOMAIN",
        SlotCount = "slot.COUNT",

        MsgMaxLength = "limit.MSG_MAX_LENGTH",
        MsgMaxExtraCaps = "limit.MSG_MAX_EXTRA_CAPS",
        BadgeBits = "limit.BADGE_BITS",
        GuardBits = "limit.GUARD_BITS",
        IrqOffset = "limit.IRQ_OFFSET",
        VectorMin = "limit.VECTOR_MIN",
        VectorMax = "limit.VECTOR_MAX",

        FaultNull = "fault.NULL_FAULT",
        FaultCap = "fault.CAP_FAULT",
        FaultUnknownSyscall = "fault.UNKNOWN_SYSCALL",
        FaultUserException = "fault.USER_EXCEPTION",
        FaultVm = "fault.VM_FAULT",

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
        BootInfoArchInfo = "@BootInfo.arch_info",
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
        ConfigTimerTickMs = "config.TIMER_TICK_MS",
        ConfigTimeSlice = "config.TIME_SLICE",
        ConfigMaxNodes = "config.MAX_NUM_NODES",
        RuleBootInfoExtraOffset = "rule.boot-info-extra-offset",
    }
}
