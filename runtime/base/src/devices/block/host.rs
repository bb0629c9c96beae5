//! The host's side of a disk, with a controller or a file behind it.

use super::{Block, status};
use crate::devices::{
    BrokenRing,
    queue::{Entry, HostSide},
};
use core::sync::atomic::AtomicU64;

/// The most requests that a drive may have at a time.
pub const TOKENS: usize = 64;

/// What reads and writes sectors: a disk's controller, or a file. It gets only what [`Block::takes`], and works on the
/// request's place in the region from the call that hands it over to the one that returns its token.
pub trait Drive {
    /// Begins what is asked for. Returns a token below [`TOKENS`] that is not in use; none when there is no room now.
    fn begin(&mut self, request: &Entry) -> Option<u16>;
    /// A token of something that is done, and whether it went well.
    fn done(&mut self, request: impl FnOnce(u16) -> Option<Entry>) -> Option<(u16, bool)>;
}

/// The host's side.
#[derive(Debug)]
pub struct BlockHost<'a> {
    block: Block,
    queue: HostSide<'a>,
    /// What was taken and did not find room at the drive.
    next: Option<Entry>,
    /// What the drive has, by token.
    open: [Option<Entry>; TOKENS],
    broken: bool,
}

impl<'a> BlockHost<'a> {
    /// The side of a disk that was not used yet. None where the queue lies outside of `region`.
    pub fn new(region: &'a [AtomicU64], block: Block) -> Option<Self> {
        let [place] = block.layout.queues();
        let queue = HostSide::new(region, place)?;
        Some(Self { block, queue, next: None, open: [None; TOKENS], broken: false })
    }

    /// Whether the function has broken the queue: nothing is done any more then.
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    /// Moves all that can be moved between the queue and the drive. Returns whether the function has to be signalled.
    pub fn work(&mut self, drive: &mut impl Drive) -> bool {
        if self.broken {
            return false;
        }
        let mut answered = self.take_done(drive);
        match self.begin(drive) {
            Ok(refused) => answered |= refused,
            Err(BrokenRing) => self.broken = true,
        }
        answered && self.queue.function_waits()
    }

    /// Says whether the host waits for what is submitted. When it begins to, it [works](Self::work) once more before it
    /// sleeps.
    pub fn set_waits(&self, waits: bool) {
        self.queue.set_waits(waits);
    }

    /// Answers what the drive has done; whether there was something.
    fn take_done(&mut self, drive: &mut impl Drive) -> bool {
        let (open, mut any) = (&mut self.open, false);
        while let Some((token, good)) = drive.done(|token| open.get(usize::from(token)).copied().flatten()) {
            // A token that is none is the drive's mistake: it answers nothing.
            let Some(entry) = open.get_mut(usize::from(token)).and_then(Option::take) else { continue };
            let code = if good { status::DONE } else { status::FAILED };
            any |= self.queue.answer(Entry { code, ..entry });
        }
        any
    }

    /// Hands over what was submitted; whether something was refused.
    fn begin(&mut self, drive: &mut impl Drive) -> Result<bool, BrokenRing> {
        let mut any = false;
        loop {
            let Some(entry) = self.next.take().map_or_else(|| self.queue.take(), |next| Ok(Some(next)))?
            else {
                return Ok(any);
            };
            if !self.block.takes(&entry) {
                any |= self.queue.answer(Entry { code: status::REFUSED, ..entry });
                continue;
            }
            match drive.begin(&entry) {
                Some(token) => {
                    if let Some(place) = self.open.get_mut(usize::from(token)) {
                        *place = Some(entry);
                    }
                }
                None => {
                    self.next = Some(entry);
                    return Ok(any);
                }
            }
        }
    }
}
