//! What a compiled filter answers, by an interpreter of its program: calls, arguments, architectures,
//! instruction pointers.

use linux_raw_sys::{
    general::*,
    ptrace::{
        AUDIT_ARCH_I386, AUDIT_ARCH_X86_64, SECCOMP_RET_ALLOW, SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_TRAP,
        sock_filter,
    },
};
use selkie_tender_filter::{
    AssembleError, Bindings, Descriptor, GUEST_END, LARGE_PAGE, Limit, Listing, MAX_EVENTS, MAX_FRAMES,
    MAX_TRANSFER, PAGE, Program, RUN, SEED, Setting, TENDER, Test, Value, rules,
};
use selkie_tender_table::payload::device;

const SYSCALL: u64 = TENDER + 0x1234;
const VDSO: [u64; 2] = [0x7ffc_1234_5000, 0x7ffc_1234_7000];
const MEMORY: u64 = 3;
const EVENTS: u64 = 5;
const NET: u64 = 6;
const BLOCK: u64 = 7;
const NET_EVENTS: u64 = 8;
const BLOCK_SIZE: u64 = 3 << 32;

const BINDINGS: Bindings = Bindings {
    syscall_return: SYSCALL,
    vdso: VDSO,
    memory: MEMORY as i32,
    events: Some(EVENTS as i32),
    net: Some([NET as i32, NET_EVENTS as i32]),
    block: Some((BLOCK as i32, BLOCK_SIZE)),
};

const fn with(devices: u64) -> Setting {
    Setting { devices, slow_segment_bases: false }
}

/// All that a filter may hold.
const EVERYTHING: Setting = Setting { devices: u64::MAX, slow_segment_bases: true };

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Allow,
    Trap,
    Kill,
}
use Answer::{Allow, Kill, Trap};

/// The kernel's `struct seccomp_data`, in words.
#[derive(Debug, Clone, Copy)]
struct Call {
    number: u32,
    architecture: u32,
    address: u64,
    arguments: [u64; 6],
}

impl Call {
    fn words(self) -> [u32; 16] {
        let mut words = [0; 16];
        (words[0], words[1]) = (self.number, self.architecture);
        for (index, value) in [self.address].into_iter().chain(self.arguments).enumerate() {
            words[2 + 2 * index] = value as u32;
            words[3 + 2 * index] = (value >> 32) as u32;
        }
        words
    }
}

/// Runs a program, with the kernel's own rules about what a program may hold. Jumps only go forward, so that
/// it ends.
fn run(program: &[sock_filter], call: Call) -> Answer {
    let words = call.words();
    let mut accumulator = None;
    let mut at = 0;
    loop {
        let one = program[at];
        at += 1;
        let loaded = || accumulator.expect("a jump before anything was loaded");
        let taken = match one.code {
            0x20 => {
                assert!(one.k.is_multiple_of(4) && one.k < 64, "a load at {}", one.k);
                accumulator = Some(words[one.k as usize / 4]);
                continue;
            }
            0x06 => match one.k {
                SECCOMP_RET_ALLOW => return Allow,
                SECCOMP_RET_TRAP => return Trap,
                SECCOMP_RET_KILL_PROCESS => return Kill,
                other => panic!("it returns {other:#x}"),
            },
            0x15 => loaded() == one.k,
            0x25 => loaded() > one.k,
            0x35 => loaded() >= one.k,
            other => panic!("an instruction {other:#x}"),
        };
        at += usize::from(if taken { one.jt } else { one.jf });
    }
}

fn program(setting: Setting) -> Program {
    Program::new(setting, &BINDINGS).expect("the rules fit")
}

/// What the filter of `setting` answers to a call by the tender's instruction.
fn ask(setting: Setting, number: u32, arguments: [u64; 6]) -> Answer {
    let call = Call { number, architecture: AUDIT_ARCH_X86_64, address: SYSCALL, arguments };
    run(program(setting).instructions(), call)
}

/// A call that each rule allows, made from the rule itself.
fn allowed(tests: &[(usize, Test)], junk: u64) -> [u64; 6] {
    let mut arguments = [junk; 6];
    for (argument, test) in tests {
        arguments[*argument] = match test {
            Test::OneOf(values) => value(values[0]),
            Test::Below(limit) => value(*limit) - 1,
        };
    }
    arguments
}

