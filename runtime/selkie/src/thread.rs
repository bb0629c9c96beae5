//! Threads.

use crate::{
    cap::{
        CNode, Capability, Endpoint, Notification, Pml4, Registers, Reply, Slot, Space, Tcb, with_ipc_buffer,
    },
    error::{Error, Result},
    memory::{Memory, Objects},
    on_mcs::OnMcs,
    system::System,
    vspace::{Mapping, PAGE},
};
use core::{
    marker::PhantomData,
    mem::{self, ManuallyDrop, MaybeUninit},
    ptr,
    sync::atomic::{AtomicPtr, Ordering},
    time::Duration,
};
use selkie_sys::{Word, ipc_buffer, ipc_buffer_offset};

pub use crate::share::Share;

/// The stack of a thread when nothing else is asked for, in bytes.
pub const DEFAULT_STACK: usize = 16 << 10;

/// What a thread is to the runtime. A pointer to it lies in the thread's IPC buffer.
#[derive(Debug, Clone, Copy)]
pub struct Thread {
    number: Word,
    tcb: Tcb,
    wake: Notification,
    reply: Reply,
}

impl Thread {
    /// The first thread's.
    pub(crate) fn first(wake: Notification, reply: Reply) -> Self {
        Self { number: 0, tcb: Tcb::first(), wake, reply }
    }

    /// Makes this the calling thread.
    pub(crate) fn enter(&'static self) {
        // SAFETY: a function is entered with an IPC buffer, and so are its threads.
        unsafe { ipc_buffer::set_user_data(ptr::from_ref(self).expose_provenance() as Word) }
    }

    /// The thread's number: 0 is the first one.
    pub fn number(&self) -> Word {
        self.number
    }

    /// The thread's own TCB.
    pub fn tcb(&self) -> Tcb {
        self.tcb
    }

    /// The reply object that the thread receives calls with, on a kernel with MCS; elsewhere the null slot.
    pub fn reply(&self) -> Reply {
        self.reply
    }

    /// What the runtime wakes the thread with.
    pub(crate) fn wake(&self) -> Notification {
        self.wake
    }
}

/// The calling thread.
pub fn current() -> Thread {
    // SAFETY: before a second thread exists, and in each thread before anything else, the word is set to a
    // `Thread` that lives as long as the thread.
    unsafe { *here() }
}

/// What the calling thread receives calls with, on a kernel with MCS; the null slot where the thread is none of the
/// runtime's, or has not been made known to it yet.
pub(crate) fn own_reply() -> Reply {
    if here().is_null() { Reply::at(Slot::NULL) } else { current().reply }
}

/// Where the calling thread's `Thread` lies: good as long as the thread.
fn here() -> *const Thread {
    // SAFETY: every thread of a function has an IPC buffer.
    ptr::with_exposed_provenance(unsafe { ipc_buffer::user_data() } as usize)
}

/// The calling thread's TCB, even before the runtime has started.
pub(crate) fn current_tcb() -> Tcb {
    if here().is_null() { Tcb::first() } else { current().tcb }
}

/// Lets other threads of the same priority run.
pub fn yield_now() {
    // SAFETY: scheduling is no matter of memory safety.
    unsafe { selkie_sys::yield_() }
}

/// How a new thread is to be.
///
/// ```no_run
/// # fn example(sys: &mut selkie::System) -> selkie::Result<()> {
/// let worker = selkie::thread::Builder::new().priority(100).spawn(sys, || 6 * 7)?;
/// assert_eq!(worker.join(sys)?, 42);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Default)]
pub struct Builder {
    stack: Option<usize>,
    priority: Option<u8>,
    max_priority: Option<u8>,
    fault_endpoint: Option<Endpoint>,
    budget: Option<(Duration, Duration, Word)>,
}

impl Builder {
    /// A thread of the highest priority that the function may give, with a stack of 16 KiB. A fault of it
    /// ends the function.
    pub const fn new() -> Self {
        Self { stack: None, priority: None, max_priority: None, fault_endpoint: None, budget: None }
    }

    /// The least size of its stack in bytes: the last page is filled up. Below the stack lies a page that
    /// nothing is mapped to.
    pub const fn stack(self, bytes: usize) -> Self {
        Self { stack: Some(bytes), ..self }
    }

    /// Its priority.
    pub const fn priority(self, priority: u8) -> Self {
        Self { priority: Some(priority), ..self }
    }

    /// The highest priority that it may give to threads. Default: its own.
    pub const fn max_priority(self, priority: u8) -> Self {
        Self { max_priority: Some(priority), ..self }
    }

    /// The endpoint that its faults are sent to (see [`Fault`](crate::fault::Fault)).
    pub const fn fault_endpoint(self, endpoint: Endpoint) -> Self {
        Self { fault_endpoint: Some(endpoint), ..self }
    }

    /// The time that it may run in each `period`, on a kernel with MCS; where it has a timeout endpoint
    /// ([`Tcb::set_timeout_endpoint`]), that one is told `badge` when the budget is used up. Elsewhere there are no
    /// budgets, and no such thread is started.
    pub const fn budget(self, budget: Duration, period: Duration, badge: Word) -> Self {
        Self { budget: Some((budget, period, badge)), ..self }
    }

