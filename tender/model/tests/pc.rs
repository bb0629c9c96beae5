//! The PC around the kernel: IO ports, interrupts, the timer and the serial port, through the calls of a root
//! task.

use selkie_tender_model::{
    Cap, Error, Next, Register,
    testing::{Machine, Reply},
};
use selkie_tender_table::{Invocation as I, Kind, Number, Syscall};

/// Nanoseconds of a count of the timer, rounded up.
fn counts(counts: u64) -> u64 {
    (counts * 1_000_000_000).div_ceil(1_193_182)
}

const TIMER_PIN: u64 = 2;
const SERIAL_PIN: u64 = 4;
const SERIAL: u64 = 0x3f8;
const MS: u64 = 1_000_000;

struct Pc {
    machine: Machine<'static>,
    ports: u64,
    cnode: u64,
    control: u64,
    free: u64,
}

/// A handler's slot and that of its notification.
#[derive(Clone, Copy)]
struct Irq {
    handler: u64,
    notification: u64,
}

impl Pc {
    fn new() -> Self {
        let machine = Machine::new();
        let table = machine.kernel.table();
        let [ports, cnode, control] =
            [Number::SlotIoPort, Number::SlotCNode, Number::SlotIrqControl].map(|slot| table.number(slot));
        let free = machine.first_empty();
        Self { machine, ports, cnode, control, free }
    }

    fn slot(&mut self) -> u64 {
        self.free += 1;
        self.free - 1
    }

    fn out8(&mut self, port: u64, byte: u64) {
        assert_eq!(self.machine.invoke(self.ports, I::IoPortOut8, &[port, byte], &[]), Reply::done());
    }

    fn read(&mut self, size: I, port: u64) -> u64 {
        assert_eq!(self.machine.invoke(self.ports, size, &[port], &[]), Reply::done());
        let (memory, thread) = (self.machine.memory(), self.machine.kernel.current());
        thread.register(&memory, Register::R10)
    }

    fn in8(&mut self, port: u64) -> u64 {
        self.read(I::IoPortIn8, port)
    }

    fn handler(&mut self, pin: u64, level: u64, vector: u64, slot: u64) -> Reply {
        let words = [slot, 64, 0, pin, level, 0, vector];
        self.machine.invoke(self.control, I::IrqIssueHandlerIoApic, &words, &[self.cnode])
    }

    fn notification(&mut self) -> u64 {
        let (untyped, slot) = (self.machine.largest_untyped(), self.slot());
        assert_eq!(self.machine.retype(untyped, Kind::Notification, 0, slot, 1), Reply::done());
        slot
    }

    fn irq(&mut self, pin: u64, level: u64, vector: u64) -> Irq {
        let (handler, notification) = (self.slot(), self.notification());
        assert_eq!(self.handler(pin, level, vector, handler), Reply::done());
        let badged = self.slot();
        let words = [badged, 64, notification, 64, 7, 1 << vector];
        assert_eq!(self.machine.invoke(self.cnode, I::CNodeMint, &words, &[self.cnode]), Reply::done());
        assert_eq!(self.machine.invoke(handler, I::IrqSetHandler, &[], &[badged]), Reply::done());
        Irq { handler, notification }
    }

    fn ack(&mut self, irq: Irq) {
        assert_eq!(self.machine.invoke(irq.handler, I::IrqAck, &[], &[]), Reply::done());
    }

    /// The badge that a look at the notification gives; 0 for none.
    fn poll(&mut self, irq: Irq) -> u64 {
        let call = self.machine.number(Syscall::NBRecv);
        self.machine.syscall(call, irq.notification, 0, &[], &[]);
        let (memory, thread) = (self.machine.memory(), self.machine.kernel.current());
        thread.register(&memory, Register::Rdi)
    }

    fn time(&mut self) -> &mut u64 {
        &mut self.machine.kernel.host().time
    }

    fn alarm(&mut self) -> Option<u64> {
        self.machine.kernel.host().alarm
    }

