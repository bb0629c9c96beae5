//! The network: frames of the root task's queues on a socket, each after its length, four bytes in network byte order.
//! QEMU speaks like this over stream sockets, and so does passt.

use crate::{
    region,
    state::Place,
    syscall::{Errno, syscall},
};
use core::{cell::UnsafeCell, ops::Range, sync::atomic::AtomicU64};
use linux_raw_sys::{errno, general};
use selkie_base::devices::net::{HEADER, NetHost, Nic, TOKENS};
use selkie_tender_filter::MAX_FRAMES;
use selkie_tender_model::Moved;
use selkie_tender_setup::NET;

/// Bytes that are kept of what comes, and of what goes.
const BUFFER: usize = MAX_FRAMES as usize;
/// Bytes of a frame's length.
const PREFIX: usize = 4;

/// The network of the root task.
#[derive(Debug)]
pub(crate) struct Link {
    host: &'static mut NetHost<'static>,
    socket: Socket,
}

impl Link {
    /// A link between `region`, in which nothing was submitted yet, and a socket that does not wait.
    #[inline(never)] // Those without a network need less of the stack.
    pub(crate) fn new(region: &'static [AtomicU64], descriptor: i32) -> Option<Self> {
        // Apart from what every process writes to.
        #[unsafe(link_section = ".link")]
        static HOST: Place<NetHost<'static>> = Place::new();
        #[unsafe(link_section = ".link")]
        static INCOMING: Bytes = Bytes(UnsafeCell::new([0; BUFFER]));
        #[unsafe(link_section = ".link")]
        static OUTGOING: Bytes = Bytes(UnsafeCell::new([0; BUFFER]));
        let host = NetHost::new(region, NET)?;
        // It only works when it is called, and says so once and for all.
        host.set_waits(true);
        // SAFETY: there is one link.
        let (host, incoming, outgoing) =
            unsafe { (HOST.put(host), &mut *INCOMING.0.get(), &mut *OUTGOING.0.get()) };
        let socket = Socket {
            descriptor,
            closed: false,
            readable: true,
            region,
            sent: 0,
            lent: [0; TOKENS],
            free: core::array::from_fn(|token| token as u16),
            lent_count: 0,
            incoming,
            filled: 0..0,
            outgoing,
            kept: 0,
        };
        Some(Self { host, socket })
    }

    /// There may be something to read, or room to write.
    pub(crate) fn wake(&mut self) {
        self.socket.readable = true;
    }

    /// Moves all frames that can be moved.
    pub(crate) fn work(&mut self) -> Moved {
        let mut signal = self.host.work(&mut self.socket);
        // What was sent is answered, and buffers that were lent are filled, by another turn.
        while self.socket.has_more() && !self.host.is_broken() {
            signal |= self.host.work(&mut self.socket);
        }
        self.socket.flush();
        Moved { signal, broken: self.host.is_broken() }
    }
}

/// Bytes that take no memory before they are used.
struct Bytes(UnsafeCell<[u8; BUFFER]>);

// SAFETY: the process has one thread, and signal handlers use none of this.
unsafe impl Sync for Bytes {}

/// The socket, as a card.
#[derive(Debug)]
struct Socket {
    descriptor: i32,
    /// The other end is gone, or does not speak as it should.
    closed: bool,
    /// The socket may have more.
    readable: bool,
    region: &'static [AtomicU64],
    /// How many frames were taken and are not answered yet: their tokens are the numbers below.
    sent: u16,
    /// Tokens of buffers that are lent, the oldest first; and those that are free, as a stack.
    lent: [u16; TOKENS],
    free: [u16; TOKENS],
    lent_count: usize,
    incoming: &'static mut [u8; BUFFER],
    /// What of `incoming` was read and not taken.
    filled: Range<usize>,
    outgoing: &'static mut [u8; BUFFER],
    /// How much of `outgoing` is still to be written.
    kept: usize,
}

impl Socket {
    /// Whether another turn would move something.
    fn has_more(&mut self) -> bool {
        self.sent > 0 || self.lent_count > 0 && self.next_frame().is_some()
    }

    /// Where the next whole frame lies in `incoming`. Reads more when there is none.
    fn next_frame(&mut self) -> Option<Range<usize>> {
        loop {
            let there = &self.incoming[self.filled.clone()];
            if let Some((prefix, rest)) = there.split_first_chunk::<PREFIX>() {
                let size = u32::from_be_bytes(*prefix) as usize;
                if size > BUFFER - PREFIX {
                    self.close();
                    return None;
                }
                if size <= rest.len() {
                    let start = self.filled.start + PREFIX;
                    return Some(start..start + size);
                }
            }
            if !self.read() {
                return None;
            }
        }
    }

