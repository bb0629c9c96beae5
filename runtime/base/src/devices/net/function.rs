//! The function's side of a network: which buffers are whose.

use super::{HEADER, HEADROOM, Net, queue, status};
use crate::devices::{
    BrokenRing,
    buffers::BUFFER,
    queue::{Entry, FunctionSide},
};
use core::{ops::Range, sync::atomic::AtomicU64};

/// The most buffers that are used; a region may have more.
const MAX_BUFFERS: usize = 512;

/// Who has a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    /// The function, for a frame to send, or for the one in it that it reads.
    Function,
    /// The host, in the transmit queue.
    Transmit,
    /// The host, in the receive queue.
    Receive,
}

/// The function's side. It keeps an account of the buffers: an answer that names one that the host was not given
/// breaks the device.
#[derive(Debug)]
pub struct NetFunction<'a> {
    net: Net,
    transmit: FunctionSide<'a>,
    receive: FunctionSide<'a>,
    owners: [Owner; MAX_BUFFERS],
    /// Buffers for frames to send that are free, as a stack.
    free: [u16; MAX_BUFFERS],
    free_count: usize,
    /// Something was submitted that the host was not asked to look at.
    untold: bool,
    dropped: u64,
}

impl<'a> NetFunction<'a> {
    /// The side of a network that was not used yet. Half of the buffers, at most what the queue holds, are given to the
    /// host for frames to come. None where the queues lie outside of `region`.
    pub fn new(region: &'a [AtomicU64], net: Net) -> Option<Self> {
        let places = net.layout.queues();
        let mut this = Self {
            net,
            transmit: FunctionSide::new(region, places[queue::TRANSMIT])?,
            receive: FunctionSide::new(region, places[queue::RECEIVE])?,
            owners: [Owner::Function; MAX_BUFFERS],
            free: [0; MAX_BUFFERS],
            free_count: 0,
            untold: false,
            dropped: 0,
        };
        let count = net.layout.count.min(MAX_BUFFERS as u32);
        let receive = (count / 2).min(this.receive.room() as u32);
        (0..receive).for_each(|number| this.offer(number));
        let transmit = this.transmit.room() as u32;
        (receive..count.min(receive + transmit)).for_each(|number| this.release(number));
        Some(this)
    }

    /// What the list says about the network.
    pub fn net(&self) -> &Net {
        &self.net
    }

    /// Frames and buffers that came back without having been sent or filled.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The next frame that has come: where it is in the region. It goes back with [`give_back`](Self::give_back).
    pub fn receive(&mut self) -> Result<Option<Range<u32>>, BrokenRing> {
        while let Some(answer) = self.receive.take()? {
            let Entry { offset, length, code, .. } = answer;
            let number = match code {
                status::DONE => self.net.frame(offset, length),
                _ => self.net.layout.holds(offset, 0),
            };
            let number =
                number.filter(|number| self.owner(*number) == Some(Owner::Receive)).ok_or(BrokenRing)?;
            if code == status::DONE {
                self.owners[number as usize] = Owner::Function;
                return Ok(Some(offset..offset + length));
            }
            self.dropped += 1;
            self.offer(number);
        }
        Ok(None)
    }

    /// Gives the buffer of a frame that was received back to the host.
    pub fn give_back(&mut self, frame: Range<u32>) {
        if let Some(number) = self.net.layout.holds(frame.start, 0)
            && self.owner(number) == Some(Owner::Function)
        {
            self.offer(number);
        }
    }

    /// Room for a frame to send: where it is in the region, as long as the network takes. It stays free until
    /// [`send`](Self::send). None where the host has all of it.
    pub fn room(&mut self) -> Result<Option<Range<u32>>, BrokenRing> {
        // Answers are only looked at when there is need.
        if self.free_count == 0 {
            while let Some(answer) = self.transmit.take()? {
                let number = self.net.layout.holds(answer.offset, 0);
                let number =
                    number.filter(|number| self.owner(*number) == Some(Owner::Transmit)).ok_or(BrokenRing)?;
                self.dropped += u64::from(answer.code != status::DONE);
                self.owners[number as usize] = Owner::Function;
                self.release(number);
            }
        }
        let Some(top) = self.free_count.checked_sub(1) else { return Ok(None) };
        let start = self.net.layout.buffers + u32::from(self.free[top]) * BUFFER + HEADROOM;
        Ok(Some(start..start + HEADER + u32::from(self.net.mtu)))
    }

    /// Sends the first `length` bytes of the [`room`](Self::room). One that is no frame of this network is dropped.
    pub fn send(&mut self, length: u32) {
        let Some(top) = self.free_count.checked_sub(1) else { return };
        let number = self.free[top];
        let offset = self.net.layout.buffers + u32::from(number) * BUFFER + HEADROOM;
        let entry = Entry { offset, length, ..Entry::default() };
        if self.net.frame(offset, length).is_some() && self.transmit.submit(entry) {
            self.free_count = top;
            self.owners[usize::from(number)] = Owner::Transmit;
            self.untold = true;
        } else {
            self.dropped += 1;
        }
    }

    /// Whether the host has to be asked to look: something was submitted, and it waits for that.
    pub fn must_tell(&mut self) -> bool {
        let untold = core::mem::take(&mut self.untold);
        untold && (self.transmit.host_waits() || self.receive.host_waits())
    }

    /// Whether there is a frame, or room again where there was none.
    pub fn has_something(&self) -> bool {
        self.receive.has_answers() || self.free_count == 0 && self.transmit.has_answers()
    }

    /// Whether there is room for a frame to send, or the host has said of some that it is done.
    pub fn has_room(&self) -> bool {
        self.free_count > 0 || self.transmit.has_answers()
    }

    /// Says whether the function waits: for frames, and where it has no room left, for that. When it begins to, it looks
    /// for both once more before it sleeps.
    pub fn set_waits(&self, waits: bool) {
        self.receive.set_waits(waits);
        self.transmit.set_waits(waits && self.free_count == 0);
    }

    fn owner(&self, number: u32) -> Option<Owner> {
        self.owners.get(number as usize).copied()
    }

    /// Gives a buffer to the host for a frame to come.
    fn offer(&mut self, number: u32) {
        let Some(buffer) = self.net.layout.buffer(number) else { return };
        let entry = Entry { offset: buffer.start, length: BUFFER, ..Entry::default() };
        if self.receive.submit(entry) {
            self.owners[number as usize] = Owner::Receive;
            self.untold = true;
        }
    }

    /// Makes a buffer free for a frame to send.
    fn release(&mut self, number: u32) {
        if let Some(place) = self.free.get_mut(self.free_count) {
            *place = number as u16;
            self.free_count += 1;
        }
    }
}
