//! Running programs: a server's process and what it uses (`process`, `procfs`), how it is started
//! so that it cannot outlive us (`spawner`), and tools that run to their end (`tool`). Never knows
//! a server.

pub(crate) mod process;
pub(crate) mod procfs;
pub(crate) mod spawner;
pub(crate) mod tool;
