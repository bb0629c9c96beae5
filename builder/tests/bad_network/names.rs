//! Names and datagrams: a function asks a name server of the test's, which answers as it should, wrongly, too much, or not
//! at all, by IPv4 and IPv6; and it exchanges datagrams, on a good network and on a bad one.

use crate::{
    FOUR, HOST6, Namespace, SIX, Subject,
    client::{get, metric},
    faults::Faults,
    on,
};
use builder::Target;
use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr, TcpListener, UdpSocket},
    thread,
    time::{Duration, Instant},
};

const SUBJECT: Subject = Subject {
    name: "names",
    function: "tests/fixtures/names",
    heap: "8 MiB",
    net: "addresses = [\"10.0.2.15/24\", \"fd00::15/64\"]\ndns = [\"10.0.2.2\", \"fd00::2\"]",
    within: "names::within_the_namespace",
};

/// An address of the host that is no name server's.
const STRANGER: [u8; 4] = [10, 0, 2, 3];
/// What only wrong answers have.
const WRONG: [u8; 4] = [6, 6, 6, 6];

const A: u16 = 1;
const CNAME: u16 = 5;
const AAAA: u16 = 28;

#[test]
#[ignore = "the suite `network` runs it"]
fn names_and_datagrams_in_a_process() {
    on("names_and_datagrams_in_a_process", Target::Process, &SUBJECT);
}

#[test]
#[ignore = "the suite `network` runs it"]
fn names_and_datagrams_in_qemu() {
    on("names_and_datagrams_in_qemu", Target::Qemu, &SUBJECT);
}

/// Runs for the other tests, in the namespace.
#[test]
#[ignore = "the suite `network` runs it by the other tests, each in a namespace"]
fn within_the_namespace() {
    let setting = format!("addr add 10.0.2.3/24 dev tap0; {HOST6}");
    let Some(namespace) = Namespace::enter(&setting) else { return };
    thread::spawn(|| serve(Server::new(FOUR.into()), true));
    thread::spawn(|| serve(Server::new(SIX.into()), false));
    let before = metric("heap_used_bytes");
    // The first server says nothing of this one: the second is asked after 10 to 15 seconds. Meanwhile all else goes on.
    let second = thread::spawn(|| expect("/name/second.test", 200, "10.0.2.2\n"));
    names();
    datagrams();
    namespace.relay.set(9, Faults { lost: 80, doubled: 50, delayed: 100, damaged: 30 });
    datagrams_on_a_bad_network();
    all_at_once(&["/name/here.test"; 8].map(|path| (path, 200, "fd00::2\n10.0.2.2\n")));
    let (frames, hurt) = namespace.relay.counted();
    namespace.relay.set(0, Faults::NONE);
    println!("a bad network: {frames} frames, {hurt} of them hurt");
    assert!(hurt > 0);
    second.join().unwrap();
    let after = metric("heap_used_bytes");
    assert!(after <= before + 4096, "{before} bytes of heap before, {after} after");
    println!("all were answered");
    namespace.end();
}

/// What is asked for, with what is expected of it.
fn names() {
    let both = "fd00::2\n10.0.2.2\n";
    let none = "no name server knows the name\n";
    let bad = "the name cannot be that of a host\n";
    let long = format!("/name/{}.test", "x".repeat(64));
    let longer = format!("/name/{}test", "x.".repeat(130));
    all_at_once(&[
        ("/name/here.test", 200, both),
        ("/name/here.test.", 200, both),
        ("/name/four.test", 200, "10.0.2.2\n10.0.2.3\n"),
        ("/name/six.test", 200, "fd00::2\n"),
        ("/name/alias.test", 200, both),
        ("/name/none.test", 502, none),
        ("/name/fails.test", 502, none),
        ("/name/empty.test", 502, none),
        // More than there is room for, in a datagram longer than 512 bytes (RFC 1035, 4.2.1): the first of them.
        ("/name/many.test", 200, "10.9.0.0\n10.9.0.1\n10.9.0.2\n10.9.0.3\n"),
        ("/name/10.1.2.3", 200, "10.1.2.3\n"),
        ("/name/fd00::7", 200, "fd00::7\n"),
        ("/name/a..b", 502, bad),
        ("/name/.", 502, bad),
        (&long, 502, bad),
        (&longer, 502, bad),
    ]);
    // The first answer of each is lost or wrong; a second later it is asked again.
    let wrong = ["lost", "huge", "identity", "stranger", "port", "question", "kind", "malformed"];
    let wrong = wrong.map(|name| format!("/name/{name}.test"));
    all_at_once(&wrong.each_ref().map(|path| (path.as_str(), 200, both)));
    // The first of its addresses takes no connection.
    let listener = TcpListener::bind((IpAddr::from(FOUR), 7000)).unwrap();
    expect("/connect/here.test/7000", 200, "connected\n");
    drop(listener);
    expect("/connect/here.test/7000", 502, "the connection was refused\n");
}

