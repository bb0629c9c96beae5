//! Host devices: what the tender answers at their control endpoint (`docs/devices.md`).

use crate::{
    Host, Kernel, Memory, Moved, Register,
    request::{Answer, Request},
};
use selkie_base::devices::{self, Console, DeviceKind, RingPlace, RingSide, answer};

/// What a waiter sees when a device has signalled its notification.
const SIGNAL: u64 = 1;
/// Where the label begins in a message's tag.
const LABEL_SHIFT: u32 = 12;

/// A device of the host, as the list in BootInfo has it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Device {
    /// What it is.
    pub(crate) kind: u32,
    /// What it has.
    pub(crate) flags: u32,
    /// The physical address of its region; 0 without one.
    pub(crate) region: u64,
    /// Bytes of its region.
    pub(crate) size: u64,
    /// What else its kind needs.
    pub(crate) params: [u64; 2],
    /// Its notification; 0 without one.
    pub(crate) notification: u64,
}

impl Device {
    /// Whether it is a console that takes input.
    pub(crate) fn has_input(&self) -> bool {
        self.kind == DeviceKind::Console as u32 && self.flags & Console::HAS_INPUT != 0
    }
}

/// The devices of the host. The badge of a device's endpoint is its number here plus 1.
#[derive(Debug, Default)]
pub(crate) struct Devices {
    /// What each of them is.
    kinds: [u32; Self::MOST],
    count: usize,
    /// The first console of them.
    console: Option<Rings>,
    /// The number of that.
    console_number: usize,
    /// There is a network.
    net: bool,
    /// The notification of all devices with queues, when there are such.
    queues: Option<u64>,
}

/// The rings of a console.
#[derive(Debug, Clone, Copy)]
struct Rings {
    /// The physical address of the region.
    region: u64,
    notification: u64,
    output: RingPlace,
    input: Option<RingPlace>,
    taken: RingSide,
    put: RingSide,
    /// The function has used the console.
    open: bool,
    /// The function has broken the rules.
    broken: bool,
}

impl Devices {
    /// The id of the BootInfo chunk that lists them.
    pub(crate) const CHUNK: u64 = devices::DEVICES_CHUNK;
    /// The most devices that are served.
    pub(crate) const MOST: usize = 8;

    /// Appends a device; there are at most [`MOST`](Self::MOST).
    pub(crate) fn add(&mut self, device: Device) {
        if self.console.is_none() && device.kind == DeviceKind::Console as u32 {
            (self.console, self.console_number) = (Rings::new(&device), self.count);
        }
        self.net |= device.kind == DeviceKind::Net as u32;
        if Self::has_queues(device.kind) {
            self.queues = Some(device.notification);
        }
        self.kinds[self.count] = device.kind;
        self.count += 1;
    }

    /// Whether a device of this kind has queues: all of those have one notification.
    pub(crate) fn has_queues(kind: u32) -> bool {
        [DeviceKind::Net as u32, DeviceKind::Block as u32].contains(&kind)
    }

    /// The notification of the devices with queues, once one of them was added.
    pub(crate) fn queues(&self) -> Option<u64> {
        self.queues
    }

    /// The number of the device that an endpoint with this badge stands for, and its kind.
    fn get(&self, badge: u64) -> Option<(usize, DeviceKind)> {
        let number = usize::try_from(badge).ok()?.checked_sub(1)?;
        let kind = *self.kinds[..self.count].get(number)?;
        Some((number, devices::Device { number: kind, ..devices::Device::default() }.kind()?))
    }

    /// Whether there is a network.
    pub(crate) fn has_net(&self) -> bool {
        self.net
    }

    /// Whether the console device is in use: what is typed goes there, not to the serial port.
    pub(crate) fn console_is_open(&self) -> bool {
        self.console.is_some_and(|rings| rings.open && rings.input.is_some())
    }

    /// The rings of device number `number`, if it is the console; it is in use from now on.
    fn open_console(&mut self, number: usize) -> Option<&mut Rings> {
        let rings = self.console.as_mut().filter(|_| self.console_number == number)?;
        rings.open = true;
        Some(rings)
    }
}

impl Rings {
    fn new(device: &Device) -> Option<Self> {
        let entry = devices::Device {
            number: device.kind,
            flags: device.flags,
            address: device.region,
            size: device.size,
            params: device.params,
            ..devices::Device::default()
        };
        let console = Console::of(&entry).ok().filter(|_| device.region != 0)?;
        Some(Self {
            region: device.region,
            notification: device.notification,
            output: console.output,
            input: (device.flags & Console::HAS_INPUT != 0).then_some(console.input),
            taken: RingSide::new(console.output.size),
            put: RingSide::new(console.input.size),
            open: false,
            broken: false,
        })
    }

    /// Takes all output. Fails, from then on for ever, when the function's index cannot be right.
    fn take_output<H: Host>(&mut self, memory: &Memory<'_>, host: &mut H) -> Result<(), ()> {
        let index = self.region + u64::from(Console::OUTPUT_PUT);
        loop {
            let place = self.taken.filled(memory.get(index));
            let place = place.ok().filter(|_| !self.broken).ok_or(()).inspect_err(|()| self.broken = true)?;
            let count = place.len();
            if count == 0 {
                break;
            }
            for offset in place {
                host.console_write(byte(memory, self.region + u64::from(self.output.offset) + offset as u64));
            }
            self.taken.advance(count);
        }
        memory.set(self.region + u64::from(Console::OUTPUT_TAKEN), self.taken.index());
        Ok(())
    }

