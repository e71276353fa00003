//! The dependency graph of services: who must come first, in waves, and what lies on a cycle.
//!
//! Order is always the names' order: equal inputs give equal answers.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use hoist_model::{ServiceName, Stack};
use petgraph::algo::tarjan_scc;
use petgraph::graphmap::DiGraphMap;

/// Who depends on whom. An edge leads from a service to what it depends on.
#[derive(Debug, Clone, Default)]
pub struct Dependencies<'a> {
    graph: DiGraphMap<&'a str, ()>,
}

/// A cycle: each service depends on the next, the last on the first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cycle(pub Vec<String>);

impl<'a> Dependencies<'a> {
    /// The graph of these edges; services without edges are added by [`Dependencies::add`].
    pub fn from_edges(edges: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut graph = DiGraphMap::new();
        for (from, to) in edges {
            graph.add_edge(from, to, ());
        }
        Self { graph }
    }

    /// The graph of a stack. Dependencies on services that aren't in it are left out.
    #[must_use]
    pub fn of(stack: &'a Stack) -> Self {
        let mut dependencies = Self::default();
        for (name, service) in &stack.services {
            dependencies.add(name.as_str());
            for to in service.depends_on.keys().filter(|to| stack.services.contains_key(*to)) {
                dependencies.graph.add_edge(name.as_str(), to.as_str(), ());
            }
        }
        dependencies
    }

    /// Adds a service.
    pub fn add(&mut self, service: &'a str) {
        self.graph.add_node(service);
    }

    /// The services in waves: each depends on earlier waves only, and comes as early as it can.
    ///
    /// # Errors
    /// The shortest cycle, when there is one.
    pub fn waves(&self) -> Result<Vec<BTreeSet<&'a str>>, Cycle> {
        let mut missing: BTreeMap<&str, usize> =
            self.graph.nodes().map(|node| (node, self.graph.neighbors(node).count())).collect();
        let mut ready: BTreeSet<&str> =
            missing.iter().filter(|(_, n)| **n == 0).map(|(node, _)| *node).collect();
        let mut waves = Vec::new();
        let mut placed = 0;
        while !ready.is_empty() {
            placed += ready.len();
            let next = self.released(&ready, &mut missing);
            waves.push(std::mem::replace(&mut ready, next));
        }
        if placed == self.graph.node_count() { Ok(waves) } else { Err(self.shortest_cycle()) }
    }

    /// Those of which the last missing dependency is in `wave`.
    fn released(
        &self,
        wave: &BTreeSet<&'a str>,
        missing: &mut BTreeMap<&'a str, usize>,
    ) -> BTreeSet<&'a str> {
        let mut released = BTreeSet::new();
        for dependent in wave.iter().flat_map(|node| self.graph.neighbors_directed(node, petgraph::Incoming))
        {
            if let Some(count) = missing.get_mut(dependent) {
                *count -= 1;
                if *count == 0 {
                    released.insert(dependent);
                }
            }
        }
        released
    }

    /// All that `services` depend on, directly or not, themselves included.
    pub fn with_dependencies(&self, services: impl IntoIterator<Item = &'a str>) -> BTreeSet<&'a str> {
        self.reach(services, petgraph::Outgoing)
    }

    /// All that depend on `services`, directly or not, themselves included.
    pub fn with_dependents(&self, services: impl IntoIterator<Item = &'a str>) -> BTreeSet<&'a str> {
        self.reach(services, petgraph::Incoming)
    }

    fn reach(
        &self,
        from: impl IntoIterator<Item = &'a str>,
        direction: petgraph::Direction,
    ) -> BTreeSet<&'a str> {
        let mut reached = BTreeSet::new();
        let mut open: Vec<&str> = from.into_iter().collect();
        while let Some(node) = open.pop() {
            if reached.insert(node) && self.graph.contains_node(node) {
                open.extend(self.graph.neighbors_directed(node, direction));
            }
        }
        reached
    }

    /// For each service on a cycle, the number of its cycle: an order can't hold between members of one.
    #[must_use]
    pub fn knots(&self) -> BTreeMap<&'a str, usize> {
        let components = tarjan_scc(&self.graph);
        let cyclic = components.into_iter().filter(|component| self.cyclic(component)).enumerate();
        cyclic.flat_map(|(n, component)| component.into_iter().map(move |node| (node, n))).collect()
    }

    fn cyclic(&self, component: &[&'a str]) -> bool {
        component.len() > 1 || component.iter().any(|node| self.graph.contains_edge(node, node))
    }

    fn shortest_cycle(&self) -> Cycle {
        let knots = self.knots();
        let cycles = knots.keys().filter_map(|start| self.cycle_from(start));
        // Of equal length, the one whose first name comes first.
        let shortest = cycles.min_by_key(Vec::len).unwrap_or_default();
        Cycle(shortest.into_iter().map(str::to_owned).collect())
    }

    /// The shortest way from `start` back to itself, breadth first.
    fn cycle_from(&self, start: &'a str) -> Option<Vec<&'a str>> {
        let mut came_from: BTreeMap<&str, &str> = BTreeMap::new();
        let mut open = VecDeque::from([start]);
        while let Some(node) = open.pop_front() {
            let next: BTreeSet<&str> = self.graph.neighbors(node).collect();
            if next.contains(start) {
                return Some(trace(start, node, &came_from));
            }
            for to in next {
                if to != start && !came_from.contains_key(to) {
                    came_from.insert(to, node);
                    open.push_back(to);
                }
            }
        }
        None
    }
}

fn trace<'a>(start: &'a str, end: &'a str, came_from: &BTreeMap<&'a str, &'a str>) -> Vec<&'a str> {
    let mut path = vec![end];
    while let Some(node) = path.last().and_then(|node| came_from.get(node)) {
        path.push(node);
    }
    if path.last() != Some(&start) {
        path.push(start);
    }
    path.reverse();
    path
}

/// A stack's own names for a set found in its graph.
pub(crate) fn names(found: &BTreeSet<&str>, stack: &Stack) -> BTreeSet<ServiceName> {
    stack.services.keys().filter(|name| found.contains(name.as_str())).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waves_are_as_early_and_as_ordered_as_can_be() {
        let mut graph = Dependencies::from_edges([("web", "api"), ("api", "db"), ("web", "cache")]);
        graph.add("cron");
        let waves = graph.waves().unwrap();
        assert_eq!(waves, [BTreeSet::from(["cache", "cron", "db"]), ["api"].into(), ["web"].into()]);
    }

    #[test]
    fn the_shortest_cycle_is_named() {
        let graph = Dependencies::from_edges([("a", "b"), ("b", "c"), ("c", "a"), ("c", "b"), ("d", "a")]);
        assert_eq!(graph.waves(), Err(Cycle(vec!["b".into(), "c".into()])));
        assert_eq!(Dependencies::from_edges([("a", "a")]).waves(), Err(Cycle(vec!["a".into()])));
    }

    #[test]
    fn reach_follows_edges_both_ways() {
        let graph = Dependencies::from_edges([("web", "api"), ("api", "db"), ("job", "db")]);
        assert_eq!(graph.with_dependencies(["api"]), BTreeSet::from(["api", "db"]));
        assert_eq!(graph.with_dependents(["db"]), BTreeSet::from(["api", "db", "job", "web"]));
        assert!(graph.knots().is_empty());
    }
}
