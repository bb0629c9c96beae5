//! What a frame of IPv4 or IPv6 carries, and whether its checksums are right.

/// The types of frames that carry IP.
pub(super) const IPV4: u16 = 0x0800;
pub(super) const IPV6: u16 = 0x86dd;

/// Protocols over IP.
pub(super) const TCP: u8 = 6;
const ICMP: u8 = 1;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;
/// The header of IPv6 that may stand between its first one and the protocol's; the one of a part of a packet.
const HOP_BY_HOP: u8 = 0;
const FRAGMENT: u8 = 44;

/// The port of name servers; those of DHCP.
const DNS: u16 = 53;
const DHCP_SERVER: u16 = 67;
const DHCP_CLIENT: u16 = 68;

/// A packet of IP whose headers fit into its frame.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Packet<'a> {
    /// The header of IPv4, which has a checksum of its own; empty with IPv6.
    header: &'a [u8],
    /// From where, then to where.
    pub(super) addresses: &'a [u8],
    pub(super) protocol: u8,
    /// What follows IP's headers.
    pub(super) content: &'a [u8],
    /// It is a part of a packet.
    is_part: bool,
}

impl<'a> Packet<'a> {
    /// The packet that a frame carries; none where it is of another type, or not whole.
    pub(super) fn of(frame: &'a [u8]) -> Option<Self> {
        let (header, packet) = frame.split_first_chunk::<14>()?;
        match u16::from_be_bytes([header[12], header[13]]) {
            IPV4 => Self::ipv4(packet),
            IPV6 => Self::ipv6(packet),
            _ => None,
        }
    }

    fn ipv4(packet: &'a [u8]) -> Option<Self> {
        let size = usize::from(packet.first()? & 0x0f) * 4;
        // Padding may follow.
        let packet = packet.get(..usize::from(word(packet, 2)?))?;
        let (header, content) = packet.split_at_checked(size)?;
        let addresses = header.get(12..20).filter(|_| header[0] >> 4 == 4)?;
        let is_part = word(header, 6)? & 0x3fff != 0;
        Some(Self { header, addresses, protocol: header[9], content, is_part })
    }

    fn ipv6(packet: &'a [u8]) -> Option<Self> {
        let header = packet.first_chunk::<40>().filter(|header| header[0] >> 4 == 6)?;
        let mut content = packet.get(40..40 + usize::from(word(header, 4)?))?;
        let mut protocol = header[6];
        if protocol == HOP_BY_HOP {
            let size = 8 + usize::from(*content.get(1)?) * 8;
            protocol = content[0];
            content = content.get(size..)?;
        }
        let addresses = packet.get(8..40)?;
        Some(Self { header: &[], addresses, protocol, content, is_part: protocol == FRAGMENT })
    }

    /// Whether it is a whole one, its checksums are right, and what it carries has room for its own header.
    pub(super) fn is_right(&self) -> bool {
        let over_ipv4 = !self.header.is_empty();
        let header_is_right = !over_ipv4 || is_all_ones(sum(self.header));
        header_is_right
            && !self.is_part
            && match self.protocol {
                TCP => self.content.len() >= 20 && self.sums_up(self.content),
                UDP => self.is_datagram(over_ipv4),
                ICMP if over_ipv4 => self.content.len() >= 8 && is_all_ones(sum(self.content)),
                ICMPV6 if !over_ipv4 => self.content.len() >= 4 && self.sums_up(self.content),
                _ => true,
            }
    }

    /// Whether it is a datagram that fits.
    fn is_datagram(&self, over_ipv4: bool) -> bool {
        let (Some(size), Some(check)) = (word(self.content, 4), word(self.content, 6)) else { return false };
        let datagram = self.content.get(..usize::from(size)).filter(|datagram| datagram.len() >= 8);
        // IPv4 alone lets a sender leave the checksum out (RFC 768, RFC 8200 8.1).
        datagram.is_some_and(|datagram| if check == 0 { over_ipv4 } else { self.sums_up(datagram) })
    }

