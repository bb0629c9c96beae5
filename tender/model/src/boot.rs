//! What the kernel does before the root task runs.

use crate::{
    Cap, FrameSize, Host, Kernel, Mdb, Memory, Register, Rights, SchedContext, Slot, Tcb, ThreadState,
    budget::Budget,
    device::{Device, Devices},
    domain::DomainSchedule,
    interrupt::Interrupts,
    machine::Machine,
    paging::{InitialTables, Level, VSpace},
    schedule::Schedule,
};
use core::ops::Range;
use selkie_tender_table::{Number, Table};

/// Bytes of a page.
const PAGE: u64 = 4096;
/// Nanoseconds of a millisecond.
const MILLISECOND: u64 = 1_000_000;
/// The ASID of the root task's address space.
const ASID: u16 = 1;
/// Bytes of an untyped that lies where memory is touched anyway: small objects made of it cost nothing.
const SMALL_UNTYPED: u64 = 1024;

/// How the root task has been loaded.
///
/// The virtual pages of the image, then one for the IPC buffer, one for BootInfo and `extra_pages` for
/// what more BootInfo has, lie in the order of their addresses at the begin of the physical memory. All of
/// them are mapped.
#[derive(Debug, Clone)]
pub struct Boot<'b> {
    /// The virtual addresses of the image, multiples of 4096.
    pub image: Range<u64>,
    /// Those parts of the image that are written to or not; `false` for what can only be read.
    pub writable: &'b [(Range<u64>, bool)],
    /// Where the root task begins.
    pub entry: u64,
    /// Pages for the chunks after BootInfo; the chunks themselves have been written there.
    ///
    /// In the chunk of devices the slots are left open, to be written here. A console with input gets a notification,
    /// and all devices with queues get one that is the same; a region, where a device has one, lies in these pages.
    pub extra_pages: u64,
    /// Bytes of those chunks.
    pub extra_bytes: u64,
    /// MHz of the time-stamp counter; 0 when it is not known.
    pub tsc_mhz: u64,
}

/// Bytes of what the kernel makes at the start for itself, a multiple of 4096: they come after the root task's
/// pages, which are mapped at `pages`, and are never shown to it.
pub fn kernel_bytes(table: &Table, pages: &Range<u64>) -> u64 {
    let image = pages.start..pages.end - 2 * PAGE;
    let boot = Boot { image, writable: &[], entry: 0, extra_pages: 0, extra_bytes: 0, tsc_mhz: 0 };
    Layout::new(0, table, &boot).free - (pages.end - pages.start)
}

/// The root task cannot be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BootError {
    /// The memory is too small for the image and what the kernel needs.
    TooSmall {
        /// Bytes that are needed at least.
        needed: u64,
    },
    /// The initial CNode is too small for the image: each of its pages takes a slot.
    TooFewSlots {
        /// Slots that it has.
        slots: u64,
    },
}

/// Where all lies, in physical addresses.
struct Layout {
    /// The image's pages; the IPC buffer, BootInfo and its extra pages follow.
    image: u64,
    ipc_buffer: u64,
    boot_info: u64,
    extra: u64,
    /// The paging structures. Nothing is written to them here: what they map follows from the image.
    tables: InitialTables,
    asid_pool: u64,
    irq_slots: u64,
    queues: u64,
    device_objects: u64,
    small_untyped: u64,
    tcb: Tcb,
    cnode: u64,
    /// The root task's scheduling context, where there are such.
    sched_context: u64,
    /// The first byte of what is left.
    free: u64,
}

