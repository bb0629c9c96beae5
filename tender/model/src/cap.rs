//! Capabilities, and the two words that each is kept in.

/// Rights of a capability to an endpoint or notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rights {
    /// May send, or signal.
    pub write: bool,
    /// May receive, or wait.
    pub read: bool,
    /// May send capabilities, and call.
    pub grant: bool,
    /// May call. Where there is no such right it is what `grant` is.
    pub grant_reply: bool,
}

/// The size of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameSize {
    /// 4 KiB.
    Small,
    /// 2 MiB.
    Large,
    /// 1 GiB.
    Huge,
}

/// A capability. Addresses of objects are physical and multiples of 16.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cap {
    /// None.
    Null,
    /// Memory that objects can be made of.
    Untyped {
        /// Where it begins.
        address: u64,
        /// It has `2^bits` bytes.
        bits: u8,
        /// Bytes from its begin that have been given to objects. What follows them is zero.
        used: u64,
        /// Bytes from its begin, no more than are used, that may be other than zero, what lies in untypeds
        /// that were made of it apart. Both are multiples of 16.
        dirty: u64,
        /// It is memory of a device.
        device: bool,
    },
    /// An endpoint.
    Endpoint {
        /// The object.
        address: u64,
        /// What receivers see.
        badge: u64,
        /// What it allows.
        rights: Rights,
    },
    /// A notification.
    Notification {
        /// The object.
        address: u64,
        /// What waiters see.
        badge: u64,
        /// What it allows; `grant` means nothing.
        rights: Rights,
    },
    /// The right to answer a call, once.
    Reply {
        /// The TCB of the caller.
        tcb: u64,
        /// It lies in the caller's own TCB, and the one to answer with is derived from it.
        master: bool,
        /// The answer may have capabilities.
        grant: bool,
    },
    /// A reply object: through it a call is answered, more than once.
    ReplyObject {
        /// The object.
        address: u64,
        /// The answer may have capabilities.
        grant: bool,
    },
    /// A scheduling context.
    SchedContext {
        /// The object.
        address: u64,
        /// It has `2^bits` bytes.
        bits: u8,
    },
    /// The right to configure scheduling contexts.
    SchedControl,
    /// A CNode.
    CNode {
        /// The object.
        address: u64,
        /// It has `2^radix` slots.
        radix: u8,
        /// The guard's bits.
        guard: u64,
        /// How many they are.
        guard_bits: u8,
    },
    /// A thread.
    Thread {
        /// Its TCB.
        tcb: u64,
    },
    /// The right to set domains.
    Domain,
    /// The right to make capabilities for interrupts.
    IrqControl,
    /// An interrupt.
    IrqHandler {
        /// Its number.
        irq: u8,
    },
    /// IO ports.
    IoPort {
        /// The first one.
        first: u16,
        /// The last one.
        last: u16,
    },
    /// The right to make capabilities for IO ports.
    IoPortControl,
    /// The right to make ASID pools.
    AsidControl,
    /// A pool of ASIDs.
    AsidPool {
        /// The object.
        address: u64,
        /// The pool's first ASID.
        base: u16,
    },
    /// A page of memory.
    Frame {
        /// Where it begins.
        address: u64,
        /// Its size.
        size: FrameSize,
        /// What it can be mapped with at most: write implies read.
        write: bool,
        /// It can be mapped at all.
        read: bool,
        /// It is memory of a device.
        device: bool,
        /// Where it is mapped: ASID (not 0) and virtual address.
        mapped: Option<(u16, u64)>,
    },
    /// A page table.
    PageTable {
        /// The object.
        address: u64,
        /// Where it is mapped: ASID (not 0) and the first virtual address.
        mapped: Option<(u16, u64)>,
    },
    /// A page directory.
    PageDirectory {
        /// The object.
        address: u64,
        /// As for page tables.
        mapped: Option<(u16, u64)>,
    },
    /// A page-directory pointer table.
    Pdpt {
        /// The object.
        address: u64,
        /// As for page tables.
        mapped: Option<(u16, u64)>,
    },
    /// The root of an address space.
    Pml4 {
        /// The object.
        address: u64,
        /// Its ASID; 0 while it has none.
        asid: u16,
    },
    /// A CNode or TCB whose deletion goes on: slots below `left` may still hold capabilities.
    Zombie {
        /// Where its slots begin.
        address: u64,
        /// The CNode's radix; `None` for a TCB.
        radix: Option<u8>,
        /// How many slots are left.
        left: u64,
    },
}

/// Word 0: bits 0..5 the kind, 5..20 small fields, 20..64 the object's address divided by 16.
const ADDRESS_SHIFT: u32 = 20;
const ADDRESS_ALIGN: u32 = 4;
/// Word 1 of an untyped: the two marks, divided by 16, each in a half.
const DIRTY_SHIFT: u32 = 32;
/// Word 1 of what can be mapped: the virtual address above the ASID, which takes the page's low bits.
const ASID_MASK: u64 = 0xfff;

