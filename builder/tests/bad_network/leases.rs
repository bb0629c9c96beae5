//! Leases: a function asks a DHCP server of the test's for its address. The server refuses it once, and before each answer
//! sends what is none.

use crate::{FOUR, FUNCTION, INSIDE, Namespace, Subject, ask, client::metric, faults::Random, on};
use builder::Target;
use std::{
    env,
    net::UdpSocket,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

const SUBJECT: Subject = Subject {
    name: "leases",
    function: "functions/http-echo",
    heap: "2 MiB",
    net: "",
    within: "leases::within_the_namespace",
};

/// Where all of the network hears who gives leases.
const ALL: [u8; 4] = [10, 0, 2, 255];
/// What only wrong answers give.
const WRONG: [u8; 4] = [10, 0, 2, 99];
/// Seconds of a lease: it is renewed when half of them are over.
const LEASE: u8 = 6;
/// How many renewals are waited for, and how long.
const RENEWALS: u64 = 2;
const PATIENCE: Duration = Duration::from_secs(120);
/// Answers with changed bytes, before each right one.
const DAMAGED: usize = 200;

/// Kinds of messages (RFC 2132, 9.6).
const DISCOVER: u8 = 1;
const OFFER: u8 = 2;
const REQUEST: u8 = 3;
const ACK: u8 = 5;
const NAK: u8 = 6;
/// Where options begin: behind the fixed header and the cookie. The first says what kind of message it is, the second is the
/// mask of the network, and the last one says who the server is.
const OPTIONS: usize = 240;
const KIND: usize = OPTIONS + 2;
const MASK: usize = OPTIONS + 3;
const WHO: usize = OPTIONS + 21;
const END: usize = WHO + 6;

#[test]
#[ignore = "the suite `network` runs it"]
fn leases_in_a_process() {
    on("leases_in_a_process", Target::Process, &SUBJECT);
}

#[test]
#[ignore = "the suite `network` runs it"]
fn leases_in_qemu() {
    on("leases_in_qemu", Target::Qemu, &SUBJECT);
}

/// What the server has done.
#[derive(Default)]
struct Counts {
    refused: AtomicU64,
    renewed: AtomicU64,
    /// Messages without a whole header that were sent.
    short: AtomicU64,
}

/// Runs for the other tests, in the namespace.
#[test]
#[ignore = "the suite `network` runs it by the other tests, each in a namespace"]
fn within_the_namespace() {
    if env::var(INSIDE).is_err() {
        return;
    }
    let counts = Arc::new(Counts::default());
    let server = Arc::clone(&counts);
    thread::spawn(move || serve(&server));
    // It has waited for an address, and has the right one when it answers.
    let Some(namespace) = Namespace::enter("") else { return };
    let begin = Instant::now();
    let mut number = 0;
    while counts.renewed.load(Relaxed) < RENEWALS {
        assert!(begin.elapsed() < PATIENCE, "its lease is not renewed");
        ask(FUNCTION.0.into(), 11, number).unwrap();
        number += 1;
        thread::sleep(Duration::from_millis(100));
    }
    let (short, counted) = (counts.short.load(Relaxed), metric("net_frames_malformed_total"));
    println!("{number} requests, {short} short messages, {counted} counted");
    assert_eq!(counts.refused.load(Relaxed), 1);
    assert_eq!(counted, short, "messages without a whole header are counted, and nothing else is");
    println!("all were answered");
    namespace.end();
}

/// Answers whoever asks.
fn serve(counts: &Counts) {
    let socket = UdpSocket::bind(("0.0.0.0", 67)).unwrap();
    socket.set_broadcast(true).unwrap();
    let mut buffer = [0; 1024];
    let mut random = Random::new(12);
    // Nobody hears it as long as there is no network.
    let send = |bytes: &[u8]| drop(socket.send_to(bytes, (std::net::Ipv4Addr::from(ALL), 68)));
    loop {
        let (length, _) = socket.recv_from(&mut buffer).unwrap();
        let question = &buffer[..length];
        assert_eq!(question[OPTIONS..KIND], [53, 1], "it does not begin with what it is");
        let kind = match question[KIND] {
            DISCOVER => OFFER,
            REQUEST if counts.refused.fetch_max(1, Relaxed) == 0 => NAK,
            REQUEST => ACK,
            _ => continue,
        };
        for message in wrong(question, kind, &mut random) {
            counts.short.fetch_add(u64::from(message.len() < OPTIONS), Relaxed);
            send(&message);
        }
        send(&answer(question, kind, FUNCTION.0));
        // Who renews has an address.
        let renews = kind == ACK && question[12..16] == FUNCTION.0;
        counts.renewed.fetch_add(u64::from(renews), Relaxed);
    }
}

/// An answer of this kind that gives an address.
fn answer(question: &[u8], kind: u8, address: [u8; 4]) -> Vec<u8> {
    let mut answer = question[..OPTIONS].to_vec();
    answer[0] = 2;
    answer[16..20].copy_from_slice(&address);
    answer.extend([53, 1, kind, 1, 4, 255, 255, 255, 0, 51, 4, 0, 0, 0, LEASE, 3, 4]);
    answer.extend(FOUR);
    answer.extend([54, 4]);
    answer.extend(FOUR);
    answer.push(255);
    answer
}

/// What is no answer to a question, each in another way: all of it gives the wrong address, or refuses.
fn wrong(question: &[u8], kind: u8, random: &mut Random) -> Vec<Vec<u8>> {
    let wrong = answer(question, kind, WRONG);
    let changed = |place: usize, bytes: &[u8]| {
        let mut message = wrong.clone();
        message[place..place + bytes.len()].copy_from_slice(bytes);
        message
    };
    let mut all: Vec<_> = (0..END).map(|length| wrong[..length].to_vec()).collect();
    all.extend([
        // A question, and something else than Ethernet.
        changed(0, &[1]),
        changed(1, &[6]),
        changed(2, &[16]),
        // To another question, to another client.
        changed(7, &[wrong[7] ^ 1]),
        changed(33, &[wrong[33] ^ 1]),
        // Another cookie.
        changed(OPTIONS - 1, &[0]),
        // Of no kind, of two, of none that is known, of one that nobody waits for.
        changed(OPTIONS, &[0]),
        changed(OPTIONS + 1, &[2]),
        changed(KIND, &[99]),
        changed(KIND, &[if kind == OFFER { ACK } else { OFFER }]),
        // An option that is longer than all that follows; a server without an address, or with a longer one.
        changed(MASK + 1, &[255]),
        changed(WHO + 1, &[0]),
        changed(WHO + 1, &[3]),
        changed(WHO + 1, &[5]),
    ]);
    if kind != NAK {
        // Addresses that nobody can have.
        all.extend([[0; 4], [255; 4], [224, 0, 0, 1]].map(|address| changed(16, &address)));
    }
    if kind == ACK {
        // No mask, and one with holes.
        all.extend([changed(MASK, &[250]), changed(MASK + 2, &[255, 0, 255, 0])]);
    }
    all.extend((0..DAMAGED).map(|_| {
        let mut message = wrong.clone();
        for _ in 0..1 + random.next() % 6 {
            let place = random.next() as usize % message.len();
            message[place] = random.next() as u8;
        }
        // Whatever it says now, it is to another question.
        message[4..8].copy_from_slice(&question[4..8]);
        message[7] ^= 1;
        message
    }));
    all
}
