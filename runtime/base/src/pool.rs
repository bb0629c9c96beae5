//! The bookkeeping of untyped memory: which blocks there are, which are free, how they were split.
//!
//! Every block is an untyped capability. A block is halved until it has the size asked for, so that
//! each object lies in an untyped of its own and its memory can be used again once it is gone: seL4
//! resets an untyped only when it has no child left. Halves are put together again only when nothing
//! else has the room (the kernel zeroes a block that is used again, so doing it early costs twice).

/// No block. The first place of a table is never used, so that a table of zeros is an empty one.
const NONE: u32 = 0;
/// Sizes in bits are below this: seL4 has no untyped above 2^47 bytes.
const CLASSES: usize = 64;

/// What the pool asks of the kernel.
pub trait Split {
    /// Why the kernel refused.
    type Error;
    /// Makes two untypeds of `2^(bits-1)` bytes from the one in `slot` and returns the slot of the lower
    /// one; the other is in the slot after it.
    fn split(&mut self, slot: u32, bits: u8) -> Result<u32, Self::Error>;
    /// Deletes the two untypeds that [`split`](Self::split) made in `slot` and the slot after it.
    fn join(&mut self, slot: u32) -> Result<(), Self::Error>;
}

/// One block, free or not. Its fields are the pool's own; callers only provide the room.
#[derive(Debug, Clone, Copy)]
pub struct Node {
    paddr: u64,
    slot: u32,
    parent: u32,
    sibling: u32,
    next: u32,
    bits: u8,
    device: bool,
    state: State,
}

impl Node {
    /// A place for a block: all zeros, and memory of zeros is a table of such places.
    pub const VACANT: Self = Self {
        paddr: 0,
        slot: 0,
        parent: NONE,
        sibling: NONE,
        next: NONE,
        bits: 0,
        device: false,
        state: State::Vacant,
    };
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum State {
    Vacant = 0,
    Free,
    Taken,
    Split,
}

/// The pool has no room for another block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

/// Why a block could not be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TakeError<E> {
    /// No block is large enough, not even after putting halves together.
    NoMemory,
    /// There is no room in the pool's table for the halves.
    Full,
    /// The kernel refused.
    Kernel(E),
}

/// Names a block that was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockId(u32);

/// How much memory there is. All sizes in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Ordinary memory, taken or not.
    pub total: u64,
    /// Ordinary memory that is free.
    pub free: u64,
    /// The largest single block of ordinary memory that is free; 0 when there is none.
    pub largest: u64,
    /// Blocks of ordinary memory that are taken.
    pub blocks: u32,
    /// Device memory, taken or not.
    pub device_total: u64,
    /// Device memory that is free.
    pub device_free: u64,
}

/// The blocks of untyped memory, ordinary and device memory apart.
#[derive(Debug)]
pub struct Pool {
    table: &'static mut [Node],
    /// Nodes above this index were never used.
    len: u32,
    vacant: u32,
    vacancies: u32,
    /// Free blocks of ordinary memory, by size.
    free: [u32; CLASSES],
    usage: Usage,
}

impl Pool {
    /// An empty pool that keeps its blocks in `table`.
    pub fn new(table: &'static mut [Node]) -> Self {
        let vacancies = (table.len() as u32).saturating_sub(1);
        Self { table, len: 1, vacant: NONE, vacancies, free: [NONE; CLASSES], usage: Usage::default() }
    }

    /// How many more blocks the table has room for.
    pub fn vacancies(&self) -> u32 {
        self.vacancies
    }

    /// The table's length.
    pub fn capacity(&self) -> usize {
        self.table.len()
    }