fn value(value: Value) -> u64 {
    match value {
        Value::Number(number, _) => number,
        Value::Descriptor(Descriptor::Input) => 0,
        Value::Descriptor(Descriptor::Output) => 1,
        Value::Descriptor(Descriptor::Reports) => 2,
        Value::Descriptor(Descriptor::Memory) => MEMORY,
        Value::Descriptor(Descriptor::Events) => EVENTS,
        Value::Descriptor(Descriptor::Net) => NET,
        Value::Descriptor(Descriptor::NetEvents) => NET_EVENTS,
        Value::Descriptor(Descriptor::Block) => BLOCK,
        Value::Limit(Limit::Block) => BLOCK_SIZE,
    }
}

#[test]
fn only_the_one_instruction_of_the_one_architecture_counts() {
    let program = program(EVERYTHING);
    let ask = |number, architecture, address| {
        let call = Call { number, architecture, address, arguments: [1, 0, 0, 0, 0, 0] };
        run(program.instructions(), call)
    };
    for number in [__NR_write, __NR_exit_group, __NR_execve, 0x4000_0001, u32::MAX] {
        for address in [0, 1, 0x40_0000, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff] {
            assert_eq!(ask(number, AUDIT_ARCH_X86_64, address), Trap, "{number} at {address:#x}");
            assert_eq!(ask(number, AUDIT_ARCH_I386, address), Kill, "{number} at {address:#x}");
        }
        for address in [
            1 << 32,
            SYSCALL - 2,
            SYSCALL - 1,
            SYSCALL + 1,
            SYSCALL + (1 << 32),
            SYSCALL - (1 << 32),
            SYSCALL ^ 1 << 63,
            0xffff_ffff_ff60_0000,
            u64::MAX,
        ] {
            assert_eq!(ask(number, AUDIT_ARCH_X86_64, address), Kill, "{number} at {address:#x}");
        }
    }
    for architecture in [0, AUDIT_ARCH_I386, 0xc000_00b7, u32::MAX] {
        assert_eq!(ask(__NR_write, architecture, SYSCALL), Kill, "{architecture:#x}");
    }
    assert_eq!(ask(__NR_write, AUDIT_ARCH_X86_64, SYSCALL), Allow);
}

#[test]
fn the_vdso_reads_the_clock_by_an_instruction_of_its_own() {
    let ask = |bindings: &Bindings, number, architecture, address, clock: u32| {
        let program = Program::new(with(device::CLOCK), bindings).expect("the rules fit");
        let arguments = [clock.into(), 0, 0, 0, 0, 0];
        run(program.instructions(), Call { number, architecture, address, arguments })
    };
    let clock = |address, clock| ask(&BINDINGS, __NR_clock_gettime, AUDIT_ARCH_X86_64, address, clock);
    for address in [VDSO[0], VDSO[0] + 0x123, VDSO[1] - 1] {
        assert_eq!(clock(address, CLOCK_REALTIME), Allow);
        assert_eq!(clock(address, CLOCK_MONOTONIC), Allow);
        assert_eq!(clock(address, CLOCK_PROCESS_CPUTIME_ID), Kill);
        assert_eq!(ask(&BINDINGS, __NR_clock_gettime, AUDIT_ARCH_I386, address, CLOCK_REALTIME), Kill);
        for number in [__NR_write, __NR_exit_group, __NR_gettimeofday, __NR_getcpu, __NR_execve] {
            assert_eq!(ask(&BINDINGS, number, AUDIT_ARCH_X86_64, address, 1), Kill);
        }
        let none = Bindings { vdso: [0, 0], ..BINDINGS };
        assert_eq!(ask(&none, __NR_clock_gettime, AUDIT_ARCH_X86_64, address, CLOCK_REALTIME), Kill);
    }
    for address in [VDSO[0] - 1, VDSO[1], VDSO[0] + (1 << 32), VDSO[0] - (1 << 32), SYSCALL + 1, u64::MAX] {
        assert_eq!(clock(address, CLOCK_REALTIME), Kill, "{address:#x}");
    }
    assert_eq!(clock(0x40_0000, CLOCK_REALTIME), Trap);
    // Where its last byte is the last one of 4 GiB, and where it lies across such a border.
    let last = Bindings { vdso: [0x7ffc_ffff_e000, 0x7ffd_0000_0000], ..BINDINGS };
    assert_eq!(ask(&last, __NR_clock_gettime, AUDIT_ARCH_X86_64, 0x7ffc_ffff_ffff, CLOCK_REALTIME), Allow);
    assert_eq!(ask(&last, __NR_clock_gettime, AUDIT_ARCH_X86_64, 0x7ffd_0000_0000, CLOCK_REALTIME), Kill);
    let across = Bindings { vdso: [0x7ffc_ffff_f000, 0x7ffd_0000_1000], ..BINDINGS };
    for address in [0x7ffc_ffff_f000, 0x7ffd_0000_0000, 0] {
        let expected = if address == 0 { Trap } else { Kill };
        assert_eq!(ask(&across, __NR_clock_gettime, AUDIT_ARCH_X86_64, address, CLOCK_REALTIME), expected);
    }
}

