//! Host devices: what the tender answers at their endpoints, and the console's rings.

use selkie_base::devices::{Console, DEVICES_CHUNK, Device, DeviceKind, Devices, RingSide, answer, request};
use selkie_tender_model::{
    Cap, Memory, Next, Register,
    testing::{IMAGE, Machine, Reply, boot_with},
};
use selkie_tender_table::{Invocation as I, Kind, Number, Syscall};

const REGION_OFFSET: u64 = 512;
/// Where the chunks are: after the image, the IPC buffer and BootInfo.
const EXTRA: u64 = IMAGE.end + 0x2000;

/// A machine with a console, a clock, a disk, a network and random bits.
struct Host {
    machine: Machine<'static>,
    console: Device,
    clock: Device,
    disk: Device,
    net: Device,
    entropy: Device,
    /// The physical address of the console's region.
    region: u64,
    put: RingSide,
    taken: RingSide,
}

impl Host {
    fn new(flags: u32) -> Self {
        let devices = [
            Device {
                number: DeviceKind::Console as u32,
                flags,
                address: EXTRA + REGION_OFFSET,
                size: Console::SMALL_SIZE,
                params: Console::SMALL.params(),
                ..Device::default()
            },
            Device { number: DeviceKind::Clock as u32, ..Device::default() },
            Device { number: DeviceKind::Block as u32, ..Device::default() },
            Device { number: DeviceKind::Net as u32, ..Device::default() },
            Device { number: DeviceKind::Entropy as u32, ..Device::default() },
        ];
        let mut region = 0;
        let kernel = boot_with(4 << 20, 12, |memory, paddr| {
            let mut list = [0; 400];
            let size = Devices::write(&devices, &mut list).expect("room");
            memory.write(paddr, &DEVICES_CHUNK.to_le_bytes());
            memory.write(paddr + 8, &(16 + size as u64).to_le_bytes());
            memory.write(paddr + 16, &list[..size]);
            region = paddr + REGION_OFFSET;
            4096
        });
        let machine = Machine { kernel };
        let bytes: Vec<u8> =
            (0..400).map(|at| byte(&machine.memory(), region - REGION_OFFSET + 16 + at)).collect();
        let list: Vec<_> = Devices::new(&bytes).expect("the list").iter().collect();
        let [console, clock, disk, net, entropy] = list[..] else { panic!("{list:?}") };
        let (put, taken) = (RingSide::new(1024), RingSide::new(256));
        Self { machine, console, clock, disk, net, entropy, region, put, taken }
    }

    fn look(&mut self) -> Reply {
        self.machine.call(self.console.endpoint, request::CONSOLE_LOOK, &[], &[])
    }

    fn word(&self, at: u32) -> u64 {
        self.machine.memory().get(self.region + u64::from(at))
    }

    fn set_word(&mut self, at: u32, word: u64) {
        self.machine.memory().set(self.region + u64::from(at), word);
    }

    /// Puts what there is room for.
    fn print(&mut self, text: &[u8]) -> usize {
        let place = self.put.room(self.word(Console::OUTPUT_TAKEN)).expect("a ring");
        let count = place.len().min(text.len());
        let at = self.region + u64::from(Console::SMALL.output.offset) + place.start as u64;
        self.machine.memory().write(at, &text[..count]);
        self.put.advance(count);
        self.set_word(Console::OUTPUT_PUT, self.put.index());
        count
    }

    /// Takes what has been typed.
    fn typed(&mut self) -> Vec<u8> {
        let mut text = Vec::new();
        loop {
            let place = self.taken.filled(self.word(Console::INPUT_PUT)).expect("a ring");
            if place.is_empty() {
                break;
            }
            let at = self.region + u64::from(Console::SMALL.input.offset);
            text.extend(place.clone().map(|offset| byte(&self.machine.memory(), at + offset as u64)));
            self.taken.advance(place.len());
        }
        self.set_word(Console::INPUT_TAKEN, self.taken.index());
        text
    }

    fn poll(&mut self) -> u64 {
        self.poll_at(self.console.notification)
    }

    fn poll_at(&mut self, notification: u64) -> u64 {
        let call = self.machine.number(Syscall::NBRecv);
        self.machine.syscall(call, notification, 0, &[], &[]);
        let thread = self.machine.kernel.current();
        thread.register(&self.machine.memory(), Register::Rdi)
    }
}

