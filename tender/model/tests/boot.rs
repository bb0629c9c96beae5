//! What the root task finds when it starts.

use selkie_tender_model::testing::{BASE, FakeHost, IMAGE, Machine, boot_with, memory, table};
use selkie_tender_model::{
    Boot, BootError, Cap, FrameSize, Kernel, Memory, Next, Register, Slot, ThreadState,
};
use selkie_tender_table::{Number, Syscall};

/// BootInfo of the test image.
struct BootInfo(Memory<'static>);

impl BootInfo {
    const PADDR: u64 = BASE + (IMAGE.end - IMAGE.start) + 0x1000;

    fn word(&self, field: Number) -> u64 {
        self.word_at(table(12).number(field))
    }

    fn word_at(&self, offset: u64) -> u64 {
        (0..8).fold(0, |word, number| word | u64::from(self.byte(offset + number)) << (8 * number))
    }

    fn byte(&self, offset: u64) -> u8 {
        let address = Self::PADDR + offset;
        (self.0.get(address & !7) >> (8 * (address & 7))) as u8
    }

    fn range(&self, field: Number) -> std::ops::Range<u64> {
        let offset = table(12).number(field);
        self.word_at(offset)..self.word_at(offset + 8)
    }
}

fn mapped(address: u64, at: u64, write: bool) -> Cap {
    let (size, mapped) = (FrameSize::Small, Some((1, at)));
    Cap::Frame { address, size, write, read: true, device: false, mapped }
}

#[test]
fn fixed_capabilities_are_in_their_slots() {
    let machine = Machine::new();
    let thread = machine.kernel.current();
    assert_eq!(machine.cap(0), Cap::Null);
    assert_eq!(machine.cap(1), Cap::Thread { tcb: thread.0 });
    assert!(matches!(machine.cap(2), Cap::CNode { radix: 12, guard: 0, guard_bits: 52, .. }));
    assert!(matches!(machine.cap(3), Cap::Pml4 { asid: 1, .. }));
    assert_eq!(machine.cap(4), Cap::IrqControl);
    assert_eq!(machine.cap(5), Cap::AsidControl);
    assert!(matches!(machine.cap(6), Cap::AsidPool { base: 0, .. }));
    assert_eq!(machine.cap(7), Cap::IoPort { first: 0, last: u16::MAX });
    assert_eq!(machine.cap(8), Cap::Null);
    assert_eq!(machine.cap(9), mapped(BootInfo::PADDR, IMAGE.end + 0x1000, true));
    assert_eq!(machine.cap(10), mapped(BootInfo::PADDR - 0x1000, IMAGE.end, true));
    assert_eq!(machine.cap(11), Cap::Domain);
}

#[test]
fn the_thread_starts_with_its_registers_and_spaces() {
    let machine = Machine::new();
    let (memory, thread) = (machine.memory(), machine.kernel.current());
    assert_eq!(thread.state(&memory), ThreadState::Running);
    assert_eq!((thread.priority(&memory), thread.max_priority(&memory)), (255, 255));
    assert_eq!(thread.register(&memory, Register::Rip), IMAGE.start + 0x40);
    assert_eq!(thread.register(&memory, Register::Rdi), IMAGE.end + 0x1000);
    assert_eq!(thread.ipc_buffer(&memory), IMAGE.end);
    assert_eq!(thread.cspace().cap(&memory), machine.cap(2));
    assert_eq!(thread.vspace().cap(&memory), machine.cap(3));
    assert_eq!(thread.reply().cap(&memory), Cap::Reply { tcb: thread.0, master: true, grant: true });
    assert!(matches!(thread.ipc_frame().cap(&memory), Cap::Frame { mapped: None, .. }));
}

#[test]
fn boot_info_tells_what_there_is() {
    let machine = Machine::new();
    let info = BootInfo(machine.memory());
    assert_eq!(info.word(Number::BootInfoExtraLen), 0);
    assert_eq!(info.word(Number::BootInfoNodeId), 0);
    assert_eq!(info.word(Number::BootInfoNumNodes), 1);
    assert_eq!(info.word(Number::BootInfoNumIoptLevels), u64::MAX);
    assert_eq!(info.word(Number::BootInfoIpcBuffer), IMAGE.end);
    assert_eq!(info.byte(table(12).number(Number::BootInfoCNodeBits)), 12);
    assert_eq!(info.word(Number::BootInfoDomain), 0);
    assert_eq!(info.word(Number::BootInfoArchInfo), 2_400);
    assert_eq!(info.range(Number::BootInfoSharedFrames), 0..0);
    assert_eq!(info.range(Number::BootInfoExtraPages).count(), 0);

    let paging = info.range(Number::BootInfoUserImagePaging);
    let paging: Vec<_> = paging.map(|slot| machine.cap(slot)).collect();
    let expected = matches!(
        paging[..],
        [
            Cap::Pdpt { mapped: Some((1, 0)), .. },
            Cap::PageDirectory { mapped: Some((1, 0)), .. },
            Cap::PageTable { mapped: Some((1, 0x40_0000)), .. },
        ]
    );
    assert!(expected, "{paging:?}");

    let frames = info.range(Number::BootInfoUserImageFrames);
    assert_eq!(frames.clone().count(), 4);
    for (number, slot) in (0..).zip(frames) {
        let offset = number * 0x1000;
        assert_eq!(machine.cap(slot), mapped(BASE + offset, IMAGE.start + offset, number >= 2), "{number}");
    }

    let empty = info.range(Number::BootInfoEmpty);
    assert_eq!(empty, machine.first_empty()..machine.slots());
}

#[test]
fn untypeds_cover_all_memory_that_is_left_and_nothing_else() {
    let machine = Machine::new();
    let (memory, info) = (machine.memory(), BootInfo(machine.memory()));
    let list = table(12).number(Number::BootInfoUntypedList);
    let mut end = None;
    let mut devices = 0;
    for (number, slot) in (0..).zip(info.range(Number::BootInfoUntyped)) {
        let Cap::Untyped { address, bits, used: 0, dirty: 0, device } = machine.cap(slot) else {
            panic!("{:?}", machine.cap(slot));
        };
        let entry = list + 12 * number;
        assert_eq!((info.word_at(entry), info.byte(entry + 10)), (address, bits));
        assert_eq!(info.byte(entry + 11) != 0, device);
        assert!(address.is_multiple_of(1 << bits));
        if device {
            devices += 1;
            assert!(!memory.contains(address, 1 << bits));
            continue;
        }
        if number == 0 {
            // It shares the page of the thread's TCB.
            assert_eq!((bits, address >> 12), (10, machine.kernel.current().0 >> 12));
            continue;
        }
        assert!(end.is_none_or(|end| end == address));
        end = Some(address + (1 << bits));
    }
    assert_eq!(end, Some(memory.end()));
    assert_eq!(devices, 1);
}

#[test]
fn few_pages_are_written() {
    let machine = Machine::new();
    let memory = machine.memory();
    let dirty = |page: &u64| (0..512).any(|word| memory.get(page + word * 8) != 0);
    let pages = (memory.base()..memory.end()).step_by(4096).filter(dirty).count();
    // BootInfo; the TCB with the queues' end and the devices' objects; the first slots.
    assert_eq!(pages, 3);
}

#[test]
fn devices_get_their_slots() {
    let (ipc, device_bytes) = (IMAGE.end, 16 + 8 + 2 * 64);
    let kernel = boot_with(4 << 20, 12, |memory, chunk| {
        let words = [(0, 7), (8, 24), (24, 0x5345_4c4b_4945_0001), (32, device_bytes), (40, 1 | 2 << 32)];
        // A clock, then a console with input and a region in the same page.
        let entries = [(48, 2), (112, 1 | 1 << 32), (112 + 32, ipc + 0x2800), (112 + 40, 0x600)];
        for (offset, word) in words.into_iter().chain(entries) {
            memory.set(chunk + offset, word);
        }
        24 + device_bytes
    });
    let machine = Machine { kernel };
    let (memory, info) = (machine.memory(), BootInfo(machine.memory()));
    let extra = info.range(Number::BootInfoExtraPages);
    assert_eq!(extra.clone().count(), 1);
    assert_eq!(machine.cap(extra.start), mapped(BootInfo::PADDR + 0x1000, ipc + 0x2000, true));
    assert_eq!(info.word(Number::BootInfoExtraLen), 24 + device_bytes);

    let entry = BootInfo::PADDR + 0x1000 + 48;
    let [clock, console] = [entry, entry + 64];
    let caps = [clock, console].map(|entry| machine.cap(memory.get(entry + 8)));
    let [Cap::Endpoint { address, badge: 1, rights }, Cap::Endpoint { address: other, badge: 2, .. }] = caps
    else {
        panic!("{caps:?}");
    };
    assert!(address == other && rights.write && rights.grant && !rights.read);
    assert_eq!(memory.get(clock + 16), 0);
    assert_eq!(memory.get(clock + 24), 0);
    let notification = machine.cap(memory.get(console + 16));
    assert!(matches!(notification, Cap::Notification { badge: 0, .. }), "{notification:?}");
    assert_eq!(memory.get(console + 24), extra.start);
    let first = Slot(machine.slot(memory.get(clock + 8)).0);
    assert_eq!(first.mdb(&memory).next, machine.slot(memory.get(console + 8)).0);
}

#[test]
fn a_broken_list_of_devices_is_no_list() {
    for (size, list) in [(16, 1), (8, 1), (4096, 1), (24, 2), (24, 1 | 1 << 32), (24, 1 | 0xffff_ffff << 32)]
    {
        let kernel = boot_with(4 << 20, 12, |memory, chunk| {
            memory.set(chunk, 0x5345_4c4b_4945_0001);
            memory.set(chunk + 8, size);
            memory.set(chunk + 16, list);
            64
        });
        let machine = Machine { kernel };
        let endpoint = |number: &u64| matches!(machine.cap(*number), Cap::Endpoint { .. });
        assert_eq!((0..machine.slots()).find(endpoint), None, "{size} {list:#x}");
    }
}

#[test]
fn too_little_memory_and_too_few_slots_are_told() {
    let table = table(12);
    let boot = |size, image| {
        let boot = Boot { image, writable: &[], entry: 0, extra_pages: 0, extra_bytes: 0, tsc_mhz: 0 };
        Kernel::boot(memory(size), &table, FakeHost::default(), &boot).map(|_| ())
    };
    let Err(BootError::TooSmall { needed }) = boot(0x1_0000, IMAGE) else { panic!("it is too small") };
    assert_eq!(boot(needed - 4096, IMAGE), Err(BootError::TooSmall { needed }));
    assert_eq!(boot(needed, IMAGE), Ok(()));
    let large = IMAGE.start..IMAGE.start + 4096 * 4096;
    assert_eq!(boot(32 << 20, large), Err(BootError::TooFewSlots { slots: 4096 }));
}

#[test]
fn a_yield_returns_to_the_only_thread() {
    let mut machine = Machine::new();
    let thread = machine.kernel.current();
    let number = machine.number(Syscall::Yield);
    assert_eq!(machine.syscall(number, 0, 0, &[], &[]), Next::Run(thread));
}
