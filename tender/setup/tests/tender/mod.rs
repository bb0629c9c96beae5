//! The child: a tender with a small root task, which locks itself down and then does one thing.
#![allow(non_upper_case_globals, reason = "names of Linux")]

use crate::common::{
    self, BASE, DATA, DIGEST, GREETING, IMAGE_END, RODATA, Random, SITE, SITE_BYTES, Sample, TEXT, UNLISTED,
};
use linux_raw_sys::{errno, general::*};
use selkie_base::devices::{Console, DEVICES_CHUNK, DeviceKind, Devices, RUN_CHUNK, block::Block, net::Net};
use selkie_tender_filter::{GUEST_END, TENDER};
use selkie_tender_setup::{
    CANNOT_START, Command, DISK_LAYOUT, Error, Linux, Loaded, LockDown, NET, Options, PHYSICAL_BASE, Payload,
    Process, SiteCount, load, lock, report,
};
use selkie_tender_table::{
    Table,
    payload::{Settings, device},
};
use std::{
    cell::{Cell, RefCell},
    ffi::CString,
    fmt::Write,
    fs,
    os::fd::AsRawFd,
    process::ExitCode,
};

/// Statuses: the root task's site led into the tender; its system call trapped.
pub(crate) const ENTERED: i32 = 42;
pub(crate) const TRAPPED: i32 = 43;

core::arch::global_asm!(
    ".globl test_raw_syscall",
    "test_raw_syscall:",
    "mov rax, rdi",
    "mov rdi, rsi",
    "mov rsi, rdx",
    "mov rdx, rcx",
    "mov r10, r8",
    "mov r8, r9",
    "mov r9, [rsp + 8]",
    ".globl test_syscall",
    "test_syscall:",
    "syscall",
    ".globl test_syscall_return",
    "test_syscall_return:",
    "ret",
    // Where stubs go: says so by the status, and goes back for those who look.
    ".globl test_entry",
    "test_entry:",
    "mov edi, 42",
    "mov eax, 231",
    "jmp test_syscall",
    ".globl test_trap",
    "test_trap:",
    "mov edi, 43",
    "mov eax, 231",
    "jmp test_syscall",
);

unsafe extern "C" {
    fn test_raw_syscall(number: u64, a: usize, b: usize, c: usize, d: usize, e: usize, f: usize) -> isize;
    static test_syscall_return: u8;
    static test_entry: u8;
    static test_trap: u8;
}

/// The way into Linux by the one instruction; one call may be refused, and calls may be noted.
struct Gate {
    refuse: Option<(String, isize)>,
    record: Cell<bool>,
    log: RefCell<String>,
}

impl Gate {
    fn new(refuse: Option<(String, isize)>) -> Self {
        Self { refuse, record: Cell::new(false), log: RefCell::new(String::with_capacity(1 << 16)) }
    }
}

impl Linux for Gate {
    unsafe fn syscall(&self, number: u32, arguments: [usize; 6]) -> isize {
        let mut name = String::new();
        // After the lock-down nothing may be allocated, and nothing is refused.
        if self.refuse.is_some() || self.record.get() {
            name = name_of(number, arguments[0]);
        }
        if self.record.get() {
            let _ = write!(self.log.borrow_mut(), "{name} ");
        }
        match &self.refuse {
            Some((refused, answer)) if *refused == name => *answer,
            _ => raw(number, arguments),
        }
    }
}

fn raw(number: u32, [a, b, c, d, e, f]: [usize; 6]) -> isize {
    // SAFETY: the tests' calls touch what is theirs.
    unsafe { test_raw_syscall(number.into(), a, b, c, d, e, f) }
}

fn name_of(number: u32, first: usize) -> String {
    match number {
        __NR_close_range => "close_range".into(),
        __NR_prctl => format!("prctl-{first}"),
        __NR_mseal => "mseal".into(),
        __NR_landlock_create_ruleset => "landlock_create".into(),
        __NR_landlock_restrict_self => "landlock_restrict".into(),
        __NR_prlimit64 => "prlimit".into(),
        __NR_seccomp => "seccomp".into(),
        __NR_close => "close".into(),
        other => other.to_string(),
    }
}

fn exit(status: i32) -> ! {
    raw(__NR_exit_group, [status as usize, 0, 0, 0, 0, 0]);
    unreachable!("exit_group does not return")
}

/// A stack as Linux makes it, with a program header for a page where a tender would be.
fn process(arguments: &[String]) -> (Process, *const u8) {
    let headers: &'static mut [u64] = vec![0; 7].leak();
    headers[..2].copy_from_slice(&[6 << 32 | 1, 0]);
    headers[2..].copy_from_slice(&[TENDER, TENDER, 4096, 4096, 4096]);
    let text = |text: &str| CString::new(text).expect("no NUL").into_raw() as usize;
    // SAFETY: Linux has left these for this very process.
    let (random, path) = unsafe { (getauxval(25), getauxval(31)) };
    let secret = text("SECRET=hunter2");
    let mut stack = vec![arguments.len() + 1, text("selkie-tender")];
    stack.extend(arguments.iter().map(|argument| text(argument)));
    stack.extend([0, secret, 0, 3, headers.as_ptr() as usize, 5, 1, 25, random, 31, path, 0, 0]);
    // SAFETY: this is such a stack, and it is never freed.
    (unsafe { Process::from_stack(stack.leak().as_ptr()) }, secret as *const u8)
}