    /// Lets time pass until the alarm, and answers when that was.
    fn wait(&mut self) -> u64 {
        let at = self.machine.kernel.host().alarm.take().expect("an alarm");
        *self.time() = at;
        self.machine.kernel.interrupt();
        at
    }

    fn program(&mut self, command: u64, count: u64) {
        self.out8(0x43, command);
        self.out8(0x40, count & 0xff);
        self.out8(0x40, count >> 8 & 0xff);
    }
}

#[test]
fn ports_are_checked_as_by_the_kernel() {
    let mut pc = Pc::new();
    let (ports, narrow, cnode) = (pc.ports, pc.slot(), pc.cnode);
    let words = [narrow, 64, ports, 64, 7, SERIAL << 16 | 0x3ff];
    assert_eq!(pc.machine.invoke(cnode, I::CNodeMint, &words, &[cnode]), Reply::done());
    let mut invoke = |slot, invocation, words: &[u64]| pc.machine.invoke(slot, invocation, words, &[]);
    assert_eq!(invoke(ports, I::IoPortIn8, &[]), Error::TruncatedMessage.into());
    assert_eq!(invoke(ports, I::IoPortOut8, &[0x80]), Error::TruncatedMessage.into());
    assert_eq!(invoke(ports, I::IrqAck, &[0x80]), Error::IllegalOperation.into());
    assert_eq!(invoke(narrow, I::IoPortIn8, &[0x3ff]), Reply::done());
    assert_eq!(invoke(narrow, I::IoPortIn8, &[0x400]), Error::IllegalOperation.into());
    assert_eq!(invoke(narrow, I::IoPortIn8, &[0x40]), Error::IllegalOperation.into());
    assert_eq!(invoke(narrow, I::IoPortIn16, &[0x3ff]), Error::IllegalOperation.into());
    assert_eq!(invoke(narrow, I::IoPortOut32, &[0x3fd, 0]), Error::IllegalOperation.into());
    assert_eq!(invoke(ports, I::IoPortIn16, &[0xffff]), Error::IllegalOperation.into());
}

#[test]
fn nobody_answers_with_ones() {
    let mut pc = Pc::new();
    assert_eq!(pc.in8(0x2f8), 0xff);
    assert_eq!(pc.read(I::IoPortIn16, 0xcf8), 0xffff);
    assert_eq!(pc.read(I::IoPortIn32, 0xcf8), 0xffff_ffff);
    // The scratch register, and the port after the last one.
    pc.out8(SERIAL + 7, 0xa5);
    assert_eq!(pc.read(I::IoPortIn16, SERIAL + 7), 0xffa5);
    let words = [SERIAL + 6, 0xdead_5a00];
    assert_eq!(pc.machine.invoke(pc.ports, I::IoPortOut32, &words, &[]), Reply::done());
    assert_eq!(pc.in8(SERIAL + 7), 0x5a);
}

#[test]
fn the_exit_port_ends_the_root_task() {
    let mut pc = Pc::new();
    let label = pc.machine.kernel.table().message(I::IoPortOut8).label;
    let call = pc.machine.number(Syscall::Call);
    let next = pc.machine.syscall(call, pc.ports, label.into(), &[0xf4, 0x10 + 42], &[]);
    assert_eq!(next, Next::Exit(42));
}