#[test]
fn a_filter_is_short() {
    // Each instruction costs every start of every image.
    let program = program(with(device::CONSOLE | device::INPUT | device::CLOCK));
    assert!(program.instructions().len() <= 68, "{}", program.instructions().len());
}

#[test]
fn every_number_without_a_rule_kills() {
    for setting in [EVERYTHING, with(0), with(device::INPUT)] {
        let listed: Vec<u32> = rules(setting).map(|rule| rule.call.number).collect();
        let program = program(setting);
        // Those of x32 have bit 30 set; negative ones are what seL4 uses.
        let numbers = (0..1024).chain((0..1024).map(|number| number | 1 << 30)).chain([u32::MAX, 1 << 31]);
        for number in numbers.filter(|number| !listed.contains(number)) {
            for argument in [0, 1, MEMORY, u64::MAX] {
                let call = Call {
                    number,
                    architecture: AUDIT_ARCH_X86_64,
                    address: SYSCALL,
                    arguments: [argument; 6],
                };
                assert_eq!(run(program.instructions(), call), Kill, "{number}");
            }
        }
    }
}

#[test]
fn every_rule_allows_what_it_says_and_nothing_beside_it() {
    for setting in [EVERYTHING, with(0), with(device::INPUT), with(device::NET | device::BLOCK)] {
        for rule in rules(setting) {
            // What a rule does not name may be anything, and is not looked at by accident.
            for junk in [0, u64::MAX, 0x5555_5555_aaaa_aaaa] {
                let good = allowed(rule.tests, junk);
                assert_eq!(ask(setting, rule.call.number, good), Allow, "{rule}");
            }
            for (argument, test) in rule.tests {
                let good = allowed(rule.tests, 0);
                for bit in 32..64 {
                    let mut bad = good;
                    bad[*argument] ^= 1 << bit;
                    let fits = matches!(test, Test::Below(limit) if bad[*argument] < value(*limit));
                    let expected = if fits { Allow } else { Kill };
                    assert_eq!(
                        ask(setting, rule.call.number, bad),
                        expected,
                        "{rule}: bit {bit} of {argument}"
                    );
                }
                if let Test::Below(limit) = test {
                    for beyond in [value(*limit), value(*limit) + 1, u64::MAX] {
                        let mut bad = good;
                        bad[*argument] = beyond;
                        assert_eq!(ask(setting, rule.call.number, bad), Kill, "{rule}: {beyond:#x}");
                    }
                }
            }
        }
    }
}

#[test]
fn descriptors_are_bound() {
    let console = with(device::CONSOLE);
    for (setting, number, good) in [
        (console, __NR_write, &[1, 2][..]),
        (console, __NR_read, &[]),
        (with(device::INPUT), __NR_read, &[0]),
        (with(device::INPUT), __NR_epoll_pwait, &[EVENTS]),
        (with(device::NET), __NR_read, &[NET]),
        (with(device::NET), __NR_write, &[1, 2, NET]),
        (with(device::NET), __NR_epoll_pwait, &[NET_EVENTS]),
        (with(device::NET | device::INPUT), __NR_epoll_pwait, &[EVENTS, NET_EVENTS]),
        (with(device::BLOCK), __NR_pread64, &[BLOCK]),
        (with(device::BLOCK), __NR_pwrite64, &[]),
        (with(device::BLOCK), __NR_fdatasync, &[]),
        (with(device::BLOCK_WRITE), __NR_pwrite64, &[BLOCK]),
        (with(device::BLOCK_WRITE), __NR_fdatasync, &[BLOCK]),
        (console, __NR_pread64, &[]),
    ] {
        for descriptor in (0..64).chain([u64::from(u32::MAX), u64::MAX, 1 << 32 | 1]) {
            let expected = if good.contains(&descriptor) { Allow } else { Kill };
            let answer = ask(setting, number, [descriptor, 0, 0, 0, 0, 0]);
            assert_eq!(answer, expected, "call {number} on descriptor {descriptor}");
        }
    }
}