    /// Starts the thread with `run`.
    pub fn spawn<T, F>(self, sys: &mut System, run: F) -> Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        sys.need_threads()?;
        if self.fault_endpoint.is_none() {
            sys.need_fault_handler()?;
        }
        let mut parts = Parts::new(sys, &self)?;
        let started = parts.start(sys, &self, run);
        match started {
            Ok(shared) => Ok(JoinHandle { shared, parts, result: PhantomData }),
            Err(error) => {
                parts.destroy(&mut sys.memory)?;
                Err(error)
            }
        }
    }
}

/// A thread that was started. Dropping it leaves the thread alone; its memory is never given back then.
#[derive(Debug)]
#[must_use = "only `join` gives the thread's memory back"]
pub struct JoinHandle<T> {
    shared: *mut Shared<T>,
    parts: Parts,
    result: PhantomData<T>,
}

// SAFETY: the pointer leads to memory that the handle owns together with the thread.
unsafe impl<T: Send> Send for JoinHandle<T> {}

impl<T> JoinHandle<T> {
    /// The thread's TCB.
    pub fn tcb(&self) -> Tcb {
        self.parts.tcb.cap()
    }

    /// Whether the thread has come to its end.
    pub fn is_finished(&self) -> bool {
        self.state().load(Ordering::Acquire) == DONE
    }

    /// Waits for the thread's end, gives back what it was made of and returns its result.
    pub fn join(self, sys: &mut System) -> Result<T> {
        let waits = self
            .state()
            .compare_exchange(ptr::null_mut(), here().cast_mut(), Ordering::AcqRel, Ordering::Acquire)
            .is_ok();
        // Exactly one signal comes then, and only this takes it (see `sync`).
        if waits {
            loop {
                current().wake.wait();
                if self.is_finished() {
                    break;
                }
            }
        }
        // SAFETY: the thread is done, so it has written its result and does not touch it any more; nobody
        // else reads it, because this handle is used up.
        let result = unsafe { (*self.shared).result.assume_init_read() };
        self.parts.destroy(&mut sys.memory)?;
        Ok(result)
    }

    /// Stops the thread wherever it is and gives back what it was made of.
    ///
    /// # Safety
    /// The thread neither holds a lock nor is about to take or give one back (the console and the heap have
    /// one each), does not wait in [`join`](Self::join), and nobody has a reference to its stack.
    pub unsafe fn kill(self, sys: &mut System) -> Result<()> {
        self.parts.destroy(&mut sys.memory)
    }

    fn state(&self) -> &AtomicPtr<Thread> {
        // SAFETY: it lies on the thread's stack, which the handle owns.
        unsafe { &(*self.shared).state }
    }
}

/// What a thread shares with its handle. It lies at the top of the thread's stack.
#[repr(C)]
struct Shared<T> {
    thread: Thread,
    /// Null, the thread that waits for the end, or [`DONE`].
    state: AtomicPtr<Thread>,
    result: MaybeUninit<T>,
}

/// What a thread finds when it starts.
#[repr(C, align(16))]
struct Start<F, T> {
    shared: Shared<T>,
    run: ManuallyDrop<F>,
}

/// No address of a thread is odd.
const DONE: *mut Thread = ptr::without_provenance_mut(1);

/// Bytes of an IPC buffer, at a multiple of them.
const IPC_BUFFER: usize = (ipc_buffer_offset::RECEIVE_DEPTH + size_of::<Word>()).next_power_of_two();

/// What a thread is made of.
#[derive(Debug)]
struct Parts {
    tcb: Objects<Tcb>,
    wake: Objects<Notification>,
    turns: Turns,
    /// Stack and IPC buffer, with a guard page below. They share the last page: a thread that does little uses
    /// no other one.
    memory: Mapping,
    /// The slot of the capability that its faults go through, when it is the thread's own.
    fault: Option<Slot>,
}

/// What a thread runs and receives with, on a kernel with MCS.
#[derive(Debug)]
struct Turns {
    share: Share,
    reply: OnMcs<Objects<Reply>>,
}

impl Turns {
    fn new(sys: &mut System, builder: &Builder) -> Result<Self> {
        let share = match builder.budget {
            Some((budget, period, badge)) => Share::with_budget(sys, budget, period, badge)?,
            None => Share::new(sys)?,
        };
        match OnMcs::new(|| sys.memory.create()) {
            Ok(reply) => Ok(Self { share, reply }),
            Err(error) => share.destroy(&mut sys.memory).and(Err(error)),
        }
    }

    fn destroy(self, memory: &mut Memory) -> Result<()> {
        self.share.destroy(memory)?;
        self.reply.into_inner().map_or(Ok(()), |reply| memory.destroy(reply))
    }
}