#[test]
fn handlers_are_refused_as_by_the_kernel() {
    let mut pc = Pc::new();
    let (control, cnode, slot, taken) = (pc.control, pc.cnode, pc.slot(), pc.slot());
    assert_eq!(pc.handler(7, 0, 7, taken), Reply::done());
    let range = |max| Reply::from(Error::Range { min: 0, max });
    let issue =
        |pc: &mut Pc, words: [u64; 7]| pc.machine.invoke(control, I::IrqIssueHandlerIoApic, &words, &[cnode]);
    assert_eq!(issue(&mut pc, [slot, 64, 0, 5, 0, 0, 108]), range(107));
    assert_eq!(issue(&mut pc, [taken, 64, 9, 99, 0, 0, 5]), Error::DeleteFirst.into());
    assert_eq!(issue(&mut pc, [slot, 64, 9, 99, 0, 0, 7]), Error::RevokeFirst.into());
    assert_eq!(issue(&mut pc, [slot, 64, 1, 99, 0, 0, 5]), range(0));
    assert_eq!(issue(&mut pc, [slot, 64, 0, 24, 2, 0, 5]), range(23));
    assert_eq!(issue(&mut pc, [slot, 64, 0, 23, 2, 2, 5]), range(1));
    assert_eq!(issue(&mut pc, [slot, 64, 0, 23, 1, 2, 5]), range(1));
    assert_eq!(issue(&mut pc, [slot, 0, 0, 23, 1, 1, 5]), Error::Range { min: 1, max: 64 }.into());
    let mut invoke =
        |invocation, words: &[u64], caps: &[u64]| pc.machine.invoke(control, invocation, words, caps);
    assert_eq!(invoke(I::IrqIssueHandler, &[1, slot, 64], &[cnode]), Error::IllegalOperation.into());
    assert_eq!(invoke(I::IrqIssueHandler, &[1, slot], &[cnode]), Error::TruncatedMessage.into());
    assert_eq!(invoke(I::IrqIssueHandlerIoApic, &[0; 6], &[cnode]), Error::TruncatedMessage.into());
    assert_eq!(invoke(I::IrqIssueHandlerIoApic, &[0; 7], &[]), Error::TruncatedMessage.into());
    assert_eq!(invoke(I::PageMap, &[slot, 64, 0, 0, 0, 0, 5], &[cnode]), Error::IllegalOperation.into());
    assert_eq!(invoke(I::PageMap, &[slot, 64], &[cnode]), Error::TruncatedMessage.into());
    for (place, max) in [(2, 255), (3, 31), (4, 7)] {
        let mut words = [slot, 64, 0, 0, 0, 0, 5];
        words[place] = max + 1;
        assert_eq!(invoke(I::IrqIssueHandlerMsi, &words, &[cnode]), range(max));
    }
    assert_eq!(invoke(I::IrqIssueHandlerMsi, &[slot, 64, 255, 31, 7, 0, 5], &[cnode]), Reply::done());
    assert_eq!(pc.machine.cap(slot), Cap::IrqHandler { irq: 21 });
    let other = pc.slot();
    assert_eq!(pc.handler(5, 0, 5, other), Error::RevokeFirst.into());
    assert_eq!(pc.handler(23, 1, 107, other), Reply::done());
}

#[test]
fn a_handler_signals_what_it_was_given() {
    let mut pc = Pc::new();
    let irq = pc.irq(TIMER_PIN, 0, 2);
    let (handler, cnode) = (irq.handler, pc.cnode);
    let set = |pc: &mut Pc, caps: &[u64]| pc.machine.invoke(handler, I::IrqSetHandler, &[], caps);
    assert_eq!(set(&mut pc, &[]), Error::TruncatedMessage.into());
    assert_eq!(set(&mut pc, &[cnode]), Error::InvalidCapability(0).into());
    let waiting = pc.slot();
    let words = [waiting, 64, irq.notification, 64, 2];
    assert_eq!(pc.machine.invoke(cnode, I::CNodeCopy, &words, &[cnode]), Reply::done());
    assert_eq!(set(&mut pc, &[waiting]), Error::InvalidCapability(0).into());
    assert_eq!(pc.machine.invoke(handler, I::PageMap, &[], &[]), Error::IllegalOperation.into());

    pc.program(0x30, 1193);
    pc.wait();
    assert_eq!(pc.poll(irq), 1 << 2);
    assert_eq!(pc.machine.invoke(handler, I::IrqClearHandler, &[], &[]), Reply::done());
    pc.ack(irq);
    pc.program(0x30, 1193);
    pc.wait();
    assert_eq!(pc.poll(irq), 0);
    let other = pc.slot();
    assert_eq!(pc.machine.invoke(cnode, I::CNodeDelete, &[handler, 64], &[]), Reply::done());
    assert_eq!(pc.handler(TIMER_PIN, 0, 2, other), Reply::done());
}

