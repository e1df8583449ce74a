//! The Milvus target against a server that answers as a test tells it: requests that the Milvus of the
//! lab does not know, and answers that can't be brought about. Needs no servers.

#![expect(clippy::unwrap_used, reason = "the helpers of a test are part of it")]

mod requests;
mod server;