#[test]
fn pages_are_mapped_without_execution_and_below_the_tender() {
    let shared = u64::from(MAP_SHARED | MAP_FIXED);
    let private = u64::from(MAP_PRIVATE | MAP_FIXED);
    let (read, write, execute) = (u64::from(PROT_READ), u64::from(PROT_WRITE), u64::from(PROT_EXEC));
    let map = |arguments| ask(with(0), __NR_mmap, arguments);
    assert_eq!(map([0x1000_0000, PAGE, read | write, shared, MEMORY, 0]), Allow);
    assert_eq!(map([0x1000_0000, RUN, read | write, shared, MEMORY, 0]), Allow);
    assert_eq!(map([0x1000_0000, LARGE_PAGE, read, shared, MEMORY, 1 << 40]), Allow);
    for bad in [
        [TENDER, PAGE, read, shared, MEMORY, 0],
        [TENDER - PAGE, LARGE_PAGE, read, shared, MEMORY, 0],
        [GUEST_END, PAGE, read, shared, MEMORY, 0],
        [0x1000_0000, 2 * PAGE, read, shared, MEMORY, 0],
        [0x1000_0000, 0, read, shared, MEMORY, 0],
        [0x1000_0000, PAGE, read | execute, shared, MEMORY, 0],
        [0x1000_0000, PAGE, read | write | execute, shared, MEMORY, 0],
        [0x1000_0000, PAGE, 0, shared, MEMORY, 0],
        [0x1000_0000, PAGE, read | write, private, MEMORY, 0],
        [0x1000_0000, PAGE, read, shared, EVENTS, 0],
        [0x1000_0000, PAGE, read, u64::from(MAP_SHARED), MEMORY, 0],
        [0x1000_0000, PAGE, read, shared | u64::from(MAP_ANONYMOUS), MEMORY, 0],
        [0x1000_0000, PAGE, read, shared, u64::from(u32::MAX), 0],
    ] {
        assert_eq!(map(bad), Kill, "{bad:x?}");
    }
    const { assert!(GUEST_END + LARGE_PAGE <= TENDER) };
    let unmap = |address, size| ask(with(0), __NR_munmap, [address, size, 0, 0, 0, 0]);
    assert_eq!(unmap(GUEST_END - PAGE, LARGE_PAGE), Allow);
    assert_eq!(unmap(0x1000_0000, PAGE), Allow);
    assert_eq!(unmap(0x1000_0000, RUN), Kill);
    assert_eq!(unmap(GUEST_END, PAGE), Kill);
    assert_eq!(unmap(0x1000_0000, TENDER), Kill);
}

#[test]
fn sleeping_and_transfers_are_bounded() {
    let input = with(device::INPUT);
    assert_eq!(ask(input, __NR_epoll_pwait, [EVENTS, 0, MAX_EVENTS, 0, 0, 0]), Allow);
    assert_eq!(ask(input, __NR_epoll_pwait, [EVENTS, 0, MAX_EVENTS + 1, 0, 0, 0]), Kill);
    // An input that is a file, or that has ended, does not wake anybody.
    assert_eq!(ask(input, __NR_pause, [0; 6]), Allow);
    let net = with(device::NET);
    for (call, size, expected) in [
        (__NR_read, MAX_FRAMES, Allow),
        (__NR_read, MAX_FRAMES + 1, Kill),
        (__NR_write, MAX_FRAMES, Allow),
        (__NR_write, MAX_FRAMES + 1, Kill),
    ] {
        assert_eq!(ask(net, call, [NET, 0, size, 0, 0, 0]), expected);
    }
    let random = |size, flags| ask(with(device::ENTROPY), __NR_getrandom, [0, size, flags, 0, 0, 0]);
    assert_eq!((random(SEED, 0), random(SEED + 1, 0), random(SEED, 1)), (Allow, Kill, Kill));
    let block = with(device::BLOCK);
    assert_eq!(ask(block, __NR_pread64, [BLOCK, 0, MAX_TRANSFER, BLOCK_SIZE - 1, 0, 0]), Allow);
    assert_eq!(ask(block, __NR_pread64, [BLOCK, 0, MAX_TRANSFER + 1, 0, 0, 0]), Kill);
    assert_eq!(ask(block, __NR_pread64, [BLOCK, 0, 0, BLOCK_SIZE, 0, 0]), Kill);
    let written = with(device::BLOCK | device::BLOCK_WRITE);
    assert_eq!(ask(written, __NR_pwrite64, [BLOCK, 0, MAX_TRANSFER, BLOCK_SIZE - 1, 0, 0]), Allow);
    assert_eq!(ask(written, __NR_pwrite64, [BLOCK, 0, MAX_TRANSFER + 1, 0, 0, 0]), Kill);
    assert_eq!(ask(written, __NR_pwrite64, [BLOCK, 0, 0, BLOCK_SIZE, 0, 0]), Kill);
    assert_eq!(ask(written, __NR_fsync, [BLOCK, 0, 0, 0, 0, 0]), Kill);
    for timer in [ITIMER_VIRTUAL, ITIMER_PROF, 3] {
        assert_eq!(ask(input, __NR_setitimer, [timer.into(), 0, 0, 0, 0, 0]), Kill);
    }
}

