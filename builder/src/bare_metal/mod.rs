//! Target `bare-metal`: media that the firmware of a PC boots.
//!
//! [`Media`] says which media are made: what the recipe asks for, as far as the kernel's headers allow.

mod headers;
mod media;
mod netboot;

pub use headers::Headers;
pub use media::{Error as MediaError, LeftOut, Media, Protocol};
pub(crate) use netboot::netboot;