unsafe extern "C" {
    fn getauxval(kind: u64) -> usize;
}

/// What a test is about: a root task, a payload, a command line.
struct Setup {
    root_task: Vec<u8>,
    interface: [u8; 32],
    settings: Settings,
    single: bool,
    arguments: Vec<String>,
    damage: Option<usize>,
}

impl Setup {
    fn new() -> Self {
        Self {
            root_task: Sample::good().bytes(),
            interface: DIGEST,
            settings: Settings { memory: 8 << 20, devices: device::CONSOLE | device::CLOCK },
            single: true,
            arguments: Vec::new(),
            damage: None,
        }
    }

    /// With these devices.
    fn with(self, devices: u64) -> Self {
        Self { settings: Settings { devices, ..self.settings }, ..self }
    }

    fn args(mut self, arguments: &[&str]) -> Self {
        self.arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        self
    }

    /// Loads; of a single executable, the executable's file is a temporary one with the payload at its begin.
    fn load(&self, gate: &Gate) -> (Result<Loaded, Error>, Process, *const u8) {
        let (process, secret) = process(&self.arguments);
        let task = if self.single { &self.root_task[..] } else { &[] };
        let mut words = common::payload(&[common::table(self.interface, "x86_64-test")], task, self.settings);
        if let Some(at) = self.damage {
            words[at / 8] ^= 1;
        }
        let words: &'static [u64] = words.leak();
        let bytes: &'static [u8] = bytemuck::cast_slice(words);
        let mut options = match Command::parse(process.args(), !self.single) {
            Ok(Command::Run(options)) => options,
            other => panic!("{other:?}"),
        };
        let payload = match Payload::read(bytes) {
            Ok(payload) => payload,
            Err(error) => return (Err(error), process, secret),
        };
        let mut descriptor = None;
        if self.single {
            // The root task of a single executable is mapped from the executable, which this program is
            // not: a file with the same bytes stands in.
            descriptor = Some(file(&bytes[payload.header.root_task.offset as usize..]));
        }
        let loaded = self.load_from(gate, process, &payload, &mut options, descriptor);
        (loaded, process, secret)
    }

    fn load_from(
        &self,
        gate: &Gate,
        process: Process,
        payload: &Payload,
        options: &mut Options,
        file: Option<CString>,
    ) -> Result<Loaded, Error> {
        let lacks = |device: u64, named: bool| self.settings.devices & device != 0 && !named;
        let unserved =
            lacks(device::NET, options.net.is_some()) || lacks(device::BLOCK, options.disk.is_some());
        if options.verify || unserved || file.is_none() {
            // SAFETY: nothing of this program lies below 2 GiB or behind the stand-in for the tender.
            return unsafe { load(gate, process, payload, options, entry(), kernel_bytes) };
        }
        // As an operator's tender would, but with the devices of the image.
        options.root_task = file.map(|path| &*Box::leak(path.into_boxed_c_str()));
        // SAFETY: as above.
        unsafe { load(gate, process, payload, options, entry(), kernel_bytes) }
    }
}

fn entry() -> u64 {
    (&raw const test_entry) as u64
}

/// A file with these bytes that has no name but that of its descriptor.
fn file(bytes: &[u8]) -> CString {
    let descriptor = raw(__NR_memfd_create, [c"test".as_ptr() as usize, 0, 0, 0, 0, 0]);
    assert!(descriptor >= 0, "{descriptor}");
    let path = format!("/proc/self/fd/{descriptor}");
    fs::write(&path, bytes).expect("it can be written to");
    CString::new(path).expect("no NUL")
}

fn map_stand_in() {
    let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;
    let access = (PROT_READ | PROT_WRITE) as usize;
    let mapped = raw(__NR_mmap, [TENDER as usize, 4096, access, flags as usize, usize::MAX, 0]);
    assert_eq!(mapped as u64, TENDER);
}

/// Runs the case that the command line names.
pub(crate) fn child(arguments: &[String]) -> ExitCode {
    map_stand_in();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["load"] => check_load(),
        ["load-sites"] => check_sites(),
        ["chunks"] => check_chunks(),
        ["net"] => check_net(),
        ["disk"] => check_disk(),
        ["lock", action] => locked(action, None, false),
        ["lock", action, call, errno] => locked(action, Some((call, errno)), false),
        ["strict", action, call, errno] => locked(action, Some((call, errno)), true),
        ["record"] => check_record(),
        ["fails", case] => return fails(case),
        ["damaged", seed] => damaged(seed.parse().expect("a number")),
        _ => panic!("{arguments:?}"),
    }
    ExitCode::SUCCESS
}

