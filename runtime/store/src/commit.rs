//! Writing: what waits is written as one batch, with one flush; a file that is full is left for the other one.

use crate::{
    Block, Error, SECTOR,
    index::{Entry, Usage},
    log::{BATCH, BLOCK, Batch, Head, Which, records},
    recover::Reader,
    store::{Condition, State, Store, Switch, Write, Written, count},
};
use alloc::{collections::BTreeMap, rc::Rc, vec::Vec};
use core::{future::poll_fn, task::Poll};

/// What a batch will do.
struct Plan {
    batch: Batch,
    /// What is told to each write, once the batch lasts.
    outcomes: Vec<Result<Written, Error>>,
    /// By the number of the write: where its value begins in the batch, and its version.
    changes: Vec<(usize, usize, u64)>,
    /// The version of the next value.
    version: u64,
}

impl<B: Block> Store<B> {
    /// Does the writes, for ever. Something must poll it while others wait for their writes.
    pub async fn run(&self) {
        loop {
            let writes = self.next().await;
            let outcomes = self.commit(&writes).await;
            for (number, write) in writes.iter().enumerate() {
                let outcome = match &outcomes {
                    Ok(outcomes) => outcomes[number],
                    Err(error) => Err(*error),
                };
                write.outcome.set(Some(outcome));
                if let Some(waker) = write.waker.take() {
                    waker.wake();
                }
            }
        }
    }

    /// Waits until there are writes; returns those that belong into one batch.
    async fn next(&self) -> Vec<Rc<Write>> {
        poll_fn(|cx| {
            let mut queue = self.queue.borrow_mut();
            let (mut writes, mut bytes) = (Vec::new(), 0);
            while bytes < BATCH
                && let Some(write) = queue.writes.pop_front()
            {
                let value = write.value.as_ref().map_or(0, Vec::len);
                queue.bytes -= value;
                bytes += Batch::record(&write.key, value);
                writes.push(write);
            }
            if writes.is_empty() {
                queue.writer = Some(cx.waker().clone());
                return Poll::Pending;
            }
            Poll::Ready(writes)
        })
        .await
    }

    /// Writes a batch. After an error nothing has changed, but for what the disk holds where the next batch will be.
    async fn commit(&self, writes: &[Rc<Write>]) -> Result<Vec<Result<Written, Error>>, Error> {
        self.finish_switch().await?;
        let plan = self.plan(writes);
        if plan.batch.is_empty() {
            return Ok(plan.outcomes);
        }
        let blocks = plan.batch.len().div_ceil(BLOCK) as u64;
        if self.state.borrow().position + blocks > self.blocks() {
            self.change_files().await?;
        }
        let (file, position, which) = self.state.borrow().next();
        self.write_batch(file, position, plan.batch, which).await?;
        self.tried(self.block.flush().await)?;
        let mut state = self.state.borrow_mut();
        for (number, offset, version) in plan.changes {
            let write = &writes[number];
            let entry = write.value.as_ref().map(|value| Entry {
                offset: position * BLOCK as u64 + offset as u64,
                moved: 0,
                length: value.len() as u32,
                sum: crc32fast::hash(value),
                version,
            });
            state.index.set(&write.key, entry);
            count(&self.counts.writes, 1);
        }
        state.position += blocks;
        state.sequence += 1;
        state.version = plan.version;
        count(&self.counts.batches, 1);
        Ok(plan.outcomes)
    }

    /// What the writes do, one after the other.
    fn plan(&self, writes: &[Rc<Write>]) -> Plan {
        let state = self.state.borrow();
        let (outcomes, changes) = Default::default();
        let mut plan = Plan { batch: Batch::new(), outcomes, changes, version: state.version };
        let mut usage = state.index.usage();
        // Version and length of what this batch has changed.
        let mut changed: BTreeMap<&str, Option<(u64, usize)>> = BTreeMap::new();
        for (number, write) in writes.iter().enumerate() {
            let found = || state.index.get(&write.key).map(|entry| (entry.version, entry.length as usize));
            let before = changed.get(&*write.key).copied().unwrap_or_else(found);
            let after = match self.allowed(write, before, usage) {
                Ok(after) => after,
                Err(error) => {
                    plan.outcomes.push(Err(error));
                    continue;
                }
            };
            let existed = before.is_some();
            let mut version = before.map_or(0, |(version, _)| version);
            let value = write.value.as_deref();
            // What is not there is not deleted.
            if existed || value.is_some() {
                let offset = plan.batch.add(&write.key, value, plan.version);
                plan.changes.push((number, offset, plan.version));
                changed.insert(&write.key, value.map(|value| (plan.version, value.len())));
                version = plan.version;
                plan.version += 1;
            }
            usage = after;
            plan.outcomes.push(Ok(Written { version, existed }));
        }
        plan
    }