fn datagrams() {
    for address in [IpAddr::from(FOUR), IpAddr::from(SIX)] {
        let socket = UdpSocket::bind((address, 7000)).unwrap();
        let text = if address.is_ipv6() { format!("[{address}]") } else { address.to_string() };
        let server = thread::spawn(move || {
            let mut buffer = [0; 2048];
            // Each is answered by as many bytes; the third by more than the function has room for.
            for number in 0..4 {
                let (length, from) = socket.recv_from(&mut buffer).unwrap();
                let length = if number == 2 { 1025 } else { length };
                socket.send_to(&buffer[..length], from).unwrap();
            }
        });
        let ask = |bytes, status, text: &str| expect(&format!("/ask/{address}/7000/{bytes}"), status, text);
        ask(1, 200, &format!("1 bytes from {text}:7000: 63\n"));
        ask(1024, 200, &format!("1024 bytes from {text}:7000: 63\n"));
        ask(3, 502, "the datagram is too long\n");
        ask(0, 200, &format!("0 bytes from {text}:7000: 0\n"));
        server.join().unwrap();
        ask(20_000, 502, "the datagram is too long\n");
    }
    // Where nobody answers; longer than a frame; to where no way leads.
    let (late, long, lost) =
        ("it took too long\n", "the datagram is too long\n", "there is no way to this address\n");
    all_at_once(&[
        ("/ask/10.0.2.2/7000/2", 502, late),
        ("/ask/fd00::2/7000/2", 502, late),
        ("/ask/10.0.2.2/7000/1472", 502, late),
        ("/ask/10.0.2.2/7000/1473", 502, long),
        ("/ask/fd00::2/7000/1453", 502, long),
        ("/ask/192.0.2.1/7000/1", 502, lost),
        ("/ask/fd01::1/7000/1", 502, lost),
        ("/connect/192.0.2.1/7000", 502, lost),
    ]);
    expect(
        "/sockets",
        200,
        "64 open: too many sockets are open, or the port is in use; the same port: Some(TooMany)\n",
    );
    let echo = thread::spawn(|| get("/echo/4000"));
    for address in ["10.0.2.15:4000", "[fd00::15]:4000"] {
        let client = Client::new(address.parse().unwrap());
        // Longer than the function takes, and longer than a frame.
        client.socket.send(&[0; 1400]).unwrap();
        client.socket.send(&[0; 4000]).unwrap();
        for length in (0..=1024).step_by(64) {
            let sent: Vec<u8> = (0..length).map(|byte| byte as u8).collect();
            assert_eq!(client.back(&sent, LONG).as_ref(), Some(&sent), "{address}");
        }
        if address.starts_with('[') {
            client.socket.send(b"end").unwrap();
        }
    }
    assert_eq!(echo.join().unwrap(), (200, "2 too long\n".into()));
}

/// What comes back is what was sent, whatever happens on the way.
fn datagrams_on_a_bad_network() {
    let echo = thread::spawn(|| get("/echo/4001"));
    let client = Client::new("10.0.2.15:4001".parse().unwrap());
    let sent: Vec<Vec<u8>> = (0..100_u32).map(|number| number.to_be_bytes().repeat(50)).collect();
    let came: Vec<_> = sent.iter().filter_map(|bytes| client.back(bytes, SHORT)).collect();
    let wrong = came.iter().filter(|bytes| !sent.contains(bytes)).count();
    assert!(wrong == 0 && came.len() > 30, "{wrong} of {} are wrong", came.len());
    println!("{} of {} datagrams came back", came.len(), sent.len());
    while !echo.is_finished() {
        client.back(b"end", SHORT);
    }
    assert_eq!(echo.join().unwrap(), (200, "0 too long\n".into()));
}

/// How long an answer is waited for that has to come, and one that need not.
const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(200);

