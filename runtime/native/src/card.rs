//! The function's side of its network, as the network stack wants it.

use crate::{time, wake};
use core::{
    cell::{Cell, RefCell},
    future::{Future, poll_fn},
    ops::Range,
    pin::pin,
    task::{Context, Poll, Waker},
};
use embassy_net_driver::{Capabilities, Checksum, Driver, HardwareAddress, LinkState, RxToken, TxToken};
use selkie::device::{self, Device};
use selkie_base::devices::{
    net::{HEADER, Incoming, Net, NetFunction, Syns, is_reset},
    request,
};

/// A network, and what is known of what went over it.
pub(crate) struct Card {
    device: Device,
    function: RefCell<NetFunction<'static>>,
    /// A frame that has come and that those behind it go before.
    held: Cell<Option<Range<u32>>>,
    /// The network stack, to be woken when there is something.
    waker: RefCell<Option<Waker>>,
    broken: Cell<bool>,
    /// The stack knows that the link is up. It starts over when it is told so: what it sent before, a first question to
    /// DHCP for instance, would be answered in vain.
    up: Cell<bool>,
    /// Somebody has found no room to send. The stack asks its sockets in turn, always from the first one on: were frames to
    /// come before all have sent what they have, the first ones would have more to send by them, and the last ones none ever.
    starved: Cell<bool>,
    pub(crate) received: Cell<u64>,
    pub(crate) sent: Cell<u64>,
    pub(crate) malformed: Cell<u64>,
    /// Begins of connections that came more than once.
    pub(crate) repeated: Cell<u64>,
    syns: RefCell<Syns>,
    /// Resets of TCP that were sent.
    pub(crate) resets: Cell<u64>,
}

impl Card {
    /// The function's side of `device`, which was not used yet; none where its entry is not that of a network.
    pub(crate) fn new(device: Device) -> Option<Self> {
        let net = Net::of(&device).ok()?;
        if !wake::signals(&device) {
            return None;
        }
        // SAFETY: `Net::of` has checked size and alignment, and the device is this function's alone.
        let region = unsafe { device::region(&device)? };
        let (zero, function) = (Cell::new(0), RefCell::new(NetFunction::new(region, net)?));
        let (waker, no) = (RefCell::new(None), Cell::new(false));
        Some(Self {
            device,
            function,
            held: Cell::new(None),
            waker,
            broken: no.clone(),
            up: no.clone(),
            starved: no,
            received: zero.clone(),
            sent: zero.clone(),
            malformed: zero.clone(),
            repeated: zero.clone(),
            syns: RefCell::default(),
            resets: zero,
        })
    }

    /// Whether the host broke the rules, or does not answer: the network is not used any more.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken.get()
    }

    /// Frames and buffers that came back without having been sent or filled.
    pub(crate) fn dropped(&self) -> u64 {
        self.function.borrow().dropped()
    }

    /// The next frame that the stack gets. An acknowledgement without data comes after the data that is there behind it:
    /// smoltcp drops data whose acknowledgement is older than what it has seen (its issue 12), and passt puts the newest
    /// one in front of data that it has put together before.
    fn receive(&self) -> Option<Range<u32>> {
        loop {
            let Some((frame, kind)) = self.next() else { return self.held.take() };
            if kind != Incoming::PlainAck {
                return Some(frame);
            }
            if let Some(held) = self.held.replace(Some(frame)) {
                return Some(held);
            }
        }
    }

    /// The next frame that has come and that can be read, and what it is.
    fn next(&self) -> Option<(Range<u32>, Incoming)> {
        loop {
            let frame = self.good(self.function.borrow_mut().receive())?;
            self.received.set(self.received.get() + 1);
            // SAFETY: the frame lies in a buffer that the function has until it gives it back.
            let bytes = unsafe { self.bytes(frame.clone()) };
            let kind = Incoming::of(bytes, &mut self.syns.borrow_mut(), time::now() / 1000);
            let (count, is_dropped) = match kind {
                Incoming::Malformed => (Some(&self.malformed), true),
                Incoming::RepeatedSyn => (Some(&self.repeated), true),
                // The stack drops it where no socket of the function's own takes it.
                Incoming::CutAnswer => (Some(&self.malformed), false),
                Incoming::PlainAck | Incoming::Other => (None, false),
            };
            if let Some(count) = count {
                count.set(count.get() + 1);
            }
            if !is_dropped {
                return Some((frame, kind));
            }
            self.function.borrow_mut().give_back(frame);
        }
    }

    /// Runs the network stack, but not while the host has all buffers for frames to send: the stack has itself woken at once
    /// as long as it has something to send, which would be forever where nobody takes it, and could neither send nor receive.
    pub(crate) async fn run(&'static self, stack: impl Future) {
        let mut stack = pin!(stack);
        poll_fn(|cx| {
            if self.is_full() {
                self.wait(cx);
                return Poll::Pending;
            }
            stack.as_mut().poll(cx).map(drop)
        })
        .await
    }

    /// Room for a frame to send, unless the host has all of it.
    fn room(&'static self) -> Option<Room> {
        if self.is_broken() || !self.up.get() {
            return None;
        }
        let room = self.good(self.function.borrow_mut().room());
        room.map(|range| Room(self, range))
    }

    /// Whether the host has all buffers for frames to send.
    fn is_full(&self) -> bool {
        self.good(self.function.borrow_mut().room()).is_none() && !self.is_broken()
    }

    /// Has the stack woken when something has come, or there is room again where there was none.
    fn wait(&self, cx: &Context<'_>) {
        *self.waker.borrow_mut() = Some(cx.waker().clone());
    }

    fn good<T>(&self, result: Result<Option<T>, selkie_base::devices::BrokenRing>) -> Option<T> {
        result.unwrap_or_else(|_| {
            self.broken.set(true);
            None
        })
    }

    /// # Safety
    /// The range is that of a frame in a buffer that the function has and nobody else uses meanwhile.
    #[allow(clippy::mut_from_ref)] // The buffers are none of the card's own memory.
    unsafe fn bytes(&self, range: Range<u32>) -> &mut [u8] {
        // SAFETY: the caller's.
        unsafe { device::buffer(&self.device, range) }
    }
}

