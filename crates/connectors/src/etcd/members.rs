//! Which members of an etcd answer, for the metrics, and which one is asked first. Never asks one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tracing::{info, warn};

/// What is known of the members of every etcd that is asked; all connections share it.
#[derive(Clone, Debug, Default)]
pub struct EtcdMembers(Arc<Mutex<BTreeMap<String, EtcdMember>>>);

/// What is known of one member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EtcdMember {
    /// Whether it answered when it was asked last; it counts as answering until it was asked.
    pub answers: bool,
    /// How often it did not.
    pub unanswered: u64,
}

impl EtcdMembers {
    /// Every member by its address.
    pub fn all(&self) -> BTreeMap<String, EtcdMember> {
        self.lock().clone()
    }

    /// A member that may be asked from now on.
    pub fn add(&self, endpoint: &str) {
        let new = EtcdMember { answers: true, unanswered: 0 };
        self.lock().entry(endpoint.to_owned()).or_insert(new);
    }

    /// Notes how a member was found; returns whether that is news.
    fn note(&self, endpoint: &str, answers: bool) -> bool {
        let mut members = self.lock();
        let Some(member) = members.get_mut(endpoint) else { return false };
        member.unanswered += u64::from(!answers);
        std::mem::replace(&mut member.answers, answers) != answers
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, EtcdMember>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The order in which one connection asks its members: the one that answered last comes first.
pub(super) struct Order {
    endpoints: Vec<String>,
    first: watch::Sender<usize>,
    members: EtcdMembers,
    /// When it was last looked whether a silent member answers again.
    looked: Mutex<Option<Instant>>,
}

/// How often it is looked whether a silent member answers again, which nobody asks otherwise.
const LOOK_EVERY: Duration = Duration::from_secs(20);

impl Order {
    pub(super) fn new(endpoints: Vec<String>, members: EtcdMembers) -> Self {
        endpoints.iter().for_each(|endpoint| members.add(endpoint));
        Self { endpoints, first: watch::Sender::new(0), members, looked: Mutex::default() }
    }

    /// A silent member, if it is time to look whether it answers again.
    pub(super) fn to_look_at(&self) -> Option<usize> {
        let silent = {
            let members = self.members.lock();
            let is_silent = |endpoint| members.get(endpoint).is_some_and(|member| !member.answers);
            self.endpoints.iter().position(is_silent)?
        };
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        let is_time = looked.is_none_or(|looked| looked.elapsed() >= LOOK_EVERY);
        is_time.then(|| {
            *looked = Some(Instant::now());
            silent
        })
    }

    /// A member was looked at, whichever is asked first.
    pub(super) fn seen(&self, member: usize, answers: bool) {
        let endpoint = &self.endpoints[member];
        if self.members.note(endpoint, answers) && answers {
            info!(endpoint, "this member of etcd answers again");
        }
    }

    /// The addresses of all members.
    pub(super) fn endpoints(&self) -> &[String] {
        &self.endpoints
    }

    /// The member that is asked first.
    pub(super) fn first(&self) -> usize {
        *self.first.borrow()
    }

    /// Resolves when another member than this one is asked first.
    pub(super) async fn moved_from(&self, member: usize) {
        let mut first = self.first.subscribe();
        // The sender lives as long as this does.
        let _ = first.wait_for(|first| *first != member).await;
    }

    /// A member has answered: it is asked first from now on.
    pub(super) fn answered(&self, member: usize) {
        self.seen(member, true);
        self.first.send_if_modified(|first| std::mem::replace(first, member) != member);
    }

    /// A member has not answered: the next one is asked first, unless another is already.
    pub(super) fn silent(&self, member: usize, why: &str) {
        let endpoint = &self.endpoints[member];
        if self.members.note(endpoint, false) {
            let others = self.endpoints.len() - 1;
            warn!(endpoint, why, others, "a member of etcd does not answer, the others are asked");
        }
        let next = self.next(member);
        self.first.send_if_modified(|first| {
            let moves = *first == member && next != member;
            *first = if moves { next } else { *first };
            moves
        });
    }

    /// The member after this one.
    pub(super) fn next(&self, member: usize) -> usize {
        (member + 1) % self.endpoints.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_that_answered_last_is_asked_first() {
        let members = EtcdMembers::default();
        let order = Order::new(vec!["a".into(), "b".into(), "c".into()], members.clone());
        order.silent(0, "it is away");
        assert_eq!(order.first(), 1);
        order.silent(0, "it is away");
        assert_eq!(order.first(), 1, "somebody else has noticed already");
        order.answered(2);
        assert_eq!(order.first(), 2);
        let seen = |endpoint: &str| members.all()[endpoint];
        assert_eq!(seen("a"), EtcdMember { answers: false, unanswered: 2 });
        assert_eq!(seen("b"), EtcdMember { answers: true, unanswered: 0 });
    }

    #[test]
    fn a_silent_member_is_looked_at_now_and_then() {
        let members = EtcdMembers::default();
        let order = Order::new(vec!["a".into(), "b".into()], members.clone());
        assert_eq!(order.to_look_at(), None);
        order.silent(0, "it is away");
        assert_eq!(order.to_look_at(), Some(0));
        assert_eq!(order.to_look_at(), None, "not so soon");
        order.seen(0, true);
        assert!(members.all()["a"].answers);
        assert_eq!(order.first(), 1, "the good one stays the first");
    }

    #[test]
    fn a_single_member_stays_the_first() {
        let order = Order::new(vec!["a".into()], EtcdMembers::default());
        order.silent(0, "it is away");
        assert_eq!(order.first(), 0);
    }
}