impl Parts {
    fn new(sys: &mut System, builder: &Builder) -> Result<Self> {
        let stack = builder.stack.unwrap_or(DEFAULT_STACK);
        let turns = Turns::new(sys, builder)?;
        match Self::with(sys, stack) {
            Ok((tcb, wake, memory)) => Ok(Self { tcb, wake, turns, memory, fault: None }),
            Err(error) => turns.destroy(&mut sys.memory).and(Err(error)),
        }
    }

    /// Thread, notification and stack.
    fn with(sys: &mut System, stack: usize) -> Result<(Objects<Tcb>, Objects<Notification>, Mapping)> {
        let tcb = sys.memory.create()?;
        let wake = match sys.memory.create() {
            Ok(wake) => wake,
            Err(error) => {
                sys.memory.destroy(tcb)?;
                return Err(error);
            }
        };
        match Mapping::with_guard(&mut sys.memory, stack.saturating_add(IPC_BUFFER)) {
            Ok(memory) => Ok((tcb, wake, memory)),
            Err(error) => {
                sys.memory.destroy(tcb)?;
                sys.memory.destroy(wake)?;
                Err(error)
            }
        }
    }

    /// Configures the thread and lets it run.
    fn start<F, T>(&mut self, sys: &mut System, builder: &Builder, run: F) -> Result<*mut Shared<T>>
    where
        F: FnOnce() -> T,
    {
        let number = sys.next_thread_number();
        let stack = self.memory.size() - IPC_BUFFER;
        let top = self.memory.address() + stack;
        let size = size_of::<Start<F, T>>();
        if size > stack / 2 || align_of::<Start<F, T>>() > PAGE {
            return Err(Error::NoMemory);
        }
        let fault_endpoint = match builder.fault_endpoint {
            Some(endpoint) => endpoint.slot(),
            None => *self.fault.insert(sys.new_fault_endpoint(number)?),
        };
        let at = (top - size) & !(align_of::<Start<F, T>>() - 1);
        let start = at as *mut Start<F, T>;
        let tcb = self.tcb.cap();
        let reply = self.turns.reply.get().map_or(Reply::at(Slot::NULL), Objects::cap);
        let thread = Thread { number, tcb, wake: self.wake.cap(), reply };
        let shared = Shared { thread, state: AtomicPtr::new(ptr::null_mut()), result: MaybeUninit::uninit() };
        // SAFETY: the stack is fresh, large enough, aligned, and known to nobody else.
        unsafe { start.write(Start { shared, run: ManuallyDrop::new(run) }) };
        let space = Space { fault_endpoint, cnode: CNode::OWN, guard: 0, vspace: Pml4::OWN };
        let priority = builder.priority.unwrap_or(sys.max_priority());
        let max_priority = builder.max_priority.unwrap_or(priority);
        // SAFETY: the thread does not run yet, and the page is mapped there.
        unsafe { tcb.configure(space, priority, max_priority, top, self.memory.page(stack))? };
        self.turns.share.bind(tcb)?;
        let registers = Registers {
            rip: begin::<F, T> as *const () as Word,
            // As after a call: the return address lies at a multiple of 16 minus 8.
            rsp: (at & !15) as Word - 8,
            rflags: 0x202,
            rdi: at as Word,
            ..Registers::default()
        };
        // SAFETY: the thread begins in `begin`, with a stack of its own and the argument that it expects;
        // the bounds of `spawn` say that the closure may run in another thread.
        unsafe { tcb.write_registers(true, Registers::WORDS as usize, &with_ipc_buffer(registers, top))? };
        Ok(start.cast())
    }

    /// Deletes the thread before its stack, so that it never runs without one.
    fn destroy(self, memory: &mut Memory) -> Result<()> {
        memory.destroy(self.tcb)?;
        self.turns.destroy(memory)?;
        memory.destroy(self.wake)?;
        if let Some(slot) = self.fault {
            slot.place().delete()?;
            memory.release_slots(slot, 1);
        }
        self.memory.unmap(memory)
    }
}

/// Where a thread begins, and ends.
extern "C" fn begin<F: FnOnce() -> T, T>(start: *mut Start<F, T>) -> ! {
    // SAFETY: `Parts::start` has put it there; it stays until the thread is done and joined. The shared
    // part is only used through its atomics and by this thread until then.
    let (shared, run) = unsafe { (&raw mut (*start).shared, ManuallyDrop::take(&mut (*start).run)) };
    // SAFETY: as above.
    unsafe {
        (*shared).thread.enter();
        let result = run();
        (*shared).result.write(result);
        let joiner = (*shared).state.swap(DONE, Ordering::AcqRel);
        // `joiner` waits until it is woken, and is read before that.
        if let Some(joiner) = joiner.as_ref() {
            joiner.wake.signal();
        }
    }
    loop {
        // It fails only once the thread is gone.
        let _ = current().tcb.suspend();
    }
}

impl System {
    /// Starts a thread with `run`, as [`Builder::new`] says.
    pub fn spawn<T, F>(&mut self, run: F) -> Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        Builder::new().spawn(self, run)
    }
}

const _: () = assert!(mem::align_of::<Thread>() > 1, "`DONE` must differ from every thread's address");
