//! The network: a socket of frames that somebody outside has opened, or that is opened here.

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

/// Opens what `--net` names. Nobody waits for it from then on.
pub(crate) fn open(calls: Calls<'_>, option: NetOption) -> Result<Option<i32>, Error> {
    let failed = |errno| Error::Net { option: option.text(), errno };
    let descriptor = match option {
        NetOption::None => return Ok(None),
        NetOption::Descriptor(descriptor) => descriptor,
        NetOption::Path(path) => connect(calls, path).map_err(failed)?,
    };
    let set = || {
        let flags = calls.control(descriptor, general::F_GETFL, 0)?;
        calls.control(descriptor, general::F_SETFL, flags | general::O_NONBLOCK as usize)
    };
    set().map_err(failed)?;
    Ok(Some(descriptor))
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
