//! The service: HTTP, configuration, supervisor, command line.
