//! Time for threads.

use crate::{
    cap::{SchedContext, Tcb},
    error::{Error, Result},
    memory::{Memory, Objects},
    on_mcs::OnMcs,
    system::System,
};
use core::time::Duration;
use selkie_sys::{Word, portable};

/// How long a thread runs before others of its priority do, where nothing else is asked for: what the first thread
/// has of the kernel.
const TURN: Duration = Duration::from_millis(5);

/// What a thread needs to get time: a scheduling context on a kernel with MCS, nothing elsewhere.
///
/// Dropping it forgets it; [`Share::destroy`] gives it back.
#[derive(Debug)]
#[must_use = "the share can only be given back through this value"]
pub struct Share(OnMcs<Objects<SchedContext>>);

impl Share {
    /// A share that takes turns with all others of the same priority.
    pub fn new(sys: &mut System) -> Result<Self> {
        Self::make(sys, TURN, TURN, 0)
    }

    /// A share of `budget` in each `period`. A timeout fault tells `badge`. Only a kernel with MCS has it.
    pub fn with_budget(sys: &mut System, budget: Duration, period: Duration, badge: Word) -> Result<Self> {
        if portable::MCS { Self::make(sys, budget, period, badge) } else { Err(Error::NoTime) }
    }

    fn make(sys: &mut System, budget: Duration, period: Duration, badge: Word) -> Result<Self> {
        let time = OnMcs::new(|| {
            let control = sys.boot_info().sched_control().ok_or(Error::NoTime)?;
            let object = sys.memory.create::<SchedContext>()?;
            match control.configure(object.cap(), budget, period, 0, badge) {
                Ok(()) => Ok(object),
                Err(error) => sys.memory.destroy(object).and(Err(error)),
            }
        });
        time.map(Self)
    }

    /// Gives it to `thread`, which has none yet.
    pub fn bind(&self, thread: Tcb) -> Result<()> {
        self.cap().map_or(Ok(()), |time| time.bind(thread))
    }

    /// The scheduling context, on a kernel with MCS.
    pub fn cap(&self) -> Option<SchedContext> {
        self.0.get().map(Objects::cap)
    }

    /// Gives it back. A thread that has it does not run any more.
    pub fn destroy(self, memory: &mut Memory) -> Result<()> {
        self.0.into_inner().map_or(Ok(()), |object| memory.destroy(object))
    }
}
