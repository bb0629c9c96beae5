//! The process target: the root task inside the tender, as one static executable.
//!
//! [`mod@tender`] builds the program of `tender/host`, [`mod@table`] makes the tables that it decodes by, and
//! [`mod@assemble`] puts both and the root task into one file. [`operator`] makes the tender that is
//! installed by itself and runs the root tasks of others.

pub mod assemble;
pub mod operator;
mod program;
pub mod table;
pub mod tender;

pub(crate) use program::Program;

use crate::{Digest, recipe::Recipe};
use selkie_tender_table::{
    Table,
    payload::{Settings, device},
};
use serde::{Deserialize, Serialize};

/// What the image of `recipe` asks for.
pub fn settings(recipe: &Recipe) -> Settings {
    let input = if recipe.process.input { device::INPUT } else { 0 };
    let net = match &recipe.devices.net {
        None => 0,
        Some(net) if net.has_card() => device::NET | device::ENTROPY,
        Some(_) => device::ENTROPY,
    };
    let disk = match &recipe.devices.disk {
        None => 0,
        Some(disk) if disk.read_only => device::BLOCK,
        Some(_) => device::BLOCK | device::BLOCK_WRITE,
    };
    Settings { memory: recipe.process.memory, devices: device::CONSOLE | device::CLOCK | input | net | disk }
}

/// The names of devices, in the order of their bits.
const DEVICES: [(u64, &str); 7] = [
    (device::CONSOLE, "console"),
    (device::INPUT, "input"),
    (device::CLOCK, "clock"),
    (device::NET, "net"),
    (device::BLOCK, "block"),
    (device::ENTROPY, "entropy"),
    (device::BLOCK_WRITE, "block-write"),
];

/// The names of the devices that a payload asks for.
pub fn devices(settings: &Settings) -> Vec<String> {
    let asked = DEVICES.iter().filter(|(bit, _)| settings.devices & bit != 0);
    asked.map(|(_, name)| (*name).to_owned()).collect()
}

/// What an executable holds beside the root task, for manifests and reports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Identity {
    /// The digest of the tender alone: without payload and symbols.
    pub tender: Digest,
    /// Memory in bytes.
    pub memory: u64,
    /// The devices that are asked for.
    pub devices: Vec<String>,
    /// The interfaces that it can serve.
    pub tables: Vec<TableIdentity>,
}

/// Which interface a table is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct TableIdentity {
    /// The kernel config.
    pub config: String,
    /// The digest of its interface.
    pub interface: Digest,
}

impl Identity {
    /// What an executable with this tender, these tables and settings is.
    pub fn new(tender: Digest, tables: &[Table], settings: &Settings) -> Self {
        let table = |table: &Table| TableIdentity {
            config: table.config().to_owned(),
            interface: table::digest(table),
        };
        Self {
            tender,
            memory: settings.memory,
            devices: devices(settings),
            tables: tables.iter().map(table).collect(),
        }
    }
}
