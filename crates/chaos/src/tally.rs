//! How often each kind of fault came and met something in flight. Never forgets one.

use crate::inflict::Met;
use crate::plan::Fault;
use std::collections::BTreeMap;
use std::fmt;

/// The faults of one run, or of several.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally(BTreeMap<Fault, [usize; 2]>);

impl Tally {
    /// Counts a fault.
    pub(crate) fn count(&mut self, fault: Fault, met: &Met) {
        let of = self.0.entry(fault).or_default();
        of[usize::from(!met.something(fault))] += 1;
    }

    /// Takes in another one.
    pub(crate) fn add(&mut self, other: &Self) {
        for (fault, [met, missed]) in &other.0 {
            let of = self.0.entry(*fault).or_default();
            *of = [of[0] + met, of[1] + missed];
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<56} {:>9} {:>15}", "fault", "in flight", "nothing met")?;
        let mut all = [0, 0];
        for (fault, [met, missed]) in &self.0 {
            writeln!(f, "{:<56} {met:>9} {missed:>15}", fault.to_string())?;
            all = [all[0] + met, all[1] + missed];
        }
        write!(f, "{:<56} {:>9} {:>15}", "all", all[0], all[1])
    }
}
