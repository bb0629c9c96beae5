//! What a thread has only on a kernel with MCS.

use crate::error::Result;
use selkie_sys::when;

/// A `T` on a kernel with MCS; nothing, and no code that deals with it, elsewhere.
#[derive(Debug)]
pub(crate) struct OnMcs<T>(Held<T>);

when!(mcs { type Held<T> = T; } else { type Held<T> = core::marker::PhantomData<T>; });

impl<T> OnMcs<T> {
    /// Makes it where it is needed.
    pub(crate) fn new(make: impl FnOnce() -> Result<T>) -> Result<Self> {
        when!(mcs { make().map(Self) } else {{
            drop(make);
            Ok(Self(core::marker::PhantomData))
        }})
    }

    /// The value, where there is one.
    pub(crate) fn get(&self) -> Option<&T> {
        when!(mcs { Some(&self.0) } else { None })
    }

    /// The value, where there is one.
    pub(crate) fn into_inner(self) -> Option<T> {
        when!(mcs { Some(self.0) } else { None })
    }
}
