//! Target `bare-metal`: media that the firmware of a PC boots.
//!
//! [`Media`] says which media are made: what the recipe asks for, as far as the kernel's headers allow. A
//! packer has the host's boot loader and writes them: an ISO, a disk image, a folder for the network. A
//! medium that is read back tells which image lies on it. Nothing is ever written to a real disk.

mod disk;
mod fat;
mod gpt;
mod grub;
mod headers;
mod iso;
mod iso9660;
mod layout;
mod media;
pub(crate) mod medium;
mod netboot;
mod pack;
#[cfg(test)]
mod tests;

pub(crate) use fat::format as format_fat;
pub use grub::Error as GrubError;
pub(crate) use grub::additions as grub_additions;
pub use headers::Headers;
pub(crate) use layout::serial;
pub(crate) use media::halts;
pub use media::{Error as MediaError, LeftOut, Media, Protocol};
pub use medium::Error as MediumError;
pub use pack::Error as PackError;
pub(crate) use pack::{Packer, Payload, pack};