/// Bytes of the root task as it sees them.
fn guest(address: u64, size: usize) -> &'static [u8] {
    // SAFETY: the tests look only at what has been mapped.
    unsafe { core::slice::from_raw_parts(address as *const u8, size) }
}

fn rights(address: u64) -> String {
    let maps = fs::read_to_string("/proc/self/maps").expect("it can be read");
    let inside = |line: &&str| {
        let range = line.split(' ').next().and_then(|range| range.split_once('-'));
        let number = |text: &str| u64::from_str_radix(text, 16).expect("an address");
        range.is_some_and(|(start, end)| (number(start)..number(end)).contains(&address))
    };
    maps.lines().find(inside).and_then(|line| line.split(' ').nth(1)).unwrap_or("none").to_owned()
}

/// What the kernel takes here.
const KERNEL: u64 = 0x3000;

fn kernel_bytes(_: &Table, pages: &std::ops::Range<u64>) -> u64 {
    assert!(pages.start.is_multiple_of(4096) && pages.end.is_multiple_of(4096));
    KERNEL
}

fn check_load() {
    let gate = Gate::new(None);
    let loaded = Setup::new().load(&gate).0.expect("it can be loaded");
    assert_eq!((loaded.image(), loaded.root_task.entry), (BASE..IMAGE_END, TEXT));
    assert_eq!(loaded.sites, SiteCount { patched: 1, left: 0 });
    assert_eq!(loaded.table.config(), "x86_64-test");
    let file = Sample::good().bytes();
    let at = |address: u64, size: usize| &file[common::offset(address) as usize..][..size];
    assert_eq!(guest(TEXT, 0x40), at(TEXT, 0x40));
    assert_eq!(guest(RODATA, 0x808), at(RODATA, 0x808));
    assert_eq!(guest(DATA, 0x60), at(DATA, 0x60));
    assert!(guest(DATA, 0x60).starts_with(GREETING));
    let rest = (IMAGE_END - DATA) as usize - 0x60 + 2 * 4096;
    assert!(guest(DATA + 0x60, rest).iter().all(|byte| *byte == 0), "zeroed data and the pages after it");
    assert!(guest(BASE, 0x4000).iter().all(|byte| *byte == 0), "the stack");
    for (address, expected) in [
        (BASE - 1, "none"),
        (BASE, "rw-p"),
        (TEXT, "r-xp"),
        (RODATA, "r--p"),
        (DATA, "rw-p"),
        (IMAGE_END, "rw-p"),
        (IMAGE_END + 2 * 4096, "rw-p"),
        (IMAGE_END + 3 * 4096, "none"),
        (BASE - 4097, "none"),
        (loaded.memory.as_ptr() as u64, "rw-p"),
        (loaded.memory.as_ptr() as u64 + KERNEL, "rw-s"),
        (loaded.shared.as_ptr() as u64, "rw-s"),
    ] {
        assert_eq!(rights(address), expected, "{address:#x}");
    }
    // What the root task writes, the tender sees, and nobody else: it is not in the memory's file.
    let word = (DATA & !7) + 64;
    // SAFETY: this is data of the root task.
    unsafe { (word as *mut u64).write_volatile(0x1234_5678) };
    assert_eq!(loaded.first[(word - BASE) as usize / 8].get(), 0x1234_5678);
    assert!(loaded.shared.iter().all(|word| word.get() == 0));
    let pages = BASE..IMAGE_END + 3 * 4096;
    let first = pages.end - pages.start;
    assert_eq!((loaded.first_pages(), loaded.kernel_bytes), (pages, KERNEL));
    assert_eq!(loaded.first.len(), loaded.shared.len());
    assert_eq!(loaded.first.len() + loaded.memory.len(), (8 << 20) / 8);
    // The file has the root task's memory and then the first pages; what the kernel makes is not in it.
    let rest = (8 << 20) - first - KERNEL;
    let expected = [(0, Some(rest)), (first - 4096, Some(rest + first - 4096)), (first, None)];
    for (paddr, offset) in
        [(first + KERNEL - 4096, None), (first + KERNEL, Some(0))].into_iter().chain(expected)
    {
        assert_eq!(loaded.offset(PHYSICAL_BASE + paddr), offset, "{paddr:#x}");
    }
    assert_eq!(loaded.offset(PHYSICAL_BASE - 4096), None);
    let page = loaded.file_page(TEXT & !4095).expect("the text comes from the file");
    assert_eq!(page[..], loaded.file[(common::offset(TEXT) & !4095) as usize..][..page.len()]);
    assert_eq!(loaded.file_page(DATA & !4095), None);
    assert_eq!(loaded.file_page(IMAGE_END), None);
    let (parts, count) = loaded.writable();
    assert_eq!(
        parts[..count].iter().map(|(_, writable)| *writable).collect::<Vec<_>>(),
        [true, false, false, true]
    );
    // The one site is in the first page of the code, and so is its stub, before it.
    let stub = (TEXT & !4095) + 16;
    assert_eq!(loaded.syscall_of(stub + 5), Some(SITE + 3));
    assert!(loaded.thunks.pages().is_empty());
    assert_eq!(loaded.syscall_of(TEXT), None);
    // Neither seals nor sizes of the memory can be changed.
    assert!(raw(__NR_ftruncate, [loaded.memory_fd as usize, 16 << 20, 0, 0, 0, 0]) < 0);
    assert!(raw(__NR_ftruncate, [loaded.memory_fd as usize, 4096, 0, 0, 0, 0]) < 0);
}