    /// Whether it is a datagram from where name servers or those of DHCP answer, and shorter than the fixed header of
    /// their messages (RFC 1035 4.1.1, RFC 2131 2 with the cookie of 3).
    pub(super) fn is_cut_answer(&self) -> bool {
        let place = |at| word(self.content, at);
        let least = match (self.protocol, place(0), place(2)) {
            (UDP, Some(DNS), _) => 8 + 12,
            (UDP, Some(DHCP_SERVER), Some(DHCP_CLIENT)) => 8 + 240,
            _ => 0,
        };
        place(4).is_some_and(|size| size < least)
    }

    /// Whether `content` has the right checksum, which counts the addresses in.
    fn sums_up(&self, content: &[u8]) -> bool {
        let length = (content.len() as u32).to_be_bytes();
        is_all_ones(sum(self.addresses) + sum(&length) + sum(&[0, 0, 0, self.protocol]) + sum(content))
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]))
}

/// The sum that the Internet's checksum is made of (RFC 1071): of words of 32 bits, which says the same as that of the
/// 16 bits it folds to, whatever their order of bytes is. The last word is filled up with 0.
pub(super) fn sum(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<4>();
    let mut last = [0; 4];
    last[..rest.len()].copy_from_slice(rest);
    let words = words.iter().map(|word| u64::from(u32::from_ne_bytes(*word)));
    words.sum::<u64>() + u64::from(u32::from_ne_bytes(last))
}

