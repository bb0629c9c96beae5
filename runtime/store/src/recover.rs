//! Reading what a disk holds: at the start, and when the data is moved.

use crate::{
    Block, Error, OpenError, SECTOR,
    commit::salt,
    index::{Entry, Index},
    log::{BLOCK, Head, begins, is_whole, records},
    store::{State, Store},
    volume,
};
use alloc::{vec, vec::Vec};

/// How much is read at once.
const WINDOW: usize = 64 << 10;

impl<B: Block> Store<B> {
    /// The keys and values of a disk; an empty one is formatted first. `random` is a number that no other start has and
    /// nobody knows. Keys may take `memory` bytes of the heap.
    ///
    /// What is found lasts before this returns, as if it had been acknowledged.
    pub async fn open(block: B, random: u64, memory: usize) -> Result<Self, OpenError> {
        let first = |_| Head { generation: 1, salt: salt(random, 1), version: 1 }.encode();
        let files = volume::open(&block, first).await?;
        let (queue, counts) = Default::default();
        let head = Head { generation: 0, salt: 0, version: 0 };
        let (position, sequence, version, active) = (1, 0, 0, 0);
        let state =
            State { index: Index::default(), active, head, position, sequence, version, switch: None };
        let places = files.places;
        let mut store = Self { block, places, state: state.into(), queue, random, memory, counts };
        store.find_head().await?;
        store.read_all().await?;
        store.block.flush().await.map_err(|_| OpenError::Disk)?;
        Ok(store)
    }

    /// Finds the file that counts.
    async fn find_head(&mut self) -> Result<(), OpenError> {
        let mut heads = [None; 2];
        for (head, place) in heads.iter_mut().zip(&self.places) {
            let mut block = vec![0; BLOCK];
            self.block.read(place.start, &mut block).await.map_err(|_| OpenError::Disk)?;
            *head = Head::decode(&block);
        }
        let generation = |head: Option<Head>| head.map_or(0, |head| head.generation);
        let active = usize::from(generation(heads[1]) > generation(heads[0]));
        let state = self.state.get_mut();
        state.active = active;
        state.head = heads[active].filter(|head| head.generation > 0).ok_or(OpenError::Damaged)?;
        state.version = state.head.version;
        Ok(())
    }

    /// Reads all batches of it.
    async fn read_all(&mut self) -> Result<(), OpenError> {
        let (file, head) = (self.state.get_mut().active, self.state.get_mut().head);
        let (mut index, mut version) = (Index::default(), head.version);
        let (mut position, mut sequence) = (1, 0);
        let mut reader = Reader::new(self, file);
        while let Some(bytes) = reader.batch(position, &head, sequence).await.map_err(opening)? {
            for record in records(bytes) {
                let record = record.map_err(|()| OpenError::Damaged)?;
                let entry = record.value.map(|value| Entry {
                    offset: position * BLOCK as u64 + record.offset as u64,
                    moved: 0,
                    length: value.len() as u32,
                    sum: crc32fast::hash(value),
                    version: record.version,
                });
                index.set(record.key, entry);
                version = version.max(record.version.saturating_add(1));
            }
            // One more than before: the limit may be lower than it was, but not by far.
            if index.usage().memory > self.memory.saturating_mul(2) {
                return Err(OpenError::Memory);
            }
            position += bytes.len().div_ceil(BLOCK) as u64;
            sequence += 1;
        }
        reader.no_batch_after(position, &head, sequence).await?;
        let state = self.state.get_mut();
        (state.index, state.position, state.sequence, state.version) = (index, position, sequence, version);
        Ok(())
    }
}

fn opening(error: Error) -> OpenError {
    match error {
        Error::Disk => OpenError::Disk,
        _ => OpenError::Damaged,
    }
}

/// Reads a file from its begin to its end.
pub(crate) struct Reader<'a, B> {
    store: &'a Store<B>,
    file: usize,
    /// What was read, and from which block on.
    bytes: Vec<u8>,
    begin: u64,
}

impl<'a, B: Block> Reader<'a, B> {
    pub(crate) fn new(store: &'a Store<B>, file: usize) -> Self {
        Self { store, file, bytes: Vec::new(), begin: 0 }
    }

    /// The batch with this number at a block of the file with this head; none where there is no such batch.
    pub(crate) async fn batch(
        &mut self,
        position: u64,
        head: &Head,
        sequence: u64,
    ) -> Result<Option<&[u8]>, Error> {
        match self.any_batch(position, head).await? {
            Some((length, number)) if number == sequence => Ok(Some(&self.at(position)[..length])),
            _ => Ok(None),
        }
    }

    /// That no batch comes after the end, which one that was written before would.
    async fn no_batch_after(&mut self, position: u64, head: &Head, sequence: u64) -> Result<(), OpenError> {
        for position in position..self.store.blocks() {
            let found = self.any_batch(position, head).await.map_err(opening)?;
            if found.is_some_and(|(_, number)| number > sequence) {
                return Err(OpenError::Damaged);
            }
        }
        Ok(())
    }

    /// The length and the number of a whole batch at this block.
    async fn any_batch(&mut self, position: u64, head: &Head) -> Result<Option<(usize, u64)>, Error> {
        if !self.read(position, BLOCK).await? {
            return Ok(None);
        }
        let Some((length, sequence)) = begins(self.at(position), head.generation) else { return Ok(None) };
        let whole = self.read(position, length).await? && is_whole(&self.at(position)[..length], head.salt);
        Ok(whole.then_some((length, sequence)))
    }

    /// Reads so many bytes from a block on, unless they are there. Returns whether the file is that long.
    async fn read(&mut self, position: u64, bytes: usize) -> Result<bool, Error> {
        let blocks = self.store.blocks().saturating_sub(position);
        if bytes.div_ceil(BLOCK) as u64 > blocks {
            return Ok(false);
        }
        let end = position * BLOCK as u64 + bytes as u64;
        if position < self.begin || end > self.begin * BLOCK as u64 + self.bytes.len() as u64 {
            let most = blocks.saturating_mul(BLOCK as u64).min(usize::MAX as u64) as usize;
            self.bytes.clear();
            self.bytes.resize(bytes.next_multiple_of(BLOCK).max(WINDOW).min(most), 0);
            self.begin = position;
            let sector = self.store.places[self.file].start + position * (BLOCK / SECTOR) as u64;
            self.store.tried(self.store.block.read(sector, &mut self.bytes).await)?;
        }
        Ok(true)
    }

    fn at(&self, position: u64) -> &[u8] {
        &self.bytes[((position - self.begin) as usize) * BLOCK..]
    }
}