mod kind {
    pub(super) const UNTYPED: u64 = 1;
    pub(super) const ENDPOINT: u64 = 2;
    pub(super) const NOTIFICATION: u64 = 3;
    pub(super) const REPLY: u64 = 4;
    pub(super) const CNODE: u64 = 5;
    pub(super) const THREAD: u64 = 6;
    pub(super) const DOMAIN: u64 = 7;
    pub(super) const IRQ_CONTROL: u64 = 8;
    pub(super) const IRQ_HANDLER: u64 = 9;
    pub(super) const IO_PORT: u64 = 10;
    pub(super) const ASID_CONTROL: u64 = 11;
    pub(super) const ASID_POOL: u64 = 12;
    pub(super) const FRAME: u64 = 13;
    pub(super) const PAGE_TABLE: u64 = 14;
    pub(super) const PAGE_DIRECTORY: u64 = 15;
    pub(super) const PDPT: u64 = 16;
    pub(super) const PML4: u64 = 17;
    pub(super) const ZOMBIE: u64 = 18;
    pub(super) const REPLY_OBJECT: u64 = 19;
    pub(super) const SCHED_CONTEXT: u64 = 20;
    pub(super) const SCHED_CONTROL: u64 = 21;
    pub(super) const IO_PORT_CONTROL: u64 = 22;
}

impl Cap {
    /// The size of the largest untyped as a power of two: what the marks of its use have room for.
    pub(crate) const MAX_UNTYPED_BITS: u32 = 35;

    /// The two words that the capability is kept in.
    pub fn encode(self) -> [u64; 2] {
        let object = |kind: u64, small: u64, address: u64| {
            kind | small << 5 | address >> ADDRESS_ALIGN << ADDRESS_SHIFT
        };
        let place = |mapped: Option<(u16, u64)>| mapped.map_or(0, |(asid, at)| at | u64::from(asid));
        match self {
            Self::Null => [0, 0],
            Self::Untyped { address, bits, used, dirty, device } => {
                let small = u64::from(bits) | u64::from(device) << 6;
                let marks = used >> ADDRESS_ALIGN | dirty >> ADDRESS_ALIGN << DIRTY_SHIFT;
                [object(kind::UNTYPED, small, address), marks]
            }
            Self::Endpoint { address, badge, rights } => {
                [object(kind::ENDPOINT, rights.encode(), address), badge]
            }
            Self::Notification { address, badge, rights } => {
                [object(kind::NOTIFICATION, rights.encode(), address), badge]
            }
            Self::Reply { tcb, master, grant } => {
                [object(kind::REPLY, u64::from(master) | u64::from(grant) << 1, tcb), 0]
            }
            Self::ReplyObject { address, grant } => [object(kind::REPLY_OBJECT, grant.into(), address), 0],
            Self::SchedContext { address, bits } => [object(kind::SCHED_CONTEXT, bits.into(), address), 0],
            Self::SchedControl => [kind::SCHED_CONTROL, 0],
            Self::IoPortControl => [kind::IO_PORT_CONTROL, 0],
            Self::CNode { address, radix, guard, guard_bits } => {
                [object(kind::CNODE, u64::from(radix) | u64::from(guard_bits) << 6, address), guard]
            }
            Self::Thread { tcb } => [object(kind::THREAD, 0, tcb), 0],
            Self::Domain => [kind::DOMAIN, 0],
            Self::IrqControl => [kind::IRQ_CONTROL, 0],
            Self::IrqHandler { irq } => [kind::IRQ_HANDLER, irq.into()],
            Self::IoPort { first, last } => [kind::IO_PORT, u64::from(first) << 16 | u64::from(last)],
            Self::AsidControl => [kind::ASID_CONTROL, 0],
            Self::AsidPool { address, base } => [object(kind::ASID_POOL, 0, address), base.into()],
            Self::Frame { address, size, write, read, device, mapped } => {
                let small = u64::from(size == FrameSize::Large)
                    | u64::from(write) << 1
                    | u64::from(read) << 2
                    | u64::from(device) << 3
                    | u64::from(size == FrameSize::Huge) << 4;
                [object(kind::FRAME, small, address), place(mapped)]
            }
            Self::PageTable { address, mapped } => [object(kind::PAGE_TABLE, 0, address), place(mapped)],
            Self::PageDirectory { address, mapped } => {
                [object(kind::PAGE_DIRECTORY, 0, address), place(mapped)]
            }
            Self::Pdpt { address, mapped } => [object(kind::PDPT, 0, address), place(mapped)],
            Self::Pml4 { address, asid } => [object(kind::PML4, 0, address), asid.into()],
            Self::Zombie { address, radix, left } => {
                let small = radix.map_or(0, |radix| 1 << 6 | u64::from(radix));
                [object(kind::ZOMBIE, small, address), left]
            }
        }
    }