#[test]
fn segment_bases_need_a_call_on_slow_machines_only() {
    let slow = Setting { devices: 0, slow_segment_bases: true };
    for operation in 0x1000..0x1010 {
        let arguments = [u64::from(operation), 0, 0, 0, 0, 0];
        let fits = operation == ARCH_SET_FS || operation == 0x1001;
        assert_eq!(ask(slow, __NR_arch_prctl, arguments), if fits { Allow } else { Kill });
        assert_eq!(ask(with(0), __NR_arch_prctl, arguments), Kill);
    }
}

#[test]
fn what_is_not_open_makes_no_filter() {
    let none = Bindings { events: None, net: None, block: None, ..BINDINGS };
    for devices in [device::INPUT, device::NET, device::BLOCK] {
        let unbound = Program::new(with(devices), &none).err();
        assert!(matches!(unbound, Some(AssembleError::Unbound(_))), "{devices:#x}");
    }
    assert!(Program::new(with(device::CONSOLE | device::CLOCK), &none).is_ok());
    let closed = Bindings { memory: -1, ..BINDINGS };
    assert!(matches!(Program::new(with(0), &closed), Err(AssembleError::Unbound(_))));
    let low = Bindings { syscall_return: 0xffff_ffff, ..BINDINGS };
    assert_eq!(Program::new(with(0), &low).err(), Some(AssembleError::Instruction));
}

#[test]
fn every_jump_lands_inside() {
    for setting in [EVERYTHING, with(0), with(device::INPUT)] {
        let program = program(setting);
        let instructions = program.instructions();
        for (at, one) in instructions.iter().enumerate().filter(|(_, one)| one.code & 7 == 5) {
            assert!(at + 1 + usize::from(one.jt.max(one.jf)) < instructions.len(), "the jump at {at}");
        }
        assert_eq!(instructions.last().map(|one| one.code), Some(6));
        assert!(instructions.len() < 160, "{}", instructions.len());
    }
}

#[test]
fn the_listing_is_the_same_list() {
    let text = Listing(with(device::CONSOLE | device::CLOCK)).to_string();
    let expected = "\
an architecture other than x86-64: the process is killed
from below 4 GiB, where the root task is: trapped, and served as a call of seL4
from the kernel's vDSO: clock_gettime as below, else the process is killed
from elsewhere than the tender's one system-call instruction: the process is killed
write: descriptor 1 (output) or 2 (reports); console and reports
clock_gettime: clock CLOCK_REALTIME or CLOCK_MONOTONIC; the time
setitimer: timer ITIMER_REAL; timers of the root task
pause: any arguments; sleep until a timer ends
mmap: address below 0x7dff00000000, size 4 KiB or 32 KiB or 2 MiB, access PROT_READ or PROT_READ|PROT_WRITE, \
flags MAP_SHARED|MAP_FIXED, descriptor of the memory; map a frame, or a run of the first ones
munmap: address below 0x7dff00000000, size 4 KiB or 2 MiB; unmap a frame
rt_sigreturn: any arguments; go back after a signal
exit_group: any arguments; end
everything else: the process is killed";
    assert_eq!(text, expected);
    let rows = Listing(EVERYTHING).to_string();
    assert_eq!(rows.lines().count(), rules(EVERYTHING).count() + 5);
}