fn byte(memory: &Memory<'_>, address: u64) -> u8 {
    memory.get(address & !7).to_le_bytes()[(address & 7) as usize]
}

fn label(label: u64) -> Reply {
    Reply { label, words: vec![] }
}

#[test]
fn the_clock_tells_both_times() {
    let mut host = Host::new(0);
    host.machine.kernel.host().time = 5;
    let reply = host.machine.call(host.clock.endpoint, request::CLOCK_READ, &[], &[]);
    assert_eq!(reply, Reply { label: 0, words: vec![5, 1_000_000_000_000_000_005] });
    assert_eq!(host.machine.call(host.clock.endpoint, 2, &[], &[]), label(answer::UNKNOWN));
    assert_eq!(host.machine.call(host.console.endpoint, 7, &[], &[]), label(answer::UNKNOWN));
}

#[test]
fn random_bits_are_answered_as_long_as_there_are_any() {
    let mut host = Host::new(0);
    let mut ask = |label| host.machine.call(host.entropy.endpoint, label, &[], &[]);
    assert_eq!(ask(request::ENTROPY_READ), Reply { label: 0, words: vec![1, 2, 3, 4] });
    assert_eq!(ask(request::ENTROPY_READ), Reply { label: 0, words: vec![2, 2, 3, 4] });
    assert_eq!(ask(request::ENTROPY_READ), label(answer::NOT_SERVED));
    assert_eq!(ask(2), label(answer::UNKNOWN));
}

#[test]
fn frames_are_moved_when_the_function_asks_and_when_something_has_come() {
    let mut host = Host::new(0);
    let look = |host: &mut Host| host.machine.call(host.net.endpoint, request::QUEUE_LOOK, &[], &[]);
    assert_eq!(look(&mut host), label(answer::DONE));
    assert_eq!(host.machine.call(host.net.endpoint, 2, &[], &[]), label(answer::UNKNOWN));
    assert_eq!(host.machine.kernel.host().moved.1, 1);
    assert_eq!(host.poll_at(host.net.notification), 0, "there is nothing to tell");
    host.machine.kernel.host().moved.0.signal = true;
    host.machine.kernel.interrupt();
    assert_eq!(host.machine.kernel.host().moved.1, 2);
    assert_eq!(host.poll_at(host.net.notification), 1);
    assert_eq!(look(&mut host), label(answer::DONE));
    assert_eq!(host.poll_at(host.net.notification), 1);
    host.machine.kernel.host().moved.0.broken = true;
    assert_eq!(look(&mut host), label(answer::BROKEN));
}

#[test]
fn a_disk_is_served_when_the_function_asks_and_signals_what_the_network_does() {
    let mut host = Host::new(0);
    assert_eq!(host.disk.notification, host.net.notification);
    let look = |host: &mut Host| host.machine.call(host.disk.endpoint, request::QUEUE_LOOK, &[], &[]);
    assert_eq!(look(&mut host), label(answer::DONE));
    assert_eq!(host.machine.call(host.disk.endpoint, 2, &[], &[]), label(answer::UNKNOWN));
    assert_eq!(host.poll_at(host.disk.notification), 0, "there is nothing to tell");
    host.machine.kernel.host().sectors.0.signal = true;
    host.machine.kernel.interrupt();
    assert_eq!(host.machine.kernel.host().sectors.1, 1, "nobody has asked");
    assert_eq!(look(&mut host), label(answer::DONE));
    assert_eq!(host.poll_at(host.net.notification), 1);
    host.machine.kernel.host().sectors.0.broken = true;
    assert_eq!(look(&mut host), label(answer::BROKEN));
}

#[test]
fn output_comes_out_in_order() {
    let mut host = Host::new(0);
    assert_eq!(host.console.notification, 0);
    let text: Vec<u8> = (0..=255).cycle().take(10_000).collect();
    let mut left = &text[..];
    while !left.is_empty() {
        let count = host.print(&left[..left.len().min(700)]);
        left = &left[count..];
        assert_eq!(host.look(), label(answer::DONE));
        assert_eq!(host.word(Console::OUTPUT_TAKEN), host.put.index());
    }
    assert_eq!(host.machine.kernel.host().output, text);
    // Without the flag for input what is typed is the serial port's.
    host.machine.kernel.host().input.push_back(b'x');
    assert_eq!(host.look(), label(answer::DONE));
    assert_eq!((host.typed(), host.machine.kernel.host().input.len()), (vec![], 1));
}