impl Layout {
    /// The kernel's own state is packed: what the first system calls touch (the last ready queues, the
    /// devices' objects, a small untyped, the TCB) fills one page, and the first slots of the CNode are the
    /// next one. Of all the rest no page is touched before it is needed.
    fn new(base: u64, table: &Table, boot: &Boot<'_>) -> Self {
        let image_bytes = boot.image.end - boot.image.start;
        let mut free = base;
        let mut take = |bytes: u64| {
            let start = free;
            free += bytes;
            start
        };
        let (image, ipc_buffer, boot_info) = (take(image_bytes), take(PAGE), take(PAGE));
        let extra = take(boot.extra_pages * PAGE);
        let tables = InitialTables::new(boot.addresses(), image, take(0));
        take(tables.total() * PAGE);
        let asid_pool = take(1 << table.number(Number::AsidPoolBits));
        let tcb_bytes = 1 << table.number(Number::TcbBits);
        let irq_slots = take(Interrupts::MEMORY);
        // The TCB ends where a page does.
        // An endpoint and, for each device, a notification, which is no smaller.
        let objects = (Devices::MOST as u64 + 1) << table.number(Number::NotificationBits);
        let objects = objects.next_power_of_two();
        let hot = Schedule::QUEUES_SIZE + objects + SMALL_UNTYPED + tcb_bytes;
        take(hot.next_multiple_of(PAGE) - hot);
        let (queues, device_objects) = (take(Schedule::QUEUES_SIZE), take(objects));
        let (small_untyped, tcb) = (take(SMALL_UNTYPED), Tcb(take(tcb_bytes)));
        let cnode = take(Slot::SIZE << table.number(Number::ConfigCNodeBits));
        let sched_context = match table.number(Number::RuleMcs) {
            0 => 0,
            _ => take(1 << table.number(Number::MinSchedContextBits)),
        };
        let free = free.next_multiple_of(PAGE);
        Self {
            image,
            ipc_buffer,
            boot_info,
            extra,
            tables,
            asid_pool,
            irq_slots,
            queues,
            device_objects,
            small_untyped,
            tcb,
            cnode,
            sched_context,
            free,
        }
    }
}

impl Layout {
    /// The capability to the initial CNode.
    fn root(&self, table: &Table) -> Cap {
        let radix = table.number(Number::ConfigCNodeBits) as u8;
        Cap::CNode { address: self.cnode, radix, guard: 0, guard_bits: 64 - radix }
    }

    /// The capability to a paging structure: number `nth` of its level.
    fn table(&self, level: Level, nth: u64) -> Cap {
        let (address, first) = self.tables.table(level, nth);
        level.cap(address, Some((ASID, first)))
    }
}

impl Boot<'_> {
    /// All virtual addresses that are mapped.
    fn addresses(&self) -> Range<u64> {
        self.image.start..self.extra_address() + self.extra_pages * PAGE
    }

    /// The virtual address of the IPC buffer.
    fn ipc_buffer(&self) -> u64 {
        self.image.end
    }

    /// The virtual address of BootInfo.
    fn boot_info(&self) -> u64 {
        self.image.end + PAGE
    }

    /// The virtual address of the chunks after BootInfo.
    fn extra_address(&self) -> u64 {
        self.image.end + 2 * PAGE
    }

    /// Whether the root task may write to the page of its image at `address`.
    fn is_writable(&self, address: u64) -> bool {
        let shares = |range: &Range<u64>| range.start < address + PAGE && address < range.end;
        !self.writable.iter().any(|(range, writable)| !writable && shares(range))
    }
}

/// The initial CNode while it is being filled.
struct Slots {
    address: u64,
    count: u64,
    /// The first slot that is empty.
    next: u64,
}

impl Slots {
    fn at(&self, number: u64) -> Slot {
        Slot(self.address + number * Slot::SIZE)
    }

    /// Puts a capability into a slot.
    fn set(&self, memory: &Memory<'_>, number: u64, cap: Cap) {
        write_original(memory, self.at(number), cap);
    }

    /// Puts capabilities into the next slots, and answers with the numbers of these.
    fn add(&mut self, memory: &Memory<'_>, caps: impl Iterator<Item = Cap>) -> Result<Range<u64>, BootError> {
        let first = self.next;
        for cap in caps {
            if self.next >= self.count {
                return Err(BootError::TooFewSlots { slots: self.count });
            }
            self.set(memory, self.next, cap);
            self.next += 1;
        }
        Ok(first..self.next)
    }
}

/// Puts a capability into a slot that was derived from nothing.
fn write_original(memory: &Memory<'_>, slot: Slot, cap: Cap) {
    slot.set_cap(memory, cap);
    slot.set_mdb(memory, Mdb { prev: 0, next: 0, revocable: true, first_badged: true });
}

/// A page that is mapped in the root task.
fn mapped_page(address: u64, at: u64, write: bool) -> Cap {
    let (size, mapped) = (FrameSize::Small, Some((ASID, at)));
    Cap::Frame { address, size, write, read: true, device: false, mapped }
}

