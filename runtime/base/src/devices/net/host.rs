//! The host's side of a network, with a card or a socket behind it.

use super::{Net, queue, status};
use crate::devices::{
    BrokenRing,
    buffers::BUFFER,
    queue::{Entry, HostSide},
};
use core::{ops::Range, sync::atomic::AtomicU64};

/// The most frames, and the most buffers, that a card may have at a time.
pub const TOKENS: usize = 256;

/// What sends and receives the frames: a network card, for instance. It works on ranges of the region, which are checked.
/// It has each of them from the call that hands it over to the one that returns its token.
pub trait Nic {
    /// Begins to send the frame that lies at `frame`; `lead` bytes before it are the card's to use. Returns a token below
    /// [`TOKENS`] that is not in use; none when there is no room now.
    fn transmit(&mut self, frame: Range<u32>, lead: u32) -> Option<u16>;
    /// A token of a frame that was sent, and whether it was.
    fn transmitted(&mut self, frame: impl FnOnce(u16) -> Option<Range<u32>>) -> Option<(u16, bool)>;
    /// Lends the card a whole buffer for a frame to come, likewise.
    fn lend(&mut self, buffer: Range<u32>) -> Option<u16>;
    /// A token of a buffer, and where the frame in it is; none when it comes back without one.
    fn received(
        &mut self,
        buffer: impl FnOnce(u16) -> Option<Range<u32>>,
    ) -> Option<(u16, Option<Range<u32>>)>;
}

/// The host's side.
#[derive(Debug)]
pub struct NetHost<'a> {
    net: Net,
    transmit: HostSide<'a>,
    receive: HostSide<'a>,
    /// What was taken and did not find room at the card.
    next_transmit: Option<Entry>,
    next_receive: Option<Entry>,
    /// What the card has, by token.
    sending: [Option<Entry>; TOKENS],
    lent: [Option<Entry>; TOKENS],
    broken: bool,
}

/// What there is to tell the function after [`NetHost::work`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Answered {
    transmit: bool,
    receive: bool,
}

impl<'a> NetHost<'a> {
    /// The side of a network that was not used yet. None where the queues lie outside of `region`.
    pub fn new(region: &'a [AtomicU64], net: Net) -> Option<Self> {
        let places = net.layout.queues();
        Some(Self {
            net,
            transmit: HostSide::new(region, places[queue::TRANSMIT])?,
            receive: HostSide::new(region, places[queue::RECEIVE])?,
            next_transmit: None,
            next_receive: None,
            sending: [None; TOKENS],
            lent: [None; TOKENS],
            broken: false,
        })
    }

    /// Whether the function has broken a queue: nothing is done any more then.
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    /// Moves all that can be moved between the queues and the card. Returns whether the function has to be signalled.
    pub fn work(&mut self, nic: &mut impl Nic) -> bool {
        if self.broken {
            return false;
        }
        let mut answered = Answered::default();
        self.broken = self.move_all(nic, &mut answered).is_err();
        answered.receive && self.receive.function_waits()
            || answered.transmit && self.transmit.function_waits()
    }

    /// Says whether the host waits for what is submitted. When it begins to, it [works](Self::work) once more before it
    /// sleeps.
    pub fn set_waits(&self, waits: bool) {
        self.transmit.set_waits(waits);
        self.receive.set_waits(waits);
    }

    fn move_all(&mut self, nic: &mut impl Nic, answered: &mut Answered) -> Result<(), BrokenRing> {
        answered.transmit |= self.take_transmitted(nic);
        answered.receive |= self.take_received(nic);
        answered.receive |= self.lend(nic)?;
        answered.transmit |= self.transmit(nic)?;
        Ok(())
    }

    fn take_transmitted(&mut self, nic: &mut impl Nic) -> bool {
        let (sending, mut any) = (&mut self.sending, false);
        while let Some((token, sent)) = nic.transmitted(|token| range(sending.get(usize::from(token)))) {
            let Some(entry) = sending.get_mut(usize::from(token)).and_then(Option::take) else { continue };
            let code = if sent { status::DONE } else { status::DROPPED };
            any |= self.transmit.answer(Entry { code, ..entry });
        }
        any
    }

    fn take_received(&mut self, nic: &mut impl Nic) -> bool {
        let (lent, mut any) = (&mut self.lent, false);
        while let Some((token, frame)) = nic.received(|token| range(lent.get(usize::from(token)))) {
            let Some(entry) = lent.get_mut(usize::from(token)).and_then(Option::take) else { continue };
            let length = |frame: &Range<u32>| frame.end.wrapping_sub(frame.start);
            let frame = frame.filter(|frame| {
                let number = self.net.frame(frame.start, length(frame));
                number.is_some() && number == self.net.layout.holds(entry.offset, 0)
            });
            let answer = match frame {
                Some(frame) => {
                    Entry { offset: frame.start, length: length(&frame), code: status::DONE, ..entry }
                }
                None => Entry { code: status::DROPPED, ..entry },
            };
            any |= self.receive.answer(answer);
        }
        any
    }

    fn lend(&mut self, nic: &mut impl Nic) -> Result<bool, BrokenRing> {
        let mut any = false;
        loop {
            let Some(entry) =
                self.next_receive.take().map_or_else(|| self.receive.take(), |next| Ok(Some(next)))?
            else {
                return Ok(any);
            };
            let whole = entry.length == BUFFER && self.net.layout.holds(entry.offset, BUFFER).is_some();
            if !whole {
                any |= self.receive.answer(Entry { code: status::DROPPED, ..entry });
                continue;
            }
            match nic.lend(entry.offset..entry.offset + BUFFER) {
                Some(token) => keep(&mut self.lent, token, entry),
                None => {
                    self.next_receive = Some(entry);
                    return Ok(any);
                }
            }
        }
    }

    fn transmit(&mut self, nic: &mut impl Nic) -> Result<bool, BrokenRing> {
        let mut any = false;
        loop {
            let Some(entry) =
                self.next_transmit.take().map_or_else(|| self.transmit.take(), |next| Ok(Some(next)))?
            else {
                return Ok(any);
            };
            let Entry { offset, length, .. } = entry;
            let start = self.net.frame(offset, length).and_then(|number| self.net.layout.buffer(number));
            let lead = start.map_or(0, |buffer| offset - buffer.start);
            if lead < super::HEADROOM {
                any |= self.transmit.answer(Entry { code: status::DROPPED, ..entry });
                continue;
            }
            match nic.transmit(offset..offset + length, lead) {
                Some(token) => keep(&mut self.sending, token, entry),
                None => {
                    self.next_transmit = Some(entry);
                    return Ok(any);
                }
            }
        }
    }
}

fn range(entry: Option<&Option<Entry>>) -> Option<Range<u32>> {
    entry.copied().flatten().map(|entry| entry.offset..entry.offset + entry.length)
}

/// A token that is too large would be the card's mistake: its entry never gets an answer then.
fn keep(place: &mut [Option<Entry>], token: u16, entry: Entry) {
    if let Some(place) = place.get_mut(usize::from(token)) {
        *place = Some(entry);
    }
}
