//! The nodes on which pilots run: failures of trials per node, and nodes that get no more trials.

use super::super::wire::Order;
use super::Fleet;
use std::collections::{BTreeMap, BTreeSet};
use swath_model::study::{Exit, TrialId};

/// The nodes seen so far.
#[derive(Debug, Default)]
pub(super) struct Machines {
    /// Names in the order of their first appearance; the index is the number of the node.
    names: Vec<String>,
    /// Node of the last failure of each trial.
    failed: BTreeMap<TrialId, u32>,
    excluded: BTreeSet<String>,
}

impl Machines {
    fn number(&self, name: &str) -> Option<u32> {
        self.names
            .iter()
            .position(|other| other == name)
            .and_then(|position| u32::try_from(position).ok())
    }

    /// Records that a pilot runs on a node.
    pub(super) fn add(&mut self, name: &str) {
        if self.number(name).is_none() {
            self.names.push(name.to_owned());
        }
    }

    /// Records how an attempt ended on a node. Only the last failure of a trial is kept.
    pub(super) fn note_end(&mut self, trial: TrialId, host: Option<&str>, exit: &Exit) {
        self.failed.remove(&trial);
        if let Some(number) = host
            .filter(|_| matches!(exit, Exit::Failed(_)))
            .and_then(|host| self.number(host))
        {
            self.failed.insert(trial, number);
        }
    }

    pub(super) fn is_excluded(&self, name: &str) -> bool {
        self.excluded.contains(name)
    }

    /// Returns the nodes that later jobs must not use.
    pub(super) fn excluded_nodes(&self) -> Vec<String> {
        self.excluded.iter().cloned().collect()
    }
}

impl Fleet {
    /// Returns the number of nodes, at least 1. Waiting pilots count as one more node, because they
    /// may start elsewhere.
    pub(super) fn count_machines(&self) -> usize {
        let has_waiting = self
            .pilots
            .iter()
            .any(|pilot| pilot.gone.is_none() && pilot.hello.is_none());
        (self.machines.names.len() + usize::from(has_waiting)).max(1)
    }

    pub(super) fn machine_of(&self, trial: TrialId) -> Option<u32> {
        // A running attempt has a pilot; after its end only a failure is of interest.
        let runner = self.pilots.iter().find(|pilot| {
            pilot
                .assigned
                .keys()
                .any(|(assigned, _)| *assigned == trial)
        });
        match runner {
            Some(pilot) => self.machines.number(pilot.host()?),
            None => self.machines.failed.get(&trial).copied(),
        }
    }

    /// Excludes a node: its pilots get no more trials, and later jobs are submitted without it.
    pub(super) fn exclude(&mut self, machine: u32) -> String {
        let Some(host) = self.machines.names.get(machine as usize).cloned() else {
            return machine.to_string();
        };
        if self.machines.excluded.insert(host.clone()) {
            self.messages.push(format!(
                "several trials in a row failed within seconds on {host}: it gets no more trials, and later jobs exclude it"
            ));
        }
        for pilot in self
            .pilots
            .iter_mut()
            .filter(|pilot| pilot.host() == Some(&host) && !pilot.is_full)
        {
            pilot.is_full = true;
            pilot.order(&Order::Yield);
        }
        host
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use swath_model::study::Failure;

    #[test]
    fn nodes_are_numbered_and_the_last_failure_of_a_trial_names_its_node() {
        let mut machines = Machines::default();
        ["n1", "n2", "n1"]
            .into_iter()
            .for_each(|name| machines.add(name));
        let failed = Exit::Failed(Failure::Code(1));
        machines.note_end(TrialId(1), Some("n2"), &failed);
        machines.note_end(TrialId(2), Some("n1"), &Exit::Done);
        assert_eq!(machines.failed, BTreeMap::from([(TrialId(1), 1)]));
        machines.note_end(TrialId(1), Some("n1"), &Exit::Done);
        assert!(machines.failed.is_empty());
    }
}