impl<'m, H: Host> Kernel<'m, H> {
    /// Makes the initial objects and capabilities in `memory`, which is zero but for the image and the
    /// chunks, and writes BootInfo. The root task's thread is the current one.
    pub fn boot(memory: Memory<'m>, table: &'m Table, host: H, boot: &Boot<'_>) -> Result<Self, BootError> {
        let layout = Layout::new(memory.base(), table, boot);
        if layout.free > memory.end() {
            return Err(BootError::TooSmall { needed: layout.free - memory.base() });
        }
        let mut kernel = Self {
            memory,
            table,
            host,
            current: layout.tcb,
            schedule: Schedule::default(),
            budget: Budget::default(),
            domains: DomainSchedule::default(),
            ended: None,
            tracing: false,
            device_endpoint: 0,
            devices: Devices::default(),
            root_cnode: layout.root(table),
            machine: Machine::default(),
            vspace: VSpace::default(),
        };
        kernel.init_vspace(layout.tables.clone());
        kernel.init_schedule(layout.queues);
        kernel.init_interrupts(layout.irq_slots);
        let count = 1 << table.number(Number::ConfigCNodeBits);
        let mut slots = Slots { address: layout.cnode, count, next: table.number(Number::SlotCount) };
        kernel.give_fixed(boot, &layout, &slots);
        kernel.start_thread(boot, &layout, &slots);
        if kernel.is_mcs() {
            kernel.give_time(&layout, &mut slots)?;
        }
        kernel.give_pages(boot, &layout, &mut slots)?;
        kernel.give_untypeds(&layout, &mut slots)?;
        kernel.write_boot_info(boot, &layout, &slots);
        Ok(kernel)
    }

    /// The capabilities whose slots are the same for every root task.
    fn give_fixed(&self, boot: &Boot<'_>, layout: &Layout, slots: &Slots) {
        let ports = match self.since(10, 0) {
            true => Cap::IoPortControl,
            false => Cap::IoPort { first: 0, last: u16::MAX },
        };
        let caps = [
            (Number::SlotTcb, Cap::Thread { tcb: layout.tcb.0 }),
            (Number::SlotCNode, self.root_cnode),
            (Number::SlotVSpace, layout.table(Level::Pml4, 0)),
            (Number::SlotIrqControl, Cap::IrqControl),
            (Number::SlotAsidControl, Cap::AsidControl),
            (Number::SlotAsidPool, Cap::AsidPool { address: layout.asid_pool, base: 0 }),
            (Number::SlotIoPort, ports),
            (Number::SlotBootInfoFrame, mapped_page(layout.boot_info, boot.boot_info(), true)),
            (Number::SlotIpcBuffer, mapped_page(layout.ipc_buffer, boot.ipc_buffer(), true)),
            (Number::SlotDomain, Cap::Domain),
        ];
        for (number, cap) in caps {
            slots.set(&self.memory, self.table.number(number), cap);
        }
    }

    /// The root task's thread.
    fn start_thread(&mut self, boot: &Boot<'_>, layout: &Layout, slots: &Slots) {
        let (memory, tcb) = (self.memory, layout.tcb);
        self.init_thread(tcb);
        let own = [
            (Number::SlotCNode, tcb.cspace()),
            (Number::SlotVSpace, tcb.vspace()),
            (Number::SlotIpcBuffer, tcb.ipc_frame()),
        ];
        for (number, dest) in own {
            let source = slots.at(self.table.number(number));
            let mut cap = source.cap(&memory);
            if let Cap::Frame { mapped, .. } = &mut cap {
                *mapped = None;
            }
            self.insert(cap, source, dest);
        }
        if !self.is_mcs() {
            self.setup_reply(tcb);
        }
        let highest = self.table.number(Number::ConfigPriorities) - 1;
        tcb.set_priority(&memory, highest);
        tcb.set_max_priority(&memory, highest);
        tcb.set_ipc_buffer(&memory, boot.ipc_buffer());
        if self.rule(Number::RuleGsIsIpcBuffer) {
            tcb.set_register(&memory, Register::GsBase, boot.ipc_buffer());
        }
        tcb.set_register(&memory, Register::Rdi, boot.boot_info());
        tcb.set_register(&memory, Register::Rip, boot.entry);
        tcb.set_register(&memory, Register::FaultIp, boot.entry);
        tcb.set_state_word(&memory, ThreadState::Running as u64);
    }

