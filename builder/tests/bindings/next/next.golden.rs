// Bindings for the user interface of seL4 2.1.0 on x86_64, made from the tree's XML and one
// kernel config. Do not edit: a new build makes them anew.

/// A machine word.
pub type Word = u64;
/// A capability pointer: an address in a CSpace.
pub type CPtr = Word;

/// The kernel's release and those of its options that concern user programs.
pub mod config {
    /// The seL4 release.
    pub const KERNEL_VERSION: &str = "2.1.0";
    /// `CONFIG_EXTRA`
    pub const EXTRA: bool = true;
    /// `CONFIG_KERNEL_MCS`
    pub const KERNEL_MCS: bool = true;
    /// `CONFIG_LEAN`
    pub const LEAN: bool = false;
    /// `CONFIG_LIST_LENGTH`
    pub const LIST_LENGTH: usize = 3;
}

/// Rules of this release's interface.
pub mod rule {
    /// Whether the GS base is the address of the running thread's IPC buffer.
    pub const IPC_BUFFER_IN_GS_BASE: bool = false;
    /// Whether a thread's TLS base is a member of [`UserContext`](super::UserContext).
    pub const TLS_BASE_IN_USER_CONTEXT: bool = false;
    /// Whether the initial IO-port capability is invoked directly, without issuing a range first.
    pub const IO_PORT_DIRECT: bool = false;
    /// Whether the receiver of a call gets a reply capability only if the caller may grant.
    pub const CALL_NEEDS_GRANT: bool = false;
    /// Whether time and replies are objects (mixed-criticality scheduling).
    pub const MCS: bool = true;
    /// Words of a message that travel in CPU registers.
    pub const REGISTER_WORDS: usize = 4;
    /// Where further boot information begins, in bytes after the start of the BootInfo.
    pub const BOOT_INFO_EXTRA_OFFSET: usize = 4096;
}

/// Chooses code by what this kernel has: `when!(mcs { … } else { … })` is the first where it has it, else the
/// second: items, or one expression.
#[macro_export]
macro_rules! when {
    // scheduling contexts and reply objects
    (mcs { $($yes:tt)* } else { $($no:tt)* }) => { $($no)* };
    // ranges of IO ports have to be issued
    (issued_ports { $($yes:tt)* } else { $($no:tt)* }) => { $($no)* };
    // priorities are set with a thread as the authority, and not by TCB_Configure
    (priority_authority { $($yes:tt)* } else { $($no:tt)* }) => { $($no)* };
    // a mapped page is changed by an invocation of its own
    (page_remap { $($yes:tt)* } else { $($no:tt)* }) => { $($no)* };
    // labels for pages of devices, with an IOMMU or without
    (io_labels { $($yes:tt)* } else { $($no:tt)* }) => { $($no)* };
    // a page directory tells which pages were used
    (status_bits { $($yes:tt)* } else { $($no:tt)* }) => { $($no)* };
    // TCB_SetTLSBase, and FS and GS in the user context
    (set_tls_base { $($yes:tt)* } else { $($no:tt)* }) => { $($yes)* };
    // BootInfo itself tells the frequency of the time-stamp counter
    (clock_in_boot_info { $($yes:tt)* } else { $($no:tt)* }) => { $($no)* };
}

/// Numbers of system calls.
pub mod syscall {
    #[allow(missing_docs)]
    pub const CALL: i64 = -1;
    #[allow(missing_docs)]
    pub const REPLY_RECV: i64 = -2;
    #[allow(missing_docs)]
    pub const NB_SEND_RECV: i64 = -3;
    #[allow(missing_docs)]
    pub const NB_SEND_WAIT: i64 = -4;
    #[allow(missing_docs)]
    pub const SEND: i64 = -5;
    #[allow(missing_docs)]
    pub const RECV: i64 = -6;
    #[allow(missing_docs)]
    pub const WAIT: i64 = -7;
    #[allow(missing_docs)]
    pub const DEBUG_PUT_CHAR: i64 = -9;
    #[allow(missing_docs)]
    pub const SET_BASE: i64 = -10;
}

/// Labels of invocations.
pub mod label {
    use super::Word;

    #[allow(missing_docs)]
    pub const THREAD_CONFIGURE: Word = 1;
    #[allow(missing_docs)]
    pub const THREAD_WRITE: Word = 2;
    #[allow(missing_docs)]
    pub const CLOCK_SET: Word = 3;
    #[allow(missing_docs)]
    pub const ARCH_PAGE_MAP: Word = 4;
}

/// Object types.
pub mod object {
    use super::Word;