#[test]
fn a_one_shot_comes_once_and_on_time() {
    let mut pc = Pc::new();
    let irq = pc.irq(TIMER_PIN, 0, 2);
    *pc.time() = 77;
    pc.program(0x30, 5966);
    assert_eq!(pc.alarm(), Some(77 + counts(5966)));
    *pc.time() = 77 + counts(5966) - 1;
    pc.machine.kernel.interrupt();
    assert_eq!((pc.poll(irq), pc.alarm()), (0, Some(77 + counts(5966))), "too early");
    pc.wait();
    assert_eq!((pc.poll(irq), pc.alarm()), (1 << 2, None));
    pc.ack(irq);
    assert_eq!(pc.alarm(), None);
    *pc.time() += 1000 * MS;
    pc.machine.kernel.interrupt();
    assert_eq!(pc.poll(irq), 0);
    pc.program(0x30, 0);
    assert_eq!(pc.alarm(), Some(*pc.time() + counts(65536)));
    pc.out8(0x43, 0x30);
    assert_eq!(pc.alarm(), None, "a command stops the count");
}

#[test]
fn a_periodic_timer_does_not_drift() {
    for command in [0x34, 0x36] {
        let mut pc = Pc::new();
        let irq = pc.irq(TIMER_PIN, 0, 2);
        pc.program(command, 119);
        // The square wave begins high, which is an edge too.
        if command == 0x36 {
            assert_eq!(pc.poll(irq), 1 << 2);
            pc.ack(irq);
        }
        for nth in 1..10_000 {
            assert_eq!(pc.wait(), counts(119 * nth), "{command:#x}");
            assert_eq!((pc.poll(irq), pc.alarm()), (1 << 2, None));
            *pc.time() += nth % 90_000;
            pc.ack(irq);
        }
        // Edges that pass unseen, and while the interrupt is masked, are one or none.
        *pc.time() += 50 * MS;
        pc.machine.kernel.interrupt();
        assert_eq!(pc.poll(irq), 1 << 2);
        *pc.time() += 50 * MS;
        pc.ack(irq);
        assert_eq!(pc.poll(irq), 0);
        let now = *pc.time();
        assert!(pc.alarm().is_some_and(|at| at > now && at <= now + counts(119)));
    }
}

#[test]
fn a_released_handler_leaves_its_pin_masked() {
    let mut pc = Pc::new();
    let first = pc.irq(TIMER_PIN, 0, 2);
    let second = pc.irq(TIMER_PIN, 0, 30);
    pc.program(0x34, 1193);
    pc.wait();
    assert_eq!((pc.poll(first), pc.poll(second)), (0, 1 << 30), "the pin is the last one's");
    pc.ack(second);
    let cnode = pc.cnode;
    assert_eq!(pc.machine.invoke(cnode, I::CNodeDelete, &[first.handler, 64], &[]), Reply::done());
    pc.wait();
    assert_eq!((pc.poll(second), pc.alarm()), (0, None));
    pc.ack(second);
    pc.wait();
    assert_eq!(pc.poll(second), 1 << 30);
}

#[test]
fn the_counter_is_latched_and_read_back() {
    let mut pc = Pc::new();
    pc.program(0x30, 0x1234);
    *pc.time() += counts(0x34);
    assert_eq!((pc.in8(0x40), pc.in8(0x40)), (0x00, 0x12));
    pc.out8(0x43, 0x00);
    *pc.time() += counts(0x1000);
    assert_eq!((pc.in8(0x40), pc.in8(0x40)), (0x00, 0x12), "latched");
    assert_eq!((pc.in8(0x40), pc.in8(0x40)), (0x00, 0x02));
    pc.out8(0x43, 0xc2);
    assert_eq!(pc.in8(0x40), 0x30, "the status: low, counting, both bytes, mode 0");
    assert_eq!((pc.in8(0x40), pc.in8(0x40)), (0x00, 0x02), "and the count");
    *pc.time() += counts(0x200);
    pc.out8(0x43, 0xe2);
    assert_eq!(pc.in8(0x40), 0xb0, "the output is high at the end");
    pc.out8(0x43, 0x36);
    pc.out8(0x43, 0xe2);
    assert_eq!(pc.in8(0x40), 0x76, "no count yet");
    assert_eq!(pc.in8(0x43), 0);
    pc.out8(0x43, 0x14);
    pc.out8(0x40, 100);
    *pc.time() += counts(130);
    assert_eq!(pc.in8(0x40), 70);
    assert_eq!(pc.in8(0x40), 70, "one byte only");
}