    /// Reads what has come; whether there was something.
    fn read(&mut self) -> bool {
        if self.closed || !self.readable {
            return false;
        }
        self.incoming.copy_within(self.filled.clone(), 0);
        self.filled = 0..self.filled.len();
        let room = &mut self.incoming[self.filled.end..];
        let place = room.as_mut_ptr().expose_provenance() as u64;
        // SAFETY: as many bytes as there is room for are written to it.
        match unsafe { syscall(general::__NR_read, [self.descriptor as u64, place, room.len() as u64]) } {
            Ok(count @ 1..) => {
                self.filled.end += count as usize;
                true
            }
            Err(Errno(errno::EINTR)) => true,
            Err(Errno(errno::EAGAIN)) => {
                self.readable = false;
                false
            }
            Ok(0) | Err(_) => {
                self.close();
                false
            }
        }
    }

    /// Writes what was kept, as far as the socket takes it.
    fn flush(&mut self) {
        let mut done = 0;
        while !self.closed && done < self.kept {
            let rest = &self.outgoing[done..self.kept];
            let place = rest.as_ptr().expose_provenance() as u64;
            // SAFETY: the bytes are only read.
            match unsafe { syscall(general::__NR_write, [self.descriptor as u64, place, rest.len() as u64]) }
            {
                Ok(count) => done += count as usize,
                Err(Errno(errno::EINTR)) => {}
                Err(Errno(errno::EAGAIN)) => break,
                Err(_) => self.close(),
            }
        }
        if !self.closed {
            self.outgoing.copy_within(done..self.kept, 0);
            self.kept -= done;
        }
    }

    /// The network is gone: what is sent from now on is dropped.
    fn close(&mut self) {
        self.closed = true;
        (self.filled, self.kept) = (0..0, 0);
    }
}

impl Nic for Socket {
    fn transmit(&mut self, frame: Range<u32>, _: u32) -> Option<u16> {
        let size = frame.len();
        if usize::from(self.sent) == TOKENS {
            return None;
        }
        if !self.closed && self.kept + PREFIX + size > BUFFER {
            self.flush();
        }
        if !self.closed {
            let from = region::bytes(self.region, frame)?;
            let place = self.outgoing.get_mut(self.kept..)?.get_mut(..PREFIX + size)?;
            let (prefix, bytes) = place.split_at_mut(PREFIX);
            prefix.copy_from_slice(&(size as u32).to_be_bytes());
            // SAFETY: the region has these bytes, and `bytes` has as many.
            unsafe { from.copy_to_nonoverlapping(bytes.as_mut_ptr(), size) };
            self.kept += PREFIX + size;
        }
        self.sent += 1;
        Some(self.sent - 1)
    }

    fn transmitted(&mut self, _: impl FnOnce(u16) -> Option<Range<u32>>) -> Option<(u16, bool)> {
        self.sent = self.sent.checked_sub(1)?;
        Some((self.sent, !self.closed))
    }

    fn lend(&mut self, _: Range<u32>) -> Option<u16> {
        let place = self.lent.get_mut(self.lent_count)?;
        *place = self.free[self.lent_count];
        self.lent_count += 1;
        Some(*place)
    }

    fn received(
        &mut self,
        buffer: impl FnOnce(u16) -> Option<Range<u32>>,
    ) -> Option<(u16, Option<Range<u32>>)> {
        if self.lent_count == 0 {
            return None;
        }
        let sizes = HEADER as usize..=(HEADER + u32::from(NET.mtu)) as usize;
        let frame = loop {
            let frame = self.next_frame()?;
            self.filled.start = frame.end;
            // What is no frame of this network is dropped.
            if sizes.contains(&frame.len()) {
                break frame;
            }
        };
        // The last one that was lent: all of them are alike.
        self.lent_count -= 1;
        let token = self.lent[self.lent_count];
        self.free[self.lent_count] = token;
        let place = buffer(token).and_then(|buffer| {
            let place = buffer.start..buffer.start + frame.len() as u32;
            (place.end <= buffer.end).then_some(place)
        });
        let to = place.clone().and_then(|place| region::bytes(self.region, place));
        if let Some(to) = to {
            let bytes = &self.incoming[frame.clone()];
            // SAFETY: the region has as many bytes there, and nobody has a reference to them.
            unsafe { to.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        }
        Some((token, to.and(place)))
    }
}
