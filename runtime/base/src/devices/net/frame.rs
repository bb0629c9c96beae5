//! What can be said of a frame at a glance: whether its headers fit into it.

/// The types of frames that a function takes.
const IPV4: u16 = 0x0800;
const ARP: u16 = 0x0806;
const IPV6: u16 = 0x86dd;

/// Whether a frame has a type that is served (IPv4, IPv6, ARP), and headers whose lengths fit into it. Checksums, and what
/// lies in a packet, are not looked at: the network stack drops what is wrong there by itself, without a word.
pub fn is_well_formed(frame: &[u8]) -> bool {
    let Some((header, packet)) = frame.split_first_chunk::<14>() else { return false };
    match u16::from_be_bytes([header[12], header[13]]) {
        IPV4 => ipv4(packet),
        IPV6 => ipv6(packet),
        // For Ethernet and IPv4: 8 bytes, then two pairs of addresses.
        ARP => packet.len() >= 28 && packet.starts_with(&[0, 1, 0x08, 0, 6, 4]),
        _ => false,
    }
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
    const TCP: u8 = 6;
    let (header, packet) = frame.split_first_chunk::<14>()?;
    let word = |at: usize| Some(usize::from(u16::from_be_bytes([*packet.get(at)?, *packet.get(at + 1)?])));
    let (protocol, header_size, size) = match u16::from_be_bytes([header[12], header[13]]) {
        IPV4 => (packet.get(9)?, usize::from(packet.first()? & 0x0f) * 4, word(2)?),
        IPV6 => (packet.get(6)?, 40, 40 + word(4)?),
        _ => return None,
    };
    let tcp = packet.get(header_size..).filter(|_| *protocol == TCP)?;
    let data = size.checked_sub(header_size + usize::from(*tcp.get(12)? >> 4) * 4)?;
    Some((*tcp.get(13)?, data))
}

fn ipv4(packet: &[u8]) -> bool {
    let Some(header) = packet.first_chunk::<20>() else { return false };
    let header_size = usize::from(header[0] & 0x0f) * 4;
    let size = usize::from(u16::from_be_bytes([header[2], header[3]]));
    header[0] >> 4 == 4 && header_size >= 20 && (header_size..=packet.len()).contains(&size)
}

fn ipv6(packet: &[u8]) -> bool {
    let Some(header) = packet.first_chunk::<40>() else { return false };
    let size = 40 + usize::from(u16::from_be_bytes([header[4], header[5]]));
    header[0] >> 4 == 6 && size <= packet.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u16, packet: &[u8]) -> Vec<u8> {
        [&[0; 12][..], &kind.to_be_bytes(), packet].concat()
    }

    #[test]
    fn headers_fit_into_their_frame() {
        let ipv4 = |first: u8, size: u16, length: usize| {
            let mut packet = vec![0; length];
            packet[0] = first;
            packet[2..4].copy_from_slice(&size.to_be_bytes());
            is_well_formed(&frame(IPV4, &packet))
        };
        // Padding may follow a packet.
        assert!(ipv4(0x45, 20, 46) && ipv4(0x46, 24, 24));
        assert!(!ipv4(0x45, 47, 46) && !ipv4(0x44, 46, 46) && !ipv4(0x55, 46, 46) && !ipv4(0x4f, 46, 46));
        assert!(!ipv4(0x45, 19, 46) && !ipv4(0x45, 19, 19));
        let ipv6 = |first: u8, size: u16| {
            let mut packet = [0; 50];
            packet[0] = first;
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