fn check_sites() {
    let gate = Gate::new(None);
    // A good one, one in its middle, one in data, ones at and beyond the end of the text, anywhere.
    let list = [SITE, SITE + 1, DATA, TEXT + 0xf9, TEXT + 0x100, UNLISTED, 0, u64::MAX, TENDER, BASE - 8];
    let setup = Setup { root_task: Sample::good().with_sites(&list).bytes(), ..Setup::new() };
    let loaded = setup.load(&gate).0.expect("it can be loaded");
    assert_eq!(loaded.sites, SiteCount { patched: 1, left: list.len() as u64 - 1 });
    // Sites that may be anywhere have their stubs in a page of its own.
    assert_eq!(loaded.thunks.pages(), BASE - 4096..BASE);
    assert_eq!(loaded.syscall_of(BASE - 4096 + 16), Some(SITE + 3));
    assert_eq!(guest(SITE, 4), [0x48, 0x89, 0xe0, 0xe9]);
    assert_eq!(guest(UNLISTED, 2), [0x0f, 0x05]);
    // The file is as it was.
    assert_eq!(loaded.file[common::offset(SITE) as usize..][..8], SITE_BYTES);
}

fn check_chunks() {
    let gate = Gate::new(None);
    let run = file(b"SELKIERUN1\0arg=lost\0env=B=2\0nonce=0123456789abcdef\0\0");
    let descriptor = run.to_str().expect("text").rsplit('/').next().expect("a number").to_owned();
    raw(__NR_lseek, [descriptor.parse().expect("a number"), 0, 0, 0, 0, 0]);
    let arguments = ["--env", "A=1", "--run-fd", &descriptor, "--env", "B=own", "--", "first", "second=x"];
    let loaded = Setup::new().args(&arguments).load(&gate).0.expect("it can be loaded");
    let address = IMAGE_END + 2 * 4096;
    assert_eq!(loaded.extra_pages, 1);
    let all = guest(address, loaded.extra_bytes as usize);
    let (devices, rest) = chunk(all, DEVICES_CHUNK);
    let devices = Devices::new(devices).expect("a list of devices");
    let console = devices.find(DeviceKind::Console).expect("a console");
    assert_eq!(Console::of(&console), Ok(Console::SMALL));
    assert!(console.address >= address + loaded.extra_bytes);
    assert!(console.address + console.size <= address + loaded.extra_pages * 4096);
    assert!(guest(console.address, console.size as usize).iter().all(|byte| *byte == 0));
    assert_eq!(console.flags & Console::HAS_INPUT, 0);
    assert!(devices.find(DeviceKind::Clock).is_some());
    let (run, rest) = chunk(rest, RUN_CHUNK);
    assert!(rest.is_empty());
    let section = b"SELKIERUN1\0arg=built-in\0env=C=3\0\0";
    let config = selkie_base::RunConfig::new("process", section).expect("it is good");
    let config = config.with_override(run).expect("it is good");
    assert_eq!(config.args().collect::<Vec<_>>(), ["first", "second=x"]);
    assert_eq!((config.var("A"), config.var("B"), config.var("C")), (Some("1"), Some("own"), Some("3")));
    assert_eq!((config.nonce(), config.var("SECRET")), ("0123456789abcdef", None));
}

