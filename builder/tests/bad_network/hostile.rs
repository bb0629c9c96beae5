//! Frames that nobody sends by mistake: damaged ones whose checksums are right, and begins of connections that nobody
//! goes on with. Those that are damaged are of every protocol that a function has, also where nobody speaks it.

use crate::{FOUR, FUNCTION, FUNCTION6, SIX, faults::Random};

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;
const HOP_BY_HOP: u8 = 0;
/// Where IP's header begins, and what follows that of IPv4 in a frame without options, and that of IPv6.
const IP: usize = 14;
const REST: usize = 34;
const REST6: usize = 54;

/// The addresses of a router and of all in the network.
const ROUTER: [u8; 16] = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const ALL: [u8; 16] = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];

/// A good frame of each kind, from who has sent `seen` to who got it.
pub(crate) fn good(seen: &[u8]) -> Vec<Vec<u8>> {
    let tcp =
        [&[0x9c, 0x40, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0x60, 2, 0xff, 0xff, 0, 0, 0, 0][..], &[2, 4, 5, 0xb4]];
    let udp = |from: u16, to: u16, content: &[u8]| {
        [&[from, to, 8 + content.len() as u16, 0].map(u16::to_be_bytes).concat()[..], content].concat()
    };
    // An answer to a question for `a.b`: its address is 10.9.0.1.
    let dns = b"\0\x01\x81\x80\0\x01\0\x01\0\0\0\0\x01a\x01b\0\0\x01\0\x01\xc0\x0c\0\x01\0\x01\0\0\0\x0a\0\x04\x0a\x09\0\x01";
    let icmp = |kind: u8, code: u8, content: &[u8]| [&[kind, code, 0, 0], content].concat();
    let echo = [0, 1, 0, 1, 7, 7, 7, 7];
    let mac = &seen[6..12];
    // Neighbours (RFC 4861): who asks for the function, and who says where the host is, and a router, with its options.
    let asks = [&[0; 4][..], &FUNCTION6, &[1, 1], mac].concat();
    let says = [&[0x60, 0, 0, 0][..], &SIX, &[2, 1], mac].concat();
    let prefix = [&[3, 4, 64, 0xc0, 0, 0, 14, 16, 0, 0, 14, 16, 0, 0, 0, 0][..], &SIX[..8], &[0; 8]].concat();
    let router =
        [&[64, 0, 0, 30, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1][..], mac, &[5, 1, 0, 0, 0, 0, 5, 220], &prefix];
    // Whoever listens to what (RFC 2710), behind a header that each hop looks at: it bears a router alert.
    let listens = [&[ICMPV6, 0, 5, 2, 0, 0, 1, 0][..], &icmp(130, 0, &[0; 20])].concat();
    let unreached = [&[0; 4][..], &ipv4(seen, UDP, &udp(7000, 53, b"question"))[IP..]].concat();
    let too_big = [&[0, 0, 5, 0][..], &ipv6(seen, (FUNCTION6, SIX), TCP, &tcp.concat())[IP..]].concat();
    let between = (SIX, FUNCTION6);
    vec![
        ipv4(seen, TCP, &tcp.concat()),
        ipv4(seen, UDP, &udp(53, 50_000, dns)),
        ipv4(seen, UDP, &udp(67, 68, &[1; 300])),
        ipv4(seen, ICMP, &icmp(8, 0, &echo)),
        ipv4(seen, ICMP, &icmp(3, 3, &unreached)),
        ipv6(seen, between, TCP, &tcp.concat()),
        ipv6(seen, between, UDP, &udp(53, 50_000, dns)),
        ipv6(seen, between, ICMPV6, &icmp(128, 0, &echo)),
        ipv6(seen, between, ICMPV6, &icmp(2, 0, &too_big)),
        ipv6(seen, between, ICMPV6, &icmp(135, 0, &asks)),
        ipv6(seen, between, ICMPV6, &icmp(136, 0, &says)),
        ipv6(seen, (ROUTER, ALL), ICMPV6, &icmp(134, 0, &router.concat())),
        ipv6(seen, (ROUTER, ALL), HOP_BY_HOP, &listens),
    ]
}

/// A packet of IPv4 in a frame with the addresses of `seen`.
fn ipv4(seen: &[u8], protocol: u8, content: &[u8]) -> Vec<u8> {
    let [high, low] = (20 + content.len() as u16).to_be_bytes();
    let header = [0x45, 0, high, low, 0, 1, 0x40, 0, 64, protocol, 0, 0];
    let mut frame = [&seen[..12], &[8, 0], &header, &FOUR, &FUNCTION.0, content].concat();
    mend(&mut frame);
    frame
}

