//! Stand-in for the set-up crate.
use crate::syscall::{Errno, syscall};
use core::cell::Cell;
use core::ops::Range;
use core::ptr::with_exposed_provenance as at;
use linux_raw_sys::general::*;
use selkie_tender_table::Table;

pub(crate) struct Loaded {
    pub table: &'static Table,
    pub memory: &'static [Cell<u64>],
    pub memory_fd: i32,
    pub image_fd: i32,
    pub image: Range<u64>,
    pub entry: u64,
    pub segments: [(Range<u64>, u32, u64); 4], // range, flags, file offset
    pub writable: [(Range<u64>, bool); 4],
    pub stubs: Range<u64>,
}

unsafe fn map(a: u64, n: u64, prot: u32, flags: u32, fd: i32, off: u64) -> u64 {
    unsafe { syscall(__NR_mmap, [a, n, prot as u64, flags as u64, fd as i64 as u64, off]) }
        .unwrap_or_else(|e| panic!("mmap {a:#x} {n:#x} {e:?}"))
}
unsafe fn open(p: *const u8) -> i32 {
    unsafe { syscall(__NR_open, [p.addr() as u64, 0]) }.unwrap_or_else(|e| panic!("open {e:?}")) as i32
}
unsafe fn size(fd: i32) -> u64 {
    unsafe { syscall(__NR_lseek, [fd as u64, 0, 2]) }.unwrap_or(0)
}
fn up(x: u64) -> u64 {
    x.next_multiple_of(4096)
}

pub(crate) unsafe fn load(args: &[*const u8], entry: u64) -> Loaded {
    unsafe {
        let fd = open(args[1]);
        let n = size(fd);
        let base = map(0, up(n), PROT_READ, MAP_PRIVATE, fd, 0);
        let u64at = |o: u64| at::<u64>((base + o) as usize).read_unaligned();
        let u32at = |o: u64| at::<u32>((base + o) as usize).read_unaligned();
        let u16at = |o: u64| at::<u16>((base + o) as usize).read_unaligned();
        let tfd = open(args[2]);
        let t = map(0, up(size(tfd)), PROT_READ, MAP_PRIVATE, tfd, 0);
        let table: &'static Table = &*at::<Table>(t as usize);
        let mut segments = [const { (0u64..0u64, 0u32, 0u64) }; 4];
        let mut writable = [const { (0u64..0u64, false) }; 4];
        let (mut lo, mut hi, mut c) = (u64::MAX, 0, 0);
        let phoff = u64at(32);
        for i in 0..u64::from(u16at(56)) {
            let h = phoff + i * 56;
            if u32at(h) != 1 {
                continue;
            }
            let (v, m) = (u64at(h + 16), u64at(h + 40));
            lo = lo.min(v & !4095);
            hi = hi.max(up(v + m));
            segments[c] = (v & !4095..up(v + m), u32at(h + 4), u64at(h + 8) & !4095);
            writable[c] = (v & !4095..up(v + m), u32at(h + 4) & 2 != 0);
            c += 1;
        }
        let bytes = 64u64 << 20;
        let mfd = syscall(__NR_memfd_create, [c"m".as_ptr().addr() as u64, 0]).unwrap_or(0) as i32;
        let _ = syscall(__NR_ftruncate, [mfd as u64, bytes]);
        let w = map(0, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, mfd, 0);
        map(lo, hi - lo + 3 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, mfd, 0);
        for i in 0..u64::from(u16at(56)) {
            let h = phoff + i * 56;
            if u32at(h) != 1 {
                continue;
            }
            let (o, v, f, m) = (u64at(h + 8), u64at(h + 16), u64at(h + 32), u64at(h + 40));
            if u32at(h + 4) & 2 != 0 {
                core::ptr::copy_nonoverlapping(
                    at::<u8>((base + o) as usize),
                    (v as usize) as *mut u8,
                    f as usize,
                );
            } else {
                map(
                    v & !4095,
                    up((v & 4095) + m),
                    PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_FIXED,
                    fd,
                    o & !4095,
                );
            }
        }
        let stubs =
            map(lo - 4096, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        // sections
        let (shoff, shn, shstr) = (u64at(40), u16at(60) as u64, u16at(62) as u64);
        let names = u64at(shoff + shstr * 64 + 24);
        let mut k = 0;
        for i in 0..shn {
            let s = shoff + i * 64;
            let name = core::ffi::CStr::from_ptr(at((base + names + u64::from(u32at(s))) as usize));
            if name.to_bytes() != b".sel4_sites" {
                continue;
            }
            let (o, n) = (u64at(s + 24), u64at(s + 32));
            for j in 0..n / 8 {
                let a = u64at(o + 8 * j);
                let stub = stubs + 16 * k;
                let p = a as usize as *mut u8;
                if p.cast::<u64>().read_unaligned() != 0xc48948050fe08948 {
                    crate::report(format_args!("site {a:#x} skipped\n"));
                    continue;
                }
                p.add(3).write(0xe9);
                p.add(4).cast::<u32>().write_unaligned((stub.wrapping_sub(a + 8)) as u32);
                let q = stub as usize as *mut u8;
                q.write(0xb9);
                q.add(1).cast::<u32>().write_unaligned((a + 8) as u32);
                q.add(5).write(0xff);
                q.add(6).write(0x25);
                q.add(7).cast::<u32>().write_unaligned((stubs + 4088 - (stub + 11)) as u32);
                k += 1;
            }
        }
        ((stubs + 4088) as usize as *mut u64).write(entry);
        let prot = |r: &Range<u64>, p: u32| {
            let _: Result<u64, Errno> = syscall(__NR_mprotect, [r.start, r.end - r.start, p as u64]);
        };
        for (r, f, _) in &segments[..c] {
            if f & 2 == 0 {
                prot(r, if f & 1 != 0 { PROT_READ | PROT_EXEC } else { PROT_READ });
            }
        }
        prot(&(stubs..stubs + 4096), PROT_READ | PROT_EXEC);
        Loaded {
            table,
            memory: core::slice::from_raw_parts(at::<Cell<u64>>(w as usize), bytes as usize / 8),
            memory_fd: mfd,
            image_fd: fd,
            image: lo..hi,
            entry: u64at(24),
            segments,
            writable,
            stubs: stubs..stubs + 16 * k,
        }
    }
}