/// A network by a descriptor, and by a path, has its place among the devices, and nobody waits for its socket.
fn check_net() {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().expect("a pair");
    let path = format!("{}/selkie-net-{}", std::env::temp_dir().display(), std::process::id());
    let listener = std::os::unix::net::UnixListener::bind(&path).expect("a socket");
    for option in [format!("fd:{}", theirs.as_raw_fd()), format!("unix:{path}")] {
        let gate = Gate::new(None);
        let devices = device::CONSOLE | device::CLOCK | device::NET | device::ENTROPY;
        let loaded = Setup::new().with(devices).args(&["--net", &option]).load(&gate).0;
        let loaded = loaded.expect("it can be loaded");
        let address = IMAGE_END + 2 * 4096;
        let (list, _) = chunk(guest(address, loaded.extra_bytes as usize), DEVICES_CHUNK);
        let list = Devices::new(list).expect("a list of devices");
        assert!(list.find(DeviceKind::Entropy).is_some() && list.find(DeviceKind::Clock).is_some());
        let entry = list.find(DeviceKind::Net).expect("a network");
        assert_eq!(Net::of(&entry), Ok(NET));
        assert_eq!((entry.address + entry.size).next_multiple_of(4096), address + loaded.extra_pages * 4096);
        assert!(guest(entry.address, entry.size as usize).iter().all(|byte| *byte == 0));
        let net = loaded.net.expect("it is open");
        assert_eq!(net.region, entry.address - loaded.image().start);
        let flags = raw(__NR_fcntl, [net.descriptor as usize, F_GETFL as usize, 0, 0, 0, 0]);
        assert_ne!(flags as u32 & O_NONBLOCK, 0);
        unload(&loaded);
        let _ = raw(__NR_munmap, [0x1_0000, (1 << 31) - 0x1_0000, 0, 0, 0, 0]);
    }
    listener.accept().expect("somebody has connected");
    drop(ours);
    fs::remove_file(path).expect("it is there");
}

/// The devices of a root task with a disk.
const DISK: u64 = device::CONSOLE | device::CLOCK | device::BLOCK | device::BLOCK_WRITE;

/// A disk has its place among the devices, with the sectors that its file has, and is there for one process only.
fn check_disk() {
    let path = file(&[7; 3 * 512 + 100]).into_string().expect("text");
    for read_only in [false, true] {
        let gate = Gate::new(None);
        let option = if read_only { format!("{path},ro") } else { path.clone() };
        let loaded = Setup::new().with(DISK).args(&["--disk", &option]).load(&gate).0;
        let loaded = loaded.expect("it can be loaded");
        assert_eq!(loaded.settings.devices & device::BLOCK_WRITE == 0, read_only);
        let address = IMAGE_END + 2 * 4096;
        let (list, _) = chunk(guest(address, loaded.extra_bytes as usize), DEVICES_CHUNK);
        let entry = Devices::new(list).expect("a list").find(DeviceKind::Block).expect("a disk");
        let expected = Block { sectors: 3, read_only, layout: DISK_LAYOUT };
        assert_eq!(Block::of(&entry), Ok(expected));
        assert_eq!((entry.address + entry.size).next_multiple_of(4096), address + loaded.extra_pages * 4096);
        let disk = loaded.disk.expect("it is open");
        assert_eq!(disk.region, entry.address - loaded.image().start);
        let flags = raw(__NR_fcntl, [disk.disk.descriptor as usize, F_GETFL as usize, 0, 0, 0, 0]);
        assert_eq!(flags as u32 & O_ACCMODE, if read_only { O_RDONLY } else { O_RDWR });
        unload(&loaded);
        let _ = raw(__NR_munmap, [0x1_0000, (1 << 31) - 0x1_0000, 0, 0, 0, 0]);
        // It is open still.
        for (option, in_use) in [(path.clone(), true), (format!("{path},ro"), !read_only)] {
            let again = Setup::new().with(DISK).args(&["--disk", &option]).load(&gate).0;
            assert_eq!(matches!(again, Err(Error::DiskInUse { .. })), in_use, "{option}: {again:?}");
            if let Ok(again) = again {
                unload(&again);
                let _ = raw(__NR_munmap, [0x1_0000, (1 << 31) - 0x1_0000, 0, 0, 0, 0]);
            }
        }
        let all = [(); 2].map(|()| raw(__NR_close_range, [disk.disk.descriptor as usize, 64, 0, 0, 0, 0]));
        assert_eq!(all, [0, 0]);
    }
}

/// The content of the chunk at the begin, and what follows it.
fn chunk(bytes: &[u8], id: u64) -> (&[u8], &[u8]) {
    let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"));
    assert_eq!(word(0), id);
    let (chunk, rest) = bytes.split_at(word(8) as usize);
    (&chunk[16..], rest)
}

fn lock_down(strict: bool) -> LockDown {
    let syscall_return = (&raw const test_syscall_return) as u64;
    LockDown {
        syscall_return,
        vdso: [0; 2],
        events: None,
        net_events: None,
        slow_segment_bases: false,
        strict,
    }
}

fn check_record() {
    let gate = Gate::new(None);
    let (loaded, process, _) = Setup::new().load(&gate);
    let loaded = loaded.expect("it can be loaded");
    gate.record.set(true);
    // Names are allocated: room for them must be there before the filter is.
    drop(vec![0u8; 1 << 16]);
    // SAFETY: this process needs nothing but its one instruction.
    let result = unsafe { lock(&gate, process, &loaded, &lock_down(false)) };
    gate.record.set(false);
    let log = gate.log.borrow();
    raw(__NR_write, [1, log.as_ptr() as usize, log.len(), 0, 0, 0]);
    exit(i32::from(result.is_err()))
}

