//! Frames that nobody sends by mistake: damaged ones whose checksums are right, and begins of connections that nobody
//! goes on with.

use crate::faults::Random;

const TCP: u8 = 6;
const UDP: u8 = 17;
/// Where IPv4's header and what follows it begin in a frame without options.
const IP: usize = 14;
const REST: usize = 34;

/// A frame made of one of `seen`: bytes changed, cut off or added, and mostly with checksums that fit again.
pub(crate) fn damaged(seen: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut frame = seen[random.next() as usize % seen.len()].clone();
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

/// Writes the checksums that a frame of IPv4 should have.
fn mend(frame: &mut [u8]) {
    if frame.len() < REST || frame[12..14] != [8, 0] {
        return;
    }
    frame[IP + 10..IP + 12].fill(0);
    let check = checksum(&[&frame[IP..REST]]);
    frame[IP + 10..IP + 12].copy_from_slice(&check);
    let end = (IP + usize::from(u16::from_be_bytes([frame[IP + 2], frame[IP + 3]]))).min(frame.len());
    let place = match frame[IP + 9] {
        TCP => REST + 16,
        UDP => REST + 6,
        _ => return,
    };
    if place + 2 > end {
        return;
    }
    frame[place..place + 2].fill(0);
    let [high, low] = ((end - REST) as u16).to_be_bytes();
    let pseudo = [0, frame[IP + 9], high, low];
    let check = checksum(&[&frame[IP + 12..REST], &pseudo, &frame[REST..end]]);
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
