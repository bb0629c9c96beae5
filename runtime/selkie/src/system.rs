//! What a function gets to work with.

use crate::{
    boot_info::BootInfo,
    cap::{Capability, Endpoint, IoPort, Notification, Reply, Rights, Slot, Tcb},
    config, device,
    error::{Error, Result},
    fault,
    fw_cfg::FwCfg,
    heap,
    memory::Memory,
    thread::{self, Thread},
    vspace::{self, Mapping},
};
use core::{mem::MaybeUninit, slice};
use selkie_sys::{Word, portable};

/// What a function gets to work with: passed to its `main`.
#[derive(Debug)]
pub struct System {
    /// Slots, untyped memory and the objects made of it.
    pub memory: Memory,
    boot_info: BootInfo,
    /// How many threads there have been; 0 before there was a second one.
    threads: Word,
    max_priority: u8,
    fault_handler: Option<Endpoint>,
    /// The thread that handles faults has been started, or is about to be.
    handles_faults: bool,
}

impl System {
    /// Takes what there is: once, in the first thread. [`prepare`](Self::prepare) comes next.
    pub(crate) fn new(boot_info: BootInfo, image_end: usize) -> Self {
        vspace::init(image_end);
        Self {
            memory: Memory::new(&boot_info),
            boot_info,
            threads: 0,
            max_priority: max_priority(),
            fault_handler: None,
            handles_faults: false,
        }
    }

    /// Sets everything up.
    pub(crate) fn prepare(&mut self) -> Result<()> {
        let reply = if portable::MCS { self.memory.create()?.cap() } else { Reply::at(Slot::NULL) };
        self.enter_first_thread(Notification::at(Slot::NULL), reply);
        if !device::in_process() {
            read_override(&mut self.memory)?;
        }
        heap::init(&mut self.memory)?;
        // A host process reports a fault of the first thread by itself, registers included.
        if device::in_process() {
            return Ok(());
        }
        match self.need_fault_handler() {
            // With MCS, a component may have no right to give time to a thread.
            Err(Error::NoTime) if portable::MCS => Ok(()),
            result => result,
        }
    }

    /// Makes the calling thread known to the runtime as the first one, which is woken by `wake`.
    fn enter_first_thread(&mut self, wake: Notification, reply: Reply) {
        static mut FIRST: MaybeUninit<Thread> = MaybeUninit::uninit();
        let first = &raw mut FIRST;
        // SAFETY: no other thread uses the place: this one runs before there is any.
        unsafe { (*first).write(Thread::first(wake, reply)).enter() };
    }

    /// Prepares for a second thread: only where there is one does the first wait for anybody. This is the first
    /// thread as long as it has not happened.
    pub(crate) fn need_threads(&mut self) -> Result<()> {
        if self.threads == 0 {
            let wake = self.memory.create()?.cap();
            self.enter_first_thread(wake, thread::own_reply());
            self.threads = 1;
        }
        Ok(())
    }

    /// What the function was started with.
    pub fn boot_info(&self) -> BootInfo {
        self.boot_info
    }

    /// The release of the seL4 interface that the function is built for.
    pub fn kernel_version(&self) -> &'static str {
        selkie_sys::config::KERNEL_VERSION
    }

    /// Ordinary memory that the function was started with, in bytes, its own image not counted.
    pub fn memory_size(&self) -> u64 {
        self.memory.usage().total
    }

    /// The highest priority that the function may give to threads.
    pub fn max_priority(&self) -> u8 {
        self.max_priority
    }

    /// Maps `size` bytes of memory, filled with zeros.
    pub fn map(&mut self, size: usize) -> Result<Mapping> {
        Mapping::new(&mut self.memory, size)
    }

    pub(crate) fn next_thread_number(&mut self) -> Word {
        self.threads += 1;
        self.threads - 1
    }

    /// Starts the thread that ends the function when a thread of it faults, unless it was started before.
    #[inline(never)]
    pub(crate) fn need_fault_handler(&mut self) -> Result<()> {
        if core::mem::replace(&mut self.handles_faults, true) { Ok(()) } else { fault::start_handler(self) }
    }

    pub(crate) fn set_fault_handler(&mut self, endpoint: Endpoint) {
        self.fault_handler = Some(endpoint);
    }

    /// Makes a capability that faults of thread `number` are sent through; the null slot when nobody
    /// handles faults.
    pub(crate) fn new_fault_endpoint(&mut self, number: Word) -> Result<Slot> {
        let Some(endpoint) = self.fault_handler else { return Ok(Slot::NULL) };
        let slot = self.memory.slot()?;
        let minted = slot.place().mint(endpoint.place(), Rights::ALL, number);
        minted.inspect_err(|_| self.memory.release_slots(slot, 1)).map(|()| slot)
    }
}

/// The highest priority that this thread may give: the kernel names it when asked for a higher one. The
/// thread gets it too, as its threads do: which one it had, the kernel does not tell.
fn max_priority() -> u8 {
    let thread = Tcb::first();
    match thread.set_priority(u8::MAX) {
        Ok(()) => u8::MAX,
        Err(Error::Range { max, .. }) => {
            let max = u8::try_from(max).unwrap_or(u8::MAX);
            thread.set_priority(max).map_or(0, |()| max)
        }
        Err(_) => 0,
    }
}

/// Reads the run configuration's override that QEMU has, if any. Not inlined, as all that a host process does
/// not need: the stack that it takes would be a page more there.
#[inline(never)]
fn read_override(memory: &mut Memory) -> Result<()> {
    let Some(mut device) = FwCfg::find(IoPort::OWN) else { return Ok(()) };
    device.use_dma(memory)?;
    if let Some(file) = device.open("opt/selkie/run") {
        let mapping = Mapping::new(memory, file.size().max(1))?;
        // SAFETY: the memory is fresh, stays mapped for ever, and is known to nobody else.
        let bytes = unsafe { slice::from_raw_parts_mut(mapping.address() as *mut u8, file.size()) };
        device.read_file(file, bytes)?;
        config::add_override(bytes);
    }
    device.close(memory)
}
