//! Keys and values on a disk: what was acknowledged is there after whatever ends the function.
//!
//! The disk has a FAT file system, which a host can mount and check. Two files of it hold the data. They get their
//! clusters when they are made and keep them, so nothing but their content is written afterwards: no crash can harm
//! the file system's own structure. [`volume`] makes and finds them, [`log`] is their format, [`Store`] is what they are
//! for.
//!
//! Nothing here knows of a kernel: a disk is whatever has the trait [`Block`].

#![cfg_attr(not(test), no_std)]

extern crate alloc;

mod commit;
mod error;
mod index;
pub mod log;
mod overlay;
mod recover;
mod store;
pub mod volume;

pub use error::{Error, OpenError};
pub use index::{MAX_KEY, MAX_VALUE};
pub use store::{Condition, Stats, Store, Value, Written};

use core::fmt::Debug;

/// Bytes of a sector.
pub const SECTOR: usize = 512;

/// A disk of sectors of [`SECTOR`] bytes.
///
/// Requests that are open at once may be done in any order. What was written lasts only when a flush that was begun after
/// the end of the write has ended well.
#[allow(async_fn_in_trait)] // Functions have one thread, so nothing needs to be sent to another.
pub trait Block {
    /// Why a request failed.
    type Error: Debug;

    /// How many sectors it has.
    fn sectors(&self) -> u64;

    /// Reads whole sectors, from `sector` on.
    async fn read(&self, sector: u64, into: &mut [u8]) -> Result<(), Self::Error>;

    /// Writes whole sectors, from `sector` on. After an error it is not known what they hold.
    async fn write(&self, sector: u64, bytes: &[u8]) -> Result<(), Self::Error>;

    /// Makes lasting what was written before.
    async fn flush(&self) -> Result<(), Self::Error>;
}

impl<B: Block> Block for &B {
    type Error = B::Error;

    fn sectors(&self) -> u64 {
        (**self).sectors()
    }

    async fn read(&self, sector: u64, into: &mut [u8]) -> Result<(), Self::Error> {
        (**self).read(sector, into).await
    }

    async fn write(&self, sector: u64, bytes: &[u8]) -> Result<(), Self::Error> {
        (**self).write(sector, bytes).await
    }

    async fn flush(&self) -> Result<(), Self::Error> {
        (**self).flush().await
    }
}