fn locked(action: &str, refuse: Option<(&str, &str)>, strict: bool) {
    let refuse = refuse.map(|(call, errno)| {
        let number = match errno {
            "ENOSYS" => errno::ENOSYS,
            "EPERM" => errno::EPERM,
            _ => errno::EINVAL,
        };
        (call.to_owned(), -(number as isize))
    });
    let gate = Gate::new(refuse);
    let setup = match action.split_once(' ') {
        Some(("disk", _)) => Setup::new().with(DISK).args(&["--disk", &disk_file()]),
        Some(("disk-ro", _)) => Setup::new().with(DISK).args(&["--disk", &format!("{},ro", disk_file())]),
        _ => Setup::new(),
    };
    let (loaded, process, secret) = setup.load(&gate);
    let loaded = loaded.expect("it can be loaded");
    catch_traps();
    // SAFETY: this process needs nothing but its one instruction.
    if let Err(error) = unsafe { lock(&gate, process, &loaded, &lock_down(strict)) } {
        report(&gate, format_args!("{error}"));
        exit(CANNOT_START);
    }
    // SAFETY: the text was this process's environment.
    let forgotten = unsafe { core::slice::from_raw_parts(secret, 15) }.iter().all(|byte| *byte == 0);
    act(action, &loaded, forgotten);
    exit(7)
}

/// A file of two sectors.
fn disk_file() -> String {
    file(&[7; 1024]).into_string().expect("text")
}

/// The kernel's `struct sigaction`.
#[repr(C)]
struct Action {
    handler: u64,
    flags: u64,
    restorer: u64,
    mask: u64,
}

fn catch_traps() {
    let handler = (&raw const test_trap) as u64;
    // SA_RESTORER, which nobody returns to here.
    let action = Action { handler, flags: 0x0400_0000, restorer: handler, mask: 0 };
    // Rust's own handler for a stack that is too deep would make system calls.
    let default = Action { handler: 0, flags: 0, restorer: 0, mask: 0 };
    for (signal, action) in [(31, &action), (11, &default), (7, &default)] {
        let set = raw(__NR_rt_sigaction, [signal, (&raw const *action) as usize, 0, 8, 0, 0]);
        assert_eq!(set, 0);
    }
}

