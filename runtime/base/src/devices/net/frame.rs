//! What can be said of a frame at a glance.

use super::packet::{Packet, TCP};

/// The type of frames that ask for addresses.
const ARP: u16 = 0x0806;

/// Whether a frame has a type that is served (IPv4, IPv6, ARP), headers whose lengths fit into it, and the checksums of IPv4,
/// TCP, UDP, ICMP and ICMPv6 that it should have. Nothing can be said of a part of a packet, and no function takes any.
/// The network stack need not look at checksums again; what else is wrong in a packet, it drops without a word.
pub fn is_well_formed(frame: &[u8]) -> bool {
    // For Ethernet and IPv4: 8 bytes, then two pairs of addresses.
    let asks = |packet: &[u8]| packet.len() >= 28 && packet.starts_with(&[0, 1, 0x08, 0, 6, 4]);
    match frame.split_first_chunk::<14>() {
        Some((header, packet)) if header[12..] == ARP.to_be_bytes() => asks(packet),
        _ => Packet::of(frame).is_some_and(|packet| packet.is_right()),
    }
}

/// Whether a frame carries an answer of DNS or DHCP that lacks a part of its fixed header. Only its ports say what it is: it
/// may as well be a datagram of another kind, for a socket of the function's own.
pub fn is_cut_answer(frame: &[u8]) -> bool {
    Packet::of(frame).is_some_and(|packet| packet.is_cut_answer())
}

/// Flags of TCP (RFC 9293, 3.1).
const RST: u8 = 4;
const ACK: u8 = 16;

/// Whether a frame carries TCP's word that there is no connection, or none any more (RFC 9293, 3.5.2).
pub fn is_reset(frame: &[u8]) -> bool {
    segment(frame).is_some_and(|(flags, _)| flags & RST != 0)
}

/// Whether a frame carries nothing but TCP's word of what has arrived.
pub fn is_plain_ack(frame: &[u8]) -> bool {
    segment(frame) == Some((ACK, 0))
}

/// The flags of TCP and the number of its data bytes; none where a frame has no TCP, or not its whole header.
fn segment(frame: &[u8]) -> Option<(u8, usize)> {
    let packet = Packet::of(frame).filter(|packet| packet.protocol == TCP)?;
    let tcp = packet.content;
    let data = tcp.len().checked_sub(usize::from(*tcp.get(12)? >> 4) * 4)?;
    Some((*tcp.get(13)?, data))
}

#[cfg(test)]
mod tests {
    use super::{
        super::packet::{IPV4, IPV6, tests},
        *,
    };

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
    fn a_reset_and_an_ack_without_data_are_told_from_other_segments() {
        let ipv4 = |protocol: u8, flags: u8, data: u8, length: usize| {
            let mut packet = [0; 60];
            (packet[0], packet[9], packet[32], packet[33]) = (0x45, protocol, 0x50, flags);
            packet[3] = 40 + data;
            frame(IPV4, &packet[..length])
        };
        assert!(is_reset(&ipv4(6, 0x14, 0, 40)) && is_reset(&ipv4(6, 0x04, 0, 40)));
        assert!(!is_reset(&ipv4(6, 0x12, 0, 40)) && !is_reset(&ipv4(17, 0x14, 0, 40)));
        assert!(!is_reset(&ipv4(6, 0x14, 0, 33)) && !is_reset(&ipv4(6, 0x14, 0, 5)));
        // Padding is no data.
        assert!(is_plain_ack(&ipv4(6, 0x10, 0, 40)) && is_plain_ack(&ipv4(6, 0x10, 0, 46)));
        assert!(!is_plain_ack(&ipv4(6, 0x10, 1, 41)) && !is_plain_ack(&ipv4(6, 0x11, 0, 40)));
        let mut packet = [0; 60];
        (packet[0], packet[5], packet[6], packet[52], packet[53]) = (0x60, 20, 6, 0x50, 0x14);
        assert!(is_reset(&frame(IPV6, &packet)) && !is_reset(&frame(ARP, &packet)) && !is_reset(&[0; 13]));
        packet[53] = 0x10;
        assert!(is_plain_ack(&frame(IPV6, &packet)));
    }
}