#[test]
fn channel_2_tells_its_end_at_its_control_port() {
    let mut pc = Pc::new();
    let gate = pc.in8(0x61) & !3;
    pc.out8(0x61, gate);
    pc.out8(0x43, 0xb0);
    pc.out8(0x42, 0xa9);
    pc.out8(0x42, 0x04);
    pc.out8(0x61, gate | 1);
    *pc.time() += counts(0x4a8);
    assert_eq!(pc.in8(0x61) & 0x23, 1);
    *pc.time() += counts(2);
    assert_eq!(pc.in8(0x61) & 0x23, 0x21);
    assert_eq!(pc.alarm(), None);
}

#[test]
fn the_serial_port_sends_at_once_and_receives_what_was_typed() {
    let mut pc = Pc::new();
    pc.out8(SERIAL + 2, 0x07);
    assert_eq!(pc.in8(SERIAL + 2), 0xc1);
    assert_eq!(pc.in8(SERIAL + 5), 0x60);
    for byte in b"hello\n" {
        pc.out8(SERIAL, u64::from(*byte));
    }
    assert_eq!(pc.in8(SERIAL + 5), 0x60);
    assert_eq!(pc.machine.kernel.host().output, b"hello\n");
    pc.machine.kernel.host().input.extend(b"typed");
    for byte in b"typed" {
        assert_eq!(pc.in8(SERIAL + 5), 0x61);
        assert_eq!(pc.in8(SERIAL), u64::from(*byte));
    }
    assert_eq!((pc.in8(SERIAL + 5), pc.in8(SERIAL)), (0x60, 0));
}

#[test]
fn the_serial_port_has_the_registers_of_a_16550a() {
    let mut pc = Pc::new();
    let registers = |pc: &mut Pc| (0..8).map(|port| pc.in8(SERIAL + port)).collect::<Vec<_>>();
    assert_eq!(registers(&mut pc), [0, 0, 0xc1, 0x03, 0x0b, 0x60, 0xb0, 0]);
    pc.out8(SERIAL + 3, 0x83);
    pc.out8(SERIAL, 0x34);
    pc.out8(SERIAL + 1, 0x12);
    assert_eq!((pc.in8(SERIAL), pc.in8(SERIAL + 1), pc.in8(SERIAL + 3)), (0x34, 0x12, 0x83));
    pc.out8(SERIAL + 3, 0x03);
    pc.out8(SERIAL + 1, 0xff);
    assert_eq!((pc.in8(SERIAL + 1), pc.in8(SERIAL + 3)), (0x0f, 0x03));
    assert!(pc.machine.kernel.host().output.is_empty());
    pc.out8(SERIAL + 2, 0);
    // In loopback the port hears itself, and OUT2, OUT1, DTR and RTS are its inputs.
    pc.out8(SERIAL + 4, 0xff);
    assert_eq!((pc.in8(SERIAL + 4), pc.in8(SERIAL + 6)), (0x1f, 0xf0));
    pc.out8(SERIAL + 4, 0x1a);
    assert_eq!(pc.in8(SERIAL + 6), 0x90);
    pc.out8(SERIAL, 0xae);
    pc.machine.kernel.host().input.push_back(1);
    assert_eq!((pc.in8(SERIAL + 5), pc.in8(SERIAL), pc.in8(SERIAL + 5)), (0x61, 0xae, 0x60));
    assert!(pc.machine.kernel.host().output.is_empty());
    // Without a FIFO there is room for one byte.
    pc.out8(SERIAL, 1);
    pc.out8(SERIAL, 2);
    assert_eq!((pc.in8(SERIAL + 5), pc.in8(SERIAL + 5), pc.in8(SERIAL)), (0x63, 0x61, 2));
    pc.out8(SERIAL + 2, 0x01);
    for byte in 0..20 {
        pc.out8(SERIAL, byte);
    }
    assert_eq!(pc.in8(SERIAL + 5), 0x63);
    let received: Vec<_> = (0..17).map(|_| pc.in8(SERIAL)).collect();
    assert_eq!(received, (0..16).chain([0]).collect::<Vec<_>>());
}