/// A packet of IPv6.
fn ipv6(seen: &[u8], (from, to): ([u8; 16], [u8; 16]), protocol: u8, content: &[u8]) -> Vec<u8> {
    let [high, low] = (content.len() as u16).to_be_bytes();
    let header = [0x60, 0, 0, 0, high, low, protocol, 255];
    let mut frame = [&seen[..12], &[0x86, 0xdd], &header, &from, &to, content].concat();
    mend(&mut frame);
    frame
}

/// A frame made of one of `seen`, or one of the good ones: bytes changed, cut off or added, and mostly with checksums that fit
/// again.
pub(crate) fn damaged(seen: &[Vec<u8>], good: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let of = if random.next().is_multiple_of(2) { seen } else { good };
    let mut frame = of[random.next() as usize % of.len()].clone();
    match random.next() % 8 {
        // Without its header a frame is none: QEMU would wait for ever with an empty one.
        0 => frame.truncate(IP.max(random.next() as usize % (frame.len() + 1))),
        1 => frame.extend((0..random.next() % 64).map(|byte| byte as u8)),
        _ => {}
    }
    // The addresses of Ethernet stay: other frames are not even looked at.
    let (first, length) = (12, frame.len());
    for _ in 0..1 + random.next() % 6 {
        if length > first {
            frame[first + random.next() as usize % (length - first)] = random.next() as u8;
        }
    }
    if !random.next().is_multiple_of(8) {
        mend(&mut frame);
    }
    frame
}

/// Begins a connection from a port that nobody listens at, as `begin` does from another.
pub(crate) fn begin(begin: &[u8], number: u64) -> Vec<u8> {
    let mut frame = begin.to_vec();
    frame[REST..REST + 2].copy_from_slice(&(1024 + number as u16 % 60_000).to_be_bytes());
    frame[REST + 4..REST + 8].copy_from_slice(&(number as u32).to_be_bytes());
    mend(&mut frame);
    frame
}

/// Whether it begins a connection.
pub(crate) fn is_begin(frame: &[u8]) -> bool {
    frame.len() >= REST + 20 && frame[12..14] == [8, 0] && frame[IP + 9] == TCP && frame[REST + 13] == 2
}

/// Writes the checksums that a frame should have.
fn mend(frame: &mut [u8]) {
    if frame.len() < REST {
        return;
    }
    let word = |frame: &[u8], at: usize| usize::from(u16::from_be_bytes([frame[at], frame[at + 1]]));
    // Where the addresses begin, and what follows IP's header, and where that ends.
    let (addresses, mut begin, end, mut protocol) = match frame[12..IP] {
        [8, 0] => {
            frame[IP + 10..IP + 12].fill(0);
            let check = checksum(&[&frame[IP..REST]]);
            frame[IP + 10..IP + 12].copy_from_slice(&check);
            (IP + 12, REST, IP + word(frame, IP + 2), frame[IP + 9])
        }
        [0x86, 0xdd] if frame.len() >= REST6 + 2 => {
            (IP + 8, REST6, REST6 + word(frame, IP + 4), frame[IP + 6])
        }
        _ => return,
    };
    let (header, end) = (begin, end.min(frame.len()));
    if protocol == HOP_BY_HOP {
        (begin, protocol) = (begin + 8 * (1 + usize::from(frame[begin + 1])), frame[begin]);
    }
    let place = begin
        + match protocol {
            TCP => 16,
            UDP => 6,
            ICMP | ICMPV6 => 2,
            _ => return,
        };
    if place + 2 > end {
        return;
    }
    frame[place..place + 2].fill(0);
    let [high, low] = ((end - begin) as u16).to_be_bytes();
    let pseudo = [0, protocol, high, low];
    let check = match protocol {
        ICMP => checksum(&[&frame[begin..end]]),
        _ => checksum(&[&frame[addresses..header], &pseudo, &frame[begin..end]]),
    };
    frame[place..place + 2].copy_from_slice(&check);
}

/// The Internet's checksum (RFC 1071). All parts but the last have an even length.
fn checksum(parts: &[&[u8]]) -> [u8; 2] {
    let words = parts.iter().flat_map(|part| part.chunks(2));
    let mut sum: u64 =
        words.map(|pair| u64::from(pair[0]) << 8 | u64::from(pair.get(1).copied().unwrap_or(0))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}
