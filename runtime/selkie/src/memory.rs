//! Kernel objects and the memory and slots that they are made of.

use crate::{
    boot_info::BootInfo,
    cap::{Capability, Object, ObjectType, Page, Slot, Untyped, needs},
    error::{Error, Result},
    vspace::Mapping,
};
use core::{fmt, marker::PhantomData};
use selkie_base::{BlockId, Node, Pool, Slots, Split, TakeError, Usage};
use selkie_sys::config;

/// Slots that can be handed out: of a CNode with more than 2^16, the rest stays unused.
const SLOT_WORDS: usize = (1 << 16) / 64;
/// Blocks that the first table has room for: those that BootInfo names, and what start-up splits them into.
const FIRST_TABLE: usize = config::MAX_NUM_BOOTINFO_UNTYPED_CAPS + 154;
/// The table is replaced by a larger one before it has fewer vacancies than one split of the largest
/// untyped needs, twice.
const RESERVE: u32 = 2 * 64;

/// One or more objects of one kind, in neighbouring slots, made of one block of memory.
///
/// Dropping it forgets the objects; [`Memory::destroy`] gives their memory and slots back.
#[derive(Debug)]
#[must_use = "the objects can only be given back through this value"]
pub struct Objects<C> {
    raw: RawObjects,
    kind: PhantomData<C>,
}

/// The same, of any kind.
#[derive(Debug)]
pub(crate) struct RawObjects {
    pub(crate) first: Slot,
    pub(crate) count: u32,
    block: BlockId,
}

impl RawObjects {
    fn of<C>(self) -> Objects<C> {
        Objects { raw: self, kind: PhantomData }
    }
}

impl<C: Capability> Objects<C> {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.raw.count as usize
    }

    /// The capability of the first object.
    pub fn cap(&self) -> C {
        C::at(self.raw.first)
    }

    /// The capabilities.
    pub fn caps(&self) -> impl ExactSizeIterator<Item = C> + use<C> {
        let first = self.raw.first;
        (0..self.count()).map(move |index| C::at(first.offset(index)))
    }
}

/// The function's slots and untyped memory. Objects are made of it and given back to it.
///
/// ```no_run
/// # fn example(sys: &mut selkie::System) -> selkie::Result<()> {
/// use selkie::cap::Notification;
/// let object = sys.memory.create::<Notification>()?;
/// object.cap().signal();
/// sys.memory.destroy(object)?;
/// println!("{}", sys.memory);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Memory {
    slots: Slots,
    pool: Pool,
    /// Where the pool's table lies, once the first one was too small.
    table: Option<Mapping>,
    growing: bool,
}

impl Memory {
    /// Takes what BootInfo names: once, at start-up.
    pub(crate) fn new(boot_info: &BootInfo) -> Self {
        #[unsafe(link_section = ".bss.selkie.table")]
        static mut TABLE: [Node; FIRST_TABLE] = [Node::VACANT; FIRST_TABLE];
        #[unsafe(link_section = ".bss.selkie.slots")]
        static mut SLOTS: [u64; SLOT_WORDS] = [0; SLOT_WORDS];
        let (slots, table) = (&raw mut SLOTS, &raw mut TABLE);
        // SAFETY: `System::new` calls this once, before any other thread runs.
        let (slots, table) = unsafe { (&mut *slots, &mut *table) };
        let empty = boot_info.empty_slots();
        let slots = Slots::new(empty.start as u32, empty.end as u32, slots);
        let mut pool = Pool::new(table);
        for untyped in boot_info.untypeds() {
            // The table has room for all that BootInfo can name.
            let _ = pool.add(untyped.slot.0 as u32, untyped.bits, untyped.paddr, untyped.device);
        }
        Self { slots, pool, table: None, growing: false }
    }

    /// Takes an empty slot.
    pub fn slot(&mut self) -> Result<Slot> {
        self.slots(1)
    }

    /// Takes `count` neighbouring empty slots and returns the first.
    pub fn slots(&mut self, count: usize) -> Result<Slot> {
        let count = u32::try_from(count).map_err(|_| Error::NoSlots)?;
        self.slots.take(count).map(|slot| Slot(slot.into())).ok_or(Error::NoSlots)
    }

    /// Gives `count` slots back, which must be empty.
    pub fn release_slots(&mut self, first: Slot, count: usize) {
        self.slots.give(first.0 as u32, count as u32);
    }

    /// Makes an object.
    pub fn create<C: Object>(&mut self) -> Result<Objects<C>> {
        self.create_many(1)
    }

    /// Makes `count` objects of one kind in neighbouring slots.
    pub fn create_many<C: Object>(&mut self, count: usize) -> Result<Objects<C>> {
        self.make(C::TYPE, count).map(RawObjects::of)
    }

    /// Makes a CNode with `2^bits` slots.
    pub fn create_cnode(&mut self, bits: u8) -> Result<Objects<crate::cap::CNode>> {
        self.make(ObjectType::CNode { bits }, 1).map(RawObjects::of)
    }

    /// Makes an untyped of `2^bits` bytes that is the caller's to retype.
    pub fn create_untyped(&mut self, bits: u8) -> Result<Objects<Untyped>> {
        self.make(ObjectType::Untyped { bits }, 1).map(RawObjects::of)
    }

    /// Makes the page of device memory at the physical address `paddr`, a multiple of 4096.
    #[inline(never)]
    #[unsafe(link_section = ".text.selkie.device_page")]
    pub fn create_device_page(&mut self, paddr: u64) -> Result<Objects<Page>> {
        needs!("device-memory", "Memory::create_device_page", ".text.selkie.device_page");
        self.device_page(paddr)
    }