#[test]
fn input_comes_with_a_signal_and_only_as_much_as_there_is_room_for() {
    let mut host = Host::new(Console::HAS_INPUT);
    let text: Vec<u8> = (0..=255).cycle().take(600).collect();
    // Typed before anybody looked: the serial port has taken one byte of it.
    host.machine.kernel.host().input.extend(&text);
    let ports = host.machine.kernel.table().number(Number::SlotIoPort);
    assert_eq!(host.machine.invoke(ports, I::IoPortIn8, &[0x3fd], &[]), Reply::done());
    host.machine.kernel.interrupt();
    assert_eq!(host.poll(), 0);
    assert_eq!(host.look(), label(answer::DONE));
    assert_eq!(host.poll(), 1, "who waits may be another thread than the one that looks");
    let mut got = host.typed();
    assert_eq!(got.len(), 256);
    host.machine.kernel.interrupt();
    assert_eq!(host.poll(), 1);
    host.machine.kernel.interrupt();
    assert_eq!(host.poll(), 0, "no room, nothing to tell");
    got.extend(host.typed());
    assert_eq!(host.look(), label(answer::DONE));
    got.extend(host.typed());
    assert_eq!(got, text);
    // What is typed now is the console's alone.
    host.machine.kernel.host().input.push_back(b'x');
    assert_eq!(host.machine.invoke(ports, I::IoPortIn8, &[0x3fd], &[]), Reply::done());
    host.machine.kernel.interrupt();
    assert_eq!((host.poll(), host.typed()), (1, vec![b'x']));
}

#[test]
fn a_broken_ring_is_not_used_again() {
    for at in [Console::OUTPUT_PUT, Console::INPUT_TAKEN] {
        let mut host = Host::new(Console::HAS_INPUT);
        assert_eq!(host.look(), label(answer::DONE));
        host.set_word(at, 5000);
        assert_eq!(host.look(), label(answer::BROKEN));
        host.set_word(at, 0);
        host.machine.kernel.host().input.push_back(b'x');
        host.machine.kernel.interrupt();
        assert_eq!((host.look(), host.poll()), (label(answer::BROKEN), 0));
    }
}

#[test]
fn debug_calls_answer_as_the_debug_kernel() {
    let mut machine = Machine::new();
    let table = machine.kernel.table();
    let call = |machine: &mut Machine<'_>, call, cap| {
        let number = machine.number(call);
        let next = machine.syscall(number, cap, 0, &[0], &[]);
        let thread = machine.kernel.current();
        (next, thread.register(&machine.memory(), Register::Rdi))
    };
    let kinds = [
        (Number::SlotTcb, 12),
        (Number::SlotCNode, 10),
        (Number::SlotVSpace, 9),
        (Number::SlotIrqControl, 14),
        (Number::SlotAsidControl, 11),
        (Number::SlotAsidPool, 13),
        (Number::SlotIoPort, 19),
        (Number::SlotBootInfoFrame, 1),
        (Number::SlotDomain, 20),
    ];
    for (slot, kind) in kinds {
        assert_eq!(call(&mut machine, Syscall::DebugCapIdentify, table.number(slot)).1, kind, "{slot:?}");
    }
    assert_eq!(call(&mut machine, Syscall::DebugCapIdentify, 0).1, 0);
    assert_eq!(call(&mut machine, Syscall::DebugCapIdentify, u64::MAX).1, 0);
    let (untyped, free) = (machine.largest_untyped(), machine.first_empty());
    assert_eq!(machine.retype(untyped, Kind::PageTable, 0, free, 1), Reply::done());
    assert_eq!(call(&mut machine, Syscall::DebugCapIdentify, free).1, 3);
    assert!(matches!(machine.cap(free), Cap::PageTable { .. }));

    call(&mut machine, Syscall::DebugPutChar, 0x141);
    assert_eq!(machine.kernel.host().output, b"A");
    let tcb = table.number(Number::SlotTcb);
    assert!(matches!(call(&mut machine, Syscall::DebugNameThread, tcb).0, Next::Run(_)));
    assert_eq!(call(&mut machine, Syscall::DebugNameThread, free).0, Next::Exit(104));
    assert_eq!(call(&mut machine, Syscall::DebugHalt, 0).0, Next::Exit(104));
}
