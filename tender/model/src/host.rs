//! What the model asks of the process that it lives in.

/// How a page is mapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// It can be read.
    Read,
    /// It can be read and written.
    ReadWrite,
}

/// A page could not be mapped: the host has no room for one more mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MapError;

/// What became of the queues of a network or a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Moved {
    /// The function has to be told.
    pub signal: bool,
    /// The function has broken the rules of a queue.
    pub broken: bool,
}

/// What the model asks of the process that it lives in. Nothing of it allocates or waits.
pub trait Host {
    /// Whether a page may be mapped at the addresses from `address` to `address + size`: the host keeps
    /// some for itself.
    fn is_free(&self, address: u64, size: u64) -> bool;

    /// Shows `size` bytes (a page's size) of the physical memory from `paddr` on at `address`, in place of
    /// what was there.
    fn map(&mut self, address: u64, paddr: u64, size: u64, access: Access) -> Result<(), MapError>;

    /// Shows nothing any more at `address`: an access faults.
    fn unmap(&mut self, address: u64, size: u64);

    /// Puts a byte out on the console.
    fn console_write(&mut self, byte: u8);

    /// A byte that was typed at the console, if there is one.
    fn console_read(&mut self) -> Option<u8>;

    /// Moves frames between the network's queues and the network; only called where there is one.
    fn move_frames(&mut self) -> Moved;

    /// Does what was asked of the disk, and answers it; only called where there is one.
    fn move_sectors(&mut self) -> Moved;

    /// Random bits, never the same ones again; none when there are none to be had.
    fn random(&mut self) -> Option<[u64; 4]>;

    /// Nanoseconds since some moment in the past; never goes back.
    fn now(&mut self) -> u64;

    /// Nanoseconds since 1970, in UTC.
    fn wall_clock(&mut self) -> u64;

    /// Asks to be called by [`Kernel::interrupt`](crate::Kernel::interrupt) at this time of
    /// [`now`](Self::now), or not at all; replaces what was asked for before.
    fn set_alarm(&mut self, at: Option<u64>);

    /// Prints a line of the trace; called only while [`Kernel::set_tracing`](crate::Kernel::set_tracing) is on.
    fn trace(&mut self, line: core::fmt::Arguments<'_>);
}