    /// The same for drivers, which cope where a target has no such memory: no recipe has to name it.
    pub fn device_page(&mut self, paddr: u64) -> Result<Objects<Page>> {
        self.reserve()?;
        let mut kernel = Kernel(&mut self.slots);
        let block = self.pool.take_at(paddr, Page::TYPE.bits(), &mut kernel).map_err(taken)?;
        self.fill(block, Page::TYPE, 1).map(RawObjects::of)
    }

    /// Puts free blocks together again, as far as that goes.
    #[cfg(feature = "acpi")]
    pub(crate) fn join(&mut self) -> Result<()> {
        self.pool.join(&mut Kernel(&mut self.slots))
    }

    /// Deletes objects with every capability that was derived from them, and gives memory and slots back.
    /// Pages among them are unmapped.
    pub fn destroy<C: Capability>(&mut self, objects: Objects<C>) -> Result<()> {
        self.destroy_raw(objects.raw)
    }

    pub(crate) fn destroy_raw(&mut self, objects: RawObjects) -> Result<()> {
        Slot(self.pool.slot(objects.block).into()).place().revoke()?;
        self.slots.give(objects.first.0 as u32, objects.count);
        self.pool.give(objects.block);
        Ok(())
    }

    /// The physical address of the first object.
    pub fn paddr<C: Capability>(&self, objects: &Objects<C>) -> u64 {
        self.pool.paddr(objects.raw.block)
    }

    /// How much memory there is.
    pub fn usage(&self) -> Usage {
        self.pool.usage()
    }

    /// How many slots are taken and how many are free. Those that BootInfo names count as neither.
    pub fn slot_usage(&self) -> (u32, u32) {
        (self.slots.used(), self.slots.free())
    }

    pub(crate) fn make(&mut self, object: ObjectType, count: usize) -> Result<RawObjects> {
        self.reserve()?;
        let count = u32::try_from(count).ok().filter(|count| *count > 0).ok_or(Error::NoMemory)?;
        let bits =
            u32::from(object.bits()) + count.checked_next_power_of_two().map_or(64, u32::trailing_zeros);
        if bits >= 64 {
            return Err(Error::NoMemory);
        }
        let block = self.pool.take(bits as u8, &mut Kernel(&mut self.slots)).map_err(taken)?;
        self.fill(block, object, count)
    }

    /// Makes `count` objects of a block. Nothing is left behind when that fails.
    fn fill(&mut self, block: BlockId, object: ObjectType, count: u32) -> Result<RawObjects> {
        let Some(first) = self.slots.take(count) else {
            self.pool.give(block);
            return Err(Error::NoSlots);
        };
        let objects = RawObjects { first: Slot(first.into()), count, block };
        let untyped = Untyped::at(Slot(self.pool.slot(block).into()));
        let limit = config::RETYPE_FAN_OUT_LIMIT as u32;
        let mut made = 0;
        while made < count {
            let now = (count - made).min(limit);
            let at = objects.first.offset(made as usize);
            if let Err(error) = untyped.retype(object, own_node(), at.0, now as usize) {
                self.destroy_raw(objects)?;
                return Err(error);
            }
            made += now;
        }
        Ok(objects)
    }

    /// Replaces the table of blocks by one twice as large when it is nearly full.
    fn reserve(&mut self) -> Result<()> {
        if self.growing || self.pool.vacancies() >= RESERVE {
            return Ok(());
        }
        self.growing = true;
        let result = self.grow();
        self.growing = false;
        result
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self) -> Result<()> {
        let mapping = Mapping::new(self, 2 * self.pool.capacity() * size_of::<Node>())?;
        let nodes = mapping.size() / size_of::<Node>();
        // SAFETY: the memory is fresh, zeroed as a vacant node is, aligned for anything, and known to nobody
        // else; it stays mapped until the next table has replaced it.
        let table = unsafe { core::slice::from_raw_parts_mut(mapping.address() as *mut Node, nodes) };
        self.pool.relocate(table);
        self.table.replace(mapping).map_or(Ok(()), |old| old.unmap(self))
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (usage, (used, free)) = (self.usage(), self.slot_usage());
        write!(
            f,
            "memory: {} KiB, {} KiB free (largest block {} KiB), {} blocks in use; devices: {} KiB, {} KiB \
             free; slots: {used} used, {free} free",
            usage.total >> 10,
            usage.free >> 10,
            usage.largest >> 10,
            usage.blocks,
            usage.device_total >> 10,
            usage.device_free >> 10,
        )
    }
}

/// The function's own CNode as the destination of a retype: a depth of 0 means the root itself.
fn own_node() -> crate::cap::Place {
    crate::cap::CNode::OWN.place(0, 0)
}

fn taken(error: TakeError<Error>) -> Error {
    match error {
        TakeError::NoMemory | TakeError::Full => Error::NoMemory,
        TakeError::Kernel(error) => error,
    }
}

/// Halves untypeds.
struct Kernel<'a>(&'a mut Slots);

impl Split for Kernel<'_> {
    type Error = Error;

    fn split(&mut self, slot: u32, bits: u8) -> Result<u32> {
        let halves = self.0.take(2).ok_or(Error::NoSlots)?;
        let object = ObjectType::Untyped { bits: bits - 1 };
        let made = Untyped::at(Slot(slot.into())).retype(object, own_node(), halves.into(), 2);
        made.inspect_err(|_| self.0.give(halves, 2)).map(|()| halves)
    }

    fn join(&mut self, slot: u32) -> Result<()> {
        Slot(slot.into()).place().delete()?;
        Slot((slot + 1).into()).place().delete()?;
        self.0.give(slot, 2);
        Ok(())
    }
}