    /// Puts what `next` gives into the input, while there is room; whether anything was put.
    fn put_input(&mut self, memory: &Memory<'_>, mut next: impl FnMut() -> Option<u8>) -> Result<bool, ()> {
        let Some(input) = self.input else { return Ok(false) };
        let (index, before) = (self.region + u64::from(Console::INPUT_TAKEN), self.put.index());
        loop {
            let place = self.put.room(memory.get(index));
            let place = place.ok().filter(|_| !self.broken).ok_or(()).inspect_err(|()| self.broken = true)?;
            let room = place.len();
            let mut count = 0;
            for offset in place {
                let Some(typed) = next() else { break };
                memory.write(self.region + u64::from(input.offset) + offset as u64, &[typed]);
                count += 1;
            }
            self.put.advance(count);
            if count < room || count == 0 {
                break;
            }
        }
        memory.set(self.region + u64::from(Console::INPUT_PUT), self.put.index());
        Ok(self.put.index() != before)
    }
}

/// A byte of physical memory.
fn byte(memory: &Memory<'_>, address: u64) -> u8 {
    (memory.get(address & !7) >> (8 * (address & 7))) as u8
}

impl<H: Host> Kernel<'_, H> {
    /// Answers a call to the devices' endpoint through a capability with this badge.
    pub(crate) fn serve_device(&mut self, badge: u64, request: &Request) -> Answer {
        let label = request.thread.register(&self.memory, Register::Rsi) >> LABEL_SHIFT;
        match self.devices.get(badge) {
            Some((_, DeviceKind::Clock)) if label == devices::request::CLOCK_READ => {
                Answer::Words([self.host.now(), self.host.wall_clock(), 0, 0], 2)
            }
            Some((number, DeviceKind::Console)) if label == devices::request::CONSOLE_LOOK => {
                let answer = self.look_at_console(number);
                self.answer_label(request, answer)
            }
            Some((_, DeviceKind::Net)) if label == devices::request::QUEUE_LOOK => {
                let answer = self.look_at_net();
                self.answer_label(request, answer)
            }
            Some((_, DeviceKind::Entropy)) if label == devices::request::ENTROPY_READ => {
                match self.host.random() {
                    Some(words) => Answer::Words(words, 4),
                    None => self.answer_label(request, answer::NOT_SERVED),
                }
            }
            Some((_, DeviceKind::Block)) if label == devices::request::QUEUE_LOOK => {
                let moved = self.host.move_sectors();
                self.tell_queues(moved);
                self.answer_label(request, if moved.broken { answer::BROKEN } else { answer::DONE })
            }
            _ => self.answer_label(request, answer::UNKNOWN),
        }
    }

    /// Takes the console's output and puts its input; the label to answer with.
    fn look_at_console(&mut self, number: usize) -> u64 {
        let (memory, host) = (&self.memory, &mut self.host);
        let serial = &mut self.machine.serial;
        let Some(rings) = self.devices.open_console(number) else { return answer::BROKEN };
        let notification = rings.notification;
        let done = rings.take_output(memory, host).and_then(|()| {
            // What was typed before the console was opened may be in the serial port.
            rings.put_input(memory, || serial.give_back().or_else(|| host.console_read()))
        });
        // Another thread than the one that asks may wait for it.
        if done == Ok(true) && notification != 0 {
            self.signal(notification, SIGNAL);
        }
        if done.is_ok() { answer::DONE } else { answer::BROKEN }
    }

    /// Lets the host move what it can; the label to answer with.
    fn look_at_net(&mut self) -> u64 {
        if self.move_frames() { answer::BROKEN } else { answer::DONE }
    }

    /// Moves frames of the network, when there is one, and tells the function; whether it has broken a queue.
    pub(crate) fn move_frames(&mut self) -> bool {
        if !self.devices.has_net() {
            return false;
        }
        let moved = self.host.move_frames();
        self.tell_queues(moved);
        moved.broken
    }

    /// Signals the function, where it waits for what has become of its queues.
    fn tell_queues(&mut self, moved: Moved) {
        if let Some(notification) = self.devices.queues().filter(|_| moved.signal) {
            self.signal(notification, SIGNAL);
        }
    }

    /// Puts what was typed into the console's input and tells the function, when it has used the console.
    pub(crate) fn receive_console(&mut self) {
        let (memory, host) = (&self.memory, &mut self.host);
        let Some(rings) = self.devices.console.as_mut().filter(|rings| rings.open) else { return };
        let notification = rings.notification;
        if rings.put_input(memory, || host.console_read()) == Ok(true) && notification != 0 {
            self.signal(notification, SIGNAL);
        }
    }

    /// Answers with a label and no words.
    fn answer_label(&self, request: &Request, label: u64) -> Answer {
        if request.call {
            request.thread.set_register(&self.memory, Register::Rdi, 0);
            request.thread.set_register(&self.memory, Register::Rsi, label << LABEL_SHIFT);
        }
        Answer::Silent
    }
}
