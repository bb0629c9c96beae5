//! The network: a socket of frames, or a tap device, that somebody outside has opened, or that is opened here.

use crate::{Error, linux::Calls, linux::Errno, options::NetOption};
use linux_raw_sys::{errno::EINVAL, general};
use selkie_base::devices::{
    buffers::{Layout, REGION_ALIGN},
    net::Net,
};

/// The network as the list of devices has it. The address is the one that QEMU gives to its first card; each process
/// has a network of its own.
pub const NET: Net =
    Net { mac: [0x52, 0x54, 0x00, 0x12, 0x34, 0x56], mtu: 1500, layout: Layout::new(7, 256) };

/// Where the network's region lies: a multiple of what it has to be, at `offset` or after it.
pub(crate) fn region(offset: usize) -> usize {
    offset.next_multiple_of(REGION_ALIGN as usize)
}

/// `AF_UNIX` and `SOCK_STREAM` of the kernel's headers.
const AF_UNIX: u16 = 1;
const SOCK_STREAM: usize = 1;

/// The kernel's `struct sockaddr_un`.
#[repr(C)]
struct Address {
    family: u16,
    path: [u8; 108],
}

/// A request about a tap device: the kernel's `struct ifreq` of `linux/if.h`, with the part that is used.
#[repr(C)]
struct Interface {
    name: [u8; 16],
    flags: u16,
    rest: [u8; 22],
}

/// `TUNSETIFF` and `TUNGETIFF` of `linux/if_tun.h`, and the flags of a device that gives frames and nothing before them.
const TUNSETIFF: usize = 0x4004_54ca;
const TUNGETIFF: usize = 0x8004_54d2;
const IFF_TAP: u16 = 2;
const IFF_NO_PI: u16 = 0x1000;
const IFF_VNET_HDR: u16 = 0x4000;

/// A network that is open.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Opened {
    pub(crate) descriptor: i32,
    /// It is a tap device, where each call moves one frame; else a socket, where each frame comes after its length.
    pub(crate) tap: bool,
}

/// Opens what `--net` names. Nobody waits for it from then on.
pub(crate) fn open(calls: Calls<'_>, option: NetOption) -> Result<Option<Opened>, Error> {
    let failed = |errno| Error::Net { option: option.text(), errno };
    let open = || {
        let (descriptor, tap) = match option {
            NetOption::None => return Ok(None),
            NetOption::Descriptor(descriptor) => (descriptor, is_tap(calls, descriptor)?),
            NetOption::Path(path) => (connect(calls, path)?, false),
            NetOption::Tap(name) => (open_tap(calls, name)?, true),
        };
        let flags = calls.control(descriptor, general::F_GETFL, 0)?;
        calls.control(descriptor, general::F_SETFL, flags | general::O_NONBLOCK as usize)?;
        Ok(Some(Opened { descriptor, tap }))
    };
    open().map_err(failed)
}

/// A tap device of this name: one that is there for this user, or a new one where that is allowed.
fn open_tap(calls: Calls<'_>, name: &[u8]) -> Result<i32, Errno> {
    let flags = general::O_RDWR | general::O_CLOEXEC | general::O_NONBLOCK;
    let path = c"/dev/net/tun".as_ptr() as usize;
    let at = general::AT_FDCWD as isize as usize;
    // SAFETY: the kernel reads the path, which ends in a NUL.
    let opened = unsafe { calls.raw(general::__NR_openat, [at, path, flags as usize, 0, 0, 0]) }?;
    let descriptor = calls.above_console(opened as i32)?;
    let mut interface = Interface { name: [0; 16], flags: IFF_TAP | IFF_NO_PI, rest: [0; 22] };
    // The last byte stays zero.
    let place = interface.name[..15].get_mut(..name.len()).ok_or(Errno(EINVAL))?;
    place.copy_from_slice(name);
    request(calls, descriptor, TUNSETIFF, &mut interface)?;
    Ok(descriptor)
}

/// Whether a descriptor is that of a tap device. One whose frames have something before them is none that can be used.
fn is_tap(calls: Calls<'_>, descriptor: i32) -> Result<bool, Errno> {
    let mut interface = Interface { name: [0; 16], flags: 0, rest: [0; 22] };
    if request(calls, descriptor, TUNGETIFF, &mut interface).is_err() {
        return Ok(false);
    }
    let plain = interface.flags & (IFF_TAP | IFF_NO_PI | IFF_VNET_HDR) == IFF_TAP | IFF_NO_PI;
    if plain { Ok(true) } else { Err(Errno(EINVAL)) }
}

fn request(calls: Calls<'_>, descriptor: i32, what: usize, interface: &mut Interface) -> Result<(), Errno> {
    let arguments = [descriptor as usize, what, &raw mut *interface as usize, 0, 0, 0];
    // SAFETY: the kernel reads and writes a `struct ifreq`; on a descriptor of another kind, neither of the two requests
    // is known.
    unsafe { calls.raw(general::__NR_ioctl, arguments) }.map(drop)
}

fn connect(calls: Calls<'_>, path: &[u8]) -> Result<i32, Errno> {
    let mut address = Address { family: AF_UNIX, path: [0; 108] };
    // The last byte stays zero.
    let place = address.path[..107].get_mut(..path.len()).ok_or(Errno(EINVAL))?;
    place.copy_from_slice(path);
    let kind = SOCK_STREAM | general::O_CLOEXEC as usize;
    let opened = calls.plain(general::__NR_socket, [AF_UNIX.into(), kind, 0, 0])?;
    let descriptor = calls.above_console(opened as i32)?;
    let arguments = [descriptor as usize, (&raw const address) as usize, size_of_val(&address), 0, 0, 0];
    // SAFETY: the kernel reads the address.
    unsafe { calls.raw(general::__NR_connect, arguments) }?;
    Ok(descriptor)
}