/// Does one thing that the lock allows or forbids. Nothing here may allocate.
fn act(action: &str, loaded: &Loaded, forgotten: bool) {
    let read_write = (PROT_READ | PROT_WRITE) as usize;
    let shared = (MAP_SHARED | MAP_FIXED) as usize;
    let frame: usize = 0x1000_0000;
    let memory = loaded.memory_fd as usize;
    let disk = loaded.disk.map_or(usize::MAX, |loaded| loaded.disk.descriptor as usize);
    let (mut bytes, text) = ([0u8; 16], c"sectors".as_ptr() as usize);
    let call = |number: u32, arguments: [usize; 6]| {
        raw(number, arguments);
    };
    // SAFETY: each is meant to be, or to end, what the test is about.
    unsafe {
        match action {
            "exit" => {}
            "write" => call(__NR_write, [1, c"locked\n".as_ptr() as usize, 7, 0, 0, 0]),
            "sleep" => {
                call(__NR_write, [1, c"ready\n".as_ptr() as usize, 6, 0, 0, 0]);
                call(__NR_pause, [0; 6]);
            }
            "time" => {
                let mut time = [0u64; 2];
                call(__NR_clock_gettime, [1, time.as_mut_ptr() as usize, 0, 0, 0, 0]);
                exit(i32::from(time == [0, 0]));
            }
            "environment" => exit(i32::from(!forgotten)),
            "map-frame" => {
                let mapped = raw(__NR_mmap, [frame, 4096, read_write, shared, memory, 1 << 20]);
                (frame as *mut u64).write_volatile(99);
                let seen = loaded.memory[(KERNEL as usize + (1 << 20)) / 8].get();
                let unmapped = raw(__NR_munmap, [frame, 4096, 0, 0, 0, 0]);
                exit(i32::from((mapped as usize, seen, unmapped) != (frame, 99, 0)));
            }
            "guest-site" => core::mem::transmute::<u64, extern "C" fn()>(SITE)(),
            // As if it were exit_group(5): trapped, not run.
            "guest-unlisted" => core::arch::asm!("call {}", in(reg) UNLISTED, in("rax") 231, in("rdi") 5),
            "open" => call(__NR_openat, [usize::MAX, c"/etc/passwd".as_ptr() as usize, 0, 0, 0, 0]),
            "socket" => call(__NR_socket, [1, 1, 0, 0, 0, 0]),
            "execve" => call(__NR_execve, [c"/bin/sh".as_ptr() as usize, 0, 0, 0, 0, 0]),
            "fork" => call(__NR_fork, [0; 6]),
            "clone3" => call(__NR_clone3, [0; 6]),
            "kill" => call(__NR_kill, [1, 0, 0, 0, 0, 0]),
            "ptrace" => call(__NR_ptrace, [0; 6]),
            "mprotect" => call(__NR_mprotect, [DATA as usize & !4095, 4096, 7, 0, 0, 0]),
            "map-executable" => call(__NR_mmap, [frame, 4096, 5, shared, memory, 0]),
            "map-anonymous" => call(__NR_mmap, [frame, 4096, 3, 0x32, usize::MAX, 0]),
            "map-tender" => call(__NR_mmap, [GUEST_END as usize, 4096, 3, shared, memory, 0]),
            "unmap-tender" => call(__NR_munmap, [TENDER as usize, 4096, 0, 0, 0, 0]),
            "brk" => call(__NR_brk, [0; 6]),
            "getpid" => call(__NR_getpid, [0; 6]),
            "prctl" => call(__NR_prctl, [4, 1, 0, 0, 0, 0]),
            "dup" => call(__NR_dup, [1, 0, 0, 0, 0, 0]),
            "ioctl" => call(__NR_ioctl, [1, 0x5401, 0, 0, 0, 0]),
            "io_uring" => call(__NR_io_uring_setup, [1, 0, 0, 0, 0, 0]),
            "write-memory" => call(__NR_write, [memory, frame, 1, 0, 0, 0]),
            "read" => call(__NR_read, [0; 6]),
            "signal-action" => call(__NR_rt_sigaction, [31, 0, 0, 8, 0, 0]),
            "timer" => call(__NR_setitimer, [1, 0, 0, 0, 0, 0]),
            "x32" => call(__NR_write | 1 << 30, [1, c"x".as_ptr() as usize, 1, 0, 0, 0]),
            "elsewhere" => core::arch::asm!("syscall", in("rax") 231, in("rdi") 5),
            "int80" => core::arch::asm!("mov eax, 1", "int 0x80", out("rax") _),
            "write-text" => (TEXT as *mut u8).write_volatile(0xc3),
            "execute-data" => core::mem::transmute::<u64, extern "C" fn()>(DATA)(),
            "execute-memory" => {
                core::mem::transmute::<*const Cell<u64>, extern "C" fn()>(loaded.memory.as_ptr())();
            }
            "stack" => {
                let here = &raw const frame as usize;
                for below in (0..6 << 20).step_by(4096) {
                    ((here - below) as *mut u8).write_volatile(1);
                }
            }
            "disk write" => {
                let written = raw(__NR_pwrite64, [disk, text, 8, 1016, 0, 0]);
                let lasts = raw(__NR_fdatasync, [disk, 0, 0, 0, 0, 0]);
                let read = raw(__NR_pread64, [disk, (&raw mut bytes) as usize, 16, 1008, 0, 0]);
                exit(i32::from(
                    (written, lasts, read, &bytes)
                        != (8, 0, 16, b"\x07\x07\x07\x07\x07\x07\x07\x07sectors\0"),
                ));
            }
            "disk-ro read" => {
                let read = raw(__NR_pread64, [disk, (&raw mut bytes) as usize, 16, 0, 0, 0]);
                exit(i32::from((read, &bytes) != (16, &[7; 16])));
            }
            "disk end" => call(__NR_pread64, [disk, (&raw mut bytes) as usize, 8, 1024, 0, 0]),
            "disk write-end" => call(__NR_pwrite64, [disk, text, 8, 1024, 0, 0]),
            "disk long" => call(__NR_pread64, [disk, (&raw mut bytes) as usize, (128 << 10) + 1, 0, 0, 0]),
            "disk other" => call(__NR_pwrite64, [memory, text, 8, 0, 0, 0]),
            "disk plain-read" => call(__NR_read, [disk, (&raw mut bytes) as usize, 8, 0, 0, 0]),
            "disk truncate" => call(__NR_ftruncate, [disk, 0, 0, 0, 0, 0]),
            "disk-ro write" => call(__NR_pwrite64, [disk, text, 8, 0, 0, 0]),
            "disk-ro flush" => call(__NR_fdatasync, [disk, 0, 0, 0, 0, 0]),
            "no-disk" => call(__NR_pread64, [memory, (&raw mut bytes) as usize, 8, 0, 0, 0]),
            other => panic!("{other}"),
        }
    }
}

