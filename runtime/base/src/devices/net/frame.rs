//! What can be said of a frame at a glance.

use super::{
    packet::{Packet, TCP},
    syn::Syns,
};

/// The type of frames that ask for addresses.
const ARP: u16 = 0x0806;

/// What a frame is that has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Incoming {
    /// It has a type that is not served (IPv4, IPv6 and ARP are), headers whose lengths do not fit into it, a wrong checksum of
    /// IPv4, TCP, UDP, ICMP or ICMPv6, or it carries a part of a packet, which no function takes. The network stack need not
    /// look at the checksums of all others again; what else is wrong in a packet, it drops without a word.
    Malformed,
    /// The begin of a TCP connection that came before.
    RepeatedSyn,
    /// An answer of DNS or DHCP that lacks a part of its fixed header. Only its ports say what it is: it may as well be a
    /// datagram of another kind, for a socket of the function's own.
    CutAnswer,
    /// TCP's word of what has arrived, without data.
    PlainAck,
    /// Any other.
    Other,
}

impl Incoming {
    /// Looks at `frame`, which came `now` (in milliseconds), where these begins of connections came before.
    pub fn of(frame: &[u8], syns: &mut Syns, now: u64) -> Self {
        match Packet::of(frame) {
            Some(packet) if packet.is_right() => Self::of_packet(&packet, syns, now),
            None if asks(frame) => Self::Other,
            _ => Self::Malformed,
        }
    }

    fn of_packet(packet: &Packet<'_>, syns: &mut Syns, now: u64) -> Self {
        if packet.is_cut_answer() {
            Self::CutAnswer
        } else if segment(packet) == Some((ACK, 0)) {
            Self::PlainAck
        } else if syns.is_repeated(packet, now) {
            Self::RepeatedSyn
        } else {
            Self::Other
        }
    }
}

/// Whether a frame asks for an address of Ethernet by one of IPv4, or answers: 8 bytes, then two pairs of addresses.
fn asks(frame: &[u8]) -> bool {
    frame.split_first_chunk::<14>().is_some_and(|(header, packet)| {
        header[12..] == ARP.to_be_bytes() && packet.len() >= 28 && packet.starts_with(&[0, 1, 0x08, 0, 6, 4])
    })
}

/// Flags of TCP (RFC 9293, 3.1).
const RST: u8 = 4;
const ACK: u8 = 16;

/// Whether a frame carries TCP's word that there is no connection, or none any more (RFC 9293, 3.5.2).
pub fn is_reset(frame: &[u8]) -> bool {
    Packet::of(frame).and_then(|packet| segment(&packet)).is_some_and(|(flags, _)| flags & RST != 0)
}

/// The flags of TCP and the number of its data bytes; none where a packet has no TCP, or not its whole header.
fn segment(packet: &Packet<'_>) -> Option<(u8, usize)> {
    let tcp = Some(packet.content).filter(|_| packet.protocol == TCP)?;
    let data = tcp.len().checked_sub(usize::from(*tcp.get(12)? >> 4) * 4)?;
    Some((*tcp.get(13)?, data))
}

#[cfg(test)]
mod tests {
    use super::{
        super::packet::{IPV4, IPV6, tests},
        *,
    };

    fn incoming(frame: &[u8]) -> Incoming {
        Incoming::of(frame, &mut Syns::default(), 0)
    }

    fn is_well_formed(frame: &[u8]) -> bool {
        incoming(frame) != Incoming::Malformed
    }

    fn frame(kind: u16, packet: &[u8]) -> Vec<u8> {
        [&[0; 12][..], &kind.to_be_bytes(), packet].concat()
    }

    #[test]
    fn headers_fit_into_their_frame() {
        // Padding may follow a packet.
        let good = tests::ipv4(99, 0, &[0; 20]);
        assert!(is_well_formed(&good));
        for (at, wrong) in [(14, 0x44), (14, 0x55), (14, 0x4f), (17, 43), (17, 19), (12, 7)] {
            let mut frame = good.clone();
            frame[at] = wrong;
            assert!(!is_well_formed(&frame), "{at}: {wrong}");
        }
        let ipv6 = |first: u8, size: u16| {
            let mut packet = [0; 50];
            (packet[0], packet[6]) = (first, 99);
            packet[4..6].copy_from_slice(&size.to_be_bytes());
            is_well_formed(&frame(IPV6, &packet))
        };
        assert!(ipv6(0x60, 10) && ipv6(0x6f, 0) && !ipv6(0x60, 11) && !ipv6(0x40, 10));
        let mut arp = [0; 28];
        arp[..6].copy_from_slice(&[0, 1, 0x08, 0, 6, 4]);
        assert!(is_well_formed(&frame(ARP, &arp)) && !is_well_formed(&frame(ARP, &arp[..27])));
        arp[5] = 5;
        assert!(!is_well_formed(&frame(ARP, &arp)) && !is_well_formed(&frame(0x88cc, &[0; 40])));
        assert!(!is_well_formed(&[]) && !is_well_formed(&[0; 13]));
    }

    #[test]
    fn resets_are_told_from_other_segments() {
        let ipv4 = |protocol: u8, flags: u8, length: usize| {
            let mut packet = [0; 60];
            (packet[0], packet[9], packet[32], packet[33]) = (0x45, protocol, 0x50, flags);
            packet[3] = 40;
            frame(IPV4, &packet[..length])
        };
        assert!(is_reset(&ipv4(6, 0x14, 40)) && is_reset(&ipv4(6, 0x04, 40)));
        assert!(!is_reset(&ipv4(6, 0x12, 40)) && !is_reset(&ipv4(17, 0x14, 40)));
        assert!(!is_reset(&ipv4(6, 0x14, 33)) && !is_reset(&ipv4(6, 0x14, 5)));
        let mut packet = [0; 60];
        (packet[0], packet[5], packet[6], packet[52], packet[53]) = (0x60, 20, 6, 0x50, 0x14);
        assert!(is_reset(&frame(IPV6, &packet)) && !is_reset(&frame(ARP, &packet)) && !is_reset(&[0; 13]));
    }

    #[test]
    fn every_frame_that_comes_is_of_one_kind() {
        let addresses = [10, 0, 2, 2, 10, 0, 2, 15];
        let segment = |flags: u8, data: usize| {
            let mut segment = vec![0; 20 + data];
            (segment[12], segment[13]) = (0x50, flags);
            tests::ipv4(TCP, 0, &tests::checked(segment, 16, TCP, &addresses))
        };
        // Padding, which `tests::ipv4` puts behind, is no data.
        assert_eq!(incoming(&segment(ACK, 0)), Incoming::PlainAck);
        for (flags, data) in [(ACK, 1), (ACK | 1, 0), (2, 0), (RST, 0)] {
            assert_eq!(incoming(&segment(flags, data)), Incoming::Other, "{flags}, {data}");
        }
        let mut syns = Syns::default();
        let mut begin = || Incoming::of(&segment(2, 0), &mut syns, 0);
        assert_eq!([begin(), begin()], [Incoming::Other, Incoming::RepeatedSyn]);
        let answer = |size: u8| {
            let datagram = [&[0, 53, 40, 0, 0, 8 + size, 0, 0][..], &vec![0; usize::from(size)]].concat();
            incoming(&tests::ipv4(17, 0, &datagram))
        };
        assert_eq!([answer(11), answer(12)], [Incoming::CutAnswer, Incoming::Other]);
    }
}
