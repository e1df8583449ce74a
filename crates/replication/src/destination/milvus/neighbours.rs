//! The targets that this process has clients of, to find out whether two of their addresses lead to
//! one Milvus. Before a link writes, it is told apart from every other one that writes, here or
//! through another milvus-cdc; one that turns out to be the same is joined to it. Asks the clocks
//! only (`one_clock`), so it leaves nothing on a target.

use crate::destination::milvus::one_clock::{Seen, compare};
use crate::error::{Error, Result};
use crate::ports::Target;
use crate::records::identity;
use crate::records::target_records::TargetRecords;
use crate::sync::lock;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, Weak};

/// All targets of a process.
#[derive(Default)]
pub struct Neighbours {
    /// By the address under which a target was known first.
    links: Mutex<BTreeMap<String, Neighbour>>,
    /// What leads to one of them, too.
    addresses: Mutex<BTreeMap<String, OtherAddress>>,
    /// One link at a time is told apart, so that of two the second sees the first.
    proving: tokio::sync::Mutex<()>,
    parted: tokio::sync::Notify,
}

/// Another address of a target: the target's name, and a client of the address.
type OtherAddress = (String, Arc<dyn Target>);

#[derive(Clone)]
struct Neighbour {
    target: Arc<dyn Target>,
    records: Weak<TargetRecords>,
    /// Whether it may send calls: it has been told apart from those before it.
    writes: bool,
}

/// One link that asks about its neighbours.
pub(super) struct Here {
    pub(super) neighbours: Arc<Neighbours>,
    pub(super) target: Arc<dyn Target>,
    pub(super) records: Arc<TargetRecords>,
}

impl Neighbours {
    /// Sets the client of another address of the target of this name.
    pub fn set_address(&self, address: &str, name: &str, target: Arc<dyn Target>) {
        lock(&self.addresses).insert(address.to_owned(), (name.to_owned(), target));
    }

    /// Whether there is a client of this address, as another one of the target of this name.
    pub fn has_address(&self, address: &str, name: &str) -> bool {
        lock(&self.addresses).get(address).is_some_and(|(of, _)| of == name)
    }

    /// Waits until an address has been found to lead to a target of its own.
    pub async fn parted(&self) {
        self.parted.notified().await;
    }

    /// Forgets the clients of all other addresses except these.
    pub fn keep_addresses(&self, is_wanted: impl Fn(&str) -> bool) {
        lock(&self.addresses).retain(|address, _| is_wanted(address));
    }
}

impl Here {
    /// Tells the neighbours that there is this target. It does not write yet.
    pub(super) fn enter(&self) {
        let records = Arc::downgrade(&self.records);
        let neighbour = Neighbour { target: self.target.clone(), records, writes: false };
        lock(&self.neighbours.links).insert(self.name().to_owned(), neighbour);
    }

    fn name(&self) -> &str {
        self.records.address()
    }

    /// Before the first call, with the lease in hand: tells this target apart from all that may be
    /// written to. If it is one of them, that is stored, and this link is given up.
    pub(super) async fn begin_to_write(&self) -> Result<()> {
        let _alone = self.neighbours.proving.lock().await;
        self.look_at_addresses().await?;
        for (name, other) in self.others() {
            let Some(records) = other.records.upgrade().filter(|r| !r.lease_is_lost()) else {
                continue;
            };
            if !other.writes && !records.is_anothers().await? {
                // Nobody writes there. It is told apart from this one when it begins to.
                continue;
            }
            match compare(&*self.target, &*other.target).await {
                Seen::One => return Err(self.join(&name).await?),
                Seen::Two => self.note_apart(&name).await?,
                Seen::FirstSilent(e) => return Err(e),
                Seen::SecondSilent(e) if other.writes => self.stop_silent(&name, &records, e).await,
                Seen::SecondSilent(_) if self.records.is_apart_from(&name).await? => {}
                Seen::SecondSilent(e) => return Err(self.unclear(&name, &e.what).await),
                Seen::Unclear => return Err(self.unclear(&name, "their clocks say neither").await),
            }
        }
        if let Some(here) = lock(&self.neighbours.links).get_mut(self.name()) {
            here.writes = true;
        }
        Ok(())
    }

    /// Looks again whether an address leads to another target by now.
    pub(super) async fn look_again(&self) -> Result<()> {
        let _alone = self.neighbours.proving.lock().await;
        self.look_at_addresses().await?;
        for (name, other) in self.others() {
            let is_open = other.records.upgrade().is_some_and(|r| !r.lease_is_lost());
            if !is_open || !other.writes {
                continue;
            }
            if let Seen::One = compare(&*self.target, &*other.target).await {
                return Err(self.join(&name).await?);
            }
        }
        Ok(())
    }

    /// Takes an address back that leads elsewhere now.
    async fn look_at_addresses(&self) -> Result<()> {
        let mut others = lock(&self.neighbours.addresses).clone();
        others.retain(|_, (name, _)| name == self.name());
        for (address, (_, other)) in others {
            if let Seen::Two = compare(&*self.target, &*other).await {
                tracing::warn!(
                    target = self.name(),
                    address,
                    "address leads to another target now"
                );
                self.records.commit(identity::part(self.name(), &address)).await?;
                lock(&self.neighbours.addresses).remove(&address);
                self.neighbours.parted.notify_one();
            }
        }
        Ok(())
    }

    fn others(&self) -> Vec<(String, Neighbour)> {
        let mut others = lock(&self.neighbours.links).clone();
        others.remove(self.name());
        others.into_iter().collect()
    }

    /// This target is the one of that name. Returns why this link ends.
    async fn join(&self, name: &str) -> Result<Error> {
        let here = self.name();
        let known = self.records.names().await?;
        let addresses = known.others_of(here).chain([here]);
        self.records.commit(identity::join(name, addresses)).await?;
        tracing::warn!(target = name, address = here, "two addresses lead to one target");
        let why = format!("{here} is the same Milvus as {name}: its tasks go on together");
        self.records.retire(&why).await;
        Ok(Error::transient(why))
    }

    async fn note_apart(&self, name: &str) -> Result<()> {
        if self.records.is_apart_from(name).await? {
            return Ok(());
        }
        self.records.commit(identity::apart(self.name(), name)).await
    }

    /// One that wrote does not answer. If it is this one, it must not go on beside it: it begins
    /// anew, and is told apart then.
    async fn stop_silent(&self, name: &str, records: &TargetRecords, error: Error) {
        tracing::warn!(target = name, error = ?error,
            "target does not answer while another one opens, and is opened anew");
        let why = format!(
            "{name} did not answer when it had to be told apart from {}, and is opened anew",
            self.name()
        );
        records.retire(&why).await;
    }

    /// Another milvus-cdc may be able to tell.
    async fn unclear(&self, name: &str, why: &str) -> Error {
        if let Err(e) = self.records.release_lease().await {
            tracing::debug!(error = ?e, "lease not given back");
        }
        let here = self.name();
        Error::transient(format!(
            "it can't be seen whether {here} and {name} are the same Milvus ({why}), and {name} is \
             written to; make both reachable from this milvus-cdc, or delete the tasks of one"
        ))
    }
}