    /// Moves to a larger table and returns the one used so far. A smaller one is returned unused.
    pub fn relocate(&mut self, table: &'static mut [Node]) -> &'static mut [Node] {
        let len = (self.len as usize).min(self.table.len());
        let Some(more) = table.len().checked_sub(self.table.len()) else { return table };
        table[..len].copy_from_slice(&self.table[..len]);
        self.vacancies += more as u32;
        core::mem::replace(&mut self.table, table)
    }

    /// Adds an untyped of `2^bits` bytes at the physical address `paddr`.
    pub fn add(&mut self, slot: u32, bits: u8, paddr: u64, device: bool) -> Result<(), Full> {
        let index = self.occupy(Node { slot, bits, paddr, device, ..Node::VACANT }).ok_or(Full)?;
        if device {
            self.usage.device_total += 1 << bits;
        } else {
            self.usage.total += 1 << bits;
        }
        self.release(index);
        Ok(())
    }

    /// Takes a block of `2^bits` bytes of ordinary memory: from the smallest block that is large enough.
    pub fn take<S: Split>(&mut self, bits: u8, kernel: &mut S) -> Result<BlockId, TakeError<S::Error>> {
        if self.smallest(bits).is_none() {
            self.join(kernel).map_err(TakeError::Kernel)?;
        }
        let class = self.smallest(bits).ok_or(TakeError::NoMemory)?;
        let index = self.free[class];
        self.free[class] = self.node(index).next;
        self.claim(index);
        self.halve_down(index, bits, 0, kernel)
    }

    /// Takes the block of `2^bits` bytes of device memory that starts at `paddr`.
    pub fn take_at<S: Split>(
        &mut self,
        paddr: u64,
        bits: u8,
        kernel: &mut S,
    ) -> Result<BlockId, TakeError<S::Error>> {
        let holds = |node: &Node| {
            let fits = node.device && node.state == State::Free && node.bits >= bits;
            fits && paddr.checked_sub(node.paddr).is_some_and(|offset| offset < 1 << node.bits)
        };
        let index = (1..self.len).find(|index| holds(self.node(*index))).ok_or(TakeError::NoMemory)?;
        if !paddr.is_multiple_of(1 << bits) {
            return Err(TakeError::NoMemory);
        }
        self.claim(index);
        self.halve_down(index, bits, paddr, kernel)
    }

    /// Gives a block back. Its untyped has no child any more.
    pub fn give(&mut self, block: BlockId) {
        if self.node(block.0).state == State::Taken {
            if !self.node(block.0).device {
                self.usage.blocks -= 1;
            }
            self.release(block.0);
        }
    }

    /// The slot of a block's untyped.
    pub fn slot(&self, block: BlockId) -> u32 {
        self.node(block.0).slot
    }

    /// The physical address of a block.
    pub fn paddr(&self, block: BlockId) -> u64 {
        self.node(block.0).paddr
    }

    /// The size of a block in bits.
    pub fn bits(&self, block: BlockId) -> u8 {
        self.node(block.0).bits
    }

    /// How much memory there is.
    pub fn usage(&self) -> Usage {
        let largest =
            (0..CLASSES).rev().find(|class| self.free[*class] != NONE).map_or(0, |class| 1 << class);
        Usage { largest, ..self.usage }
    }

    /// Puts free halves together until none is left that could be.
    pub fn join<S: Split>(&mut self, kernel: &mut S) -> Result<(), S::Error> {
        let result = self.join_all(kernel);
        self.free = [NONE; CLASSES];
        for index in (1..self.len).rev() {
            let node = *self.node(index);
            if node.state == State::Free && !node.device {
                self.node_mut(index).next = self.free[usize::from(node.bits)];
                self.free[usize::from(node.bits)] = index;
            }
        }
        result
    }

    fn join_all<S: Split>(&mut self, kernel: &mut S) -> Result<(), S::Error> {
        loop {
            let mut joined = false;
            for index in 1..self.len {
                let lower = *self.node(index);
                if lower.state != State::Free || lower.parent == NONE {
                    continue;
                }
                let upper = *self.node(lower.sibling);
                if upper.state != State::Free || upper.slot < lower.slot {
                    continue;
                }
                kernel.join(lower.slot)?;
                self.vacate(index);
                self.vacate(lower.sibling);
                self.node_mut(lower.parent).state = State::Free;
                joined = true;
            }
            if !joined {
                return Ok(());
            }
        }
    }

    /// Halves a taken block down to `2^bits` bytes and returns the part that has `paddr` in it, the lowest when
    /// none has. The other parts become free.
    fn halve_down<S: Split>(
        &mut self,
        mut index: u32,
        bits: u8,
        paddr: u64,
        kernel: &mut S,
    ) -> Result<BlockId, TakeError<S::Error>> {
        while self.node(index).bits > bits {
            match self.halve(index, kernel) {
                Ok((lower, upper)) => {
                    let go_up = paddr >= self.node(upper).paddr;
                    let (chosen, other) = if go_up { (upper, lower) } else { (lower, upper) };
                    self.release(other);
                    index = chosen;
                }
                Err(error) => {
                    self.release(index);
                    return Err(error);
                }
            }
        }
        if !self.node(index).device {
            self.usage.blocks += 1;
        }
        Ok(BlockId(index))
    }

    fn halve<S: Split>(&mut self, index: u32, kernel: &mut S) -> Result<(u32, u32), TakeError<S::Error>> {
        if self.vacancies < 2 {
            return Err(TakeError::Full);
        }
        let whole = *self.node(index);
        let slot = kernel.split(whole.slot, whole.bits).map_err(TakeError::Kernel)?;
        let bits = whole.bits - 1;
        let half = Node { slot, bits, parent: index, state: State::Taken, ..whole };
        let lower = self.occupy(half).ok_or(TakeError::Full)?;
        let upper = Node { slot: slot + 1, sibling: lower, paddr: whole.paddr + (1 << bits), ..half };
        let upper = self.occupy(upper).ok_or(TakeError::Full)?;
        self.node_mut(lower).sibling = upper;
        self.node_mut(index).state = State::Split;
        Ok((lower, upper))
    }

    /// The smallest size, in bits and at least `bits`, of which there is a free block.
    fn smallest(&self, bits: u8) -> Option<usize> {
        (usize::from(bits)..CLASSES).find(|class| self.free[*class] != NONE)
    }

    /// Marks a free block as taken. It is no longer in any list.
    fn claim(&mut self, index: u32) {
        let node = self.node_mut(index);
        node.state = State::Taken;
        let (size, device) = (1 << node.bits, node.device);
        *if device { &mut self.usage.device_free } else { &mut self.usage.free } -= size;
    }

    /// Makes a block free.
    fn release(&mut self, index: u32) {
        let head = usize::from(self.node(index).bits);
        let first = self.free[head];
        let node = self.node_mut(index);
        node.state = State::Free;
        let size = 1 << node.bits;
        if node.device {
            self.usage.device_free += size;
        } else {
            node.next = first;
            self.free[head] = index;
            self.usage.free += size;
        }
    }

    fn occupy(&mut self, node: Node) -> Option<u32> {
        let index = match self.vacant {
            NONE if (self.len as usize) < self.table.len() => {
                self.len += 1;
                self.len - 1
            }
            NONE => return None,
            index => {
                self.vacant = self.node(index).next;
                index
            }
        };
        self.vacancies -= 1;
        *self.node_mut(index) = node;
        Some(index)
    }

    fn vacate(&mut self, index: u32) {
        *self.node_mut(index) = Node { next: self.vacant, ..Node::VACANT };
        self.vacant = index;
        self.vacancies += 1;
    }

    fn node(&self, index: u32) -> &Node {
        &self.table[index as usize]
    }

    fn node_mut(&mut self, index: u32) -> &mut Node {
        &mut self.table[index as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hands out slots and remembers which untypeds exist.
    #[derive(Default)]
    struct Kernel {
        next: u32,
        alive: Vec<u32>,
        refuse: bool,
    }

    impl Split for Kernel {
        type Error = &'static str;
        fn split(&mut self, _: u32, bits: u8) -> Result<u32, Self::Error> {
            assert!(bits > 4, "seL4 has no untyped below 16 bytes");
            if self.refuse {
                return Err("refused");
            }
            self.next += 2;
            self.alive.extend([self.next - 2, self.next - 1]);
            Ok(self.next - 2)
        }
        fn join(&mut self, slot: u32) -> Result<(), Self::Error> {
            for slot in [slot, slot + 1] {
                let at = self.alive.iter().position(|alive| *alive == slot).expect("it exists");
                self.alive.remove(at);
            }
            Ok(())
        }
    }

    fn pool(nodes: usize, untypeds: &[(u8, u64, bool)]) -> (Pool, Kernel) {
        let mut pool = Pool::new(vec![Node::VACANT; nodes + 1].leak());
        for (slot, (bits, paddr, device)) in untypeds.iter().enumerate() {
            pool.add(slot as u32, *bits, *paddr, *device).unwrap();
        }
        (pool, Kernel { next: 1000, ..Kernel::default() })
    }

    #[test]
    fn takes_the_smallest_block_that_fits() {
        let (mut pool, mut kernel) = pool(64, &[(20, 0, false), (13, 1 << 20, false), (30, 1 << 30, true)]);
        let block = pool.take(12, &mut kernel).unwrap();
        assert_eq!((pool.paddr(block), pool.bits(block)), (1 << 20, 12));
        assert_eq!(pool.usage().free, (1 << 20) + (1 << 12));
        assert_eq!(pool.usage().device_free, 1 << 30);
    }

    #[test]
    fn every_byte_is_handed_out_once() {
        let (mut pool, mut kernel) = pool(600, &[(16, 0x10000, false)]);
        let mut seen: Vec<u64> = (0..256)
            .map(|_| {
                let block = pool.take(8, &mut kernel).unwrap();
                pool.paddr(block)
            })
            .collect();
        seen.sort();
        assert_eq!(seen, (0..256).map(|i| 0x10000 + i * 256).collect::<Vec<_>>());
        assert_eq!(pool.take(4, &mut kernel), Err(TakeError::NoMemory));
        assert_eq!(pool.usage(), Usage { total: 0x10000, blocks: 256, ..Usage::default() });
    }

    #[test]
    fn joins_halves_when_nothing_else_is_large_enough() {
        let (mut pool, mut kernel) = pool(64, &[(14, 0, false)]);
        let blocks: Vec<_> = (0..4).map(|_| pool.take(12, &mut kernel).unwrap()).collect();
        assert_eq!(pool.take(13, &mut kernel), Err(TakeError::NoMemory));
        blocks.iter().for_each(|block| pool.give(*block));
        assert_eq!(kernel.alive.len(), 6);
        let whole = pool.take(14, &mut kernel).unwrap();
        assert_eq!((pool.slot(whole), kernel.alive.len()), (0, 0));
        pool.give(whole);
        assert_eq!((pool.usage().free, pool.vacancies()), (1 << 14, 63));
    }

    #[test]
    fn a_block_that_is_given_back_twice_counts_once() {
        let (mut pool, mut kernel) = pool(8, &[(12, 0, false)]);
        let block = pool.take(12, &mut kernel).unwrap();
        pool.give(block);
        pool.give(block);
        assert_eq!(pool.usage().free, 1 << 12);
        assert!(pool.take(12, &mut kernel).is_ok());
        assert_eq!(pool.take(12, &mut kernel), Err(TakeError::NoMemory));
    }

    #[test]
    fn finds_device_memory_by_address() {
        let (mut pool, mut kernel) = pool(64, &[(20, 0, false), (16, 0xfed0_0000, true)]);
        let block = pool.take_at(0xfed0_3000, 12, &mut kernel).unwrap();
        assert_eq!((pool.paddr(block), pool.bits(block)), (0xfed0_3000, 12));
        assert_eq!(pool.take_at(0xfed0_3000, 12, &mut kernel), Err(TakeError::NoMemory));
        assert_eq!(pool.take_at(0xfed0_1800, 12, &mut kernel), Err(TakeError::NoMemory));
        assert_eq!(pool.take_at(0xfed1_0000, 12, &mut kernel), Err(TakeError::NoMemory));
        let other = pool.take_at(0xfed0_2000, 12, &mut kernel).unwrap();
        pool.give(block);
        pool.give(other);
        assert_eq!(pool.usage().device_free, 1 << 16);
        assert!(pool.take_at(0xfed0_3000, 12, &mut kernel).is_ok());
    }

    #[test]
    fn nothing_is_lost_when_the_kernel_refuses_or_the_table_is_full() {
        let (mut pool, mut kernel) = pool(4, &[(20, 0, false)]);
        kernel.refuse = true;
        assert_eq!(pool.take(12, &mut kernel), Err(TakeError::Kernel("refused")));
        assert_eq!(pool.usage().free, 1 << 20);
        kernel.refuse = false;
        assert_eq!(pool.take(12, &mut kernel), Err(TakeError::Full));
        assert_eq!(pool.usage().free, 1 << 20);
        let small = pool.relocate(vec![Node::VACANT; 2].leak());
        assert_eq!((small.len(), pool.capacity()), (2, 5));
        assert_eq!(pool.relocate(vec![Node::VACANT; 64].leak()).len(), 5);
        assert!(pool.take(12, &mut kernel).is_ok());
        assert_eq!(pool.usage().free, (1 << 20) - (1 << 12));
    }
}
