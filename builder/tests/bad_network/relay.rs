//! Frames between a tap and a socket, with what goes wrong on the way.

use crate::faults::{Fate, Faults};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    ioctl::{Setter, ioctl},
};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::Path,
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

/// `TUNSETIFF`, `IFF_TAP` and `IFF_NO_PI` of <linux/if_tun.h>.
const TUNSETIFF: u32 = 0x4004_54ca;
const TAP: u16 = 0x0002 | 0x1000;
/// The longest frame.
const FRAME: usize = 2048;

/// `struct ifreq` of <linux/if.h>, as far as it counts here.
#[repr(C)]
struct Request {
    name: [u8; 16],
    flags: u16,
    rest: [u8; 22],
}

/// A tap, and the socket at which the other end is waited for.
pub(crate) struct Relay {
    tap: File,
    listener: UnixListener,
    state: Arc<Mutex<State>>,
}

struct State {
    seed: u64,
    faults: Faults,
    /// Frames since the faults were set, in each direction, and how many of all were hurt.
    numbers: [u64; 2],
    hurt: u64,
}

/// What is on its way: by the moment it arrives, then in order.
type Delayed = BTreeMap<(Instant, u64), (usize, Vec<u8>)>;

impl Relay {
    pub(crate) fn new(name: &str, socket: &Path) -> Self {
        let tap = File::options().read(true).write(true).open("/dev/net/tun").unwrap();
        let mut request = Request { name: [0; 16], flags: TAP, rest: [0; 22] };
        request.name[..name.len()].copy_from_slice(name.as_bytes());
        // SAFETY: the request takes a `struct ifreq`, of 40 bytes, and keeps no pointer.
        unsafe { ioctl(&tap, Setter::<TUNSETIFF, Request>::new(request)) }.unwrap();
        rustix::io::ioctl_fionbio(&tap, true).unwrap();
        let _ = fs::remove_file(socket);
        let state = State { seed: 0, faults: Faults::NONE, numbers: [0; 2], hurt: 0 };
        let listener = UnixListener::bind(socket).unwrap();
        Self { tap, listener, state: Arc::new(Mutex::new(state)) }
    }

    /// From now on this goes wrong.
    pub(crate) fn set(&self, seed: u64, faults: Faults) {
        let mut state = self.state.lock().unwrap();
        let hurt = if faults == Faults::NONE && seed == 0 { state.hurt } else { 0 };
        let numbers = if seed == 0 { state.numbers } else { [0; 2] };
        *state = State { seed, faults, numbers, hurt };
    }

    /// How many frames there were since something was to go wrong, and how many were hurt.
    pub(crate) fn counted(&self) -> (u64, u64) {
        let state = self.state.lock().unwrap();
        (state.numbers.iter().sum(), state.hurt)
    }

    /// Begins to hand frames on, to the first who comes to the socket within `patience`; whether somebody has.
    pub(crate) fn serve(&self, patience: Duration) -> bool {
        let wait = Timespec::try_from(patience).unwrap();
        if poll(&mut [PollFd::new(&self.listener, PollFlags::IN)], Some(&wait)).unwrap() == 0 {
            return false;
        }
        let (socket, _) = self.listener.accept().unwrap();
        let (tap, state) = (self.tap.try_clone().unwrap(), Arc::clone(&self.state));
        thread::spawn(move || forward(tap, socket, &state));
        true
    }
}

/// Ends with the other end of the socket.
fn forward(mut tap: File, mut socket: UnixStream, state: &Mutex<State>) {
    socket.set_nonblocking(true).unwrap();
    let (mut delayed, mut order) = (Delayed::new(), 0);
    let mut stream = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let now = Instant::now();
        let wait = delayed.keys().next().map_or(Duration::from_secs(1), |(at, _)| at.duration_since(now));
        let wait = Timespec::try_from(wait).unwrap();
        let mut ends = [PollFd::new(&tap, PollFlags::IN), PollFd::new(&socket, PollFlags::IN)];
        poll(&mut ends, Some(&wait)).unwrap();
        let mut came = Vec::new();
        while let Ok(size) = tap.read(&mut buffer[..FRAME]) {
            came.push((0, buffer[..size].to_vec()));
        }
        loop {
            match socket.read(&mut buffer) {
                Ok(0) => return,
                Ok(size) => stream.extend_from_slice(&buffer[..size]),
                Err(_) => break,
            }
        }
        while let Some((head, rest)) = stream.split_first_chunk::<4>()
            && let size = u32::from_be_bytes(*head) as usize
            && let Some(frame) = rest.get(..size)
        {
            came.push((1, frame.to_vec()));
            stream.drain(..4 + size);
        }
        for (direction, frame) in came {
            for (wait, frame) in fate(state, direction, frame) {
                delayed.insert((Instant::now() + wait, order), (direction, frame));
                order += 1;
            }
        }
        while let Some(first) = delayed.first_entry().filter(|first| first.key().0 <= Instant::now()) {
            let (direction, frame) = first.remove();
            // Who cannot take a frame now loses it, as on any network.
            let _ = match direction {
                0 => whole(&mut socket, &[&(frame.len() as u32).to_be_bytes()[..], &frame].concat()),
                _ => tap.write(&frame).map(drop),
            };
        }
    }
}

/// Writes all of it: half a frame would end the stream.
fn whole(socket: &mut UnixStream, bytes: &[u8]) -> std::io::Result<()> {
    socket.set_nonblocking(false)?;
    let written = socket.write_all(bytes);
    socket.set_nonblocking(true)?;
    written
}

/// What becomes of a frame: itself or others, each with how long it takes.
fn fate(state: &Mutex<State>, direction: usize, mut frame: Vec<u8>) -> Vec<(Duration, Vec<u8>)> {
    let mut state = state.lock().unwrap();
    let number = state.numbers[direction];
    state.numbers[direction] += 1;
    let fate = Fate::of(state.faults, state.seed, direction as u64, number);
    state.hurt += u64::from(fate != Fate::Passes);
    match fate {
        Fate::Passes => vec![(Duration::ZERO, frame)],
        Fate::Lost => Vec::new(),
        Fate::Doubled => vec![(Duration::ZERO, frame.clone()), (Duration::ZERO, frame)],
        Fate::Delayed(millis) => vec![(Duration::from_millis(millis), frame)],
        Fate::Damaged(bit) => {
            let bit = bit as usize % (frame.len() * 8);
            frame[bit / 8] ^= 1 << (bit % 8);
            vec![(Duration::ZERO, frame)]
        }
    }
}
