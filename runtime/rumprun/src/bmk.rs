//! What the rump kernel and its libraries offer to the platform, and what they ask for in its terms.
//!
//! Sources: rumprun, `include/bmk-core`, `include/bmk-rumpuser`; NetBSD, `sys/rump/include/rump/rumpuser.h`.

use core::ffi::{c_char, c_int, c_long, c_ulong, c_void};

/// Numbers of errors, as NetBSD has them.
pub(crate) mod errno {
    use core::ffi::c_int;

    pub(crate) const ESRCH: c_int = 3;
    pub(crate) const EIO: c_int = 5;
    pub(crate) const ENXIO: c_int = 6;
    pub(crate) const EBADF: c_int = 9;
    pub(crate) const ECHILD: c_int = 10;
    pub(crate) const EINVAL: c_int = 22;
    pub(crate) const EROFS: c_int = 30;
    pub(crate) const ENOSYS: c_int = 78;
}

/// What a thread's switch needs of it (`struct bmk_tcb`).
#[repr(C)]
pub(crate) struct Tcb {
    stack: c_ulong,
    instruction: c_ulong,
    /// The base of FS while it runs.
    pub(crate) tls: c_ulong,
    tls_size: c_ulong,
}

/// A thread of the rump kernel's scheduler.
#[repr(C)]
pub(crate) struct Thread {
    _private: [u8; 0],
}

/// A piece of memory (`struct iovec`).
#[repr(C)]
pub(crate) struct IoVec {
    pub(crate) base: *mut c_void,
    pub(crate) length: usize,
}

/// What the rump kernel calls when a request was done: with its argument, the bytes that were moved, and an error.
pub(crate) type BioDone = unsafe extern "C" fn(*mut c_void, usize, c_int);

/// What the rump kernel offers to its hypervisor (`struct rumpuser_hyperup`).
#[repr(C)]
pub(crate) struct HyperUp {
    schedule: unsafe extern "C" fn(),
    unschedule: unsafe extern "C" fn(),
    backend_unschedule: unsafe extern "C" fn(c_int, *mut c_int, *mut c_void),
    backend_schedule: unsafe extern "C" fn(c_int, *mut c_void),
    lwproc_switch: *const c_void,
    lwproc_release: *const c_void,
    lwproc_rfork: *const c_void,
    lwproc_newlwp: unsafe extern "C" fn(c_int) -> c_int,
}

unsafe extern "C" {
    pub(crate) static mut bmk_memsize: c_ulong;
    static rumpuser__hyp: HyperUp;
    /// Kibibytes that the rump kernel and the program were given, and those of them that are in use.
    pub(crate) static pgalloc_totalkb: c_ulong;
    pub(crate) static pgalloc_usedkb: c_ulong;

    pub(crate) safe fn bmk_printf_init(put: extern "C" fn(c_int), flush: Option<extern "C" fn()>);
    pub(crate) safe fn bmk_sched_init();
    pub(crate) safe fn bmk_core_init(stack_page_order: c_ulong) -> c_int;
    pub(crate) fn bmk_pgalloc_loadmem(start: c_ulong, end: c_ulong);
    pub(crate) fn bmk_sched_startmain(main: unsafe extern "C" fn(*mut c_void), argument: *mut c_void) -> !;
    pub(crate) fn bmk_mainthread(json: *mut c_void);

    pub(crate) fn bmk_sched_create(
        name: *const c_char,
        cookie: *mut c_void,
        joinable: c_int,
        run: unsafe extern "C" fn(*mut c_void),
        argument: *mut c_void,
        stack: *mut c_void,
        stack_size: c_ulong,
    ) -> *mut Thread;
    pub(crate) fn bmk_sched_wake(thread: *mut Thread);
    pub(crate) safe fn bmk_sched_yield();
    pub(crate) safe fn bmk_sched_blockprepare();
    pub(crate) safe fn bmk_sched_blockprepare_timeout(until: i64);
    pub(crate) safe fn bmk_sched_block() -> c_int;

    pub(crate) fn bmk_pgalloc(order: c_int) -> *mut c_void;
    pub(crate) fn bmk_pgalloc_align(order: c_int, align: c_ulong) -> *mut c_void;
}

/// Memory of the rump kernel's, in small pieces.
pub(crate) mod memory {
    use core::ffi::{c_int, c_ulong, c_void};

    /// The rump kernel's own memory (`BMK_MEMWHO_WIREDBMK`).
    const WHO: c_int = 0;

    unsafe extern "C" {
        safe fn bmk_memalloc(size: c_ulong, align: c_ulong, who: c_int) -> *mut c_void;
        fn bmk_memfree(memory: *mut c_void, who: c_int);
    }

