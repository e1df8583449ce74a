//! Which addresses lead to one target. A target is named by the address under which it was known
//! first; its records, its lease and its lanes are stored under that name. Any other address of it
//! has a record that says so. Never finds out itself what an address leads to (`neighbours`).

use crate::error::Result;
use crate::ports::{Store, Transaction};
use crate::records::codec::{decode, encode};
use crate::records::keys::{ADDRESSES, address_key, apart_key, lane_prefix};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What an address is the other address of.
#[derive(Serialize, Deserialize)]
struct Named {
    /// The address under which the target was known first.
    name: String,
}

/// That two addresses lead to different targets.
#[derive(Serialize, Deserialize)]
struct Apart {}

/// The names of targets that have several addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names(BTreeMap<String, String>);

impl Names {
    /// The name of the target that an address leads to.
    pub fn of<'a>(&'a self, address: &'a str) -> &'a str {
        self.0.get(address).map_or(address, String::as_str)
    }

    /// How many addresses are joined to another one.
    pub fn joined(&self) -> usize {
        self.0.len()
    }

    /// The other addresses of a target.
    pub fn others_of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(_, of)| *of == name).map(|(address, _)| address.as_str())
    }

    /// The same, with one more address of the target that another address leads to.
    #[must_use]
    pub fn with(mut self, address: &str, other: &str) -> Self {
        let name = self.of(other).to_owned();
        if name != address {
            self.0.insert(address.to_owned(), name);
        }
        self
    }
}

/// All that is stored of them.
pub async fn names(store: &dyn Store) -> Result<Names> {
    let mut names = BTreeMap::new();
    for (key, stored) in store.list(ADDRESSES).await? {
        let named: Named = decode(&key, &stored.value)?;
        names.insert(key[ADDRESSES.len()..].to_owned(), named.name);
    }
    Ok(Names(names))
}

/// Stores that these addresses lead to the target of this name, unless that is itself the other
/// address of a target by then.
pub fn join<'a>(name: &str, addresses: impl IntoIterator<Item = &'a str>) -> Transaction {
    let named = encode(&Named { name: name.to_owned() });
    let mut transaction = Transaction::default();
    transaction.conditions.push((address_key(name), 0));
    for address in addresses {
        transaction.puts.push((address_key(address), named.clone()));
        transaction.deletes.push(apart_key(name, address));
    }
    transaction
}

/// Stores that an address leads to another target now.
pub(crate) fn part(name: &str, address: &str) -> Transaction {
    let mut transaction = apart(name, address);
    transaction.deletes.push(address_key(address));
    transaction
}

/// Stores that two addresses lead to different targets.
pub(crate) fn apart(one: &str, other: &str) -> Transaction {
    let puts = vec![(apart_key(one, other), encode(&Apart {}))];
    Transaction { puts, ..Transaction::default() }
}

/// Whether lanes are stored under an address.
pub async fn has_lanes(store: &dyn Store, address: &str) -> Result<bool> {
    Ok(!store.list(&lane_prefix(address)).await?.is_empty())
}