/// A socket of the host's that talks to the function.
struct Client {
    socket: UdpSocket,
}

impl Client {
    /// Waits until the function answers.
    fn new(function: SocketAddr) -> Self {
        let any: IpAddr = if function.is_ipv6() { SIX.into() } else { FOUR.into() };
        let socket = UdpSocket::bind((any, 0)).unwrap();
        socket.connect(function).unwrap();
        let client = Self { socket };
        let begin = Instant::now();
        while client.back(FIRST, SHORT).is_none() {
            assert!(begin.elapsed() < LONG, "{function} does not answer");
        }
        client
    }

    /// What comes back, but for answers to the first datagrams.
    fn back(&self, bytes: &[u8], patience: Duration) -> Option<Vec<u8>> {
        let (mut buffer, end) = ([0; 2048], Instant::now() + patience);
        // An error is what ICMP has said of an earlier one.
        let _ = self.socket.send(bytes).or_else(|_| self.socket.send(bytes));
        loop {
            let left = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
            self.socket.set_read_timeout(Some(left)).unwrap();
            match self.socket.recv(&mut buffer) {
                Ok(length) if buffer[..length] != *FIRST || bytes == FIRST => {
                    return Some(buffer[..length].to_vec());
                }
                _ => {}
            }
        }
    }
}

/// What is sent until there is an answer.
const FIRST: &[u8] = b"first";

/// Asks the function all of these at the same time, and checks each answer.
fn all_at_once(expected: &[(&str, u16, &str)]) {
    thread::scope(|scope| {
        for (path, status, text) in expected {
            scope.spawn(|| expect(path, *status, text));
        }
    });
}

fn expect(path: &str, status: u16, text: &str) {
    assert_eq!(get(path), (status, text.to_owned()), "{path}");
}

/// A name server's socket, and two from which it should not answer.
struct Server {
    socket: UdpSocket,
    stranger: UdpSocket,
    port: UdpSocket,
}

impl Server {
    fn new(address: IpAddr) -> Self {
        let bind = |address, port| UdpSocket::bind((address, port)).unwrap();
        let stranger = if address.is_ipv4() { bind(STRANGER.into(), 53) } else { bind(address, 54) };
        Self { socket: bind(address, 53), stranger, port: bind(address, 55) }
    }
}

/// A question: a header of 12 bytes and one name with its type and class.
struct Question<'a> {
    bytes: &'a [u8],
    kind: u16,
    /// Its first part.
    name: String,
}

impl<'a> Question<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        let label = usize::from(bytes[12]);
        let name = String::from_utf8(bytes[13..13 + label].to_vec()).unwrap();
        let kind = u16::from_be_bytes([bytes[bytes.len() - 4], bytes[bytes.len() - 3]]);
        assert!(bytes[2..6] == [1, 0, 0, 1] && bytes.ends_with(&[0, kind as u8, 0, 1]), "{bytes:?}");
        Self { bytes, kind, name }
    }

    /// An answer with these records, each with its name, type and data.
    fn answer(&self, code: u8, records: &[(&[u8], u16, &[u8])]) -> Vec<u8> {
        let mut answer = self.bytes.to_vec();
        answer[2..4].copy_from_slice(&[0x81, 0x80 | code]);
        answer[6..8].copy_from_slice(&(records.len() as u16).to_be_bytes());
        for (name, kind, data) in records {
            answer.extend_from_slice(name);
            answer.extend_from_slice(&kind.to_be_bytes());
            answer.extend_from_slice(&[0, 1, 0, 0, 0, 60]);
            answer.extend_from_slice(&(data.len() as u16).to_be_bytes());
            answer.extend_from_slice(data);
        }
        answer
    }

    /// An answer with the host's address, or with one that is wrong.
    fn with(&self, right: bool) -> Vec<u8> {
        match (self.kind, right) {
            (A, true) => self.answer(0, &[(ASKED, A, &FOUR)]),
            (A, false) => self.answer(0, &[(ASKED, A, &WRONG)]),
            (_, true) => self.answer(0, &[(ASKED, AAAA, &SIX)]),
            (_, false) => self.answer(0, &[(ASKED, AAAA, &WRONG.repeat(4))]),
        }
    }
}

/// The name of the question, as a pointer to it.
const ASKED: &[u8] = &[0xc0, 12];
const HERE: &[u8] = b"\x04here\x04test\0";