    /// The scheduling context of the root task, and the right to configure others.
    #[cold]
    fn give_time(&mut self, layout: &Layout, slots: &mut Slots) -> Result<(), BootError> {
        let number = |number| self.table.number(number);
        let (sc, memory) = (SchedContext(layout.sched_context), self.memory);
        self.pass_time();
        let slice = number(Number::ConfigBootThreadTimeSlice).max(1) * MILLISECOND;
        sc.configure(&memory, SchedContext::MIN_REFILLS, slice, 0, self.moment());
        sc.set_thread(&memory, layout.tcb.0);
        layout.tcb.set_sched_context(&memory, sc.0);
        let bits = number(Number::MinSchedContextBits) as u8;
        slots.set(&memory, number(Number::SlotSchedContext), Cap::SchedContext { address: sc.0, bits });
        let control = slots.add(&memory, [Cap::SchedControl].into_iter())?;
        self.set_boot_info_range(layout, Number::BootInfoSchedControl, control);
        self.switch_payer();
        Ok(())
    }

    /// Capabilities to the paging structures, the extra pages (and the devices in them) and the image.
    fn give_pages(&mut self, boot: &Boot<'_>, layout: &Layout, slots: &mut Slots) -> Result<(), BootError> {
        let memory = self.memory;
        let mut paging = slots.next..slots.next;
        for level in [Level::Pdpt, Level::PageDirectory, Level::PageTable] {
            let tables = (0..layout.tables.count(level)).map(|nth| layout.table(level, nth));
            paging.end = slots.add(&memory, tables)?.end;
        }
        let extra = (0..boot.extra_pages).map(|number| {
            mapped_page(layout.extra + number * PAGE, boot.extra_address() + number * PAGE, true)
        });
        let extra = slots.add(&memory, extra)?;
        self.give_devices(boot, layout, slots, extra.start)?;
        let image = boot
            .image
            .clone()
            .step_by(PAGE as usize)
            .map(|at| mapped_page(layout.image + (at - boot.image.start), at, boot.is_writable(at)));
        let image = slots.add(&memory, image)?;
        self.set_boot_info_range(layout, Number::BootInfoUserImagePaging, paging);
        self.set_boot_info_range(layout, Number::BootInfoExtraPages, extra);
        self.set_boot_info_range(layout, Number::BootInfoUserImageFrames, image);
        Ok(())
    }

    /// The devices' endpoint, their notifications and the capabilities to these, whose slots are written to
    /// the list of devices.
    fn give_devices(
        &mut self,
        boot: &Boot<'_>,
        layout: &Layout,
        slots: &mut Slots,
        first_extra: u64,
    ) -> Result<(), BootError> {
        let memory = self.memory;
        let Some(list) = self.device_list(boot, layout) else { return Ok(()) };
        let count = (memory.get(list) >> 32).min(Devices::MOST as u64);
        let endpoint = layout.device_objects;
        let notification_bytes = 1 << self.table.number(Number::NotificationBits);
        let call = Rights { read: false, ..Rights::ALL };
        let wait = Rights { write: false, read: true, grant: false, grant_reply: false };
        let (mut before, mut shared) = (None, None);
        for number in 0..count {
            let entry = list + 8 + number * 64;
            let (kind, region) = (memory.get(entry), memory.get(entry + 32));
            let mut device = Device {
                kind: kind as u32,
                flags: (kind >> 32) as u32,
                region: 0,
                size: memory.get(entry + 40),
                params: [memory.get(entry + 48), memory.get(entry + 56)],
                notification: 0,
            };
            let cap = Cap::Endpoint { address: endpoint, badge: number + 1, rights: call };
            let slot = slots.add(&memory, [cap].into_iter())?.start;
            if let Some(before) = before {
                // All of them are to one object: it lives until the last one is gone.
                self.insert(cap, before, slots.at(slot));
            }
            before = Some(slots.at(slot));
            memory.set(entry + 8, slot);
            let queues = Devices::has_queues(device.kind);
            if let (true, Some((object, slot))) = (queues, shared) {
                device.notification = object;
                memory.set(entry + 16, slot);
            } else if queues || device.has_input() {
                device.notification = endpoint + (number + 1) * notification_bytes;
                // A function that serves a network has its timers signal the same notification.
                let rights = Rights { write: queues, ..wait };
                let cap = Cap::Notification { address: device.notification, badge: 0, rights };
                let slot = slots.add(&memory, [cap].into_iter())?.start;
                memory.set(entry + 16, slot);
                shared = queues.then_some((device.notification, slot)).or(shared);
            }
            let offset = region.wrapping_sub(boot.extra_address());
            if device.size != 0 && offset.saturating_add(device.size) <= boot.extra_pages * PAGE {
                device.region = layout.extra + offset;
                memory.set(entry + 24, first_extra + offset / PAGE);
            }
            self.devices.add(device);
        }
        self.device_endpoint = endpoint;
        Ok(())
    }