    /// `mini_UntypedObject`
    pub const UNTYPED: Word = 0;
    /// `mini_ThreadObject`
    pub const THREAD: Word = 1;
    /// `mini_ClockObject`
    pub const CLOCK: Word = 2;
    /// `mini_PageObject`
    pub const PAGE: Word = 3;
}

/// Sizes.
pub mod bits {
    use super::Word;

    /// `mini_PageBits`
    pub const PAGE: Word = 12;
    /// `mini_ThreadBits`
    pub const THREAD: Word = 7;
}

/// Initial slots.
pub mod slot {
    use super::Word;

    /// `mini_CapNull`
    pub const NULL: Word = 0;
    /// `mini_CapThread`
    pub const THREAD: Word = 1;
}

/// Errors.
pub mod error {
    use super::Word;

    /// `mini_NoError`
    pub const NO_ERROR: Word = 0;
    /// `mini_RangeError`
    pub const RANGE_ERROR: Word = 1;
}

/// Only with scheduling contexts.
pub mod timeout {
    use super::Word;

    /// `mini_Timeout_Data`
    pub const DATA: Word = 0;
}

/// Faults.
pub mod fault {
    use super::Word;

    /// `mini_Fault_None`
    pub const NONE: Word = 0;
    /// `mini_Fault_Timeout`
    pub const TIMEOUT: Word = 1;
    /// `mini_Fault_VM`
    pub const VM: Word = 2;
}

/// Where things lie in an IPC buffer, in bytes after its start.
pub mod ipc_buffer_offset {
    /// Bytes of the buffer, and its alignment.
    pub const SIZE: usize = 88;
    /// The tag.
    pub const TAG: usize = 0;
    /// The words.
    pub const MSG: usize = 8;
    /// The capabilities.
    pub const CAPS_OR_BADGES: usize = 72;
}

/// The tag of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct MessageInfo(pub Word);

impl MessageInfo {
    /// Puts the fields together; bits that do not fit are cut off.
    #[inline]
    pub const fn new(label: Word, unwrapped: Word, caps: Word, length: Word) -> Self {
        let label = (label & 0xfffffffffffff) << 12;
        let unwrapped = (unwrapped & 0x7) << 9;
        let caps = (caps & 0x3) << 7;
        let length = length & 0x7f;
        Self(label | unwrapped | caps | length)
    }

    /// The label.
    #[inline]
    pub const fn label(self) -> Word {
        (self.0 >> 12) & 0xfffffffffffff
    }

    /// Which were unwrapped.
    #[inline]
    pub const fn unwrapped(self) -> Word {
        (self.0 >> 9) & 0x7
    }

    /// How many capabilities.
    #[inline]
    pub const fn caps(self) -> Word {
        (self.0 >> 7) & 0x3
    }

    /// How many words.
    #[inline]
    pub const fn length(self) -> Word {
        self.0 & 0x7f
    }
}

/// Rights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct Rights(pub Word);

impl Rights {
    /// Puts the fields together; bits that do not fit are cut off.
    #[inline]
    pub const fn new(write: bool, read: bool) -> Self {
        let write = (write as Word) << 1;
        let read = read as Word;
        Self(0x100 | write | read)
    }

    /// May write.
    #[inline]
    pub const fn write(self) -> bool {
        (self.0 >> 1) & 1 != 0
    }

    /// May read.
    #[inline]
    pub const fn read(self) -> bool {
        self.0 & 1 != 0
    }
}

/// A badge: a plain word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct Badge(pub Word);

impl Badge {
    /// Puts the fields together; bits that do not fit are cut off.
    #[inline]
    pub const fn new(badge: Word) -> Self {
        let badge = badge & 0xffffffffffffffff;
        Self(badge)
    }

    /// The badge.
    #[inline]
    pub const fn badge(self) -> Word {
        self.0 & 0xffffffffffffffff
    }
}

/// `mini_Context`: registers of a thread, in the order of a message.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
#[allow(missing_docs)]
pub struct Context {
    pub ip: Word,
    pub sp: Word,
    pub r8: Word,
    pub fs_base: Word,
}

impl Context {
    /// How many registers there are.
    pub const WORDS: Word = 4;

    /// The registers in the order of a message.
    #[inline]
    pub fn words(&self) -> &[Word; 4] {
        // SAFETY: with `repr(C)` the members lie one after the other, and each is a word.
        unsafe { &*core::ptr::from_ref(self).cast() }
    }

    /// The registers in the order of a message.
    #[inline]
    pub fn words_mut(&mut self) -> &mut [Word; 4] {
        // SAFETY: as in `words`.
        unsafe { &mut *core::ptr::from_mut(self).cast() }
    }
}