#[test]
fn the_serial_port_interrupts_for_what_is_enabled() {
    let mut pc = Pc::new();
    let irq = pc.irq(SERIAL_PIN, 0, 4);
    pc.out8(SERIAL + 2, 0x07);
    pc.machine.kernel.host().input.extend(b"ab");
    pc.machine.kernel.interrupt();
    assert_eq!(pc.poll(irq), 0, "nothing is enabled");
    pc.out8(SERIAL + 1, 0x01);
    pc.machine.kernel.interrupt();
    assert_eq!((pc.poll(irq), pc.in8(SERIAL + 2)), (1 << 4, 0xc4));
    assert_eq!(pc.in8(SERIAL), u64::from(b'a'));
    pc.ack(irq);
    pc.machine.kernel.interrupt();
    assert_eq!((pc.poll(irq), pc.in8(SERIAL)), (1 << 4, u64::from(b'b')));
    pc.ack(irq);
    // The transmitter is empty: once for being enabled, then after each byte.
    pc.out8(SERIAL + 1, 0x02);
    assert_eq!((pc.poll(irq), pc.in8(SERIAL + 2), pc.in8(SERIAL + 2)), (1 << 4, 0xc2, 0xc1));
    pc.ack(irq);
    assert_eq!(pc.poll(irq), 0);
    pc.out8(SERIAL, u64::from(b'x'));
    assert_eq!(pc.poll(irq), 1 << 4);
    pc.ack(irq);
    pc.out8(SERIAL, u64::from(b'y'));
    assert_eq!(pc.poll(irq), 1 << 4, "the line has been low in between");
    pc.out8(SERIAL + 1, 0x00);
    assert_eq!(pc.in8(SERIAL + 2), 0xc1);
}

#[test]
fn few_bytes_interrupt_when_they_have_waited() {
    let mut pc = Pc::new();
    let irq = pc.irq(SERIAL_PIN, 0, 4);
    pc.out8(SERIAL + 3, 0x83);
    pc.out8(SERIAL, 1);
    pc.out8(SERIAL + 1, 0);
    pc.out8(SERIAL + 3, 0x03);
    pc.out8(SERIAL + 2, 0x87);
    pc.out8(SERIAL + 1, 0x01);
    pc.machine.kernel.host().input.extend(b"abc");
    pc.machine.kernel.interrupt();
    assert_eq!((pc.poll(irq), pc.in8(SERIAL + 2)), (0, 0xc1));
    // Four characters of ten bits.
    assert_eq!(pc.wait(), 40 * 1_000_000_000 / 115_200);
    assert_eq!((pc.poll(irq), pc.in8(SERIAL + 2)), (1 << 4, 0xcc));
    assert_eq!((pc.in8(SERIAL), pc.in8(SERIAL + 2)), (u64::from(b'a'), 0xc1));
    pc.ack(irq);
    pc.machine.kernel.host().input.extend(b"defghijkl");
    pc.machine.kernel.interrupt();
    assert_eq!((pc.poll(irq), pc.in8(SERIAL + 2)), (1 << 4, 0xc4));
}

#[test]
fn a_level_stays_until_the_device_is_served() {
    let mut pc = Pc::new();
    let irq = pc.irq(SERIAL_PIN, 1, 4);
    pc.out8(SERIAL + 1, 0x01);
    pc.machine.kernel.host().input.push_back(7);
    pc.machine.kernel.interrupt();
    assert_eq!(pc.poll(irq), 1 << 4);
    pc.ack(irq);
    assert_eq!(pc.poll(irq), 1 << 4);
    assert_eq!(pc.in8(SERIAL), 7);
    pc.ack(irq);
    assert_eq!(pc.poll(irq), 0);
}
