//! The reference of the sweep file: hand-written text, with the tables of the registries filled in.
