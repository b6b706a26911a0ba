//! The version of the code that trials run: `[run] code`.

/// The version of the code that trials run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Code {
    /// Trials run in the working directory as it is. Uncommitted changes are kept as a patch.
    #[default]
    Snapshot,
    /// Trials run in a clean clone of the commit, in the study's folder.
    Clone,
    /// Trials run in the working directory, which must not differ from the commit.
    Clean,
}

impl Code {
    /// All values with their names in sweep files, the default first.
    pub const ALL: &[(&str, Self)] = &[
        ("snapshot", Self::Snapshot),
        ("clone", Self::Clone),
        ("clean", Self::Clean),
    ];

    /// Returns the name of this value in sweep files.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(_, code)| *code == self)
            .map_or("snapshot", |(name, _)| name)
    }
}
