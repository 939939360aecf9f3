//! Floor 3: the stages, and the topologies made of them.
