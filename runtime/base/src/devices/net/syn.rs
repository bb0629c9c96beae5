//! Begins of TCP connections that come more than once, because the network doubled them or the answer was lost.
//!
//! A network stack whose sockets listen one by one takes the second for that of another connection when a socket that
//! listens is asked before the one that has the connection (smoltcp does so), and answers with other numbers than
//! before: the client then breaks the connection off. So the second one is dropped here; the socket that has the
//! connection repeats its answer by itself.

use super::packet::{Packet, TCP};

/// How many begins are remembered.
const PLACES: usize = 256;
/// For how long, in milliseconds: a socket waits no longer for the second word of a client.
const MEMORY: u64 = 5_000;

/// What tells begins apart: addresses, ports, the first number (RFC 9293, 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Syn {
    addresses: [[u8; 16]; 2],
    ports: [u8; 4],
    number: [u8; 4],
}

/// The begins that have come lately.
#[derive(Debug)]
pub struct Syns {
    /// Each with when it is forgotten.
    seen: [(u64, Syn); PLACES],
    next: usize,
}

impl Default for Syns {
    fn default() -> Self {
        Self { seen: [(0, Syn::default()); PLACES], next: 0 }
    }
}

impl Syns {
    /// Whether `packet` begins a connection that another one began lately. `now` is in milliseconds.
    pub(super) fn is_repeated(&mut self, packet: &Packet<'_>, now: u64) -> bool {
        let Some(syn) = Syn::of(packet) else { return false };
        if self.seen.iter().any(|(until, seen)| *until > now && *seen == syn) {
            return true;
        }
        // The oldest makes room.
        self.seen[self.next] = (now + MEMORY, syn);
        self.next = (self.next + 1) % PLACES;
        false
    }
}

impl Syn {
    /// The begin of a connection that a packet is.
    fn of(packet: &Packet<'_>) -> Option<Self> {
        let tcp = packet.content.first_chunk::<20>().filter(|_| packet.protocol == TCP)?;
        let flags = tcp[13] & (FIN | SYN | RST | ACK);
        let ports = [tcp[0], tcp[1], tcp[2], tcp[3]];
        let number = [tcp[4], tcp[5], tcp[6], tcp[7]];
        let mut addresses = [[0; 16]; 2];
        for (place, address) in addresses.iter_mut().zip(packet.addresses.chunks(packet.addresses.len() / 2))
        {
            place[..address.len()].copy_from_slice(address);
        }
        (flags == SYN).then_some(Self { addresses, ports, number })
    }
}

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

#[cfg(test)]
mod tests {
    use super::{
        super::packet::{IPV6, tests},
        *,
    };

    /// A segment that begins a connection from `port`, with `flags`.
    fn segment(port: u16, number: u32, flags: u8) -> Vec<u8> {
        let mut segment = vec![0; 24];
        segment[..2].copy_from_slice(&port.to_be_bytes());
        segment[2..4].copy_from_slice(&80u16.to_be_bytes());
        segment[4..8].copy_from_slice(&number.to_be_bytes());
        segment[12] = 6 << 4;
        segment[13] = flags;
        segment
    }

    fn over_ipv4(segment: Vec<u8>) -> Vec<u8> {
        tests::ipv4(TCP, 0x4000, &tests::checked(segment, 16, TCP, &[10, 0, 2, 2, 10, 0, 2, 15]))
    }

    fn over_ipv6(segment: Vec<u8>) -> Vec<u8> {
        let addresses: Vec<u8> = (0..32).collect();
        let segment = tests::checked(segment, 16, TCP, &addresses);
        let header = [0x60, 0, 0, 0, 0, segment.len() as u8, TCP, 64];
        [&[0; 12][..], &IPV6.to_be_bytes(), &header, &addresses, &segment].concat()
    }

    fn is_repeated(syns: &mut Syns, frame: &[u8], now: u64) -> bool {
        syns.is_repeated(&Packet::of(frame).unwrap(), now)
    }

    #[test]
    fn a_begin_that_comes_again_soon_is_known() {
        for over in [over_ipv4, over_ipv6] {
            let mut syns = Syns::default();
            let first = over(segment(4711, 1, SYN));
            assert!(!is_repeated(&mut syns, &first, 0));
            assert!(is_repeated(&mut syns, &first, 0) && is_repeated(&mut syns, &first, MEMORY - 1));
            assert!(!is_repeated(&mut syns, &first, MEMORY), "it is forgotten");
            assert!(!is_repeated(&mut syns, &over(segment(4712, 1, SYN)), MEMORY), "another port");
            assert!(
                !is_repeated(&mut syns, &over(segment(4711, 2, SYN)), MEMORY),
                "another connection from this port"
            );
        }
    }

    #[test]
    fn what_begins_nothing_is_never_known() {
        let mut syns = Syns::default();
        for flags in [ACK, SYN | ACK, SYN | RST, FIN | ACK, 0] {
            let frame = over_ipv4(segment(4711, 1, flags));
            assert!(!is_repeated(&mut syns, &frame, 0) && !is_repeated(&mut syns, &frame, 0), "{flags}");
        }
        // Nor is a segment without its whole header.
        let short = tests::ipv4(TCP, 0, &segment(4711, 1, SYN)[..19]);
        assert!(!is_repeated(&mut syns, &short, 0) && !is_repeated(&mut syns, &short, 0));
    }

    #[test]
    fn the_oldest_is_forgotten_when_there_are_many() {
        let mut syns = Syns::default();
        let frames: Vec<_> = (0..=PLACES as u16).map(|port| over_ipv4(segment(port, 1, SYN))).collect();
        assert!(frames.iter().all(|frame| !is_repeated(&mut syns, frame, 0)));
        assert!(frames[1..].iter().all(|frame| is_repeated(&mut syns, frame, 0)));
        assert!(!is_repeated(&mut syns, &frames[0], 0));
    }
}
