//! Keys and values that last, on the function's disk.
//!
//! ```ignore
//! let disk = Disk::open(sys)?;
//! let store: &'static Store = Box::leak(Box::new(store::open(sys, disk, 1 << 20)?));
//! ```

pub use selkie_store::{Condition, Error, MAX_KEY, MAX_VALUE, OpenError, Stats, Value, Written};

use crate::{
    disk::{Disk, DiskError},
    error::{self, Result},
    executor::block_on,
    random,
};
use selkie::System;
use selkie_store::Block;

/// Keys with values on a disk. Something must poll [`run`](selkie_store::Store::run) as long as there are writes: a
/// handler does so in [`background`](crate::http::Handler::background).
pub type Store = selkie_store::Store<Disk>;

impl Block for Disk {
    type Error = DiskError;

    fn sectors(&self) -> u64 {
        Disk::sectors(self)
    }

    async fn read(&self, sector: u64, into: &mut [u8]) -> Result<(), DiskError> {
        Disk::read(self, sector, into).await
    }

    async fn write(&self, sector: u64, bytes: &[u8]) -> Result<(), DiskError> {
        Disk::write(self, sector, bytes).await
    }

    async fn flush(&self) -> Result<(), DiskError> {
        Disk::flush(self).await
    }
}

/// Opens the store of a disk, before a server starts; an empty disk gets a FAT file system first. `memory` is what its
/// keys may take of the heap, in bytes.
pub fn open(sys: &mut System, disk: Disk, memory: usize) -> Result<Store> {
    let random = random::number(sys)?;
    block_on(sys, selkie_store::Store::open(disk, random, memory))?.map_err(error::Error::Store)
}