    /// Memory for anything of `size` bytes, or null.
    pub(crate) fn allocate(size: usize) -> *mut c_void {
        bmk_memalloc(size as c_ulong, 16, WHO)
    }

    /// The same, where there is no going on without it.
    pub(crate) fn some(size: usize) -> *mut c_void {
        let memory = allocate(size);
        if memory.is_null() {
            crate::fail(format_args!("no memory is left for the program's arguments and environment"));
        }
        memory
    }

    /// Gives it back. Null is nothing to give back.
    pub(crate) fn free(memory: *mut c_void) {
        if !memory.is_null() {
            // SAFETY: it comes from `allocate`, and its user does not use it any more.
            unsafe { bmk_memfree(memory, WHO) }
        }
    }
}

/// The thread that runs.
pub(crate) fn current() -> *mut Thread {
    let current;
    // SAFETY: reads the variable in which the scheduler keeps it, one of those that each thread has its own of.
    unsafe {
        core::arch::asm!("mov {}, qword ptr fs:[bmk_current@tpoff]", out(reg) current, options(nostack, readonly, preserves_flags));
    }
    current
}

/// Runs `work` as a thread that does not use the rump kernel's processor meanwhile: others do.
pub(crate) fn outside<T>(work: impl FnOnce() -> T) -> T {
    let mut locks = 0;
    // SAFETY: the rump kernel has filled the table in before it called anything of the platform's.
    unsafe {
        (rumpuser__hyp.backend_unschedule)(0, &raw mut locks, core::ptr::null_mut());
        let result = work();
        (rumpuser__hyp.backend_schedule)(locks, core::ptr::null_mut());
        result
    }
}

/// Makes the calling thread one of the rump kernel's own.
pub(crate) fn become_kernel_thread() {
    // SAFETY: as in `outside`.
    inside(|| unsafe { (rumpuser__hyp.lwproc_newlwp)(0) });
}

/// Runs `work` with the rump kernel's processor: in a thread of the platform's own.
pub(crate) fn inside<T>(work: impl FnOnce() -> T) -> T {
    // SAFETY: as in `outside`.
    unsafe {
        (rumpuser__hyp.schedule)();
        let result = work();
        (rumpuser__hyp.unschedule)();
        result
    }
}

/// What NetBSD's C library has, with NetBSD's numbers; and what rumprun adds to it.
pub(crate) mod libc {
    use super::{c_char, c_int, c_long, c_void};

    pub(crate) const O_WRONLY: c_int = 1;
    pub(crate) const O_NONBLOCK: c_int = 4;
    pub(crate) const O_APPEND: c_int = 8;
    pub(crate) const O_CREAT: c_int = 0x200;
    pub(crate) const O_TRUNC: c_int = 0x400;
    pub(crate) const F_SETFL: c_int = 4;

    /// What a thread of a program's runs.
    pub(crate) type Run = extern "C" fn(*mut c_void) -> *mut c_void;

    unsafe extern "C" {
        pub(crate) static mut environ: *mut *mut c_char;

        pub(crate) fn __errno() -> *mut c_int;
        pub(crate) fn getpid() -> c_int;
        pub(crate) fn strerror(number: c_int) -> *const c_char;
        pub(crate) fn setenv(name: *const c_char, value: *const c_char, replace: c_int) -> c_int;
        pub(crate) fn mkdir(path: *const c_char, mode: u32) -> c_int;
        pub(crate) fn open(path: *const c_char, flags: c_int, ...) -> c_int;
        pub(crate) fn write(file: c_int, bytes: *const c_void, size: usize) -> c_long;
        pub(crate) safe fn close(file: c_int) -> c_int;
        pub(crate) fn pipe(ends: *mut c_int) -> c_int;
        pub(crate) safe fn dup2(file: c_int, as_file: c_int) -> c_int;
        pub(crate) fn fcntl(file: c_int, command: c_int, ...) -> c_int;
        pub(crate) fn pthread_create(
            thread: *mut usize,
            attributes: *const c_void,
            run: Run,
            argument: *mut c_void,
        ) -> c_int;
        pub(crate) fn rump___sysimpl_mount50(
            kind: *const c_char,
            path: *const c_char,
            flags: c_int,
            arguments: *mut c_void,
            size: usize,
        ) -> c_int;
        pub(crate) safe fn exit(status: c_int) -> !;
        /// Ends the rump kernel: file systems are written and unmounted.
        pub(crate) safe fn rumprun_reboot() -> !;
    }
}