/// Reads a value that may lie at any address.
///
/// # Safety
/// There must be a `T` at `offset` bytes after `base`.
#[inline]
unsafe fn read<T: Copy>(base: *const u8, offset: usize) -> T {
    // SAFETY: the caller promises it.
    unsafe { base.add(offset).cast::<T>().read_unaligned() }
}

/// An item of the list. (`mini_Item`)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Item {
    /// Where it starts.
    pub start: Word,
    /// What it is.
    pub kind: u16,
}

impl Item {
    /// Bytes that it takes in memory.
    pub const SIZE: usize = 11;

    /// Reads it from memory.
    ///
    /// # Safety
    /// It must lie at `base`, with any alignment.
    #[inline]
    pub unsafe fn read(base: *const u8) -> Self {
        // SAFETY: the caller promises that all fields lie after `base`.
        unsafe { Self { start: read(base, 0), kind: read(base, 9) } }
    }
}

/// What the first thread is told. (`mini_BootInfo`)
#[derive(Debug, Clone, Copy)]
pub struct BootInfo {
    base: *const u8,
}

impl BootInfo {
    /// Bytes that it takes in memory.
    pub const SIZE: usize = 64;

    /// The one that lies at `base`.
    ///
    /// # Safety
    /// It must lie there, with any alignment, and stay unchanged for as long as the result is used.
    #[inline]
    pub const unsafe fn new(base: *const u8) -> Self {
        Self { base }
    }

    /// Its address.
    #[inline]
    pub const fn base(self) -> *const u8 {
        self.base
    }

    /// The node.
    #[inline]
    pub fn node(self) -> u8 {
        // SAFETY: `new` promises that it lies after `base`.
        unsafe { read(self.base, 0) }
    }

    /// Only some have it.
    #[inline]
    pub fn extra(self) -> Word {
        // SAFETY: `new` promises that it lies after `base`.
        unsafe { read(self.base, 8) }
    }

    /// Flags.
    #[inline]
    pub fn flags(self) -> u32 {
        // SAFETY: `new` promises that it lies after `base`.
        unsafe { read(self.base, 16) }
    }

    /// An item by itself.
    #[inline]
    pub fn first(self) -> Item {
        // SAFETY: `new` promises that it lies after `base`.
        unsafe { Item::read(self.base.add(20)) }
    }

    /// The list.
    #[inline]
    pub fn items(self, index: usize) -> Option<Item> {
        if index >= 3 {
            return None;
        }
        // SAFETY: `new` promises that the whole list lies after `base`.
        Some(unsafe { Item::read(self.base.add(31 + index * 11)) })
    }
}

/// The system call `Call`.
///
/// # Safety
/// See the crate's documentation.
#[inline]
pub unsafe fn call(dest: CPtr, info: MessageInfo, mrs: &mut [Word; 4]) -> MessageInfo {
    // SAFETY: the caller promises that the system call is sound.
    MessageInfo(unsafe { stub::send_recv(dest, info.0, syscall::CALL, mrs) }.info)
}

/// The system call `ReplyRecv`.
///
/// # Safety
/// See the crate's documentation.
#[inline]
pub unsafe fn reply_recv(
    source: CPtr,
    reply: CPtr,
    info: MessageInfo,
    mrs: &mut [Word; 4],
) -> (MessageInfo, Word) {
    // SAFETY: the caller promises that the system call is sound.
    let received = unsafe { stub::send_recv_reply(source, info.0, syscall::REPLY_RECV, mrs, reply, 0) };
    (MessageInfo(received.info), received.badge)
}

/// The system call `NBSendRecv`.
///
/// # Safety
/// See the crate's documentation.
#[inline]
pub unsafe fn nb_send_recv(
    dest: CPtr,
    info: MessageInfo,
    source: CPtr,
    reply: CPtr,
    mrs: &mut [Word; 4],
) -> (MessageInfo, Word) {
    // SAFETY: the caller promises that the system call is sound.
    let received = unsafe { stub::send_recv_reply(source, info.0, syscall::NB_SEND_RECV, mrs, reply, dest) };
    (MessageInfo(received.info), received.badge)
}

/// The system call `NBSendWait`.
///
/// # Safety
/// See the crate's documentation.
#[inline]
pub unsafe fn nb_send_wait(
    dest: CPtr,
    info: MessageInfo,
    source: CPtr,
    mrs: &mut [Word; 4],
) -> (MessageInfo, Word) {
    // SAFETY: the caller promises that the system call is sound.
    let received = unsafe { stub::send_recv_reply(source, info.0, syscall::NB_SEND_WAIT, mrs, dest, 0) };
    (MessageInfo(received.info), received.badge)
}