    /// Where the list of devices begins, when there is one.
    fn device_list(&self, boot: &Boot<'_>, layout: &Layout) -> Option<u64> {
        let end = layout.extra + boot.extra_bytes.min(boot.extra_pages * PAGE);
        let mut chunk = layout.extra;
        while chunk.is_multiple_of(8) && end.saturating_sub(chunk) >= 16 {
            let (id, size) = (self.memory.get(chunk), self.memory.get(chunk + 8));
            if size < 16 || size > end - chunk {
                return None;
            }
            if id == Devices::CHUNK {
                let list = chunk + 16;
                let count = if size < 24 { return None } else { self.memory.get(list) };
                let fits = 24 + (count >> 32) * 64 <= size;
                return (count as u32 == 1 && fits).then_some(list);
            }
            chunk += size;
        }
        None
    }

    /// Untypeds of what memory is left, as large as their addresses allow; then of what lies below the
    /// memory, which is that of no device, but makes an untyped of device memory that can be asked.
    fn give_untypeds(&self, layout: &Layout, slots: &mut Slots) -> Result<(), BootError> {
        let number = |number| self.table.number(number);
        let first = slots.next;
        let list = layout.boot_info + number(Number::BootInfoUntypedList);
        let regions = [
            (layout.small_untyped..layout.small_untyped + SMALL_UNTYPED, false),
            (layout.free..self.memory.end(), false),
            (0..self.memory.base(), true),
        ];
        for (region, device) in regions {
            let mut address = region.start;
            while address < region.end {
                let bits = (region.end - address).ilog2().min(address.trailing_zeros());
                let bits = bits.min(number(Number::MaxUntypedBits) as u32).min(Cap::MAX_UNTYPED_BITS);
                let count = slots.next - first;
                if bits >= number(Number::MinUntypedBits) as u32 && count < number(Number::ConfigMaxUntypeds)
                {
                    let cap = Cap::Untyped { address, bits: bits as u8, used: 0, dirty: 0, device };
                    slots.add(&self.memory, [cap].into_iter())?;
                    let entry = list + count * number(Number::UntypedDescSize);
                    let set = |field, bytes: &[u8]| self.memory.write(entry + number(field), bytes);
                    set(Number::UntypedDescPaddr, &address.to_le_bytes());
                    set(Number::UntypedDescSizeBits, &[bits as u8]);
                    set(Number::UntypedDescIsDevice, &[device.into()]);
                }
                address += 1 << bits;
            }
        }
        self.set_boot_info_range(layout, Number::BootInfoUntyped, first..slots.next);
        Ok(())
    }

    /// BootInfo, but for the ranges of slots that have been written already. What is not written is 0.
    fn write_boot_info(&self, boot: &Boot<'_>, layout: &Layout, slots: &Slots) {
        self.set_boot_info(layout, Number::BootInfoExtraLen, boot.extra_bytes);
        self.set_boot_info(layout, Number::BootInfoNumNodes, 1);
        // As a kernel without support for an IOMMU has it.
        self.set_boot_info(layout, Number::BootInfoNumIoptLevels, u64::MAX);
        self.set_boot_info(layout, Number::BootInfoIpcBuffer, boot.ipc_buffer());
        self.set_boot_info_range(layout, Number::BootInfoEmpty, slots.next..slots.count);
        let bits = [self.table.number(Number::ConfigCNodeBits) as u8];
        let place = layout.boot_info + self.table.number(Number::BootInfoCNodeBits);
        self.memory.write(place, &bits);
        // Newer kernels tell the frequency in a chunk.
        if self.table.number(Number::BootInfoArchInfo) != 0 {
            self.set_boot_info(layout, Number::BootInfoArchInfo, boot.tsc_mhz);
        }
    }

    fn set_boot_info(&self, layout: &Layout, field: Number, word: u64) {
        self.memory.write(layout.boot_info + self.table.number(field), &word.to_le_bytes());
    }

    fn set_boot_info_range(&self, layout: &Layout, field: Number, slots: Range<u64>) {
        let place = layout.boot_info + self.table.number(field);
        self.memory.write(place, &slots.start.to_le_bytes());
        self.memory.write(place + 8, &slots.end.to_le_bytes());
    }
}
