//! The word to stop that comes from outside.

use crate::{
    bmk::Thread,
    wake::{NOBODY, Port},
};

pub(crate) static PORT: Stop = Stop;
pub(crate) struct Stop;

impl Port for Stop {
    fn tell(&self) {}

    fn set_waits(&self, _: bool) {}

    fn woken(&self) -> [*mut Thread; 2] {
        NOBODY
    }
}
