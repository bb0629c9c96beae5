//! The function's side of a disk: which requests are open, and which buffers they have.

use super::{Block, operation};
use crate::devices::{
    BrokenRing,
    buffers::BUFFER,
    queue::{Entry, FunctionSide},
};
use core::{ops::Range, sync::atomic::AtomicU64};

/// The most requests that are open at a time.
pub const MAX_OPEN: usize = 64;
/// The most buffers that are used; a region may have more.
const MAX_BUFFERS: u32 = 512;

/// What has become of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The host has it.
    Open,
    /// The host has it, and nobody waits for its answer.
    Left,
    /// It was answered.
    Answered(u32),
}

/// The function's side. It keeps an account of requests and buffers: an answer to what was not asked breaks the device.
#[derive(Debug)]
pub struct BlockFunction<'a> {
    block: Block,
    queue: FunctionSide<'a>,
    requests: [Option<(Entry, State)>; MAX_OPEN],
    /// Buffers that requests have, a bit each.
    used: [u64; (MAX_BUFFERS / 64) as usize],
    /// Something was submitted that the host was not asked to look at.
    untold: bool,
}

impl<'a> BlockFunction<'a> {
    /// The side of a disk that was not used yet. None where the queue lies outside of `region`.
    pub fn new(region: &'a [AtomicU64], block: Block) -> Option<Self> {
        let [place] = block.layout.queues();
        let queue = FunctionSide::new(region, place)?;
        let used = [0; (MAX_BUFFERS / 64) as usize];
        Some(Self { block, queue, requests: [None; MAX_OPEN], used, untold: false })
    }

    /// What the list says about the disk.
    pub fn block(&self) -> &Block {
        &self.block
    }

    /// Where the data of the next request may lie in the region: `length` bytes in buffers that are neighbours, or fewer
    /// where there are not as many. None when there is no room for a request now.
    pub fn room(&self, length: u32) -> Option<Range<u32>> {
        let count = self.block.layout.count.min(MAX_BUFFERS);
        let wanted = length.div_ceil(BUFFER).clamp(1, count);
        if !self.has_number() {
            return None;
        }
        let (mut best, mut begin) = (0..0, 0);
        for number in 0..count {
            if self.is_used(number) {
                begin = number + 1;
            } else if number + 1 - begin > best.len() as u32 {
                best = begin..number + 1;
                if best.len() as u32 == wanted {
                    break;
                }
            }
        }
        if best.is_empty() {
            return None;
        }
        let start = self.block.layout.buffers + best.start * BUFFER;
        Some(start..start + length.min(best.len() as u32 * BUFFER))
    }

    /// Submits a request whose data lies at a [`room`](Self::room), or nowhere for a flush. Returns its number; none
    /// when the disk does not take it, or there is no room for it now. The buffers are its own until it is
    /// [`released`](Self::release).
    pub fn submit(&mut self, code: u32, sector: u64, data: Range<u32>) -> Option<u32> {
        let id = self.requests.iter().position(Option::is_none)?;
        let (offset, length) = (data.start, data.end.checked_sub(data.start)?);
        let entry = Entry { offset, length, code, id: id as u32, sector };
        let free = self.buffers(&entry).all(|number| !self.is_used(number));
        if !(free && self.block.takes(&entry) && self.queue.submit(entry)) {
            return None;
        }
        self.set_used(&entry, true);
        self.requests[id] = Some((entry, State::Open));
        self.untold = true;
        Some(entry.id)
    }

    /// Submits a flush: there is no data.
    pub fn flush(&mut self) -> Option<u32> {
        self.submit(operation::FLUSH, 0, 0..0)
    }

    /// Takes an answer, if there is one, and returns the request's number where somebody waits for it.
    pub fn take(&mut self) -> Result<Option<u32>, BrokenRing> {
        while let Some(answer) = self.queue.take()? {
            let id = answer.id;
            let request = self.requests.get_mut(id as usize).and_then(Option::as_mut).ok_or(BrokenRing)?;
            let same = request.0.offset == answer.offset;
            match request.1 {
                State::Open if same => {
                    request.1 = State::Answered(answer.code);
                    return Ok(Some(id));
                }
                State::Left if same => {
                    request.1 = State::Answered(answer.code);
                    self.release(id);
                }
                _ => return Err(BrokenRing),
            }
        }
        Ok(None)
    }

    /// How a request went, once it was answered: a code of [`status`](super::status), and where its data is.
    pub fn answer(&self, id: u32) -> Option<(u32, Range<u32>)> {
        match self.requests.get(id as usize).copied().flatten()? {
            (entry, State::Answered(code)) => Some((code, entry.offset..entry.offset + entry.length)),
            _ => None,
        }
    }

    /// Gives a request's number and buffers back, as soon as the host has answered it.
    pub fn release(&mut self, id: u32) {
        let Some(place) = self.requests.get_mut(id as usize) else { return };
        match place {
            Some((entry, State::Answered(_))) => {
                let entry = *entry;
                *place = None;
                self.set_used(&entry, false);
            }
            Some((_, state)) => *state = State::Left,
            None => {}
        }
    }

    /// Whether the host has to be asked to look: something was submitted, and it waits for that.
    pub fn must_tell(&mut self) -> bool {
        core::mem::take(&mut self.untold) && self.queue.host_waits()
    }

    /// Whether there is an answer, or the host has broken the queue.
    pub fn has_something(&self) -> bool {
        self.queue.has_answers()
    }

    /// Says whether the function waits for answers. When it begins to, it looks for one once more before it sleeps.
    pub fn set_waits(&self, waits: bool) {
        self.queue.set_waits(waits);
    }

    fn has_number(&self) -> bool {
        self.queue.room() > 0 && self.requests.iter().any(Option::is_none)
    }

    /// The buffers that the data of a request lies in.
    fn buffers(&self, entry: &Entry) -> Range<u32> {
        let first = entry.offset.saturating_sub(self.block.layout.buffers) / BUFFER;
        first..if entry.length == 0 { first } else { first + entry.length.div_ceil(BUFFER) }
    }

    fn is_used(&self, number: u32) -> bool {
        self.used.get(number as usize / 64).is_none_or(|word| word & 1 << (number % 64) != 0)
    }

    fn set_used(&mut self, entry: &Entry, used: bool) {
        for number in self.buffers(entry) {
            if let Some(word) = self.used.get_mut(number as usize / 64) {
                let bit = 1 << (number % 64);
                *word = if used { *word | bit } else { *word & !bit };
            }
        }
    }
}