/// The sum with what is carried over added at its end.
pub(super) fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// Whether it is the sum of what has the right checksum in it.
fn is_all_ones(sum: u64) -> bool {
    fold(sum) == 0xffff
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Writes the checksum at `place` of what is over addresses.
    pub(in super::super) fn checked(
        mut content: Vec<u8>,
        place: usize,
        protocol: u8,
        addresses: &[u8],
    ) -> Vec<u8> {
        content[place..place + 2].fill(0);
        let length = (content.len() as u32).to_be_bytes();
        let sum = sum(addresses) + sum(&length) + sum(&[0, 0, 0, protocol]) + sum(&content);
        content[place..place + 2].copy_from_slice(&(!fold(sum)).to_ne_bytes());
        content
    }

    const ADDRESSES: [u8; 8] = [10, 0, 2, 2, 10, 0, 2, 15];

    /// A frame of IPv4 with the right checksum of its header.
    pub(in super::super) fn ipv4(protocol: u8, part: u16, content: &[u8]) -> Vec<u8> {
        let [high, low] = part.to_be_bytes();
        let size = (20 + content.len() as u16).to_be_bytes();
        let mut header = vec![0x45, 0, size[0], size[1], 0, 1, high, low, 64, protocol, 0, 0];
        header.extend(ADDRESSES);
        let check = !fold(sum(&header));
        header[10..12].copy_from_slice(&check.to_ne_bytes());
        // Short frames are filled up.
        [&[0; 12][..], &IPV4.to_be_bytes(), &header, content, &[0; 2]].concat()
    }

    fn addresses6() -> Vec<u8> {
        (0..32).collect()
    }

    fn ipv6(first: u8, content: &[u8]) -> Vec<u8> {
        let size = (content.len() as u16).to_be_bytes();
        let header = [0x60, 0, 0, 0, size[0], size[1], first, 64];
        [&[0; 12][..], &IPV6.to_be_bytes(), &header, &addresses6(), content].concat()
    }

    fn is_right(frame: &[u8]) -> bool {
        Packet::of(frame).is_some_and(|packet| packet.is_right())
    }

    /// A datagram without its checksum.
    fn datagram(from: u16, to: u16, content: &[u8]) -> Vec<u8> {
        let size = 8 + content.len() as u16;
        [&[from, to, size, 0].map(u16::to_be_bytes).concat()[..], content].concat()
    }

    #[test]
    fn the_sum_is_that_of_rfc_1071() {
        // The example of its section 3, and it with an odd byte more.
        let example = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(fold(sum(&example)).to_ne_bytes(), [0xdd, 0xf2]);
        assert_eq!(fold(sum(&[&example[..], &[1]].concat())).to_ne_bytes(), [0xde, 0xf2]);
        assert_eq!(fold(sum(&[])), 0);
        assert!(is_all_ones(sum(&[0xff; 65_534])) && !is_all_ones(sum(&[0; 64])));
    }

    #[test]
    fn a_flipped_bit_is_seen_in_every_protocol() {
        let tcp = [&[0, 80, 0, 81][..], &[7; 19]].concat();
        let echo = [&[8, 0, 0, 0, 1, 2, 3, 4][..], b"odd"].concat();
        let mut icmp = echo.clone();
        let check = (!fold(sum(&echo))).to_ne_bytes();
        icmp[2..4].copy_from_slice(&check);
        let hop_by_hop =
            [&[ICMPV6, 0, 5, 2, 0, 0, 1, 0][..], &checked(echo.clone(), 2, ICMPV6, &addresses6())];
        let udp = datagram(7, 9, b"odd");
        let frames = [
            ipv4(TCP, 0x4000, &checked(tcp.clone(), 16, TCP, &ADDRESSES)),
            ipv4(UDP, 0, &checked(udp.clone(), 6, UDP, &ADDRESSES)),
            ipv4(ICMP, 0, &icmp),
            ipv6(TCP, &checked(tcp, 16, TCP, &addresses6())),
            ipv6(UDP, &checked(udp, 6, UDP, &addresses6())),
            ipv6(ICMPV6, &checked(echo, 2, ICMPV6, &addresses6())),
            ipv6(HOP_BY_HOP, &hop_by_hop.concat()),
        ];
        for (index, frame) in frames.iter().enumerate() {
            assert!(is_right(frame), "{index}");
            // Those of IPv6 have no checksum over their first header, nor over one that is followed hop by hop.
            let begin = [14, 14, 14, 54, 54, 54, 62][index];
            let padding = if index < 3 { 2 } else { 0 };
            for bit in begin * 8..8 * (frame.len() - padding) {
                let mut frame = frame.clone();
                frame[bit / 8] ^= 1 << (bit % 8);
                assert!(!is_right(&frame), "{index}, bit {bit}");
            }
            for length in 0..frame.len() - padding {
                assert_eq!(Packet::of(&frame[..length]), None, "{index}, {length}");
            }
        }
    }

    #[test]
    fn a_checksum_may_be_left_out_of_a_datagram_of_ipv4_alone() {
        let bare = datagram(7, 9, b"text");
        assert!(is_right(&ipv4(UDP, 0, &bare)) && !is_right(&ipv6(UDP, &bare)));
        // What lies behind a datagram is none of its own, but one that is longer than its packet is cut off.
        assert!(is_right(&ipv4(UDP, 0, &[&bare[..], b"more"].concat())));
        assert!(!is_right(&ipv4(UDP, 0, &bare[..11])) && !is_right(&ipv4(UDP, 0, &bare[..7])));
    }

    #[test]
    fn parts_and_segments_without_a_whole_header_are_not_right() {
        let bare = datagram(7, 9, b"text");
        assert!(!is_right(&ipv4(UDP, 0x2000, &bare)) && !is_right(&ipv4(UDP, 1, &bare)));
        let part = [&[UDP, 0, 0, 1, 0, 0, 0, 1][..], &checked(bare, 6, UDP, &addresses6())].concat();
        assert!(!is_right(&ipv6(FRAGMENT, &part)));
        let short = |size| is_right(&ipv4(TCP, 0, &checked(vec![0; size], 16, TCP, &ADDRESSES)));
        assert!(short(20) && !short(19));
        // A protocol that nobody here knows has only the checksum of IPv4.
        assert!(is_right(&ipv4(99, 0, b"x")) && is_right(&ipv6(99, b"x")));
    }

    #[test]
    fn answers_shorter_than_their_header_are_known() {
        let of = |from, to, size: usize| {
            let frame = ipv4(UDP, 0, &datagram(from, to, &vec![1; size]));
            // A socket of the function's own may wait for it: nothing is wrong with the datagram.
            assert!(is_right(&frame));
            Packet::of(&frame).unwrap().is_cut_answer()
        };
        assert!(!of(53, 4000, 12) && of(53, 4000, 11) && !of(4000, 53, 0));
        assert!(!of(67, 68, 240) && of(67, 68, 239) && !of(68, 67, 0) && !of(67, 69, 0));
        assert!(!Packet::of(&ipv4(99, 0, &datagram(53, 4000, b""))).unwrap().is_cut_answer());
    }
}
