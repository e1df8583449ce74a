//! The stand-ins of the simulation pass the suites that every implementation of a port has to pass.
//! Never has a fault that a suite did not ask for.

mod catalog;
mod quiet;
mod sink;
mod source;
mod store;
mod target;