/// Answers all questions that come.
fn serve(server: Server, first: bool) {
    let mut times: HashMap<(String, u16), usize> = HashMap::new();
    let mut buffer = [0; 512];
    loop {
        let (length, from) = server.socket.recv_from(&mut buffer).unwrap();
        let question = Question::new(&buffer[..length]);
        let time = times.entry((question.name.clone(), question.kind)).or_default();
        *time += 1;
        let wrong = (*time == 1).then(|| wrongly(&server, &question, from)).flatten();
        if wrong.is_none()
            && let Some(answer) = answer(&question, first)
        {
            // Who hears an ICMP message of what was sent wrongly does not care.
            let _ = server.socket.send_to(&answer, from);
        }
    }
}

/// The answer that a name has; none when this server knows nothing of it.
fn answer(question: &Question<'_>, first: bool) -> Option<Vec<u8>> {
    let many: Vec<_> = (0..60).map(|number| [10, 9, 0, number]).collect();
    Some(match (question.name.as_str(), question.kind) {
        ("second", A) if first => return None,
        ("second" | "four" | "many", AAAA) | ("six", A) | ("empty", _) => question.answer(0, &[]),
        ("four", _) => question.answer(0, &[(ASKED, A, &FOUR), (ASKED, A, &STRANGER)]),
        ("alias", A) => question.answer(0, &[(ASKED, CNAME, HERE), (HERE, A, &FOUR)]),
        ("alias", _) => question.answer(0, &[(ASKED, CNAME, HERE), (HERE, AAAA, &SIX)]),
        ("none", _) => question.answer(3, &[]),
        ("fails", _) => question.answer(2, &[]),
        ("many", _) => question.answer(0, &many.iter().map(|data| (ASKED, A, &data[..])).collect::<Vec<_>>()),
        _ => question.with(true),
    })
}

/// What comes first of a name whose first answer is a wrong one; none when that is right.
fn wrongly(server: &Server, question: &Question<'_>, from: SocketAddr) -> Option<()> {
    let send = |socket: &UdpSocket, bytes: &[u8]| drop(socket.send_to(bytes, from));
    let mut wrong = question.with(false);
    match question.name.as_str() {
        "lost" => {}
        // More than a frame has room for.
        "huge" => {
            let records = [(ASKED, question.kind, &WRONG[..]); 300];
            send(&server.socket, &question.answer(0, &records));
        }
        "identity" => {
            for difference in 1..=255 {
                wrong[1] = question.bytes[1] ^ difference;
                send(&server.socket, &wrong);
            }
        }
        "stranger" => send(&server.stranger, &wrong),
        "port" => send(&server.port, &wrong),
        "question" => {
            wrong[13] ^= 1;
            send(&server.socket, &wrong);
        }
        "kind" => {
            let kind = question.bytes.len() - 3;
            wrong[kind] ^= (A ^ AAAA) as u8;
            send(&server.socket, &wrong);
        }
        "malformed" => malformed(question).iter().for_each(|bytes| send(&server.socket, bytes)),
        _ => return None,
    }
    Some(())
}

/// What is no answer, each in another way.
fn malformed(question: &Question<'_>) -> Vec<Vec<u8>> {
    let (wrong, record) = (question.with(false), question.bytes.len());
    let changed = |changes: &[(usize, u8)]| {
        let mut bytes = wrong.clone();
        changes.iter().for_each(|(place, byte)| bytes[*place] = *byte);
        bytes
    };
    let mut all: Vec<_> = (0..wrong.len()).map(|length| wrong[..length].to_vec()).collect();
    all.extend([
        // No answer, and another kind of question.
        changed(&[(2, 1)]),
        changed(&[(2, 0x91)]),
        // No question, two, and more records than there are.
        changed(&[(5, 0)]),
        changed(&[(5, 2)]),
        changed(&[(6, 0xff), (7, 0xff)]),
        // Names: of parts that do not end, of a kind that is none, that point to themselves and behind the end.
        changed(&[(12, 63)]),
        changed(&[(12, 0x80)]),
        changed(&[(12, 0xc0), (13, 12)]),
        changed(&[(record + 1, record as u8)]),
        changed(&[(record, 0xff), (record + 1, 0xff)]),
        // The data of the record: longer than all, too short for an address, of another class.
        changed(&[(record + 10, 0xff)]),
        changed(&[(record + 11, 3)]),
        changed(&[(record + 5, 3)]),
    ]);
    all
}