fn fails(case: &str) -> ExitCode {
    let gate = Gate::new(None);
    let good = Setup::new();
    let operator = |path: &str| Setup { single: false, ..Setup::new() }.args(&[path]);
    let long = format!("A={}", "x".repeat(100_000));
    let number =
        |path: CString| path.to_str().expect("text").rsplit('/').next().expect("a number").to_owned();
    let setup = match case {
        "small" => Setup { settings: Settings { memory: 0x8000, ..good.settings }, ..good },
        "interface" => {
            let mut sample = Sample::good();
            let json = common::manifest([0xcd; 32], "x86_64-other");
            let note = sample.section(".note.selkie");
            (note.address, note.data) = (0x41_0000, common::note(b"selkie\0", 1, json.as_bytes()));
            Setup { root_task: sample.bytes(), ..good }
        }
        "limit" => {
            let path = file(&good.root_task).into_string().expect("text");
            operator("").args(&["--allow", "memory=64M", "--memory=128M", &path])
        }
        "unaligned" => good.args(&["--memory", "4097"]),
        "no-file" => operator("/no such file"),
        "directory" => operator("/proc"),
        "device" => operator("/dev/null"),
        "no-elf" => operator("/proc/self/environ").args(&[file(b"#!/bin/sh").to_str().expect("text")]),
        "digest" => Setup { damage: Some(0x2000 + 0x3000), ..good }.args(&["--verify"]),
        "tables" => Setup { damage: Some(0x1000 + 0x100), ..good }.args(&["--verify"]),
        "disk" => good.with(DISK),
        "disk-needless" => good.args(&["--verify", "--disk", "/proc/self/exe"]),
        "disk-gone" => good.with(DISK).args(&["--disk", "/no/such/disk,ro"]),
        "disk-kind" => good.with(DISK).args(&["--disk", "/dev/null"]),
        "disk-small" => good.with(DISK).args(&["--disk", file(&[0; 511]).to_str().expect("text")]),
        "disk-read-only" => good.with(DISK).args(&["--disk", "/proc/self/exe"]),
        "disk-long" => good.with(DISK).args(&["--disk", &"x".repeat(4096)]),
        "net" => good.with(device::NET),
        "net-needless" => good.args(&["--verify", "--net", "fd:77"]),
        "net-closed" => good.with(device::NET).args(&["--net", "fd:77"]),
        "net-gone" => good.with(device::NET).args(&["--net", "unix:/no/such/socket"]),
        "net-long" => good.with(device::NET).args(&["--net", &format!("unix:/{}", "x".repeat(107))]),
        "run-fd" => good.args(&["--run-fd", "77"]),
        "run-text" => good.args(&["--run-fd", &at_begin(number(file(b"SELKIE\0\0")))]),
        "run-end" => good.args(&["--run-fd", &at_begin(number(file(b"SELKIERUN1\0arg=a\0")))]),
        "long" => good.args(&["--env", &long, "--env", &long]),
        "occupied" => {
            let flags = (MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE) as usize;
            assert!(raw(__NR_mmap, [DATA as usize & !4095, 4096, 1, flags, usize::MAX, 0]) > 0);
            good
        }
        other => panic!("{other}"),
    };
    match setup.load(&gate).0 {
        Ok(loaded) => panic!("{loaded:?}"),
        Err(error) => report(&gate, format_args!("{error}")),
    }
    ExitCode::from(CANNOT_START as u8)
}

/// Sets a descriptor, by its number, back to the begin of its file.
fn at_begin(descriptor: String) -> String {
    raw(__NR_lseek, [descriptor.parse().expect("a number"), 0, 0, 0, 0, 0]);
    descriptor
}

/// Loads damaged root tasks, each in its own turn, and prints how many could be loaded.
fn damaged(seed: u64) {
    let mut random = Random(seed);
    let mut loaded = 0;
    for _ in 0..100 {
        let mut sample = Sample::good();
        for _ in 0..1 + random.below(2) {
            let index = random.below(4);
            let segment = &mut sample.segments[index];
            match random.below(6) {
                0 => segment.address = segment.address.wrapping_add(random.next() % 0x4000),
                1 => segment.memory_size = random.next() >> random.below(64),
                2 => segment.file_size = random.next() % 0x1000,
                3 => segment.offset = random.next() % 0x8000,
                4 => segment.flags = random.below(8) as u32,
                _ => sample.entry = TEXT + random.next() % 0x200,
            }
        }
        let list: Vec<u64> = (0..random.below(600)).map(|_| BASE + random.next() % 0xa000).collect();
        let setup = Setup { root_task: sample.with_sites(&list).bytes(), ..Setup::new() };
        let gate = Gate::new(None);
        if let Ok(good) = setup.load(&gate).0 {
            loaded += 1;
            assert_eq!(good.sites.patched + good.sites.left, list.len() as u64);
            unload(&good);
        }
        // What an attempt has mapped before it failed.
        let _ = raw(__NR_munmap, [0x1_0000, (1 << 31) - 0x1_0000, 0, 0, 0, 0]);
        let _ = raw(__NR_munmap, [TENDER as usize, 80 << 20, 0, 0, 0, 0]);
        let _ = raw(__NR_close_range, [3, u32::MAX as usize, 0, 0, 0, 0]);
    }
    println!("{loaded}");
}

fn unload(loaded: &Loaded) {
    let window = loaded.memory.as_ptr() as usize;
    let size = size_of_val(loaded.memory) + size_of_val(loaded.shared);
    assert_eq!(raw(__NR_munmap, [window, size, 0, 0, 0, 0]), 0);
}