    /// What keys and values take after a write; an error where it is not to be done.
    fn allowed(&self, write: &Write, before: Option<(u64, usize)>, usage: Usage) -> Result<Usage, Error> {
        let version = before.map(|(version, _)| version);
        let good = match write.condition {
            Condition::Any => true,
            Condition::Present => version.is_some(),
            Condition::Absent => version.is_none(),
            Condition::Version(wanted) => version == Some(wanted),
        };
        if !good {
            return Err(Error::Changed);
        }
        let without = before.map_or(usage, |(_, length)| usage.minus(&write.key, length));
        let Some(value) = &write.value else { return Ok(without) };
        let with = without.plus(&write.key, value.len());
        let more = with.disk > usage.disk && with.disk > self.capacity();
        if more || before.is_none() && with.memory > self.memory { Err(Error::Full) } else { Ok(with) }
    }

    async fn write_batch(&self, file: usize, position: u64, batch: Batch, which: Which) -> Result<(), Error> {
        self.write_blocks(file, position, &batch.finish(which)).await
    }

    async fn write_blocks(&self, file: usize, position: u64, bytes: &[u8]) -> Result<(), Error> {
        let sector = self.places[file].start + position * (BLOCK / SECTOR) as u64;
        self.tried(self.block.write(sector, bytes).await)
    }

    /// Moves the data to the other file, without what was replaced or deleted.
    async fn change_files(&self) -> Result<(), Error> {
        let (from, end, old, version) = {
            let state = self.state.borrow();
            (state.active, state.position, state.head, state.version)
        };
        let generation = old.generation + 1;
        let head = Head { generation, salt: self.salt(generation), version };
        let mut to = Switch { head, position: 1, sequence: 0 };
        let mut reader = Reader::new(self, from);
        let (mut position, mut sequence) = (1, 0);
        let mut batch = Batch::new();
        while position < end {
            let Some(bytes) = reader.batch(position, &old, sequence).await? else {
                return Err(Error::Damaged);
            };
            for record in records(bytes) {
                let record = record.map_err(|()| Error::Damaged)?;
                let Some(value) = record.value else { continue };
                let offset = position * BLOCK as u64 + record.offset as u64;
                let begin = to.position * BLOCK as u64 + (batch.len() + Batch::record(record.key, 0)) as u64;
                if self.state.borrow_mut().index.plan_move(record.key, offset, begin) {
                    batch.add(record.key, Some(value), record.version);
                }
                if batch.is_full() {
                    self.move_batch(1 - from, &mut to, core::mem::take(&mut batch)).await?;
                }
            }
            position += bytes.len().div_ceil(BLOCK) as u64;
            sequence += 1;
        }
        if !batch.is_empty() {
            self.move_batch(1 - from, &mut to, batch).await?;
        }
        self.tried(self.block.flush().await)?;
        self.state.borrow_mut().switch = Some(to);
        self.finish_switch().await
    }

    async fn move_batch(&self, file: usize, to: &mut Switch, batch: Batch) -> Result<(), Error> {
        let blocks = batch.len().div_ceil(BLOCK) as u64;
        if to.position + blocks > self.blocks() {
            return Err(Error::Full);
        }
        let which = Which { generation: to.head.generation, salt: to.head.salt, sequence: to.sequence };
        self.write_batch(file, to.position, batch, which).await?;
        to.position += blocks;
        to.sequence += 1;
        Ok(())
    }

    /// Makes the other file the one that counts, where all that it must hold lasts already. While it is not known whether
    /// its head was written, nothing else is: it may count.
    async fn finish_switch(&self) -> Result<(), Error> {
        let (file, switch) = {
            let state = self.state.borrow();
            let Some(switch) = state.switch else { return Ok(()) };
            (1 - state.active, switch)
        };
        self.write_blocks(file, 0, &switch.head.encode()).await?;
        self.tried(self.block.flush().await)?;
        let mut state = self.state.borrow_mut();
        state.switch = None;
        state.active = file;
        (state.head, state.position, state.sequence) = (switch.head, switch.position, switch.sequence);
        state.index.moved();
        count(&self.counts.moves, 1);
        Ok(())
    }

    /// A number for a generation that nobody can guess (the finaliser of SplitMix64, which is a bijection).
    pub(crate) fn salt(&self, generation: u64) -> u64 {
        salt(self.random, generation)
    }
}

/// See [`Store::salt`].
pub(crate) fn salt(random: u64, generation: u64) -> u64 {
    let mut word = random.wrapping_add(generation.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

impl State {
    /// Where the next batch will be, and which one it is.
    fn next(&self) -> (usize, u64, Which) {
        let Head { generation, salt, .. } = self.head;
        (self.active, self.position, Which { generation, salt, sequence: self.sequence })
    }
}
