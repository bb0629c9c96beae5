//! Frames between a tap and a socket, with what goes wrong on the way.

use crate::{
    faults::{Fate, Faults, Random},
    hostile,
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    ioctl::{Setter, ioctl},
};
use std::{
    collections::{BTreeMap, VecDeque},
    fs::{self, File},
    io::{ErrorKind, Read, Write},
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
/// How long the function may take no frame.
const PATIENCE: Duration = Duration::from_secs(30);
/// How many frames are remembered.
const SEEN: usize = 200;

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
    /// Frames on their way to the function, the latest last.
    seen: Vec<Vec<u8>>,
    /// Frames that the function gets beside them.
    thrown: VecDeque<Vec<u8>>,
}

impl State {
    /// A frame that has host and function as its addresses.
    fn begin(&self) -> &[u8] {
        self.seen.iter().find(|frame| hostile::is_begin(frame)).unwrap()
    }
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
        let (seen, thrown) = (Vec::new(), VecDeque::new());
        let state = State { seed: 0, faults: Faults::NONE, numbers: [0; 2], hurt: 0, seen, thrown };
        let listener = UnixListener::bind(socket).unwrap();
        Self { tap, listener, state: Arc::new(Mutex::new(state)) }
    }

    /// From now on this goes wrong.
    pub(crate) fn set(&self, seed: u64, faults: Faults) {
        let mut state = self.state.lock().unwrap();
        if seed != 0 {
            (state.numbers, state.hurt) = ([0; 2], 0);
        }
        (state.seed, state.faults) = (seed, faults);
    }

    /// Has the function get so many damaged frames, made of those it has got.
    pub(crate) fn throw_damaged(&self, seed: u64, count: usize) {
        let (mut state, mut random) = (self.state.lock().unwrap(), Random::new(seed));
        let good = hostile::good(state.begin());
        let thrown = (0..count).map(|_| hostile::damaged(&state.seen, &good, &mut random)).collect();
        state.thrown = thrown;
    }

    /// Has the function get a good frame of each protocol, whoever waits for it.
    pub(crate) fn throw_good(&self) {
        let mut state = self.state.lock().unwrap();
        state.thrown = hostile::good(state.begin()).into();
    }

    /// Has the function get so many begins of connections that nobody goes on with.
    pub(crate) fn throw_begins(&self, count: u64) {
        let mut state = self.state.lock().unwrap();
        let begin = state.begin();
        let thrown = (0..count).map(|number| hostile::begin(begin, number)).collect();
        state.thrown = thrown;
    }

    /// Waits until all that was thrown is on its way.
    pub(crate) fn wait_until_thrown(&self) {
        while !self.state.lock().unwrap().thrown.is_empty() {
            thread::sleep(Duration::from_millis(10));
        }
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
        thread::spawn(move || {
            let end = forward(tap, socket, &state).map_err(|error| error.kind());
            println!("the relay has ended: {end:?}");
            // Nobody waits for what is not sent any more.
            state.lock().unwrap().thrown.clear();
        });
        true
    }
}

/// The socket's end of the relay.
struct Socket {
    socket: UnixStream,
    /// What has come and is no whole frame yet.
    begun: Vec<u8>,
}

impl Socket {
    /// Takes what has come; the error is the other end's end.
    fn fill(&mut self) -> std::io::Result<()> {
        let mut buffer = [0; 16 << 10];
        loop {
            match self.socket.read(&mut buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(size) => self.begun.extend_from_slice(&buffer[..size]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// The next frame that has come whole.
    fn frame(&mut self) -> Option<Vec<u8>> {
        let (head, rest) = self.begun.split_first_chunk::<4>()?;
        let frame = rest.get(..u32::from_be_bytes(*head) as usize)?.to_vec();
        self.begun.drain(..4 + frame.len());
        Some(frame)
    }

    /// Sends a frame whole: half of one would end the stream. Meanwhile it takes what comes, or both ends would wait.
    fn send(&mut self, frame: &[u8]) -> std::io::Result<()> {
        let bytes = [&(frame.len() as u32).to_be_bytes()[..], frame].concat();
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            match self.socket.write(rest) {
                Ok(size) => rest = &rest[size..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let mut ends = [PollFd::new(&self.socket, PollFlags::IN | PollFlags::OUT)];
                    let patience = Timespec::try_from(PATIENCE).unwrap();
                    if poll(&mut ends, Some(&patience))? == 0 {
                        return Err(ErrorKind::TimedOut.into());
                    }
                    self.fill()?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Ends with the other end of the socket.
fn forward(mut tap: File, socket: UnixStream, state: &Mutex<State>) -> std::io::Result<()> {
    socket.set_nonblocking(true)?;
    let mut socket = Socket { socket, begun: Vec::new() };
    let (mut delayed, mut order) = (Delayed::new(), 0);
    let mut buffer = [0; FRAME];
    loop {
        let (now, idle) = (Instant::now(), Duration::from_millis(100));
        let idle = if state.lock().unwrap().thrown.is_empty() { idle } else { Duration::ZERO };
        let wait = delayed.keys().next().map_or(idle, |(at, _)| at.duration_since(now).min(idle));
        let wait = Timespec::try_from(wait).unwrap();
        let mut ends = [PollFd::new(&tap, PollFlags::IN), PollFd::new(&socket.socket, PollFlags::IN)];
        poll(&mut ends, Some(&wait))?;
        let mut came = Vec::new();
        while let Ok(size) = tap.read(&mut buffer) {
            came.push((0, buffer[..size].to_vec()));
        }
        socket.fill()?;
        came.extend(std::iter::from_fn(|| socket.frame()).map(|frame| (1, frame)));
        for (direction, frame) in came {
            for (wait, frame) in fate(state, direction, frame) {
                delayed.insert((Instant::now() + wait, order), (direction, frame));
                order += 1;
            }
        }
        let thrown = state.lock().unwrap().thrown.pop_front();
        thrown.map(|frame| socket.send(&frame)).transpose()?;
        while let Some(first) = delayed.first_entry().filter(|first| first.key().0 <= Instant::now()) {
            match first.remove() {
                (0, frame) => socket.send(&frame)?,
                // What the tap cannot take now is lost, as on any network.
                (_, frame) => drop(tap.write(&frame)),
            }
        }
    }
}

/// What becomes of a frame: itself or others, each with how long it takes.
fn fate(state: &Mutex<State>, direction: usize, mut frame: Vec<u8>) -> Vec<(Duration, Vec<u8>)> {
    let mut state = state.lock().unwrap();
    if direction == 0 && state.seen.len() < SEEN {
        state.seen.push(frame.clone());
    }
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