/// The system call `Send`.
///
/// # Safety
/// See the crate's documentation.
#[inline]
pub unsafe fn send(dest: CPtr, info: MessageInfo, mrs: &[Word; 4]) {
    // SAFETY: the caller promises that the system call is sound.
    unsafe { stub::send(dest, info.0, syscall::SEND, mrs) }
}

/// The system call `Recv`.
///
/// # Safety
/// See the crate's documentation.
#[inline]
pub unsafe fn recv(source: CPtr, reply: CPtr, mrs: &mut [Word; 4]) -> (MessageInfo, Word) {
    // SAFETY: the caller promises that the system call is sound.
    let received = unsafe { stub::recv_reply(source, 0, syscall::RECV, mrs, reply) };
    (MessageInfo(received.info), received.badge)
}

/// The system call `Wait`.
///
/// # Safety
/// See the crate's documentation.
#[inline]
pub unsafe fn wait(source: CPtr, mrs: &mut [Word; 4]) -> (MessageInfo, Word) {
    // SAFETY: the caller promises that the system call is sound.
    let received = unsafe { stub::recv(source, 0, syscall::WAIT, mrs) };
    (MessageInfo(received.info), received.badge)
}

/// The system call `DebugPutChar`.
///
/// # Safety
/// See the crate's documentation.
#[inline]
pub unsafe fn debug_put_char(word: Word) -> Word {
    // SAFETY: the caller promises that the system call is sound.
    unsafe { stub::word(word, 0, syscall::DEBUG_PUT_CHAR) }
}

/// The system call `SetBase`.
///
/// # Safety
/// See the crate's documentation.
#[inline]
pub unsafe fn set_base(word: Word) -> Word {
    // SAFETY: the caller promises that the system call is sound.
    unsafe { stub::word(word, 0, syscall::SET_BASE) }
}

/// `Yield`: this kernel has no such system call, so this does nothing.
///
/// # Safety
/// Always safe to call.
#[inline]
pub unsafe fn yield_() {}

/// `mini_Thread_Configure`.
///
/// * `service`: The thread.
///
/// # Safety
/// See the crate's documentation.
#[inline]
#[must_use = "the invocation may fail"]
pub unsafe fn thread_configure(service: CPtr, root: CPtr, clock: CPtr) -> Word {
    // SAFETY: the caller promises that the invocation is sound.
    unsafe {
        ipc_buffer::set_cap(0, root);
        ipc_buffer::set_cap(1, clock);
        let info = MessageInfo::new(label::THREAD_CONFIGURE, 0, 2, 0);
        let mut mrs = [0, 0, 0, 0];
        invoke(service, info, &mut mrs)
    }
}

/// `mini_Thread_Write`.
///
/// * `service`: The thread.
///
/// # Safety
/// See the crate's documentation.
#[inline]
#[must_use = "the invocation may fail"]
pub unsafe fn thread_write(service: CPtr, count: u8, regs: &Context) -> Word {
    // SAFETY: the caller promises that the invocation is sound.
    unsafe {
        ipc_buffer::set_mrs(4, &regs.words()[3..]);
        let info = MessageInfo::new(label::THREAD_WRITE, 0, 0, 5);
        let mut mrs = [Word::from(count), regs.ip, regs.sp, regs.r8];
        invoke(service, info, &mut mrs)
    }
}

/// `mini_Clock_Set`.
///
/// # Safety
/// See the crate's documentation.
#[inline]
#[must_use = "the invocation may fail"]
pub unsafe fn clock_set(service: CPtr, budget: Word, flags: Word) -> (Word, Word) {
    // SAFETY: the caller promises that the invocation is sound.
    unsafe {
        let info = MessageInfo::new(label::CLOCK_SET, 0, 0, 2);
        let mut mrs = [budget, flags, 0, 0];
        let error = invoke(service, info, &mut mrs);
        (error, mrs[0])
    }
}

/// `mini_Arch_Page_Map`.
///
/// # Safety
/// See the crate's documentation.
#[inline]
#[must_use = "the invocation may fail"]
pub unsafe fn page_map(service: CPtr, vaddr: Word) -> Word {
    // SAFETY: the caller promises that the invocation is sound.
    unsafe {
        let info = MessageInfo::new(label::ARCH_PAGE_MAP, 0, 0, 1);
        let mut mrs = [vaddr, 0, 0, 0];
        invoke(service, info, &mut mrs)
    }
}