impl wake::Port for Card {
    fn tell(&self) {
        let must = self.function.borrow_mut().must_tell();
        if must && !self.is_broken() && device::request(&self.device, request::QUEUE_LOOK).is_err() {
            self.broken.set(true);
        }
    }

    fn set_waits(&self, waits: bool) {
        self.function.borrow().set_waits(waits);
    }

    fn wake(&self) -> bool {
        let function = self.function.borrow();
        // The stack takes no frame that it could not answer.
        let something = !self.is_broken() && function.has_room() && function.has_something();
        if something && let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
        something
    }
}

/// The card, for the network stack.
pub(crate) struct Port(pub(crate) &'static Card);

impl Driver for Port {
    type RxToken<'a> = Received;
    type TxToken<'a> = Room;

    fn receive(&mut self, cx: &mut Context<'_>) -> Option<(Received, Room)> {
        if self.0.starved.replace(false) {
            // The stack is run once more, since nobody else has it woken.
            cx.waker().wake_by_ref();
            return None;
        }
        // A frame is taken only where an answer to it could be sent.
        let tokens = self.0.room().and_then(|room| Some((Received(self.0, self.0.receive()?), room)));
        if tokens.is_none() {
            self.0.wait(cx);
        }
        tokens
    }

    fn transmit(&mut self, cx: &mut Context<'_>) -> Option<Room> {
        let room = self.0.room();
        if room.is_none() {
            self.0.starved.set(self.0.is_full());
            self.0.wait(cx);
        }
        room
    }

    fn link_state(&mut self, _: &mut Context<'_>) -> LinkState {
        if self.0.is_broken() {
            return LinkState::Down;
        }
        if !self.0.up.replace(true)
            && let Some(waker) = self.0.waker.take()
        {
            waker.wake();
        }
        LinkState::Up
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        let mtu = self.0.function.borrow().net().mtu;
        capabilities.max_transmission_unit = usize::from(mtu) + HEADER as usize;
        // `Incoming` has looked at the checksums of what comes.
        let sums = &mut capabilities.checksum;
        (sums.ipv4, sums.tcp, sums.udp) = (Checksum::Tx, Checksum::Tx, Checksum::Tx);
        (sums.icmpv4, sums.icmpv6) = (Checksum::Tx, Checksum::Tx);
        capabilities
    }

    fn hardware_address(&self) -> HardwareAddress {
        HardwareAddress::Ethernet(self.0.function.borrow().net().mac)
    }
}

/// A frame that has come.
pub(crate) struct Received(&'static Card, Range<u32>);

impl RxToken for Received {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, f: F) -> R {
        // SAFETY: the frame's buffer is the function's until it is given back.
        let result = f(unsafe { self.0.bytes(self.1.clone()) });
        self.0.function.borrow_mut().give_back(self.1);
        result
    }
}

/// Room for a frame.
pub(crate) struct Room(&'static Card, Range<u32>);

impl TxToken for Room {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, f: F) -> R {
        let Range { start, end } = self.1;
        // The stack knows how long a frame may be.
        let length = length.min((end - start) as usize) as u32;
        // SAFETY: the buffer is the function's until it is sent.
        let bytes = unsafe { self.0.bytes(start..start + length) };
        let result = f(bytes);
        self.0.resets.set(self.0.resets.get() + u64::from(is_reset(bytes)));
        self.0.function.borrow_mut().send(length);
        self.0.sent.set(self.0.sent.get() + 1);
        result
    }
}