    /// The capability in two words; words that [`encode`](Self::encode) does not make mean none.
    pub fn decode([low, high]: [u64; 2]) -> Self {
        let small = low >> 5 & 0x7fff;
        let bit = |number: u32| small >> number & 1 != 0;
        let (address, six) = (low >> ADDRESS_SHIFT << ADDRESS_ALIGN, (small & 0x3f) as u8);
        let rights = Rights::decode(small);
        let asid = (high & ASID_MASK) as u16;
        let mapped = (asid != 0).then_some((asid, high & !ASID_MASK));
        match low & 0x1f {
            kind::UNTYPED => {
                let (used, dirty) = (high << DIRTY_SHIFT >> DIRTY_SHIFT, high >> DIRTY_SHIFT);
                let (used, dirty) = (used << ADDRESS_ALIGN, dirty << ADDRESS_ALIGN);
                Self::Untyped { address, bits: six, used, dirty, device: bit(6) }
            }
            kind::ENDPOINT => Self::Endpoint { address, badge: high, rights },
            kind::NOTIFICATION => Self::Notification { address, badge: high, rights },
            kind::REPLY => Self::Reply { tcb: address, master: bit(0), grant: bit(1) },
            kind::REPLY_OBJECT => Self::ReplyObject { address, grant: bit(0) },
            kind::SCHED_CONTEXT => Self::SchedContext { address, bits: six },
            kind::SCHED_CONTROL => Self::SchedControl,
            kind::IO_PORT_CONTROL => Self::IoPortControl,
            kind::CNODE => {
                Self::CNode { address, radix: six, guard: high, guard_bits: (small >> 6 & 0x3f) as u8 }
            }
            kind::THREAD => Self::Thread { tcb: address },
            kind::DOMAIN => Self::Domain,
            kind::IRQ_CONTROL => Self::IrqControl,
            kind::IRQ_HANDLER => Self::IrqHandler { irq: high as u8 },
            kind::IO_PORT => Self::IoPort { first: (high >> 16) as u16, last: high as u16 },
            kind::ASID_CONTROL => Self::AsidControl,
            kind::ASID_POOL => Self::AsidPool { address, base: high as u16 },
            kind::FRAME => Self::Frame {
                address,
                size: match (bit(0), bit(4)) {
                    (true, _) => FrameSize::Large,
                    (false, true) => FrameSize::Huge,
                    (false, false) => FrameSize::Small,
                },
                write: bit(1),
                read: bit(2),
                device: bit(3),
                mapped,
            },
            kind::PAGE_TABLE => Self::PageTable { address, mapped },
            kind::PAGE_DIRECTORY => Self::PageDirectory { address, mapped },
            kind::PDPT => Self::Pdpt { address, mapped },
            kind::PML4 => Self::Pml4 { address, asid },
            kind::ZOMBIE => Self::Zombie { address, radix: bit(6).then_some(six), left: high },
            _ => Self::Null,
        }
    }
}

impl Rights {
    /// All.
    pub const ALL: Self = Self { write: true, read: true, grant: true, grant_reply: true };

    /// As a word of seL4's interface: bit 0 write, 1 read, 2 grant, 3 grant-reply.
    pub fn encode(self) -> u64 {
        u64::from(self.write)
            | u64::from(self.read) << 1
            | u64::from(self.grant) << 2
            | u64::from(self.grant_reply) << 3
    }

    /// From a word of seL4's interface, where there is the right grant-reply.
    pub fn decode(word: u64) -> Self {
        Self { write: word & 1 != 0, read: word & 2 != 0, grant: word & 4 != 0, grant_reply: word & 8 != 0 }
    }

    /// From a word of seL4's interface, where there is no right grant-reply.
    pub fn decode_without_grant_reply(word: u64) -> Self {
        let rights = Self::decode(word);
        Self { grant_reply: rights.grant, ..rights }
    }

    /// What both allow.
    pub fn and(self, other: Self) -> Self {
        Self::decode(self.encode() & other.encode())
    }

    /// Whether a sender with these rights can be answered.
    pub fn can_call(self) -> bool {
        self.grant || self.grant_reply
    }
}

impl FrameSize {
    /// Bytes, as a power of two.
    pub fn bits(self) -> u8 {
        match self {
            Self::Small => 12,
            Self::Large => 21,
            Self::Huge => 30,
        }
    }

    /// Bytes.
    pub fn bytes(self) -> u64 {
        1 << self.bits()
    }
}
